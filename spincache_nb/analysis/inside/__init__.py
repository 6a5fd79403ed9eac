"""Below the whole file: what versions share inside WebAssembly, and what finer grains would save."""

from __future__ import annotations

from spincache_nb.analysis.inside.changes import why_changed
from spincache_nb.analysis.inside.modules import module_uses, producers, shared_modules
from spincache_nb.analysis.inside.pair import chunk_sweep, grains
from spincache_nb.analysis.inside.pieces import ALL_GRAINS, GRAINS
from spincache_nb.analysis.inside.rebuilds import rebuilds
from spincache_nb.analysis.inside.section_maps import section_map, section_maps
from spincache_nb.analysis.inside.store import cache_grains
from spincache_nb.analysis.inside.verdicts import Verdict, verdict

__all__ = [
    "ALL_GRAINS",
    "GRAINS",
    "Verdict",
    "cache_grains",
    "chunk_sweep",
    "grains",
    "module_uses",
    "producers",
    "rebuilds",
    "section_map",
    "section_maps",
    "shared_modules",
    "verdict",
    "why_changed",
]

"""Below the whole file: what versions share inside WebAssembly, and what finer grains would save."""

from __future__ import annotations

from spincache_nb.analysis.inside.changes import why_changed
from spincache_nb.analysis.inside.modules import producers, section_map, section_maps, shared_modules
from spincache_nb.analysis.inside.pieces import ALL_GRAINS, GRAINS
from spincache_nb.analysis.inside.reuse import cache_grains, chunk_sweep, grains
from spincache_nb.analysis.inside.verdicts import Verdict, rebuilds, verdict

__all__ = [
    "ALL_GRAINS",
    "GRAINS",
    "Verdict",
    "cache_grains",
    "chunk_sweep",
    "grains",
    "producers",
    "rebuilds",
    "section_map",
    "section_maps",
    "shared_modules",
    "verdict",
    "why_changed",
]

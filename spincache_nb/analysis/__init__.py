"""DataFrames to DataFrames: what is shared, what a version costs, where the bytes are.

Each function takes a *source*: a `Cache`, of which it loads the frames it needs, or a `Frames`
bundle of frames that are loaded already. What computes is pure and exact, by set arithmetic on
integers.
"""

from __future__ import annotations

from spincache_nb.analysis.comparison import compare
from spincache_nb.analysis.disk_use import breakdown, breakdown_members
from spincache_nb.analysis.inputs import Source
from spincache_nb.analysis.inside import (
    ALL_GRAINS,
    GRAINS,
    Verdict,
    cache_grains,
    chunk_sweep,
    grains,
    module_uses,
    producers,
    rebuilds,
    section_map,
    section_maps,
    shared_modules,
    verdict,
    why_changed,
)
from spincache_nb.analysis.needs import sharing_names, why
from spincache_nb.analysis.over_time import tags_over_time, timeline
from spincache_nb.analysis.remote import RemoteVersions, remote_savings, remote_versions
from spincache_nb.analysis.removal import freed_by, reclaimable
from spincache_nb.analysis.replay import replay_savings, replay_upgrades
from spincache_nb.analysis.savings import upgrade_matrix, version_savings
from spincache_nb.analysis.shared import shared_bytes, sharing, sharing_sets, summary
from spincache_nb.analysis.superseded import superseded, superseded_references
from spincache_nb.frames import Frames, load

__all__ = [
    "ALL_GRAINS",
    "GRAINS",
    "Frames",
    "RemoteVersions",
    "Source",
    "Verdict",
    "breakdown",
    "breakdown_members",
    "cache_grains",
    "chunk_sweep",
    "compare",
    "freed_by",
    "grains",
    "load",
    "module_uses",
    "producers",
    "rebuilds",
    "reclaimable",
    "remote_savings",
    "remote_versions",
    "replay_savings",
    "replay_upgrades",
    "section_map",
    "section_maps",
    "shared_bytes",
    "shared_modules",
    "sharing",
    "sharing_names",
    "sharing_sets",
    "summary",
    "superseded",
    "superseded_references",
    "tags_over_time",
    "timeline",
    "upgrade_matrix",
    "verdict",
    "version_savings",
    "why",
    "why_changed",
]

"""DataFrames to DataFrames: what is shared, what a version costs, where the bytes are.

The first parameter is always `cache`: this user's cache unless given, a `Cache`, a path, several of
these, loaded frames (``frames.load``, or what ``frames.uses`` and the like return), or a fleet where the
docstring says so. What computes is pure and exact, by set arithmetic on integers.
"""

from __future__ import annotations

from spincache_nb.analysis.changes import why_changed
from spincache_nb.analysis.comparison import Verdict, compare, rebuilds, verdict
from spincache_nb.analysis.disk import (
    breakdown,
    breakdown_members,
    freed_by,
    reclaimable,
    summary,
    superseded,
    superseded_references,
)
from spincache_nb.analysis.headlines import findings, headline
from spincache_nb.analysis.inputs import Source as Source
from spincache_nb.analysis.modules import producers, section_map, section_maps, shared_modules
from spincache_nb.analysis.pieces import ALL_GRAINS, GRAINS
from spincache_nb.analysis.pulls import tags_over_time, timeline
from spincache_nb.analysis.remote import RemoteVersions, remote_versions
from spincache_nb.analysis.reuse import cache_grains, chunk_sweep, grains
from spincache_nb.analysis.shared import shared_bytes, sharing, sharing_names, sharing_sets, why
from spincache_nb.analysis.versions import remote_savings, upgrade_matrix, version_savings
from spincache_nb.frames import Frames as Frames
from spincache_nb.frames import load as load

__all__ = [
    "ALL_GRAINS",
    "GRAINS",
    "RemoteVersions",
    "Verdict",
    "breakdown",
    "breakdown_members",
    "cache_grains",
    "chunk_sweep",
    "compare",
    "findings",
    "freed_by",
    "grains",
    "headline",
    "producers",
    "rebuilds",
    "reclaimable",
    "remote_savings",
    "remote_versions",
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

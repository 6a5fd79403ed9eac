"""DataFrames to matplotlib Axes.

Each function takes the frame of the analysis of the same name, or a source to make it from, and
draws on the axes it is given, or on a new figure. Colours of text and lines are those of
``rcParams``, so the plots follow light and dark themes. Nothing is shown, saved or closed.
"""

from __future__ import annotations

from spincache_nb.plots.bars import breakdown, version_savings
from spincache_nb.plots.fleet import host_overlap, prewarm, shared_cache, version_tail
from spincache_nb.plots.growth import timeline
from spincache_nb.plots.heatmaps import shared_bytes, upgrade_matrix
from spincache_nb.plots.inside import chunk_sweep, grains
from spincache_nb.plots.maps import section_map, section_maps
from spincache_nb.plots.theme import figure_size
from spincache_nb.plots.trees import tree
from spincache_nb.plots.upset import sharing

__all__ = [
    "breakdown",
    "chunk_sweep",
    "figure_size",
    "grains",
    "host_overlap",
    "prewarm",
    "section_map",
    "section_maps",
    "shared_bytes",
    "shared_cache",
    "sharing",
    "timeline",
    "tree",
    "upgrade_matrix",
    "version_savings",
    "version_tail",
]

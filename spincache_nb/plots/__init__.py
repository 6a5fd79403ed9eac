"""DataFrames to matplotlib Axes.

Each function takes the frame of the analysis of the same name, or a source to make it from, and
draws on the axes it is given, or on a new figure. Colours of text and lines are those of
``rcParams``, so the plots follow light and dark themes. Nothing is shown, saved or closed.
"""

from __future__ import annotations

from spincache_nb.plots.bars import breakdown, version_savings
from spincache_nb.plots.curves import prewarm, shared_cache, timeline, version_tail
from spincache_nb.plots.inside import chunk_sweep, grains, section_map, section_maps
from spincache_nb.plots.sets import sharing
from spincache_nb.plots.squares import host_overlap, shared_bytes, upgrade_matrix
from spincache_nb.plots.style import figure_size

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
    "upgrade_matrix",
    "version_savings",
    "version_tail",
]

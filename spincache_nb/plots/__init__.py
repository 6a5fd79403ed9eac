"""DataFrames to matplotlib Axes.

Each function takes the frame of the analysis of the same name, or a source to make it from, and
draws on the axes it is given, or on a new figure. Colours of text and lines are those of
``rcParams``, so the plots follow light and dark themes. Nothing is shown, saved or closed.
"""

from __future__ import annotations

from spincache_nb.plots.bars import breakdown, version_savings
from spincache_nb.plots.growth import timeline
from spincache_nb.plots.heatmaps import shared_bytes, upgrade_matrix
from spincache_nb.plots.theme import figure_size
from spincache_nb.plots.upset import sharing

__all__ = [
    "breakdown",
    "figure_size",
    "shared_bytes",
    "sharing",
    "timeline",
    "upgrade_matrix",
    "version_savings",
]

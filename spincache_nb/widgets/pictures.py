"""The plots that a panel offers: chosen at once, computed and drawn one at a time when they are looked at."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import pandas as pd
from matplotlib.figure import Figure

from spincache_nb import analysis, plots
from spincache_nb.analysis.inputs import Frames
from spincache_nb.analysis.repositories import versioned_repositories
from spincache_nb.report import svg
from spincache_nb.show import count_text, size_text
from spincache_nb.widgets import look

MOST_REPOSITORIES = 20
"""Repositories whose versions are offered; those with most bytes come first."""

_GROUND = f"{svg.GROUND}: var(--jp-layout-color1, {svg.LIGHT_GROUND})"
"""The ground is the theme's own."""

_numbers = itertools.count()
"""What tells the plots on one page apart: a kernel may have several panels."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One plot, not computed yet."""

    title: str
    make: Callable[[], Figure]

    def html(self, alternative: str) -> str:
        """The plot in the colours of the page's theme, with a text alternative."""
        label = f"{self.title}. {alternative}"
        drawn = svg.following(self.make(), name=f"spincache-{next(_numbers)}", label=label)
        _, dark = svg.variables([drawn])
        style = f"<style>{look.DARK} figure {{ {dark} }}</style>"
        return f'<figure style="{_GROUND}">{drawn}{style}</figure>'


def pictures_of(frames: Frames) -> list[Picture]:
    """Choose the plots for a cache."""
    if not len(frames.need("apps")):
        return []
    return [
        Picture("Where the bytes on disk go", partial(_breakdown, frames)),
        Picture("Which apps share how much", partial(_sharing, frames)),
        Picture("What each pair of apps shares", partial(_pairs, frames)),
        *(
            Picture(f"What each version of {repository} costs", partial(_versions, frames, repository))
            for repository in versioned_repositories(frames)[:MOST_REPOSITORIES]
        ),
    ]


def summary_text(frames: Frames) -> str:
    """Say in one sentence what sharing saves."""
    row = analysis.summary(frames).iloc[0]
    needed, stored, saved = (
        size_text(int(row[name])) for name in ("logical_bytes", "stored_bytes", "saved_bytes")
    )
    apps = count_text(int(row["app_count"]), "app")
    return f"{apps} would need {needed} each on its own; {stored} are stored, so sharing saves {saved}."


def figure_for(plot: str, count: int) -> Figure:
    """Make a figure of the size that a plot wants; see `plots.figure_size`."""
    return Figure(figsize=plots.figure_size(plot, count), layout="constrained")


def _breakdown(frames: Frames) -> Figure:
    table = analysis.breakdown(frames)
    figure = figure_for("breakdown", len(table))
    plots.breakdown(table, ax=figure.add_subplot())
    return figure


def _sharing(frames: Frames) -> Figure:
    sets = analysis.sharing_sets(frames)
    figure = figure_for("sharing", sets[sets["user_count"] > 1]["user"].nunique())
    plots.sharing(sets, fig=figure)
    return figure


def _pairs(frames: Frames) -> Figure:
    figure = figure_for("shared_bytes", len(frames.need("apps")))
    plots.shared_bytes(frames, ax=figure.add_subplot())
    return figure


def _versions(frames: Frames, repository: str) -> Figure:
    return savings_figure(analysis.version_savings(frames, repository))


def savings_figure(savings: pd.DataFrame) -> Figure:
    """Draw what the versions of one repository cost."""
    figure = figure_for("version_savings", len(savings))
    plots.version_savings(savings, ax=figure.add_subplot())
    return figure

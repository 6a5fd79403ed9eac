"""The plots of a cache or a fleet: computed and drawn one at a time when they are looked at."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import ipywidgets as widgets
import pandas as pd
from matplotlib.figure import Figure

from spincache_nb import analysis, plots
from spincache_nb.analysis.versions import versioned_repositories
from spincache_nb.fleet import Fleet
from spincache_nb.frames.bundle import Frames
from spincache_nb.plots import svg
from spincache_nb.plots.style import MOST_SHOWN
from spincache_nb.report.material import repositories_of
from spincache_nb.show import count_text, size_text
from spincache_nb.widgets import parts

MOST_REPOSITORIES = 20
"""Repositories whose versions are offered; those with most bytes, or on most hosts, come first."""

_GROUND = f"{svg.GROUND}: var(--jp-layout-color1, {svg.LIGHT_GROUND})"
"""The background is the theme's own."""

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
        style = f"<style>{parts.DARK} figure {{ {dark} }}</style>"
        return f'<figure style="{_GROUND}">{drawn}{style}</figure>'


class Gallery:
    """A choice of plots and the one that is chosen, drawn beside the kernel while it is looked at."""

    def __init__(self, read: Callable[..., object], *, is_looked_at: bool) -> None:
        self.choice = parts.choice("Plot")
        self.summary = parts.line()
        self.state = parts.line(style="dim")
        self.picture = widgets.HTML()
        self._read = read
        self._pictures: Sequence[Picture] = ()
        self._text = ""
        self._is_looked_at = is_looked_at
        self._is_stale = self._is_loading = False
        self.choice.observe(lambda _change: self._chosen(), names="index")

    def load(self, pictures: Sequence[Picture], text: str) -> None:
        """Offer other plots; the one that is chosen stays if it is among them."""
        before, titles = self.choice.value, [picture.title for picture in pictures]
        self._pictures, self._text, self._is_loading = pictures, text, True
        self.choice.options = titles
        if titles:
            self.choice.value = before if before in titles else titles[0]
        self.choice.disabled = not titles
        self._is_loading = False
        parts.say(self.summary, text)
        self._chosen()

    def look(self, *, is_looked_at: bool) -> None:
        """Say whether anybody looks: nothing is drawn for nobody."""
        self._is_looked_at = is_looked_at
        if is_looked_at and self._is_stale:
            self._draw()

    def _chosen(self) -> None:
        if not self._is_loading:
            self._is_stale = True
            self.look(is_looked_at=self._is_looked_at)

    def _draw(self) -> None:
        self._is_stale = False
        place = self.choice.index
        if place is None or not self._pictures:
            self._show("")
            return
        picture, text = self._pictures[place], self._text
        parts.say(self.state, "Drawing.", style="dim")
        self._read("picture", lambda: self._html(picture, text), self._show)

    def _html(self, picture: Picture, text: str) -> str:
        try:
            return picture.html(text)
        except Exception:
            self._show("")
            raise

    def _show(self, html: str) -> None:
        self.picture.value = html
        parts.say(self.state, "")


# A cache ---------------------------------------------------------------------------------------


def pictures_of(frames: Frames) -> list[Picture]:
    """Choose the plots for a cache."""
    if not len(frames.need("apps")):
        return []
    found = [
        Picture("Where the bytes on disk go", partial(_breakdown, frames)),
        Picture("Which apps share how much", partial(_sharing, frames)),
        Picture("What each pair of apps shares", partial(_pairs, frames)),
    ]
    return found + [
        _versions(repository, partial(analysis.version_savings, frames, repository))
        for repository in versioned_repositories(frames)[:MOST_REPOSITORIES]
    ]


def summary_text(frames: Frames) -> str:
    """Say in one sentence what sharing saves."""
    if not len(frames.need("apps")):
        return "There are no apps in the cache."
    row = analysis.summary(frames).iloc[0]
    needed, stored, saved = (
        size_text(int(row[name])) for name in ("logical_bytes", "stored_bytes", "saved_bytes")
    )
    apps = count_text(int(row["app_count"]), "app")
    return f"{apps} would need {needed} if none shared; {stored} are stored, so sharing saves {saved}."


def figure_for(plot: str, count: int) -> Figure:
    """Make a figure of the size that a plot wants; see `plots.figure_size`."""
    return Figure(figsize=plots.figure_size(plot, count), layout="constrained")


def _breakdown(frames: Frames) -> Figure:
    figure = figure_for("breakdown", min(2 * len(frames.need("apps")), MOST_SHOWN["breakdown"]))
    plots.breakdown(frames, ax=figure.add_subplot())
    return figure


def _sharing(frames: Frames) -> Figure:
    figure = figure_for("sharing", min(len(frames.need("apps")), MOST_SHOWN["sharing"]))
    plots.sharing(frames, fig=figure)
    return figure


def _pairs(frames: Frames) -> Figure:
    figure = figure_for("shared_bytes", min(len(frames.need("apps")), MOST_SHOWN["shared_bytes"]))
    plots.shared_bytes(frames, ax=figure.add_subplot())
    return figure


def _versions(repository: str, analyse: Callable[[], pd.DataFrame]) -> Picture:
    def make() -> Figure:
        savings = analyse()
        figure = figure_for("version_savings", len(savings))
        plots.version_savings(savings, ax=figure.add_subplot())
        return figure

    return Picture(f"What each version of {repository} costs", make)


# A fleet ---------------------------------------------------------------------------------------


def pictures_of_fleet(fleet: Fleet) -> list[Picture]:
    """Choose the plots for a fleet."""
    versions = fleet.versions()
    if not len(versions):
        return []
    found: list[Picture] = []
    if len(fleet.hosts) > 1:
        found = [
            Picture("What one cache for all would save", partial(_drawn, plots.shared_cache, fleet)),
            Picture("What each pair of hosts has in common", partial(_drawn, plots.host_overlap, fleet)),
            Picture("What a warm image would save", partial(_drawn, plots.prewarm, fleet)),
            Picture("On how many hosts each version is", partial(_drawn, plots.version_tail, fleet)),
        ]
    counted = repositories_of(versions)
    several = counted[counted["version_count"] > 1]["repository"].head(MOST_REPOSITORIES).astype(str)
    return found + [_versions(name, partial(fleet.version_savings, name)) for name in several]


def fleet_text(fleet: Fleet) -> str:
    """Say in one sentence what there is to save."""
    row = fleet.summary().iloc[0]
    apps = count_text(int(row["app_count"]), "app")
    names = ("logical_bytes", "stored_bytes", "distinct_bytes", "shared_cache_saved_bytes")
    logical, stored, distinct, saved = (size_text(int(row[name])) for name in names)
    if len(fleet.hosts) < 2:
        return f"{apps} would need {logical} if none shared; {stored} are stored."
    return (
        f"{apps} on {len(fleet.hosts)} hosts: {stored} are stored, each host on its own; one cache for all "
        f"would hold {distinct} and save {saved}."
    )


def _drawn(plot: Callable[..., Any], fleet: Fleet) -> Figure:
    figure = figure_for(plot.__name__, min(MOST_SHOWN.get(plot.__name__, 1), len(fleet.hosts)))
    plot(fleet, ax=figure.add_subplot())
    return figure

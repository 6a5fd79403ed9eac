"""The panel over a fleet: its plots, computed and drawn one at a time when they are chosen."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import ipywidgets as widgets
from matplotlib.figure import Figure

from spincache_nb import plots
from spincache_nb.fleet import Fleet
from spincache_nb.plots import svg
from spincache_nb.plots.style import MOST_SHOWN
from spincache_nb.report.material import repositories_of
from spincache_nb.show import count_text, error_text, size_text
from spincache_nb.widgets import parts
from spincache_nb.widgets.worker import Reader

MOST_REPOSITORIES = 20
"""Repositories whose versions are offered; those on most hosts come first."""

_ONLY_READ = "Snapshots can only be looked at. To pull, remove or clear: panel(Cache()), on the host itself."

_GROUND = f"{svg.GROUND}: var(--jp-layout-color1, {svg.LIGHT_GROUND})"

_numbers = itertools.count()
"""What tells the plots on one page apart: a kernel may have several panels."""


@dataclass(frozen=True, slots=True)
class Picture:
    title: str
    make: Callable[[], Figure]

    def html(self, alternative: str) -> str:
        """The plot in the colours of the page's theme, with a text alternative."""
        label = f"{self.title}. {alternative}"
        drawn = svg.following(self.make(), name=f"spincache-{next(_numbers)}", label=label)
        _, dark = svg.variables([drawn])
        style = f"<style>{parts.DARK} figure {{ {dark} }}</style>"
        return f'<figure style="{_GROUND}">{drawn}{style}</figure>'


class FleetPanel(widgets.VBox):  # type: ignore[misc]  # ipywidgets has no types
    """A panel over a fleet; made by `panel`. Snapshots cannot be pulled into, mended or cleared.

    Attributes
    ----------
    choice, picture
        Which plot is shown, and the plot.
    """

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.head, self.alert, self.summary = widgets.HTML(), parts.line(), parts.line()
        self.state, self.picture = parts.line(style="dim"), widgets.HTML()
        self.choice = widgets.Dropdown(
            description="Plot", layout={"width": "560px"}, style={"description_width": "44px"}, disabled=True
        )
        self._pictures: Sequence[Picture] = ()
        self._text = ""
        self._reader = Reader(self._fail)
        above = parts.row(self.choice, self.state)
        tab = widgets.VBox([above, self.summary, self.picture, parts.line(_ONLY_READ, style="dim")])
        self.tabs = widgets.Tab([tab], titles=("Sharing",), selected_index=0)
        super().__init__([parts.style(), self.head, self.alert, self.tabs])
        self.add_class(parts.PANEL_CLASS)
        self.choice.observe(lambda _change: self._draw(), names="index")
        self._show_head("reading")
        self._reader.submit("pictures", lambda: (pictures_of_fleet(fleet), fleet_text(fleet)), self._take)

    def __repr__(self) -> str:
        return f"Panel over a {self.fleet!r}. No widgets here? Its methods and sc.plots do the same."

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until nothing is read or drawn any more; say whether that came in time (seconds)."""
        return self._reader.wait(timeout)

    def close(self) -> None:
        self._reader.close()
        super().close()

    def _take(self, found: tuple[list[Picture], str]) -> None:
        skipped = len(self.fleet.skipped)
        left_out = f", {count_text(skipped, 'snapshot')} left out (see fleet.skipped)" if skipped else ""
        self._show_head(f"{count_text(len(self.fleet.hosts), 'host')}, {self.fleet.engine}{left_out}")
        self._pictures, self._text = found
        parts.say(self.summary, self._text)
        self.choice.disabled = not self._pictures
        self.choice.options = [picture.title for picture in self._pictures]
        self.choice.index = 0 if self._pictures else None

    def _draw(self) -> None:
        parts.say(self.alert, "")
        place = self.choice.index
        if place is not None:
            picture, text = self._pictures[place], self._text
            parts.say(self.state, "Drawing.", style="dim")
            self._reader.submit("picture", lambda: picture.html(text), self._show)

    def _show(self, html: str) -> None:
        self.picture.value = html
        parts.say(self.state, "")

    def _show_head(self, said: str) -> None:
        what = "Fleet of Spin caches" if self.fleet.kind == "cache" else "Registries"
        self.head.value = parts.heading(what, said)

    def _fail(self, fault: BaseException) -> None:
        self._show("")
        parts.say(self.alert, error_text(fault), style="alert", role="alert")


def pictures_of_fleet(fleet: Fleet) -> list[Picture]:
    versions = fleet.versions()
    if not len(versions):
        return []
    of_hosts: dict[str, Callable[..., Any]] = {
        "What one cache for all would save": plots.shared_cache,
        "What each pair of hosts has in common": plots.host_overlap,
        "What a warm image would save": plots.prewarm,
        "On how many hosts each version is": plots.version_tail,
    }
    found = [Picture(title, partial(_of_hosts, plot, fleet)) for title, plot in of_hosts.items()]
    found = found if len(fleet.hosts) > 1 else []
    counted = repositories_of(versions)
    several = counted[counted["version_count"] > 1]["repository"].head(MOST_REPOSITORIES).astype(str)
    return found + [
        Picture(f"What each version of {name} costs", partial(_of_versions, fleet, name)) for name in several
    ]


def fleet_text(fleet: Fleet) -> str:
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


def _of_hosts(plot: Callable[..., Any], fleet: Fleet) -> Figure:
    return _drawn(plot, fleet, min(MOST_SHOWN.get(plot.__name__, 1), len(fleet.hosts)))


def _of_versions(fleet: Fleet, repository: str) -> Figure:
    savings = fleet.version_savings(repository)
    return _drawn(plots.version_savings, savings, len(savings))


def _drawn(plot: Callable[..., Any], source: Any, count: int) -> Figure:
    figure = Figure(figsize=plots.figure_size(plot.__name__, count), layout="constrained")
    plot(source, ax=figure.add_subplot())
    return figure

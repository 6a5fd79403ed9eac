"""The panel over a fleet: its plots. Snapshots cannot be pulled into, mended or cleared."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import ipywidgets as widgets
from matplotlib.figure import Figure

from spincache_nb import plots
from spincache_nb.fleet import Fleet
from spincache_nb.plots import theme
from spincache_nb.report.fleet_material import repositories_of
from spincache_nb.show import count_text, error_text, escaped, size_text
from spincache_nb.widgets import look
from spincache_nb.widgets.pictures import Picture, figure_for, savings_figure
from spincache_nb.widgets.work import Reader

MOST_REPOSITORIES = 20
"""Repositories whose versions are offered: those on most hosts."""

_ONLY_READ = "Snapshots can only be looked at. To pull, remove or clear: panel(Cache()), on the host itself."


class FleetPanel(widgets.VBox):  # type: ignore[misc]  # ipywidgets has no types
    """A panel over a fleet; made by `panel`.

    Parameters
    ----------
    fleet
        Opened by `fleet.open`; it is not closed here.

    Attributes
    ----------
    choice : ipywidgets.Dropdown
        Which plot is shown.
    picture : ipywidgets.HTML
        The plot.
    """

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._pictures: list[Picture] = []
        self._text = ""
        self._reader = Reader(self._fail)
        self._head = widgets.HTML()
        self._alert = look.line()
        self._state = look.line(style="dim")
        self._summary = look.line()
        self.choice = widgets.Dropdown(
            description="Plot", layout={"width": "560px"}, style={"description_width": "44px"}
        )
        self.picture = widgets.HTML()
        above = widgets.HBox([self.choice, self._state], layout={"align_items": "center"})
        tab = widgets.VBox([above, self._summary, self.picture, look.line(_ONLY_READ, style="dim")])
        self._tabs = widgets.Tab([tab], titles=("Sharing",), selected_index=0)
        super().__init__([widgets.HTML(look.STYLE), self._head, self._alert, self._tabs])
        self.add_class(look.PANEL_CLASS)
        self._show_head("reading")
        self.choice.observe(lambda _change: self._draw(), names="index")
        self._reader.submit("pictures", self._look, self._take)

    def __repr__(self) -> str:
        return f"Panel over a {self._fleet!r}. No widgets here? Its methods and sc.plots do the same."

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until nothing is read or drawn any more; say whether that came in time (seconds)."""
        return self._reader.wait(timeout)

    def close(self) -> None:
        """Stop all work and take the panel away; the fleet stays open."""
        self._reader.close()
        super().close()

    def _look(self) -> tuple[list[Picture], str]:
        return pictures_of_fleet(self._fleet), fleet_text(self._fleet)

    def _take(self, found: tuple[list[Picture], str]) -> None:
        self._pictures, self._text = found
        look.say(self._summary, self._text)
        skipped = len(self._fleet.skipped)
        left_out = f", {count_text(skipped, 'snapshot')} left out (see fleet.skipped)" if skipped else ""
        self._show_head(f"{count_text(len(self._fleet.hosts), 'host')}, {self._fleet.engine}{left_out}")
        self.choice.options = titles = [picture.title for picture in self._pictures]
        self.choice.disabled = not titles
        self.choice.value = titles[0] if titles else None

    def _draw(self) -> None:
        place = self.choice.index
        if place is None:
            return
        picture = self._pictures[place]
        look.say(self._alert, "")
        look.say(self._state, "Drawing.", style="dim")
        self._reader.submit("picture", lambda: picture.html(self._text), self._show)

    def _show(self, html: str) -> None:
        self.picture.value = html
        look.say(self._state, "")

    def _show_head(self, said: str) -> None:
        what = "Fleet of Spin caches" if self._fleet.kind == "cache" else "Registries"
        self._head.value = (
            f'<div class="sc-head"><b>{what}</b><span role="status">{escaped(said)}</span></div>'
        )

    def _fail(self, fault: BaseException) -> None:
        self._show("")
        look.say(self._alert, error_text(fault), style="alert", role="alert")


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
    several = counted[counted["version_count"] > 1]
    return found + [
        Picture(f"What each version of {repository} costs", partial(_versions, fleet, repository))
        for repository in several["repository"].head(MOST_REPOSITORIES).astype(str)
    ]


def fleet_text(fleet: Fleet) -> str:
    """Say in one sentence what there is to save."""
    row = fleet.summary().iloc[0]
    apps = count_text(int(row["app_count"]), "app")
    names = ("logical_bytes", "stored_bytes", "distinct_bytes", "shared_cache_saved_bytes")
    logical, stored, distinct, saved = (size_text(int(row[name])) for name in names)
    if len(fleet.hosts) < 2:
        return f"{apps} would need {logical} each on its own; {stored} are stored."
    return (
        f"{apps} on {len(fleet.hosts)} hosts: {stored} are stored, each host on its own; one cache for all "
        f"would hold {distinct} and save {saved}."
    )


def _drawn(plot: Callable[..., Any], fleet: Fleet) -> Figure:
    shown = min(theme.MOST_SHOWN[plot.__name__], len(fleet.hosts))
    figure = figure_for(plot.__name__, shown)
    plot(fleet, ax=figure.add_subplot())
    return figure


def _versions(fleet: Fleet, repository: str) -> Figure:
    return savings_figure(fleet.version_savings(repository))

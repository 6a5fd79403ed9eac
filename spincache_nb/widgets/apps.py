"""The apps of a cache: a list that is sorted, filtered, paged and chosen from, and what removing frees."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from functools import partial
from typing import Any, Literal, NamedTuple

import ipywidgets as widgets
import pandas as pd

from spincache_nb import analysis
from spincache_nb.analysis.inputs import rows
from spincache_nb.frames.bundle import Frames
from spincache_nb.show import count_text, escaped, size_text, time_text
from spincache_nb.widgets import parts
from spincache_nb.widgets.session import Session

ROWS_SHOWN = 12
"""Apps on a page."""

MOST_ROWS = 120
"""Rows that are kept for pages that may be turned back to."""

Order = Literal["reference", "stored_bytes", "freed_bytes", "kept_bytes", "pulled_at"]

COLUMNS: tuple[tuple[Order, str, str], ...] = (
    ("reference", "App", "by name"),
    ("stored_bytes", "Size", "by all bytes that it needs"),
    ("freed_bytes", "Only here", "by the bytes that no other app needs"),
    ("kept_bytes", "Shared", "by the bytes that other apps need as well"),
    ("pulled_at", "Last pulled (UTC)", "by when it was last pulled"),
)

_ARROWS = {True: " \u25bc", False: " \u25b2"}
_NONE = "Select apps to see what removing them frees."


class App(NamedTuple):
    """One app."""

    reference: str
    stored_bytes: int
    freed_bytes: int
    kept_bytes: int
    pulled_at: datetime | None


def apps_of(frames: Frames) -> list[App]:
    """List the apps of a cache with what `analysis.reclaimable` says of each."""
    pulled = dict(rows(frames.need("apps"), "reference", "pulled_at"))
    return [
        App(reference, stored, freed, kept, _moment(pulled.get(reference)))
        for reference, stored, freed, kept in rows(
            analysis.reclaimable(frames), "reference", "stored_bytes", "freed_bytes", "kept_bytes"
        )
    ]


def _moment(value: object) -> datetime | None:
    return value.floor("us").to_pydatetime() if isinstance(value, pd.Timestamp) else None


class AppList:
    """The list, without a widget; `matching` are the apps that the filter shows, in order."""

    def __init__(self, apps: Iterable[App] = (), *, rows_shown: int = ROWS_SHOWN) -> None:
        self.rows_shown = rows_shown
        self.order: Order = "freed_bytes"
        self.descending = True
        self.page = 0
        self.selected: set[str] = set()
        self.matching: list[App] = []
        self._words: list[str] = []
        self.replace(apps)

    def replace(self, apps: Iterable[App]) -> None:
        """Take a new state of the cache; apps that are gone are no longer chosen."""
        self._apps = list(apps)
        self.selected &= {app.reference for app in self._apps}
        self._arrange()

    def sort_by(self, order: Order) -> None:
        """Sort by a column; by the same again turns the order round."""
        same = order == self.order
        self.descending = not self.descending if same else order != "reference"
        self.order, self.page = order, 0
        self._arrange()

    def filter(self, text: str) -> None:
        """Show apps whose reference has every word of a text in it, in any case."""
        self._words, self.page = text.lower().split(), 0
        self._arrange()

    def _arrange(self) -> None:
        found = [app for app in self._apps if all(word in app.reference.lower() for word in self._words)]
        found.sort(key=lambda app: app.reference)
        self.matching = sorted(found, key=self._rank, reverse=self.descending)
        self.page = min(self.page, self.page_count - 1)

    def _rank(self, app: App) -> Any:
        if self.order == "pulled_at":
            return app.pulled_at.timestamp() if app.pulled_at is not None else float("-inf")
        return getattr(app, self.order)

    @property
    def page_count(self) -> int:
        """Number of pages, at least 1."""
        return max(1, -(-len(self.matching) // self.rows_shown))

    def turn(self, pages: int) -> None:
        """Go some pages on, or back, as far as there are any."""
        self.page = max(0, min(self.page + pages, self.page_count - 1))

    def shown(self) -> list[App]:
        """Apps on this page."""
        return self.matching[self.page * self.rows_shown :][: self.rows_shown]

    def place_text(self) -> str:
        """Say which apps are shown."""
        if not self._apps:
            return "no apps"
        if not self.matching:
            return f"none of {len(self._apps):,} apps has that in its name"
        first = self.page * self.rows_shown + 1
        hidden = len(self._apps) - len(self.matching)
        others = f" ({hidden:,} hidden)" if hidden else ""
        return f"{first:,} to {first + len(self.shown()) - 1:,} of {len(self.matching):,}{others}"


class Row:
    """A box to tick and the figures of one app; a row never comes to stand for another app."""

    def __init__(self, reference: str, on_tick: Callable[[str, bool], object]) -> None:
        self.reference = reference
        self.tick = widgets.Checkbox(description=reference, tooltip=reference, indent=False)
        self.cells = widgets.HTML().add_class("sc-cells")
        self.box: Any = widgets.HBox([self.tick, self.cells]).add_class("sc-row").add_class("sc-body")
        self.tick.observe(lambda change: on_tick(reference, bool(change["new"])), names="value")

    def show(self, app: App, *, chosen: bool) -> None:
        """Show the figures of the app."""
        self.tick.value = chosen
        self.cells.value = _cells(app)
        (self.box.add_class if chosen else self.box.remove_class)("sc-chosen")

    def close(self) -> None:
        """Give back what the front end holds of it."""
        for one in (self.box, self.tick, self.cells):
            one.close()


class AppTable:
    """Plain widgets, so that every front end shows it and the keyboard reaches all of it."""

    def __init__(self, apps: AppList, on_change: Callable[[], object]) -> None:
        self.apps = apps
        self._on_change = on_change
        self._rows: dict[str, Row] = {}
        self.filter = widgets.Text(
            description="Filter",
            placeholder="part of a name",
            continuous_update=True,
            layout={"width": "340px"},
            style={"description_width": "44px"},
        )
        self.filter.observe(self._filtered, names="value")
        self.headings = {
            order: parts.button(name, partial(self._sort, order), hint=f"Sort {hint}", wide=True)
            for order, name, hint in COLUMNS
        }
        self.back = parts.button("Previous", lambda: self._turn(-1), hint="Apps before these", wide=True)
        self.on = parts.button("Next", lambda: self._turn(1), hint="Apps after these", wide=True)
        self.place = parts.line(style="dim")
        self.all = parts.button(
            "Select all", self._choose_all, hint="Every app that the filter shows", wide=True
        )
        self.none = parts.button("Select none", self._choose_none, hint="Take the selection back", wide=True)
        header = widgets.HBox(list(self.headings.values())).add_class("sc-row").add_class("sc-header")
        self._grid = widgets.VBox([header]).add_class("sc-table")
        above = widgets.HBox([self.filter, self.all, self.none])
        self.box: Any = widgets.VBox([above, self._grid, parts.row(self.back, self.on, self.place)])
        self.show()

    def show(self) -> None:
        """Show the list as it is now."""
        for order, name, _ in COLUMNS:
            arrow = _ARROWS[self.apps.descending] if order == self.apps.order else ""
            self.headings[order].description = name + arrow
        boxes = tuple(row.box for row in self.rows())
        if self._grid.children[1:] != boxes:
            self._grid.children = (self._grid.children[0], *boxes)
        self.back.disabled = self.apps.page == 0
        self.on.disabled = self.apps.page + 1 >= self.apps.page_count
        self.all.disabled = not self.apps.matching
        self.none.disabled = not self.apps.selected
        parts.say(self.place, self.apps.place_text(), style="dim")

    def rows(self) -> list[Row]:
        """Rows on this page, with the figures of now."""
        shown = self.apps.shown()
        for app in shown:
            row = self._rows.pop(app.reference, None) or Row(app.reference, self._tick)
            self._rows[app.reference] = row  # the last ones are those that were shown last
            row.show(app, chosen=app.reference in self.apps.selected)
        while len(self._rows) > MOST_ROWS:
            self._rows.pop(next(iter(self._rows))).close()
        return [self._rows[app.reference] for app in shown]

    def _changed(self) -> None:
        self.show()
        self._on_change()

    def _tick(self, reference: str, chosen: bool) -> None:
        if chosen != (reference in self.apps.selected):
            self.apps.selected ^= {reference}
            self._changed()

    def _filtered(self, change: Any) -> None:
        self.apps.filter(change["new"])
        self.show()

    def _sort(self, order: Order) -> None:
        self.apps.sort_by(order)
        self.show()

    def _turn(self, pages: int) -> None:
        self.apps.turn(pages)
        self.show()

    def _choose_all(self) -> None:
        self.apps.selected.update(app.reference for app in self.apps.matching)
        self._changed()

    def _choose_none(self) -> None:
        self.apps.selected.clear()
        self._changed()


def _cells(app: App) -> str:
    texts = (
        (size_text(app.stored_bytes), "size"),
        (size_text(app.freed_bytes), "only here"),
        (size_text(app.kept_bytes), "shared"),
        (time_text(app.pulled_at, "minute") or "unknown", "last pulled, UTC"),
    )
    cells = "".join(f'<span title="{name}">{escaped(text)}</span>' for text, name in texts)
    return f'<div class="sc-grid">{cells}</div>'


class AppsTab:
    """The list of apps, the figure for those that are chosen, and the way to remove them."""

    def __init__(self, session: Session, on_remove: Callable[[], object]) -> None:
        self.session = session
        self.apps = AppList()
        self.table = AppTable(self.apps, session.guarded(self._chosen))
        self.freed = parts.line(_NONE)
        hint = "Show what would go, then ask"
        self.remove = parts.button("Remove selected\u2026", session.guarded(on_remove), hint=hint, wide=True)
        self.refresh = parts.button("Refresh", session.guarded(session.refresh), hint="Read the cache again")
        self.box: Any = widgets.VBox([self.table.box, parts.row(self.remove, self.refresh, self.freed)])
        session.on_frames.append(self._load)
        session.on_selection.append(self._follow)
        session.on_busy.append(lambda is_busy: self._enable())
        self._enable()

    def _follow(self) -> None:
        """Tick what was selected elsewhere."""
        if self.apps.selected != set(self.session.selected):
            self.apps.selected = set(self.session.selected)
            self.table.show()
            self._chosen()

    def _enable(self) -> None:
        self.remove.disabled = self.session.worker.is_busy or not self.apps.selected

    def _load(self) -> None:
        if self.session.frames is not None:
            self.apps.replace(apps_of(self.session.frames))
            self.table.show()
            self._chosen()

    def _chosen(self) -> None:
        chosen, frames = sorted(self.apps.selected), self.session.frames
        self.session.select(chosen)
        self._enable()
        if not chosen or frames is None:
            parts.say(self.freed, _NONE)
            self.session.read("freed", str, lambda _text: None)
            return
        parts.say(self.freed, f"{count_text(len(chosen), 'app')} selected: counting.")
        self.session.read("freed", lambda: freed_text(frames, chosen), partial(parts.say, self.freed))


def freed_text(frames: Frames, references: list[str]) -> str:
    """Say what removing apps frees, and what of them stays."""
    freed = int(analysis.freed_by(frames, references)["stored_bytes"].sum())
    return f"{count_text(len(references), 'app')} selected: removing frees {size_text(freed)}."

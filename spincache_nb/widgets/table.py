"""A table of apps made of plain widgets: every front end shows it, and the keyboard reaches all of it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import ipywidgets as widgets

from spincache_nb.show import escaped, size_text
from spincache_nb.widgets import look
from spincache_nb.widgets.listing import App, AppList, Order

COLUMNS: tuple[tuple[Order, str, str], ...] = (
    ("reference", "App", "by name"),
    ("stored_bytes", "Size", "by all bytes that it needs"),
    ("freed_bytes", "Only here", "by the bytes that no other app needs"),
    ("kept_bytes", "Shared", "by the bytes that other apps need as well"),
    ("pulled_at", "Last pulled (UTC)", "by when it was last pulled"),
)
MOST_ROWS = 120
"""Rows that are kept for pages that may be turned back to."""

_ARROWS = {True: " \u25bc", False: " \u25b2"}


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
    """A filter, headings that sort, rows to tick, and pages."""

    def __init__(self, apps: AppList, on_change: Callable[[], object]) -> None:
        self.apps = apps
        self._on_change = on_change
        self.filter = widgets.Text(
            description="Filter",
            placeholder="part of a name",
            continuous_update=True,
            layout={"width": "340px"},
            style={"description_width": "44px"},
        )
        self.filter.observe(self._filtered, names="value")
        self.headings = {
            order: look.button(name, partial(self._sort, order), hint=f"Sort {hint}", wide=True)
            for order, name, hint in COLUMNS
        }
        self._rows: dict[str, Row] = {}
        self.back = look.button("Previous", lambda: self._turn(-1), hint="Apps before these", wide=True)
        self.on = look.button("Next", lambda: self._turn(1), hint="Apps after these", wide=True)
        self.place = look.line(style="dim")
        self.all = look.button(
            "Select all", self._choose_all, hint="Every app that the filter shows", wide=True
        )
        self.none = look.button("Select none", self._choose_none, hint="Take the selection back", wide=True)
        above = widgets.HBox([self.filter, self.all, self.none])
        header = widgets.HBox(list(self.headings.values())).add_class("sc-row").add_class("sc-header")
        self._grid = widgets.VBox([header]).add_class("sc-table")
        below = widgets.HBox([self.back, self.on, self.place], layout={"align_items": "center"})
        self.box: Any = widgets.VBox([above, self._grid, below])
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
        look.say(self.place, self.apps.place_text(), style="dim")

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
            self.apps.choose(reference, chosen=chosen)
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
        self.apps.choose_matching()
        self._changed()

    def _choose_none(self) -> None:
        self.apps.selected.clear()
        self._changed()


def _cells(app: App) -> str:
    pulled = f"{app.pulled_at:%Y-%m-%d %H:%M}" if app.pulled_at is not None else "unknown"
    texts = (
        (size_text(app.stored_bytes), "size"),
        (size_text(app.freed_bytes), "only here"),
        (size_text(app.kept_bytes), "shared"),
        (pulled, "last pulled, UTC"),
    )
    cells = "".join(f'<span title="{name}">{escaped(text)}</span>' for text, name in texts)
    return f'<div class="sc-grid">{cells}</div>'

"""The apps of a cache: a list that is sorted, filtered, paged and chosen from, and what removing frees."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Literal, NamedTuple

import ipywidgets as widgets
import pandas as pd

from spincache_nb import analysis
from spincache_nb.analysis.inputs import short_references
from spincache_nb.analysis.versions import versions_of
from spincache_nb.core.cache import Cache
from spincache_nb.errors import SpinCacheError
from spincache_nb.frames.tables import Frames
from spincache_nb.show import (
    Column,
    Table,
    columns,
    count_text,
    escaped,
    more_text,
    rows,
    shorten,
    size_text,
    time_text,
)
from spincache_nb.widgets import parts
from spincache_nb.widgets.session import Session

ROWS_SHOWN = 12

LONGEST_NAME = 64
"""Letters of a name in the table; a longer one loses its middle."""

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

MOST_LISTED, MOST_NAMED = 60, 3

_COMPONENTS = columns("component", "source_bytes: Binary", "file_count", "files_bytes: Their size")
_NAME = Column("name", "File", longest=LONGEST_NAME)
_USED = columns(_NAME, "digest: Blob", "stored_bytes: Size", "via: Needed as", "others: Others who need it")
_SIDES = (Column("bytes_a", "Before", "size"), Column("bytes_b", "Now", "size"))
_CHANGED = columns("what", "component", "name", "status", *_SIDES)
_GRAINS = columns(
    "grain: Shared by",
    "reused_bytes: Would be re-used",
    "reused_share: Share",
    "index_bytes: Its list of digests",
)
_ARROWS = {True: " \u25bc", False: " \u25b2"}
_NONE = "Select apps to see what removing them frees."


class App(NamedTuple):
    reference: str
    stored_bytes: int
    freed_bytes: int
    kept_bytes: int
    pulled_at: datetime | None


def apps_of(frames: Frames) -> list[App]:
    """List the apps of a cache with what `analysis.reclaimable` says of each."""
    pulled = dict(rows(frames.need("apps"), "reference", "pulled_at"))
    found = rows(analysis.reclaimable(frames), "reference", "stored_bytes", "freed_bytes", "kept_bytes")
    return [App(name, stored, freed, kept, _moment(pulled.get(name))) for name, stored, freed, kept in found]


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
        self.page = max(0, min(self.page + pages, self.page_count - 1))

    def shown(self) -> list[App]:
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
        name = shorten(reference, LONGEST_NAME)
        self.tick = widgets.Checkbox(description=name, tooltip=reference, indent=False)
        self.cells = widgets.HTML().add_class("sc-cells")
        self.box: Any = widgets.HBox([self.tick, self.cells]).add_class("sc-row").add_class("sc-body")
        self.tick.observe(lambda change: on_tick(reference, bool(change["new"])), names="value")

    def show(self, app: App, *, chosen: bool) -> None:
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
        self.filter.observe(lambda change: self._then_show(apps.filter, change["new"]), names="value")
        button = partial(parts.button, wide=True)
        self.headings = {
            order: button(name, partial(self._then_show, apps.sort_by, order), hint=f"Sort {hint}")
            for order, name, hint in COLUMNS
        }
        self.back = button("Previous", partial(self._then_show, apps.turn, -1), hint="Apps before these")
        self.on = button("Next", partial(self._then_show, apps.turn, 1), hint="Apps after these")
        self.place = parts.line(style="dim")
        self.all = button("Select all", self._choose_all, hint="Every app that the filter shows")
        self.none = button("Select none", self._choose_none, hint="Take the selection back")
        header = widgets.HBox(list(self.headings.values())).add_class("sc-row").add_class("sc-header")
        self._grid = widgets.VBox([header]).add_class("sc-table")
        above = widgets.HBox([self.filter, self.all, self.none])
        self.box: Any = widgets.VBox([above, self._grid, parts.row(self.back, self.on, self.place)])
        self.show()

    def show(self) -> None:
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

    def _then_show(self, action: Callable[[Any], object], value: Any) -> None:
        action(value)
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
    acts = "".join(
        parts.app_name(app.reference, action.capitalize(), action=action) for action in ("open", "update")
    )
    return f'<div class="sc-grid">{cells}<span>{acts}</span></div>'


class AppsTab:
    """The list of apps, the figure for those that are chosen, what is in one, and the way to remove them."""

    def __init__(
        self, session: Session, on_remove: Callable[[], object], on_update: Callable[[], object]
    ) -> None:
        self.session = session
        self.apps = AppList()
        self.table = AppTable(self.apps, session.guarded(self._chosen))
        self.freed = parts.line(_NONE)
        button = session.button
        self.remove = button("Remove selected\u2026", on_remove, "Show what would go, then ask", wide=True)
        self.update = button("Update", on_update, "Pull the selected apps again")
        self.open = button("Open", self._open, "What is in the selected app")
        self.refresh = button("Refresh", session.refresh, "Read the cache again")
        self.opened = widgets.HTML().add_class("sc-scroll").add_class("sc-opened")
        self.actions = parts.row(self.open, self.update, self.remove, self.refresh, self.freed)
        self.box: Any = widgets.VBox([self.table.box, self.actions, self.opened])
        session.on_frames.append(self._load)
        session.on_selection.append(self._follow)
        session.on_busy.append(lambda is_busy: self._enable())
        self._enable()

    def _follow(self) -> None:
        if self.apps.selected != set(self.session.selected):
            self.apps.selected = set(self.session.selected)
            self.table.show()
            self._chosen()

    def _enable(self) -> None:
        self.remove.disabled = self.session.worker.is_busy or not self.apps.selected
        self.update.disabled = self.remove.disabled
        self.open.disabled = len(self.apps.selected) != 1

    def _open(self) -> None:
        (reference,) = self.apps.selected
        self.open_app(reference)

    def open_app(self, reference: str) -> None:
        cache, frames = self.session.cache, self.session.frames
        if frames is None:
            return
        self.session.select([reference])
        self.opened.value = "Reading."

        def show(found: tuple[str, pd.DataFrame | None]) -> None:
            self.opened.value, changed = found
            self.session.focus("sc-opened")
            if changed is not None:
                self.session.read("opened", lambda: found[0] + why_html(cache, changed), finish)

        def finish(html: str) -> None:
            self.opened.value = html

        self.session.read("opened", lambda: opened_html(frames, reference), show)

    def _load(self) -> None:
        if self.session.frames is not None:
            self.opened.value = ""
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


def opened_html(frames: Frames, reference: str) -> tuple[str, pd.DataFrame | None]:
    """Show what is in an app, who else needs each part, and what changed since the version before.

    The second value is what changed, as `analysis.compare` gives it: why it did takes longer to find out.
    """
    mine = frames.need("components")
    mine = mine[mine["reference"] == reference]
    found = [f"<h4>{escaped(reference)}</h4>", Table(mine, _COMPONENTS, most=MOST_LISTED).html()]
    found.append(Table(_used(frames, mine, reference), _USED, most=MOST_LISTED).html())
    versions = next((names for names in versions_of(frames).values() if reference in names), [reference])
    place = versions.index(reference)
    if not place:
        return "".join([*found, "<p>No version before it is in the cache.</p>"]), None
    before = versions[place - 1]
    table = analysis.compare(frames, before, reference)
    table = table[table["status"] != "same"]
    found.append(f"<h4>Since {parts.app_name(before)}</h4>")
    found.append(Table(table, _CHANGED, most=MOST_LISTED).html() or "<p>Nothing changed.</p>")
    return "".join(found), table


def _used(frames: Frames, components: pd.DataFrame, reference: str) -> list[tuple[Any, ...]]:
    """Give the blobs that an app needs, largest first: what the app calls each, and who else needs it."""
    files, uses = frames.need("files"), frames.need("uses")
    files = files[(files["reference"] == reference) & files["digest"].notna()]
    names = {
        digest: f"{component}.wasm" for component, digest in rows(components, "component", "source_digest")
    }
    names |= dict(rows(files, "digest", "path"))
    mine = uses[uses["user"] == reference].drop_duplicates("digest")
    mine = mine.sort_values(["stored_bytes", "digest"], ascending=[False, True])
    others = uses[uses["digest"].isin(mine["digest"]) & (uses["user"] != reference)]
    users = {digest: sorted(set(found)) for digest, found in others.groupby("digest", observed=True)["user"]}
    return [
        (names.get(digest, ""), digest, size, via, _named(users.get(digest, ())))
        for digest, size, via in rows(mine, "digest", "stored_bytes", "via")
    ]


def _named(users: Sequence[str]) -> str:
    short = sorted(short_references(users).values())
    return ", ".join([*short[:MOST_NAMED], *filter(None, [more_text(len(short), MOST_NAMED)])]) or "nobody"


def why_html(cache: Cache, table: pd.DataFrame) -> str:
    """Say of the largest binary that changed which parts did, and what sharing these would have saved."""
    changed = table[(table["status"] == "changed") & table["digest_a"].notna() & table["digest_b"].notna()]
    changed = changed.sort_values("bytes_b", ascending=False)
    for old, new, name in rows(changed, "digest_a", "digest_b", "name"):
        try:
            parts_of = analysis.why_changed(old, new, cache=cache)
            grains = analysis.grains(old, new, cache=cache)
        except (SpinCacheError, OSError):
            continue  # no WebAssembly, or not stored: the next one may be
        if len(parts_of):
            parts_named = [Column(column, column.replace("_", " ")) for column in list(parts_of.columns)[:6]]
            return (
                f"<h4>Why {escaped(name or 'it')} changed</h4>{Table(parts_of, parts_named, most=20).html()}"
                "<h4>What finer grains would have saved</h4><p>Spin fetches whole files. Of smaller pieces, "
                f"these were there already.</p>{Table(grains, _GRAINS).html()}"
            )
    return ""


def freed_text(frames: Frames, references: list[str]) -> str:
    freed = int(analysis.freed_by(frames, references)["stored_bytes"].sum())
    return f"{count_text(len(references), 'app')} selected: removing frees {size_text(freed)}."

"""The apps of a cache as a list that is sorted, filtered, paged and chosen from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import pandas as pd

from spincache_nb import analysis
from spincache_nb.frames import Frames
from spincache_nb.show import rows

ROWS_SHOWN = 12
"""Apps on a page."""

Order = Literal["reference", "stored_bytes", "freed_bytes", "kept_bytes", "pulled_at"]


@dataclass(frozen=True, slots=True)
class App:
    """One app."""

    reference: str
    stored_bytes: int
    freed_bytes: int
    kept_bytes: int
    pulled_at: datetime | None


def apps_of(frames: Frames) -> list[App]:
    """List the apps of a cache with what `analysis.reclaimable` says of each."""
    pulled = dict(rows(frames.need("apps"), "reference", "pulled_at"))
    columns = ("reference", "stored_bytes", "freed_bytes", "kept_bytes")
    return [
        App(reference, stored, freed, kept, _moment(pulled.get(reference)))
        for reference, stored, freed, kept in rows(analysis.reclaimable(frames), *columns)
    ]


def _moment(value: object) -> datetime | None:
    return value.floor("us").to_pydatetime() if isinstance(value, pd.Timestamp) else None


class AppList:
    """The list, without a widget."""

    def __init__(self, apps: Iterable[App] = (), *, rows_shown: int = ROWS_SHOWN) -> None:
        self.rows_shown = rows_shown
        self.order: Order = "freed_bytes"
        self.descending = True
        self.page = 0
        self.selected: set[str] = set()
        self._words: tuple[str, ...] = ()
        self._apps: list[App] = []
        self._matching: list[App] = []
        self.replace(apps)

    def __len__(self) -> int:
        return len(self._apps)

    def replace(self, apps: Iterable[App]) -> None:
        """Take a new state of the cache; apps that are gone are no longer chosen."""
        self._apps = list(apps)
        self.selected &= {app.reference for app in self._apps}
        self._arrange()

    def sort_by(self, order: Order) -> None:
        """Sort by a column; by the same again turns the order round."""
        if order == self.order:
            self.descending = not self.descending
        else:
            self.order, self.descending = order, order != "reference"
        self.page = 0
        self._arrange()

    def filter(self, text: str) -> None:
        """Show apps whose reference has every word of a text in it, in any case."""
        self._words = tuple(text.lower().split())
        self.page = 0
        self._arrange()

    def _arrange(self) -> None:
        matching = [app for app in self._apps if all(word in app.reference.lower() for word in self._words)]
        matching.sort(key=lambda app: app.reference)
        if self.order == "pulled_at":
            matching.sort(key=_pulled, reverse=self.descending)
        else:
            matching.sort(key=lambda app: getattr(app, self.order), reverse=self.descending)
        self._matching = matching
        self.page = min(self.page, self.page_count - 1)

    @property
    def matching(self) -> Sequence[App]:
        """All apps that the filter shows, in order."""
        return self._matching

    @property
    def page_count(self) -> int:
        """Number of pages, at least 1."""
        return max(1, -(-len(self._matching) // self.rows_shown))

    def turn(self, pages: int) -> None:
        """Go some pages on, or back, as far as there are any."""
        self.page = max(0, min(self.page + pages, self.page_count - 1))

    def shown(self) -> Sequence[App]:
        """Apps on this page."""
        return self._matching[self.page * self.rows_shown :][: self.rows_shown]

    def choose(self, reference: str, *, chosen: bool) -> None:
        """Add an app to those that are chosen, or take it away."""
        if chosen:
            self.selected.add(reference)
        else:
            self.selected.discard(reference)

    def choose_matching(self) -> None:
        """Choose every app that the filter shows, on all pages."""
        self.selected.update(app.reference for app in self._matching)

    def place_text(self) -> str:
        """Say which apps are shown."""
        if not self._apps:
            return "no apps"
        if not self._matching:
            return f"none of {len(self._apps):,} apps has that in its name"
        first = self.page * self.rows_shown + 1
        last = first + len(self.shown()) - 1
        hidden = len(self._apps) - len(self._matching)
        others = f" ({hidden:,} hidden)" if hidden else ""
        return f"{first:,} to {last:,} of {len(self._matching):,}{others}"


def _pulled(app: App) -> float:
    return app.pulled_at.timestamp() if app.pulled_at is not None else float("-inf")

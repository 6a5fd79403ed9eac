"""What reports are put together from, before they are HTML, Markdown or JSON."""

from __future__ import annotations

from dataclasses import dataclass

from spincache_nb.errors import printable
from spincache_nb.report.figures import Plot
from spincache_nb.report.tables import Table

MOST_ROWS = 15
"""Rows of a table that ranks; what comes after them is counted."""

MOST_LISTED = 200
"""Rows of a table that lists."""


@dataclass(frozen=True, slots=True)
class Fact:
    """A number in large type, and what it is."""

    value: str
    name: str


@dataclass(frozen=True, slots=True)
class Reading:
    """A plot, or none where only words are left, and what it says."""

    plot: Plot | None
    text: str


@dataclass(frozen=True, slots=True)
class Listing:
    """A table and what it is called."""

    caption: str
    table: Table


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a report."""

    name: str
    title: str
    lead: str
    readings: tuple[Reading, ...] = ()
    listings: tuple[Listing, ...] = ()


def heading(title: str) -> str:
    """Make a title fit for any form."""
    return printable(title)

"""Frames as tables of text for a page: sizes with units, times in UTC, short digests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pandas as pd

from spincache_nb.analysis.inputs import rows
from spincache_nb.errors import printable
from spincache_nb.plots.text import share_text, size_text


@dataclass(frozen=True, slots=True)
class Column:
    """A column: where its values come from and how they are shown.

    Parameters
    ----------
    name
        In the frame.
    heading
        For people.
    show
        Makes text of a value that is not missing.
    number
        Whether it is aligned as numbers are.
    code
        Whether it is set in a fixed pitch: digests, paths, references.
    """

    name: str
    heading: str
    show: Callable[[Any], str] = str
    number: bool = False
    code: bool = False


@dataclass(frozen=True, slots=True)
class Cell:
    """Text of a cell, the whole of it where that is longer, and how it is set."""

    text: str
    whole: str
    style: str


@dataclass(frozen=True, slots=True)
class Table:
    """A table for the template.

    Parameters
    ----------
    headings
        Text and style of each.
    lines
        Cells, row by row.
    more
        How many rows were left out.
    """

    headings: tuple[Cell, ...]
    lines: tuple[tuple[Cell, ...], ...]
    more: int


def size_column(name: str, heading: str) -> Column:
    """Column of bytes."""
    return Column(name, heading, size_text, number=True)


def count_column(name: str, heading: str) -> Column:
    """Column of numbers."""
    return Column(name, heading, number=True)


def short_digest(digest: str) -> str:
    """Shorten a digest to twelve digits.

    Examples
    --------
    >>> short_digest("sha256:" + "ab" * 32)
    'abababababab'
    """
    return digest.removeprefix("sha256:")[:12]


def day(value: datetime) -> str:
    """Show the day of a time, in UTC."""
    return f"{value:%Y-%m-%d}"


APPS = (
    Column("reference", "App", code=True),
    Column("kind", "Kind"),
    Column("name", "Name"),
    Column("version", "Version"),
    Column("created_at", "Created (UTC)", day),
    count_column("component_count", "Components"),
    count_column("layer_count", "Layers"),
    size_column("stored_bytes", "Stored"),
)
SHARING = (
    Column("names", "Known as"),
    Column("digest", "Digest", short_digest, code=True),
    size_column("stored_bytes", "Size"),
    count_column("user_count", "Users"),
    count_column("manifest_count", "Manifests"),
    size_column("saved_bytes", "Saved"),
)
SAVINGS = (
    Column("repository", "Repository", code=True),
    Column("tag", "Version", code=True),
    size_column("total_bytes", "Total"),
    size_column("reused_bytes", "Reused"),
    size_column("fetch_bytes", "Fetched"),
    Column("saved_share", "Saved", share_text, number=True),
)
PROBLEMS = (
    Column("kind", "Problem"),
    Column("path", "Where", code=True),
    Column("reference", "App", code=True),
    Column("detail", "Detail"),
    Column("remedy", "Remedy"),
)


def make_table(frame: pd.DataFrame, columns: Sequence[Column], *, most: int | None = None) -> Table:
    """Make a table of a frame.

    Parameters
    ----------
    frame
        What there is.
    columns
        What is shown of it.
    most
        Rows to show at most; all of them if not given.
    """
    shown = frame if most is None else frame.head(most)
    values = list(rows(shown, *(column.name for column in columns)))
    return Table(
        tuple(Cell(column.heading, "", _style(column)) for column in columns),
        tuple(
            tuple(_cell(value, column) for value, column in zip(row, columns, strict=True)) for row in values
        ),
        len(frame) - len(shown),
    )


def _cell(value: Any, column: Column) -> Cell:
    text = "" if value is None else printable(column.show(value))
    whole = "" if value is None else printable(str(value))
    return Cell(text, whole if column.show is short_digest else "", _style(column))


def _style(column: Column) -> str:
    return " ".join(name for name, holds in (("number", column.number), ("code", column.code)) if holds)

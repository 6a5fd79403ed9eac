"""Frames as tables of text for a page: sizes with units, times in UTC, short digests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pandas as pd

from spincache_nb.analysis.inputs import rows
from spincache_nb.errors import printable
from spincache_nb.show import share_text, short_digests, size_text


@dataclass(frozen=True, slots=True)
class Column:
    """A column: where its values come from and how they are shown."""

    name: str
    heading: str
    show: Callable[[Any], str] = str
    number: bool = False
    code: bool = False
    digest: bool = False
    longest: int = 160


@dataclass(frozen=True, slots=True)
class Cell:
    """Text of a cell, the whole of it where that is longer, and how it is set."""

    text: str
    whole: str
    style: str


@dataclass(frozen=True, slots=True)
class Table:
    """A table for the template."""

    headings: tuple[Cell, ...]
    lines: tuple[tuple[Cell, ...], ...]
    more: int


def size_column(name: str, heading: str) -> Column:
    """Column of bytes."""
    return Column(name, heading, size_text, number=True)


def count_column(name: str, heading: str) -> Column:
    """Column of numbers."""
    return Column(name, heading, number=True)


def digest_column(name: str, heading: str) -> Column:
    """Column of digests."""
    return Column(name, heading, code=True, digest=True)


def text_column(name: str, heading: str) -> Column:
    """Column of sentences, which are shown whole."""
    return Column(name, heading, longest=700)


def day(value: datetime) -> str:
    """Show the day of a time, in UTC."""
    return f"{value:%Y-%m-%d}"


def minute(value: datetime) -> str:
    """Show a time to the minute, in UTC."""
    return f"{value:%Y-%m-%d %H:%M}"


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
BREAKDOWN = (
    Column("label", "What"),
    Column("kind", "Kind"),
    count_column("user_count", "Users"),
    count_column("file_count", "Files"),
    size_column("stored_bytes", "On disk"),
    Column("share", "Share", share_text, number=True),
)
SHARING = (
    Column("names", "Known as"),
    digest_column("digest", "Digest"),
    size_column("stored_bytes", "Size"),
    count_column("user_count", "Users"),
    count_column("manifest_count", "Manifests"),
    size_column("saved_bytes", "Saved"),
)
REPOSITORIES = (
    Column("repository", "Repository", code=True),
    count_column("version_count", "Versions"),
    size_column("total_bytes", "Total"),
    size_column("fetch_bytes", "Fetched"),
    size_column("saved_bytes", "Saved"),
    Column("saved_share", "Share", share_text, number=True),
)
SAVINGS = (
    Column("repository", "Repository", code=True),
    Column("tag", "Version", code=True),
    size_column("total_bytes", "Total"),
    size_column("reused_bytes", "Reused"),
    size_column("fetch_bytes", "Fetched"),
    Column("saved_share", "Saved", share_text, number=True),
)
RECLAIMABLE = (
    Column("reference", "App", code=True),
    size_column("stored_bytes", "Needs"),
    size_column("freed_bytes", "Freed"),
    size_column("kept_bytes", "Stays"),
)
SUPERSEDED = (
    Column("repository", "Repository", code=True),
    Column("last", "Stays", code=True),
    count_column("old_count", "Old versions"),
    size_column("freed_bytes", "Freed"),
)
TAGS = (
    Column("reference", "App", code=True),
    Column("first_pulled_at", "From (UTC)", minute),
    digest_column("manifest_digest", "Manifest"),
    count_column("pull_count", "Pulls"),
)
GRAINS = (
    Column("grain", "Grain"),
    size_column("total_bytes", "Total"),
    size_column("reused_bytes", "Repeated"),
    Column("reused_share", "Share", share_text, number=True),
    count_column("piece_count", "Pieces"),
    size_column("index_bytes", "Index"),
)
REBUILDS = (
    Column("to", "App", code=True),
    Column("component", "Component"),
    digest_column("old_digest", "Before"),
    digest_column("new_digest", "Now"),
    text_column("detail", "Verdict"),
)
PROBLEMS = (
    Column("kind", "Problem"),
    Column("path", "Where", code=True),
    Column("reference", "App", code=True),
    text_column("detail", "Detail"),
    text_column("remedy", "Remedy"),
)


def make_table(frame: pd.DataFrame, columns: Sequence[Column], *, most: int | None = None) -> Table:
    """Make a table of a frame."""
    shown = frame if most is None else frame.head(most)
    places = [_shown_column([value for (value,) in rows(shown, column.name)], column) for column in columns]
    return Table(
        tuple(Cell(column.heading, "", _style(column)) for column in columns),
        tuple(zip(*places, strict=True)),
        len(frame) - len(shown),
    )


def _shown_column(values: Sequence[Any], column: Column) -> list[Cell]:
    short = (
        short_digests((value for value in values if value is not None), at_least=12) if column.digest else {}
    )
    return [_cell(value, short.get(value) if column.digest else None, column) for value in values]


def _cell(value: Any, short: str | None, column: Column) -> Cell:
    if value is None:
        return Cell("", "", _style(column))
    whole = printable(str(value))
    text = short if short is not None else printable(column.show(value))
    cut = short is not None and short != whole
    if len(text) > column.longest:
        text, cut = f"{text[: column.longest - 41]}…{text[-40:]}", True
    return Cell(text, whole if cut else "", _style(column))


def _style(column: Column) -> str:
    return " ".join(name for name, holds in (("number", column.number), ("code", column.code)) if holds)

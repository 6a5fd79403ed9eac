"""Rows as a table that fits the terminal: columns are shortened first, then the least needed left out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from spincache_nb.cli import cells

_GAP = "  "


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table."""

    name: str
    heading: str
    show: Callable[[Any], str] = cells.text
    right: bool = False
    shortest: int | None = None
    cut: cells.Cut = "end"
    rank: int = 0


def reference_column(name: str = "reference", heading: str = "REFERENCE") -> Column:
    """Column of references, whose end tells most."""
    return Column(name, heading, shortest=20, cut="start")


def digest_column(name: str = "digest", heading: str = "DIGEST", rank: int = 0) -> Column:
    """Column of digests, of which a few digits are enough to tell them apart."""
    return Column(name, heading, shortest=16, rank=rank)


def size_column(name: str, heading: str, rank: int = 0) -> Column:
    """Column of bytes."""
    return Column(name, heading, cells.size, right=True, rank=rank)


def count_column(name: str, heading: str, rank: int = 0) -> Column:
    """Column of numbers."""
    return Column(name, heading, right=True, rank=rank)


def time_column(name: str, heading: str, rank: int = 0) -> Column:
    """Column of times, in UTC."""
    return Column(name, f"{heading} (UTC)", cells.time, rank=rank)


def render(
    records: Iterable[Mapping[str, Any]],
    columns: Sequence[Column],
    *,
    width: int | None = None,
    mark: str = "…",
) -> list[str]:
    """Set records as a table."""
    shown = [[cells.text(column.show(record[column.name])) for column in columns] for record in records]
    widths = [
        max(cells.width(row[place]) for row in [[column.heading for column in columns], *shown])
        for place, column in enumerate(columns)
    ]
    kept = _kept(columns, widths, width)
    fitted = _fitted(columns, widths, kept, width)
    heading = [column.heading for column in columns]
    return [
        _GAP.join(_cell(row[place], columns[place], fitted[place], mark) for place in kept).rstrip()
        for row in [heading, *shown]
    ]


def _least(column: Column, natural: int) -> int:
    return natural if column.shortest is None else min(natural, max(column.shortest, len(column.heading)))


def _total(widths: Iterable[int]) -> int:
    widths = list(widths)
    return sum(widths) + len(_GAP) * max(0, len(widths) - 1)


def _kept(columns: Sequence[Column], widths: Sequence[int], width: int | None) -> list[int]:
    """Places of the columns for which there is room when they are as short as they may be."""
    kept = list(range(len(columns)))
    while width is not None and _total(_least(columns[p], widths[p]) for p in kept) > width:
        droppable = [place for place in kept if columns[place].rank]
        if not droppable:
            break
        kept.remove(max(droppable, key=lambda place: (columns[place].rank, place)))
    return kept


def _fitted(
    columns: Sequence[Column], widths: Sequence[int], kept: Sequence[int], width: int | None
) -> list[int]:
    """Widths after the widest columns gave way."""
    fitted = list(widths)
    while width is not None and _total(fitted[place] for place in kept) > width:
        giving = [place for place in kept if fitted[place] > _least(columns[place], widths[place])]
        if not giving:
            break
        fitted[max(giving, key=lambda place: fitted[place] - _least(columns[place], widths[place]))] -= 1
    return fitted


def _cell(shown: str, column: Column, columns: int, mark: str) -> str:
    cut = cells.shorten(shown, columns, cut=column.cut, mark=mark)
    padding = " " * (columns - cells.width(cut))
    return padding + cut if column.right else cut + padding

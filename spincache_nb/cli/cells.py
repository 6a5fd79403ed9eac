"""One value as a person reads it."""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime
from typing import Any, Literal

from spincache_nb.errors import printable

KIB = 1 << 10
MIB = 1 << 20
GIB = 1 << 30
Cut = Literal["start", "middle", "end"]


def text(value: Any) -> str:
    """Show any text on one line, control characters escaped; nothing for a missing value."""
    return "" if value is None else printable(str(value))


def size(value: int | None) -> str:
    """Show a number of bytes."""
    if value is None:
        return "?"
    if value < KIB:
        return f"{value} B"
    for unit, name in ((KIB, "KiB"), (MIB, "MiB")):
        if round(value / unit, 1) < KIB:
            return f"{value / unit:.1f} {name}"
    return f"{value / GIB:.1f} GiB"


def share(value: float | None) -> str:
    """Show a part of a whole."""
    return "-" if value is None else f"{100 * value:.1f} %"


def seconds(value: float | None) -> str:
    """Show a duration."""
    return "" if value is None else f"{value:.2f} s"


def time(value: datetime | None) -> str:
    """Show a time to the second, in UTC; the heading says so."""
    return "" if value is None else f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def yes(value: bool | None) -> str:
    """Show a flag."""
    return "" if value is None else "yes" if value else "no"


def width(shown: str) -> int:
    """Columns that a text takes in a terminal."""
    if shown.isascii():
        return len(shown)
    return sum(_columns(character) for character in shown)


def _columns(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def shorten(shown: str, columns: int, *, cut: Cut = "end", mark: str = "…") -> str:
    """Make a text fit."""
    if width(shown) <= columns:
        return shown
    left = columns - width(mark)
    if left <= 0:
        return _taken(shown, columns)
    if cut == "start":
        return mark + _taken(shown[::-1], left)[::-1]
    if cut == "end":
        return _taken(shown, left) + mark
    return _taken(shown, left // 3) + mark + _taken(shown[::-1], left - left // 3)[::-1]


def _taken(shown: str, columns: int) -> str:
    """Start of a text that takes at most so many columns."""
    used = 0
    for position, character in enumerate(shown):
        used += _columns(character)
        if used > columns:
            return shown[:position]
    return shown

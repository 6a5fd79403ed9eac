"""Text and numbers for plots: sizes with units, and names that can do no harm.

A name from a registry or a path of a project may hold ``$`` (which starts mathematics in
matplotlib), line breaks, characters that reorder the line, or characters that the font lacks (which
matplotlib warns about). All of these are escaped.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache

import matplotlib as mpl
from matplotlib import font_manager

from spincache_nb.analysis.labels import short_references

UNITS = (("TiB", 2**40), ("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10))
LONGEST_NAME = 36


def unit_for(most: float) -> tuple[str, int]:
    """Choose the unit of an axis.

    Parameters
    ----------
    most
        Largest number of bytes on the axis.

    Returns
    -------
    tuple of str and int
        Name of the unit and bytes in it.

    Examples
    --------
    >>> unit_for(5 * 2**20)
    ('MiB', 1048576)
    """
    return next(((name, size) for name, size in UNITS if most >= size), ("bytes", 1))


def size_text(size: float) -> str:
    """Write a number of bytes with three digits and a unit.

    Parameters
    ----------
    size
        Bytes.

    Examples
    --------
    >>> size_text(1536), size_text(999), size_text(21 * 2**20)
    ('1.50 KiB', '999 B', '21.0 MiB')
    """
    name, divisor = unit_for(size)
    if divisor == 1:
        return f"{size:.0f} B"
    number = size / divisor
    digits = 2 if number < 10 else 1 if number < 100 else 0
    return f"{number:.{digits}f} {name}"


def share_text(share: float) -> str:
    """Write a part of a whole in per cent; what is small but not nothing is not written as 0.

    Parameters
    ----------
    share
        Between 0 and 1.

    Examples
    --------
    >>> share_text(0.123), share_text(0.0001), share_text(0)
    ('12 %', '<1 %', '0 %')
    """
    return "<1 %" if 0 < share < 0.005 else f"{share * 100:.0f} %"


def harmless(text: str, *, longest: int = LONGEST_NAME) -> str:
    """Make any text fit for a label.

    Parameters
    ----------
    text
        Anything, also from a registry.
    longest
        Characters to keep; a longer text loses its middle, as names differ at their ends.

    Returns
    -------
    str
        With ``$`` escaped for matplotlib, and what cannot be drawn with backslash escapes.

    Examples
    --------
    >>> print(harmless("a$b" + chr(10)))
    a\\$b\\n
    >>> harmless("x" * 30 + ":v1", longest=10)
    'xxxx…xx:v1'
    """
    glyphs = _glyphs(tuple(mpl.rcParams["font.family"]))
    drawn = "".join(
        c if _can_draw(c, glyphs) else c.encode("unicode_escape").decode("ascii") for c in text[:4096]
    )
    if len(drawn) > longest:
        tail = longest // 2
        drawn = drawn[: longest - tail - 1] + "…" + drawn[-tail:]
    return drawn.replace("$", r"\$")


def names_for(references: Iterable[str], *, longest: int = LONGEST_NAME) -> dict[str, str]:
    """Give each app or project its label: short, unambiguous if it fits, harmless.

    Parameters
    ----------
    references
        All users that the plot names.
    longest
        As for `harmless`.
    """
    short = short_references(references)
    return {reference: harmless(name, longest=longest) for reference, name in short.items()}


def version_names(references: Iterable[str], *, longest: int = 22) -> dict[str, str]:
    """Name versions by tag alone where all are of one repository, else as `names_for` does.

    Parameters
    ----------
    references
        All versions that the plot names.
    longest
        As for `harmless`.

    Examples
    --------
    >>> version_names(["ghcr.io/org/web:1", "ghcr.io/org/web:2"])["ghcr.io/org/web:2"]
    '2'
    """
    short = short_references(references)
    parts = {reference: re.split("[:@]", name, maxsplit=1) for reference, name in short.items()}
    alone = len({part[0] for part in parts.values()}) == 1 and all(len(part) == 2 for part in parts.values())
    named = {reference: part[1] for reference, part in parts.items()} if alone else short
    return {reference: harmless(name, longest=longest) for reference, name in named.items()}


def _can_draw(character: str, glyphs: frozenset[int]) -> bool:
    if not character.isprintable() or unicodedata.category(character).startswith("M"):
        return False
    return ord(character) in glyphs


@lru_cache(maxsize=8)
def _glyphs(family: tuple[str, ...]) -> frozenset[int]:
    path = str(font_manager.findfont(font_manager.FontProperties(family=list(family))))
    return frozenset(font_manager.get_font(path).get_charmap())

"""Names for plots that can do no harm.

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

LONGEST_NAME = 36


def harmless(text: str, *, longest: int = LONGEST_NAME) -> str:
    """Make any text fit for a label."""
    glyphs = _glyphs(tuple(mpl.rcParams["font.family"]))
    drawn = "".join(
        c if _can_draw(c, glyphs) else c.encode("unicode_escape").decode("ascii") for c in text[:4096]
    )
    if len(drawn) > longest:
        tail = longest // 2
        drawn = drawn[: longest - tail - 1] + "…" + drawn[-tail:]
    return drawn.replace("$", r"\$")


def names_for(references: Iterable[str], *, longest: int = LONGEST_NAME) -> dict[str, str]:
    """Give each app or project its label: short, unambiguous if it fits, harmless."""
    short = short_references(references)
    return {reference: harmless(name, longest=longest) for reference, name in short.items()}


def version_names(references: Iterable[str], *, longest: int = 22) -> dict[str, str]:
    """Name versions by tag alone where all are of one repository, else as `names_for` does."""
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

"""A plot as an ``<svg>`` element that follows the page: light, dark, or on paper.

The plots mix their greys from the colours of text and ground. They are drawn once, with a text and a
ground colour that nothing else has; each mix of the two then becomes a variable, which the page sets
to the same mix of its own colours. Without a page it is the light colour.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable
from functools import cache
from html import escape
from types import MappingProxyType
from typing import Any

import matplotlib as mpl
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure

LIGHT_INK, LIGHT_GROUND = "#1c2430", "#fefefe"
DARK_INK, DARK_GROUND = "#e4e9ef", "#171c23"
"""Ground is the page's own; the light one is not quite white, which text on dark colours is."""

_COLOUR = re.compile(r"(?<=: )#[0-9a-f]{6}\b")
_VARIABLE = re.compile(r"var\((--p-([0-9a-f]{6})-([0-9a-f]{6})),")
_IDENTIFIER = re.compile(r'(\bid="|\bxlink:href="#|url\(#)([^")]+)')
_NOT_DRAWN = re.compile(r"\A.*?(?=<svg\b)|<metadata>.*?</metadata>\n?|<!--.*?-->\n?", re.DOTALL)
_STYLE = MappingProxyType({"svg.hashsalt": "spincache-nb", "font.size": 10.0, "axes.titlesize": "small"})
_TEXT = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color", "hatch.color")
_GROUND = ("axes.facecolor", "figure.facecolor", "savefig.facecolor")
_ROUNDING = 1.01 / 255

Draw = Callable[[Figure], object]


def save(draw: Draw, size: tuple[float, float], target: Any, **options: Any) -> None:
    """Draw a figure in our style and write it; matplotlib's settings are left as they were.

    Parameters
    ----------
    draw
        Draws on a figure.
    size
        Width and height in inches.
    target, **options
        For matplotlib's ``savefig``.
    """
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)  # type: ignore[arg-type]
        mpl.rcParams.update(dict.fromkeys(_TEXT, LIGHT_INK))  # type: ignore[arg-type]
        mpl.rcParams.update(dict.fromkeys(_GROUND, LIGHT_GROUND))  # type: ignore[arg-type]
        figure = Figure(figsize=size, layout="constrained")
        draw(figure)
        figure.savefig(target, **options)


def themed(draw: Draw, size: tuple[float, float], *, name: str, label: str) -> str:
    """Draw a plot for light and dark pages.

    Parameters
    ----------
    draw, size
        As for `save`.
    name
        What identifiers in it begin with, so that several plots fit on one page.
    label
        What it shows, for whoever cannot see it.

    Returns
    -------
    str
        An ``<svg>`` element.
    """
    with io.StringIO() as text:
        save(draw, size, text, format="svg", metadata={"Date": None, "Creator": None})
        drawn = _NOT_DRAWN.sub("", text.getvalue())
    numbers: dict[str, int] = {}
    drawn = _IDENTIFIER.sub(
        lambda match: f"{match[1]}{name}-{numbers.setdefault(match[2], len(numbers))}", drawn
    )
    drawn = _COLOUR.sub(_followed, drawn)
    return drawn.replace("<svg ", f'<svg role="img" aria-label="{escape(label, quote=True)}" ', 1)


def variables(svgs: Iterable[str]) -> tuple[str, str]:
    """Give the declarations of all variables in some plots: for light pages, and for dark ones."""
    found = sorted({match.groups() for svg in svgs for match in _VARIABLE.finditer(svg)})
    light = "".join(f"{variable}:#{colour};" for variable, colour, _ in found)
    dark = "".join(f"{variable}:#{colour};" for variable, _, colour in found)
    return light, dark


def _followed(match: re.Match[str]) -> str:
    colour = match[0]
    dark = dark_of(colour)
    return colour if dark is None else f"var(--p-{colour[1:]}-{dark[1:]}, {colour})"


@cache
def dark_of(colour: str) -> str | None:
    """Give the dark twin of a mix of text and ground; None for any other colour.

    Examples
    --------
    >>> dark_of("#1c2430"), dark_of("#fefefe"), dark_of("#0072b2"), dark_of("#ffffff")
    ('#e4e9ef', '#171c23', None, None)
    """
    given, ink, ground = (to_rgb(one) for one in (colour, LIGHT_INK, LIGHT_GROUND))
    strength = (ground[0] - given[0]) / (ground[0] - ink[0])
    mixed = [strength * i + (1 - strength) * g for i, g in zip(ink, ground, strict=True)]
    if not 0 <= strength <= 1 or max(abs(a - b) for a, b in zip(mixed, given, strict=True)) > _ROUNDING:
        return None
    pairs = zip(to_rgb(DARK_INK), to_rgb(DARK_GROUND), strict=True)
    red, green, blue = (strength * i + (1 - strength) * g for i, g in pairs)
    return to_hex((red, green, blue))

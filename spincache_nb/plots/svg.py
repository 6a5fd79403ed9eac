"""Plots of matplotlib: as PNG files, and as ``<svg>`` elements that follow a page in light, dark or on paper.

The plots mix their greys from the colours of text and ground. In an element each mix of the two becomes a
variable, which the page sets to the same mix of its own colours. Without a page it is the light colour.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache, partial
from html import escape
from types import MappingProxyType
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.colors import to_hex, to_rgb, to_rgba
from matplotlib.figure import Figure

from spincache_nb import analysis, plots
from spincache_nb.analysis.inputs import group_of
from spincache_nb.analysis.versions import versioned_repositories
from spincache_nb.frames import Frames

MOST_REPOSITORIES = 6
"""Repositories whose versions are drawn; those with most bytes come first."""

LIGHT_INK, LIGHT_GROUND = "#1c2430", "#fefefe"
DARK_INK, DARK_GROUND = "#e4e9ef", "#171c23"
"""Ground is the page's own; the light one is not quite white, which text on dark colours is."""

GROUND = f"--p-{LIGHT_GROUND[1:]}-{DARK_GROUND[1:]}"
"""Name of the ground's variable, for a page that has another ground."""

_COLOUR = re.compile(r"(?<=: )#[0-9a-f]{6}\b")
_VARIABLE = re.compile(r"var\((--p-([0-9a-f]{6})-([0-9a-f]{6})),")
_IDENTIFIER = re.compile(r'(\bid="|\bxlink:href="#|url\(#)([^")]+)')
_NOT_DRAWN = re.compile(r"\A.*?(?=<svg\b)|<metadata>.*?</metadata>\n?|<!--.*?-->\n?", re.DOTALL)
_SHEET = re.compile(r'<defs>\s*<style type="text/css">\*\{([^}]*)\}</style>\s*</defs>\s*')
_INLINE = re.compile(r' style="([^"]*)"')
_STYLE = MappingProxyType({"svg.hashsalt": "spincache-nb", "font.size": 10.0, "axes.titlesize": "small"})
_TEXT = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color", "hatch.color")
_GROUND = ("axes.facecolor", "figure.facecolor", "savefig.facecolor")
_STYLED = (_TEXT[:-1], _GROUND[:-1])  # a hatch has the colour of its edge, a file that of its figure
_BLACK = "#000000"
_ROUNDING = 1.01 / 255
_AS_SVG: dict[str, Any] = {"format": "svg", "metadata": {"Date": None, "Creator": None}}


@dataclass(frozen=True, slots=True)
class Plot:
    """One plot for a file, not drawn yet."""

    name: str
    size: tuple[float, float]
    draw: Callable[[Figure], object]

    def png(self, path: str | os.PathLike[str]) -> None:
        """Draw it in our style and write it; matplotlib's settings are left as they were."""
        with mpl.rc_context():
            mpl.rcdefaults()
            mpl.rcParams.update(_STYLE)  # type: ignore[arg-type]
            mpl.rcParams.update(dict.fromkeys(_TEXT, LIGHT_INK))  # type: ignore[arg-type]
            mpl.rcParams.update(dict.fromkeys(_GROUND, LIGHT_GROUND))  # type: ignore[arg-type]
            figure = Figure(figsize=self.size, layout="constrained")
            self.draw(figure)
            figure.savefig(path, format="png", dpi=150, metadata={"Software": None})


def plots_of(frames: Frames) -> list[Plot]:
    """Choose the plots for a cache."""
    apps = frames.need("apps")
    if not len(apps):
        return []
    group = group_of(frames)
    sets = analysis.sharing_sets(frames, by=group)
    sharers = sets[sets["user_count"] > 1]["user"].nunique()
    parts = analysis.breakdown(frames, by=group)
    size = plots.figure_size
    found = [
        Plot(
            "breakdown",
            size("breakdown", len(parts)),
            lambda figure: plots.breakdown(frames, ax=figure.add_subplot()),
        ),
        Plot("sharing", size("sharing", sharers), lambda figure: plots.sharing(sets, fig=figure)),
        Plot(
            "shared-bytes",
            size("shared_bytes", len(apps)),
            lambda figure: plots.shared_bytes(frames, ax=figure.add_subplot()),
        ),
    ]
    taken: set[str] = set()
    for repository in versioned_repositories(frames)[:MOST_REPOSITORIES]:
        slug = re.sub(r"[^a-z0-9]+", "-", repository.partition("/")[2].lower()).strip("-") or "repository"
        names = (f"versions-{slug}{end}" for end in ("", *(f"-{number}" for number in range(2, 99))))
        name = next(name for name in names if name not in taken)
        taken.add(name)
        savings = analysis.version_savings(frames, repository)
        found.append(Plot(name, size("version_savings", len(savings)), partial(_draw_versions, savings)))
    return found


def _draw_versions(savings: pd.DataFrame, figure: Figure) -> None:
    plots.version_savings(savings, ax=figure.add_subplot())


def following(figure: Figure, *, name: str, label: str) -> str:
    """Write a figure that is drawn already for light and dark pages."""
    with io.StringIO() as text:
        figure.savefig(text, **_AS_SVG)
        return _element(text.getvalue(), _style_colours(), name=name, label=label)


def _style_colours() -> tuple[str, str] | None:
    """Give the colours of text and ground in matplotlib's settings, if there is one of each."""
    inks, grounds = ({to_rgba(mpl.rcParams[name]) for name in names} for names in _STYLED)  # type: ignore[index]
    found = [*inks, *grounds]
    if len(found) != 2 or found[0] == found[1] or min(colour[3] for colour in found) < 1:
        return None
    return to_hex(found[0]), to_hex(found[1])


def _element(written: str, colours: tuple[str, str] | None, *, name: str, label: str) -> str:
    """Make an element of a file: with a label, identifiers of its own, and colours that follow the page."""
    numbers: dict[str, int] = {}
    drawn = _IDENTIFIER.sub(
        lambda match: f"{match[1]}{name}-{numbers.setdefault(match[2], len(numbers))}",
        _NOT_DRAWN.sub("", written),
    )
    start = f'<svg role="img" aria-label="{escape(label, quote=True)}"'
    if sheet := _SHEET.search(drawn):
        start += _attributes(sheet)
        drawn = _SHEET.sub("", drawn, count=1)
    if colours is not None:
        drawn = _COLOUR.sub(lambda match: _followed(match[0], *colours), drawn)
        if (black := _followed(_BLACK, *colours)) != _BLACK:  # which matplotlib does not write
            start += f' fill="{black}"'
    return _INLINE.sub(_attributes, drawn).replace("<svg", start, 1)


def _attributes(declared: re.Match[str]) -> str:
    """Say as attributes what a style says: a page whose policy forbids styles keeps its colours."""
    named = (one.partition(":") for one in declared[1].split(";") if ":" in one)
    return "".join(f' {name.strip()}="{value.strip()}"' for name, _, value in named)


def variables(svgs: Iterable[str]) -> tuple[str, str]:
    """Give the declarations of all variables in some plots: for light pages, and for dark ones."""
    found = sorted({match.groups() for svg in svgs for match in _VARIABLE.finditer(svg)})
    light = "".join(f"{variable}:#{colour};" for variable, colour, _ in found)
    dark = "".join(f"{variable}:#{colour};" for variable, _, colour in found)
    return light, dark


@cache
def _followed(colour: str, ink: str, ground: str) -> str:
    """Give a variable for a mix of two colours; any other colour as it is."""
    found = twins(colour, ink, ground)
    if found is None:
        return colour
    light, dark = found
    return f"var(--p-{light[1:]}-{dark[1:]}, {light})"


def twins(colour: str, ink: str = LIGHT_INK, ground: str = LIGHT_GROUND) -> tuple[str, str] | None:
    """Give a mix of text and ground as light and as dark pages have it; None for any other colour."""
    strength = _strength(colour, ink, ground)
    if strength is None:
        return None
    return _mix(strength, LIGHT_INK, LIGHT_GROUND), _mix(strength, DARK_INK, DARK_GROUND)


def _strength(colour: str, ink: str, ground: str) -> float | None:
    """Say how much of the first of two colours there is in a mix of both."""
    given, one, other = to_rgb(colour), to_rgb(ink), to_rgb(ground)
    apart = [g - i for i, g in zip(one, other, strict=True)]
    widest = max(range(3), key=lambda channel: abs(apart[channel]))
    strength = (other[widest] - given[widest]) / apart[widest]
    off = max(abs(g - strength * a - c) for g, a, c in zip(other, apart, given, strict=True))
    return strength if 0 <= strength <= 1 and off <= _ROUNDING else None


def _mix(strength: float, ink: str, ground: str) -> str:
    pairs = zip(to_rgb(ink), to_rgb(ground), strict=True)
    red, green, blue = (strength * i + (1 - strength) * g for i, g in pairs)
    return to_hex((red, green, blue))

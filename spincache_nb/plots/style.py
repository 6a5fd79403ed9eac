"""What all plots have in common: input, colours, figures, and names that can do no harm.

The hues are those of Okabe and Ito ("Color Universal Design", 2008). Text, lines and greys are mixed
from the background of the axes and the text colour of ``rcParams``, so plots follow light and dark themes.
"""

from __future__ import annotations

import re
import textwrap
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any, TypeAlias, Union

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_rgb, to_rgba
from matplotlib.figure import Figure, SubFigure

from spincache_nb.analysis.inputs import MOST_APPS as MOST_APPS
from spincache_nb.analysis.inputs import Source, short_references
from spincache_nb.analysis.inputs import group_of as group_of
from spincache_nb.frames.schemas import Schema

FrameOrSource: TypeAlias = Union[pd.DataFrame, "Source"]
Colour: TypeAlias = tuple[float, float, float]
Numbers: TypeAlias = npt.NDArray[np.float64]

BLUE, ORANGE, GREEN, VERMILION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
SKY, PURPLE, YELLOW = "#56B4E9", "#CC79A7", "#F0E442"
REUSED, FETCHED = BLUE, ORANGE

MOST_SHOWN = {
    "breakdown": 24,
    "version_savings": 10_000,
    "shared_bytes": 60,
    "upgrade_matrix": 60,
    "sharing": 36,
    "host_overlap": 60,
}
"""How many rows, apps, versions or hosts a plot names; it says how many more there are."""

_ON_LIGHT = ("#e3eef7", "#9cc6e3", "#4393c3", "#0072B2", "#08304f")
_ON_DARK = ("#12364f", "#1f6a96", "#4aa3da", "#a8d8f8", "#f2f9ff")

_SQUARE = (5.0, 4.2, 0.15)
_CURVE = (9.0, 4.4, 0.0)
_SIZES = {
    "breakdown": (9.0, 1.6, 0.30),
    "version_savings": (9.0, 4.8, 0.0),
    "timeline": (9.0, 4.2, 0.0),
    "sharing": (10.5, 3.2, 0.24),
    "shared_bytes": _SQUARE,
    "upgrade_matrix": _SQUARE,
    "host_overlap": _SQUARE,
    "shared_cache": _CURVE,
    "prewarm": _CURVE,
    "version_tail": _CURVE,
}
"""Width, height, and inches per thing shown."""


def frame_of(given: Any, schema: Schema, maker: str, analyse: Callable[[Any], Any]) -> Any:
    """Give the frame to draw: the one given if it has the columns, else that of an analysis."""
    if not isinstance(given, pd.DataFrame):
        return analyse(given)
    missing = [column for column in schema if column not in given.columns]
    if missing:
        raise ValueError(f"this plot draws what {maker}() gives; the frame has no {missing}")
    return given


def numbers(frame: pd.DataFrame, column: str) -> Numbers:
    """Give a column as floats; a missing value, which is one too large for a column, is 0."""
    return frame[column].to_numpy(dtype=float, na_value=0.0)


def figure_size(plot: str, count: int) -> tuple[float, float]:
    """Advise the size of a figure.

    Parameters
    ----------
    plot
        Name of the function that will draw, for example ``shared_bytes``.
    count
        Rows of the breakdown, or apps, versions or hosts.

    Returns
    -------
    tuple of float
        Width and height in inches, at which every label can be read.

    Examples
    --------
    >>> figure_size("timeline", 1)
    (9.0, 4.2)
    """
    width, height, step = _SIZES[plot]
    shown = min(count, MOST_SHOWN.get(plot, 0) + 1)
    height += step * shown
    if _SIZES[plot] is _SQUARE:
        width += step * shown
    if plot == "version_savings":
        width += min(5.0, max(0, shown - 20) * 0.1)
    return round(width, 2), round(height, 2)


def axes_or_new(ax: Axes | None, size: tuple[float, float]) -> Axes:
    """Give the axes to draw on: the caller's, or those of a new figure that a notebook shows."""
    return ax if ax is not None else figure_or_new(None, size).add_subplot()


def figure_or_new(fig: Figure | SubFigure | None, size: tuple[float, float]) -> Figure | SubFigure:
    """Give the figure to draw on; panels with long names need a layout that makes room for them."""
    if fig is None:
        from matplotlib import pyplot as plt

        return plt.figure(figsize=size, layout="constrained")
    if isinstance(fig, Figure) and fig.get_layout_engine() is None:
        fig.set_layout_engine("constrained")
    return fig


def say_empty(ax: Axes, text: str) -> Axes:
    """Make empty axes that say why they are empty."""
    ax.set_xticks([])
    ax.set_yticks([])
    ax.set_label(text)
    ax.spines[:].set_color(grey(ax, 0.3))
    ax.text(0.5, 0.5, text, transform=ax.transAxes, ha="center", va="center", wrap=True)
    return ax


def title(ax: Axes, finding: str, *, pad: float | None = None, room: float = 0.62) -> None:
    """Write what a plot found as its largest text, in as many lines as the figure's width asks for."""
    finding = harmless(finding, longest=400)
    size = font_manager.FontProperties(size="large").get_size_in_points()
    width = ax.figure.get_figure(root=True).get_figwidth() * room * ax.figure.bbox.width
    letters = int(72 * width / ax.figure.get_figure(root=True).bbox.width / (0.53 * size))
    whole = re.sub(r"(?<=\d) (?=[KMGTP]iB|B|%)", "\N{NO-BREAK SPACE}", finding)  # a number keeps its unit
    lines = textwrap.wrap(whole, max(28, letters), break_long_words=False, break_on_hyphens=False)
    text = "\n".join(lines).replace("\N{NO-BREAK SPACE}", " ")
    ax.set_title(text, loc="left", pad=pad, fontsize="large")
    ax.set_label(finding)


def leave_out(ax: Axes, what: str, names: Iterable[str]) -> None:
    """Name what a plot has no room for in the label of its axes, which serves as its alternative text."""
    named = ", ".join(names)
    ax.set_label(f"{ax.get_label()}. {what}" + (f": {named}" if named else ""))


def title_and_legend(ax: Axes, finding: str, handles: Sequence[Any] | None = None) -> None:
    """Put a finding above the axes and a legend in one line between the two; open the frame."""
    handles = ax.get_legend_handles_labels()[0] if handles is None else handles
    title(ax, finding, pad=26 if handles else None)
    if handles:
        ax.legend(
            handles=list(handles),
            loc="lower left",
            bbox_to_anchor=(0, 1.0),
            ncols=len(handles),
            frameon=False,
            fontsize="small",
            borderaxespad=0.2,
            borderpad=0.2,
            handlelength=1.4,
        )
    ax.spines[["top", "right"]].set_visible(False)


Part: TypeAlias = tuple[Numbers, Any, str]
"""Widths, colour and label."""


def stacked(ax: Axes, names: Sequence[str], parts: Iterable[Part], texts: Sequence[str], room: float) -> None:
    """Draw a row for each name: its parts end to end, and a text behind them."""
    left = np.zeros(len(names))
    for widths, colour, label in parts:
        bars = ax.barh(range(len(names)), widths, left=left, color=colour, label=label)
        left = left + widths
    ax.bar_label(bars, texts, padding=4, fontsize="small", color=ink())
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.set_xlim(0, (float(left.max()) or 1.0) * room)


def name_below(ax: Axes, places: Sequence[int], names: Sequence[str], *, angle: int, fontsize: Any) -> None:
    """Name columns: upright by an angle of 90, tilted by a smaller one, level by 0."""
    is_tilted = angle not in (0, 90)
    ha, mode = ("right", "anchor") if is_tilted else ("center", "default")
    ax.set_xticks(places, names, rotation=angle, ha=ha, rotation_mode=mode, fontsize=fontsize)


def leave_room(ax: Axes, count: int) -> None:
    """Let few columns be no wider than many are."""
    spare = max(0, 4 - count) / 2
    ax.set_xlim(-0.7 - spare, count - 0.3 + spare)


def ink() -> Colour:
    """Colour of text."""
    return to_rgb(mpl.rcParams["text.color"])


def paper(ax: Axes) -> Colour:
    """Colour of the background of some axes."""
    for colour in (ax.get_facecolor(), ax.figure.get_facecolor()):
        if to_rgba(colour)[3] > 0:
            return to_rgb(colour)
    return 1.0, 1.0, 1.0


def grey(ax: Axes, strength: float) -> Colour:
    """Mix the colours of text and background."""
    red, green, blue = (strength * i + (1 - strength) * p for i, p in zip(ink(), paper(ax), strict=True))
    return red, green, blue


def luminance(colour: Colour) -> float:
    """Relative luminance of a colour (WCAG 2.2), from 0 to 1."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def colour_map(ax: Axes) -> LinearSegmentedColormap:
    """From near the background to far from it: light to dark on white, dark to light on dark."""
    on_light, on_dark = colour_maps()
    return on_light if luminance(paper(ax)) > 0.18 else on_dark


def colour_maps() -> tuple[LinearSegmentedColormap, LinearSegmentedColormap]:
    """The maps on light and on dark."""
    light, dark = (LinearSegmentedColormap.from_list("spincache", one) for one in (_ON_LIGHT, _ON_DARK))
    return light, dark


def ink_on(colour: Colour) -> str:
    """Black or white, whichever is easier to read on a colour."""
    return "#000004" if luminance(colour) > 0.18 else "#fffffb"


LONGEST_NAME = 36


def exact_share(share: float | None) -> str:
    """Write a share with one decimal; 0 and 100 per cent only where they are exact."""
    percent = 100 * (share or 0)
    if 0 < percent < 0.05 or 99.95 <= percent < 100:
        return "<0.1 %" if percent < 1 else ">99.9 %"
    return f"{percent:.0f} %" if percent in (0, 100) else f"{percent:.1f} %"


def harmless(text: str, *, longest: int = LONGEST_NAME) -> str:
    """Make any text fit for a label.

    A name from a registry or a path of a project may hold ``$`` (which starts mathematics in
    matplotlib), line breaks, characters that reorder the line, or characters that the font lacks
    (which matplotlib warns about): all are escaped. A long name loses its middle.
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

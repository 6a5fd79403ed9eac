"""Colours that work on light and dark grounds and for colour-blind readers; where to draw.

The hues are those of Okabe and Ito ("Color Universal Design", 2008), the map is ``viridis``. Text,
lines and greys are made from the ground of the axes and the text colour of ``rcParams``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure, SubFigure

Colour: TypeAlias = tuple[float, float, float]

BLUE, ORANGE, GREEN, VERMILION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
SKY, PURPLE, YELLOW = "#56B4E9", "#CC79A7", "#F0E442"
REUSED, FETCHED = BLUE, ORANGE
COLOUR_MAP = "viridis"

BASE_SIZES = {
    "breakdown": (9.0, 1.6, 0.30),
    "version_savings": (9.0, 4.8, 0.0),
    "timeline": (9.0, 4.2, 0.0),
    "shared_bytes": (5.0, 4.2, 0.15),
    "upgrade_matrix": (5.0, 4.2, 0.15),
    "sharing": (10.5, 3.2, 0.24),
    "host_overlap": (5.0, 4.2, 0.15),
    "shared_cache": (9.0, 4.4, 0.0),
    "prewarm": (9.0, 4.4, 0.0),
    "version_tail": (9.0, 4.4, 0.0),
}
MOST_SHOWN = {
    "breakdown": 24,
    "version_savings": 10_000,
    "timeline": 1,
    "shared_bytes": 60,
    "upgrade_matrix": 60,
    "sharing": 36,
    "host_overlap": 60,
    "shared_cache": 1,
    "prewarm": 1,
    "version_tail": 1,
}
"""Rows, apps, versions or hosts that each plot names; it says how many more there are."""


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
    width, height, step = BASE_SIZES[plot]
    shown = min(count, MOST_SHOWN[plot] + 1)
    height += step * shown
    if plot in ("shared_bytes", "upgrade_matrix", "host_overlap"):
        width += step * shown
    if plot == "version_savings":
        width += min(5.0, max(0, shown - 20) * 0.1)
    return round(width, 2), round(height, 2)


def axes_or_new(ax: Axes | None, size: tuple[float, float]) -> Axes:
    """Give the axes to draw on: the caller's, or those of a new figure that a notebook shows."""
    if ax is not None:
        return ax
    from matplotlib import pyplot as plt

    return plt.figure(figsize=size, layout="constrained").add_subplot()


def figure_or_new(fig: Figure | SubFigure | None, size: tuple[float, float]) -> Figure | SubFigure:
    """Give the figure to draw on; panels with long names need a layout that makes room for them."""
    if fig is None:
        from matplotlib import pyplot as plt

        return plt.figure(figsize=size, layout="constrained")
    if isinstance(fig, Figure) and fig.get_layout_engine() is None:
        fig.set_layout_engine("constrained")
    return fig


def ink() -> Colour:
    """Colour of text."""
    return to_rgb(mpl.rcParams["text.color"])


def paper(ax: Axes) -> Colour:
    """Colour of the ground of some axes."""
    for colour in (ax.get_facecolor(), ax.figure.get_facecolor()):
        if to_rgba_alpha(colour) > 0:
            return to_rgb(colour)
    return 1.0, 1.0, 1.0


def to_rgba_alpha(colour: object) -> float:
    """Give the opacity of a colour, 1 if it says nothing about it."""
    return float(colour[3]) if isinstance(colour, tuple) and len(colour) == 4 else 1.0


def grey(ax: Axes, strength: float) -> Colour:
    """Mix the colours of text and ground."""
    red, green, blue = (strength * i + (1 - strength) * p for i, p in zip(ink(), paper(ax), strict=True))
    return red, green, blue


def luminance(colour: Colour) -> float:
    """Relative luminance of a colour (WCAG 2.2, relative luminance), from 0 to 1."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def ink_on(colour: Colour) -> str:
    """Black or white, whichever is easier to read on a colour."""
    return "#000004" if luminance(colour) > 0.18 else "#fffffb"


def quiet_frame(ax: Axes) -> None:
    """Leave out the lines above and to the right of the axes."""
    ax.spines[["top", "right"]].set_visible(False)


def legend_above(ax: Axes, handles: Sequence[Any]) -> None:
    """Put a legend in one line between the axes and a title that leaves room for it."""
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


def say_empty(ax: Axes, text: str) -> Axes:
    """Make empty axes that say why they are empty."""
    ax.set_xticks([])
    ax.set_yticks([])
    ax.spines[:].set_color(grey(ax, 0.3))
    ax.text(0.5, 0.5, text, transform=ax.transAxes, ha="center", va="center", wrap=True)
    return ax

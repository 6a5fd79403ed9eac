"""A tree of names: who names whom by digest."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes

from spincache_nb.plots import theme
from spincache_nb.plots.text import harmless
from spincache_nb.show import size_text

Node = tuple[int, str, str, str, int]
"""Depth, what it is, short digest, what people call it, size in bytes."""

_HUES = {"manifest": theme.VERMILION, "member": theme.SKY, "archive layer": theme.ORANGE}


def tree(title: str, nodes: Sequence[Node], *, ax: Axes | None = None) -> Axes:
    """Draw a tree top down, one line per node, joined to the node above it.

    Parameters
    ----------
    title
        What stands at the top.
    nodes
        In the order in which they are drawn; the first has depth 0.
    ax
        Where to draw; None for a new figure.

    Returns
    -------
    matplotlib.axes.Axes
    """
    axes = theme.axes_or_new(ax, (9.5, 0.9 + 0.34 * max(1, len(nodes))))
    axes.set_axis_off()
    axes.set_title(harmless(title), loc="left", fontsize="medium")
    axes.set_xlim(-0.3, 12)
    axes.set_ylim(len(nodes) - 0.4, -0.7)
    if not nodes:
        axes.text(0, 0, "nothing to show", va="center")
    above: dict[int, int] = {}
    for row, (depth, what, digest, names, size) in enumerate(nodes):
        left = 0.55 * depth
        if depth:
            top = above[depth - 1]
            joint = left - 0.55
            axes.plot([joint, joint, left - 0.12], [top + 0.22, row, row], color="0.6", lw=1, zorder=1)
        axes.plot([left], [row], "o", color=_HUES.get(what, theme.BLUE), ms=7, zorder=2)
        axes.text(left + 0.18, row, harmless(what), va="center", fontsize="small")
        if digest:
            axes.text(4.3, row, digest, va="center", family="monospace", fontsize="x-small")
        axes.text(8.2, row, size_text(size), va="center", ha="right", fontsize="small")
        axes.text(8.4, row, harmless(names), va="center", fontsize="small")
        above[depth] = row
    return axes

"""Below the whole file: re-use by grain, and by the size of chunks."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from spincache_nb.analysis.inputs import rows
from spincache_nb.analysis.inside.schemas import CHUNK_SWEEP_SCHEMA, GRAINS_SCHEMA
from spincache_nb.frames.schemas import Schema
from spincache_nb.plots import theme
from spincache_nb.show import size_text, unit_for


def grains(frame: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw what a new version would re-use at each grain.

    Parameters
    ----------
    frame
        What `analysis.inside.grains` or `analysis.inside.cache_grains` returns.
    ax
        Where to draw; None for a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        A bar per grain, the coarsest at the top: bytes re-used, the others, and on top of these what
        an index of the pieces takes; beside it the share re-used.

    Raises
    ------
    ValueError
        If the frame is another.
    """
    check_frame(frame, GRAINS_SCHEMA, "grains")
    ax = theme.axes_or_new(ax, (9.0, 1.4 + 0.32 * len(frame)))
    if not len(frame) or not frame["total_bytes"].max():
        return theme.say_empty(ax, "There are no bytes to compare.")
    unit, divisor = unit_for(float(frame["total_bytes"].max()))
    names, reused, rest, indexes, labels = [], [], [], [], []
    for name, total, part, count, index, share in rows(frame, *GRAINS_SCHEMA):
        names.append(name)
        reused.append(part / divisor)
        rest.append((total - part) / divisor)
        indexes.append(index / divisor)
        pieces = "1 piece" if count == 1 else f"{count:,} pieces".replace(",", "\N{NARROW NO-BREAK SPACE}")
        labels.append(f"{exact_share(share)} of {size_text(total)}, {pieces}")
    places = range(len(names))
    ends = [a + b for a, b in zip(reused, rest, strict=True)]
    ax.barh(places, reused, color=theme.REUSED, label="re-used")
    ax.barh(places, rest, left=reused, color=theme.FETCHED, label="new")
    bars = ax.barh(places, indexes, left=ends, color=theme.PURPLE, label="index, 32 bytes per piece")
    ax.bar_label(bars, labels, padding=5, fontsize="small", color=theme.ink())
    ax.set_yticks(places, names)
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.set_xlim(0, max(a + b for a, b in zip(ends, indexes, strict=True)) * 1.4)
    ax.set_xlabel(unit)
    theme.legend_above(ax, ax.get_legend_handles_labels()[0])
    ax.set_title("What finer grains would re-use", loc="left", pad=26)
    theme.quiet_frame(ax)
    return ax


def chunk_sweep(frame: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw how the re-use by content-defined chunks depends on their size.

    Parameters
    ----------
    frame
        What `analysis.inside.chunk_sweep` returns.
    ax
        Where to draw; None for a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        Two lines over the average size: the share of the new version re-used, and the same less
        what an index of the chunks takes.

    Raises
    ------
    ValueError
        If the frame is another.
    """
    check_frame(frame, CHUNK_SWEEP_SCHEMA, "chunk_sweep")
    ax = theme.axes_or_new(ax, (7.5, 4.2))
    if not len(frame) or not frame["total_bytes"].max():
        return theme.say_empty(ax, "There are no bytes to compare.")
    sizes, shares, net = [], [], []
    columns = ("average_bytes", "total_bytes", "reused_bytes", "index_bytes")
    for size, total, part, index in sorted(rows(frame, *columns)):
        sizes.append(size)
        shares.append(100 * part / total)
        net.append(100 * (part - index) / total)
    ax.plot(sizes, shares, marker="o", color=theme.REUSED, label="re-used")
    ax.plot(sizes, net, marker="s", linestyle="--", color=theme.VERMILION, label="less the index")
    ax.set_xscale("log", base=2)
    ax.set_xticks(sizes, [_round_size(size) for size in sizes])
    ax.minorticks_off()
    ax.set_ylim(min(0.0, *net), 105)
    ax.set_xlabel("average size of a chunk")
    ax.set_ylabel("per cent of the new version")
    ax.grid(axis="y", color=theme.grey(ax, 0.15))
    theme.legend_above(ax, ax.get_legend_handles_labels()[0])
    ax.set_title("Re-use by chunk size", loc="left", pad=26)
    theme.quiet_frame(ax)
    return ax


def check_frame(frame: pd.DataFrame, schema: Schema, name: str) -> None:
    """Refuse a frame that lacks columns."""
    missing = [column for column in schema if column not in frame.columns]
    if missing:
        raise ValueError(f"this plot draws what analysis.inside.{name}() gives; the frame has no {missing}")


def exact_share(share: float | None) -> str:
    """Write a share with one decimal; 0 and 100 per cent only where they are exact."""
    percent = 100 * (share or 0)
    if 0 < percent < 0.05 or 99.95 <= percent < 100:
        return "<0.1 %" if percent < 1 else ">99.9 %"
    return f"{percent:.0f} %" if percent in (0, 100) else f"{percent:.1f} %"


def _round_size(size: int) -> str:
    unit, divisor = unit_for(size)
    return f"{size // divisor} {unit}"

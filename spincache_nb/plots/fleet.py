"""Fleets: what hosts have in common, what a shared cache or an image would save, where versions still sit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from spincache_nb.analysis.inputs import rows
from spincache_nb.fleet import Fleet
from spincache_nb.fleet.schemas import (
    HOST_OVERLAP_SCHEMA,
    HOST_PAIRS_SCHEMA,
    PREWARM_SCHEMA,
    VERSIONS_SCHEMA,
)
from spincache_nb.frames.schemas import Schema
from spincache_nb.plots import theme
from spincache_nb.plots.heatmaps import clustered, draw_square, square_of
from spincache_nb.plots.inputs import checked
from spincache_nb.plots.text import harmless
from spincache_nb.show import share_text, size_text, unit_for

FrameOrFleet: TypeAlias = pd.DataFrame | Fleet
_MANY_HOSTS = 30


def _frame(
    given: FrameOrFleet, schema: Schema, name: str, analyse: Callable[[Fleet], pd.DataFrame]
) -> pd.DataFrame:
    if isinstance(given, pd.DataFrame):
        return checked(given, schema, f"Fleet.{name}()")
    return analyse(given)


def host_overlap(given: FrameOrFleet, *, ax: Axes | None = None) -> Axes:
    """Draw what each pair of hosts has in common, hosts that have much side by side.

    Parameters
    ----------
    given
        The frame of `Fleet.host_pairs`, or a fleet: then of its 60 largest hosts.
    ax
        Where to draw; None for a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        A square heat map; the diagonal and pairs that have nothing in common are blank.

    Raises
    ------
    ValueError
        If a frame is given that is none of these.
    """
    most = theme.MOST_SHOWN["host_overlap"]
    table = _frame(given, HOST_PAIRS_SCHEMA, "host_pairs", lambda fleet: fleet.host_pairs(top=most))
    hosts = sorted({name for pair in rows(table, "host_a", "host_b") for name in pair})
    ax = theme.axes_or_new(ax, theme.figure_size("host_overlap", len(hosts)))
    if not hosts:
        return theme.say_empty(ax, "Fewer than two hosts: nothing can be shared.")
    square = square_of(hosts, rows(table, "host_a", "host_b", "shared_bytes"))
    order = clustered(square)
    shown = [hosts[number] for number in order]
    names = {name: harmless(name, longest=28) for name in shown}
    arranged = square[np.ix_(order, order)]
    draw_square(ax, arranged, shown, title="Bytes both hosts store", names=names, blank_diagonal=True)
    return ax


def shared_cache(given: FrameOrFleet, *, ax: Axes | None = None) -> Axes:
    """Draw what hosts store each on its own, and what they would in one cache, host by host.

    Parameters
    ----------
    given
        The frame of `Fleet.host_overlap`, or a fleet.
    ax
        Where to draw; None for a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        Two stacked areas over the number of hosts, in the frame's order.

    Raises
    ------
    ValueError
        If a frame is given that is none of these.
    """
    table = _frame(given, HOST_OVERLAP_SCHEMA, "host_overlap", Fleet.host_overlap)
    ax = theme.axes_or_new(ax, theme.figure_size("shared_cache", 1))
    if not len(table):
        return theme.say_empty(ax, "No hosts.")
    own = _numbers(table["cumulative_stored_bytes"])
    one = _numbers(table["cumulative_distinct_bytes"])
    unit, divisor = unit_for(float(own[-1]))
    count = np.arange(len(own) + 1)
    each, together = (np.append(0.0, values / divisor) for values in (own, one))
    ax.fill_between(count, 0, together, color=theme.FETCHED, linewidth=0, label="in one shared cache")
    ax.fill_between(
        count, together, each, color=theme.REUSED, linewidth=0, label="what sharing it would save"
    )
    ax.plot(count, each, color=theme.ink(), linewidth=1.2, label="each on its own")
    ax.set_xlim(0, len(own))
    ax.set_ylim(bottom=0)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlabel("hosts, by name")
    ax.set_ylabel(f"{unit} stored in all")
    saved = own[-1] - one[-1]
    share = share_text(saved / own[-1] if own[-1] else 0)
    ax.set_title(
        f"{len(table)} hosts: {size_text(one[-1])} instead of {size_text(own[-1])}, {share} saved",
        loc="left",
        pad=26,
    )
    theme.legend_above(ax, ax.get_legend_handles_labels()[0])
    theme.quiet_frame(ax)
    return ax


def prewarm(given: FrameOrFleet, *, ax: Axes | None = None) -> Axes:
    """Draw what an image saves that brings along the blobs that most hosts need, by its size.

    Parameters
    ----------
    given
        The frame of `Fleet.prewarm`, or a fleet.
    ax
        Where to draw; None for a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        A curve; a few points of it say on how many hosts the blobs of the image are at least.

    Raises
    ------
    ValueError
        If a frame is given that is none of these.
    """
    table = _frame(given, PREWARM_SCHEMA, "prewarm", Fleet.prewarm)
    ax = theme.axes_or_new(ax, theme.figure_size("prewarm", 1))
    if not len(table):
        return theme.say_empty(ax, "No blobs.")
    image = _numbers(table["image_bytes"])
    share = 100 * table["saved_share"].fillna(0).to_numpy(dtype=float)
    unit, divisor = unit_for(float(image[-1]))
    sizes = image / divisor
    ax.plot(np.append(0, sizes), np.append(0, share), color=theme.BLUE, linewidth=1.8)
    marked = _spread(sizes, share, 6)
    ax.plot(sizes[marked], share[marked], "o", color=theme.BLUE, markersize=5)
    hosts = table["host_count"].to_numpy(dtype=int)
    for number in marked:
        ax.annotate(
            f"on {hosts[number]} hosts or more" if hosts[number] > 1 else "all blobs",
            (sizes[number], share[number]),
            xytext=(6, -12),
            textcoords="offset points",
            fontsize="small",
        )
    ax.set_xlim(0, sizes[-1] * 1.22)
    ax.set_ylim(0, 108)
    ax.set_xlabel(f"size of the image, {unit}")
    ax.set_ylabel("per cent of all stored bytes\nthat hosts need not fetch")
    half = int(np.argmax(share >= 50)) if share[-1] >= 50 else len(share) - 1
    size, saved = size_text(image[half]), share_text(share[half] / 100)
    ax.set_title(f"An image of {size} brings along {saved} of what hosts store", loc="left")
    theme.quiet_frame(ax)
    return ax


def _spread(x: npt.NDArray[np.float64], y: npt.NDArray[np.float64], most: int) -> list[int]:
    """Points of a curve that are far enough from each other to be named, the last one among them."""
    chosen = [len(x) - 1]
    scale = max(float(x[-1]), 1e-12), max(float(y[-1]), 1e-12)
    for number in range(len(x) - 2, -1, -1):
        last = chosen[-1]
        distance = np.hypot((x[last] - x[number]) / scale[0], (y[last] - y[number]) / scale[1])
        if distance >= 1.0 / most:
            chosen.append(number)
    return chosen[::-1]


def version_tail(given: FrameOrFleet, *, ax: Axes | None = None) -> Axes:
    """Draw on how many hosts each version still sits, most spread first: a short head and a long tail.

    Parameters
    ----------
    given
        The frame of `Fleet.versions`, or a fleet.
    ax
        Where to draw; None for a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        An area over the versions, those on one host only in another colour. The scale is logarithmic
        where some version is on 30 hosts or more.

    Raises
    ------
    ValueError
        If a frame is given that is none of these.
    """
    table = _frame(given, VERSIONS_SCHEMA, "versions", Fleet.versions)
    ax = theme.axes_or_new(ax, theme.figure_size("version_tail", 1))
    if not len(table):
        return theme.say_empty(ax, "No versions.")
    counts: npt.NDArray[np.int64] = np.sort(_numbers(table["host_count"]).astype(np.int64))[::-1]
    several = int((counts > 1).sum())
    place = np.arange(len(counts) + 1)
    heights = np.append(counts, counts[-1])
    ground = 0.5 if counts[0] >= _MANY_HOSTS else 0.0
    labels = (
        (place <= several, theme.BLUE, "on several hosts"),
        (place >= several, theme.ORANGE, "on one host only"),
    )
    for where, colour, label in labels:
        if where.sum() > 1:
            ax.fill_between(
                place[where], 0, _held(heights, place[where]), step="post", color=colour, linewidth=0
            )
            ax.plot([], [], color=colour, linewidth=6, label=label)
    ax.set_xlim(0, len(counts))
    if ground:
        ax.set_yscale("log")
        ax.yaxis.set_major_formatter("{x:.0f}")
    else:
        ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_ylim(ground, counts[0] * (1.5 if ground else 1.08))
    ax.set_xlabel("versions, most spread first")
    ax.set_ylabel("hosts that have it")
    single = len(counts) - several
    text = share_text(single / len(counts))
    ax.set_title(f"{len(counts)} versions: {single} of them ({text}) on one host only", loc="left", pad=26)
    theme.legend_above(ax, ax.get_legend_handles_labels()[0])
    theme.quiet_frame(ax)
    return ax


def _held(
    heights: npt.NDArray[np.int64], place: Sequence[int] | npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Heights at some places; the last one is held, as a step that ends there has no height of its own."""
    found = heights[place].copy()
    found[-1] = found[-2]
    return found


def _numbers(column: pd.Series[int]) -> npt.NDArray[np.float64]:
    return np.asarray(column.fillna(0), dtype=np.float64)

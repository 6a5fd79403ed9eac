"""Curves: growth over time, and what a fleet has in common, host by host and version by version."""

from __future__ import annotations

from functools import partial

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.ticker import MaxNLocator

from spincache_nb import analysis
from spincache_nb.analysis.headlines import headline
from spincache_nb.analysis.pulls import Pulls
from spincache_nb.analysis.schemas import TIMELINE_SCHEMA
from spincache_nb.fleet import Fleet
from spincache_nb.fleet.schemas import HOST_OVERLAP_SCHEMA, PREWARM_SCHEMA, VERSIONS_SCHEMA
from spincache_nb.plots import style
from spincache_nb.plots.style import Numbers, numbers
from spincache_nb.show import share_text, size_text, unit_for

_MANY_HOSTS = 30


def timeline(given: Pulls = None, *, ax: Axes | None = None) -> Axes:
    """Draw how the bytes fetched and the bytes saved add up over time.

    Parameters
    ----------
    given
        What `analysis.timeline` returns, or what that takes: ``frames.history()``, a cache, or None
        for this user's history.
    ax
        Where to draw; None for a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        Two stacked areas with a step at each pull; the last step is held for a while. A pull without
        a time is not drawn, but counted.
    """
    is_drawn = isinstance(given, pd.DataFrame) and set(TIMELINE_SCHEMA) <= set(given.columns)
    table = given if isinstance(given, pd.DataFrame) and is_drawn else analysis.timeline(given)
    ax = style.axes_or_new(ax, style.figure_size("timeline", 1))
    timed = table[table["at"].notna()]
    if not len(timed):
        return style.say_empty(ax, "No pull is recorded.")
    fetched = _held(numbers(timed, "cumulative_fetch_bytes"))
    needed = fetched + _held(numbers(timed, "cumulative_reused_bytes"))
    unit, divisor = unit_for(float(needed.max()))
    fetched, needed = fetched / divisor, needed / divisor
    times = _with_end(timed["at"])
    ax.fill_between(times, 0, fetched, step="post", color=style.FETCHED, linewidth=0, label="fetched")
    ax.fill_between(times, fetched, needed, step="post", color=style.REUSED, linewidth=0, label="reused")
    ax.plot(
        times,
        needed,
        color=style.ink(),
        drawstyle="steps-post",
        linewidth=1.0,
        marker="o" if len(timed) <= 60 else None,
        markersize=4,
        markevery=range(len(timed)),
        label="needed in all",
    )
    ax.set_ylabel(f"{unit}, added up")
    ax.set_ylim(bottom=0)
    locator = AutoDateLocator()  # type: ignore[no-untyped-call]
    ax.xaxis.set_major_locator(locator)
    ax.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    untimed = len(table) - len(timed)
    ax.set_xlabel("time (UTC)" + (f"; +{untimed} more pulls without a time" if untimed else ""))
    style.title_and_legend(ax, headline(table))
    return ax


def _with_end(at: pd.Series[pd.Timestamp]) -> npt.NDArray[np.datetime64]:
    """Let the last step have some width: a twentieth of the time there is, or an hour if there is none."""
    times = at.dt.tz_convert(None).to_numpy(dtype="datetime64[ns]")
    span = times[-1] - times[0]
    return np.append(times, times[-1] + (span / 20 if span else np.timedelta64(1, "h")))


def _held(values: Numbers) -> Numbers:
    return np.append(values, values[-1])


def shared_cache(given: pd.DataFrame | Fleet, *, ax: Axes | None = None) -> Axes:
    """Draw what hosts store each on its own, and what they would in one cache, host by host.

    Parameters
    ----------
    given
        What `Fleet.host_overlap` returns, or a fleet.
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
    table = style.frame_of(given, HOST_OVERLAP_SCHEMA, "Fleet.host_overlap", Fleet.host_overlap)
    ax = style.axes_or_new(ax, style.figure_size("shared_cache", 1))
    if not len(table):
        return style.say_empty(ax, "No hosts.")
    own = numbers(table, "cumulative_stored_bytes")
    one = numbers(table, "cumulative_distinct_bytes")
    unit, divisor = unit_for(float(own[-1]))
    count = np.arange(len(own) + 1)
    each, together = (np.append(0.0, values / divisor) for values in (own, one))
    fill = partial(ax.fill_between, count, linewidth=0)
    fill(0, together, color=style.FETCHED, label="in one shared cache")
    fill(together, each, color=style.REUSED, label="what sharing it would save")
    ax.plot(count, each, color=style.ink(), linewidth=1.2, label="each on its own")
    ax.set_xlim(0, len(own))
    ax.set_ylim(bottom=0)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlabel("hosts, by name")
    ax.set_ylabel(f"{unit} stored in all")
    share = share_text((own[-1] - one[-1]) / own[-1] if own[-1] else 0)
    sizes = f"{size_text(one[-1])} instead of {size_text(own[-1])}"
    style.title_and_legend(ax, f"{len(table)} hosts: {sizes}, {share} saved")
    return ax


def prewarm(given: pd.DataFrame | Fleet, *, ax: Axes | None = None) -> Axes:
    """Draw what an image saves that brings along the blobs that most hosts need, by its size.

    Parameters
    ----------
    given
        What `Fleet.prewarm` returns, or a fleet.
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
    table = style.frame_of(given, PREWARM_SCHEMA, "Fleet.prewarm", Fleet.prewarm)
    ax = style.axes_or_new(ax, style.figure_size("prewarm", 1))
    if not len(table):
        return style.say_empty(ax, "No blobs.")
    image, share = numbers(table, "image_bytes"), 100 * numbers(table, "saved_share")
    unit, divisor = unit_for(float(image[-1]))
    sizes = image / divisor
    ax.plot(np.append(0, sizes), np.append(0, share), color=style.BLUE, linewidth=1.8)
    marked = _spread(sizes, share, 6)
    ax.plot(sizes[marked], share[marked], "o", color=style.BLUE, markersize=5)
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
    saved = share_text(share[half] / 100)
    style.title(ax, f"An image of {size_text(image[half])} brings along {saved} of what hosts store")
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def _spread(x: Numbers, y: Numbers, most: int) -> list[int]:
    """Points of a curve that are far enough from each other to be named, the last one among them."""
    chosen = [len(x) - 1]
    scale = max(float(x[-1]), 1e-12), max(float(y[-1]), 1e-12)
    for number in range(len(x) - 2, -1, -1):
        last = chosen[-1]
        distance = np.hypot((x[last] - x[number]) / scale[0], (y[last] - y[number]) / scale[1])
        if distance >= 1.0 / most:
            chosen.append(number)
    return chosen[::-1]


def version_tail(given: pd.DataFrame | Fleet, *, ax: Axes | None = None) -> Axes:
    """Draw on how many hosts each version still sits, most spread first: a short head and a long tail.

    Parameters
    ----------
    given
        What `Fleet.versions` returns, or a fleet.
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
    table = style.frame_of(given, VERSIONS_SCHEMA, "Fleet.versions", Fleet.versions)
    ax = style.axes_or_new(ax, style.figure_size("version_tail", 1))
    if not len(table):
        return style.say_empty(ax, "No versions.")
    counts = np.sort(numbers(table, "host_count"))[::-1]
    several = int((counts > 1).sum())
    where = ((0, several), (several, len(counts)))
    looks = ((style.BLUE, "on several hosts"), (style.ORANGE, "on one host only"))
    for (start, end), (colour, label) in zip(where, looks, strict=True):
        if end > start:
            heights, places = _held(counts[start:end]), np.arange(start, end + 1)
            ax.fill_between(places, 0, heights, step="post", color=colour, linewidth=0, label=label)
    ax.set_xlim(0, len(counts))
    if counts[0] >= _MANY_HOSTS:
        ax.set_yscale("log")
        ax.yaxis.set_major_formatter("{x:.0f}")
        ax.set_ylim(0.5, counts[0] * 1.5)
    else:
        ax.yaxis.set_major_locator(MaxNLocator(integer=True))
        ax.set_ylim(0, counts[0] * 1.08)
    ax.set_xlabel("versions, most spread first")
    ax.set_ylabel("hosts that have it")
    single = len(counts) - several
    share = share_text(single / len(counts))
    style.title_and_legend(ax, f"{len(counts)} versions: {single} of them ({share}) on one host only")
    return ax

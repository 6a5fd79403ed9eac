"""Growth: what came into the caches over time, and what did not have to."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

from spincache_nb import analysis
from spincache_nb.analysis.over_time import Pulls
from spincache_nb.analysis.schemas import TIMELINE_SCHEMA
from spincache_nb.plots import theme
from spincache_nb.show import share_text, size_text, unit_for


def timeline(given: Pulls = None, *, ax: Axes | None = None) -> Axes:
    """Draw how the bytes fetched and the bytes saved add up over time.

    Parameters
    ----------
    given
        The frame of `analysis.timeline`, or what that takes: ``frames.history()``, a cache, or None
        for this user's history.
    ax
        Where to draw; None for a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        Two stacked areas with a step at each pull; the last step is held for a while. A pull without
        a time is not drawn, but counted.
    """
    table = given if isinstance(given, pd.DataFrame) and _is_timeline(given) else analysis.timeline(given)
    ax = theme.axes_or_new(ax, theme.figure_size("timeline", 1))
    timed = table[table["at"].notna()]
    if not len(timed):
        return theme.say_empty(ax, "No pull is recorded.")
    fetched = _held(_sizes(timed, "cumulative_fetch_bytes"))
    needed = fetched + _held(_sizes(timed, "cumulative_reused_bytes"))
    unit, divisor = unit_for(float(needed.max()))
    fetched, needed = fetched / divisor, needed / divisor
    times = _with_end(timed["at"])
    ax.fill_between(times, 0, fetched, step="post", color=theme.FETCHED, linewidth=0, label="fetched")
    ax.fill_between(times, fetched, needed, step="post", color=theme.REUSED, linewidth=0, label="reused")
    ax.plot(
        times,
        needed,
        color=theme.ink(),
        drawstyle="steps-post",
        linewidth=1.0,
        marker="o" if len(timed) <= 60 else None,
        markersize=4,
        markevery=range(len(timed)),
        label="needed in all",
    )
    _finish(ax, table, unit)
    return ax


def _with_end(at: pd.Series[pd.Timestamp]) -> npt.NDArray[np.datetime64]:
    """Let the last step have some width: a twentieth of the time there is, or an hour if there is none."""
    times = at.dt.tz_convert(None).to_numpy(dtype="datetime64[ns]")
    span = times[-1] - times[0]
    return np.append(times, times[-1] + (span / 20 if span else np.timedelta64(1, "h")))


def _sizes(table: pd.DataFrame, column: str) -> npt.NDArray[np.float64]:
    """Give a column of sizes; what is too large for a column is missing there, and drawn as nothing."""
    return table[column].to_numpy(dtype=float, na_value=0.0)


def _held(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.append(values, values[-1])


def _is_timeline(frame: pd.DataFrame) -> bool:
    return set(TIMELINE_SCHEMA) <= set(frame.columns)


def _finish(ax: Axes, table: pd.DataFrame, unit: str) -> None:
    locator = AutoDateLocator()  # type: ignore[no-untyped-call]
    ax.xaxis.set_major_locator(locator)
    ax.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    untimed = int(table["at"].isna().sum())
    ax.set_xlabel("time (UTC)" + (f"; +{untimed} more pulls without a time" if untimed else ""))
    ax.set_ylabel(f"{unit}, added up")
    ax.set_ylim(bottom=0)
    fetched = _sizes(table, "cumulative_fetch_bytes")[-1]
    reused = _sizes(table, "cumulative_reused_bytes")[-1]
    share = share_text(reused / (fetched + reused) if fetched + reused else 0)
    count = f"{len(table)} pull" + ("s" if len(table) != 1 else "")
    ax.set_title(
        f"{count}: {size_text(fetched)} fetched, {size_text(reused)} reused ({share})", loc="left", pad=26
    )
    theme.legend_above(ax, ax.get_legend_handles_labels()[0])
    theme.quiet_frame(ax)

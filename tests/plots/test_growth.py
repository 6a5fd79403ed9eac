from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.dates import date2num
from matplotlib.figure import Figure

from spincache_nb import analysis, plots
from spincache_nb.frames.schemas import HISTORY_SCHEMA, build
from tests.plots.samples import history_of

MIB = 2**20


@pytest.mark.parametrize("count", [1, 3, 12, 60, 200])
def test_timeline_adds_up_fetched_and_reused_bytes(count):
    table = analysis.timeline(history_of(count))
    ax = plots.timeline(table, ax=Figure().add_subplot())
    line = ax.lines[0]
    needed = table["cumulative_fetch_bytes"] + table["cumulative_reused_bytes"]
    assert ax.get_ylabel() == "MiB, added up"
    assert [value * MIB for value in line.get_ydata()][:-1] == pytest.approx(needed.tolist())
    times = date2num(table["at"].dt.tz_convert(None).to_numpy())
    assert list(line.get_xdata(orig=False))[:-1] == pytest.approx(list(times))
    fetched, reused = ax.collections
    tops = [area.get_paths()[0].vertices[:, 1].max() * MIB for area in (fetched, reused)]
    assert tops == pytest.approx([table["cumulative_fetch_bytes"].iloc[-1], needed.iloc[-1]])


def test_timeline_holds_the_last_step():
    ax = plots.timeline(history_of(1), ax=Figure().add_subplot())
    first, last = ax.lines[0].get_xdata()
    assert last - first == np.timedelta64(1, "h")


def test_timeline_takes_a_history_and_counts_pulls_without_a_time():
    at = pd.Timestamp("2024-01-01", tz="UTC")
    rows = [(at, "c", "r:1", None, MIB, 0, MIB, 1.0), (None, "c", "r:2", None, MIB, 2 * MIB, MIB, 1.0)]
    ax = plots.timeline(build(HISTORY_SCHEMA, rows), ax=Figure().add_subplot())
    title = ax.get_title(loc="left").replace("\n", " ")
    assert title == "2 pulls: 2.0 MiB fetched, 2.0 MiB reused (50 %)"
    assert ax.get_xlabel() == "time (UTC); +1 more pulls without a time"
    assert list(ax.lines[0].get_ydata()) == [1, 1]

"""Sums per group, against pandas'."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spincache_nb.fleet.groups import Groups, sums_at

ROWS = st.lists(st.tuples(st.integers(-2, 2), st.integers(0, 2), st.integers(-(2**40), 2**40)), max_size=30)


@given(ROWS, st.booleans())
def test_groups_add_up_as_pandas_does(rows, in_order: bool) -> None:
    frame = pd.DataFrame(sorted(rows) if in_order else rows, columns=["key", "area", "size"], dtype="int64")
    groups = Groups({"key": frame["key"].to_numpy(), "area": frame["area"].to_numpy()})
    expected = frame.groupby(["key", "area"])["size"].agg(["sum", "min", "max", "size"]).reset_index()
    assert groups.keys()["key"].tolist() == expected["key"].tolist()
    assert groups.keys()["area"].tolist() == expected["area"].tolist()
    size = frame["size"].to_numpy()
    assert groups.sum(size).tolist() == expected["sum"].tolist()
    assert groups.min(size).tolist() == expected["min"].tolist()
    assert groups.max(size).tolist() == expected["max"].tolist()
    assert groups.counts().tolist() == expected["size"].tolist()
    together = frame.groupby(["key", "area"])["size"].transform("sum").tolist()
    assert groups.spread(groups.sum(size)).tolist() == together


def test_sums_are_exact_beyond_what_a_float_holds() -> None:
    size = np.array([2**53, 1, 1], dtype=np.int64)
    groups = Groups({"key": np.zeros(3, dtype=np.int64)})
    assert groups.sum(size).tolist() == [2**53 + 2]
    assert sums_at(np.zeros(3, dtype=np.int64), size, 1).tolist() == [2**53 + 2]


@pytest.mark.parametrize("values", [np.array([True, True, False]), np.array([200, 100, 1], dtype=np.uint8)])
def test_sums_of_small_types_do_not_overflow(values) -> None:
    groups = Groups({"key": np.array([1, 1, 1])})
    assert groups.sum(values).tolist() == [sum(map(int, values))]

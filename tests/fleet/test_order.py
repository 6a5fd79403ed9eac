"""Bytes that sort as versions do."""

from __future__ import annotations

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from spincache_nb.analysis.replay import in_order
from spincache_nb.fleet.order import sort_key

NUMBERS = st.integers(0, 3) | st.integers(0, 10**30)
IDENTIFIERS = st.sampled_from(["alpha", "alpha-1", "rc", "0", "9", "10", "0a", "-"]) | NUMBERS.map(str)
VERSIONS = st.builds(
    lambda v, numbers, pre, build: (
        v + ".".join(map(str, numbers)) + ("-" + ".".join(pre) if pre else "") + build
    ),
    st.sampled_from(["", "v"]),
    st.lists(NUMBERS, min_size=1, max_size=3),
    st.lists(IDENTIFIERS, max_size=3),
    st.sampled_from(["", "_build.1"]),
)
TAGS = VERSIONS | st.sampled_from(["latest", "main", "é", "z", "Z"]) | st.none()
TIMES = st.none() | st.integers(-(10**18), 10**18).map(lambda ns: pd.Timestamp(ns, tz="UTC"))


@given(st.lists(st.tuples(TAGS, TIMES), max_size=12, unique_by=lambda one: one[0]))
def test_sort_key_sorts_as_in_order_does(versions) -> None:
    listed = [(f"r:{tag}", tag, at) for tag, at in versions]
    by_bytes = [reference for reference, _, _ in sorted(listed, key=lambda one: sort_key(*one))]
    assert by_bytes == in_order(listed)

"""The one order of tags."""

from __future__ import annotations

import random

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spincache_nb.analysis.tags import reference_key, tag_key
from spincache_nb.analysis.versions import in_order

SEMANTIC = "1.0.0-alpha 1.0.0-alpha.1 1.0.0-alpha.beta 1.0.0-beta 1.0.0-beta.2 1.0.0-beta.11 1.0.0-rc.1 1.0.0"
"""Semantic Versioning 2.0.0, section 11, examples 2 and 4."""


@pytest.mark.parametrize(
    "ascending",
    [
        f"{SEMANTIC} v1.0.1 1.2 1.10.0 2.0.0 v3 V10 latest",
        "1.2.3.4 1.2.3.10 1.2.4",
        "v1 v2 v10 main latest",
        "0.9 1 build-9 build-10 r9-x r10-a dev latest",
        "2023.12.31 2024.1.5 2024.01.10",
        "2023-12-31 2024-1-5 2024-01-10 2024-02",
        "20240105 20240106-1 20240106",
        "1.0.0a1 1.0.0b2 1.0.0rc1 1.0.0rc10 1.0.0",
        "1.0.0-rc.1 1.0.0 7f3a9c1 latest",
        f"{'9' * 5000} 1{'0' * 5000}",
    ],
)
def test_tags_sort_as_people_count(ascending):
    tags = ascending.split()
    for seed in range(3):
        shuffled = random.Random(seed).sample(tags, len(tags))
        assert sorted(shuffled, key=tag_key) == tags


@given(st.lists(st.none() | st.text(max_size=12) | st.from_regex(r"v?[0-9]+(\.[0-9]+){0,3}(-[a-z0-9.]+)?")))
def test_any_text_has_a_place_and_different_tags_have_different_ones(tags):
    named = {tag_key(tag): tag or "" for tag in tags}
    assert len(named) == len({tag or "" for tag in tags})


def test_ties_go_by_time_then_by_tag():
    def at(day):
        return pd.Timestamp(2024, 1, day, tz="UTC")

    versions = [
        ("r:zeta", "zeta", None),
        ("r:beta", "beta", None),
        ("r:nightly", "nightly", at(3)),
        ("r:edge", "edge", at(2)),
        ("r@sha256:1", None, at(1)),
        ("r:2.0", "2.0", at(1)),
        ("r:v1.0.0", "v1.0.0", at(5)),
        ("r:1.0", "1.0", at(4)),
        ("r:1.0_build.5", "1.0_build.5", at(6)),
        ("r:latest", "latest", at(1)),
    ]
    expected = ["1.0", "v1.0.0", "1.0_build.5", "2.0", "", "edge", "nightly", "beta", "zeta", "latest"]
    names = [f"r:{tag}" if tag else "r@sha256:1" for tag in expected]
    assert in_order(versions) == in_order(versions[::-1]) == names


def test_references_sort_by_repository_then_tag():
    names = ["localhost:5000/a:v2", "localhost:5000/a:v10", "r.io/a:1", "r.io/a@sha256:00", "r.io/b:1"]
    names.append("site/spin.toml")
    assert sorted([*names[3:], *names[:3]], key=reference_key) == names

from __future__ import annotations

import random

import pandas as pd
import pytest

from spincache_nb.analysis.versions import choose_order, in_order, version_key

# Semantic Versioning 2.0.0, section 11, examples 2 and 4, and what tags add to it.
ASCENDING = [
    "1.0.0-alpha",
    "1.0.0-alpha.1",
    "1.0.0-alpha.beta",
    "1.0.0-beta",
    "1.0.0-beta.2",
    "1.0.0-beta.11",
    "1.0.0-rc.1",
    "1.0.0",
    "v1.0.1",
    "1.2",
    "1.10.0",
    "2.0.0",
    "v3",
    "V10",
]


def test_version_key_orders_as_semantic_versioning_says():
    shuffled = ASCENDING.copy()
    random.Random(7).shuffle(shuffled)
    assert sorted(shuffled, key=version_key) == ASCENDING


@pytest.mark.parametrize(
    "tag", ["latest", "main", "v", "1.0.0.0", "1..2", "1.0-", "abc123", "", "1.0.0-a..b", "١.٢"]
)
def test_version_key_refuses_what_is_no_version(tag):
    assert version_key(tag) is None


def test_version_key_ignores_build_metadata():
    assert version_key("1.0.0_build.5") == version_key("1.0.0+other") == version_key("1.0.0")


def test_in_order_puts_versions_first_then_time_then_tag():
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
    ]
    expected = ["r:1.0", "r:v1.0.0", "r:2.0", "r@sha256:1", "r:edge", "r:nightly", "r:beta", "r:zeta"]
    assert in_order(versions) == expected
    assert in_order(versions[::-1]) == expected


def test_choose_order_takes_tags_and_references_and_refuses_others():
    known = [("r:1", "1"), ("r:2", "2"), ("r@sha256:0", None)]
    assert choose_order(known, ["2", "r:1", "r@sha256:0", "2"]) == ["r:2", "r:1", "r@sha256:0", "r:2"]
    with pytest.raises(ValueError, match="no such version: '3'"):
        choose_order(known, ["3"])

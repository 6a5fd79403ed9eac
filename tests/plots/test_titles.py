"""What plots say they found: true of nothing, of one and of many."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from spincache_nb.analysis.schemas import BREAKDOWN_SCHEMA, GRAINS_SCHEMA, SHARING_SETS_SCHEMA
from spincache_nb.frames.schemas import build, empty
from spincache_nb.plots import titles

MIB = 2**20


def disk(**sizes: int) -> pd.DataFrame:
    return build(
        BREAKDOWN_SCHEMA, [(n, kind, kind, 1, 1, size, None) for n, (kind, size) in enumerate(sizes.items())]
    )


@pytest.mark.parametrize(
    ("sizes", "text"),
    [
        ({"shared": 3 * MIB, "exclusive": MIB}, "Several apps share 75 % of 4.0 MiB on disk: 3.0 MiB"),
        ({"shared": MIB, "exclusive": 3 * MIB}, "75 % of 4.0 MiB on disk is needed by one app only"),
        (
            {"exclusive": 8 * MIB, "unreferenced": MIB, "temporary": MIB},
            "Nothing needs 20 % of 10.0 MiB on disk: 2.0 MiB",
        ),
        ({"projects": MIB}, "No app needs any of 1.0 MiB on disk"),
        ({"other": 0}, "Nothing but empty files"),
    ],
)
def test_breakdown(sizes: dict[str, int], text: str) -> None:
    assert titles.breakdown(disk(**sizes)) == text


def test_sets_of_none_one_and_ten_thousand() -> None:
    assert titles.sets(empty(SHARING_SETS_SCHEMA)) == "Nothing is shared"
    one = [(0, user, "app", 2, 1, MIB) for user in "ab"]
    assert titles.sets(build(SHARING_SETS_SCHEMA, one)) == "One file of 1.0 MiB is all that 2 share"
    many = [(n, f"{user}{n}", "app", 2, 3, MIB) for n in range(10_000) for user in "ab"]
    assert titles.sets(build(SHARING_SETS_SCHEMA, many)) == (
        "15,000 files of 4.9 GiB are most of the 9.8 GiB that 20,000 share"
    )


def test_versions_and_repositories() -> None:
    table = pd.DataFrame({"total_bytes": [MIB, MIB], "fetch_bytes": [MIB, MIB]}, dtype="Int64")
    assert (
        titles.versions(table, "ghcr.io/o/web")
        == "2 versions of ghcr.io/o/web re-use next to nothing: 2.0 MiB fetched"
    )
    assert titles.versions(table.head(1), "") == "1 version: 1.0 MiB to fetch"
    table.loc[1, "fetch_bytes"] = 0
    assert titles.repositories(table) == "Pulling version after version of 2 repositories saves 50 %: 1.0 MiB"


def test_upgrades_say_the_range_and_the_middle() -> None:
    assert titles.upgrades(np.ma.masked_invalid([[5.0]])) == "One version: nothing to go from"
    square = np.ma.masked_invalid([[0, MIB, MIB], [MIB, 0, MIB], [MIB, MIB, 0]])
    assert titles.upgrades(square) == "Going to another version fetches 1.0 MiB"
    square[0, 1] = 3 * MIB
    assert (
        titles.upgrades(square)
        == "Going to another version fetches 1.0 MiB to 3.0 MiB, 1.0 MiB in the middle"
    )


def test_grains_name_the_one_that_pays() -> None:
    rows = [
        ("blob", 100, 0, 1, 32, 0.0),
        ("function", 100, 60, 2, 10, 0.6),
        ("chunk 4 KiB", 100, 70, 9, 40, 0.7),
    ]
    assert (
        titles.grains(build(GRAINS_SCHEMA, rows))
        == "By function, 50 % would be re-used, index paid, whole files 0 %"
    )
    assert titles.grains(build(GRAINS_SCHEMA, rows[:1])) == "No finer grain pays for its index"

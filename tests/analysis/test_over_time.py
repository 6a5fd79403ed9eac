from __future__ import annotations

import pandas as pd

from spincache_nb import analysis
from spincache_nb.frames import schemas


def history(*pulls):
    """Rows of (day, cache, reference, digest, fetched, reused, wire)."""
    return schemas.build(
        schemas.HISTORY_SCHEMA,
        [
            (pd.Timestamp(2024, 1, day, tz="UTC") if day else None, cache, ref, digest, *sizes, 1.5)
            for day, cache, ref, digest, *sizes in pulls
        ],
    )


def test_timeline_adds_up_in_order_of_time():
    table = analysis.timeline(
        history(
            (3, "c", "r:2", "d2", 10, 30, 15),
            (1, "c", "r:1", "d1", 40, 0, 45),
            (None, "c", "r:3", "d3", 1, 2, None),
            (2, "c", "r:1", "d1", 0, 0, 5),
        )
    )
    assert table["reference"].tolist() == ["r:1", "r:1", "r:2", "r:3"]
    assert table["cumulative_fetch_bytes"].tolist() == [40, 40, 50, 51]
    assert table["cumulative_reused_bytes"].tolist() == [0, 0, 30, 32]
    assert table["cumulative_wire_bytes"].tolist() == [45, 50, 65, 65]
    assert table["saved_share"].isna().tolist() == [False, True, False, False]
    assert table.loc[2, "saved_share"] == 0.75


def test_tags_over_time_gives_each_run_of_one_manifest():
    table = analysis.tags_over_time(
        history(
            (1, "c", "r:latest", "d1", 1, 0, 1),
            (5, "c", "r:latest", "d1", 1, 0, 1),
            (2, "c", "r:latest", "d1", 1, 0, 1),
            (3, "c", "r:latest", "d2", 1, 0, 1),
            (4, "c", "r:latest", None, 1, 0, 1),
            (1, "other", "r:latest", "d9", 1, 0, 1),
        )
    )
    assert list(zip(table["cache"], table["meaning"], table["manifest_digest"], strict=True)) == [
        ("c", 1, "d1"),
        ("c", 2, "d2"),
        ("c", 3, "d1"),
        ("other", 1, "d9"),
    ]
    assert table["pull_count"].tolist() == [2, 1, 1, 1]
    assert table["returned"].tolist() == [False, False, True, False]
    assert table.loc[0, "last_pulled_at"] == pd.Timestamp(2024, 1, 2, tz="UTC")


def test_timeline_and_tags_of_no_history_keep_columns_and_dtypes():
    nothing = schemas.empty(schemas.HISTORY_SCHEMA)
    assert analysis.timeline(nothing)["at"].dtype == "datetime64[ns, UTC]"
    assert analysis.tags_over_time(nothing)["returned"].dtype == "boolean"

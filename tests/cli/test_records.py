"""Frames as JSON."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest

from spincache_nb.cli.records import records, to_json


def frame() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "reference": pd.Series(["a:1", None], dtype="string"),
            "kind": pd.Categorical(["app", None], categories=["app", "package"]),
            "stored_bytes": pd.Series([2**53 + 1, None], dtype="Int64"),
            "stored": pd.Series([True, None], dtype="boolean"),
            "ratio": pd.Series([0.5, None], dtype="Float64"),
            "at": pd.to_datetime(pd.Series(["2026-03-02T09:14:27.318204611Z", None]), utc=True),
        }
    )


def test_to_json_gives_records_with_plain_values() -> None:
    assert json.loads(to_json(records(frame()))) == [
        {
            "reference": "a:1",
            "kind": "app",
            "stored_bytes": 9007199254740993,
            "stored": True,
            "ratio": 0.5,
            "at": "2026-03-02T09:14:27.318204Z",
        },
        {
            "reference": None,
            "kind": None,
            "stored_bytes": None,
            "stored": None,
            "ratio": None,
            "at": None,
        },
    ]


def test_records_keep_the_order_of_columns() -> None:
    assert list(records(frame())[0]) == ["reference", "kind", "stored_bytes", "stored", "ratio", "at"]


def test_records_of_no_rows_are_none() -> None:
    assert records(frame().head(0)) == []


def test_to_json_is_ascii_also_for_names_that_are_not_utf_8() -> None:
    document = {"path": Path("/srv/\udc80é"), "name": "\x1b"}
    text = to_json(document)
    assert text.isascii()
    assert json.loads(text) == {"path": "/srv/\udc80é", "name": "\x1b"}


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_to_json_has_no_numbers_that_are_not_json(value: float) -> None:
    assert json.loads(to_json([value])) == [None]


def test_to_json_writes_times_in_utc_with_six_digits() -> None:
    assert json.loads(to_json(datetime(2026, 1, 1, tzinfo=UTC))) == "2026-01-01T00:00:00.000000Z"

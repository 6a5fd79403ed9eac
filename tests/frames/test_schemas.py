"""Columns and dtypes, with rows and without, and the docstrings that list them."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spincache_nb import frames
from spincache_nb.core.cache import Cache
from spincache_nb.core.documents import parse_rfc_3339
from spincache_nb.frames.schemas import (
    COUNT,
    FEW,
    FLAG,
    RATIO,
    TEXT,
    TIME,
    Schema,
    build,
    empty,
    from_columns,
    nanoseconds,
    several,
)
from tests.support import artifacts
from tests.support.caches import pulled
from tests.support.trees import write_tree

NAMES = ["apps", "layers", "uses", "components", "files", "blobs", "problems", "disk", "history"]
ONE_OF_EACH: Schema = {"a": TEXT, "b": FEW, "c": COUNT, "d": FLAG, "e": TIME, "f": RATIO}


def schema_of(name: str) -> Schema:
    schema: Schema = getattr(frames, f"{name.upper()}_SCHEMA")
    return schema


def function_of(name: str) -> Callable[..., pd.DataFrame]:
    function: Callable[..., pd.DataFrame] = getattr(frames, name)
    return function


def check(frame: pd.DataFrame, schema: Schema) -> None:
    assert list(frame.columns) == list(schema)
    assert {name: str(dtype) for name, dtype in frame.dtypes.items()} == dict(schema)
    assert isinstance(frame.index, pd.RangeIndex)
    for name, dtype in schema.items():
        if dtype == TEXT:
            assert frame[name].dtype == pd.StringDtype("python")
        if dtype == FEW:
            assert frame[name].cat.categories.dtype == pd.StringDtype("python")
            assert frame[name].cat.categories.is_monotonic_increasing


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    for artifact in artifacts.five_kinds().values():
        write_tree(tmp_path / "registry", pulled(artifact))
    write_tree(tmp_path / "registry", {"wasm/odd": b"x"})
    return Cache(tmp_path)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "history"])
def test_frame_has_its_schema_with_rows_and_without(cache: Cache, tmp_path: Path, name: str) -> None:
    filled, nothing = function_of(name)(cache), function_of(name)(Cache(tmp_path / "none"))
    assert len(filled) > 0
    assert len(nothing) == 0
    check(filled, schema_of(name))
    check(nothing, schema_of(name))


@pytest.mark.parametrize("name", [name for name in NAMES if name != "history"])
def test_frame_of_several_caches_begins_with_the_cache(cache: Cache, tmp_path: Path, name: str) -> None:
    other = Cache(tmp_path / "none")
    frame = function_of(name)([cache, other, cache, cache.path.parent])
    check(frame, {"cache": FEW, **schema_of(name)})
    assert set(frame["cache"]) == {str(cache.path)}
    single = function_of(name)(cache)
    pd.testing.assert_frame_equal(frame.drop(columns="cache"), single, check_categorical=False)
    check(function_of(name)([]), {"cache": FEW, **schema_of(name)})
    check(function_of(name)(iter([cache])), {"cache": FEW, **schema_of(name)})


def test_history_has_its_schema_without_rows() -> None:
    check(frames.history(), frames.HISTORY_SCHEMA)


@pytest.mark.parametrize("name", NAMES)
def test_docstring_lists_the_columns_of_the_schema(name: str) -> None:
    lines = (function_of(name).__doc__ or "").splitlines()
    rules = [number for number, line in enumerate(lines) if re.fullmatch(r"\s+=[= ]+=", line)]
    assert len(rules) == 3, "one table: column, dtype, meaning"
    starts = [match.start() for match in re.finditer(r"=+", lines[rules[0]])]
    cells = [
        (line[starts[0] : starts[1]].strip(), line[starts[1] : starts[2]].strip())
        for line in lines[rules[0] + 1 : rules[2]]
    ]
    assert cells[0] == ("column", "dtype")
    assert [cell for cell in cells[2:] if cell[0]] == list(schema_of(name).items())
    assert all(line[starts[2] :].strip() for line in lines[rules[1] + 1 : rules[2]])
    assert all(line[starts[2] - 1] == " " for line in lines[rules[1] + 1 : rules[2]])


def test_build_keeps_missing_values_missing() -> None:
    frame = build(ONE_OF_EACH, [[None] * 6, ["x", "y", 1, True, 1, 0.5], [pd.NA] * 6])
    check(frame, ONE_OF_EACH)
    assert frame.isna().to_numpy().tolist() == [[True] * 6, [False] * 6, [True] * 6]
    assert frame.loc[0, "a"] is pd.NA
    assert frame.loc[0, "e"] is pd.NaT


def test_build_sorts_stably() -> None:
    frame = build({"a": COUNT, "b": TEXT}, [(2, "x"), (1, "y"), (2, "w")], sort=["a"])
    assert frame["b"].tolist() == ["y", "x", "w"]
    assert frame.index.tolist() == [0, 1, 2]


def test_from_columns_wants_every_column() -> None:
    with pytest.raises(KeyError):
        from_columns({"a": TEXT, "b": TEXT}, {"a": []})


def test_from_columns_goes_through_values_once() -> None:
    frame = from_columns(ONE_OF_EACH, {name: iter([None, None]) for name in ONE_OF_EACH})
    check(frame, ONE_OF_EACH)
    assert len(frame) == 2


@pytest.mark.parametrize(
    ("value", "kept"), [(0, True), (2**63 - 1, True), (2**63, False), (10**30, False), (-5, True)]
)
def test_count_beyond_64_bits_is_missing(value: int, kept: bool) -> None:
    column = build({"a": COUNT}, [[value]])["a"]
    assert column.tolist() == ([value] if kept else [pd.NA])


def test_several_puts_the_cache_first_once() -> None:
    assert list(several({"a": TEXT})) == ["cache", "a"]
    assert list(several(frames.HISTORY_SCHEMA)) == list(frames.HISTORY_SCHEMA)


def test_empty_frames_of_one_schema_join_with_filled_ones() -> None:
    left = build({"k": FEW, "v": COUNT}, [["a", 1], ["b", 2]])
    merged = left.merge(empty({"k": FEW, "w": COUNT}), on="k", how="left", validate="one_to_one")
    assert merged["w"].isna().tolist() == [True, True]


# Times ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01t00:00:00z", 0),
        ("1970-01-01 00:00:00Z", 0),
        ("2026-03-01T10:00:00.123456789+00:00", 1772359200123456789),
        ("2026-03-01T12:00:00+02:00", 1772359200000000000),
        ("2026-03-01T04:30:00-05:30", 1772359200000000000),
        ("2026-03-01T10:00:00.1234567891234Z", 1772359200123456789),
        ("1969-12-31T23:59:59.5Z", -500000000),
        ("2016-12-31T23:59:60Z", 1483228800000000000),
        ("2026-03-01T10:00:00", None),
        ("2026-03-01", None),
        ("2026-13-01T10:00:00Z", None),
        ("2026-02-29T10:00:00Z", None),
        ("2026-03-01T25:00:00Z", None),
        ("2026-03-01T10:00:00+24:00", None),
        ("2026-03-01T10:00:00+01:60", None),
        ("0000-01-01T00:00:00Z", None),
        ("9999-12-31T23:59:59Z", None),
        ("1600-01-01T00:00:00Z", None),
        ("٢٠٢٦-03-01T10:00:00Z", None),
        ("now", None),
        ("", None),
    ],
)
def test_nanoseconds_reads_rfc_3339(text: str, expected: int | None) -> None:
    assert nanoseconds(text) == expected


def test_parse_rfc_3339_gives_times_of_any_size() -> None:
    assert parse_rfc_3339("3000-01-01T00:00:00Z") == 32503680000 * 10**9


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (pd.NaT, None),
        (pd.NA, None),
        (1, 1),
        (2**63 - 1, 2**63 - 1),
        (2**63, None),
        (-(2**63), None),
        (datetime(1970, 1, 1, 1, tzinfo=UTC), 3600 * 10**9),
        (datetime(1970, 1, 1, 1), 3600 * 10**9),
        (datetime(3000, 1, 1, tzinfo=UTC), None),
        (pd.Timestamp("1970-01-01T00:00:00.000000001Z"), 1),
        (pd.Timestamp(datetime(3000, 1, 1)).as_unit("s"), None),
        (np.datetime64("1970-01-01T00:00:01"), 10**9),
    ],
)
def test_nanoseconds_reads_times_of_every_kind(value: object, expected: int | None) -> None:
    assert nanoseconds(value) == expected


@settings(deadline=None)  # the machine may be busy
@given(st.datetimes(min_value=datetime(1700, 1, 1), max_value=datetime(2200, 1, 1)), st.integers(-1439, 1439))
def test_time_column_agrees_with_pandas(moment: datetime, minutes: int) -> None:
    local = moment.replace(tzinfo=UTC) + timedelta(minutes=minutes)
    sign = "-" if minutes < 0 else "+"
    text = f"{local:%Y-%m-%dT%H:%M:%S.%f}{sign}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"
    expected = pd.Timestamp(moment, tz="UTC").as_unit("ns")
    frame = build({"a": TIME}, [[text], [moment.replace(tzinfo=UTC)], [expected]])
    assert frame["a"].tolist() == [expected] * 3


def test_frames_take_paths_and_refuse_all_else(cache: Cache) -> None:
    folder = cache.path.parent
    for path in (folder, str(folder)):
        pd.testing.assert_frame_equal(frames.apps(path), frames.apps(cache))
    for wrong in (7, b"x", {"a": cache}, [cache, 7], pd.DataFrame({"a": [1]}), frames.load(cache, "apps")):
        with pytest.raises(TypeError, match="expected a Cache"):
            frames.apps(wrong)  # type: ignore[arg-type]


def test_frames_without_an_argument_are_of_this_users_cache(isolated_home: Path) -> None:
    assert frames.apps().empty
    write_tree(Cache().path, pulled(artifacts.package()))
    assert frames.apps()["reference"].tolist() == frames.apps(Cache())["reference"].tolist() != []
    assert "cache" not in frames.load().need("uses")

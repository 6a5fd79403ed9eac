"""Columns and dtypes of every frame, and the one way to build a frame from them.

Text is ``string``, kept as Python objects (``pandas.StringDtype("python")``), and so are categories:
nothing depends on whether pyarrow is installed. Sizes are bytes (``Int64``), times
``datetime64[ns, UTC]`` (missing or out of range: ``NaT``), other missing values ``pd.NA``. Keys keep
one name in all frames (``reference``, ``digest``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from spincache_nb.frames.times import nanoseconds

Schema = Mapping[str, str]

TEXT = "string"
FEW = "category"
COUNT = "Int64"
FLAG = "boolean"
TIME = "datetime64[ns, UTC]"
RATIO = "Float64"

APPS_SCHEMA: Schema = MappingProxyType(
    {
        "reference": TEXT,
        "registry": FEW,
        "repository": FEW,
        "tag": TEXT,
        "kind": FEW,
        "name": TEXT,
        "version": TEXT,
        "description": TEXT,
        "created_at": TIME,
        "pulled_at": TIME,
        "manifest_digest": TEXT,
        "config_digest": TEXT,
        "config_bytes": COUNT,
        "layer_count": COUNT,
        "component_count": COUNT,
        "declared_bytes": COUNT,
        "stored_bytes": COUNT,
    }
)
LAYERS_SCHEMA: Schema = MappingProxyType(
    {
        "reference": FEW,
        "position": COUNT,
        "digest": FEW,
        "media_type": FEW,
        "role": FEW,
        "declared_bytes": COUNT,
        "stored": FLAG,
    }
)
USES_SCHEMA: Schema = MappingProxyType(
    {"user": FEW, "digest": FEW, "area": FEW, "stored_bytes": COUNT, "via": FEW}
)
COMPONENTS_SCHEMA: Schema = MappingProxyType(
    {
        "reference": FEW,
        "component": TEXT,
        "source_digest": FEW,
        "source_bytes": COUNT,
        "file_count": COUNT,
        "files_bytes": COUNT,
        "dependency_count": COUNT,
        "languages": TEXT,
        "toolchains": TEXT,
    }
)
FILES_SCHEMA: Schema = MappingProxyType(
    {
        "reference": FEW,
        "component": FEW,
        "path": TEXT,
        "digest": FEW,
        "inline": FLAG,
        "size_bytes": COUNT,
    }
)
BLOBS_SCHEMA: Schema = MappingProxyType(
    {
        "name": TEXT,
        "digest": TEXT,
        "area": FEW,
        "stored_bytes": COUNT,
        "modified_at": TIME,
        "standing": FEW,
    }
)
PROBLEMS_SCHEMA: Schema = MappingProxyType(
    {"path": TEXT, "reference": TEXT, "kind": FEW, "detail": TEXT, "remedy": TEXT}
)
HISTORY_SCHEMA: Schema = MappingProxyType(
    {
        "at": TIME,
        "cache": TEXT,
        "reference": TEXT,
        "manifest_digest": TEXT,
        "fetch_bytes": COUNT,
        "reused_bytes": COUNT,
        "wire_bytes": COUNT,
        "seconds": RATIO,
    }
)
DEPENDENCIES_SCHEMA: Schema = MappingProxyType(
    {"reference": FEW, "component": TEXT, "trigger": TEXT, "name": TEXT, "digest": FEW}
)
"""One row per app, component or trigger, and dependency of it: its name or role, and its digest."""
UNNAMED_SCHEMA: Schema = MappingProxyType({"reference": FEW, "digest": FEW})
"""One row per app and blob in ``data/`` that an archive of the app holds and nothing in it names."""
DISK_SCHEMA: Schema = MappingProxyType({"path": TEXT, "area": FEW, "stored_bytes": COUNT, "same_as": TEXT})
"""One row per regular file under ``registry``: path relative to it; area ``wasm``, ``data``,
``manifests`` or ``other``; bytes on disk, 0 for the second and later names of one hard-linked file;
the path of the first name for these."""


CACHE = "cache"
"""First column of every frame over several caches: path of the ``registry`` directory."""

_MAX_INT = (1 << 63) - 1
_NO_TIME = -(1 << 63)


def build(schema: Schema, rows: Iterable[Sequence[Any]], *, sort: Sequence[str] = ()) -> pd.DataFrame:
    """Make a frame with exactly the columns and dtypes of a schema, also from no rows."""
    lines = list(rows)
    frame = from_columns(schema, {name: [line[place] for line in lines] for place, name in enumerate(schema)})
    if sort:
        frame = frame.sort_values(list(sort), kind="stable", ignore_index=True)
    return frame


def from_columns(schema: Schema, columns: Mapping[str, Iterable[Any]]) -> pd.DataFrame:
    """Make a frame of a schema column by column, which large frames are better made by."""
    return pd.DataFrame({name: _series(columns[name], dtype) for name, dtype in schema.items()})


class Picked(NamedTuple):
    """A long column that says few different things, each of which is looked at only once."""

    values: Iterable[Any]
    places: npt.NDArray[np.intp]
    in_order: bool = False


def empty(schema: Schema) -> pd.DataFrame:
    """Make a frame of a schema without rows."""
    return build(schema, [])


def several(schema: Schema) -> Schema:
    """Columns of a frame over several caches: the same, with ``cache`` first."""
    return schema if CACHE in schema else MappingProxyType({CACHE: FEW, **schema})


def _series(values: Iterable[Any], dtype: str) -> pd.Series[Any]:
    makers = {TEXT: _text, FEW: _few, COUNT: _count, FLAG: _flag, TIME: _time}
    if isinstance(values, Picked):
        if values.in_order and dtype == FEW:
            return pd.Series(_categories(values.values, values.places), copy=False)
        return _series(values.values, dtype).take(values.places).reset_index(drop=True)
    if dtype in makers:
        return pd.Series(makers[dtype](values), copy=False)
    return pd.Series(list(values), dtype=dtype)


def _missing(value: Any) -> bool:
    return value is None or value is pd.NA


def _are_integers(values: Iterable[Any]) -> bool:
    """Whether nothing is missing, and nothing but an int, not even a bool."""
    return set(map(type, values)) <= {int}


def _text(values: Iterable[Any]) -> Any:
    given = values if isinstance(values, np.ndarray) else list(values)
    return pd.array(given, dtype=pd.StringDtype("python"))


def _few(values: Iterable[Any]) -> Any:
    given = list(values)
    order = sorted(value for value in dict.fromkeys(given) if not _missing(value))
    codes: dict[Any, int] = {None: -1, pd.NA: -1} | dict(zip(order, range(len(order)), strict=True))
    return _categories(order, np.fromiter(map(codes.__getitem__, given), np.intp, len(given)))


def _categories(values: Iterable[Any], places: npt.NDArray[np.intp]) -> Any:
    categories = pd.Index(_text(values))
    return pd.Categorical.from_codes(places.astype(np.int32), categories=categories)


def _count(values: Iterable[Any]) -> Any:
    if isinstance(values, np.ndarray) and values.dtype == np.int64:
        return pd.arrays.IntegerArray(values, np.zeros(len(values), bool))
    given = list(values)
    if _are_integers(given) and (not given or -_MAX_INT <= min(given) <= max(given) <= _MAX_INT):
        numbers = np.fromiter(given, np.int64, len(given))
        return pd.arrays.IntegerArray(numbers, np.zeros(len(given), bool))
    absent = np.fromiter((_missing(v) or not -_MAX_INT <= v <= _MAX_INT for v in given), bool, len(given))
    known = (0 if gone else value for value, gone in zip(given, absent, strict=True))
    return pd.arrays.IntegerArray(np.fromiter(known, np.int64, len(given)), absent)


def _flag(values: Iterable[Any]) -> Any:
    if isinstance(values, np.ndarray) and values.dtype == bool:
        return pd.arrays.BooleanArray(values, np.zeros(len(values), bool))
    given = list(values)
    if set(map(type, given)) <= {bool}:
        flags = np.fromiter(given, bool, len(given))
        return pd.arrays.BooleanArray(flags, np.zeros(len(given), bool))
    absent = np.fromiter((_missing(value) for value in given), bool, len(given))
    known = (not gone and bool(value) for value, gone in zip(given, absent, strict=True))
    return pd.arrays.BooleanArray(np.fromiter(known, bool, len(given)), absent)


def _time(values: Iterable[Any]) -> Any:
    if isinstance(values, np.ndarray) and values.dtype == np.int64:
        return pd.DatetimeIndex(values.view("datetime64[ns]")).tz_localize("UTC")
    given = list(values)
    plain = _are_integers(given) and (not given or -_MAX_INT <= min(given) <= max(given) <= _MAX_INT)
    known = iter(given) if plain else (nanoseconds(value) for value in given)
    instants = np.fromiter((_NO_TIME if ns is None else ns for ns in known), np.int64, len(given))
    return pd.DatetimeIndex(instants.view("datetime64[ns]")).tz_localize("UTC")

"""Columns and dtypes of what a fleet's analyses return: those of one cache's, and what only many have."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from spincache_nb.analysis.schemas import (
    SHARED_BYTES_SCHEMA,
    SHARING_SCHEMA,
    SUMMARY_SCHEMA,
    VERSION_SAVINGS_SCHEMA,
)
from spincache_nb.frames.schemas import COUNT, FEW, RATIO, TEXT, TIME, Schema

AGE = "timedelta64[ns]"
_LAST_MICROSECOND = (2**63 - 1) // 1000
"""What nanoseconds in 64 bits reach; later moments are missing, as in all frames."""
_NO_TIME = 2**62

FLEET_SUMMARY_SCHEMA: Schema = MappingProxyType(
    {
        **SUMMARY_SCHEMA,
        **dict.fromkeys(("host_count", "distinct_blob_count", "distinct_bytes"), COUNT),
        "shared_cache_saved_bytes": COUNT,
    }
)
FLEET_SHARING_SCHEMA: Schema = MappingProxyType(
    {**SHARING_SCHEMA, "host_count": COUNT, "distinct_bytes": COUNT, "shared_cache_saved_bytes": COUNT}
)
FLEET_SHARED_BYTES_SCHEMA = SHARED_BYTES_SCHEMA
FLEET_BREAKDOWN_SCHEMA: Schema = MappingProxyType(
    {"host": FEW, "kind": FEW, "file_count": COUNT, "stored_bytes": COUNT, "share": RATIO}
)
FLEET_VERSION_SAVINGS_SCHEMA: Schema = MappingProxyType(
    {"repository": FEW, **VERSION_SAVINGS_SCHEMA, "host_count": COUNT}
)
UNREFERENCED_SCHEMA: Schema = MappingProxyType(
    {
        **{"host": FEW, "digest": TEXT, "area": FEW, "stored_bytes": COUNT, "modified_at": TIME},
        "used_by_hosts": COUNT,
    }
)
HOST_OVERLAP_SCHEMA: Schema = MappingProxyType(
    {
        "host": FEW,
        **dict.fromkeys(("blob_count", "stored_bytes", "only_here_bytes", "elsewhere_bytes"), COUNT),
        **dict.fromkeys(("new_bytes", "shared_cache_saved_bytes", "cumulative_stored_bytes"), COUNT),
        "cumulative_distinct_bytes": COUNT,
    }
)
HOST_PAIRS_SCHEMA: Schema = MappingProxyType({"host_a": FEW, "host_b": FEW, "shared_bytes": COUNT})
PREWARM_SCHEMA: Schema = MappingProxyType(
    {
        **dict.fromkeys(("host_count", "blob_count", "distinct_bytes", "stored_bytes"), COUNT),
        **{"image_bytes": COUNT, "saved_bytes": COUNT, "saved_share": RATIO},
    }
)
PREWARM_IMAGES_SCHEMA: Schema = MappingProxyType(
    {"reference": TEXT, **dict.fromkeys(("host_count", "image_bytes", "saved_bytes"), COUNT)}
)
VERSIONS_SCHEMA: Schema = MappingProxyType(
    {
        **{"reference": TEXT, "repository": FEW, "tag": TEXT, "host_count": COUNT, "manifest_count": COUNT},
        **{"declared_bytes": COUNT, "stored_bytes": COUNT, "first_pulled_at": TIME, "last_pulled_at": TIME},
    }
)
PROBLEMS_SCHEMA: Schema = MappingProxyType({"host": FEW, "kind": FEW, "reference": TEXT, "path": TEXT})
SNAPSHOTS_SCHEMA: Schema = MappingProxyType(
    {
        **{"host": FEW, "kind": FEW, "day": TIME, "taken_at": TIME, "snapshot_age": AGE},
        **{"row_count": COUNT, "size_bytes": COUNT},
    }
)


def frame_of(table: Any, schema: Schema) -> pd.DataFrame:
    """Make a frame of a schema from the columns of an Arrow table that have its names."""
    return pd.DataFrame({name: _typed(table.column(name), dtype) for name, dtype in schema.items()})


def _typed(column: Any, dtype: str) -> Any:
    text = pd.StringDtype("python")
    if dtype in (TEXT, FEW):
        values = np.array(column.to_pylist(), dtype=object)
        if dtype == TEXT:
            return pd.Series(pd.array(values, dtype=text))
        codes, found = pd.factorize(values, sort=True)
        return pd.Series(pd.Categorical.from_codes(codes, categories=pd.Index(found, dtype=text)))
    if dtype in (TIME, AGE):
        micros = np.asarray(column.cast("int64").fill_null(_NO_TIME))
        there = np.abs(micros) <= _LAST_MICROSECOND
        moments = np.where(there, micros * 1000, np.iinfo(np.int64).min)
        if dtype == AGE:
            return pd.Series(pd.TimedeltaIndex(moments.view("timedelta64[ns]")))
        return pd.Series(pd.DatetimeIndex(moments.view("datetime64[ns]")).tz_localize("UTC"))
    missing = np.asarray(column.is_null())
    numbers = np.asarray(column.fill_null(0))
    if dtype == RATIO:
        return pd.Series(pd.arrays.FloatingArray(numbers.astype(np.float64), missing))
    return pd.Series(pd.arrays.IntegerArray(numbers.astype(np.int64), missing))

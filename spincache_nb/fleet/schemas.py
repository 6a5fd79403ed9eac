"""Columns and dtypes of what a fleet's analyses return: those of one cache's, and what only many have."""

from __future__ import annotations

from collections.abc import Mapping
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

FLEET_SUMMARY_SCHEMA: Schema = MappingProxyType(
    {
        **SUMMARY_SCHEMA,
        "host_count": COUNT,
        "distinct_blob_count": COUNT,
        "distinct_bytes": COUNT,
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
        "host": FEW,
        "digest": TEXT,
        "area": FEW,
        "stored_bytes": COUNT,
        "modified_at": TIME,
        "used_by_hosts": COUNT,
    }
)
HOST_OVERLAP_SCHEMA: Schema = MappingProxyType(
    {
        "host": FEW,
        "blob_count": COUNT,
        "stored_bytes": COUNT,
        "only_here_bytes": COUNT,
        "elsewhere_bytes": COUNT,
        "new_bytes": COUNT,
        "shared_cache_saved_bytes": COUNT,
        "cumulative_stored_bytes": COUNT,
        "cumulative_distinct_bytes": COUNT,
    }
)
HOST_PAIRS_SCHEMA: Schema = MappingProxyType({"host_a": FEW, "host_b": FEW, "shared_bytes": COUNT})
PREWARM_SCHEMA: Schema = MappingProxyType(
    {
        "host_count": COUNT,
        "blob_count": COUNT,
        "distinct_bytes": COUNT,
        "stored_bytes": COUNT,
        "image_bytes": COUNT,
        "saved_bytes": COUNT,
        "saved_share": RATIO,
    }
)
VERSIONS_SCHEMA: Schema = MappingProxyType(
    {
        "reference": TEXT,
        "repository": FEW,
        "tag": TEXT,
        "host_count": COUNT,
        "manifest_count": COUNT,
        "declared_bytes": COUNT,
        "stored_bytes": COUNT,
        "first_pulled_at": TIME,
        "last_pulled_at": TIME,
    }
)
PROBLEMS_SCHEMA: Schema = MappingProxyType({"host": FEW, "kind": FEW, "reference": TEXT, "path": TEXT})


def typed(schema: Schema, columns: Mapping[str, Any]) -> pd.DataFrame:
    """Make a frame of a schema from whole columns, which suits millions of rows."""
    return pd.DataFrame({name: _typed(columns[name], dtype) for name, dtype in schema.items()})


def _typed(values: Any, dtype: str) -> Any:
    text = pd.StringDtype("python")
    if dtype == TEXT:
        return pd.Series(pd.array(np.asarray(values, dtype=object), dtype=text))
    if dtype == FEW:
        codes, found = pd.factorize(np.asarray(values, dtype=object), sort=True)
        return pd.Series(pd.Categorical.from_codes(codes, categories=pd.Index(found, dtype=text)))
    if dtype == TIME:
        numbers = pd.array(values, dtype="Int64")
        instants = numbers.to_numpy(dtype=np.int64, na_value=np.iinfo(np.int64).min)
        return pd.Series(pd.DatetimeIndex(instants.view("datetime64[ns]")).tz_localize("UTC"))
    return pd.Series(pd.array(values, dtype=dtype))

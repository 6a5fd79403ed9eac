"""Frames and values as records: what ``--json`` writes and tables are made of."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

Record = dict[str, Any]


def records(frame: pd.DataFrame) -> list[Record]:
    """Make one record per row of a frame, with plain Python values and None for missing ones."""
    names = [str(name) for name in frame.columns]
    values = [_plain(frame[name]) for name in frame.columns]
    return [dict(zip(names, row, strict=True)) for row in zip(*values, strict=True)]


def _plain(column: pd.Series[Any]) -> list[Any]:
    values: list[Any] = column.astype(object).tolist()
    return [None if missing else value for value, missing in zip(values, column.isna(), strict=True)]


def to_json(document: Any) -> str:
    """Write one JSON document in ASCII: times as ISO 8601 in UTC, bytes as whole numbers."""
    return json.dumps(_json_value(document), indent=2, allow_nan=False)


def _json_value(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _json_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_json_value(item) for item in value]
    if isinstance(value, datetime):
        utc = value.astimezone(UTC)
        return utc.isoformat(timespec="microseconds").replace("+00:00", "Z")
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value

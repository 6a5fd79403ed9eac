"""Times from outside as nanoseconds since 1970 (UTC), or nothing."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pandas as pd

_RFC_3339 = re.compile(
    r"(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ](?P<time>[0-9]{2}:[0-9]{2}):(?P<second>[0-9]{2})"
    r"(?:\.(?P<fraction>[0-9]+))?(?P<zone>[Zz]|[+-][0-9]{2}:[0-9]{2})"
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MAX_NS = (1 << 63) - 1


def nanoseconds(value: Any) -> int | None:
    """Read a time of any of the usual kinds."""
    if isinstance(value, str):
        value = parse_rfc_3339(value)
    elif isinstance(value, np.datetime64):
        value = pd.Timestamp(value)
    if value is None or value is pd.NaT or value is pd.NA:
        return None
    if isinstance(value, pd.Timestamp):
        try:
            value = value.value  # in nanoseconds, whatever its own unit
        except OverflowError:
            return None
    elif isinstance(value, datetime):
        value = _of_datetime(value)
    return int(value) if -_MAX_NS <= value <= _MAX_NS else None


def parse_rfc_3339(text: str) -> int | None:
    """Read a time by RFC 3339, as in ``org.opencontainers.image.created`` (OCI image spec, Annotations)."""
    match = _RFC_3339.fullmatch(text)
    if match is None:
        return None
    second = int(match["second"])
    leap = second == 60
    try:
        day = datetime.fromisoformat(f"{match['date']}T{match['time']}:{59 if leap else second:02}")
        since = day.replace(tzinfo=_zone(match["zone"])) - _EPOCH
    except (ValueError, OverflowError):
        return None
    fraction = int((match["fraction"] or "0")[:9].ljust(9, "0"))
    return (since.days * 86_400 + since.seconds + leap) * 1_000_000_000 + fraction


def _zone(text: str) -> timezone:
    if text in "Zz":
        return UTC
    hours, minutes = int(text[1:3]), int(text[4:6])
    if minutes > 59:
        raise ValueError("no such zone")
    offset = timedelta(hours=hours, minutes=minutes)
    return timezone(-offset if text[0] == "-" else offset)


def _of_datetime(value: datetime) -> int:
    since = (value if value.tzinfo is not None else value.replace(tzinfo=UTC)) - _EPOCH
    return ((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * 1000

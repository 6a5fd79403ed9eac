"""One pull, as a value and as a line of JSON."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from spincache_nb.core.digest import Digest
from spincache_nb.errors import InvalidDigestError

_MAX_COUNT = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class PullRecord:
    """One pull."""

    at: datetime
    cache: str
    reference: str
    manifest_digest: str
    index_digest: str | None
    fetch_bytes: int
    reused_bytes: int
    wire_bytes: int
    seconds: float

    def __post_init__(self) -> None:
        if self.at.tzinfo is None:
            raise ValueError("a pull is recorded in UTC: `at` needs a time zone")
        object.__setattr__(self, "at", self.at.astimezone(UTC))


def to_line(record: PullRecord) -> bytes:
    """Write a pull as one line of ASCII, with the line's end."""
    document = {
        "at": record.at.isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "cache": record.cache,
        "reference": record.reference,
        "manifest_digest": record.manifest_digest,
        "index_digest": record.index_digest,
        "fetch_bytes": record.fetch_bytes,
        "reused_bytes": record.reused_bytes,
        "wire_bytes": record.wire_bytes,
        "seconds": record.seconds,
    }
    return json.dumps(document, separators=(",", ":"), allow_nan=False).encode("ascii") + b"\n"


def parse_line(line: bytes) -> PullRecord | None:
    """Read a line back; None where it is not a pull. Unknown keys are passed over."""
    try:
        document = json.loads(line)
        index = document.get("index_digest")
        return PullRecord(
            at=datetime.fromisoformat(document["at"]),
            cache=_text(document["cache"]),
            reference=_text(document["reference"]),
            manifest_digest=str(Digest.parse(document["manifest_digest"])),
            index_digest=str(Digest.parse(index)) if index is not None else None,
            fetch_bytes=_count(document["fetch_bytes"]),
            reused_bytes=_count(document["reused_bytes"]),
            wire_bytes=_count(document["wire_bytes"]),
            seconds=_duration(document["seconds"]),
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError):
        return None
    except InvalidDigestError:
        return None


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("not text")
    return value


def _count(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _MAX_COUNT:
        raise ValueError("not a number of bytes")
    return value


def _duration(value: Any) -> float:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise TypeError("not a number")
    seconds = float(value)
    if not math.isfinite(seconds) or seconds < 0:
        raise ValueError("not a duration")
    return seconds

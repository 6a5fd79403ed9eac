"""The marker that is written last: it says that a snapshot is whole, and which files it is made of.

A dataset is a folder of snapshots, one per host and day, named as Hive names partitions::

    host=node-17/day=2026-03-02/apps-0-1f0c....parquet
                                uses-0-99ab....parquet
                                ...
                                _complete.json

Files without a marker, or that a marker does not name, are left over from a snapshot that was
stopped or replaced. Names of files hold a hash of what is in them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Literal
from urllib.parse import quote, unquote

from spincache_nb.errors import FormatError
from spincache_nb.fleet.tables import TABLES

MARKER = "_complete.json"
CRAWL_ENTRY = re.compile(r"_crawl-([0-9]{6})\.json")
"""Lists one part of a crawl that is not finished."""
FORMAT = 1
Kind = Literal["cache", "registry"]
_REMEDY = "take the snapshot again"


@dataclass(frozen=True, slots=True)
class File:
    """One Parquet file."""

    name: str
    row_count: int
    size_bytes: int


Part = Mapping[str, File]
"""One file of each table."""


@dataclass(frozen=True, slots=True)
class Marker:
    """One complete snapshot."""

    kind: Kind
    host: str
    day: date
    taken_at: datetime
    parts: tuple[Part, ...]

    @property
    def folder(self) -> tuple[str, str]:
        """Where its files are, below the dataset."""
        return folder_of(self.host, self.day)

    def row_count(self, table: str) -> int:
        """Rows of one table."""
        return sum(part[table].row_count for part in self.parts)

    @property
    def size_bytes(self) -> int:
        """Bytes of all files but the marker."""
        return sum(file.size_bytes for part in self.parts for file in part.values())

    def to_json(self) -> bytes:
        """The marker's content."""
        document = {
            "format": FORMAT,
            "kind": self.kind,
            "host": self.host,
            "day": self.day.isoformat(),
            "taken_at": self.taken_at.astimezone(UTC).isoformat(timespec="seconds"),
            "parts": [
                {table: [file.name, file.row_count, file.size_bytes] for table, file in part.items()}
                for part in self.parts
            ],
        }
        return json.dumps(document, indent=1).encode()


def folder_of(host: str, day: date) -> tuple[str, str]:
    """Names of the folders of a snapshot; characters that are special in a path are escaped."""
    return f"host={quote(host, safe='')}", f"day={day.isoformat()}"


def parse_folder(host: str, day: str) -> tuple[str, date] | None:
    """Read the names of the folders of a snapshot; None if they are none."""
    if not host.startswith("host=") or not day.startswith("day="):
        return None
    try:
        return unquote(host[5:]), date.fromisoformat(day[4:])
    except ValueError:
        return None


def snapshot_of(path: str) -> tuple[str, date] | None:
    """Host and day of a complete snapshot, if a path below a dataset is its marker's."""
    parts = path.split("/")
    return parse_folder(*parts[:2]) if len(parts) == 3 and parts[2] == MARKER else None


def parse_marker(content: bytes, *, where: str) -> Marker:
    """Read a marker."""
    try:
        document: Any = json.loads(content)
        if document["format"] != FORMAT:
            raise FormatError(where, f"format {FORMAT}", repr(document["format"]), "update this toolkit")
        if document["kind"] not in ("cache", "registry"):
            raise ValueError(document["kind"])
        return Marker(
            document["kind"],
            str(document["host"]),
            date.fromisoformat(document["day"]),
            datetime.fromisoformat(document["taken_at"]),
            tuple(parse_part(part, where=where) for part in document["parts"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as exc:
        raise FormatError(where, "the marker of a snapshot", "something else", _REMEDY) from exc


def parse_part(document: Mapping[str, Sequence[Any]], *, where: str) -> Part:
    """Read the files of one part."""
    part = {table: File(str(name), int(rows), int(size)) for table, (name, rows, size) in document.items()}
    if set(part) != set(TABLES):
        raise FormatError(where, f"the tables {', '.join(TABLES)}", ", ".join(part), _REMEDY)
    for file in part.values():
        if "/" in file.name or "\\" in file.name or not file.name.endswith(".parquet"):
            raise FormatError(where, "names of Parquet files beside it", repr(file.name), _REMEDY)
    return part

"""What an unfinished crawl has written so far, so that the next one goes on from there."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from typing import Any

from spincache_nb.errors import FormatError
from spincache_nb.fleet.extras import load
from spincache_nb.fleet.marker import (
    CRAWL_ENTRY,
    MARKER,
    File,
    Marker,
    Part,
    folder_of,
    parse_folder,
    parse_part,
)
from spincache_nb.fleet.place import Place
from spincache_nb.fleet.snapshots import Snapshot, encode, publish


class Journal:
    """Parts of one crawl on disk, each listed in an entry that is written after its files."""

    def __init__(self, place: Place, registry: str, day: date) -> None:
        self.place = place
        self.registry = registry
        self.day = day
        self.folder = folder_of(registry, day)
        self._void: list[str] = []
        self.parts: list[Part] = list(self._read())

    def _read(self) -> Iterator[Part]:
        there = self.place.folder(*self.folder)
        entries = sorted(name for name in there if CRAWL_ENTRY.fullmatch(name))
        for number, name in enumerate(entries):
            self._void = entries[number:]  # should it be damaged: from here on the crawl is made again
            where = self.place.path(*self.folder, name)
            try:
                part = parse_part(json.loads(self.place.read(*self.folder, name)), where=where)
            except (ValueError, TypeError, AttributeError, FormatError):
                return
            if any(there.get(file.name) != file.size_bytes for file in part.values()):
                return
            yield part
        self._void = []

    def add(self, tables: Mapping[str, Any]) -> None:
        """Write a part."""
        while self._void:
            self.place.remove(*self.folder, self._void.pop())
        number = len(self.parts)
        part, contents = encode(tables, number=number)
        for name, content in contents.items():
            self.place.write(content, *self.folder, name)
        listed = {table: [file.name, file.row_count, file.size_bytes] for table, file in part.items()}
        self.place.replace(json.dumps(listed).encode(), *self.folder, f"_crawl-{number:06d}.json")
        self.parts.append(part)

    @property
    def has_apps(self) -> bool:
        """Whether some manifest was written."""
        return any(part["apps"].row_count for part in self.parts)

    def references(self) -> set[str]:
        """References that are done, those that cannot be had included."""
        return set(self._column("apps", "reference")) | set(self._column("problems", "reference"))

    def manifest_digests(self) -> set[bytes]:
        """Digests of all manifests so far."""
        return set(self._column("apps", "manifest_digest"))

    def _column(self, table: str, name: str) -> Iterator[Any]:
        for part in self.parts:
            yield from self._values(part[table], name)

    def _values(self, file: File, name: str) -> list[Any]:
        parquet = load("pyarrow.parquet")
        with self.place.fs.open(self.place.path(*self.folder, file.name), "rb") as opened:
            values: list[Any] = parquet.read_table(opened, columns=[name])[name].to_pylist()
        return values

    def finish(self, tables: Mapping[str, Any] | None) -> Snapshot:
        """Write the last part, if there is one, and the marker; the entries go."""
        if tables is not None or not self.parts:
            assert tables is not None
            self.add(tables)
        moment = datetime.now(UTC)
        marker = Marker("registry", self.registry, self.day, moment, tuple(self.parts))
        return publish(self.place, marker, {})


def unfinished(place: Place, registry: str) -> date | None:
    """Day of the latest crawl of a registry that was begun and not finished."""
    begun: set[date] = set()
    done: set[date] = set()
    for path in place.files():
        parts = path.split("/")
        found = parse_folder(*parts[:2]) if len(parts) == 3 else None
        if found is None or found[0] != registry:
            continue
        if parts[2] == MARKER:
            done.add(found[1])
        elif CRAWL_ENTRY.fullmatch(parts[2]):
            begun.add(found[1])
    left = begun - done
    return max(left) if left else None

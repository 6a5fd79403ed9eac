"""The blobs of a cache by area and digest, as the walk found them."""

from __future__ import annotations

import os
from array import array
from collections.abc import Collection
from operator import attrgetter

import numpy as np

from spincache_nb.core.cache import Cache
from spincache_nb.core.digest import Digest
from spincache_nb.core.documents import Area
from spincache_nb.core.files import FileState
from spincache_nb.core.layout import digest_of_name, file_name
from spincache_nb.core.scan import DiskFile, Scan, StoredBlob
from spincache_nb.inventory.columns import AREAS_IN_ORDER, DATA, WASM, BlobColumns, Integers, parsed

_NO_TIME = np.iinfo(np.int64).min
"""Not a time, as numpy stores it."""


class StoredBlobs:
    """Rows of blobs, and which of them look-ups find (Spin main, crates/loader/src/cache.rs)."""

    def __init__(self, cache: Cache, scan: Scan) -> None:
        self.cache = cache
        self.scan = scan
        self.folders: dict[Area, str] = {area: os.path.join(cache.path, area, "") for area in AREAS_IN_ORDER}  # noqa: PTH118
        self.names: list[str] = []
        self.digests: list[str | None] = []  # by which look-ups find a row
        self.areas: list[int] = []
        self.sizes, self.times = array("q"), array("q")
        self.odd: dict[int, StoredBlob] = {}
        self.found: tuple[dict[str, int], dict[str, int]] = ({}, {})
        self.hidden: list[int] = []  # rows of which a later one has this system's spelling of the name
        self.gone: set[str] = set()  # paths of files that are no blobs, and no longer there
        self.doubted: set[int] = set()  # rows with which something is wrong
        self.missed: set[tuple[int, str]] = set()  # what was looked for in an area, and is not there
        for part in scan.plain:
            area = AREAS_IN_ORDER.index(part.area)
            rows = range(len(self.names), len(self.names) + len(part))
            self.found[area].update(zip(part.digests, rows, strict=True))
            self.names += part.names
            self.digests += part.digests
            self.areas += [area] * len(part)
            self.sizes += part.sizes
            self.times += part.times
        for blob in sorted(scan.odd, key=attrgetter("location")):
            if blob.digest is None and FileState.at(blob.location) is None:  # a download that has ended
                self.gone.add(f"{blob.area}/{blob.name}")
            else:
                self._add_odd(blob)

    def _add_odd(self, blob: StoredBlob) -> None:
        row, area = len(self.names), AREAS_IN_ORDER.index(blob.area)
        self.names.append(blob.name)
        self.digests.append(None)
        self.areas.append(area)
        self.sizes.append(blob.stored_bytes)
        self.times.append(_time(blob.modified_ns))
        self.odd[row] = blob
        if blob.digest is None:
            return
        known = self.found[area].get(str(blob.digest))
        if known is None or blob.name == file_name(blob.digest, windows=self.cache.windows_names):
            self.found[area][str(blob.digest)] = row
            self.digests[row] = str(blob.digest)
            if known is not None:
                self.digests[known] = None
                self.hidden.append(known)

    # Looking up ------------------------------------------------------------------------------

    def find(self, area: int, digest: str) -> int | None:
        """Row of a blob."""
        row = self.found[area].get(digest)
        if row is None:
            self.missed.add((area, digest))
        return row

    def find_wasm(self, digest: str) -> int | None:
        """Look as Spin does for an app's wasm: in ``wasm/``, then in ``data/`` (since Spin v2.0)."""
        row = self.find(WASM, digest)
        return row if row is not None else self.find(DATA, digest)

    def have_changed(self, rows: Collection[int], missing: Collection[tuple[int, str]]) -> bool:
        """Whether blobs with which something is wrong changed since the walk: they may just be written."""
        return any(not self._is_as_found(row) for row in {*self.doubted, *rows}) or any(
            self._is_there(area, digest) for area, digest in {*self.missed, *missing}
        )

    def _is_as_found(self, row: int) -> bool:
        state = FileState.at(self.location(row))
        found = self.sizes[row], self.times[row]
        return state is not None and state.is_file and (state.size, _time(state.modified_ns)) == found

    def _is_there(self, area: int, digest: str) -> bool:
        """Whether a blob is there after all; in a folder that is a link nothing is."""
        folder = self.folders[AREAS_IN_ORDER[area]]
        states = (
            FileState.at(folder + file_name(parsed(digest), windows=windows)) for windows in (False, True)
        )
        if not any(state is not None and state.is_file for state in states):
            return False
        around = FileState.at(folder[:-1])
        return around is not None and around.is_folder

    def path(self, row: int) -> str:
        """Where a blob is, below ``registry``."""
        return f"{AREAS_IN_ORDER[self.areas[row]]}/{self.names[row]}"

    def path_of(self, area: int, digest: str) -> str:
        """Where a blob is, or would be, below ``registry``."""
        row = self.found[area].get(digest)
        name = file_name(parsed(digest), windows=self.cache.windows_names) if row is None else self.names[row]
        return f"{AREAS_IN_ORDER[area]}/{name}"

    def location(self, row: int) -> str:
        """Path of a blob on the disk."""
        if row in self.odd:
            return self.odd[row].location
        return self.folders[AREAS_IN_ORDER[self.areas[row]]] + self.names[row]

    def digest(self, row: int) -> Digest | None:
        """Digest of a blob's name."""
        return self.odd[row].digest if row in self.odd else digest_of_name(self.names[row])

    # In the end ------------------------------------------------------------------------------

    def order(self, rows: Integers) -> Integers:
        """All rows by area and name; `rows` has those that are found by area and digest."""
        areas = np.asarray(self.areas, np.int8)
        parts = []
        for area in (DATA, WASM):
            found = rows[area::2]
            found = found[found >= 0]
            named_alike = len(found) == np.count_nonzero(areas == area)
            if self.odd or not named_alike:  # else they are in order already
                found = np.array(sorted(np.flatnonzero(areas == area), key=self.names.__getitem__), np.int64)
            parts.append(found)
        return np.concatenate(parts)

    def columns(self, rows: Integers, standings: Integers) -> BlobColumns:
        """All blobs in an order; `standings` are by row."""
        order = rows.tolist()
        return BlobColumns(
            [self.names[row] for row in order],
            [self.digests[row] for row in order],
            np.asarray(self.areas, np.int8)[rows],
            np.asarray(self.sizes, np.int64)[rows],
            np.asarray(self.times, np.int64)[rows],
            standings[rows].astype(np.int8),
            self.folders,
            {place: self.odd[row] for place, row in enumerate(order) if row in self.odd} if self.odd else {},
        )

    def files(self) -> list[DiskFile]:
        """Every regular file under ``registry``, sorted by path."""
        return sorted((one for one in self.scan.files if one.path not in self.gone), key=attrgetter("path"))


def _time(modified_ns: int) -> int:
    return modified_ns if abs(modified_ns) < 1 << 63 else _NO_TIME

"""The blobs of a cache by area and digest; what changes while others are looked at is seen too."""

from __future__ import annotations

import os
from array import array
from collections.abc import Sequence
from operator import attrgetter

import numpy as np

from spincache_nb.core.cache import Cache
from spincache_nb.core.digest import Digest
from spincache_nb.core.documents import Area
from spincache_nb.core.files import FileState
from spincache_nb.core.layout import digest_of_name, file_name
from spincache_nb.core.scan import DiskArea, Scan, StoredBlob
from spincache_nb.inventory.columns import (
    AREAS_IN_ORDER,
    DATA,
    WASM,
    BlobColumns,
    FileColumns,
    Integers,
    parsed,
)

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
        self.changed: dict[str, int | None] = {}  # sizes of files since the walk, by path; None: gone
        self._is_link: dict[int, bool] = {}
        self._looked: set[tuple[int, str]] = set()
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
            self._add_odd(blob)

    def _add_odd(self, blob: StoredBlob) -> None:
        row, area = len(self.names), AREAS_IN_ORDER.index(blob.area)
        self.names.append(blob.name)
        self.digests.append(None)
        self.areas.append(area)
        self.sizes.append(blob.stored_bytes)
        self.times.append(blob.modified_ns if abs(blob.modified_ns) < 1 << 63 else _NO_TIME)
        self.odd[row] = blob
        if blob.digest is not None:
            known = self.found[area].get(str(blob.digest))
            if known is None or blob.name == file_name(blob.digest, windows=self.cache.windows_names):
                self._set(area, str(blob.digest), row)
                self.hidden += [known] if known is not None else []

    def _set(self, area: int, digest: str, row: int | None) -> None:
        """Let look-ups find a row from now on, or nothing."""
        before = self.found[area].pop(digest, None)
        if before is not None:
            self.digests[before] = None
        if row is not None:
            self.found[area][digest] = row
            self.digests[row] = digest

    # Looking up ------------------------------------------------------------------------------

    def find(self, area: int, digest: str) -> int | None:
        """Row of a blob; what the walk did not see is looked for once more."""
        row = self.found[area].get(digest)
        return row if row is not None else self.look_again(area, digest)

    def find_wasm(self, digest: str) -> int | None:
        """Look as Spin does for an app's wasm: in ``wasm/``, then in ``data/`` (since Spin v2.0)."""
        row = self.find(WASM, digest)
        return row if row is not None else self.find(DATA, digest)

    def changed_since(self, places: Sequence[int], rows: Sequence[int], texts: Sequence[str]) -> list[int]:
        """Places (a digest's number twice, and one more in ``wasm/``) whose file changed since the walk."""
        changed = []
        plain = [not self.is_link(area) for area in (DATA, WASM)]
        folders = [self.folders[area] for area in AREAS_IN_ORDER]
        for place, row in zip(places, rows, strict=True):
            area = place & 1
            if (
                row < 0
                or row in self.odd
                or not plain[area]
                or not self._is_as_seen(row, folders[area] + self.names[row])
            ):
                changed.append(place)
        return changed

    def look_again(self, area: int, digest: str) -> int | None:
        """Ask the system again about a blob that is missing or seems damaged: somebody may just write it."""
        if (area, digest) in self._looked:
            return self.found[area].get(digest)
        self._looked.add((area, digest))
        row = self.found[area].get(digest)
        folder = self.folders[AREAS_IN_ORDER[area]]
        if row is not None and row not in self.odd and self._is_as_seen(row, folder + self.names[row]):
            return row
        for windows in (self.cache.windows_names, not self.cache.windows_names):
            name = file_name(parsed(digest), windows=windows)
            state = FileState.at(folder + name)
            if state is not None and state.is_file and not self.is_link(area):
                return self._note(area, digest, name, row, state)
        if row is not None:
            self.forget(row)
        return None

    def is_link(self, area: int) -> bool:
        """Whether the folder of an area is a link, which is not followed."""
        if area not in self._is_link:
            state = FileState.at(self.folders[AREAS_IN_ORDER[area]][:-1])
            self._is_link[area] = state is not None and state.kind == "link"
        return self._is_link[area]

    def _is_as_seen(self, row: int, path: str) -> bool:
        """Whether a file is still of the size and time that the walk found; nearly all are."""
        state = FileState.at(path)
        if state is None or not state.is_file:
            return False
        return state.size == self.sizes[row] and state.modified_ns == self.times[row]

    def _note(self, area: int, digest: str, name: str, row: int | None, state: FileState) -> int:
        """Put down what a file is like by now."""
        path = f"{AREAS_IN_ORDER[area]}/{name}"
        if row is None or self.names[row] != name:
            known = next(
                (r for r, one in self.odd.items() if one.name == name and self.areas[r] == area), None
            )
            row = known if known is not None else len(self.names)
            if known is None:
                self._append(area, name)
                self.changed[path] = state.size
        if self.sizes[row] != state.size:
            self.sizes[row] = self.changed[path] = state.size
        self.times[row] = state.modified_ns if abs(state.modified_ns) < 1 << 63 else _NO_TIME
        if row in self.odd:
            blob = self.odd[row]
            self.odd[row] = blob._replace(stored_bytes=state.size, modified_ns=state.modified_ns)
        self._set(area, digest, row)
        return row

    def _append(self, area: int, name: str) -> None:
        self.names.append(name)
        self.digests.append(None)
        self.areas.append(area)
        self.sizes.append(-1)
        self.times.append(0)

    def forget(self, row: int) -> None:
        """Count a file no longer, which has vanished since the walk."""
        area = self.areas[row]
        self.areas[row] = -1
        self.changed[f"{AREAS_IN_ORDER[area]}/{self.names[row]}"] = None
        digest = self.digests[row]
        if digest is not None:
            self._set(area, digest, None)

    def is_gone(self, row: int) -> bool:
        """Whether a file has vanished since the walk; then it is no longer counted."""
        is_gone = FileState.at(self.odd[row].location) is None
        if is_gone:
            self.forget(row)
        return is_gone

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
        """Rows that are still there, by area and name; `rows` has those that are found by area and digest."""
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
        """All blobs in an order; `standings` are by row as rows are now."""
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

    def files(self) -> FileColumns:
        """Every regular file under ``registry``, sorted by path."""
        paths: list[str] = []
        areas: list[DiskArea] = []
        sizes: list[int] = []
        same_as: list[str | None] = []
        for part in self.scan.plain:
            paths += [f"{part.area}/{name}" for name in part.names]
            areas += [part.area] * len(part)
            sizes += part.sizes
            same_as += [None] * len(part)
        for file in self.scan.others:
            paths.append(file.path)
            areas.append(file.area)
            sizes.append(file.stored_bytes)
            same_as.append(file.same_as)
        return _sorted_files(paths, areas, sizes, same_as, self.changed)


def _sorted_files(
    paths: list[str],
    areas: list[DiskArea],
    sizes: list[int],
    same_as: list[str | None],
    changed: dict[str, int | None],
) -> FileColumns:
    unseen = changed.keys() - set(paths) if changed else ()
    for path in sorted(unseen):
        if changed[path] is not None:
            paths.append(path)
            areas.append("wasm" if path.startswith("wasm/") else "data")
            sizes.append(changed[path] or 0)
            same_as.append(None)
    order = sorted(range(len(paths)), key=paths.__getitem__)
    if changed:
        order = [row for row in order if changed.get(paths[row], 0) is not None]
        for row, path in enumerate(paths):
            if changed.get(path) is not None and same_as[row] is None:
                sizes[row] = changed[path] or 0
    return FileColumns(
        [paths[row] for row in order],
        [areas[row] for row in order],
        [sizes[row] for row in order],
        {place: same_as[row] for place, row in enumerate(order) if same_as[row] is not None},
    )

"""The blobs of a cache by area and digest, as the walk found them."""

from __future__ import annotations

import os
from array import array
from collections.abc import Collection, Iterable
from contextlib import suppress
from functools import cached_property
from operator import attrgetter

import numpy as np

from spincache_nb.core.archive import breaks_off, list_members
from spincache_nb.core.cache import Cache
from spincache_nb.core.digest import Digest
from spincache_nb.core.documents import Area
from spincache_nb.core.files import FileState, open_regular
from spincache_nb.core.layout import digest_of_name, file_name
from spincache_nb.core.scan import DiskFile, PlainBlobs, Scan, StoredBlob
from spincache_nb.core.settings import ArchiveLimits
from spincache_nb.errors import SpinCacheError
from spincache_nb.inventory.columns import (
    AREAS_IN_ORDER,
    DATA,
    UNREFERENCED,
    WASM,
    Integers,
    Packed,
    in_order,
    numbers_of,
    parsed,
)

_NO_TIME = np.iinfo(np.int64).min
"""Not a time, as numpy stores it."""


class StoredBlobs:
    """Files in ``wasm/`` and ``data/``, in order, and which of them look-ups find (Spin, loader/cache.rs)."""

    def __init__(self, cache: Cache, scan: Scan) -> None:
        self.cache = cache
        self.scan = scan
        self.folders: dict[Area, str] = {area: os.path.join(cache.path, area, "") for area in AREAS_IN_ORDER}  # noqa: PTH118
        self.names: list[str] = []
        self.digests: list[str | None] = []  # by which look-ups find a row
        self.odd: dict[int, StoredBlob] = {}  # rows of files that are not plain
        self.hidden: list[int] = []  # rows of which another has this system's spelling of the name
        self.gone: set[str] = set()  # paths of files that are no blobs, and no longer there
        self.doubted: set[int] = set()  # rows with which something is wrong
        self.missed: set[tuple[int, str]] = set()  # what was looked for in an area, and is not there
        columns = [self._add_area(area) for area in AREAS_IN_ORDER]
        self.sizes: Integers = np.concatenate([sizes for sizes, _, _ in columns])
        self.times: Integers = np.concatenate([times for _, times, _ in columns])
        self.areas = np.repeat(np.array([DATA, WASM], np.int8), [len(sizes) for sizes, _, _ in columns])
        self.standings = np.full(len(self.names), UNREFERENCED, np.int8)
        self._packed = Packed.joined([packed for _, _, packed in columns])
        for row, blob in self.odd.items():
            self._place_odd(row, blob)

    def __len__(self) -> int:
        return len(self.names)

    def _add_area(self, area: Area) -> tuple[Integers, Integers, Packed]:
        """Add the files of an area in order; gives their sizes and times, and the digests of plain ones."""
        empty = PlainBlobs(area, "", [], array("q"), array("q"))
        plain = next((part for part in self.scan.plain if part.area == area), empty)
        odd = [blob for blob in self.scan.odd if blob.area == area and self._is_still_there(blob)]
        odd.sort(key=attrgetter("location"))
        names = [*plain.names, *(blob.name for blob in odd)]
        digests: list[str | None] = [*plain.digests, *[None] * len(odd)]
        sizes = np.append(np.array(plain.sizes, np.int64), numbers_of([one.stored_bytes for one in odd]))
        times = np.append(
            np.array(plain.times, np.int64), numbers_of([_time(blob.modified_ns) for blob in odd])
        )
        packed = Packed.of(plain.digests)
        order = in_order(packed)
        rows = order.tolist()
        if odd:
            rows = sorted([*rows, *range(len(plain), len(names))], key=names.__getitem__)
            places = enumerate(rows, len(self.names))
            self.odd.update((at, odd[row - len(plain)]) for at, row in places if row >= len(plain))
        self.names += map(names.__getitem__, rows)
        self.digests += map(digests.__getitem__, rows)
        return sizes[rows], times[rows], packed.at(order)

    def _is_still_there(self, blob: StoredBlob) -> bool:
        """Whether a file is a blob, or a download that has not ended since the walk."""
        is_there = blob.digest is not None or FileState.at(blob.location) is not None
        if not is_there:
            self.gone.add(f"{blob.area}/{blob.name}")
        return is_there

    def _place_odd(self, row: int, blob: StoredBlob) -> None:
        """Say which of several files of one digest look-ups find: the one in this system's spelling."""
        if blob.digest is None:
            return
        found = self.found[self.areas[row]]
        known = found.get(str(blob.digest))
        if known is None or blob.name == file_name(blob.digest, windows=self.cache.windows_names):
            found[str(blob.digest)] = row
            self.digests[row] = str(blob.digest)
            if known is not None:
                self.digests[known] = None
                self.hidden.append(known)

    # Looking up ------------------------------------------------------------------------------

    @cached_property
    def found(self) -> tuple[dict[str, int], dict[str, int]]:
        """Rows in ``data/`` and in ``wasm/`` by digest; most frames look nothing up."""
        end = int(np.searchsorted(self.areas, WASM))
        parts = range(end), range(end, len(self))
        in_data, in_wasm = (
            {d: row for row in part if (d := self.digests[row]) is not None} for part in parts
        )
        return in_data, in_wasm

    def named(self) -> tuple[Packed, Integers]:
        """Digests by which rows are found, and those rows."""
        if not self.odd:
            return self._packed, np.arange(len(self))
        rows = [row for row, digest in enumerate(self.digests) if digest is not None]
        return Packed.of([digest for digest in self.digests if digest is not None]), numbers_of(rows)

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

    def blob(self, row: int) -> StoredBlob:
        """One of the files as a value."""
        if row in self.odd:
            return self.odd[row]
        name, area = self.names[row], AREAS_IN_ORDER[self.areas[row]]
        size, time = int(self.sizes[row]), int(self.times[row])
        return StoredBlob(name, self.folders[area] + name, area, size, time, "digest", digest_of_name(name))

    def files(self) -> list[DiskFile]:
        """Every regular file under ``registry``, sorted by path."""
        return sorted((one for one in self.scan.files if one.path not in self.gone), key=attrgetter("path"))


def _time(modified_ns: int) -> int:
    return modified_ns if abs(modified_ns) < 1 << 63 else _NO_TIME


class Members:
    """What stored archives hold; each is listed once, when it is first asked about."""

    def __init__(self, stored: StoredBlobs, limits: ArchiveLimits) -> None:
        self.stored = stored
        self.limits = limits
        self._known: dict[str, dict[str, int] | SpinCacheError] = {}

    def of(self, archive: str) -> dict[str, int]:
        """Sizes of an archive's members by digest; none of one that is not stored."""
        if archive not in self._known:
            self._known[archive] = self._listed(archive)
        found = self._known[archive]
        if isinstance(found, SpinCacheError):
            raise found
        return found

    def _listed(self, archive: str) -> dict[str, int] | SpinCacheError:
        row = self.stored.find(DATA, archive)
        if row is None:
            return {}
        try:
            with open_regular(self.stored.location(row)) as stream:
                found = list_members(stream, where=self.stored.path(row), limits=self.limits)
            return {str(member.digest): member.size for member in found.members}
        except SpinCacheError as exc:
            return exc

    def hold(self, archives: Iterable[str], digest: str) -> bool:
        """Whether one of some archives holds a file; also if one cannot be listed, so that nobody knows."""
        try:
            return any(digest in self.of(archive) for archive in archives)
        except SpinCacheError:
            return True

    def breaks_off(self, archive: str) -> bool:
        """Whether a stored archive is cut at its end."""
        row = self.stored.find(DATA, archive)
        with suppress(SpinCacheError, OSError):
            if row is not None:
                with open_regular(self.stored.location(row)) as stream:
                    return breaks_off(stream, where=self.stored.path(row), limits=self.limits)
        return False

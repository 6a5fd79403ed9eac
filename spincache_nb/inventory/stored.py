"""Looking stored blobs up as Spin does (Spin main, crates/loader/src/cache.rs)."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import partial
from operator import attrgetter
from typing import NamedTuple

from spincache_nb.core.cache import Cache
from spincache_nb.core.digest import Digest
from spincache_nb.core.later import Later
from spincache_nb.core.layout import AREAS, file_name, form_of_name, shown
from spincache_nb.core.manifest import Area
from spincache_nb.core.scan import DiskFile, FoundBlobs, Scan, StoredBlob
from spincache_nb.inventory.lookups import AreaLookups, BlobTable


class _Changed(NamedTuple):
    """Blobs by location, and files by path and number, as they are by now."""

    blobs: dict[str, StoredBlob]
    files: dict[tuple[str, int], DiskFile]


class StoredBlobs:
    """The blobs of a cache by area and digest; what changes while others are looked at is seen too."""

    def __init__(self, cache: Cache, scan: Scan) -> None:
        self.cache = cache
        self.changes = 0  # how often something turned out to be otherwise than the walk found it
        self._scan = scan
        self._changed: _Changed | None = None
        self._found = {area: self._lookups(area) for area in AREAS}
        self._absent: set[tuple[Area, Digest]] = set()
        self._table: tuple[int, BlobTable] | None = None

    def _lookups(self, area: Area) -> AreaLookups:
        odd = sorted((blob for blob in self._scan.blobs.odd if blob.area == area), key=attrgetter("location"))
        plain = [some for some in self._scan.blobs.plain if some.area == area]
        return AreaLookups(plain, odd, windows=self.cache.windows_names)

    def blobs(self) -> FoundBlobs:
        """Every file in ``wasm/`` and ``data/``; each that counts as plain is found by its digest."""
        if self._changed is not None:
            return FoundBlobs((), tuple(self._changed.blobs.values()))
        if any(lookups.hides_plain for lookups in self._found.values()):
            return FoundBlobs((), tuple(self._scan.blobs))
        return self._scan.blobs

    def table(self) -> BlobTable:
        """All blobs that look-ups find by now."""
        if self._table is None or self._table[0] != self.changes:
            parts = (part for area in ("data", "wasm") for part in self._found[area].parts())
            self._table = self.changes, BlobTable(parts)
        return self._table[1]

    def files(self) -> Sequence[DiskFile]:
        """Every regular file under ``registry``, sorted by path; to be looked at when nothing changes."""
        return Later(partial(_sorted_files, self._scan, self._changed))

    def _changing(self) -> _Changed:
        """What was found, in a form that can be changed; rarely needed, so made when it is."""
        self.changes += 1
        if self._changed is None:
            blobs = {blob.location: blob for blob in self._scan.blobs}
            self._changed = _Changed(blobs, _numbered(self._scan.files))
        return self._changed

    def find(self, area: Area, digest: Digest) -> StoredBlob | None:
        """Look in one area; what the walk did not see is looked for once more."""
        blob = self._found[area].get(digest)
        if blob is None and (area, digest) not in self._absent:
            blob = self._look(area, digest)
            if blob is None:
                self._absent.add((area, digest))
        return blob

    def find_wasm(self, digest: Digest) -> StoredBlob | None:
        """Look as Spin does for an app's wasm: in ``wasm/``, then in ``data/`` (since Spin v2.0)."""
        return self.find("wasm", digest) or self.find("data", digest)

    def found_in(self, area: Area) -> AreaLookups:
        """Blobs that look-ups find in an area."""
        return self._found[area]

    def is_found(self, blob: StoredBlob) -> bool:
        """Whether a lookup finds this file, rather than another spelling of its name, or nothing."""
        if blob.digest is None:
            return False
        found = self._found[blob.area].get(blob.digest)
        return found is not None and found.name == blob.name

    def look_again(self, blob: StoredBlob) -> StoredBlob | None:
        """Ask the system once more about a blob that seems damaged: somebody may just write it."""
        if blob.digest is None:
            return blob
        current = self._look(blob.area, blob.digest)
        if current is None:
            self._forget(blob)
        return current

    def is_gone(self, blob: StoredBlob) -> bool:
        """Whether a file has vanished since the walk; then it is no longer counted."""
        try:
            blob.path.lstat()
        except FileNotFoundError:
            self._forget(blob)
            return True
        except OSError:
            return False
        return False

    def path_of(self, area: Area, digest: Digest) -> str:
        """Where a blob is, or would be, below ``registry``."""
        blob = self._found[area].get(digest)
        return f"{area}/{blob.name if blob else file_name(digest, windows=self.cache.windows_names)}"

    def _look(self, area: Area, digest: Digest) -> StoredBlob | None:
        if self.cache.blob_size(area, digest) is None:
            return None
        path = self.cache.blob_path(area, digest)
        try:
            info = path.lstat()
        except OSError:
            return None
        if not stat.S_ISREG(info.st_mode):
            return None
        name = shown(path.name)
        size = info.st_size
        blob = StoredBlob(
            name, os.fspath(path), area, size, info.st_mtime_ns, form_of_name(path.name), digest
        )
        if blob == self._found[area].get(digest):
            return blob
        place = f"{area}/{name}", 0
        blobs, files = self._changing()
        before, counted = blobs.get(blob.location), files.get(place)
        blobs[blob.location] = blob
        self._found[area].set(digest, blob)
        if before is None or counted is None:
            files[place] = DiskFile(place[0], area, size)
        elif counted.stored_bytes == before.stored_bytes:  # else it is counted under another name
            files[place] = counted._replace(stored_bytes=size)
        return blob

    def _forget(self, blob: StoredBlob) -> None:
        blobs, files = self._changing()
        blobs.pop(blob.location, None)
        files.pop((f"{blob.area}/{blob.name}", 0), None)
        if blob.digest is not None and self.is_found(blob):
            self._found[blob.area].set(blob.digest, None)


def _sorted_files(scan: Scan, changed: _Changed | None) -> list[DiskFile]:
    if changed is None:
        return sorted(scan.files, key=attrgetter("path"))
    return [file for _, file in sorted(changed.files.items())]


def _numbered(files: Iterable[DiskFile]) -> dict[tuple[str, int], DiskFile]:
    """Tell files apart whose names are shown alike."""
    seen: Counter[str] = Counter()
    numbered = {}
    for file in files:
        numbered[file.path, seen[file.path]] = file
        seen[file.path] += 1
    return numbered

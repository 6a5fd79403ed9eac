"""What look-ups of blobs find: the plain files of an area, and in front of them what is otherwise."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate

from spincache_nb.core.digest import Digest
from spincache_nb.core.layout import file_name
from spincache_nb.core.manifest import Area
from spincache_nb.core.scan import PlainBlobs, StoredBlob


class AreaLookups:
    """Blobs of one area by digest."""

    def __init__(
        self, plain: Sequence[PlainBlobs], odd: Iterable[StoredBlob] = (), *, windows: bool = False
    ) -> None:
        self._plain = plain
        self.hides_plain = False
        self._others: dict[Digest, StoredBlob | None] = {}
        for blob in odd:
            if blob.digest is None:
                continue
            known = self.get(blob.digest)
            if known is None or blob.name == file_name(blob.digest, windows=windows):
                self.set(blob.digest, blob)

    def get(self, digest: Digest) -> StoredBlob | None:
        """The blob of a digest."""
        if digest in self._others:
            return self._others[digest]
        return self._find_plain(digest)

    def _find_plain(self, digest: Digest) -> StoredBlob | None:
        return next((blob for some in self._plain if (blob := some.find(digest)) is not None), None)

    def set(self, digest: Digest, blob: StoredBlob | None) -> None:
        """Let a digest find something else from now on, or nothing."""
        self.hides_plain = self.hides_plain or self._find_plain(digest) is not None
        self._others[digest] = blob

    def parts(self) -> Iterator[Sequence[StoredBlob]]:
        """All blobs that are found."""
        if self.hides_plain:
            yield [blob for some in self._plain for blob in some if blob.digest not in self._others]
        else:
            yield from self._plain
        yield [blob for blob in self._others.values() if blob is not None]


class BlobTable:
    """Numbers for the blobs that look-ups find, and what is often asked of them by number."""

    __slots__ = ("_blobs", "_ends", "_numbers", "_parts", "_ranks", "digests", "sizes")

    def __init__(self, parts: Iterable[Sequence[StoredBlob]]) -> None:
        self._parts = [part for part in parts if part]
        self._ends = list(accumulate(map(len, self._parts)))
        self._blobs: list[StoredBlob] | None = None
        self._ranks: array[int] | None = None
        self._numbers: dict[Area, dict[str, int]] = {}
        digests = [*map(_digests, self._parts)]
        self.digests = digests[0] if len(digests) == 1 else [text for some in digests for text in some]
        self.sizes = array("q")
        for part in self._parts:
            self.sizes += _sizes(part)

    def __len__(self) -> int:
        return len(self.digests)

    def blobs(self) -> list[StoredBlob]:
        """All of them by number: made at once, and kept."""
        if self._blobs is None:
            self._blobs = [blob for part in self._parts for blob in part]
        return self._blobs

    def ranks(self) -> array[int]:
        """Of each blob its place when they are sorted by digest and area; found out once."""
        if self._ranks is None:
            ranks = array("q", bytes(8 * len(self)))
            for rank, number in enumerate(sorted(range(len(self)), key=self.digests.__getitem__)):
                ranks[number] = rank  # of two of one digest the one in data/ comes first already
            self._ranks = ranks
        return self._ranks

    def blob(self, number: int) -> StoredBlob:
        """Give a blob by its number."""
        part = bisect_right(self._ends, number)
        return self._parts[part][number - self._ends[part]]

    @property
    def first_wasm(self) -> int:
        """Number of the first blob in ``wasm/``; all before it are in ``data/``."""
        return sum(len(part) for part in self._parts if part[0].area == "data")

    def numbers(self, area: Area) -> dict[str, int]:
        """Numbers of the blobs of an area, by digest."""
        if area not in self._numbers:
            self._numbers[area] = self._number(area)
        return self._numbers[area]

    def _number(self, area: Area) -> dict[str, int]:
        parts = [
            (part, end) for part, end in zip(self._parts, self._ends, strict=True) if part[0].area == area
        ]
        if len(parts) == 1 and isinstance(parts[0][0], PlainBlobs) and parts[0][1] == len(parts[0][0]):
            return parts[0][0].places()  # whose numbers are the same
        digests = self.digests
        return {digests[number]: number for part, end in parts for number in range(end - len(part), end)}


def _digests(blobs: Sequence[StoredBlob]) -> list[str]:
    return blobs.digests if isinstance(blobs, PlainBlobs) else [str(blob.digest) for blob in blobs]


def _sizes(blobs: Sequence[StoredBlob]) -> array[int]:
    if isinstance(blobs, PlainBlobs):
        return blobs.sizes
    return array("q", [blob.stored_bytes for blob in blobs])

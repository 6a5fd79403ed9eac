"""Archive layers: a gzip-compressed tar whose regular files are stored as blobs of their own.

Spin unpacks the archive to a temporary directory and hashes each regular file in it (Spin main,
crates/oci/src/utils.rs). Here members are hashed from the stream, and no member's name ever becomes
a path on disk.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import BinaryIO, cast

from spincache_nb.core.archive.tar import TarEntry, TarReader
from spincache_nb.core.cache import Cache, explained_reads, open_regular
from spincache_nb.core.digest import Digest, hash_stream
from spincache_nb.errors import ArchiveError, CacheError, LimitError, SpinCacheError

_RATIO_FROM_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class ArchiveLimits:
    """How much an archive may unpack to."""

    entries: int = 200_000
    member_bytes: int = 2 << 30
    total_bytes: int = 16 << 30
    ratio: int = 200


@dataclass(frozen=True, slots=True)
class Member:
    """A regular file of an archive."""

    path: str
    digest: Digest
    size: int


@dataclass(frozen=True, slots=True)
class Unpacked:
    """What an archive held: regular files, and how many other entries were skipped."""

    members: tuple[Member, ...]
    skipped: int


def unpack(
    cache: Cache,
    archive: Digest,
    *,
    limits: ArchiveLimits | None = None,
    check: Callable[[], None] = lambda: None,
    durable: bool = False,
    renew: Collection[Digest] = (),
) -> Unpacked:
    """Store the members of a stored archive in ``data/``."""
    where = f"archive layer {archive}"
    with cache.open_blob(archive) as stream:
        return _walk(
            stream,
            where,
            limits or ArchiveLimits(),
            check,
            lambda chunks: cache.put_unnamed(chunks, durable=durable, renew=renew),
        )


def list_members(
    stream: BinaryIO,
    *,
    where: str,
    limits: ArchiveLimits | None = None,
    check: Callable[[], None] = lambda: None,
) -> Unpacked:
    """Hash the members of an archive without storing anything."""
    return _walk(stream, where, limits or ArchiveLimits(), check, _hash_chunks)


def check_stored(cache: Cache, archive: Digest) -> bool:
    """Whether the stored archive is the bytes its name says; it is read whole for that."""
    path = cache.find_blob(archive)
    if path is None:
        return False
    with open_regular(path) as stream, explained_reads(path):
        return hash_stream(stream, archive.algorithm)[0] == archive


def _walk(
    stream: BinaryIO,
    where: str,
    limits: ArchiveLimits,
    check: Callable[[], None],
    take: Callable[[Iterator[bytes]], tuple[Digest, int]],
) -> Unpacked:
    members: list[Member] = []
    entries = 0
    packed = _Counted(stream, where)
    try:
        with gzip.GzipFile(fileobj=cast(BinaryIO, packed), mode="rb") as unzipped:
            bounded = _Bounded(unzipped, packed, where, limits, check)
            tar = TarReader(bounded, where=where)
            for entry in tar:
                entries += 1
                if entries > limits.entries:
                    raise _beyond(where, f"at most {limits.entries} entries", "more")
                if entry.is_file and ".." not in entry.name.split("/"):
                    _check_size(entry, where, limits)
                    digest, size = take(bounded.content(tar.chunks(entry)))
                    members.append(Member(entry.name, digest, size))
    except SpinCacheError:
        raise
    except (zlib.error, EOFError, OSError, ValueError, OverflowError) as exc:
        raise ArchiveError(
            where, "a gzip-compressed tar", str(exc) or type(exc).__name__, "the app was pushed damaged"
        ) from exc
    return Unpacked(tuple(members), entries - len(members))


def _check_size(entry: TarEntry, where: str, limits: ArchiveLimits) -> None:
    if entry.size > limits.member_bytes:
        raise _beyond(
            f"{where}, member {entry.name!r}", f"at most {limits.member_bytes} bytes", f"{entry.size}"
        )


def _hash_chunks(chunks: Iterator[bytes]) -> tuple[Digest, int]:
    hasher = Digest.of(b"").hasher()
    size = 0
    for chunk in chunks:
        hasher.update(chunk)
        size += len(chunk)
    return Digest("sha256", hasher.hexdigest()), size


def _beyond(where: str, expected: str, found: str) -> LimitError:
    return LimitError(where, expected, found, "if you trust the app, raise the limit (ArchiveLimits)")


class _Counted:
    """Counts what is read of the packed stream, and tells a disk that fails from a damaged archive."""

    def __init__(self, stream: BinaryIO, where: str) -> None:
        self.stream = stream
        self.where = where
        self.count = 0

    def read(self, size: int = -1) -> bytes:
        try:
            chunk = self.stream.read(size)
        except OSError as exc:
            raise CacheError(
                self.where, "a readable file", exc.strerror or str(exc), "check the disk"
            ) from exc
        self.count += len(chunk)
        return chunk


class _Bounded:
    """Hands out the unpacked stream and stops it at the limits."""

    def __init__(
        self,
        stream: gzip.GzipFile,
        packed: _Counted,
        where: str,
        limits: ArchiveLimits,
        check: Callable[[], None],
    ) -> None:
        self.stream = stream
        self.packed = packed
        self.where = where
        self.limits = limits
        self.check = check
        self.unpacked = 0
        self.taken = 0

    def read(self, size: int) -> bytes:
        self.check()
        chunk = self.stream.read(size)
        self.unpacked += len(chunk)
        self.compare(self.unpacked)
        return chunk

    def content(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """Pass the content of a member on; the holes of sparse files are in no stream, but count."""
        for chunk in chunks:
            self.check()
            self.taken += len(chunk)
            self.compare(self.taken)
            yield chunk

    def compare(self, count: int) -> None:
        if count > self.limits.total_bytes:
            raise _beyond(self.where, f"at most {self.limits.total_bytes} bytes unpacked", "more")
        if count > max(self.packed.count * self.limits.ratio, _RATIO_FROM_BYTES):
            raise _beyond(
                self.where,
                f"at most {self.limits.ratio} bytes unpacked per byte",
                f"{count} from {self.packed.count}: a decompression bomb?",
            )

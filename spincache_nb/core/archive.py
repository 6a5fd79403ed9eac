"""Archive layers: a gzip-compressed tar whose regular files are stored as blobs of their own.

Spin unpacks the archive to a temporary directory and hashes each regular file in it (Spin main,
crates/oci/src/utils.rs). Here members are hashed from the stream, and no member's name ever becomes
a path on disk.

The standard library's `tarfile` follows chained headers by recursion, searches extended headers in
quadratic time, and keeps maps of sparse files of any length; an archive of 200 bytes can cost it a
gigabyte. The reader here takes what Spin's takes (POSIX ustar, GNU long names and sparse files, pax
``path`` and ``size``), entry by entry: time and memory grow with what is read, and with nothing else.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

from spincache_nb.core.cache import Cache
from spincache_nb.core.digest import Digest
from spincache_nb.errors import ArchiveError, CacheError, LimitError, SpinCacheError

BLOCK_BYTES = 512
HEADER_LIMIT = 1 << 20
"""Bytes that one extended header (a long name, pax records) may have."""

_CHUNK_BYTES = 256 << 10
_MOST_EXTENDED = 16
_MOST_PIECES = 64 << 10
_ZEROS = bytes(_CHUNK_BYTES)
_ENDED = bytes(BLOCK_BYTES)

_FILES = frozenset((0, *b"07S"))
_WITHOUT_DATA = frozenset(b"123456")
_LONG_NAME, _LONG_LINK, _SPARSE = b"L"[0], b"K"[0], b"S"[0]
_PAX, _PAX_OLD, _PAX_GLOBAL = b"x"[0], b"X"[0], b"g"[0]
_EXTENDED = frozenset({_LONG_NAME, _LONG_LINK, _PAX, _PAX_OLD, _PAX_GLOBAL})

Piece = tuple[int, int]
"""Where some bytes of a sparse file begin, and how many they are."""
_RATIO_FROM_BYTES = 64 << 20


# Unpacking ------------------------------------------------------------------------------------


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


# Tar -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TarEntry:
    """What an archive says of one entry."""

    name: str
    is_file: bool
    size: int
    offset: int
    pieces: tuple[Piece, ...] | None = None


class TarReader:
    """Reads a tar from its first byte to its end."""

    def __init__(self, stream: Any, *, where: str) -> None:
        self._read: Callable[[int], bytes] = stream.read
        self._seek: Callable[[int, int], int] | None = getattr(stream, "seek", None)
        self._where = where
        self._offset = 0
        self._left = 0

    def __iter__(self) -> Iterator[TarEntry]:
        """Give the entries in turn; `chunks` gives the content of the latest."""
        while (entry := self._next()) is not None:
            yield entry

    def chunks(self, entry: TarEntry) -> Iterator[bytes]:
        """Give the content of the latest entry, once."""
        position = 0
        for start, count in ((0, entry.size),) if entry.pieces is None else entry.pieces:
            yield from _holes(start - position)
            for done in range(0, count, _CHUNK_BYTES):
                yield self._take(min(count - done, _CHUNK_BYTES))
            position = start + count
        yield from _holes(entry.size - position)

    # Entries ---------------------------------------------------------------------------------

    def _next(self) -> TarEntry | None:
        self._skip()
        name: bytes | None = None
        size: int | None = None
        for _ in range(_MOST_EXTENDED + 1):
            header = self._header()
            if header is None:
                if name is not None or size is not None:
                    raise self._broken("an extended header with nothing after it")
                return None
            kind = header[156]
            if kind not in _EXTENDED:
                return self._entry(header, name, size)
            content = self._extended(_number(header[124:136], self._broken))
            if kind == _LONG_NAME:
                name = content.partition(b"\0")[0]
            elif kind in (_PAX, _PAX_OLD):
                records = self._records(content)
                name = records.get(b"path", name)
                size = _decimal(records[b"size"], self._broken) if b"size" in records else size
        raise self._beyond(f"at most {_MOST_EXTENDED} extended headers for one entry", "more")

    def _entry(self, header: bytes, name: bytes | None, size: int | None) -> TarEntry:
        kind = header[156]
        stored = _number(header[124:136], self._broken) if size is None else size
        if kind in _WITHOUT_DATA:
            stored = 0
        name = _name_of(header) if name is None else name
        real, pieces = stored, None
        if kind == _SPARSE:
            real, pieces = self._sparse_map(header, stored)
        self._left = stored + -stored % BLOCK_BYTES
        is_file = kind in _FILES and not (kind == 0 and name.endswith(b"/"))  # a folder of the oldest form
        return TarEntry(name.decode("utf-8", "surrogateescape"), is_file, real, self._offset, pieces)

    def _header(self) -> bytes | None:
        """Read a header block; None at the end of the archive."""
        block = self._read_up_to(BLOCK_BYTES)
        if block == _ENDED or (not block and self._offset):
            return None
        if len(block) < BLOCK_BYTES:
            raise self._broken("one that breaks off in a header" if self._offset else "too few bytes")
        told = _number(block[148:156], self._broken)
        rest = block[:148] + block[156:]
        signed = 256 + sum(rest) - 256 * sum(byte > 127 for byte in rest)  # as some old programs add
        if told not in (256 + sum(rest), signed):
            raise self._broken("a header whose checksum is wrong")
        return block

    def _extended(self, size: int) -> bytes:
        if size > HEADER_LIMIT:
            raise self._beyond(f"extended headers of at most {HEADER_LIMIT} bytes", f"{size}")
        self._left = size + -size % BLOCK_BYTES
        content = self._take(size)
        self._skip()
        return content

    def _records(self, content: bytes) -> dict[bytes, bytes]:
        """Read pax records, ``length key=value`` and a line's end each; keep ``path`` and ``size``."""
        kept: dict[bytes, bytes] = {}
        position = 0
        while position < len(content) and content[position]:
            text = content[position : position + 20].partition(b" ")[0]
            length = _decimal(text, self._broken)
            record = content[position : position + length]
            if len(record) < length or not record.endswith(b"\n"):
                raise self._broken("a malformed pax record")
            key, equals, value = record[len(text) + 1 : -1].partition(b"=")
            if not equals:
                raise self._broken("a malformed pax record")
            if key in (b"path", b"size"):
                kept[key] = value
            position += length
        return kept

    def _sparse_map(self, header: bytes, stored: int) -> tuple[int, tuple[Piece, ...]]:
        """Size and map of a GNU sparse file; the map must fit the content, as for Spin's tar crate."""
        real = _number(header[483:495], self._broken)
        pieces = list(self._pieces(header, 386, 4))
        more = header[482]
        while more:
            if len(pieces) > _MOST_PIECES:
                raise self._beyond(f"a sparse file of at most {_MOST_PIECES} pieces", "more")
            block = self._read_up_to(BLOCK_BYTES)
            if len(block) < BLOCK_BYTES:
                raise self._broken("one that breaks off in the map of a sparse file")
            pieces += self._pieces(block, 0, 21)
            more = block[504]
        end = 0
        for start, count in pieces:
            if start < end:
                raise self._broken("a sparse file whose pieces overlap")
            end = start + count
        if end > real or sum(count for _, count in pieces) != stored:
            raise self._broken("a sparse file whose map does not fit its content")
        return real, tuple(pieces)

    def _pieces(self, block: bytes, position: int, count: int) -> Iterator[Piece]:
        for at in range(position, position + 24 * count, 24):
            if not block[at] or not block[at + 12]:
                return
            yield (
                _number(block[at : at + 12], self._broken),
                _number(block[at + 12 : at + 24], self._broken),
            )

    # Bytes -----------------------------------------------------------------------------------

    def _take(self, count: int) -> bytes:
        content = self._read_up_to(count)
        self._left -= len(content)
        if len(content) < count:
            raise self._broken("one that breaks off")
        return content

    def _skip(self) -> None:
        """Pass over what is left of an entry's content."""
        if self._seek is not None:
            self._seek(self._left, 1)
            self._offset += self._left
            self._left = 0
        while self._left:
            count = min(self._left, _CHUNK_BYTES)
            if len(self._read_up_to(count)) < count:
                raise self._broken("one that breaks off")
            self._left -= count

    def _read_up_to(self, count: int) -> bytes:
        """Read so many bytes, fewer only at the end of the stream."""
        content = self._read(count)
        while len(content) < count and (more := self._read(count - len(content))):
            content += more
        self._offset += len(content)
        return content

    def _broken(self, found: str) -> ArchiveError:
        return ArchiveError(self._where, "a tar", found, "the app was pushed damaged")

    def _beyond(self, expected: str, found: str) -> LimitError:
        return LimitError(self._where, expected, found, "no Spin app needs that; do not trust this one")


def _name_of(header: bytes) -> bytes:
    name = header[:100].partition(b"\0")[0]
    prefix = header[345:500].partition(b"\0")[0] if header[257:263] == b"ustar\0" else b""
    return prefix + b"/" + name if prefix else name


def _number(field: bytes, broken: Callable[[str], ArchiveError]) -> int:
    """Read octal digits, or GNU's binary form of what needs more than they can say."""
    if field[0] & 0x80:
        value = int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big")
        if field[0] & 0x40 or value >= 1 << 63:
            raise broken("a number that is none")
        return value
    text = field.partition(b"\0")[0].strip()
    if text.strip(b"01234567"):
        raise broken("a number that is none")
    return int(text or b"0", 8)


def _decimal(text: bytes, broken: Callable[[str], ArchiveError]) -> int:
    if not text.isdigit() or len(text) > 18:
        raise broken("a number that is none")
    return int(text)


def _holes(count: int) -> Iterator[bytes]:
    for done in range(0, count, _CHUNK_BYTES):
        yield _ZEROS[: min(count - done, _CHUNK_BYTES)]

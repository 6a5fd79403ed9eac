"""Archive layers: a gzip-compressed tar whose regular files are stored as blobs of their own.

Spin unpacks the archive to a temporary directory and hashes each regular file in it (Spin main,
crates/oci/src/utils.rs, by astral-tokio-tar 0.6). Here members are hashed from the stream, and no
member's name ever becomes a path on disk. What is taken and what is refused is what Spin's reader
takes and refuses:

- one gzip member is read; what follows it is ignored;
- an entry of an unknown type is a file, and so is a device or a pipe; sizes of folders and links count;
- of entries with one name the last counts (the bytes of the others are stored, but are no members);
- refused are two extended headers of a kind for one entry, an empty pax value, a hard link to what has
  not come yet, a file where a folder is or the reverse, and a GNU volume label;
- a stream that breaks off, as Spin's main pushes them since August 2026, is read as far as it goes.

Spin up to v4.0.2 (the tar crate) differs in the last two: it takes such headers, and fails on a stream
that breaks off.

The standard library's `tarfile` follows chained headers by recursion, searches extended headers in
quadratic time, and keeps maps of sparse files of any length; an archive of 200 bytes can cost it a
gigabyte. The reader here goes entry by entry: time and memory grow with what is read, and with nothing else.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable, Collection, Iterator
from typing import Any, BinaryIO, NamedTuple

from spincache_nb.core.cache import Cache
from spincache_nb.core.digest import Digest
from spincache_nb.core.files import explained_reads
from spincache_nb.core.settings import ArchiveLimits
from spincache_nb.errors import ArchiveError, LimitError

BLOCK_BYTES = 512
HEADER_LIMIT = 1 << 20
"""Bytes that one extended header (a long name, pax records) may have."""

_CHUNK_BYTES = 256 << 10
_MOST_EXTENDED = 16
_MOST_PIECES = 64 << 10
_RATIO_FROM_BYTES = 64 << 20
_SHORTEST_GZIP = 18
_MOST_PACKED = 1032
"""Bytes that deflate makes of one at most."""
_ZEROS = bytes(_CHUNK_BYTES)
_ENDED = bytes(BLOCK_BYTES)
_REMEDY = "the app was pushed damaged"

_FOLDER, _HARD_LINK, _LINK, _LABEL = b"5"[0], b"1"[0], b"2"[0], b"V"[0]
_LONG_NAME, _LONG_LINK, _SPARSE = b"L"[0], b"K"[0], b"S"[0]
_PAX, _PAX_GLOBAL = b"x"[0], b"g"[0]
_EXTENDED = frozenset({_LONG_NAME, _LONG_LINK, _PAX, _PAX_GLOBAL})

Piece = tuple[int, int]
"""Where some bytes of a sparse file begin, and how many they are."""


class Member(NamedTuple):
    """A regular file of an archive."""

    path: str
    digest: Digest
    size: int


class Unpacked(NamedTuple):
    """What an archive held: regular files, how many other entries, and whether the stream breaks off."""

    members: tuple[Member, ...]
    skipped: int
    is_cut: bool = False


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

    def store(chunks: Iterator[bytes]) -> tuple[Digest, int]:
        return cache.put_unnamed(chunks, durable=durable, renew=renew)

    with cache.open_blob(archive) as stream:
        return _Walk(stream, f"archive layer {archive}", limits, check, store).run()


def list_members(
    stream: BinaryIO,
    *,
    where: str,
    limits: ArchiveLimits | None = None,
    check: Callable[[], None] = lambda: None,
) -> Unpacked:
    """Hash the members of an archive without storing anything."""
    return _Walk(stream, where, limits, check, _hash_chunks).run()


def breaks_off(stream: BinaryIO, *, where: str, limits: ArchiveLimits | None = None) -> bool:
    """Whether an archive's gzip stream breaks off; only one whose end looks so is read whole.

    A finished stream ends with the number of bytes that it unpacks to, and those of a tar are full blocks.
    """
    packed_bytes = stream.seek(0, io.SEEK_END)
    if packed_bytes > _SHORTEST_GZIP:
        stream.seek(-4, io.SEEK_END)
        unpacked_bytes = int.from_bytes(stream.read(4), "little")
        if unpacked_bytes % BLOCK_BYTES == 0 and 0 < unpacked_bytes <= packed_bytes * _MOST_PACKED:
            return False
    stream.seek(0)
    return list_members(stream, where=where, limits=limits).is_cut


def _hash_chunks(chunks: Iterator[bytes]) -> tuple[Digest, int]:
    hasher = Digest.of(b"").hasher()
    size = 0
    for chunk in chunks:
        hasher.update(chunk)
        size += len(chunk)
    return Digest("sha256", hasher.hexdigest()), size


class _Walk:
    """One way through an archive: each member's content is handed to `take`."""

    def __init__(
        self,
        stream: BinaryIO,
        where: str,
        limits: ArchiveLimits | None,
        check: Callable[[], None],
        take: Callable[[Iterator[bytes]], tuple[Digest, int]],
    ) -> None:
        self.where = where
        self.limits = limits or ArchiveLimits()
        self.check = check
        self.take = take
        self.packed = _Unzipped(stream, where, self.compare)
        self.tar = TarReader(io.BufferedReader(self.packed, _CHUNK_BYTES), where=where)
        self.members: dict[str, Member] = {}
        self.folders: set[str] = set()
        self.entries = 0
        self.taken = 0

    def run(self) -> Unpacked:
        try:
            for entry in self.tar:
                self.entries += 1
                if self.entries > self.limits.entries:
                    raise _beyond(self.where, f"at most {self.limits.entries} entries", "more")
                self.add(entry)
            self.packed.to_the_end()
        except ArchiveError:
            if not (self.packed.is_cut and self.packed.count_out):
                raise
        except zlib.error as exc:
            raise ArchiveError(self.where, "a gzip-compressed tar", str(exc), _REMEDY) from exc
        return Unpacked(tuple(self.members.values()), self.entries - len(self.members), self.packed.is_cut)

    def add(self, entry: TarEntry) -> None:
        names = [name for name in entry.name.split("/") if name not in ("", ".")]
        if ".." in names or not names:
            return  # Spin skips what leads out of its folder
        path = "/".join(names)
        around = ["/".join(names[:count]) for count in range(1, len(names))]
        if any(folder in self.members for folder in around) or (
            entry.kind == "folder" and path in self.members
        ):
            raise self.refused(entry, "a folder where a file is")
        self.folders.update(around)
        if entry.kind == "folder":
            self.folders.add(path)
        elif entry.kind == "hard link" and _path(entry.target) not in self.members:
            raise self.refused(entry, "a link to what has not come yet")
        elif entry.is_file:
            if path in self.folders:
                raise self.refused(entry, "a file where a folder is")
            if entry.size > self.limits.member_bytes:
                where = f"{self.where}, member {entry.name!r}"
                raise _beyond(where, f"at most {self.limits.member_bytes} bytes", f"{entry.size}")
            digest, size = self.take(self.content(entry))
            self.members.pop(path, None)
            self.members[path] = Member(entry.name, digest, size)

    def content(self, entry: TarEntry) -> Iterator[bytes]:
        """The content of a member; the holes of sparse files are in no stream, but count."""
        for chunk in self.tar.chunks(entry):
            self.taken += len(chunk)
            self.compare(self.taken)
            yield chunk

    def compare(self, count: int) -> None:
        """Stop at the limits, and when the caller says so."""
        self.check()
        if count > self.limits.total_bytes:
            raise _beyond(self.where, f"at most {self.limits.total_bytes} bytes unpacked", "more")
        if count > max(self.packed.count_in * self.limits.ratio, _RATIO_FROM_BYTES):
            raise _beyond(
                self.where,
                f"at most {self.limits.ratio} bytes unpacked per byte",
                f"{count} from {self.packed.count_in}: a decompression bomb?",
            )

    def refused(self, entry: TarEntry, found: str) -> ArchiveError:
        return ArchiveError(self.where, "an archive that Spin unpacks", f"{found}: {entry.name!r}", _REMEDY)


def _path(name: str) -> str:
    return "/".join(part for part in name.split("/") if part not in ("", "."))


def _beyond(where: str, expected: str, found: str) -> LimitError:
    return LimitError(where, expected, found, "if you trust the app, raise the limit (ArchiveLimits)")


class _Unzipped(io.RawIOBase):
    """The first gzip member of a stream, unpacked; says whether it breaks off."""

    def __init__(self, stream: BinaryIO, where: str, compare: Callable[[int], None]) -> None:
        self.stream = stream
        self.where = where
        self.compare = compare
        self.count_in = self.count_out = 0
        self.is_cut = False
        self._unzip = zlib.decompressobj(wbits=31)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._unzip.eof:
            packed = self._unzip.unconsumed_tail
            if not packed:
                with explained_reads(self.where):
                    packed = self.stream.read(_CHUNK_BYTES)
                self.count_in += len(packed)
            chunk = self._unzip.decompress(packed, len(buffer))
            if chunk:
                self.count_out += len(chunk)
                self.compare(self.count_out)
                buffer[: len(chunk)] = chunk
                return len(chunk)
            if not packed:
                self.is_cut = True
                break
        return 0

    def to_the_end(self) -> None:
        """Read what follows the tar, to see whether the stream ends as it should."""
        buffer = bytearray(_CHUNK_BYTES)
        try:
            while self.readinto(buffer):
                pass
        except zlib.error:
            pass  # nobody reads so far; the members are whole


class TarEntry(NamedTuple):
    """What an archive says of one entry."""

    name: str
    kind: str
    size: int
    offset: int
    pieces: tuple[Piece, ...] | None = None
    target: str = ""

    @property
    def is_file(self) -> bool:
        """Whether it is a regular file, or of a type that is taken for one."""
        return self.kind == "file"


class TarReader:
    """Reads a tar from its first byte to its end."""

    def __init__(self, stream: Any, *, where: str) -> None:
        self._read: Callable[[int], bytes] = stream.read
        can_seek = getattr(stream, "seekable", lambda: False)()
        self._seek: Callable[[int, int], int] | None = stream.seek if can_seek else None
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

    def _next(self) -> TarEntry | None:
        self._skip()
        told: dict[bytes, bytes] = {}
        seen: set[int] = set()
        for _ in range(_MOST_EXTENDED + 1):
            header = self._header()
            if header is None:
                if seen - {_PAX_GLOBAL}:
                    raise self._broken("an extended header with nothing after it")
                return None
            kind = header[156]
            if kind not in _EXTENDED:
                return self._entry(header, told)
            if kind in seen and kind != _PAX_GLOBAL:
                raise self._broken("two extended headers of a kind for one entry")
            seen.add(kind)
            content = self._extended(_number(header[124:136], self._broken))
            if kind == _PAX:
                told |= self._records(content)
            elif kind != _PAX_GLOBAL:
                key = b"path" if kind == _LONG_NAME else b"linkpath"
                told.setdefault(key, content.partition(b"\0")[0])
        raise self._beyond(f"at most {_MOST_EXTENDED} extended headers for one entry", "more")

    def _entry(self, header: bytes, told: dict[bytes, bytes]) -> TarEntry:
        flag = header[156]
        if flag == _LABEL:
            raise self._broken("the label of a GNU volume")
        field = header[124:136]
        stored = _decimal(told[b"size"], self._broken) if b"size" in told else _number(field, self._broken)
        name = told.get(b"path") or _name_of(header)
        target = told.get(b"linkpath") or header[157:257].partition(b"\0")[0]
        real, pieces = stored, None
        if flag == _SPARSE:
            real, pieces = self._sparse_map(header, stored)
        self._left = stored + -stored % BLOCK_BYTES
        kind = {_FOLDER: "folder", _HARD_LINK: "hard link", _LINK: "link"}.get(flag, "file")
        if flag == 0 and name.endswith(b"/"):  # a folder of the oldest form
            kind = "folder"
        texts = (part.decode("utf-8", "surrogateescape") for part in (name, target))
        return TarEntry(next(texts), kind, real, self._offset, pieces, next(texts))

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
        """Read pax records, ``length key=value`` and a line's end each; keep those that matter here."""
        kept: dict[bytes, bytes] = {}
        position = 0
        while position < len(content) and content[position]:
            text = content[position : position + 20].partition(b" ")[0]
            length = _decimal(text, self._broken)
            record = content[position : position + length]
            if len(record) < length or not record.endswith(b"\n"):
                raise self._broken("a malformed pax record")
            key, equals, value = record[len(text) + 1 : -1].partition(b"=")
            if not equals or not value:
                raise self._broken("a malformed pax record")
            if key in (b"path", b"size", b"linkpath"):
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
        return ArchiveError(self._where, "a tar", found, _REMEDY)

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

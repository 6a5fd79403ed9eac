"""Blobs that are open for reading, grains by name, and the pieces of a blob at each: digests and sizes.

Content-defined chunks end where a rolling hash of some 32 bytes says so, so an insertion moves the chunks
after it without changing them (W. Xia et al., FastCDC, USENIX ATC 2016: a Gear hash, and two masks that
draw the sizes towards their average). They are a quarter to four times their average size.

A patch is what ``zstd --patch-from`` makes (``zstandard``, extra ``grains``): the old bytes are the
dictionary and the window reaches over all of them. It is close to the least that any scheme has to
transfer, but it needs the old version whole and one patch for each pair of versions.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import importlib
import io
import mmap
import os
import warnings
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, TypeAlias, Union, cast

import numpy as np
import numpy.typing as npt

from spincache_nb.core.archive import list_members
from spincache_nb.core.cache import Cache
from spincache_nb.core.digest import Digest
from spincache_nb.errors import (
    ArchiveError,
    InvalidDigestError,
    MissingExtraError,
    NotInCacheError,
    printable,
)
from spincache_nb.wasm.walker import WASM_GRAINS, Walk, WasmGrain, cuts, is_wasm, walk

PATCH: Final = "patch"
ARCHIVE_MEMBER: Final = "archive member"
CHUNK_BYTES: Final = {f"chunk {kib} KiB": kib << 10 for kib in (4, 8, 16, 64)}

GRAINS: Final = ("blob", "section", "module", "nested section", "function", *CHUNK_BYTES, PATCH)
"""The grains that are compared unless others are asked for, from coarse to fine."""

ALL_GRAINS: Final = (*WASM_GRAINS, ARCHIVE_MEMBER, *CHUNK_BYTES, PATCH)
"""Every grain.

- ``blob``: everything is one piece.
- ``section``: the sections of the outermost module or component.
- ``module``: also what is nested in components, core modules whole.
- ``nested section``: also the sections of nested core modules.
- ``function``: also each function body, with its size prefix.
- ``data segment``: also each data segment.
- ``archive member``: the regular files of an archive layer; anything else is one piece.
- ``chunk 4 KiB`` and so on: content-defined chunks of that size on average.
- ``patch``: what a binary patch from the old version need not transfer.
"""

Pieces: TypeAlias = tuple[list[bytes], list[int]]
"""Digests (sha256, 32 bytes each) and sizes of the pieces of a blob, in order."""

_INSTALL: Final = 'pip install "spincache-nb[grains]"'

_MAPPED_FROM_BYTES: Final = 64 << 20
_GZIP: Final = b"\x1f\x8b"

BlobSource: TypeAlias = Union[bytes, bytearray, memoryview, str, "os.PathLike[str]", Digest]
"""Bytes, the path of a file, or a digest (with a cache to find it in)."""


@dataclass(frozen=True, eq=False)
class OpenBlob:
    """Bytes that are open for reading, and what to call them in an error."""

    view: memoryview
    where: str

    @cached_property
    def walked(self) -> Walk | None:
        """Its structure, or None if it is not WebAssembly."""
        return walk(self.view, where=self.where) if is_wasm(self.view) else None

    @cached_property
    def digest(self) -> bytes:
        """The sha256 of all bytes."""
        return hashlib.sha256(self.view).digest()

    @property
    def is_archive(self) -> bool:
        """Whether it may be an archive layer: gzip, by its first bytes."""
        return bytes(self.view[:2]) == _GZIP

    @property
    def whole(self) -> array[int]:
        """The offsets of one piece that is everything; of none, if there are no bytes."""
        return array("Q", [0, len(self.view)] if len(self.view) else [0])

    def cuts(self, grain: WasmGrain) -> array[int]:
        """Give the offsets where it is cut at a grain; what is not WebAssembly is one piece."""
        return self.whole if self.walked is None else cuts(self.view, self.walked, grain)

    def same_as(self, other: OpenBlob) -> bool:
        """Whether another blob holds the same bytes."""
        return len(self.view) == len(other.view) and self.digest == other.digest


@contextlib.contextmanager
def opened(source: BlobSource, *, cache: Cache | None = None) -> Iterator[OpenBlob]:
    """Open a blob; files are read whole, large ones mapped into memory."""
    if isinstance(source, bytes | bytearray | memoryview):
        with memoryview(source).cast("B") as view:
            yield OpenBlob(view, "bytes")
        return
    path, where = _locate(source, cache)
    with path.open("rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        if size < _MAPPED_FROM_BYTES:
            yield OpenBlob(memoryview(stream.read()), where)
            return
        mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        view = memoryview(mapped)
        try:
            yield OpenBlob(view, where)
        finally:
            with contextlib.suppress(BufferError):  # a slice in a traceback; freed with it
                view.release()
                mapped.close()


def _locate(source: str | os.PathLike[str] | Digest, cache: Cache | None) -> tuple[Path, str]:
    digest = source if isinstance(source, Digest) else None
    if isinstance(source, str) and cache is not None:
        with contextlib.suppress(InvalidDigestError):
            digest = Digest.parse(source)
    if digest is None:
        path = Path(os.fspath(source))  # type: ignore[arg-type]  # no digest, so a path
        return path, printable(str(path))
    if cache is None:
        raise ValueError(f"{digest} is a digest: say in which cache, with cache=")
    found = cache.find_blob(digest)
    if found is None:
        raise NotInCacheError(str(digest), "a stored blob", "none", "pull the app that needs it")
    return found, str(digest)


def chosen_grains(only: Iterable[str] | None) -> tuple[str, ...]:
    """Check names of grains and put them in order; without any, give those that can be had here.

    One that needs a package that is not installed is left out with a warning, or an error if it was
    asked for by name.
    """
    if only is not None:
        wanted = set(only)
        if unknown := sorted(wanted.difference(ALL_GRAINS)):
            raise ValueError(f"no grain {unknown[0]!r}; there are: {', '.join(ALL_GRAINS)}")
        if PATCH in wanted:
            _zstandard()
        return tuple(grain for grain in ALL_GRAINS if grain in wanted)
    try:
        _zstandard()
    except MissingExtraError:
        warnings.warn(f"left out: {PATCH}; for it, {_INSTALL}", UserWarning, stacklevel=3)
        return GRAINS[:-1]
    return GRAINS


def pieces(blob: OpenBlob, grain: str) -> Pieces:
    """Cut a blob at a grain and hash each piece; the pieces of an archive are the files it unpacks to."""
    if grain == ARCHIVE_MEMBER and blob.is_archive:
        return _members(blob)
    if grain in CHUNK_BYTES:
        return hashed(blob.view, chunk_cuts(blob.view, CHUNK_BYTES[grain]))
    if grain in (ARCHIVE_MEMBER, "blob"):
        return hashed(blob.view, blob.whole)
    return hashed(blob.view, blob.cuts(cast(WasmGrain, grain)))


def hashed(view: memoryview, offsets: Sequence[int] | array[int]) -> Pieces:
    """Hash what lies between neighbouring offsets."""
    sha256 = hashlib.sha256
    digests = [sha256(view[start:end]).digest() for start, end in pairwise(offsets)]
    return digests, [end - start for start, end in pairwise(offsets)]


def _members(blob: OpenBlob) -> Pieces:
    """Hash the members of an archive; what is gzip but no archive is one piece."""
    try:
        members = list_members(io.BytesIO(blob.view), where=blob.where).members
    except ArchiveError:
        return hashed(blob.view, blob.whole)
    return [bytes.fromhex(member.digest.encoded) for member in members], [m.size for m in members]


_BLOCK: Final = 1 << 20
_WARM_UP: Final = 64  # bytes after which a hash that starts at a chunk is the one that never started anew
_GEAR = np.frombuffer(
    base64.b64decode(
        b"eMCVXImJQCIUokgthyCEEvuKD1O5NkVH8bRjKYtzy0Q9QKdObmtgTdPFTgcYnfM6ygNgcnQqpjeO9aJRjjUGdSixSl174UpNJF"
        b"noQfc2DEfhy0FHMH+7AeMdfGEfOgwrc4/EUDctqCHgrJVgoGeRQbBJrzwtps5AZhy8Zq0dXlTNd/orJNqFbsW9sF8p/Cxlq+EK"
        b"OvPgNygOt4djEmAXE7vCYkOx9NhmNOj8N4bTnCyWQhQhqGhyYjf1DWV51QUoveshOzTtV3ODtVg/yt1QcV4iYnNwYApiKfVeLG"
        b"YkUnvAeIt2HuVUS+UH+nXGX6MGJBC3MOEmhhx41WopLr7XKFqgkBS9Q+5841aLaSYB3Alu39ZOx7/BAlOtWSo05MApeFJsfadA"
        b"eVCTuvZeHq+2aHZyU0ZmxxthfVhcFUeoGzCn3cksLI5DChTVaQrTckx0m2syT4ZC836n+A5Kvm7ganJTnGbLLUASnenqX6f0x3"
        b"act71qOKD6DSwo4iCL1A5zL6ydBj7PjhYf5hAmjixRLAaM+xV2vGJeNVFVaUyG2woU+WhCqrOaNLL97SCBeXJR2LO0NyJ10V3k"
        b"vyxrn89HXM0c+jBW294jCvXRE+fe7WT3sCAICHPgRv0dLR4ybLAX2DYAJTS/TSjgLilofMguNuuxfAggZ7R22zBBEIdjlnE/xC"
        b"1IJe+II+FEQVJOg71Eo32ORPnqpj9cIdo88wxQOjK0XDmfEpVRh1+UQ6QshlHxj+pW3DQQIPWPMk0JqXN9edM0Ypy/z2SaWPY2"
        b"iuksCnHZ5F/FFbwDMx0CRCuTwRYUNlA3nfbKGnm3Az8DGuZJ6tdSH1zdbRzOGCIGGqHnB3p1BRlTCuB8KU/0SbVwzEtV6v456M"
        b"5CUoVr5TxyFrgAzOy+RlatoDzozpYjQH9UeJsICGtRZ6VmRn4eeFb4LB6RNcE7AkJKSdeUBFKaRYcttlV1dcFMKEIHhUcf/13J"
        b"ddeN/zXtV0dOjPgRLkhQG16ZZg5ClQZrIrR5Fk1vZCJaMREdFtloXBIu4xMTJFeoSsF+3CH+KfpPgoOWcvPuqBwoHDs/bPvCOT"
        b"9Jdm0upiJ6KhybeFPL4Bbr7ux9xuHHDT2/dVwzgyFS1uRtECJExn30D1llMOwCLGesqWTpsspZ89IhSlduYQ/oTrUjqgpzAk1j"
        b"PC9s/BdxBW+sAQzSnloqTowV8Jm2QrMUfAxBlr0C/FatFWAvchyRr6F9y9vgIyvhkw4debJkdiQNRN2ojlhYpmVGGMRGdHSndx"
        b"h+QCZWRr1jf9jb0jJKD3k8OXIrdyYoi28J9n9nESzIDVTj/yOmU6wuCZ4TFrwN/Qo3Qk0qx2ijVuQlQyOHkc4tfuroMg=="
    ),
    "<u4",
)
"""A random number below 2**31 for each byte: those of ronomon/deduplication and of the package fastcdc."""
_GEAR_NUMBERS: list[int] = _GEAR.tolist()

_Places = npt.NDArray[np.intp]


def chunk_cuts(view: memoryview, average_bytes: int) -> array[int]:
    """Give the offsets at which bytes are cut into chunks of an average size, a power of two from 1 KiB."""
    least, most = average_bytes // 4, average_bytes * 4
    middle = average_bytes - least - (least + 1) // 2  # up to here cuts are rarer, from here more frequent
    bits = average_bytes.bit_length() - 1
    masks = (1 << bits + 1) - 1, (1 << bits - 1) - 1
    rare, frequent = _candidates(view, masks)
    cuts = array("Q", [0])
    start = 0
    while start < len(view):
        end = min(start + most, len(view))
        start = (
            _early_cut(view, start + least, end, masks[0])
            or _first(rare, start + least + _WARM_UP, min(start + middle, end))
            or _first(frequent, start + middle, end)
            or end
        )
        cuts.append(start)
    return cuts


def _early_cut(view: memoryview, start: int, end: int, mask: int) -> int | None:
    """Look for a cut where the hash, which starts anew with each chunk, has seen few bytes."""
    pattern = 0
    for place in range(start, min(start + _WARM_UP, end)):
        pattern = (pattern >> 1) + _GEAR_NUMBERS[view[place]]
        if not pattern & mask:
            return place + 1
    return None


def _first(places: _Places, low: int, high: int) -> int | None:
    """Give the offset after the first of some places that is at least `low` and below `high`."""
    found = int(np.searchsorted(places, low))
    return int(places[found]) + 1 if found < len(places) and places[found] < high else None


def _candidates(view: memoryview, masks: Iterable[int]) -> list[_Places]:
    """Give for each mask the places where the rolling hash is zero under it."""
    data = np.frombuffer(view, np.uint8)
    gear = _GEAR.astype(np.uint64) << np.uint64(32)  # half of the bits for what shifts leave of each number
    found: list[list[_Places]] = [[np.empty(0, np.intp)] for _ in masks]
    for start in range(0, len(data), _BLOCK):
        before = min(start, _WARM_UP - 1)
        sums = gear[data[start - before : start + _BLOCK]]
        for shift in (1, 2, 4, 8, 16, 32):  # the number of each byte, and half of that before, and so on
            sums[shift:] += sums[:-shift] >> np.uint64(shift)
        hashes = (sums[before:] >> np.uint64(32)).astype(np.uint32)
        for places, mask in zip(found, masks, strict=True):
            places.append(np.flatnonzero(hashes & np.uint32(mask) == 0) + start)
    return [np.concatenate(places) for places in found]


_LEVEL: Final = 9
"""At this level the search tables can be made to cover the dictionary at 25 MB/s and more; level 19
makes patches a tenth smaller and takes twenty times as long."""

_SMALLEST_LOG, _LARGEST_TABLE_LOG, _LARGEST_WINDOW_LOG = 10, 26, 31


def reused_by_patch(old: OpenBlob, new: OpenBlob) -> int:
    """Count the bytes of a new version that a patch from an old one need not transfer."""
    if old.same_as(new):
        return len(new.view)
    return max(0, len(new.view) - len(make_patch(old.view, new.view)))


def make_patch(old: memoryview, new: memoryview) -> bytes:
    """Make a zstd frame that needs the old bytes to unpack; it takes eight times their memory."""
    zstandard = _zstandard()
    window = (len(old) + len(new)).bit_length()
    table = min(max(len(old).bit_length(), _SMALLEST_LOG), _LARGEST_TABLE_LOG)
    parameters = zstandard.ZstdCompressionParameters.from_level(
        _LEVEL,
        source_size=len(new),
        dict_size=len(old),
        window_log=min(max(window, _SMALLEST_LOG), _LARGEST_WINDOW_LOG),
        hash_log=table,
        chain_log=table,
    )
    raw = zstandard.DICT_TYPE_RAWCONTENT
    dictionary = zstandard.ZstdCompressionDict(bytes(old), dict_type=raw) if len(old) else None
    compressor = zstandard.ZstdCompressor(dict_data=dictionary, compression_params=parameters)
    return cast(bytes, compressor.compress(new))


def _zstandard() -> Any:
    try:
        return importlib.import_module("zstandard")
    except ImportError as exc:
        raise MissingExtraError("grain patch", "the package zstandard", "none", _INSTALL) from exc

"""Grains by name, and the pieces of a blob at each: digests and sizes.

Content-defined chunks end where a rolling hash of the last 32 bytes says so, so an insertion moves the
chunks after it without changing them (W. Xia et al., FastCDC, USENIX ATC 2016: a Gear hash, and two masks
that draw the sizes towards their average). They are a quarter to four times their average size.

A patch is what ``zstd --patch-from`` makes (``zstandard``, extra ``grains``): the old bytes are the
dictionary and the window reaches over all of them. It is close to the least that any scheme has to
transfer, but it needs the old version whole and one patch for each pair of versions.
"""

from __future__ import annotations

import hashlib
import importlib
import io
import warnings
from array import array
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import pairwise
from typing import Any, Final, TypeAlias, cast

import numpy as np
import numpy.typing as npt

from spincache_nb.analysis.inside.blobs import OpenBlob
from spincache_nb.core.archive import list_members
from spincache_nb.errors import ArchiveError, MissingExtraError
from spincache_nb.wasm import WASM_GRAINS, WasmGrain

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


# ---------------------------------------------------------------- content-defined chunks

_BLOCK: Final = 1 << 20
_WINDOW: Final = 32  # bytes that the hash looks back: each older one is shifted out of its 32 bits

_Hashes = npt.NDArray[np.uint32]


@cache
def _gear() -> _Hashes:
    """One random number for each byte, always the same."""
    return np.frombuffer(b"".join(hashlib.sha256(bytes([n])).digest()[:4] for n in range(256)), "<u4")


def chunk_cuts(view: memoryview, average_bytes: int) -> array[int]:
    """Give the offsets at which bytes are cut into chunks of an average size, a power of two."""
    size = len(view)
    least, most = max(average_bytes // 4, 64), max(average_bytes * 4, 1024)
    usual = max(average_bytes - least - least // 2, least)  # up to here a cut is rarer than at the average
    bits = average_bytes.bit_length() - 1
    rare, common = _candidates(view, bits + 1, bits - 1)
    cuts = array("Q", [0])
    start = 0
    while size - start > least:
        cut = _first(rare, start + least, start + usual)
        cut = cut or _first(common, start + usual, start + most) or start + most
        start = min(cut, size)
        cuts.append(start)
    if start < size:
        cuts.append(size)
    return cuts


def _first(places: npt.NDArray[np.intp], low: int, high: int) -> int | None:
    """Give the first of some places that is at least `low` and below `high`."""
    found = int(np.searchsorted(places, low))
    return int(places[found]) if found < len(places) and places[found] < high else None


def _candidates(view: memoryview, *bits: int) -> list[npt.NDArray[np.intp]]:
    """Give, for each number of bits, the offsets where so many first bits of the rolling hash are zero."""
    found: list[list[npt.NDArray[np.intp]]] = [[np.empty(0, np.intp)] for _ in bits]
    for start, hashes in _rolling_hashes(view):
        for places, number in zip(found, bits, strict=True):
            places.append(np.flatnonzero(hashes < (1 << (32 - number))) + start + 1)
    return [np.concatenate(places) for places in found]


def _rolling_hashes(view: memoryview) -> Iterator[tuple[int, _Hashes]]:
    """Yield the hash at each byte, block by block: numbers of the last bytes, older ones shifted."""
    data = np.frombuffer(view, np.uint8)
    for start in range(0, len(data), _BLOCK):
        before = min(start, _WINDOW - 1)
        hashes = _gear()[data[start - before : start + _BLOCK]]
        for shift in (1, 2, 4, 8, 16):  # sums of 2, 4, ... 32 bytes
            hashes[shift:] += hashes[:-shift] << shift
        yield start, hashes[before:]


# ---------------------------------------------------------------- patches

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

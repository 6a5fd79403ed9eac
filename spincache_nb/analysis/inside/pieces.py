"""Grains by name, and the pieces of a blob at each: digests and sizes."""

from __future__ import annotations

import hashlib
import io
from array import array
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Final, TypeAlias, cast

from spincache_nb.analysis.inside.chunks import chunk_cuts
from spincache_nb.analysis.inside.sources import OpenBlob
from spincache_nb.core.archive import list_members
from spincache_nb.errors import ArchiveError
from spincache_nb.wasm import WASM_GRAINS, WasmGrain

INDEX_BYTES_PER_PIECE: Final = 32
"""A sha256 digest: what an index has to hold for each piece, at the least."""

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

_GZIP: Final = b"\x1f\x8b"

Pieces: TypeAlias = tuple[list[bytes], list[int]]
"""Digests (sha256, 32 bytes each) and sizes of the pieces of a blob, in order."""


def chosen_grains(only: Iterable[str] | None) -> tuple[str, ...]:
    """Check names of grains."""
    if only is None:
        return GRAINS
    wanted = set(only)
    unknown = sorted(wanted.difference(ALL_GRAINS))
    if unknown:
        raise ValueError(f"no grain {unknown[0]!r}; there are: {', '.join(ALL_GRAINS)}")
    return tuple(grain for grain in ALL_GRAINS if grain in wanted)


def same_bytes(one: OpenBlob, other: OpenBlob) -> bool:
    """Say whether two blobs hold the same bytes."""
    if len(one.view) != len(other.view):
        return False
    return hashlib.sha256(one.view).digest() == hashlib.sha256(other.view).digest()


def is_archive(blob: OpenBlob) -> bool:
    """Say whether a blob may be an archive layer: gzip, by its first bytes."""
    return bytes(blob.view[:2]) == _GZIP


def pieces(blob: OpenBlob, grain: str) -> Pieces:
    """Cut a blob at a grain and hash each piece."""
    if grain == ARCHIVE_MEMBER and is_archive(blob):
        return _members(blob)
    if grain in CHUNK_BYTES:
        return hashed(blob.view, chunk_cuts(blob.view, CHUNK_BYTES[grain]))
    if grain in (ARCHIVE_MEMBER, "blob"):
        return hashed(blob.view, blob.whole)
    return hashed(blob.view, blob.cuts(cast(WasmGrain, grain)))


def hashed(view: memoryview, offsets: Sequence[int] | array[int]) -> Pieces:
    """Hash what lies between neighbouring offsets."""
    sha256 = hashlib.sha256
    digests: list[bytes] = []
    append = digests.append
    start = offsets[0]
    for end in offsets[1:]:
        append(sha256(view[start:end]).digest())
        start = end
    return digests, [end - start for start, end in pairwise(offsets)]


def _members(blob: OpenBlob) -> Pieces:
    """Hash the members of an archive; what is gzip but no archive is one piece."""
    try:
        members = list_members(io.BytesIO(blob.view), where=blob.where).members
    except ArchiveError:
        return hashed(blob.view, blob.whole)
    return [bytes.fromhex(member.digest.encoded) for member in members], [m.size for m in members]

"""What two versions share at each grain."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from typing import TypeAlias

import pandas as pd

from spincache_nb.analysis.inside.chunks import INSTALL, chunk_cuts, load_chunker
from spincache_nb.analysis.inside.patches import patch_bytes, require_zstandard
from spincache_nb.analysis.inside.pieces import (
    ALL_GRAINS,
    ARCHIVE_MEMBER,
    CHUNK_BYTES,
    INDEX_BYTES_PER_PIECE,
    PATCH,
    Pieces,
    chosen_grains,
    hashed,
    is_archive,
    pieces,
    same_bytes,
)
from spincache_nb.analysis.inside.schemas import CHUNK_SWEEP_SCHEMA, GRAINS_SCHEMA
from spincache_nb.analysis.inside.sources import BlobFinder, BlobSource, OpenBlob, opened
from spincache_nb.errors import MissingExtraError
from spincache_nb.frames.schemas import build

Row: TypeAlias = tuple[object, ...]

SWEEP_KIB = (2, 4, 8, 16, 32, 64, 128, 256)


def grains(
    old: BlobSource,
    new: BlobSource,
    *,
    cache: BlobFinder | None = None,
    only: Iterable[str] | None = None,
) -> pd.DataFrame:
    """Compare two versions at grains from the whole file to single functions and chunks.

    Pieces are matched as a set, by sha256; what lies between pieces is a piece too, so that every
    byte is in one. Both `old` and `new` are bytes, a path, or a digest.

    Parameters
    ----------
    old, new
        What is not WebAssembly is one piece at the grains of WebAssembly.
    cache
        Where to look digests up.
    only
        Names of grains (`ALL_GRAINS`, explained there). None for `GRAINS`, and ``archive member``
        as well if one of the two is an archive layer.

    Returns
    -------
    pandas.DataFrame
        One row per grain, from coarse to fine.

        ============  ========  =====================================================
        column        dtype     meaning
        ============  ========  =====================================================
        grain         category  its name
        total_bytes   Int64     bytes of the new version
        reused_bytes  Int64     of those, bytes that the old version has
        piece_count   Int64     pieces of the new version
        index_bytes   Int64     what their sha256 digests take
        reused_share  Float64   reused part of the total, missing if the total is 0
        ============  ========  =====================================================

    Raises
    ------
    WasmFormatError, LimitError
        If a version claims to be WebAssembly and is malformed, or has an unreasonable structure.
    NotInCacheError, ValueError, OSError
        If the cache does not hold a digest; there is no such grain or no cache; a file is unreadable.
    MissingExtraError
        If `only` asks for chunks or a patch without the extra ``grains``. If `only` is None, such
        rows are left out, and one ``UserWarning`` says how to install it.
    """
    with opened(old, cache=cache) as before, opened(new, cache=cache) as after:
        wanted = installed(chosen_grains(only), strict=only is not None)
        if only is None and (is_archive(before) or is_archive(after)):
            wanted = tuple(grain for grain in ALL_GRAINS if grain in (*wanted, ARCHIVE_MEMBER))
        rows = [_compare(before, after, grain) for grain in wanted]
    return build(GRAINS_SCHEMA, rows)


def chunk_sweep(
    old: BlobSource,
    new: BlobSource,
    *,
    cache: BlobFinder | None = None,
    sizes_kib: Sequence[int] = SWEEP_KIB,
) -> pd.DataFrame:
    """Compare two versions with content-defined chunks of several average sizes.

    Parameters
    ----------
    old, new, cache
        As for `grains`.
    sizes_kib
        Average sizes in KiB, powers of two.

    Returns
    -------
    pandas.DataFrame
        One row per size; the columns of `grains` with the size in place of the grain.

        =============  =======  ==========================================
        column         dtype    meaning
        =============  =======  ==========================================
        average_bytes  Int64    average size of a chunk
        total_bytes    Int64    bytes of the new version
        reused_bytes   Int64    of those, bytes that the old version has
        piece_count    Int64    chunks of the new version
        index_bytes    Int64    what their sha256 digests take
        reused_share   Float64  reused part of the total, missing if it is 0
        =============  =======  ==========================================

    Raises
    ------
    MissingExtraError
        If the extra ``grains`` is not installed.
    NotInCacheError, ValueError, OSError
        As for `grains`.
    """
    with opened(old, cache=cache) as before, opened(new, cache=cache) as after:
        rows = [_sweep_row(before, after, size << 10) for size in sizes_kib]
    return build(CHUNK_SWEEP_SCHEMA, rows)


def installed(wanted: Iterable[str], *, strict: bool) -> tuple[str, ...]:
    """Leave out, with one warning, the grains whose package is not installed."""
    found: list[str] = []
    missing: list[str] = []
    for grain in wanted:
        try:
            if grain in CHUNK_BYTES:
                load_chunker()
            elif grain == PATCH:
                require_zstandard()
            found.append(grain)
        except MissingExtraError:
            if strict:
                raise
            missing.append(grain)
    if missing:
        warnings.warn(f"left out: {', '.join(missing)}; for these, {INSTALL}", UserWarning, stacklevel=3)
    return tuple(found)


def measured(name: object, total: int, reused: int, count: int) -> Row:
    """Make a row of `GRAINS_SCHEMA` or `CHUNK_SWEEP_SCHEMA`."""
    share = reused / total if total else None
    return name, total, reused, count, count * INDEX_BYTES_PER_PIECE, share


def reuse(old: Pieces, new: Pieces) -> tuple[int, int, int]:
    """Count the total bytes, the reused bytes and the pieces of the new version."""
    known = set(old[0])
    reused = sum(size for digest, size in zip(*new, strict=True) if digest in known)
    return sum(new[1]), reused, len(new[0])


def reused_by_patch(old: OpenBlob, new: OpenBlob) -> int:
    """Count the bytes of a new version that a patch from an old one need not transfer."""
    if same_bytes(old, new):
        return len(new.view)
    return max(0, len(new.view) - patch_bytes(old.view, new.view))


def _compare(old: OpenBlob, new: OpenBlob, grain: str) -> Row:
    if grain == PATCH:
        return measured(grain, len(new.view), reused_by_patch(old, new), 1)
    return measured(grain, *reuse(pieces(old, grain), pieces(new, grain)))


def _sweep_row(old: OpenBlob, new: OpenBlob, average: int) -> Row:
    before = hashed(old.view, chunk_cuts(old.view, average))
    return measured(average, *reuse(before, hashed(new.view, chunk_cuts(new.view, average))))

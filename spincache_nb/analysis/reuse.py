"""What two versions share at each grain, and what a whole cache repeats."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from spincache_nb.analysis.inputs import Source, one_cache
from spincache_nb.analysis.pieces import (
    ALL_GRAINS,
    ARCHIVE_MEMBER,
    PATCH,
    BlobSource,
    OpenBlob,
    Pieces,
    chosen_grains,
    chunk_cuts,
    hashed,
    opened,
    pieces,
    reused_by_patch,
)
from spincache_nb.analysis.schemas import CHUNK_SWEEP_SCHEMA, GRAINS_SCHEMA
from spincache_nb.analysis.versions import versions_of
from spincache_nb.core.cache import Cache
from spincache_nb.errors import CacheError, LimitError, WasmFormatError
from spincache_nb.frames import Frames, load
from spincache_nb.frames.schemas import build
from spincache_nb.show import rows

logger = logging.getLogger(__name__)

_INDEX_BYTES_PER_PIECE: Final = 32  # a sha256 digest: what an index has to hold for each piece, at the least
_SWEEP_KIB = (2, 4, 8, 16, 32, 64, 128, 256)

_Row: TypeAlias = tuple[object, ...]


@GRAINS_SCHEMA.describes
def grains(
    old: BlobSource,
    new: BlobSource,
    *,
    cache: Cache | None = None,
    only: Iterable[str] | None = None,
) -> pd.DataFrame:
    """Compare two versions at grains from the whole file to single functions and chunks.

    Pieces are matched as a set, by sha256; what lies between pieces is a piece too, so that every
    byte is in one.

    Parameters
    ----------
    old, new
        Each bytes, a path, or a digest (with `cache`). What is not WebAssembly is one piece at the grains
        of WebAssembly.
    cache
        Where to look digests up.
    only
        Names of grains (`ALL_GRAINS`, explained there). None for `GRAINS`, and ``archive member``
        as well if one of the two is an archive layer.

    Returns
    -------
    pandas.DataFrame
        One row per grain, from coarse to fine.

        {columns}

    Raises
    ------
    WasmFormatError, LimitError
        If a version claims to be WebAssembly and is malformed, or has an unreasonable structure.
    NotInCacheError, ValueError, OSError
        If the cache does not hold a digest; there is no such grain or no cache; a file is unreadable.
    MissingExtraError
        If `only` asks for a patch without the extra ``grains``. If `only` is None, that row is left out,
        and a ``UserWarning`` says how to install it.
    """
    with opened(old, cache=cache) as before, opened(new, cache=cache) as after:
        wanted = chosen_grains(only)
        if only is None and (before.is_archive or after.is_archive):
            wanted = _with_members(wanted)
        return build(GRAINS_SCHEMA, [_compared(before, after, grain) for grain in wanted])


def _with_members(wanted: Sequence[str]) -> tuple[str, ...]:
    return tuple(grain for grain in ALL_GRAINS if grain in (*wanted, ARCHIVE_MEMBER))


def _compared(old: OpenBlob, new: OpenBlob, grain: str) -> _Row:
    if grain == PATCH:
        return _measured(grain, len(new.view), reused_by_patch(old, new), 1)
    return _measured(grain, *_reuse(pieces(old, grain), pieces(new, grain)))


def _reuse(old: Pieces, new: Pieces) -> tuple[int, int, int]:
    """Count the total bytes, the reused bytes and the pieces of the new version."""
    known = set(old[0])
    reused = sum(size for digest, size in zip(*new, strict=True) if digest in known)
    return sum(new[1]), reused, len(new[0])


def _measured(name: object, total: int, reused: int, count: int) -> _Row:
    return name, total, reused, count, count * _INDEX_BYTES_PER_PIECE, reused / total if total else None


@CHUNK_SWEEP_SCHEMA.describes
def chunk_sweep(
    old: BlobSource,
    new: BlobSource,
    *,
    cache: Cache | None = None,
    sizes_kib: Sequence[int] = _SWEEP_KIB,
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

        {columns}

    Raises
    ------
    NotInCacheError, ValueError, OSError
        As for `grains`.
    """
    with opened(old, cache=cache) as before, opened(new, cache=cache) as after:
        lines = []
        for average in (size << 10 for size in sizes_kib):
            chunks = (hashed(blob.view, chunk_cuts(blob.view, average)) for blob in (before, after))
            lines.append(_measured(average, *_reuse(*chunks)))
        return build(CHUNK_SWEEP_SCHEMA, lines)


@GRAINS_SCHEMA.describes
def cache_grains(
    cache: Source | Iterable[tuple[str, Path]] = None,
    *,
    only: Iterable[str] | None = None,
    predecessors: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """Say at each grain how much of everything stored is a repetition.

    Malformed WebAssembly, and archives beyond the limits, count as one piece; blobs that vanish or
    cannot be read are left out. Both are logged as warnings.

    Parameters
    ----------
    cache
        This user's cache unless given; a cache or its path; or pairs of digest and path. One blob at a time
        is read (two for a patch); what is remembered of a piece takes 24 bytes.
    only
        As for `grains`.
    predecessors
        For ``patch``: digest of a blob to that of the blob it is patched from. None to take them
        from the versions of the apps in a cache; without a cache, ``patch`` is left out then.

    Returns
    -------
    pandas.DataFrame
        One row per grain, whatever the order of the blobs.

        {columns}

    Raises
    ------
    MissingExtraError, ValueError
        As for `grains`; also if patches are asked for and nothing says what precedes what.
    """
    wanted = chosen_grains(only)
    blobs, held = _stored(cache)
    if predecessors is None and PATCH in wanted:
        if held is None and only is not None:
            raise ValueError("patches need predecessors=: which blob follows which")
        if held is not None:
            predecessors = lineage(load(held, "apps", "components", "files", toolchains=False))
    totals = _Totals(_with_members(wanted) if only is None else wanted, dict(blobs), predecessors or {})
    for digest, path in blobs:
        totals.add(digest, path)
    skipped = {PATCH} if predecessors is None else set()
    if only is None and not totals.archives:
        skipped.add(ARCHIVE_MEMBER)
    return build(GRAINS_SCHEMA, [totals.row(grain) for grain in totals.grains if grain not in skipped])


def _stored(cache: Any) -> tuple[list[tuple[str, Path]], Cache | None]:
    """Give digest and path of each blob, and the cache if it is one."""
    if isinstance(cache, Iterable) and not isinstance(cache, str):
        return [(str(digest), Path(path)) for digest, path in cache], None
    held = one_cache(cache)
    return [(str(blob.digest), blob.path) for blob in held.scan().blobs if blob.digest is not None], held


class _Totals:
    """What was counted so far, at every grain."""

    def __init__(self, grains: Sequence[str], paths: Mapping[str, Path], before: Mapping[str, str]) -> None:
        self.grains = grains
        self.counts = {grain: PieceCount() for grain in grains if grain != PATCH}
        self.paths = paths
        self.before = before
        self.blob_bytes = self.blob_count = self.patch_saves = self.archives = 0
        self.seen: set[str] = set()

    def add(self, digest: str, path: Path) -> None:
        """Count a blob; one that cannot be read is left out and logged."""
        try:
            with opened(path) as blob:
                self._add_pieces(blob)
                self._add_patch(digest, blob)
        except (OSError, CacheError) as exc:
            logger.warning("%s is left out: %s", digest, exc)

    def row(self, grain: str) -> _Row:
        """Make the row of a grain."""
        if grain == PATCH:
            return _measured(grain, self.blob_bytes, self.patch_saves, self.blob_count)
        count = self.counts[grain]
        return _measured(
            grain, count.total_bytes, count.total_bytes - count.distinct_bytes(), count.piece_count
        )

    def _add_pieces(self, blob: OpenBlob) -> None:
        fault = None
        for grain, count in self.counts.items():
            try:
                found = pieces(blob, grain)
            except (WasmFormatError, LimitError) as exc:
                fault = exc
                found = hashed(blob.view, blob.whole)
            count.add(found)
        if fault is not None:
            logger.warning("%s counts as one piece: %s", blob.where, fault)
        self.archives += blob.is_archive

    def _add_patch(self, digest: str, blob: OpenBlob) -> None:
        size = len(blob.view)
        self.blob_bytes += size
        self.blob_count += 1
        repeated = digest in self.seen
        self.seen.add(digest)
        path = self.paths.get(self.before.get(digest, ""))
        if repeated:
            self.patch_saves += size
        elif PATCH in self.grains and path is not None:
            with opened(path) as old:
                self.patch_saves += reused_by_patch(old, blob)


class PieceCount:
    """Distinct pieces of many blobs, 24 bytes for each: half a digest and a size."""

    _KEPT_BYTES: Final = 16
    _LEAST_PENDING: Final = 1 << 18

    def __init__(self) -> None:
        self.total_bytes = self.piece_count = 0
        self._digests: npt.NDArray[Any] = np.empty(0, f"S{self._KEPT_BYTES}")
        self._sizes: npt.NDArray[np.int64] = np.empty(0, np.int64)
        self._pending: list[tuple[npt.NDArray[Any], npt.NDArray[np.int64]]] = []
        self._pending_count = 0

    def add(self, found: Pieces) -> None:
        """Add the pieces of a blob."""
        digests, sizes = found
        if not digests:
            return
        kept = np.frombuffer(b"".join(digests), "S32").astype(f"S{self._KEPT_BYTES}")
        self._pending.append((kept, np.array(sizes, np.int64)))
        self._pending_count += len(kept)
        self.piece_count += len(kept)
        self.total_bytes += sum(sizes)
        if self._pending_count >= max(self._LEAST_PENDING, len(self._digests)):
            self._merge()

    def distinct_bytes(self) -> int:
        """Count the bytes of the pieces added, each piece once."""
        self._merge()
        return int(self._sizes.sum())

    def _merge(self) -> None:
        runs = [(self._digests, self._sizes), *self._pending]
        sizes = np.concatenate([run[1] for run in runs])
        self._pending.clear()
        self._pending_count = 0
        self._digests, first = np.unique(np.concatenate([run[0] for run in runs]), return_index=True)
        self._sizes = sizes[first]


def lineage(frames: Frames) -> dict[str, str]:
    """Say for each blob which one an older version of the same app had in its place."""
    held: dict[str, list[tuple[tuple[str, ...], str]]] = {}
    sources = rows(frames.need("components"), "reference", "component", "source_digest")
    files = rows(frames.need("files"), "reference", "component", "path", "digest")
    for line in (*sources, *files):
        held.setdefault(line[0], []).append((line[1:-1], line[-1]))
    seen: set[str] = set()
    found: dict[str, str] = {}
    for references in versions_of(frames).values():
        places: dict[tuple[str, ...], list[str]] = {}
        for reference in references:
            for place, digest in held.get(reference, []):
                if digest is not None:
                    places.setdefault(place, []).append(digest)
        for digests in places.values():
            seen.add(digests[0])
            for before, after in pairwise(digests):
                if after not in seen:
                    seen.add(after)
                    found[after] = before
    return found

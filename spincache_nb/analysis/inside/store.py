"""What a whole cache repeats at each grain, one blob in memory at a time."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import pandas as pd

from spincache_nb.analysis.inside.ledger import PieceLedger
from spincache_nb.analysis.inside.lineage import predecessors as lineage
from spincache_nb.analysis.inside.pair import Row, installed, measured, reused_by_patch
from spincache_nb.analysis.inside.pieces import (
    ALL_GRAINS,
    ARCHIVE_MEMBER,
    PATCH,
    chosen_grains,
    hashed,
    is_archive,
    pieces,
)
from spincache_nb.analysis.inside.schemas import GRAINS_SCHEMA
from spincache_nb.analysis.inside.sources import OpenBlob, opened
from spincache_nb.core.cache import Cache
from spincache_nb.errors import CacheError, LimitError, WasmFormatError
from spincache_nb.frames import load
from spincache_nb.frames.schemas import build

logger = logging.getLogger(__name__)

StoredBlobs: TypeAlias = Cache | Iterable[tuple[str, Path]]
"""A cache, or pairs of a digest and the path of its bytes."""


def cache_grains(
    source: StoredBlobs,
    *,
    only: Iterable[str] | None = None,
    predecessors: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """Say at each grain how much of everything stored is a repetition.

    Malformed WebAssembly, and archives beyond the limits, count as one piece; blobs that vanish or
    cannot be read are left out. Both are logged as warnings.

    Parameters
    ----------
    source
        A cache, or pairs of digest and path. One blob at a time is read (two for a patch); what is
        remembered of a piece takes 24 bytes.
    only
        As for `grains`.
    predecessors
        For ``patch``: digest of a blob to that of the blob it is patched from. None to take them
        from the versions of the apps in a cache; without a cache, ``patch`` is left out then.

    Returns
    -------
    pandas.DataFrame
        One row per grain, whatever the order of the blobs.

        ============  ========  ======================================================================
        column        dtype     meaning
        ============  ========  ======================================================================
        grain         category  as for `grains`
        total_bytes   Int64     bytes of all blobs; for ``archive member`` archives count unpacked
        reused_bytes  Int64     bytes of pieces beyond the first of their kind, or saved by patches
        piece_count   Int64     pieces of all blobs
        index_bytes   Int64     what their sha256 digests take
        reused_share  Float64   reused part of the total, missing if the total is 0
        ============  ========  ======================================================================

    Raises
    ------
    MissingExtraError
        As for `grains`.
    ValueError
        If there is no such grain, or patches are asked for and nothing says what precedes what.
    """
    wanted = installed(chosen_grains(only), strict=only is not None)
    if predecessors is None and PATCH in wanted:
        predecessors = _lineage(source)
        if predecessors is None and only is not None:
            raise ValueError("patches need predecessors=: which blob follows which")
    skipped = {PATCH} if predecessors is None else set()
    if only is None:
        wanted = (*wanted, ARCHIVE_MEMBER)
    blobs = _stored(source)
    totals = _Totals([grain for grain in ALL_GRAINS if grain in wanted], dict(blobs), predecessors or {})
    for digest, path in blobs:
        totals.add(digest, path)
    if only is None and not totals.archives:
        skipped.add(ARCHIVE_MEMBER)
    return build(GRAINS_SCHEMA, [totals.row(grain) for grain in totals.grains if grain not in skipped])


class _Totals:
    """What was counted so far, at every grain."""

    def __init__(self, grains: Sequence[str], paths: Mapping[str, Path], before: Mapping[str, str]) -> None:
        self.grains = grains
        self.ledgers = {grain: PieceLedger() for grain in grains if grain != PATCH}
        self.patched = PATCH in grains
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

    def row(self, grain: str) -> Row:
        """Make the row of a grain."""
        if grain == PATCH:
            return measured(grain, self.blob_bytes, self.patch_saves, self.blob_count)
        ledger = self.ledgers[grain]
        reused = ledger.total_bytes - ledger.distinct_bytes()
        return measured(grain, ledger.total_bytes, reused, ledger.piece_count)

    def _add_pieces(self, blob: OpenBlob) -> None:
        fault = None
        for grain, ledger in self.ledgers.items():
            try:
                found = pieces(blob, grain)
            except (WasmFormatError, LimitError) as exc:
                fault = exc
                found = hashed(blob.view, blob.whole)
            ledger.add(found)
        if fault is not None:
            logger.warning("%s counts as one piece: %s", blob.where, fault)
        self.archives += is_archive(blob)

    def _add_patch(self, digest: str, blob: OpenBlob) -> None:
        size = len(blob.view)
        self.blob_bytes += size
        self.blob_count += 1
        repeated = digest in self.seen
        self.seen.add(digest)
        path = self.paths.get(self.before.get(digest, ""))
        if repeated:
            self.patch_saves += size
        elif self.patched and path is not None:
            with opened(path) as old:
                self.patch_saves += reused_by_patch(old, blob)


def _stored(source: StoredBlobs) -> list[tuple[str, Path]]:
    if isinstance(source, Cache):
        return [(str(blob.digest), blob.path) for blob in source.scan().blobs if blob.digest is not None]
    return [(str(digest), Path(path)) for digest, path in source]


def _lineage(source: StoredBlobs) -> dict[str, str] | None:
    """Say what precedes what in a cache; None where there are only blobs."""
    if not isinstance(source, Cache):
        return None
    return lineage(load(source, "apps", "components", "files", toolchains=False))

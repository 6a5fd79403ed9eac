"""Columns of the frame of blobs: nearly all is there as columns already, and the rest is sorted in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from spincache_nb.core.documents import Area
from spincache_nb.frames.picking import in_order
from spincache_nb.frames.times import nanoseconds
from spincache_nb.inventory import InventoriedBlob, InventoriedBlobs, Standing

STANDINGS: tuple[Standing, ...] = tuple(sorted(get_args(Standing)))
_REFERENCED, _UNREFERENCED = STANDINGS.index("referenced"), STANDINGS.index("unreferenced")
_NO_TIME = np.iinfo(np.int64).min
"""NaT, as numpy stores it."""


class BlobColumns(NamedTuple):
    """What the rows of some blobs say; texts as objects, None for missing."""

    names: npt.NDArray[Any]
    digests: npt.NDArray[Any]
    sizes: npt.NDArray[np.int64]
    times: npt.NDArray[np.int64]
    standings: npt.NDArray[np.intp]

    def take(self, places: npt.NDArray[np.intp]) -> BlobColumns:
        """Some of the rows, or all in another order."""
        return BlobColumns(*(column[places] for column in self))

    @staticmethod
    def joined(parts: Sequence[BlobColumns]) -> BlobColumns:
        """The rows of several, one after the other."""
        return BlobColumns(*map(np.concatenate, zip(_rows([]), *parts, strict=True)))


def columns_of_area(blobs: Sequence[InventoriedBlob], area: Area) -> BlobColumns:
    """Columns of the blobs of one area, sorted by name."""
    odd = blobs.odd if isinstance(blobs, InventoriedBlobs) else blobs
    rows = BlobColumns.joined([*_plain(blobs, area), _rows([one for one in odd if one.blob.area == area])])
    return rows.take(in_order(rows.names.tolist()))


def _plain(blobs: Sequence[InventoriedBlob], area: Area) -> Iterator[BlobColumns]:
    if not isinstance(blobs, InventoriedBlobs):
        return
    for some in blobs.plain:
        if some.area == area:
            needed = blobs.needed.in_area(area)
            used = np.fromiter(map(needed.__contains__, some.digests), bool, len(some))
            yield BlobColumns(
                np.array(some.names, object),
                np.array(some.digests, object),
                np.asarray(some.sizes, np.int64),
                np.asarray(some.times, np.int64),
                np.where(used, _REFERENCED, _UNREFERENCED),
            )


def _rows(rows: Sequence[InventoriedBlob]) -> BlobColumns:
    times = (nanoseconds(one.blob.modified_ns) for one in rows)
    return BlobColumns(
        np.array([one.blob.name for one in rows], object),
        np.array([str(one.digest) if one.digest is not None else None for one in rows], object),
        np.array([one.blob.stored_bytes for one in rows], np.int64),
        np.array([_NO_TIME if time is None else time for time in times], np.int64),
        np.array([STANDINGS.index(one.standing) for one in rows], np.intp),
    )

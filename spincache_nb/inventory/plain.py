"""Layers of which nothing is to be said but that they are stored, which nearly all are.

Of such a layer it is found out once, and not for every app that has it, which blob it is; what an app
needs is then a list of numbers.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from itertools import groupby, repeat
from typing import NamedTuple

from spincache_nb.core.manifest import role_of
from spincache_nb.inventory.lookups import BlobTable
from spincache_nb.inventory.numbered import NumberedLayers
from spincache_nb.inventory.stored import StoredBlobs

NO_BLOB = -1


class PlacedLayers(NamedTuple):
    """Which blobs the plain ones of many layers are, as of one moment."""

    layers: NumberedLayers
    table: BlobTable
    blobs: array[int]
    odd: set[int]

    def odd_among(self, layers: Iterable[int]) -> list[int]:
        """Numbers of those layers that are not plain, each once and in their order."""
        if not self.odd or self.odd.isdisjoint(layers):
            return []
        return list(dict.fromkeys(number for number in layers if number in self.odd))

    def distinct(self, layers: Iterable[int]) -> set[int]:
        """Numbers of the blobs that are some layers, each once."""
        blobs = set(map(self.blobs.__getitem__, layers))
        blobs.discard(NO_BLOB)
        return blobs


class PlainLayers:
    """The plain layers of a cache: each is stored where Spin looks for it, in the declared size."""

    def __init__(self, stored: StoredBlobs, layers: NumberedLayers) -> None:
        self._stored = stored
        self.layers = layers
        self._state = -1
        self._placed = PlacedLayers(layers, BlobTable(()), array("q"), set())

    def placed(self) -> PlacedLayers:
        """Say which blobs all layers are that have a number by now."""
        if self._state != self._stored.changes:  # begin anew, and leave to others what they have
            self._state = self._stored.changes
            self._placed = PlacedLayers(self.layers, self._stored.table(), array("q"), set())
        if len(self._placed.blobs) < len(self.layers):
            self._place(self._placed)
        return self._placed

    def _place(self, placed: PlacedLayers) -> None:
        layers, start = self.layers, len(placed.blobs)
        for media_type, run in groupby(layers.media_types[start:]):
            end = start + len(list(run))
            blobs = _places(placed.table, media_type, layers.digests[start:end], layers.sizes[start:end])
            if NO_BLOB in blobs:
                placed.odd.update(number for number, blob in enumerate(blobs, start) if blob == NO_BLOB)
            placed.blobs.extend(blobs)
            start = end


def _places(table: BlobTable, media_type: str, digests: Sequence[str], sizes: Sequence[int]) -> list[int]:
    """Numbers of the blobs that some layers of one media type are; -1 for one that is not plain."""
    role = role_of(media_type)
    if role in ("application", "archive") or not len(table):
        return [NO_BLOB] * len(digests)
    numbers = table.numbers("wasm" if role == "wasm" else "data")
    blobs = list(map(numbers.get, digests, repeat(NO_BLOB)))
    stored = map(table.sizes.__getitem__, blobs)
    return [
        blob if size == wanted else NO_BLOB for blob, size, wanted in zip(blobs, stored, sizes, strict=True)
    ]

"""Layers of which nothing is to be said but that they are stored, which nearly all are.

Of such a layer it is found out once, and not for every app that has it, which blob it is; what an app
needs is then a list of numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import attrgetter

from spincache_nb.core.inventory.rows import BlobTable
from spincache_nb.core.inventory.stored import StoredBlobs
from spincache_nb.core.manifest import Descriptor

_ODD = -1


class PlainLayers:
    """The plain layers of a cache: each is stored where Spin looks for it, in the declared size.

    Parameters
    ----------
    stored
        The blobs of the cache. What changes in them while the inventory is taken makes this forget
        what it knows.
    descriptors
        Those that have a number, in that order; more may be added at the end.

    Attributes
    ----------
    table : BlobTable
        What look-ups find, sorted by digest and area.
    places : dict
        By the identity of a blob: its place in `table`.
    """

    def __init__(self, stored: StoredBlobs, descriptors: Sequence[Descriptor] = ()) -> None:
        self.descriptors = descriptors
        self._stored = stored
        self._state = -1
        self.table = BlobTable([])
        self.places: dict[int, int] = {}

    def is_current(self) -> bool:
        """Whether what was said of layers still holds."""
        return self._state == self._stored.changes

    def _renew(self) -> None:
        """Begin anew if something has changed since."""
        if self.is_current():
            return
        self._state = self._stored.changes
        found = (blob for area in ("wasm", "data") for blob in self._stored.found_in(area).values())
        self.table = BlobTable(sorted(found, key=attrgetter("digest", "area")))
        self.places = {id(blob): number for number, blob in enumerate(self.table.blobs)}
        self._numbered: list[int] = []  # places by number
        self._number: dict[int, int] = {}  # by the identity of a descriptor, which is quick to look up
        self._known: list[Descriptor] = []  # kept, since an identity is unique only while its object lives

    def sort_out(
        self, layers: Sequence[Descriptor], numbers: Sequence[int] | None = None
    ) -> tuple[set[int], list[Descriptor]]:
        """Give the places in `table` of those that are plain, and the others in their order.

        Parameters
        ----------
        layers
            Of one manifest.
        numbers
            Of each, its place in `descriptors`, if they have one.
        """
        self._renew()
        if numbers is not None:
            return self._sort_out_numbered(layers, numbers)
        number = self._number
        try:
            places = set(map(number.__getitem__, map(id, layers)))
        except KeyError:
            self._judge(layer for layer in layers if id(layer) not in number)
            places = set(map(number.__getitem__, map(id, layers)))
        if _ODD not in places:
            return places, []
        places.remove(_ODD)
        return places, [layer for layer in layers if number[id(layer)] == _ODD]

    def _sort_out_numbered(
        self, layers: Sequence[Descriptor], numbers: Sequence[int]
    ) -> tuple[set[int], list[Descriptor]]:
        numbered = self._numbered
        if len(numbered) < len(self.descriptors):
            numbered += map(self._place_of, self.descriptors[len(numbered) :])
        places = set(map(numbered.__getitem__, numbers))
        if _ODD not in places:
            return places, []
        places.remove(_ODD)
        return places, [
            layer for layer, number in zip(layers, numbers, strict=True) if numbered[number] == _ODD
        ]

    def _judge(self, layers: Iterable[Descriptor]) -> None:
        for layer in layers:
            self._known.append(layer)
            self._number[id(layer)] = self._place_of(layer)

    def _place_of(self, layer: Descriptor) -> int:
        role = layer.role
        if role in ("application", "archive"):
            return _ODD
        blob = self._stored.found_in("wasm" if role == "wasm" else "data").get(layer.digest)
        if blob is None or blob.stored_bytes != layer.size:
            return _ODD
        return self.places[id(blob)]

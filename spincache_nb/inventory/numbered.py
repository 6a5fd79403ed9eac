"""The different layers of many manifests, by number."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Collection, Iterator, Mapping, Sequence

from spincache_nb.core.digest import Digest
from spincache_nb.core.later import Rows
from spincache_nb.core.manifest import Descriptor
from spincache_nb.inventory.allocation import no_collections

_NOTHING: Mapping[str, str] = {}


class NumberedLayers:
    """What is said of layers, column by column, since there may be very many; numbers only grow."""

    def __init__(self) -> None:
        self.media_types: list[str] = []
        self.digests: list[str] = []
        self.sizes = array("q")
        self._descriptors: dict[int, Descriptor] = {}
        self._all: list[Descriptor] = []

    def __len__(self) -> int:
        return len(self.digests)

    def extend(self, media_types: Sequence[str], digests: Sequence[str], sizes: Sequence[int]) -> None:
        """Add layers."""
        self.media_types += map(sys.intern, media_types)
        self.digests += digests
        self.sizes.extend(sizes)

    @staticmethod
    def joined(parts: Collection[NumberedLayers]) -> NumberedLayers:
        """Those of several, one after the other."""
        if len(parts) == 1:
            return next(iter(parts))
        joined = NumberedLayers()
        for part in parts:
            joined.extend(part.media_types, part.digests, part.sizes)
        return joined

    def descriptor(self, number: int) -> Descriptor:
        """The descriptor that a layer is, the same each time."""
        if number not in self._descriptors:
            digest = Digest(*self.digests[number].split(":"))
            made = Descriptor(self.media_types[number], digest, self.sizes[number], _NOTHING)
            return self._descriptors.setdefault(number, made)
        return self._descriptors[number]

    def descriptors(self) -> list[Descriptor]:
        """All descriptors by number, for who goes through very many."""
        if len(self._all) < len(self):
            with no_collections():
                self._all = list(map(self.descriptor, range(len(self))))
        return self._all


class NumberedDescriptors(Rows[Descriptor]):
    """The layers of one manifest."""

    __slots__ = ("_known", "_numbers")

    def __init__(self, known: NumberedLayers, numbers: array[int]) -> None:
        self._known = known
        self._numbers = numbers

    def __len__(self) -> int:
        return len(self._numbers)

    def __iter__(self) -> Iterator[Descriptor]:
        return map(self._known.descriptors().__getitem__, self._numbers)

    def row(self, place: int) -> Descriptor:
        """Give one of them."""
        return self._known.descriptor(self._numbers[place])

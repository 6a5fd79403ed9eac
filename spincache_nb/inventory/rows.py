"""What an inventory holds very many of: layers of apps, and uses of blobs.

They are named tuples, which are made several times faster than frozen data classes, and where nearly all
of an app's are alike they are not made before somebody looks at them. Who goes through all of an app's gets
them from columns, which runs no Python code for each.
"""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterator, Sequence
from functools import partial
from itertools import count, repeat
from operator import attrgetter
from typing import Literal, NamedTuple

from spincache_nb.core.digest import Digest
from spincache_nb.core.later import Rows
from spincache_nb.core.manifest import Area, Descriptor
from spincache_nb.core.scan import StoredBlob
from spincache_nb.inventory.numbered import NumberedLayers
from spincache_nb.inventory.plain import PlacedLayers

Via = Literal["layer", "archive member", "content ref", "spin.toml", "environment lock"]


class Use(NamedTuple):
    """A stored blob that somebody needs."""

    user: str
    blob: StoredBlob
    digest: Digest
    via: Via

    @property
    def area(self) -> Area:
        """``wasm`` or ``data``."""
        return self.blob.area

    @property
    def stored_bytes(self) -> int:
        """Size of the file."""
        return self.blob.stored_bytes


def by_name(use: Use) -> tuple[str, str, str]:
    """Sort key of uses: digest, then area."""
    return use.digest.algorithm, use.digest.encoded, use.blob.area


class CachedLayer(NamedTuple):
    """A layer of a cached app's manifest."""

    position: int
    descriptor: Descriptor
    stored: bool


class ManifestLayers(Rows[CachedLayer]):
    """The layers of a manifest."""

    __slots__ = ("descriptors", "known", "lacking", "numbers")

    def __init__(
        self,
        descriptors: Sequence[Descriptor],
        numbers: array[int],
        lacking: Collection[int],
        known: NumberedLayers,
    ) -> None:
        self.descriptors = descriptors
        self.numbers = numbers
        self.lacking = lacking
        self.known = known

    def __len__(self) -> int:
        return len(self.numbers)

    def __iter__(self) -> Iterator[CachedLayer]:
        stored = (number not in self.lacking for number in self.numbers) if self.lacking else repeat(True)
        return map(partial(tuple.__new__, CachedLayer), zip(count(), self.descriptors, stored))

    def row(self, place: int) -> CachedLayer:
        """Make one item."""
        stored = self.numbers[place] not in self.lacking
        return CachedLayer(range(len(self))[place], self.descriptors[place], stored)


class LayerUses(Rows[Use]):
    """Uses of an app that are layers and nothing else, sorted by digest and area."""

    __slots__ = ("_blobs", "layers", "placed", "user")

    def __init__(self, user: str, layers: array[int], placed: PlacedLayers) -> None:
        self.user = user
        self.layers = layers
        self.placed = placed
        self._blobs: array[int] | None = None

    def __len__(self) -> int:
        return len(self.numbers())

    def __iter__(self) -> Iterator[Use]:
        blobs = list(map(self.placed.table.blobs().__getitem__, self.numbers()))
        columns = zip(repeat(self.user), blobs, map(attrgetter("digest"), blobs), repeat("layer"))
        return map(partial(tuple.__new__, Use), columns)

    def row(self, place: int) -> Use:
        """Make one item."""
        blob = self.placed.table.blob(self.numbers()[place])
        assert blob.digest is not None, "a look-up finds it"
        return Use(self.user, blob, blob.digest, "layer")

    def numbers(self) -> array[int]:
        """Numbers of the blobs in the table of `placed`."""
        if self._blobs is None:
            blobs = self.placed.distinct(self.layers)
            self._blobs = array("q", sorted(blobs, key=self.placed.table.ranks().__getitem__))
        return self._blobs

    def blobs(self) -> Iterator[StoredBlob]:
        """What is used."""
        return map(self.placed.table.blobs().__getitem__, self.placed.distinct(self.layers))

    @property
    def stored_bytes(self) -> int:
        """Bytes of all of them."""
        return sum(map(self.placed.table.sizes.__getitem__, self.placed.distinct(self.layers)))

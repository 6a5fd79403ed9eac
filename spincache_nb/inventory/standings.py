"""The files in ``wasm/`` and ``data/`` and their standings, of which most are only said if somebody asks."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from operator import attrgetter
from typing import Literal, NamedTuple

from spincache_nb.core.digest import Digest
from spincache_nb.core.later import Later
from spincache_nb.core.manifest import Area
from spincache_nb.core.scan import PlainBlobs, StoredBlob
from spincache_nb.inventory.allocation import no_collections

Standing = Literal["referenced", "unreferenced", "temporary", "misnamed"]
_STANDINGS: tuple[Standing, Standing] = ("unreferenced", "referenced")
"""Of a blob that is found by its digest, by whether somebody needs it."""


class InventoriedBlob(NamedTuple):
    """A file in ``wasm/`` or ``data/`` and its standing."""

    blob: StoredBlob
    digest: Digest | None
    standing: Standing


class Needed:
    """Which blobs somebody needs; found out when it is asked for."""

    def __init__(self, find: Callable[[], Mapping[Area, Collection[str]]]) -> None:
        self._find = find
        self._found: Mapping[Area, Collection[str]] | None = None

    def in_area(self, area: Area) -> Collection[str]:
        """Their digests."""
        if self._found is None:
            self._found = self._find()
        return self._found[area]

    def standing(self, area: Area, digest: str) -> Standing:
        """Whether a blob that is found by its digest is needed."""
        return _STANDINGS[digest in self.in_area(area)]


class InventoriedBlobs(Later[InventoriedBlob]):
    """All files in ``wasm/`` and ``data/``, sorted by area and name."""

    __slots__ = ("needed", "odd", "plain")

    def __init__(self, plain: Sequence[PlainBlobs], odd: Sequence[InventoriedBlob], needed: Needed) -> None:
        super().__init__(partial(_sorted, plain, odd, needed))
        self.plain = plain
        self.odd = odd
        self.needed = needed

    def __len__(self) -> int:
        return sum(map(len, self.plain)) + len(self.odd)


def _sorted(
    plain: Sequence[PlainBlobs], odd: Sequence[InventoriedBlob], needed: Needed
) -> list[InventoriedBlob]:
    rows = [*odd]
    with no_collections():
        for some in plain:
            standings = map(_STANDINGS.__getitem__, map(needed.in_area(some.area).__contains__, some.digests))
            rows += map(InventoriedBlob, some, map(attrgetter("digest"), some), standings)
    return sorted(rows, key=lambda one: (one.blob.area, one.blob.name))

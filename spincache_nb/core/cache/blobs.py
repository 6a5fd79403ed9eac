"""The files in ``wasm/`` and ``data/``, as a walk finds them.

There may be 100,000 of them, and to make a value of each takes about as long as to ask the system for all
of them. So of the plain ones, which nearly all are, there are columns, and a `StoredBlob` is made of one
when somebody looks at it. What works through all of them works through the columns.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import repeat
from operator import attrgetter
from pathlib import Path
from typing import Literal, NamedTuple

from spincache_nb.core.cache.layout import NameForm
from spincache_nb.core.digest import Digest
from spincache_nb.core.later import Later, Rows

_ALGORITHM = "sha256"
_DIGITS = len(f"{_ALGORITHM}:")


class StoredBlob(NamedTuple):
    """A regular file in ``wasm/`` or ``data/``."""

    name: str
    location: str
    area: Literal["wasm", "data"]
    stored_bytes: int
    modified_ns: int
    form: NameForm
    digest: Digest | None

    @property
    def path(self) -> Path:
        """Where it is; made when it is asked for, since making 100,000 paths takes longer than the walk."""
        return Path(self.location)


class PlainBlobs(Rows[StoredBlob]):
    """Files of one area whose names are SHA-256 digests in one spelling, and which are not empty."""

    __slots__ = ("_before", "_made", "_places", "area", "digests", "names", "sizes", "times")

    def __init__(
        self,
        directory: str,
        area: Literal["wasm", "data"],
        names: list[str],
        sizes: array[int],
        times: array[int],
    ) -> None:
        self.area = area
        self.names = names
        self.sizes = sizes
        self.times = times
        self.digests = names if names and names[0][_DIGITS - 1] == ":" else _digests(names)
        self._before = os.path.join(directory, "")  # noqa: PTH118 - text, as `StoredBlob.location` is
        self._places: dict[str, int] | None = None
        self._made: list[StoredBlob] | None = None

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[StoredBlob]:
        """All of them: made at once, column by column, which runs no Python code for each; and kept."""
        if self._made is None:
            digests = map(
                partial(tuple.__new__, Digest), zip(repeat(_ALGORITHM), [one[_DIGITS:] for one in self.names])
            )
            places = [self._before + name for name in self.names]
            columns = zip(
                self.names, places, repeat(self.area), self.sizes, self.times, repeat("digest"), digests
            )
            self._made = list(map(partial(tuple.__new__, StoredBlob), columns))
        return iter(self._made)

    def row(self, place: int) -> StoredBlob:
        """Make one item."""
        name = self.names[place]
        return StoredBlob(
            name,
            self._before + name,
            self.area,
            self.sizes[place],
            self.times[place],
            "digest",
            Digest(_ALGORITHM, name[_DIGITS:]),
        )

    def places(self) -> dict[str, int]:
        """The place of each in this sequence, by its digest."""
        if self._places is None:
            self._places = dict(zip(self.digests, range(len(self)), strict=True))
        return self._places

    def find(self, digest: Digest) -> StoredBlob | None:
        """The file of a digest."""
        place = self.places().get(str(digest))
        return self.row(place) if place is not None else None


def _digests(names: Sequence[str]) -> list[str]:
    """Digests as text, of names that Windows spells."""
    return [f"{_ALGORITHM}:{name[_DIGITS:]}" for name in names]


class FoundBlobs(Later[StoredBlob]):
    """All files in ``wasm/`` and ``data/``; as a sequence, area by area and sorted by place."""

    __slots__ = ("odd", "plain")

    def __init__(self, plain: Sequence[PlainBlobs], odd: Sequence[StoredBlob]) -> None:
        super().__init__(partial(_in_order, plain, odd))
        self.plain = plain
        self.odd = odd

    def __len__(self) -> int:
        return sum(map(len, self.plain)) + len(self.odd)


def _in_order(plain: Sequence[PlainBlobs], odd: Sequence[StoredBlob]) -> Iterator[StoredBlob]:
    for area in ("wasm", "data"):
        found = [blob for some in plain if some.area == area for blob in some]
        found += (blob for blob in odd if blob.area == area)
        yield from sorted(found, key=attrgetter("location"))

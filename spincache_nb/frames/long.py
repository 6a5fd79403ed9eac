"""Columns of the two frames that can have millions of rows, from what few different things they are about.

A layer is a descriptor that many manifests have, a use is a blob that many apps need: what a column says
is found out once for each descriptor or blob, and numpy writes it down for each row.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from spincache_nb.core.cache import StoredBlob
from spincache_nb.core.inventory import CachedLayer, LayerUses, ManifestLayers, Use, Via
from spincache_nb.core.manifest import Descriptor
from spincache_nb.frames.schemas import Picked

_Thing = TypeVar("_Thing")
_Places = npt.NDArray[np.intp]


class Things(Generic[_Thing]):
    """What the rows of a frame are about.

    Parameters
    ----------
    things
        Each of them; some may be about no row.
    places
        For each row, where in `things` it is found.
    """

    def __init__(self, things: Sequence[_Thing], places: _Places) -> None:
        used = np.zeros(len(things), bool)
        used[places] = True
        self._things = [things[place] for place in np.flatnonzero(used).tolist()]
        self._places = (np.cumsum(used) - 1)[places]

    def column(self, what: Callable[[_Thing], Any]) -> Picked:
        """A column of what is to be said of each."""
        return Picked(list(map(what, self._things)), self._places)


def groups(names: Sequence[_Thing], sizes: Iterable[int]) -> Things[_Thing]:
    """Rows in groups, such as those of one app, by the sizes of the groups."""
    return Things(names, np.repeat(np.arange(len(names), dtype=np.intp), np.fromiter(sizes, np.intp)))


class _Gathered(Generic[_Thing]):
    """What the rows of many apps are about, and for each row its place among that.

    Attributes
    ----------
    things : list
        In the order in which they came.
    """

    def __init__(self) -> None:
        self.things: list[_Thing] = []
        self._starts: dict[int, int] = {}
        self._places: list[_Places] = [np.empty(0, np.intp)]

    def add_numbered(self, known: Sequence[_Thing], numbers: array[int]) -> None:
        """Add rows that are about some of things that many apps have, given by number."""
        start = self._starts.setdefault(id(known), len(self.things))
        if start == len(self.things):
            self.things += known
        self._places.append(np.frombuffer(numbers, np.int64).astype(np.intp) + start)

    def add(self, things: Sequence[_Thing]) -> None:
        """Add rows that are each about a thing of its own."""
        self._places.append(np.arange(len(self.things), len(self.things) + len(things), dtype=np.intp))
        self.things += things

    def places(self) -> _Places:
        """Of each row its place in `things`."""
        return np.concatenate(self._places)


class LayerColumns:
    """What the rows of layers say.

    Parameters
    ----------
    layers
        Those of each app.
    """

    def __init__(self, layers: Sequence[Sequence[CachedLayer]]) -> None:
        gathered = _Gathered[Descriptor]()
        for some in layers:
            if isinstance(some, ManifestLayers) and some.numbers is not None:
                gathered.add_numbered(some.known, some.numbers)
            else:
                gathered.add(_descriptors(some))
        self.descriptors = Things(gathered.things, gathered.places())
        self.positions = np.concatenate([np.empty(0, np.int64), *map(_positions, layers)])
        self.stored = np.concatenate([np.empty(0, bool), *map(_stored, layers)])


def _descriptors(layers: Sequence[CachedLayer]) -> Sequence[Descriptor]:
    if isinstance(layers, ManifestLayers):
        return layers.descriptors
    return [layer.descriptor for layer in layers]


def _positions(layers: Sequence[CachedLayer]) -> npt.NDArray[np.int64]:
    if isinstance(layers, ManifestLayers):
        return np.arange(len(layers), dtype=np.int64)
    return np.fromiter((one.position for one in layers), np.int64, len(layers))


def _stored(layers: Sequence[CachedLayer]) -> npt.NDArray[np.bool_]:
    if isinstance(layers, ManifestLayers) and not layers.lacking:
        return np.ones(len(layers), bool)
    return np.fromiter((layer.stored for layer in layers), bool, len(layers))


class UseColumns:
    """What the rows of uses say, whoever the users are.

    Parameters
    ----------
    uses
        Those of each user.
    """

    def __init__(self, uses: Sequence[Sequence[Use]]) -> None:
        gathered = _Gathered[StoredBlob]()
        vias: list[Via] = []
        for some in uses:
            if isinstance(some, LayerUses):
                gathered.add_numbered(some.table.blobs, some.numbers)
                vias += ["layer"] * (len(gathered.things) - len(vias))
            else:
                gathered.add([use.blob for use in some])
                vias += (use.via for use in some)
        places = gathered.places()
        self.blobs = Things(gathered.things, places)
        self.vias = Things(vias, places)

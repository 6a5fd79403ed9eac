"""Columns of the two frames that can have millions of rows, from what few different things they are about.

A layer is a descriptor that many manifests have, a use is a blob that many apps need: what a column says
is found out once for each descriptor or blob, and numpy writes it down for each row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import chain, repeat
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from spincache_nb.core.cache import StoredBlob
from spincache_nb.core.inventory import CachedLayer, LayerUses, ManifestLayers, Use
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
        self._things: Sequence[_Thing]
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


class LayerColumns:
    """What the rows of layers say.

    Parameters
    ----------
    layers
        Those of each app.
    """

    def __init__(self, layers: Sequence[Sequence[CachedLayer]]) -> None:
        rows = list(chain.from_iterable(map(_descriptors, layers)))
        places, known = pd.factorize(np.fromiter(map(id, rows), np.int64, len(rows)))
        first = np.empty(len(known), np.intp)
        first[places[::-1]] = np.arange(len(rows), dtype=np.intp)[::-1]
        self.descriptors = Things([rows[place] for place in first], places)
        self.positions = chain.from_iterable(map(_positions, layers))
        self.stored = chain.from_iterable(map(_stored, layers))


def _descriptors(layers: Sequence[CachedLayer]) -> Iterable[Descriptor]:
    if isinstance(layers, ManifestLayers):
        return layers.descriptors
    return (layer.descriptor for layer in layers)


def _positions(layers: Sequence[CachedLayer]) -> Iterable[int]:
    return range(len(layers)) if isinstance(layers, ManifestLayers) else (one.position for one in layers)


def _stored(layers: Sequence[CachedLayer]) -> Iterable[bool]:
    if isinstance(layers, ManifestLayers) and not layers.lacking:
        return repeat(True, len(layers))
    return (layer.stored for layer in layers)


def used(uses: Sequence[Sequence[Use]]) -> Things[Use]:
    """What rows of uses are about, whoever the users are.

    Parameters
    ----------
    uses
        Those of each user. Of what is given back, only ``user`` may be another one's.
    """
    things: list[Use] = []
    starts: dict[int, int] = {}
    places: list[_Places] = []
    for some in uses:
        if isinstance(some, LayerUses):
            if id(some.table) not in starts:
                starts[id(some.table)] = len(things)
                things += map(_layer_use, some.table.blobs)
            places.append(np.frombuffer(some.numbers, np.int64).astype(np.intp) + starts[id(some.table)])
        else:
            places.append(np.arange(len(things), len(things) + len(some), dtype=np.intp))
            things += some
    return Things(things, np.concatenate([np.empty(0, np.intp), *places]))


def _layer_use(blob: StoredBlob) -> Use:
    assert blob.digest is not None, "a look-up finds it"
    return Use("", blob, blob.digest, "layer")

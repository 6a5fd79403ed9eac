"""Long columns that say few different things, or many but each of them as it is already there."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from spincache_nb.core.cache import AREAS
from spincache_nb.core.documents import Area
from spincache_nb.frames.schemas import Picked

Places = npt.NDArray[np.intp]

AREAS_IN_ORDER: tuple[Area, ...] = tuple(sorted(AREAS))
"""As rows are sorted."""


def picked(values: Sequence[Any] | npt.NDArray[Any], places: Places) -> Picked:
    """A column of values, some of which may be of no row."""
    used = np.zeros(len(values), bool)
    used[places] = True
    if used.all():
        return Picked(values, places)
    some = values[used] if isinstance(values, np.ndarray) else list(compress(values, used.tolist()))
    return Picked(some, (np.cumsum(used) - 1)[places])


def in_order(texts: Sequence[str]) -> Places:
    """Places of texts in their order; those of equal ones as they come."""
    return np.array(sorted(range(len(texts)), key=texts.__getitem__), np.intp)


class Ranked(NamedTuple):
    """Very many texts, some of which may be equal, in order."""

    distinct: npt.NDArray[Any]
    ranks: Places

    @classmethod
    def of(cls, texts: Sequence[str]) -> Ranked:
        """Sort texts."""
        order = in_order(texts)
        ascending = np.array(texts, object)[order]
        new = np.ones(len(texts), bool)
        new[1:] = ascending[1:] != ascending[:-1]
        ranks = np.empty(len(texts), np.intp)
        ranks[order] = np.cumsum(new) - 1
        return cls(ascending[new], ranks)

    def picked(self, places: Places) -> Picked:
        """A column of the texts at some places."""
        return picked(self.distinct, self.ranks[places])._replace(in_order=True)

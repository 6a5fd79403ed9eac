"""Long columns that say few different things, or many but each of them as it is already there."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress
from typing import Any

import numpy as np
import numpy.typing as npt

from spincache_nb.frames.schemas import Picked

Places = npt.NDArray[np.intp]


def picked(values: Sequence[Any], places: Places) -> Picked:
    """A column of values, some of which may be of no row.

    Parameters
    ----------
    values
        What rows may say.
    places
        For each row, where in `values` it is found.
    """
    used = np.zeros(len(values), bool)
    used[places] = True
    if used.all():
        return Picked(values, places)
    return Picked(list(compress(values, used.tolist())), (np.cumsum(used) - 1)[places])


def in_order(texts: Sequence[str]) -> Places:
    """Places of texts in their order; those of equal ones as they come."""
    return np.array(sorted(range(len(texts)), key=texts.__getitem__), np.intp)


def picked_texts(texts: Sequence[str], places: Places, order: Places | None = None) -> Picked:
    """A column of very many texts, some of which may be equal, and some of no row.

    Parameters
    ----------
    texts
        What rows may say.
    places
        For each row, where in `texts` it is found.
    order
        What `in_order` gives, if that is known.
    """
    if order is None:
        order = in_order(texts)
    ascending = np.array(texts, object)[order]
    new = np.ones(len(texts), bool)
    new[1:] = ascending[1:] != ascending[:-1]
    ranks = np.empty(len(texts), np.intp)
    ranks[order] = np.cumsum(new) - 1
    return picked(ascending[new].tolist(), ranks[places])._replace(in_order=True)

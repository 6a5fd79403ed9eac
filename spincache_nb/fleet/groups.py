"""Groups of equal rows in columns of integers: sorted once, then added up exactly.

pandas' own groups hash every row; parts of a snapshot are sorted by key already, and numpy's sort
is close to free on runs that are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

Ints = npt.NDArray[np.int64]
_Array = npt.NDArray[Any]


class Groups:
    """Rows that agree in some columns.

    Parameters
    ----------
    by
        The columns, the most telling first; none has missing values.

    Attributes
    ----------
    order
        Numbers of the rows, sorted by the columns.
    starts
        Where in `order` each group begins.

    Examples
    --------
    >>> groups = Groups({"key": np.array([7, 3, 7])})
    >>> groups.keys()["key"].tolist(), groups.sum(np.array([1, 2, 4])).tolist()
    ([3, 7], [2, 5])
    """

    def __init__(self, by: Mapping[str, _Array]) -> None:
        columns = list(by.values())
        self._by = by
        self.order: npt.NDArray[np.intp] = np.lexsort(columns[::-1])
        changes = np.zeros(len(self.order), dtype=bool)
        changes[:1] = True
        for column in columns:
            ordered = column[self.order]
            changes[1:] |= ordered[1:] != ordered[:-1]
        self.starts: npt.NDArray[np.intp] = np.flatnonzero(changes)

    def __len__(self) -> int:
        return len(self.starts)

    def keys(self) -> dict[str, _Array]:
        """What the rows of each group have in common."""
        first = self.order[self.starts]
        return {name: column[first] for name, column in self._by.items()}

    def counts(self) -> Ints:
        """Rows in each group."""
        return np.diff(np.append(self.starts, len(self.order))).astype(np.int64)

    def sum(self, values: _Array) -> Ints:
        """Sum of some values in each group, in 64 bits."""
        return self._reduce(np.add, values.astype(np.int64, copy=False))

    def max(self, values: _Array) -> _Array:
        """Largest value in each group."""
        return self._reduce(np.maximum, values)

    def min(self, values: _Array) -> _Array:
        """Smallest value in each group."""
        return self._reduce(np.minimum, values)

    def spread(self, values: _Array) -> _Array:
        """One value per group, given to each of its rows, in the rows' own order."""
        spread = np.empty(len(self.order), dtype=values.dtype)
        spread[self.order] = np.repeat(values, self.counts())
        return spread

    def _reduce(self, function: np.ufunc, values: _Array) -> _Array:
        if not len(self.starts):
            return values[:0]
        reduced: _Array = function.reduceat(values[self.order], self.starts)
        return reduced


def columns(frame: pd.DataFrame, *names: str) -> dict[str, _Array]:
    """Some columns of a frame as arrays."""
    return {name: frame[name].to_numpy() for name in names}

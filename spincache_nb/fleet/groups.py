"""Groups of equal rows in columns of integers: sorted once, then added up exactly.

pandas' own groups hash every row; parts of a snapshot are sorted by key already, and numpy's sort
is close to free on runs that are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

Ints = npt.NDArray[np.int64]
_Array = npt.NDArray[Any]


class Groups:
    """Rows that agree in some columns."""

    def __init__(self, by: Mapping[str, _Array]) -> None:
        columns = list(by.values())
        self._by = by
        self._count = len(columns[0])
        self.order: npt.NDArray[np.intp] | None = None if _is_sorted(columns) else np.lexsort(columns[::-1])
        changes = np.zeros(self._count, dtype=bool)
        changes[:1] = True
        for column in columns:
            ordered = self._ordered(column)
            changes[1:] |= ordered[1:] != ordered[:-1]
        self.starts: npt.NDArray[np.intp] = np.flatnonzero(changes)

    def __len__(self) -> int:
        return len(self.starts)

    def keys(self) -> dict[str, _Array]:
        """What the rows of each group have in common."""
        first = self.starts if self.order is None else self.order[self.starts]
        return {name: column[first] for name, column in self._by.items()}

    def counts(self) -> Ints:
        """Rows in each group."""
        return np.diff(np.append(self.starts, self._count)).astype(np.int64)

    def sum(self, values: _Array) -> Ints:
        """Sum of some values in each group, in 64 bits."""
        if not len(self.starts):
            return np.empty(0, dtype=np.int64)
        return np.add.reduceat(self._ordered(values), self.starts, dtype=np.int64)

    def max(self, values: _Array) -> _Array:
        """Largest value in each group."""
        return self._reduce(np.maximum, values)

    def min(self, values: _Array) -> _Array:
        """Smallest value in each group."""
        return self._reduce(np.minimum, values)

    def spread(self, values: _Array) -> _Array:
        """One value per group, given to each of its rows, in the rows' own order."""
        repeated: _Array = np.repeat(values, self.counts())
        if self.order is None:
            return repeated
        spread = np.empty_like(repeated)
        spread[self.order] = repeated
        return spread

    def _ordered(self, values: _Array) -> _Array:
        return values if self.order is None else values[self.order]

    def _reduce(self, function: np.ufunc, values: _Array) -> _Array:
        if not len(self.starts):
            return values[:0]
        reduced: _Array = function.reduceat(self._ordered(values), self.starts)
        return reduced


def _is_sorted(columns: Sequence[_Array]) -> bool:
    """Whether rows are in the order of some columns already, as those of a snapshot's part are."""
    undecided = np.ones(max(len(columns[0]) - 1, 0), dtype=bool)
    for column in columns:
        if (undecided & (column[1:] < column[:-1])).any():
            return False
        undecided &= column[1:] == column[:-1]
    return True


def columns(frame: pd.DataFrame, *names: str) -> dict[str, _Array]:
    """Some columns of a frame as arrays."""
    return {name: frame[name].to_numpy() for name in names}


def sums_at(place: _Array, values: _Array, count: int) -> Ints:
    """Add values up by their place, exactly."""
    found = np.zeros(count, dtype=np.int64)
    np.add.at(found, place, values)
    return found


def frame_of(columns: Mapping[str, _Array]) -> pd.DataFrame:
    """Make a frame of columns without copying them together."""
    return pd.DataFrame(dict(columns), copy=False)

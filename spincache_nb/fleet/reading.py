"""Columns of one unit's Parquet files as frames of integers, for the pandas and Dask engines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from spincache_nb.fleet.dataset import Unit
from spincache_nb.fleet.extras import load
from spincache_nb.fleet.groups import frame_of
from spincache_nb.fleet.place import Place
from spincache_nb.fleet.replaying import MEMBER
from spincache_nb.fleet.tables import COUNTS

Numbers = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Job:
    """One unit, and all that reading it needs; small enough to be sent to a worker."""

    place: Place
    unit: Unit
    new_keys: Mapping[int, int] = field(default_factory=dict)
    numbers: Numbers | None = None

    def uses(self) -> pd.DataFrame:
        """Rows of uses: ``key``, ``app``, ``host``, ``bytes``, ``flags``."""
        found = self._read("uses", "key", "app", "stored_bytes", "flags")
        return frame_of(
            {
                "key": self._keys(found["key"]),
                "app": found["app"],
                "host": np.full(len(found["app"]), self.unit.host_number, dtype=np.int32),
                "bytes": found["stored_bytes"],
                "flags": found["flags"],
            }
        )

    def sizes(self) -> pd.DataFrame:
        """The columns ``host``, ``bytes`` and ``flags`` of uses alone."""
        found = self._read("uses", "stored_bytes", "flags")
        host = np.full(len(found["flags"]), self.unit.host_number, dtype=np.int32)
        return frame_of({"host": host, "bytes": found["stored_bytes"], "flags": found["flags"]})

    def numbers_of(self, uses: pd.DataFrame) -> Numbers:
        """Give each row of uses the number of its app, -1 for none."""
        return _looked_up(self.numbers, uses["app"].to_numpy())

    def parts(self) -> pd.DataFrame:
        """Parts and members of versions that apps stand for: ``key``, ``version``, ``bytes``, ``flags``."""
        layers = self._read("layers", "key", "app", "declared_bytes", "flags")
        members = self._read("members", "key", "app", "size_bytes")
        counted = (layers["flags"] & COUNTS) != 0
        member_flags = np.full(len(members["key"]), MEMBER, dtype=np.uint8)
        app = np.concatenate([layers["app"][counted], members["app"]])
        version = _looked_up(self.numbers, app)
        keys = np.concatenate([layers["key"][counted], members["key"]])
        sizes = np.concatenate([layers["declared_bytes"][counted], members["size_bytes"]])
        flags = np.concatenate([layers["flags"][counted], member_flags])
        kept = version >= 0
        return frame_of(
            {
                "key": self._keys(keys[kept]),
                "version": version[kept],
                "bytes": sizes[kept],
                "flags": flags[kept],
            }
        )

    def _read(self, table: str, *names: str) -> dict[str, npt.NDArray[Any]]:
        """Columns of a table as arrays; a missing number is 0."""
        parquet, compute = load("pyarrow.parquet"), load("pyarrow.compute")
        path = self.place.path(*self.unit.folder, self.unit.part[table].name)
        with self.place.fs.open(path, "rb") as file:
            found = parquet.read_table(file, columns=list(names), use_threads=False)
        filled = {name: compute.fill_null(found[name], 0) for name in names}
        return {name: column.to_numpy() for name, column in filled.items()}

    def _keys(self, keys: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        if not self.new_keys:
            return keys
        old = np.array(sorted(self.new_keys), dtype=np.int64)
        new = np.array([self.new_keys[key] for key in sorted(self.new_keys)], dtype=np.int64)
        place = np.minimum(np.searchsorted(old, keys), len(old) - 1)
        return np.where(old[place] == keys, new[place], keys)


def _looked_up(numbers: Numbers | None, app: npt.NDArray[np.int32]) -> Numbers:
    """Number of each row's app; -1 for projects, and where nothing is known."""
    if numbers is None or not len(numbers):
        return np.full(len(app), -1, dtype=np.int32)
    found: Numbers = numbers[np.maximum(app, 0)]
    return np.where(app >= 0, found, np.int32(-1))

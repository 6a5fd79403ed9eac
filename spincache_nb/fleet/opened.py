"""What all analyses of a fleet work on: a catalog and an engine."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from spincache_nb.fleet.absence import Skipped
from spincache_nb.fleet.catalog import Catalog
from spincache_nb.fleet.engines.base import Engine


class Opened:
    """Snapshots, and an engine to analyse them with; see `Fleet`."""

    def __init__(self, catalog: Catalog, engine: Engine) -> None:
        self._catalog = catalog
        self._engine = engine

    @property
    def engine(self) -> str:
        """Name of the engine: ``pandas``, ``duckdb`` or ``dask``."""
        return self._engine.name

    @property
    def kind(self) -> str:
        """``cache`` or ``registry``: what the snapshots are of."""
        return self._catalog.dataset.kind

    @property
    def hosts(self) -> list[str]:
        """Names of the hosts, sorted."""
        return self._catalog.dataset.hosts

    @property
    def row_count(self) -> int:
        """Rows of uses and of layers."""
        return sum(self._catalog.dataset.row_count(table) for table in ("uses", "layers"))

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """Snapshots whose marker cannot be read; an older one of that host stands in if there is one."""
        return self._catalog.dataset.skipped

    def __repr__(self) -> str:
        skipped = f", {len(self.skipped)} skipped" if self.skipped else ""
        what = "caches" if self.kind == "cache" else "registries"
        return f"Fleet({len(self.hosts)} {what}, {self.row_count} rows, engine {self.engine!r}{skipped})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Free memory and what was spilled to disk."""
        self._engine.close()

    def _host_names(self, numbers: pd.Series[Any]) -> npt.NDArray[Any]:
        names: npt.NDArray[Any] = np.array(self.hosts, dtype=object)
        chosen: npt.NDArray[Any] = names[numbers.to_numpy(dtype=np.int64)]
        return chosen

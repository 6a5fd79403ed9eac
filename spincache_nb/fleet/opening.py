"""Opening a fleet: which snapshots, and which engine."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import date
from typing import Any, Literal

from spincache_nb.fleet.catalog import Catalog, Settings
from spincache_nb.fleet.dataset import Dataset, choose
from spincache_nb.fleet.engines.base import Engine
from spincache_nb.fleet.fleet import Fleet
from spincache_nb.fleet.marker import Kind
from spincache_nb.fleet.place import Place

EngineName = Literal["pandas", "duckdb", "dask"]

DUCKDB_ROWS = 1_000_000
"""Rows of uses or layers from which DuckDB is chosen."""
DASK_ROWS = 200_000_000
"""Rows from which Dask is chosen, if there is a cluster to run on."""


def open_fleet(
    target: str | os.PathLike[str],
    *,
    engine: EngineName | None = None,
    day: date | str | None = None,
    kind: Kind | None = None,
    memory_limit: str | None = None,
    threads: int | None = None,
    spill_folder: str | os.PathLike[str] | None = None,
    client: Any = None,
    storage_options: Mapping[str, Any] | None = None,
) -> Fleet:
    """Open a dataset of snapshots for analysis: each host's latest.

    Parameters
    ----------
    target
        Folder of the dataset, local or at any address that fsspec understands (``s3://...``).
    engine
        ``pandas`` (in memory), ``duckdb`` (one machine, spills to disk) or ``dask`` (a cluster). Unless
        named, by size: pandas below a million rows, DuckDB from there, Dask from 200 million if there is
        a current ``distributed.Client``. All give the same frames.
    day
        Latest day to look at; the latest there is unless given.
    kind
        ``cache`` or ``registry``, if the dataset holds both.
    memory_limit, threads, spill_folder
        How much DuckDB may use, see `spincache_nb.fleet.catalog.Settings`.
    client
        A ``distributed.Client`` for Dask; the current one unless given.
    storage_options
        Handed to fsspec, credentials for example.

    Returns
    -------
    Fleet
        To be closed, or used in a ``with`` statement.

    Raises
    ------
    MissingExtraError
        If an extra is not installed.
    SpinCacheError
        If there is no complete snapshot.
    ValueError
        If there is no such engine or day, both kinds are there and none is named, or the engine cannot
        reach the target.
    """
    if engine not in (None, "pandas", "duckdb", "dask"):
        raise ValueError(f"engine is one of pandas, duckdb, dask, not {engine!r}")
    until = date.fromisoformat(day) if isinstance(day, str) else day
    dataset = choose(Place(target, storage_options), day=until, kind=kind)
    catalog = Catalog(dataset, Settings(memory_limit, threads, spill_folder))
    try:
        name = engine or engine_for(dataset, cluster=client is not None or _has_cluster())
        return Fleet(catalog, _make(name, catalog, client))
    except BaseException:
        catalog.close()
        raise


def engine_for(dataset: Dataset, *, cluster: bool) -> EngineName:
    """Choose an engine by size."""
    rows = max(dataset.row_count("uses"), dataset.row_count("layers"))
    if rows >= DASK_ROWS and cluster:
        return "dask"
    return "duckdb" if rows >= DUCKDB_ROWS else "pandas"


def _make(name: EngineName, catalog: Catalog, client: Any) -> Engine:
    if name == "pandas":
        from spincache_nb.fleet.engines.in_pandas import PandasEngine

        return PandasEngine(catalog)
    if name == "duckdb":
        from spincache_nb.fleet.engines.in_duckdb import DuckDBEngine

        return DuckDBEngine(catalog)
    from spincache_nb.fleet.engines.in_dask import DaskEngine

    return DaskEngine(catalog, client)


def _has_cluster() -> bool:
    """Whether this process has a client of a cluster; where distributed was not imported, it has none."""
    import sys

    if "distributed" not in sys.modules:
        return False
    from spincache_nb.fleet.engines.in_dask import current_client

    return current_client() is not None

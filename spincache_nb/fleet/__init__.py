"""Past one machine: snapshots of many caches and of whole registries, analysed by an engine of one's choice.

`snapshot` writes what the frames of a cache say as Parquet files; `crawl` does the same for a registry,
from manifests alone; `open` gives the analyses of one cache over all of them, in pandas, DuckDB or Dask.
The extras ``fleet`` and, for Dask, ``dask`` bring what that needs.

>>> from spincache_nb import fleet
>>> fleet.engine_names
('pandas', 'duckdb', 'dask')
"""

from __future__ import annotations

from typing import get_args

from spincache_nb.fleet.crawling import crawl
from spincache_nb.fleet.dataset import Skipped
from spincache_nb.fleet.fleet import Fleet
from spincache_nb.fleet.opening import EngineName
from spincache_nb.fleet.opening import open_fleet as open
from spincache_nb.fleet.snapshots import Snapshot, snapshot

engine_names: tuple[str, ...] = get_args(EngineName)

__all__ = ["EngineName", "Fleet", "Skipped", "Snapshot", "crawl", "engine_names", "open", "snapshot"]

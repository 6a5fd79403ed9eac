"""Past one machine: snapshots of many caches and of whole registries, analysed by an engine of one's choice.

`snapshot` writes what the frames of a cache say as Parquet files; `crawl` does the same for a registry,
from manifests alone; `open` gives the analyses of one cache over all of them, in pandas, DuckDB or Dask.
The extras ``fleet`` and, for Dask, ``dask`` bring what that needs.

**How large.** Rows are those of ``uses``: what each app on each host needs. Below a million pandas serves;
DuckDB beyond, with some 40 bytes of memory a row, or within a ``memory_limit`` and as much on disk. Where the
files are near it is right for 10**9 rows too: some 15 core minutes and 40 GB. Dask pays where many machines
are to read them.

**A plan for 10**9 rows**, 20,000 hosts with 50,000 each: 70 GB in 160,000 Parquet files. On a cluster:

1. The client checks every digest for keys in common and numbers manifests and versions: some 5 core minutes
   in DuckDB, the one step that is not shared out. It spills beyond ``memory_limit``.
2. 500 tasks read 40 hosts each, two million rows, and sum them up per blob before anything moves.
3. What is left, about 60 % of the rows in 53 bytes each, is shuffled once by key into 250 partitions of
   some 120 MB: 30 GB, through the workers' disks. `Fleet.sharing` shuffles pairs of key and manifest too,
   15 GB; `Fleet.version_savings` what one host has of each version, 5 GB. A worker with 2 GB for each
   thread holds a partition, its order and its sums.
4. Each partition is added up by the functions that the pandas engine runs, and a few rows per host, version
   or pair come back. Ask for ``top=`` rows: a list of all digests would have 10**8.

That takes 64 workers (a thread each) about a minute, and some 10 cents at 5 cents a core hour. A worker that
dies costs what it held, and the shuffle is begun again: at worst all of the reading, half as long again.
A fleet whose hosts have more in common than the made-up one needs less. The figures are simulated from
what a hundredth and a tenth of it took (``python -m tests.benchmarks.fleet_plan``).

>>> from spincache_nb import fleet
>>> fleet.engine_names
('pandas', 'duckdb', 'dask')
"""

from __future__ import annotations

from typing import get_args

from spincache_nb.fleet.absence import Skipped
from spincache_nb.fleet.crawling import crawl
from spincache_nb.fleet.fleet import Fleet
from spincache_nb.fleet.opening import EngineName
from spincache_nb.fleet.opening import open_fleet as open
from spincache_nb.fleet.snapshots import Snapshot, snapshot

engine_names: tuple[str, ...] = get_args(EngineName)

__all__ = ["EngineName", "Fleet", "Skipped", "Snapshot", "crawl", "engine_names", "open", "snapshot"]

"""Past one machine: snapshots of many caches and of whole registries, analysed in SQL.

`snapshot` writes what a cache holds as one Parquet file; `crawl` does the same for a registry, from manifests
alone; `open` gives the analyses of one cache over all of them. The extra ``fleet`` brings what that needs.

**Open files.** The rows are plain and described in `spincache_nb.fleet.table`: whatever reads Parquet can ask
questions of its own, and `Fleet.views` gives what the analyses ask.

**How large.** DuckDB does the work, embedded, and spills to disk what its memory limit does not hold; on one
machine nothing else is needed. Where many machines are to read, `open` takes a running Spark session instead
(extra ``spark``), which gets the same SQL, written in its dialect by sqlglot.

**Always on.** Hosts write while others read: a file that was replaced stays for ten minutes, and an analysis
that loses one all the same chooses again. `expire` and `compact` keep the dataset small.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)  # names stand in __init__.pyi

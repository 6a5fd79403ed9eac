"""The engine for what fits into memory: some units at a time, then all of them together."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from spincache_nb.analysis.replay import Rules
from spincache_nb.fleet import kernels
from spincache_nb.fleet.catalog import Catalog
from spincache_nb.fleet.engines import rows
from spincache_nb.fleet.engines.base import most_saving, version_arrays
from spincache_nb.fleet.reading import Job
from spincache_nb.fleet.replaying import fetch_sums

_ROWS_AT_A_TIME = 500_000
_MOST_THREADS = 8
_Read = Callable[[Sequence[Job]], pd.DataFrame]


class PandasEngine:
    """Adds up with pandas and numpy, in this process; files are read by a few threads."""

    name = "pandas"

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def _read(self, read: _Read, jobs: Sequence[Job], *, table: str) -> list[pd.DataFrame]:
        """Read all units, some at a time."""
        count = max(1, rows.row_count(jobs, table) // _ROWS_AT_A_TIME)
        batches = list(rows.batches(jobs, max(1, len(jobs) // count)))
        threads = min(_MOST_THREADS, os.cpu_count() or 1, len(batches))
        with ThreadPoolExecutor(threads, thread_name_prefix="spincache-fleet") as pool:
            return list(pool.map(read, batches))

    @cached_property
    def _sums(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Per host and per blob."""
        jobs = self._catalog.jobs()
        if self._catalog.dataset.in_parts:
            whole = kernels.merge_parts(rows.joined(self._read(rows.host_blobs, jobs, table="uses")))
            return kernels.host_sums(whole), kernels.over_hosts(whole)
        hosts: list[pd.DataFrame] = []

        def read(batch: Sequence[Job]) -> pd.DataFrame:
            found = rows.host_blobs(batch)
            hosts.append(kernels.host_sums(found))
            return kernels.over_hosts(found)

        blobs = kernels.merge_blobs(rows.joined(self._read(read, jobs, table="uses")))
        return rows.joined(hosts), blobs

    def hosts(self) -> pd.DataFrame:
        return self._sums[0]

    def first_hosts(self) -> pd.DataFrame:
        return kernels.first_host_sums(self._sums[1])

    def host_counts(self) -> pd.DataFrame:
        return kernels.host_count_sums(self._sums[1])

    def digests(self, *, top: int | None = None) -> pd.DataFrame:
        return rows.with_manifests(most_saving(kernels.over_areas(self._sums[1]), top), self._manifests)

    def users_of(self, keys: npt.NDArray[np.int64]) -> pd.DataFrame:
        blobs = self._sums[1]
        return kernels.over_areas(blobs[np.isin(blobs["key"], keys)])[["key", "hosts"]]

    @cached_property
    def _manifests(self) -> pd.DataFrame:
        jobs = self._catalog.manifest_jobs()
        return kernels.count_manifests(rows.joined(self._read(rows.manifests, jobs, table="uses")))

    def host_pairs(self, hosts: Sequence[int]) -> pd.DataFrame:
        jobs = [job for job in self._catalog.jobs() if job.unit.host_number in hosts]
        return kernels.pair_sums(rows.joined(self._read(rows.host_items, jobs, table="uses")))

    def app_pairs(self, items: dict[str, Any]) -> pd.DataFrame:
        jobs = self._catalog.item_jobs(items)
        return kernels.pair_sums(rows.joined(self._read(rows.app_items, jobs, table="uses")))

    def fetches(self, versions: pd.DataFrame, rules: Rules) -> pd.DataFrame:
        jobs = self._catalog.version_jobs(versions["version"].to_numpy())
        parts = rows.joined(self._read(rows.parts, jobs, table="layers"))
        return fetch_sums(parts, *version_arrays(versions), rules)

    def close(self) -> None:
        self.__dict__.pop("_sums", None)
        self.__dict__.pop("_manifests", None)
        self._catalog.close()

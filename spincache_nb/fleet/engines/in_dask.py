"""The engine for a cluster: rows are shuffled by key once, then each partition is added up as in pandas."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
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
from spincache_nb.fleet.extras import load
from spincache_nb.fleet.reading import Job
from spincache_nb.fleet.replaying import fetch_sums

ROWS_PER_TASK = 2_000_000
"""Rows that one task reads, unless there are fewer than two tasks for each thread then."""
ROWS_PER_PARTITION = 4_000_000
"""Rows in a partition after the shuffle, likewise."""
MOST_BY_TASKS = 32
"""Tasks and partitions up to which tasks shuffle: that is cheaper for few, and a lost worker costs less."""
_FAN_IN = 8
_Read = Callable[[Sequence[Job]], pd.DataFrame]


class DaskEngine:
    """Adds up on the workers of a cluster."""

    name = "dask"

    def __init__(self, catalog: Catalog, client: Any = None) -> None:
        if catalog.dataset.place.protocol == "memory":
            raise ValueError(f"{catalog.dataset.place}: Dask's workers cannot see the memory of this process")
        self._catalog = catalog
        self._dask = load("dask", extra="dask")
        self._frames = load("dask.dataframe", extra="dask")
        self._client = client if client is not None else current_client()

    @contextlib.contextmanager
    def _current(self) -> Iterator[None]:
        with self._client.as_current() if self._client is not None else contextlib.nullcontext():
            yield

    @cached_property
    def _threads(self) -> int:
        """How many tasks run at a time; taken once, since workers come and go."""
        if self._client is None:
            return 2
        return max(1, sum(int(count) for count in self._client.nthreads().values()))

    def _read(self, read: _Read, jobs: Sequence[Job], *, table: str) -> Any:
        """A Dask frame whose partitions are read from some units each."""
        count = rows.row_count(jobs, table)
        per_task = max(1, min(ROWS_PER_TASK, math.ceil(count / (2 * self._threads))))
        size = max(1, math.ceil(len(jobs) * per_task / max(count, 1)))
        empty = read(jobs[:1]).iloc[:0]
        return self._frames.from_map(read, list(rows.batches(jobs, size)), meta=empty)

    def _shuffled(self, read: _Read, jobs: Sequence[Job], *, table: str) -> list[Any]:
        """Read units, shuffle their rows by key, and give the partitions, each to be computed."""
        count = rows.row_count(jobs, table)
        partitions = max(2 * self._threads, math.ceil(count / ROWS_PER_PARTITION))
        found = self._read(read, jobs, table=table)
        many = max(found.npartitions, partitions) > MOST_BY_TASKS
        method = "p2p" if many and self._client is not None else "tasks"
        shuffled = found.shuffle(on="key", npartitions=partitions, shuffle_method=method)
        parts: list[Any] = shuffled.persist().to_delayed()
        return parts

    def _sum(self, parts: Sequence[Any], merge: Callable[[pd.DataFrame], pd.DataFrame]) -> pd.DataFrame:
        """Merge the results of partitions, some at a time, on the workers."""
        merging = self._dask.delayed(_merged)
        level = list(parts)
        while len(level) > _FAN_IN:
            level = [merging(merge, some) for some in rows.batches(level, _FAN_IN)]
        found: pd.DataFrame = merging(merge, level).compute()
        return found

    @cached_property
    def _blobs(self) -> list[Any]:
        """Partitions of blobs; where hosts are in parts, of the blobs of each host."""
        read = rows.host_blobs if self._catalog.dataset.in_parts else rows.blobs
        with self._current():
            parts = self._shuffled(read, self._catalog.jobs(), table="uses")
            whole = self._dask.delayed(
                kernels.merge_parts if self._catalog.dataset.in_parts else kernels.merge_blobs
            )
            found: list[Any] = self._dask.persist(*(whole(part) for part in parts))
            return list(found)

    @cached_property
    def _sums(self) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
        in_parts = self._catalog.dataset.in_parts
        with self._current():
            overview = self._dask.delayed(_overview_of)
            found = self._dask.compute(*(overview(part, in_parts) for part in self._blobs))
            hosts, firsts, counts = (rows.joined(frames) for frames in zip(*found, strict=True))
            if not in_parts:
                read = self._read(_host_sums_of, self._catalog.jobs(), table="uses")
                hosts = read.compute()
        return (
            kernels.merge_sums(hosts, "host"),
            kernels.merge_sums(firsts, "host"),
            kernels.merge_sums(counts, "hosts"),
        )

    def hosts(self) -> pd.DataFrame:
        return self._sums[0]

    def first_hosts(self) -> pd.DataFrame:
        return self._sums[1]

    def host_counts(self) -> pd.DataFrame:
        return self._sums[2]

    @cached_property
    def _manifests(self) -> list[Any]:
        jobs = self._catalog.manifest_jobs()
        with self._current():
            counted = self._dask.delayed(kernels.count_manifests)
            parts = self._shuffled(rows.manifests, jobs, table="uses")
            found: list[Any] = self._dask.persist(*(counted(part) for part in parts))
            return list(found)

    def digests(self, *, top: int | None = None) -> pd.DataFrame:
        in_parts = self._catalog.dataset.in_parts
        with self._current():
            chosen = self._dask.delayed(_digests_of)
            pairs = zip(self._blobs, self._manifests, strict=True)
            found = self._dask.compute(*(chosen(*pair, in_parts, top) for pair in pairs))
        return most_saving(rows.joined(found), top)

    def users_of(self, keys: npt.NDArray[np.int64]) -> pd.DataFrame:
        in_parts = self._catalog.dataset.in_parts
        with self._current():
            users = self._dask.delayed(_users_of)
            return rows.joined(self._dask.compute(*(users(part, in_parts, keys) for part in self._blobs)))

    def host_pairs(self, hosts: Sequence[int]) -> pd.DataFrame:
        jobs = [job for job in self._catalog.jobs() if job.unit.host_number in hosts]
        return self._pairs(rows.host_items, jobs)

    def app_pairs(self, items: dict[str, Any]) -> pd.DataFrame:
        return self._pairs(rows.app_items, self._catalog.item_jobs(items))

    def _pairs(self, read: _Read, jobs: Sequence[Job]) -> pd.DataFrame:
        with self._current():
            pairs = self._dask.delayed(kernels.pair_sums)
            parts = self._shuffled(read, jobs, table="uses")
            return self._sum([pairs(part) for part in parts], _pair_merge)

    def fetches(self, versions: pd.DataFrame, rules: Rules) -> pd.DataFrame:
        jobs = self._catalog.version_jobs(versions["version"].to_numpy())
        with self._current():
            parts = self._shuffled(rows.parts, jobs, table="layers")
            numbers = [self._dask.delayed(array) for array in version_arrays(versions)]
            sums = self._dask.delayed(fetch_sums)
            return self._sum([sums(part, *numbers, rules) for part in parts], _version_merge)

    def close(self) -> None:
        for name in ("_blobs", "_sums", "_manifests"):
            self.__dict__.pop(name, None)
        self._catalog.close()


def current_client() -> Any:
    """The current client of a cluster, None if there is none."""
    distributed = load("distributed", extra="dask")
    try:
        return distributed.get_client()
    except ValueError:
        return None


def _host_sums_of(batch: Sequence[Job]) -> pd.DataFrame:
    return rows.joined([kernels.sums_of_host(job.sizes()) for job in batch])


def _overview_of(found: pd.DataFrame, in_parts: bool) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    blobs = kernels.over_hosts(found) if in_parts else found
    hosts = kernels.host_sums(found) if in_parts else kernels.host_sums(_NO_BLOBS)
    return hosts, kernels.first_host_sums(blobs), kernels.host_count_sums(blobs)


def _digests_of(
    found: pd.DataFrame,
    manifests: pd.DataFrame,
    in_parts: bool,
    top: int | None,
) -> pd.DataFrame:
    blobs = kernels.over_hosts(found) if in_parts else found
    return rows.with_manifests(most_saving(kernels.over_areas(blobs), top), manifests)


def _users_of(found: pd.DataFrame, in_parts: bool, keys: npt.NDArray[np.int64]) -> pd.DataFrame:
    wanted = found[np.isin(found["key"], keys)]
    blobs = kernels.over_hosts(wanted) if in_parts else wanted
    return kernels.over_areas(blobs)[["key", "hosts"]]


def _merged(merge: Callable[[pd.DataFrame], pd.DataFrame], frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    return merge(rows.joined(frames))


def _pair_merge(found: pd.DataFrame) -> pd.DataFrame:
    return kernels.merge_sums(found, "a", "b")


def _version_merge(found: pd.DataFrame) -> pd.DataFrame:
    return kernels.merge_sums(found, "version")


_NO_BLOBS = pd.DataFrame({name: np.empty(0, dtype=np.int64) for name in ("host", "needed", "stored")})

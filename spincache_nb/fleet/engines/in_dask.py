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
from spincache_nb.fleet.engines.base import most_saving, version_arrays
from spincache_nb.fleet.engines.in_pandas import (
    item_rows,
    manifest_rows,
    total_manifests,
    wanted_parts,
    with_manifests,
)
from spincache_nb.fleet.extras import load
from spincache_nb.fleet.reading import Job, Numbers

ROWS_PER_TASK = 2_000_000
"""Rows that one task reads, unless there are fewer than two tasks for each thread then."""
ROWS_PER_PARTITION = 4_000_000
"""Rows in a partition after the shuffle, likewise."""
_FAN_IN = 8
_Read = Callable[[Job], pd.DataFrame]


class DaskEngine:
    """Adds up on the workers of a cluster.

    Parameters
    ----------
    catalog
        Of the dataset. The workers must reach it under the same address.
    client
        A ``distributed.Client``; the current one unless given. Without any, Dask's own scheduler in
        this process does the work.

    Raises
    ------
    MissingExtraError
        If ``spincache-nb[dask]`` is not installed.
    ValueError
        If the dataset is in this process's memory, where no worker can see it.
    """

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

    def _threads(self) -> int:
        if self._client is None:
            return 2
        return max(1, sum(self._client.nthreads().values()))

    def _shuffled(self, read: _Read, jobs: Sequence[Job], rows: int) -> list[Any]:
        """Read units, shuffle their rows by key, and give the partitions, each to be computed."""
        threads = self._threads()
        per_task = max(1, min(ROWS_PER_TASK, math.ceil(rows / (2 * threads))))
        batches = list(_batches(jobs, max(1, math.ceil(len(jobs) * per_task / max(rows, 1)))))
        partitions = max(2 * threads, math.ceil(rows / ROWS_PER_PARTITION))
        frame = self._frames.from_map(_read_batch, batches, read=read, meta=read(jobs[0]).iloc[:0])
        shuffled = frame.shuffle(on="key", npartitions=partitions)
        parts: list[Any] = shuffled.persist().to_delayed()
        return parts

    def _sum(self, parts: Sequence[Any], merge: Callable[[pd.DataFrame], pd.DataFrame]) -> pd.DataFrame:
        """Merge the results of partitions, some at a time, on the workers."""
        merging = self._dask.delayed(_merged)
        level = list(parts)
        while len(level) > _FAN_IN:
            level = [merging(merge, level[at : at + _FAN_IN]) for at in range(0, len(level), _FAN_IN)]
        found: pd.DataFrame = merging(merge, level).compute()
        return found

    @cached_property
    def _by_host(self) -> list[Any]:
        jobs = list(self._catalog.jobs())
        with self._current():
            return self._shuffled(_blobs_of, jobs, self._catalog.dataset.row_count("uses"))

    @cached_property
    def _overview(self) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
        with self._current():
            overview = self._dask.delayed(_overview_of)
            parts = [overview(part, self._catalog.dataset.in_parts) for part in self._by_host]
            found = self._dask.compute(*parts)
        hosts, firsts, counts = (pd.concat(frames, ignore_index=True) for frames in zip(*found, strict=True))
        return (
            kernels.merge_sums(hosts, "host"),
            kernels.merge_sums(firsts, "host"),
            kernels.merge_sums(counts, "hosts"),
        )

    def hosts(self) -> pd.DataFrame:
        return self._overview[0]

    def first_hosts(self) -> pd.DataFrame:
        return self._overview[1]

    def host_counts(self) -> pd.DataFrame:
        return self._overview[2]

    @cached_property
    def _manifests(self) -> list[Any]:
        jobs = list(self._catalog.jobs(manifests=True))
        with self._current():
            return self._shuffled(manifest_rows, jobs, self._catalog.dataset.row_count("uses"))

    def digests(self, *, top: int | None = None, only: npt.NDArray[np.int64] | None = None) -> pd.DataFrame:
        with self._current():
            chosen = self._dask.delayed(_digests_of)
            pairs = zip(self._by_host, self._manifests, strict=True)
            in_parts = self._catalog.dataset.in_parts
            found = self._dask.compute(*(chosen(*pair, in_parts, top, only) for pair in pairs))
        return most_saving(pd.concat(found, ignore_index=True), top)

    def host_pairs(self, hosts: Sequence[int]) -> pd.DataFrame:
        with self._current():
            pairs = self._dask.delayed(_host_pairs_of)
            return self._sum([pairs(part, list(hosts)) for part in self._by_host], _pair_merge)

    def app_pairs(self, items: dict[str, Any]) -> pd.DataFrame:
        numbers = self._catalog.app_items(items)
        jobs = list(self._catalog.jobs())
        read = _ItemReader({job.unit.number: found for job, found in zip(jobs, numbers, strict=True)})
        with self._current():
            parts = self._shuffled(read, jobs, self._catalog.dataset.row_count("uses"))
            pairs = self._dask.delayed(kernels.pair_sums)
            return self._sum([pairs(part) for part in parts], _pair_merge)

    def fetches(self, versions: pd.DataFrame, rules: Rules) -> pd.DataFrame:
        repositories, unchanged = version_arrays(versions)
        jobs = list(self._catalog.jobs(versions=True))
        with self._current():
            rows = self._catalog.dataset.row_count("layers")
            parts = self._shuffled(_PartReader(repositories), jobs, rows)
            numbers = self._dask.delayed(repositories), self._dask.delayed(unchanged)
            sums = self._dask.delayed(kernels.fetch_sums)
            return self._sum([sums(part, *numbers, rules) for part in parts], _version_merge)

    def close(self) -> None:
        for name in ("_by_host", "_manifests"):
            self.__dict__.pop(name, None)
        self._catalog.close()


class _ItemReader:
    """Reads the blobs of the apps of interest."""

    def __init__(self, items: dict[int, Numbers]) -> None:
        self._items = items

    def __call__(self, job: Job) -> pd.DataFrame:
        return item_rows(job, self._items[job.unit.number])


class _PartReader:
    """Reads the parts of the versions of interest."""

    def __init__(self, repositories: Numbers) -> None:
        self._repositories = repositories

    def __call__(self, job: Job) -> pd.DataFrame:
        return wanted_parts(job, self._repositories)


def current_client() -> Any:
    """The current client of a cluster, None if there is none."""
    distributed = load("distributed", extra="dask")
    try:
        return distributed.get_client()
    except ValueError:
        return None


def _batches(jobs: Sequence[Job], size: int) -> Iterator[list[Job]]:
    for start in range(0, len(jobs), size):
        yield list(jobs[start : start + size])


def _read_batch(batch: Sequence[Job], read: _Read) -> pd.DataFrame:
    return pd.concat([read(job) for job in batch], ignore_index=True)


def _blobs_of(job: Job) -> pd.DataFrame:
    return kernels.by_host(job.uses())


def _whole(found: pd.DataFrame, in_parts: bool) -> pd.DataFrame:
    return kernels.merge_parts(found) if in_parts else found


def _overview_of(found: pd.DataFrame, in_parts: bool) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    whole = _whole(found, in_parts)
    blobs = kernels.over_hosts(whole)
    return kernels.host_sums(whole), kernels.first_host_sums(blobs), kernels.host_count_sums(blobs)


def _digests_of(
    found: pd.DataFrame,
    manifests: pd.DataFrame,
    in_parts: bool,
    top: int | None,
    only: npt.NDArray[np.int64] | None,
) -> pd.DataFrame:
    if only is not None:
        found = found[np.isin(found["key"], only)]
    digests = most_saving(kernels.over_areas(kernels.over_hosts(_whole(found, in_parts))), top)
    return with_manifests(digests, total_manifests(kernels.merge_manifests(manifests)))


def _host_pairs_of(found: pd.DataFrame, hosts: Sequence[int]) -> pd.DataFrame:
    wanted = found[np.isin(found["host"], hosts)]
    return kernels.pair_sums(wanted.rename(columns={"host": "item", "stored": "bytes"}))


def _merged(merge: Callable[[pd.DataFrame], pd.DataFrame], frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    return merge(pd.concat(frames, ignore_index=True))


def _pair_merge(found: pd.DataFrame) -> pd.DataFrame:
    return kernels.merge_sums(found, "a", "b")


def _version_merge(found: pd.DataFrame) -> pd.DataFrame:
    return kernels.merge_sums(found, "version")

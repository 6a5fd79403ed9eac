"""The engine for what fits into memory: one unit after the other, then all of them together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from spincache_nb.analysis.replay import Rules
from spincache_nb.fleet import kernels, tables
from spincache_nb.fleet.catalog import Catalog
from spincache_nb.fleet.engines.base import most_saving, version_arrays
from spincache_nb.fleet.reading import Job, Numbers


class PandasEngine:
    """Adds up with pandas and numpy, in this process.

    Parameters
    ----------
    catalog
        Of the dataset.
    """

    name = "pandas"

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    @cached_property
    def _by_host(self) -> pd.DataFrame:
        found = _all(kernels.by_host(job.uses()) for job in self._catalog.jobs())
        return kernels.merge_parts(found) if self._catalog.dataset.in_parts else found

    @cached_property
    def _blobs(self) -> pd.DataFrame:
        return kernels.over_hosts(self._by_host)

    def hosts(self) -> pd.DataFrame:
        return kernels.host_sums(self._by_host)

    def first_hosts(self) -> pd.DataFrame:
        return kernels.first_host_sums(self._blobs)

    def host_counts(self) -> pd.DataFrame:
        return kernels.host_count_sums(self._blobs)

    def digests(self, *, top: int | None = None, only: npt.NDArray[np.int64] | None = None) -> pd.DataFrame:
        blobs = self._blobs if only is None else self._blobs[np.isin(self._blobs["key"], only)]
        chosen = most_saving(kernels.over_areas(blobs), top)
        return with_manifests(chosen, self._manifests)

    @cached_property
    def _manifests(self) -> pd.DataFrame:
        jobs = self._catalog.jobs(manifests=True)
        return total_manifests(kernels.merge_manifests(_all(manifest_rows(job) for job in jobs)))

    def host_pairs(self, hosts: Sequence[int]) -> pd.DataFrame:
        wanted = self._by_host[np.isin(self._by_host["host"], hosts)]
        return kernels.pair_sums(wanted.rename(columns={"host": "item", "stored": "bytes"}))

    def app_pairs(self, items: dict[str, Any]) -> pd.DataFrame:
        numbers = self._catalog.app_items(items)
        jobs = self._catalog.jobs()
        return kernels.pair_sums(
            _all(item_rows(job, found) for job, found in zip(jobs, numbers, strict=True))
        )

    def fetches(self, versions: pd.DataFrame, rules: Rules) -> pd.DataFrame:
        repositories, unchanged = version_arrays(versions)
        jobs = self._catalog.jobs(versions=True)
        parts = _all(wanted_parts(job, repositories) for job in jobs)
        return kernels.fetch_sums(parts, repositories, unchanged, rules)

    def close(self) -> None:
        self._catalog.close()


def _all(frames: Iterable[pd.DataFrame]) -> pd.DataFrame:
    return pd.concat(frames, ignore_index=True)


def manifest_rows(job: Job) -> pd.DataFrame:
    """What one unit tells of manifests."""
    uses = job.uses()
    return kernels.manifests_by_key(uses, job.manifests_of(uses))


def item_rows(job: Job, items: Numbers) -> pd.DataFrame:
    """The blobs of one unit's apps that are items."""
    uses = job.uses()
    app = uses["app"].to_numpy()
    item = np.where(app >= 0, items[np.maximum(app, 0)], -1) if len(items) else np.full(len(app), -1)
    frame = pd.DataFrame(
        {
            "item": item.astype(np.int64),
            "key": uses["key"],
            "area": uses["flags"].to_numpy() & tables.AREA_BITS,
            "bytes": uses["bytes"],
        }
    )
    return frame[item >= 0]


def wanted_parts(job: Job, repositories: npt.NDArray[np.int32]) -> pd.DataFrame:
    """The parts of one unit that belong to versions of interest."""
    parts = job.parts()
    version = parts["version"].to_numpy()
    inside = version < len(repositories)
    wanted = inside & (repositories[np.where(inside, version, 0)] >= 0) if len(repositories) else inside
    return parts[wanted]


def total_manifests(found: pd.DataFrame) -> pd.DataFrame:
    """Per key, how many manifests need it."""
    return kernels.merge_sums(found[["key", "manifests"]], "key")


def with_manifests(digests: pd.DataFrame, manifests: pd.DataFrame) -> pd.DataFrame:
    """Add the number of manifests to rows of digests; what only projects use is in none."""
    known = manifests["key"].to_numpy()
    place = np.searchsorted(known, digests["key"].to_numpy())
    inside = np.minimum(place, max(len(known) - 1, 0))
    if len(known):
        there = known[inside] == digests["key"].to_numpy()
        counts = np.where(there, manifests["manifests"].to_numpy()[inside], 0)
    else:
        counts = np.zeros(len(digests), dtype=np.int64)
    return digests.assign(manifests=counts)

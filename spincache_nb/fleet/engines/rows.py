"""What the pandas and Dask engines read of one unit or several: the functions that a task runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from spincache_nb.fleet import kernels, tables
from spincache_nb.fleet.groups import frame_of
from spincache_nb.fleet.reading import Job, Numbers, looked_up

T = TypeVar("T")


def joined(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Frames below each other, column by column."""
    names = frames[0].columns
    return frame_of({name: np.concatenate([frame[name].to_numpy() for frame in frames]) for name in names})


def batches(items: Sequence[T], size: int) -> Iterator[list[T]]:
    """Some items at a time, in order."""
    for start in range(0, len(items), size):
        yield list(items[start : start + size])


def host_blobs(batch: Sequence[Job]) -> pd.DataFrame:
    """Blobs of each host; of a host in several parts, perhaps of some of these only."""
    return joined([kernels.by_host(job.uses()) for job in batch])


def blobs(batch: Sequence[Job]) -> pd.DataFrame:
    """Blobs of some hosts, each of one part, added up."""
    return kernels.over_hosts(host_blobs(batch))


def manifests(batch: Sequence[Job]) -> pd.DataFrame:
    """Which manifests need which keys, each pair once as far as these units go."""
    found = []
    for job in batch:
        uses = job.uses()
        found.append(kernels.manifest_rows(uses, job.manifests_of(uses)))
    return kernels.merge_manifests(joined(found))


class HostItems:
    """Reads the blobs of some hosts.

    Parameters
    ----------
    hosts
        Numbers of hosts; each is an item.
    """

    def __init__(self, hosts: Sequence[int]) -> None:
        self._hosts = frozenset(hosts)

    def __call__(self, batch: Sequence[Job]) -> pd.DataFrame:
        wanted = [job for job in batch if job.unit.host_number in self._hosts]
        found = host_blobs(wanted or batch[:1])
        named = {"item": found["host"], "key": found["key"], "area": found["area"], "bytes": found["stored"]}
        return frame_of({name: column.to_numpy()[: None if wanted else 0] for name, column in named.items()})


class AppItems:
    """Reads the blobs of some references.

    Parameters
    ----------
    items
        For each unit and app, the number of its item, or -1.
    """

    def __init__(self, items: Sequence[Numbers]) -> None:
        self._items = items

    def __call__(self, batch: Sequence[Job]) -> pd.DataFrame:
        return joined([self._of(job) for job in batch])

    def _of(self, job: Job) -> pd.DataFrame:
        uses = job.uses()
        item = looked_up(self._items[job.unit.number], uses["app"].to_numpy())
        kept = item >= 0
        return frame_of(
            {
                "item": item[kept],
                "key": uses["key"].to_numpy()[kept],
                "area": uses["flags"].to_numpy()[kept] & tables.AREA_BITS,
                "bytes": uses["bytes"].to_numpy()[kept],
            }
        )


class Parts:
    """Reads the parts and members of the versions of interest.

    Parameters
    ----------
    repositories
        By version, -1 for those of no interest.
    """

    def __init__(self, repositories: npt.NDArray[np.int32]) -> None:
        self._repositories = repositories

    def __call__(self, batch: Sequence[Job]) -> pd.DataFrame:
        return joined([self._of(job) for job in batch])

    def _of(self, job: Job) -> pd.DataFrame:
        parts = job.parts()
        version = parts["version"].to_numpy()
        inside = version < len(self._repositories)
        if not inside.all() or (self._repositories < 0).any():
            wanted = inside.copy()
            wanted[inside] = self._repositories[version[inside]] >= 0
            return frame_of({name: parts[name].to_numpy()[wanted] for name in parts.columns})
        return parts


def with_manifests(digests: pd.DataFrame, counts: pd.DataFrame) -> pd.DataFrame:
    """Add the number of manifests to rows of digests; what only projects use is in none."""
    known, wanted = counts["key"].to_numpy(), digests["key"].to_numpy()
    found = np.zeros(len(wanted), dtype=np.int64)
    if len(known):
        place = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
        found = np.where(known[place] == wanted, counts["manifests"].to_numpy()[place], 0)
    return digests.assign(manifests=found)

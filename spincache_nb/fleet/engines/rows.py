"""What the pandas and Dask engines read of one unit or several: the functions that a task runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

import numpy as np
import pandas as pd

from spincache_nb.fleet import kernels, tables
from spincache_nb.fleet.groups import frame_of
from spincache_nb.fleet.reading import Job

T = TypeVar("T")


def joined(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Frames below each other, column by column."""
    names = frames[0].columns
    return frame_of({name: np.concatenate([frame[name].to_numpy() for frame in frames]) for name in names})


def batches(items: Sequence[T], size: int) -> Iterator[list[T]]:
    """Some items at a time, in order."""
    for start in range(0, len(items), size):
        yield list(items[start : start + size])


def row_count(jobs: Sequence[Job], table: str) -> int:
    """Rows of a table in some units."""
    return sum(job.unit.part[table].row_count for job in jobs)


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
        found.append(kernels.manifest_rows(uses, job.numbers_of(uses)))
    return kernels.merge_manifests(joined(found))


def host_items(batch: Sequence[Job]) -> pd.DataFrame:
    """Blobs of some hosts, each of which is an item."""
    found = host_blobs(batch)
    named = {"item": found["host"], "key": found["key"], "area": found["area"], "bytes": found["stored"]}
    return frame_of({name: column.to_numpy() for name, column in named.items()})


def app_items(batch: Sequence[Job]) -> pd.DataFrame:
    """Blobs of the apps that have a number, which is their item."""
    found = []
    for job in batch:
        uses = job.uses()
        item = job.numbers_of(uses)
        area = uses["flags"].to_numpy() & tables.AREA_BITS
        columns = {"item": item, "key": uses["key"], "area": area, "bytes": uses["bytes"]}
        found.append(frame_of({name: np.asarray(column)[item >= 0] for name, column in columns.items()}))
    return joined(found)


def parts(batch: Sequence[Job]) -> pd.DataFrame:
    """Parts and members of the versions that apps here stand for."""
    return joined([job.parts() for job in batch])


def with_manifests(digests: pd.DataFrame, counts: pd.DataFrame) -> pd.DataFrame:
    """Add the number of manifests to rows of digests; what only projects use is in none."""
    known, wanted = counts["key"].to_numpy(), digests["key"].to_numpy()
    found = np.zeros(len(wanted), dtype=np.int64)
    if len(known):
        place = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
        found = np.where(known[place] == wanted, counts["manifests"].to_numpy()[place], 0)
    return digests.assign(manifests=found)

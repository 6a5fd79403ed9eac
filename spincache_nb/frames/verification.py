"""Checking caches by hashing everything stored; what is wrong comes in the shape of `frames.problems`."""

from __future__ import annotations

import threading

import pandas as pd

from spincache_nb.core.progress import Progress
from spincache_nb.frames.making import problem_rows
from spincache_nb.frames.schemas import PROBLEMS_SCHEMA
from spincache_nb.frames.sources import Caches, Found, Projects, cache_name, caches_of
from spincache_nb.upkeep.verify import examine


@PROBLEMS_SCHEMA.describes
def verify(
    cache: Caches = None,
    *,
    jobs: int | None = None,
    progress: Progress = None,
    cancel: threading.Event | None = None,
    projects: Projects = (),
) -> pd.DataFrame:
    """Hash everything that is stored, and list what is wrong with a cache.

    Parameters
    ----------
    cache
        A `Cache` or its path, or several: then ``cache`` is the first column. They are only read. This
        user's own cache unless given.
    jobs
        Files hashed at a time; one for each processor unless given.
    progress
        None for silence, True for a bar over all bytes, or a callable that takes each `ProgressEvent`.
    cancel
        Set it from another thread to stop.
    projects
        ``spin.toml`` files or folders of projects that use the cache too.

    Returns
    -------
    pandas.DataFrame
        The rows of `frames.problems`, and those that only hashing tells: ``damaged blob``, ``content of
        another digest``, ``file being written``, ``unreadable file``.

        {columns}

    Raises
    ------
    PullCancelled
        If `cancel` was set.
    SpinManifestError
        If there is no project at one of the paths given.

    Notes
    -----
    What seems damaged is read again before it is reported, since others may be writing it. No faults
    are: what `frames.problems` says; a name without algorithm (Spin v0.9 to v1.x) whose bytes hash to
    it. A file in ``wasm/`` that no app names and whose bytes are a whole WebAssembly binary of another
    digest is listed, but not called damaged: Spin main stores the WIT of target environments so.
    """
    each, several = caches_of(cache)
    health = [examine(one, jobs=jobs, progress=progress, cancel=cancel, projects=projects) for one in each]
    found = Found(tuple(one.inventory for one in health), tuple(map(cache_name, each)), several)
    return problem_rows(found, [one.problems for one in health])

"""Checking caches by hashing everything stored; what is wrong comes in the shape of `frames.problems`."""

from __future__ import annotations

import os
import threading
from dataclasses import replace

import pandas as pd

from spincache_nb.core.cache import Cache
from spincache_nb.core.layout import shown
from spincache_nb.core.progress import Progress
from spincache_nb.frames.found import Caches, Found, Projects
from spincache_nb.frames.storage import problems_of
from spincache_nb.upkeep.verify import examine


def verify(
    caches: Caches,
    *,
    jobs: int | None = None,
    progress: Progress = None,
    cancel: threading.Event | None = None,
    projects: Projects = (),
) -> pd.DataFrame:
    """Hash everything that is stored, and list what is wrong with a cache.

    Parameters
    ----------
    caches
        A cache, or several; ``cache`` is then the first column. They are only read.
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

        =========  ========  ==================================================================
        column     dtype     meaning
        =========  ========  ==================================================================
        path       string    where, below ``registry``; of a project, its file
        reference  string    the app it concerns; where there are several, the first
        kind       category  what kind of fault, in plain words
        detail     string    what was expected, and what was found
        remedy     string    what to do about it
        =========  ========  ==================================================================

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
    each = (caches,) if isinstance(caches, Cache) else tuple(caches)
    inventories = []
    for cache in each:
        health = examine(cache, jobs=jobs, progress=progress, cancel=cancel, projects=projects)
        inventories.append(replace(health.inventory, problems=health.problems))
    names = tuple(shown(os.fspath(cache.path)) for cache in each)
    return problems_of(Found(tuple(inventories), names, not isinstance(caches, Cache)))

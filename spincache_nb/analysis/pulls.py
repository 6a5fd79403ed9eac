"""What pulls brought, by their history."""

from __future__ import annotations

from itertools import groupby
from typing import Any, TypeAlias

import pandas as pd

from spincache_nb.analysis.schemas import TAGS_SCHEMA, TIMELINE_SCHEMA
from spincache_nb.frames import history
from spincache_nb.frames.schemas import build
from spincache_nb.frames.sources import Caches, caches_of
from spincache_nb.show import rows

Pulls: TypeAlias = pd.DataFrame | Caches
"""``frames.history()``, or whose pulls to load: those into caches, or all of this user's."""


@TIMELINE_SCHEMA.describes
def timeline(cache: Pulls = None) -> pd.DataFrame:
    """Add up over time what pulls fetched and what they could reuse.

    Parameters
    ----------
    cache
        ``frames.history()``, or a cache, its path or several; all that this user pulled unless given.

    Returns
    -------
    pandas.DataFrame
        One row per pull in order of time, those without a time last. A missing byte count adds 0.

        {columns}
    """
    fetched = reused = wire = 0
    lines = []
    for pull in _in_time(_loaded(cache), "fetch_bytes", "reused_bytes", "wire_bytes"):
        at, cache, reference, fetch_bytes, reused_bytes, wire_bytes = pull
        fetched += fetch_bytes or 0
        reused += reused_bytes or 0
        wire += wire_bytes or 0
        both = (fetch_bytes or 0) + (reused_bytes or 0)
        share = (reused_bytes or 0) / both if both else None
        lines.append((at, cache, reference, fetch_bytes, reused_bytes, share, fetched, reused, wire))
    return build(TIMELINE_SCHEMA, lines)


@TAGS_SCHEMA.describes
def tags_over_time(cache: Pulls = None) -> pd.DataFrame:
    """Say which manifests each tag has meant, one after the other.

    Parameters
    ----------
    cache
        As for `timeline`.

    Returns
    -------
    pandas.DataFrame
        One row per unbroken run of pulls of one reference into one cache that gave the same
        manifest. Pulls whose manifest is not known are left out.

        {columns}
    """
    pulls = [
        (cache or "", reference or "", digest, at)
        for at, cache, reference, digest in _in_time(_loaded(cache), "manifest_digest")
        if digest is not None
    ]
    lines = []
    for (cache, reference), group in groupby(sorted(pulls, key=lambda p: p[:2]), key=lambda p: p[:2]):
        seen: set[str] = set()
        for meaning, (digest, run) in enumerate(groupby(group, key=lambda p: p[2]), start=1):
            times = [at for *_, at in run]
            lines.append((cache, reference, meaning, digest, times[0], times[-1], len(times), digest in seen))
            seen.add(digest)
    return build(TAGS_SCHEMA, lines)


def _loaded(cache: Pulls) -> pd.DataFrame:
    if isinstance(cache, pd.DataFrame):
        return cache
    if cache is None:
        return history()
    caches, _ = caches_of(cache)
    return pd.concat([history(one, record=one.history) for one in caches], ignore_index=True)


def _in_time(pulls: pd.DataFrame, *columns: str) -> list[tuple[Any, ...]]:
    lines = list(rows(pulls, "at", "cache", "reference", *columns))
    return sorted(lines, key=lambda line: (line[0] is None, line[0].value if line[0] is not None else 0))

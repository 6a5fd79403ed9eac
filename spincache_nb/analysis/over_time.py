"""What the history of pulls tells: bytes over time, and what a tag has meant over time."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any, TypeAlias, Union

import pandas as pd

from spincache_nb.analysis.inputs import rows
from spincache_nb.analysis.schemas import TAGS_SCHEMA, TIMELINE_SCHEMA
from spincache_nb.frames.schemas import build

if TYPE_CHECKING:
    from spincache_nb.core.cache import Cache

Pulls: TypeAlias = Union[pd.DataFrame, "Cache", None]
"""``frames.history()``, or whose pulls to load: those into a cache, or all of this user's."""


def timeline(history: Pulls = None) -> pd.DataFrame:
    """Add up over time what pulls fetched and what they could reuse.

    Parameters
    ----------
    history
        ``frames.history()``, or a cache, whose own record of pulls is loaded; None loads this user's.

    Returns
    -------
    pandas.DataFrame
        One row per pull in order of time, those without a time last. A missing byte count adds 0.

        =======================  ===================  ==========================================
        column                   dtype                meaning
        =======================  ===================  ==========================================
        at                       datetime64[ns, UTC]  when the pull ended
        cache                    string               which cache
        reference                string               what was pulled
        fetch_bytes              Int64                bytes of config and layers fetched
        reused_bytes             Int64                bytes of config and layers that were there
        saved_share              Float64              reused part of both, missing if both are 0
        cumulative_fetch_bytes   Int64                sum of the bytes fetched so far
        cumulative_reused_bytes  Int64                sum of the bytes reused so far
        cumulative_wire_bytes    Int64                sum of all bytes received so far
        =======================  ===================  ==========================================
    """
    fetched = reused = wire = 0
    lines = []
    for pull in _in_time(_loaded(history), "fetch_bytes", "reused_bytes", "wire_bytes"):
        at, cache, reference, fetch_bytes, reused_bytes, wire_bytes = pull
        fetched += fetch_bytes or 0
        reused += reused_bytes or 0
        wire += wire_bytes or 0
        both = (fetch_bytes or 0) + (reused_bytes or 0)
        share = (reused_bytes or 0) / both if both else None
        lines.append((at, cache, reference, fetch_bytes, reused_bytes, share, fetched, reused, wire))
    return build(TIMELINE_SCHEMA, lines)


def tags_over_time(history: Pulls = None) -> pd.DataFrame:
    """Say which manifests each tag has meant, one after the other.

    Parameters
    ----------
    history
        ``frames.history()``, or a cache, whose own record of pulls is loaded; None loads this user's.

    Returns
    -------
    pandas.DataFrame
        One row per unbroken run of pulls of one reference into one cache that gave the same
        manifest. Pulls whose manifest is not known are left out.

        ===============  ===================  =====================================================
        column           dtype                meaning
        ===============  ===================  =====================================================
        cache            string               which cache
        reference        string               the tag
        meaning          Int64                number of the run, from 1
        manifest_digest  string               what the tag meant then
        first_pulled_at  datetime64[ns, UTC]  first pull of the run
        last_pulled_at   datetime64[ns, UTC]  last pull of the run
        pull_count       Int64                pulls in the run
        returned         boolean              whether the tag had meant this before, and something else since
        ===============  ===================  =====================================================
    """
    pulls = [
        (cache or "", reference or "", digest, at)
        for at, cache, reference, digest in _in_time(_loaded(history), "manifest_digest")
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


def _loaded(history: Pulls) -> pd.DataFrame:
    if isinstance(history, pd.DataFrame):
        return history
    from spincache_nb import frames

    return frames.history() if history is None else frames.history(history, record=history.history)


def _in_time(history: pd.DataFrame, *columns: str) -> list[tuple[Any, ...]]:
    pulls = list(rows(history, "at", "cache", "reference", *columns))
    return sorted(pulls, key=lambda pull: (pull[0] is None, pull[0].value if pull[0] is not None else 0))

"""The frame of recorded pulls."""

from __future__ import annotations

import os

import pandas as pd

from spincache_nb.core.cache import Cache
from spincache_nb.core.cache.layout import shown
from spincache_nb.core.journal import History
from spincache_nb.frames.found import Caches
from spincache_nb.frames.schemas import HISTORY_SCHEMA, from_columns


def history(caches: Caches | None = None, *, record: History | None = None) -> pd.DataFrame:
    """List the pulls that this toolkit recorded; Spin records none.

    Parameters
    ----------
    caches
        A cache or several, if only their pulls are of interest.
    record
        The history; this user's unless given.

    Returns
    -------
    pandas.DataFrame
        One row per pull, oldest first.

        ===============  ===================  =================================================
        column           dtype                meaning
        ===============  ===================  =================================================
        at               datetime64[ns, UTC]  when the pull ended
        cache            string               path of the ``registry`` directory
        reference        string               what the app is called in that cache
        manifest_digest  string               digest of the manifest as the registry served it
        fetch_bytes      Int64                bytes of config and layers that were fetched
        reused_bytes     Int64                bytes of these that were stored already
        wire_bytes       Int64                all bytes received, retries included
        seconds          Float64              duration
        ===============  ===================  =================================================

    Warns
    -----
    HistoryWarning
        If there is a history that cannot be read.
    """
    rows = [*(record if record is not None else History()).read()]
    if caches is not None:
        each = [caches] if isinstance(caches, Cache) else caches
        wanted = {place for one in each for place in (os.fspath(one.path), os.fspath(one.path.absolute()))}
        rows = [row for row in rows if row.cache in wanted]
    rows.sort(key=lambda row: row.at)
    return from_columns(
        HISTORY_SCHEMA,
        {
            "at": (row.at for row in rows),
            "cache": (shown(row.cache) for row in rows),
            "reference": (row.reference for row in rows),
            "manifest_digest": (row.manifest_digest for row in rows),
            "fetch_bytes": (row.fetch_bytes for row in rows),
            "reused_bytes": (row.reused_bytes for row in rows),
            "wire_bytes": (row.wire_bytes for row in rows),
            "seconds": (row.seconds for row in rows),
        },
    )

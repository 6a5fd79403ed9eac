"""Bringing apps of an OCI image layout into a cache."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping

from spincache_nb.core.archive import ArchiveLimits
from spincache_nb.core.cache import Cache
from spincache_nb.core.fetching import Options
from spincache_nb.core.history import History
from spincache_nb.core.plans import PullResult
from spincache_nb.core.progress import Progress
from spincache_nb.core.pull import pull_from
from spincache_nb.core.transfer.layout import Layout


def import_(
    cache: Cache,
    path: str | os.PathLike[str],
    *,
    names: Mapping[str, str] | None = None,
    progress: Progress = None,
    cancel: threading.Event | None = None,
    durable: bool = False,
    archive_limits: ArchiveLimits | None = None,
    history: History | None = None,
) -> list[PullResult]:
    """Store the apps of an OCI image layout as a pull from a registry would.

    Parameters
    ----------
    cache
        The cache to store them in.
    path
        An uncompressed tar file or a folder, from ``export``, skopeo (``oci-archive:``) or oras.
    names
        Reference for each name in the layout that is none itself, such as a bare tag.
    progress, cancel, durable, archive_limits, history
        As for `spincache_nb.pull`.

    Returns
    -------
    list of PullResult
        One per app, in the layout's order; nothing came over a wire.

    Raises
    ------
    ArchiveError
        If it is no OCI image layout.
    InvalidReferenceError
        If it does not say what an app is called, nor `names`.
    DigestMismatchError, SizeMismatchError, NotInCacheError
        If something in it is damaged or missing; no app of it is then in the cache half-way.
    NoSpaceError, CacheWriteError
        If it cannot be stored.
    """
    layout = Layout(path, names=names)
    options = Options(
        progress=progress, cancel=cancel, durable=durable, archive_limits=archive_limits, history=history
    )
    return pull_from(cache, layout, layout.references, options)

"""`pull`, and the same for whatever else gives manifests and blobs."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, overload

from spincache_nb.core.cache import Cache
from spincache_nb.core.journal import History
from spincache_nb.core.progress import Progress, Reporter
from spincache_nb.core.pull.decide import (
    JOBS,
    References,
    Source,
    is_single,
    parse_references,
    refuse_shared_auth,
)
from spincache_nb.core.pull.values import PullResult, PullResults
from spincache_nb.core.pull.work import Options, Work
from spincache_nb.core.reference import Reference

if TYPE_CHECKING:
    from spincache_nb.core.archive import ArchiveLimits
    from spincache_nb.core.pull.decide import Auth


@overload
def pull(  # type: ignore[overload-overlap]  # a text is a sequence of texts to the type checker
    cache: Cache,
    reference: str | Reference,
    *,
    insecure: bool | None = ...,
    ca: str | os.PathLike[str] | None = ...,
    auth: Auth = ...,
    jobs: int = ...,
    progress: Progress = ...,
    cancel: threading.Event | None = ...,
    durable: bool = ...,
    archive_limits: ArchiveLimits | None = ...,
    history: History | None = ...,
) -> PullResult: ...
@overload
def pull(
    cache: Cache,
    reference: Sequence[str | Reference],
    *,
    insecure: bool | None = ...,
    ca: str | os.PathLike[str] | None = ...,
    auth: Auth = ...,
    jobs: int = ...,
    progress: Progress = ...,
    cancel: threading.Event | None = ...,
    durable: bool = ...,
    archive_limits: ArchiveLimits | None = ...,
    history: History | None = ...,
) -> list[PullResult]: ...
def pull(
    cache: Cache,
    reference: References,
    *,
    insecure: bool | None = None,
    ca: str | os.PathLike[str] | None = None,
    auth: Auth = None,
    jobs: int = JOBS,
    progress: Progress = None,
    cancel: threading.Event | None = None,
    durable: bool = False,
    archive_limits: ArchiveLimits | None = None,
    history: History | None = None,
) -> PullResult | list[PullResult]:
    """Fetch an app or package and store it as Spin would.

    Parameters
    ----------
    cache
        The cache to pull into; its directories are made as they are needed.
    reference
        Reference of an app or package, or several: one bar, and what they share is fetched once.
    insecure
        None means plain HTTP for loopback hosts only; True forces HTTP, False HTTPS.
    ca
        File with further certificate authorities (PEM).
    auth
        Credentials to use ahead of the stores: ``(user, password)``.
    jobs
        Downloads at a time.
    progress
        None for silence, True for a bar (plain lines where nobody looks), or a callable that takes
        each `ProgressEvent`.
    cancel
        Set it from another thread to stop the pull.
    durable
        Whether to wait until the disk has each file; power loss is not covered otherwise.
    archive_limits
        How much an archive layer may unpack to.
    history
        Where the pull is recorded; the cache's own history unless given.

    Returns
    -------
    PullResult or list of PullResult
        One per reference.

    Raises
    ------
    InvalidReferenceError
        If a reference is not one; before anything is asked.
    CredentialsError
        If `auth` is given and the references lead to several registries.
    NotFoundError, AccessDeniedError, ConnectionFailedError, RegistryError
        If the registry does not give what was asked for.
    ManifestError, LockedAppError, ArchiveError, DigestMismatchError, SizeMismatchError, LimitError
        If what it gives is not what it should be.
    NoSpaceError, CacheWriteError, CacheError
        If it cannot be stored.
    PullCancelled
        If `cancel` was set.

    Notes
    -----
    A tag is written last, its locked app before its manifest, after every blob the manifest names
    was checked to be there. After an error, a cancel or a kill, blobs that were complete stay (the
    next pull reuses them), and no tag names what is not there. Two things differ from Spin: a
    pull by digest alone is filed under the digest, and ``manifest.json`` is kept as served.
    """
    from spincache_nb.core.registry import RegistryClient

    wanted = parse_references(reference)
    refuse_shared_auth(auth, wanted)
    stop = threading.Event()
    client = RegistryClient(insecure=insecure, ca=ca, auth=auth, jobs=jobs, cancel=stop)
    options = Options(jobs, progress, cancel, durable, archive_limits, history)
    results = carry_out(cache, client, wanted, options, stop=stop)
    return results[0] if is_single(reference) else PullResults(results)


def carry_out(
    cache: Cache,
    source: Source,
    references: Sequence[Reference],
    options: Options,
    *,
    stop: threading.Event | None = None,
) -> list[PullResult]:
    """Bring apps from a source into a cache, and close the source."""
    reporter = Reporter(options.progress)
    try:
        return Work(cache, source, reporter, stop or threading.Event(), options).run(references)
    finally:
        source.close()
        reporter.close()

"""Pulling an app or package into a cache: decide, fetch what is missing, write the tag last."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Literal, cast, overload

from spincache_nb.core.cache import Cache
from spincache_nb.core.fetching import Fetching, Options, Source
from spincache_nb.core.incoming import Pull, resolve_all
from spincache_nb.core.journal import History
from spincache_nb.core.plans import (
    PullFailure,
    PullPlan,
    PullPlans,
    PullResult,
    PullResults,
    Resolved,
    decide,
)
from spincache_nb.core.progress import Progress
from spincache_nb.core.reference import Reference
from spincache_nb.core.settings import JOBS
from spincache_nb.errors import CredentialsError, InvalidReferenceError, printable, without_user

if TYPE_CHECKING:
    from typing import TypedDict, Unpack

    from spincache_nb.core.credentials import Credentials
    from spincache_nb.core.settings import ArchiveLimits

    Auth = Credentials | tuple[str, str] | None

    class _PlanOptions(TypedDict, total=False):
        insecure: bool | None
        ca: str | os.PathLike[str] | None
        auth: Auth
        jobs: int
        manifest_limit: int | None

    class _PullOptions(_PlanOptions, total=False):
        progress: Progress
        cancel: threading.Event | None
        durable: bool
        archive_limits: ArchiveLimits | None
        history: History | None


References = str | Reference | Sequence[str | Reference]
OnError = Literal["raise", "keep"]


@overload
def plan_pull(  # type: ignore[overload-overlap]  # a text is a sequence of texts to the type checker
    cache: Cache, reference: str | Reference, **options: Unpack[_PlanOptions]
) -> PullPlan: ...
@overload
def plan_pull(
    cache: Cache,
    reference: Sequence[str | Reference],
    *,
    on_error: Literal["raise"] = ...,
    **options: Unpack[_PlanOptions],
) -> list[PullPlan]: ...
@overload
def plan_pull(
    cache: Cache,
    reference: Sequence[str | Reference],
    *,
    on_error: Literal["keep"],
    **options: Unpack[_PlanOptions],
) -> list[PullPlan | PullFailure]: ...
def plan_pull(
    cache: Cache,
    reference: References,
    *,
    insecure: bool | None = None,
    ca: str | os.PathLike[str] | None = None,
    auth: Auth = None,
    jobs: int = JOBS,
    manifest_limit: int | None = None,
    on_error: OnError = "raise",
) -> PullPlan | list[PullPlan] | list[PullPlan | PullFailure]:
    """Say what a pull would fetch; no layer is downloaded and nothing is written.

    Parameters
    ----------
    cache
        The cache that would be pulled into.
    reference
        Reference of an app or package, or several: then a blob that two of them share is to be
        fetched by the first only.
    insecure
        None means plain HTTP for loopback hosts only; True forces HTTP, False HTTPS.
    ca
        File with further certificate authorities (PEM).
    auth
        Credentials to use ahead of the stores: ``(user, password)``.
    jobs
        Connections at a time.
    manifest_limit
        Bytes that a manifest, index or config may have; 8 MiB unless given.
    on_error
        What becomes of a reference of several that fails: ``raise`` its error and end all, or ``keep``
        it as a `PullFailure` in the list, while the others go on.

    Returns
    -------
    PullPlan or list of PullPlan
        One per reference, in order.

    Raises
    ------
    InvalidReferenceError
        If a reference is not one; before anything is asked.
    CredentialsError
        If `auth` is given and the references lead to several registries.
    NotFoundError, AccessDeniedError, ConnectionFailedError, RegistryError
        If the registry does not give the manifest.
    ManifestError, DigestMismatchError, LimitError
        If what it gives is not the manifest asked for.
    """
    from spincache_nb.core.registry import Registry

    keep = on_error == "keep" and not isinstance(reference, str | Reference)
    wanted = _parse(reference, auth, keep_going=keep)
    client = Registry(insecure=insecure, ca=ca, auth=auth, jobs=jobs, manifest_limit=manifest_limit)
    with Fetching(cache, Options(jobs), client.close, what="plan") as fetching:
        answers = resolve_all(fetching, client, _references(wanted), keep_going=keep)
    plans = iter(decide(cache, [one for one in answers if isinstance(one, Resolved)]))
    outcomes = iter([one if isinstance(one, PullFailure) else next(plans) for one in answers])
    found = [one if isinstance(one, PullFailure) else next(outcomes) for one in wanted]
    return cast(PullPlan, found[0]) if isinstance(reference, str | Reference) else PullPlans(found)


@overload
def pull(  # type: ignore[overload-overlap]  # a text is a sequence of texts to the type checker
    cache: Cache, reference: str | Reference, **options: Unpack[_PullOptions]
) -> PullResult: ...
@overload
def pull(
    cache: Cache,
    reference: Sequence[str | Reference],
    *,
    on_error: Literal["raise"] = ...,
    **options: Unpack[_PullOptions],
) -> list[PullResult]: ...
@overload
def pull(
    cache: Cache,
    reference: Sequence[str | Reference],
    *,
    on_error: Literal["keep"],
    **options: Unpack[_PullOptions],
) -> list[PullResult | PullFailure]: ...
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
    manifest_limit: int | None = None,
    on_error: OnError = "raise",
) -> PullResult | list[PullResult] | list[PullResult | PullFailure]:
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
    manifest_limit
        Bytes that a manifest, index or config may have; 8 MiB unless given.
    on_error
        What becomes of a reference of several that fails: ``raise`` its error and end all, or ``keep``
        it as a `PullFailure` in the list, while the others go on.

    Returns
    -------
    PullResult or list of PullResult
        One per reference, in order.

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
    next pull reuses them), and no tag names what is not there. Three things differ from Spin: a
    pull by digest alone is filed under the digest, ``manifest.json`` is kept as served, and bytes
    that are needed both as wasm and as data get a copy in both areas.
    """
    from spincache_nb.core.registry import Registry

    keep = on_error == "keep" and not isinstance(reference, str | Reference)
    wanted = _parse(reference, auth, keep_going=keep)
    client = Registry(insecure=insecure, ca=ca, auth=auth, jobs=jobs, manifest_limit=manifest_limit)
    options = Options(jobs, progress, cancel, durable, archive_limits, history)
    with Fetching(cache, options, client.close, what="pull") as fetching:
        outcomes = iter(Pull(fetching, client, keep_going=keep).run(_references(wanted)))
    found = [one if isinstance(one, PullFailure) else next(outcomes) for one in wanted]
    return cast(PullResult, found[0]) if isinstance(reference, str | Reference) else PullResults(found)


def pull_from(
    cache: Cache, source: Source, references: Sequence[Reference], options: Options
) -> list[PullResult]:
    """Bring apps from a source into a cache, and close the source."""
    with Fetching(cache, options, source.close, what="pull") as fetching:
        return cast(list[PullResult], Pull(fetching, source).run(references))


def _parse(reference: References, auth: object, *, keep_going: bool) -> list[Reference | PullFailure]:
    """Parse references, each once, before any network is asked; no registry is to see another's password."""
    wanted: dict[Reference | str, Reference | PullFailure] = {}
    for text in [reference] if isinstance(reference, str | Reference) else reference:
        try:
            parsed = Reference.parse(text)
            wanted[parsed] = parsed
        except InvalidReferenceError as exc:
            if not keep_going:
                raise
            wanted[str(text)] = PullFailure(printable(without_user(str(text))), exc)
    hosts = sorted({one.host for one in _references(wanted.values())})
    if auth is not None and len(hosts) > 1:
        raise CredentialsError(
            "auth",
            "one registry, as credentials belong to one",
            ", ".join(hosts),
            "pull from each registry by itself, or store its credentials with a login",
        )
    return list(wanted.values())


def _references(wanted: Iterable[Reference | PullFailure]) -> list[Reference]:
    return [one for one in wanted if isinstance(one, Reference)]

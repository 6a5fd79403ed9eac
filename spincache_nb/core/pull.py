"""Pulling an app or package into a cache: decide, fetch what is missing, write the tag last."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, TypedDict, cast, overload

from spincache_nb.core.cache import Cache
from spincache_nb.core.digest import Digest
from spincache_nb.core.documents import Area, Descriptor
from spincache_nb.core.fetching import Fetching, Options, Source, Wanted, registry_offer
from spincache_nb.core.files import FileState
from spincache_nb.core.journal import History, PullRecord
from spincache_nb.core.locked_app import LockedApp, parse_locked_app
from spincache_nb.core.plans import (
    PullFailure,
    PullPlan,
    PullPlans,
    PullResult,
    PullResults,
    Resolved,
    decide,
    is_satisfied,
    result_of,
    stored_document,
)
from spincache_nb.core.progress import Progress, ProgressEvent
from spincache_nb.core.reference import Reference
from spincache_nb.core.settings import JOBS, LOCKED_APP_BYTES
from spincache_nb.errors import (
    CacheError,
    CredentialsError,
    InvalidReferenceError,
    ManifestError,
    PullCancelled,
    SpinCacheError,
    printable,
    without_user,
)

if TYPE_CHECKING:
    import os
    from typing import Unpack

    from spincache_nb.core.credentials import Credentials
    from spincache_nb.core.registry import Registry
    from spincache_nb.core.settings import ArchiveLimits

    Auth = Credentials | tuple[str, str] | None

_log = logging.getLogger(__name__)
_ROUNDS = 10
_YOUNG_SECONDS = 60.0
"""What was touched or written so long ago is still young for a prune."""
References = str | Reference | Sequence[str | Reference]
OnError = Literal["raise", "keep"]


class RegistryOptions(TypedDict, total=False):
    """How a registry is asked; `plan_pull` says what each means."""

    insecure: bool | None
    ca: str | os.PathLike[str] | None
    auth: Auth
    jobs: int
    manifest_limit: int | None


class _PullOptions(RegistryOptions, total=False):
    progress: Progress
    cancel: threading.Event | None
    durable: bool
    archive_limits: ArchiveLimits | None
    history: History | None


@overload
def plan_pull(  # type: ignore[overload-overlap]  # a text is a sequence of texts to the type checker
    cache: Cache, reference: str | Reference, **options: Unpack[RegistryOptions]
) -> PullPlan: ...
@overload
def plan_pull(
    cache: Cache,
    reference: Sequence[str | Reference],
    *,
    on_error: Literal["raise"] = ...,
    **options: Unpack[RegistryOptions],
) -> list[PullPlan]: ...
@overload
def plan_pull(
    cache: Cache,
    reference: Sequence[str | Reference],
    *,
    on_error: Literal["keep"],
    **options: Unpack[RegistryOptions],
) -> list[PullPlan | PullFailure]: ...
def plan_pull(
    cache: Cache, reference: References, *, on_error: OnError = "raise", **registry: Unpack[RegistryOptions]
) -> PullPlan | list[PullPlan] | list[PullPlan | PullFailure]:
    """Say what a pull would fetch; no layer is downloaded and nothing is written.

    Parameters
    ----------
    cache
        The cache that would be pulled into.
    reference
        Reference of an app or package, or several: then a blob that two of them share is to be
        fetched by the first only.
    on_error
        What becomes of a reference of several that fails: ``raise`` its error and end all, or ``keep``
        it as a `PullFailure` in the list, while the others go on.
    insecure
        None means plain HTTP for loopback hosts only; True forces HTTP, False HTTPS.
    ca
        File with further certificate authorities (PEM).
    auth
        Credentials to use ahead of the stores: ``(user, password)``.
    jobs
        Connections at a time; 16 unless given.
    manifest_limit
        Bytes that a manifest, index or config may have; 8 MiB unless given.

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
    keep = on_error == "keep" and not isinstance(reference, str | Reference)
    wanted = _parse(reference, registry.get("auth"), keep_going=keep)
    client, jobs = _client("plan_pull", registry)
    with Fetching(cache, Options(jobs), client.close, what="plan") as fetching:
        answers = fetching.resolve(client, _references(wanted), keep_going=keep)
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
    on_error: OnError = "raise",
    progress: Progress = None,
    cancel: threading.Event | None = None,
    durable: bool = False,
    archive_limits: ArchiveLimits | None = None,
    history: History | None = None,
    **registry: Unpack[RegistryOptions],
) -> PullResult | list[PullResult] | list[PullResult | PullFailure]:
    """Fetch an app or package and store it as Spin would: its blobs first, its tag last of all.

    Parameters
    ----------
    cache
        The cache to pull into; its directories are made as they are needed.
    reference
        Reference of an app or package, or several: one bar, and what they share is fetched once.
    on_error, insecure, ca, auth, jobs, manifest_limit
        As for `plan_pull`; `jobs` are downloads at a time.
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
        One per reference, in order.

    Raises
    ------
    LockedAppError, ArchiveError, SizeMismatchError, NoSpaceError, CacheWriteError, CacheError
        If what the registry gives is not what it should be, or cannot be stored; besides what
        `plan_pull` raises. What was complete stays, and no tag names what is not there.
    PullCancelled
        If `cancel` was set.
    """
    keep = on_error == "keep" and not isinstance(reference, str | Reference)
    wanted = _parse(reference, registry.get("auth"), keep_going=keep)
    client, jobs = _client("pull", registry)
    options = Options(jobs, progress, cancel, durable, archive_limits, history)
    with Fetching(cache, options, client.close, what="pull") as fetching:
        outcomes = iter(Pull(fetching, client, keep_going=keep).run(_references(wanted)))
    found = [one if isinstance(one, PullFailure) else next(outcomes) for one in wanted]
    return cast(PullResult, found[0]) if isinstance(reference, str | Reference) else PullResults(found)


def _client(caller: str, options: RegistryOptions) -> tuple[Registry, int]:
    """Who asks the registry, and how much at a time."""
    from spincache_nb.core.registry import Registry

    for name in options.keys() - RegistryOptions.__annotations__.keys():
        raise TypeError(f"{caller}() got an unexpected keyword argument {name!r}")
    return Registry(**options), options.get("jobs", JOBS)


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


class IncomingApp:
    """A reference on its way into the cache."""

    def __init__(self, resolved: Resolved, plan: PullPlan) -> None:
        self.resolved = resolved
        self.plan = plan
        self.document = b""
        self.named: set[tuple[Area, Digest]] = set()
        """Blobs that the locked app names and no layer is, with the area in which Spin looks first."""
        self.waiting = 0
        self.result: PullResult | None = None
        self.failure: SpinCacheError | None = None
        content = [(layer, layer.area) for layer in resolved.manifest.content_layers]
        in_areas = Counter(digest for digest, _ in {(layer.digest, area) for layer, area in content})
        is_package = resolved.manifest.kind == "package"
        self.layers = [  # what Spin looks for, in which area, and whether in no other
            (layer, area, is_package or in_areas[layer.digest] > 1)  # wasm and data: each gets its own copy
            for layer, area in content
        ]

    def take_document(self, content: bytes) -> None:
        """Keep the locked app and parse it; a package has none."""
        self.document = content
        if self.resolved.manifest.kind == "app":
            where = f"{self.resolved.reference}, {self.resolved.manifest.tag_document.digest}"
            named = named_content(parse_locked_app(content, where=where))
            self.named = named.difference((area, layer.digest) for layer, area, _ in self.layers)

    def outcome(self) -> PullResult | PullFailure:
        """What became of it."""
        if self.result is not None:
            return self.result
        assert self.failure is not None
        return PullFailure(self.plan.reference, self.failure)


def named_content(locked_app: LockedApp) -> set[tuple[Area, Digest]]:
    """Blobs that a locked app names, with the area in which Spin looks first."""
    named: set[tuple[Area, Digest]] = {("wasm", ref.digest) for ref in locked_app.binaries() if ref.digest}
    for component in locked_app.components:
        files = (file.content for file in component.files)
        named.update(("data", ref.digest) for ref in files if ref.digest and not ref.inline)
    return named


class Pull:
    """Apps pulled together: what they share comes once, and each tag is written last of all."""

    def __init__(
        self,
        fetching: Fetching,
        source: Source,
        *,
        keep_going: bool = False,
        history: History | None = None,
    ) -> None:
        self.fetching = fetching
        self.cache = fetching.cache
        self.source = source
        self.keep_going = keep_going
        self.history = next(
            one for one in (history, fetching.options.history, self.cache.history) if one is not None
        )
        self.started = time.perf_counter()
        self.sharing = threading.Lock()
        self.wire_bytes_told = 0

    def run(self, references: Sequence[Reference]) -> list[PullResult | PullFailure]:
        """Find out what references mean, and store that."""
        answers = self.fetching.resolve(self.source, references, keep_going=self.keep_going)
        apps = iter(self.store([one for one in answers if isinstance(one, Resolved)]))
        return [one if isinstance(one, PullFailure) else next(apps).outcome() for one in answers]

    def store(self, resolved: Sequence[Resolved]) -> list[IncomingApp]:
        """Fetch what the cache lacks of some apps, and finish each as soon as nothing of it is missing."""
        apps = [
            IncomingApp(one, plan) for one, plan in zip(resolved, decide(self.cache, resolved), strict=True)
        ]
        for app in apps:
            self.cache.remove_stale(app.resolved.reference)
        self.fetching.make_room(sum(app.plan.fetch_bytes for app in apps))
        self.fetching.may_place.clear()
        documents = [
            self.fetching.submit(self._attempt, app, self._fetch_document, one)
            for app in apps
            for one in self._missing_documents(app)
        ]
        blobs = self._missing(apps)
        users = self._users(apps, blobs)
        ready = [app for app in apps if not app.waiting]
        self.fetching.start(blobs.values(), lambda blob, exc: self._settle(users[blob.digest], exc))
        self.fetching.watch(documents)
        for app in apps:
            self._touch(app, coming=blobs)
        for digest, blob in blobs.items():
            blob.is_dropped = all(app.failure for app in users[digest])
        self.fetching.may_place.set()
        finishing = [self.fetching.submit(self._attempt, app, self._finish) for app in ready]
        self.fetching.watch(finishing, and_blobs=True)
        return apps

    def _attempt(self, app: IncomingApp, work: Callable[..., None], *arguments: Any) -> None:
        """Do something for an app; where others go on without it, its failure is only noted."""
        if app.failure is not None:
            return
        try:
            work(app, *arguments)
        except PullCancelled:
            raise
        except SpinCacheError as exc:
            if not self.keep_going:
                raise
            app.failure = app.failure or exc

    def _missing_documents(self, app: IncomingApp) -> list[Descriptor]:
        """Config and locked app, as far as they are to be fetched; a stored locked app is read."""
        manifest = app.resolved.manifest
        stored = stored_document(self.cache, app.resolved.reference, manifest.tag_document)
        if stored is None:
            return list(dict.fromkeys((manifest.tag_document, manifest.config)))
        self._attempt(app, IncomingApp.take_document, stored)
        return []

    def _fetch_document(self, app: IncomingApp, document: Descriptor) -> None:
        """Fetch a config or locked app: small, kept in memory, the first thing that can be wrong."""
        one = app.resolved
        is_locked_app = document == one.manifest.tag_document
        limit = LOCKED_APP_BYTES if is_locked_app else None
        content = self.source.fetch_document(one.reference, document, limit=limit)
        self.fetching.report(ProgressEvent("bytes", app.plan.reference, str(document.digest), len(content)))
        _check_text(content, where=f"{one.reference}, {document.digest}")
        if is_locked_app:
            app.take_document(content)

    def _missing(self, apps: Iterable[IncomingApp]) -> dict[Digest, Wanted]:
        """Blobs that Spin would not find where it looks, with the areas they are needed in."""
        blobs: dict[Digest, Wanted] = {}
        for app in apps:
            for layer, area, own_area_only in app.layers:
                if is_satisfied(self.cache, layer, area, own_area_only=own_area_only):
                    continue
                blob = blobs.get(layer.digest)
                if blob is None:
                    offer = registry_offer(self.source, app.resolved.reference, layer)
                    blob = blobs[layer.digest] = Wanted(layer.digest, layer.size, offers=[offer])
                blob.areas.add(area)
                blob.is_archive |= layer.role == "archive"
        return blobs

    def _users(
        self, apps: Sequence[IncomingApp], blobs: dict[Digest, Wanted]
    ) -> dict[Digest, list[IncomingApp]]:
        """Who waits for each blob; on the way, blobs that neither area has are marked as such."""
        users: dict[Digest, list[IncomingApp]] = {digest: [] for digest in blobs}
        nowhere = {layer.digest for app in apps for layer in app.plan.layers if not layer.stored}
        for digest, blob in blobs.items():
            blob.may_be_elsewhere = str(digest) not in nowhere
        for app in apps:
            for digest in {layer.digest for layer, _, _ in app.layers} & users.keys():
                users[digest].append(app)
                app.waiting += 1
        return users

    def _settle(self, users: Sequence[IncomingApp], failure: SpinCacheError | None) -> None:
        """Hear that a blob is there or cannot be had, and finish the apps that waited for it alone."""
        if failure is not None and not self.keep_going:
            raise failure
        with self.sharing:
            for app in users:
                app.waiting -= 1
                app.failure = app.failure or failure
            ready = [app for app in users if not app.waiting]
        for app in ready:
            self._attempt(app, self._finish)

    def _finish(self, app: IncomingApp) -> None:
        """Check that all is there, write the tag, and record the pull."""
        one = app.resolved
        self._unpack_missing_members(app)
        if time.perf_counter() - self.started > _YOUNG_SECONDS:
            self._touch(app)
        self._restore_lost(app)
        self.fetching.check()
        self.cache.write_tag(
            one.reference,
            locked_app=app.document,
            manifest=one.content,
            durable=self.fetching.options.durable,
        )
        self._confirm(app)
        app.result = self._result_of(app.plan)
        self.fetching.report(ProgressEvent("tag", app.plan.reference))
        self._record(app.result)

    def _confirm(self, app: IncomingApp) -> None:
        """Look once more, now that the tag is there: a removal beside us may have missed it before."""
        try:
            self._unpack_missing_members(app)
            self._restore_lost(app)
        except CacheError:
            if FileState.at(self.cache.tag_path(app.resolved.reference)) is not None:
                raise  # otherwise somebody removed the whole app again, which is no fault of this pull

    def _restore_lost(self, app: IncomingApp) -> None:
        """Check that every blob the manifest names is there; fetch again what somebody removed."""
        for _ in range(_ROUNDS):
            lost = self._missing([app])
            if not lost:
                return
            for blob in lost.values():
                self.fetching.fetch(blob)
        raise CacheError(
            str(app.resolved.reference),
            "the blobs just stored to stay",
            f"{len(lost)} of them gone again",
            "another program removes files from this cache; stop it, then pull again",
        )

    def _unpack_missing_members(self, app: IncomingApp) -> None:
        """Unpack reused archives again if the locked app names members that are not there."""
        if not self._absent_content(app):
            return
        for layer, area, _ in app.layers:
            if layer.role == "archive":
                offer = registry_offer(self.source, app.resolved.reference, layer)
                if not self.cache.is_whole(layer.digest):
                    self.fetching.fetch(Wanted(layer.digest, layer.size, {area}, [offer]))
                self.fetching.unpack(layer.digest)
        for digest in self._absent_content(app):
            _log.warning("%s names %s, which no layer holds", app.plan.reference, digest)

    def _absent_content(self, app: IncomingApp) -> list[Digest]:
        """Content of the locked app that Spin would not find; what the other area has is copied."""
        absent = []
        for area, digest in sorted(app.named):
            found = self.cache.blob_size(area, digest) is not None
            found = found or (area == "wasm" and self.cache.blob_size("data", digest) is not None)
            if not found and not self.fetching.copy(Wanted(digest, None), area):
                absent.append(digest)
        return absent

    def _touch(self, app: IncomingApp, *, coming: Collection[Digest] = ()) -> None:
        """Make young whatever the app needs, so that a prune beside us leaves it alone."""
        needed = {layer.digest for layer, _, _ in app.layers}
        needed.update(digest for _, digest in app.named)
        self.cache.touch_blobs(needed.difference(coming))

    def _result_of(self, plan: PullPlan) -> PullResult:
        """What a plan took: the bytes that came in since the app before was finished, and the time."""
        seconds = time.perf_counter() - self.started
        with self.sharing:
            told, self.wire_bytes_told = self.wire_bytes_told, self.source.wire_bytes
            return result_of(plan, wire_bytes=self.wire_bytes_told - told, seconds=seconds)

    def _record(self, result: PullResult) -> None:
        told = {
            name: getattr(result, name)
            for name in PullRecord.__struct_fields__
            if name not in ("at", "cache")
        }
        self.history.append(PullRecord(at=datetime.now(UTC), cache=str(self.cache.path), **told))


def _check_text(content: bytes, *, where: str) -> None:
    """Spin aborts a pull whose config is not UTF-8 (crates/oci/src/client.rs)."""
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise ManifestError(
            where, "a config in UTF-8", f"byte {exc.start} that is not", "push it again"
        ) from exc

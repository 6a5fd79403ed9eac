"""Carrying a pull out: documents, then blobs, then archives, and each tag last of all."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, overload

from spincache_nb.core.archive import ArchiveLimits, check_stored, unpack
from spincache_nb.core.cache import AREAS, Cache, is_gone
from spincache_nb.core.digest import Digest
from spincache_nb.core.history import History, PullRecord
from spincache_nb.core.locked_app import LockedApp, parse_locked_app
from spincache_nb.core.manifest import Area, Descriptor
from spincache_nb.core.progress import Progress, ProgressEvent, Reporter
from spincache_nb.core.pull.decide import (
    JOBS,
    References,
    Resolved,
    Source,
    decide,
    is_single,
    other_area,
    parse_references,
    resolve,
    satisfied,
    stored_document,
)
from spincache_nb.core.pull.values import PullPlan, PullResult, PullResults, result_of
from spincache_nb.core.reference import Reference
from spincache_nb.errors import CacheError, ContentError, ManifestError, NoSpaceError, PullCancelled

if TYPE_CHECKING:
    from spincache_nb.core.pull.decide import Auth

_log = logging.getLogger(__name__)
_POLL_SECONDS = 0.05
_ROUNDS = 3


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
        Where the pull is recorded; this user's history unless given.

    Returns
    -------
    PullResult or list of PullResult
        One per reference.

    Raises
    ------
    InvalidReferenceError
        If a reference is not one; before anything is asked.
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
    stop = threading.Event()
    client = RegistryClient(insecure=insecure, ca=ca, auth=auth, jobs=jobs, cancel=stop)
    options = Options(jobs, progress, cancel, durable, archive_limits, history)
    results = carry_out(cache, client, wanted, options, stop=stop)
    return results[0] if is_single(reference) else PullResults(results)


@dataclass(frozen=True, slots=True)
class Options:
    """How to carry a pull out; see `pull` for each."""

    jobs: int = JOBS
    progress: Progress = None
    cancel: threading.Event | None = None
    durable: bool = False
    archive_limits: ArchiveLimits | None = None
    history: History | None = None


def carry_out(
    cache: Cache,
    source: Source,
    references: Sequence[Reference],
    options: Options,
    *,
    stop: threading.Event | None = None,
) -> list[PullResult]:
    """Bring apps from a source into a cache, and close the source.

    Parameters
    ----------
    cache
        Where to store them.
    source
        A registry's client, or anything that gives manifests and blobs as one does.
    references
        What to bring.
    options
        How.
    stop
        Set when the work is to stop, so that the source can end its waiting.

    Returns
    -------
    list of PullResult
        One per reference.

    Raises
    ------
    SpinCacheError
        As `pull`.
    """
    reporter = Reporter(options.progress)
    try:
        return _Pull(cache, source, reporter, stop or threading.Event(), options).run(references)
    finally:
        source.close()
        reporter.close()


@dataclass(slots=True)
class _Blob:
    """A blob that some app of this pull lacks, and the areas it is needed in."""

    reference: Reference
    descriptor: Descriptor
    areas: set[Area] = field(default_factory=set)
    archive: bool = False


@dataclass(slots=True)
class _App:
    """A reference on its way into the cache."""

    resolved: Resolved
    plan: PullPlan
    document: bytes = b""
    locked_app: LockedApp | None = None
    waiting: int = 0
    result: PullResult | None = None

    def read_document(self) -> None:
        """Parse the locked app; a package has none."""
        if self.resolved.manifest.kind == "app":
            where = f"{self.resolved.reference}, {self.resolved.manifest.tag_document.digest}"
            self.locked_app = parse_locked_app(self.document, where=where)

    def named_content(self) -> set[tuple[Area, Digest]]:
        """Blobs that the locked app names, with the area in which Spin looks first."""
        named: set[tuple[Area, Digest]] = set()
        for component in self.locked_app.components if self.locked_app else ():
            wasm = (component.source, *(d.source for d in component.dependencies))
            named.update(("wasm", ref.digest) for ref in wasm if ref.digest)
            files = (file.content for file in component.files)
            named.update(("data", ref.digest) for ref in files if ref.digest and not ref.inline)
        return named


class _Pull:
    """One call of `pull`: threads do the work, the caller's thread watches."""

    def __init__(
        self,
        cache: Cache,
        source: Source,
        report: Reporter,
        stop: threading.Event,
        options: Options,
    ) -> None:
        self.cache = cache
        self.source = source
        self.report = report
        self.stop = stop
        self.cancel = options.cancel
        self.durable = options.durable
        self.archive_limits = options.archive_limits
        self.history = options.history if options.history is not None else cache.history
        self.started = time.perf_counter()
        self.wire_bytes_told = 0
        self.pool = ThreadPoolExecutor(options.jobs, thread_name_prefix="spincache-pull")

    def run(self, references: Sequence[Reference]) -> list[PullResult]:
        try:
            apps = self.prepare(references)
            self.watch(self.pool.submit(self.fetch_documents, app) for app in apps)
            self.fetch_blobs(apps)
        except BaseException:
            self.stop.set()
            self.source.close()
            raise
        finally:
            self.pool.shutdown(wait=True, cancel_futures=True)
        return [app.result for app in apps if app.result is not None]

    # Deciding --------------------------------------------------------------------------------

    def prepare(self, references: Sequence[Reference]) -> list[_App]:
        """Fetch the manifests, decide, and make sure that there is room."""
        futures = [self.pool.submit(resolve, self.source, reference) for reference in references]
        self.watch(futures)
        resolved = [future.result() for future in futures]
        apps = [_App(one, plan) for one, plan in zip(resolved, decide(self.cache, resolved), strict=True)]
        for app in apps:
            self.cache.remove_stale(app.resolved.reference)
        total = sum(app.plan.fetch_bytes for app in apps)
        free = self.cache.free_bytes()
        if total > free:
            raise NoSpaceError(
                str(self.cache.path),
                f"{total} bytes free on the disk",
                f"{free}",
                "free some space, or name another directory with Cache(dir)",
            )
        self.report(ProgressEvent("plan", total=total))
        return apps

    def missing(self, apps: Iterable[_App]) -> dict[Digest, _Blob]:
        """Blobs that Spin would not find where it looks, with the areas they are needed in."""
        blobs: dict[Digest, _Blob] = {}
        for app in apps:
            manifest = app.resolved.manifest
            areas = Counter(digest for digest, _ in {(x.digest, x.area) for x in manifest.content_layers})
            for layer in manifest.content_layers:
                both = areas[layer.digest] > 1  # wasm and data: each area gets its own copy
                if satisfied(self.cache, layer, "package" if both else manifest.kind):
                    continue
                blob = blobs.setdefault(layer.digest, _Blob(app.resolved.reference, layer))
                blob.areas.add(layer.area)
                blob.archive |= layer.role == "archive"
        return blobs

    # Fetching --------------------------------------------------------------------------------

    def fetch_documents(self, app: _App) -> None:
        """Fetch config and locked app: small, kept in memory, the first thing that can be wrong."""
        one = app.resolved
        document = one.manifest.tag_document
        stored = stored_document(self.cache, one.reference, document)
        if stored is not None:
            app.document = stored
        for descriptor in dict.fromkeys((one.manifest.config, document)) if stored is None else ():
            content = self.source.fetch_document(one.reference, descriptor)
            self.report(ProgressEvent("bytes", app.plan.reference, str(descriptor.digest), len(content)))
            _check_text(content, where=f"{one.reference}, {descriptor.digest}")
            if descriptor == document:
                app.document = content
        app.read_document()

    def fetch_blobs(self, apps: Sequence[_App]) -> None:
        """Fetch what is missing, largest first, and finish each app as soon as nothing of it is."""
        blobs = self.missing(apps)
        users: dict[Digest, list[_App]] = {digest: [] for digest in blobs}
        for app in apps:
            self.touch(app)
            for digest in {layer.digest for layer in app.resolved.manifest.content_layers}:
                if digest in users:
                    users[digest].append(app)
                    app.waiting += 1
        tasks: dict[Future[Any], Digest | None] = {
            self.pool.submit(self.fetch_blob, blob): digest
            for digest, blob in sorted(blobs.items(), key=lambda item: -item[1].descriptor.size)
        }
        tasks.update((self.pool.submit(self.finish, app), None) for app in apps if not app.waiting)

        def after(task: Future[Any]) -> list[Future[Any]]:
            ready = []
            for app in users.get(digest, []) if (digest := tasks.get(task)) else []:
                app.waiting -= 1
                if not app.waiting:
                    ready.append(self.pool.submit(self.finish, app))
            return ready

        self.watch(list(tasks), after)

    def fetch_blob(self, blob: _Blob) -> None:
        """Bring one blob into every area that needs it: copied if it is stored, else fetched."""
        for area in sorted(blob.areas):
            if not self.copy(blob.descriptor.digest, area, blob.descriptor.size):
                self.download(blob.reference, blob.descriptor, area)
        if blob.archive:
            self.unpack(blob.descriptor.digest)

    def copy(self, digest: Digest, area: Area, size: int | None) -> bool:
        """Copy a blob from the other area if it is whole there (of `size` bytes, if given)."""
        source = other_area(area)
        found = self.cache.blob_size(source, digest)
        if found is None or (size is not None and found != size):
            return False
        try:
            self.cache.copy_blob(digest, source=source, target=area, size=found)
        except ContentError:
            _log.warning("%s/%s is damaged", source, digest)
            return False
        return True

    def download(self, reference: Reference, descriptor: Descriptor, area: Area) -> None:
        """Stream one blob into one area."""
        name, text = reference.cached_name, str(descriptor.digest)
        self.report(ProgressEvent("start", name, text, total=descriptor.size))

        def counted() -> Iterator[bytes]:
            for chunk in self.source.stream_blob(reference, descriptor):
                yield chunk
                self.report(ProgressEvent("bytes", name, text, len(chunk), descriptor.size))

        self.cache.put_blob(
            area,
            descriptor.digest,
            counted(),
            size=descriptor.size,
            where=f"{name}, layer {text}",
            durable=self.durable,
        )
        self.report(ProgressEvent("done", name, text, total=descriptor.size))

    def unpack(self, archive: Digest) -> None:
        found = unpack(
            self.cache, archive, limits=self.archive_limits, check=self.check, durable=self.durable
        )
        if found.skipped:
            _log.info("%s: %d entries that are no regular files were skipped", archive, found.skipped)
        self.report(ProgressEvent("unpacked", digest=str(archive), count=len(found.members)))

    # Finishing -------------------------------------------------------------------------------

    def finish(self, app: _App) -> None:
        """Check that all is there, write the tag, and record the pull."""
        one = app.resolved
        self.unpack_missing_members(app)
        self.touch(app)
        self.restore_lost(app)
        self.check()
        self.cache.write_tag(
            one.reference, locked_app=app.document, manifest=one.content, durable=self.durable
        )
        self.confirm(app)
        seconds = time.perf_counter() - self.started
        received = self.source.wire_bytes
        app.result = result_of(app.plan, wire_bytes=received - self.wire_bytes_told, seconds=seconds)
        self.wire_bytes_told = received
        self.report(ProgressEvent("tag", app.plan.reference))
        self.record(app.result)

    def restore_lost(self, app: _App) -> None:
        """Check that every blob the manifest names is there; fetch again what somebody removed."""
        for _ in range(_ROUNDS):
            lost = self.missing([app])
            if not lost:
                return
            for blob in lost.values():
                self.fetch_blob(blob)
        raise CacheError(
            str(app.resolved.reference),
            "the blobs just stored to stay",
            f"{len(lost)} of them gone again",
            "another program removes files from this cache; stop it, then pull again",
        )

    def confirm(self, app: _App) -> None:
        """Look once more, now that the tag is there: a removal beside us may have missed it before."""
        try:
            self.unpack_missing_members(app)
            self.restore_lost(app)
        except CacheError:
            if not is_gone(self.cache.tag_path(app.resolved.reference)):
                raise  # otherwise somebody removed the whole app again, which is no fault of this pull

    def record(self, result: PullResult) -> None:
        self.history.append(
            PullRecord(
                at=datetime.now(UTC),
                cache=str(self.cache.path),
                reference=result.reference,
                manifest_digest=result.manifest_digest,
                index_digest=result.index_digest,
                fetch_bytes=result.fetch_bytes,
                reused_bytes=result.reused_bytes,
                wire_bytes=result.wire_bytes,
                seconds=result.seconds,
            )
        )

    def unpack_missing_members(self, app: _App) -> None:
        """Unpack reused archives again if the locked app names members that are not there."""
        if not self.absent_content(app):
            return
        for layer in app.resolved.manifest.content_layers:
            if layer.role == "archive":
                if not check_stored(self.cache, layer.digest):
                    self.download(app.resolved.reference, layer, layer.area)
                self.unpack(layer.digest)
        for digest in self.absent_content(app):
            _log.warning("%s names %s, which no layer holds", app.plan.reference, digest)

    def absent_content(self, app: _App) -> list[Digest]:
        """Content of the locked app that Spin would not find; what the other area has is copied."""
        absent = []
        for area, digest in sorted(app.named_content()):
            found = self.cache.blob_size(area, digest) is not None
            found = found or (area == "wasm" and self.cache.blob_size("data", digest) is not None)
            if not found and not self.copy(digest, area, None):
                absent.append(digest)
        return absent

    def touch(self, app: _App) -> None:
        """Make young whatever the app needs, so that a prune beside us leaves it alone."""
        needed = {layer.digest for layer in app.resolved.manifest.content_layers}
        needed.update(digest for _, digest in app.named_content())
        for digest in needed:
            for area in AREAS:
                if self.cache.blob_size(area, digest) is not None:
                    self.cache.touch_blob(area, digest)

    # Watching --------------------------------------------------------------------------------

    def check(self) -> None:
        """Raise if the pull is to stop."""
        if self.stop.is_set() or (self.cancel is not None and self.cancel.is_set()):
            raise PullCancelled("pull", "", "", "stopped; blobs that were complete are kept")

    def watch(
        self,
        tasks: Iterable[Future[Any]],
        after: Callable[[Future[Any]], list[Future[Any]]] = lambda task: [],
    ) -> None:
        """Wait for tasks, and for those that `after` adds; stop at a cancel or the first error."""
        running = set(tasks)
        while running:
            done, running = wait(running, timeout=_POLL_SECONDS, return_when=FIRST_COMPLETED)
            self.check()
            for task in done:
                task.result()
                running.update(after(task))


def _check_text(content: bytes, *, where: str) -> None:
    """Spin aborts a pull whose config is not UTF-8 (crates/oci/src/client.rs)."""
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise ManifestError(
            where, "a config in UTF-8", f"byte {exc.start} that is not", "push it again"
        ) from exc

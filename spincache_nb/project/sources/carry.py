"""Carrying a pull of sources out: packages are looked up, then what is missing is fetched."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from spincache_nb.core.cache import Cache
from spincache_nb.core.digest import Digest
from spincache_nb.core.layout import AREAS
from spincache_nb.core.progress import Progress, ProgressEvent, Reporter
from spincache_nb.errors import ContentError, NoSpaceError, PullCancelled, SpinCacheError
from spincache_nb.project.package_record import PackageKey, PackageLog, PackageRecord
from spincache_nb.project.sources.decide import JOBS, Project, located, read_project, resolve, stored_size
from spincache_nb.project.sources.values import PlannedSource, SourcesPlan, SourcesResult
from spincache_nb.project.spin_manifest import Place, WebSource

if TYPE_CHECKING:
    from spincache_nb.project.packages import PackageClient, Release
    from spincache_nb.project.sources.decide import Auth

_log = logging.getLogger(__name__)
_POLL_SECONDS = 0.05
T = TypeVar("T")


def pull_sources(
    cache: Cache,
    path: str | os.PathLike[str],
    *,
    insecure: bool | None = None,
    ca: str | os.PathLike[str] | None = None,
    auth: Auth = None,
    jobs: int = JOBS,
    progress: Progress = None,
    cancel: threading.Event | None = None,
    durable: bool = False,
) -> SourcesResult:
    """Fetch the sources that a project's ``spin.toml`` names, and store them as Spin would.

    Parameters
    ----------
    cache
        The cache to fill; its directories are made as they are needed.
    path
        A ``spin.toml`` or the folder that holds one.
    insecure
        None means plain HTTP for registries on this machine only; True forces HTTP, False HTTPS. An
        ``http://`` address in the file is asked as it is written, since the digest beside it protects
        the content; False refuses it.
    ca
        File with further certificate authorities (PEM).
    auth
        Credentials for package registries, ahead of the package tools' configuration and the stores.
        Addresses get none, unless they hold some themselves.
    jobs
        Downloads at a time.
    progress
        None for silence, True for a bar (plain lines where nobody looks), or a callable that takes
        each `ProgressEvent`. The total counts what is known to be large.
    cancel
        Set it from another thread to stop.
    durable
        Whether to wait until the disk has each file.

    Returns
    -------
    SourcesResult
        The sources of all components, dependencies and build profiles, with the sizes of all.

    Raises
    ------
    SpinManifestError
        If there is no project, or anything in its ``spin.toml`` that Spin would refuse; before
        anything is asked.
    PackageError, PackageConfigError
        If it cannot be found out which content a package is.
    NotFoundError, AccessDeniedError, ConnectionFailedError, RegistryError, ManifestError
        If a registry or web server does not give what was asked for.
    DigestMismatchError, SizeMismatchError
        If what it gives is something else; nothing is stored then.
    NoSpaceError, CacheWriteError, CacheError
        If it cannot be stored.
    PullCancelled
        If `cancel` was set.

    Notes
    -----
    Each content goes to ``wasm/<digest>`` under a temporary name first, and is checked on the way; a
    good file of that name is never replaced. As in Spin, content that ``data/`` has is not fetched
    again. Of several addresses with one digest the first that delivers it counts. It is no app that
    is pulled, so the history of pulls says nothing of it; which content each package was is kept
    beside that history, so that ``projects=`` knows it offline.
    """
    from spincache_nb.project.packages import PackageClient

    project = read_project(path)
    stop = threading.Event()
    client = PackageClient(insecure=insecure, ca=ca, auth=auth, jobs=jobs, cancel=stop)
    reporter = Reporter(progress)
    try:
        return SourcesPull(cache, client, project, reporter, stop, cancel, durable, jobs).run()
    finally:
        client.close()
        reporter.close()


@dataclass(slots=True)
class _Missing:
    """Content to be fetched, and the places that offer it."""

    digest: Digest
    size: int | None
    origins: list[tuple[Place, str, Callable[[], Iterator[bytes]]]]


class _OvertakenError(Exception):
    """Somebody else stored the content while it was fetched."""


class SourcesPull:
    """One call of `pull_sources`: threads do the work, the caller's thread watches."""

    def __init__(
        self,
        cache: Cache,
        client: PackageClient,
        project: Project,
        report: Reporter,
        stop: threading.Event,
        cancel: threading.Event | None,
        durable: bool,
        jobs: int,
    ) -> None:
        self.cache = cache
        self.client = client
        self.project = project
        self.report = report
        self.stop = stop
        self.cancel = cancel
        self.durable = durable
        self.started = time.perf_counter()
        self.pool = ThreadPoolExecutor(jobs, thread_name_prefix="spincache-sources")

    @contextlib.contextmanager
    def working(self) -> Iterator[None]:
        """End all threads when the work does, and at once if it fails."""
        try:
            yield
        except BaseException:
            self.stop.set()
            self.client.close()
            raise
        finally:
            self.pool.shutdown(wait=True, cancel_futures=True)

    def run(self) -> SourcesResult:
        with self.working():
            keys = list(self.project.package_keys())
            found = self.together(lambda key: resolve(self.client, self.project, key), keys)
            releases = dict(zip(keys, found, strict=True))
            wanted = self.project.wanted(releases)
            sizes = self.together(lambda item: stored_size(self.cache, *item), wanted.items())
            stored = dict(zip(wanted, sizes, strict=True))
            plan = self.project.plan(releases, stored)
            fetched = self.fetch(plan, self.missing(releases, stored))
        self.record(releases)
        return self.result(plan, fetched)

    def missing(
        self, releases: dict[PackageKey, Release], stored: dict[Digest, int | None]
    ) -> dict[Digest, _Missing]:
        """What is to be fetched, and from where; what neither of the two names is passed over."""
        found: dict[Digest, _Missing] = {}
        for source in self.project.manifest.sources:
            if isinstance(source, WebSource):
                digest, size, origin, offer = source.digest, None, source.address, self.offer(source)
            elif (release := releases.get(source.key)) is None:
                continue
            else:
                digest, size, origin, offer = release.digest, release.size, release.origin, release.open
            if stored.get(digest, 0) is None:
                one = found.setdefault(digest, _Missing(digest, size, []))
                one.size = size if one.size is None else one.size
                one.origins.append((source.place, origin, offer))
        return found

    def offer(self, source: WebSource) -> Callable[[], Iterator[bytes]]:
        where = self.project.where(source.place)
        return lambda: self.client.stream_address(source.url, where=where)

    def fetch(self, plan: SourcesPlan, missing: dict[Digest, _Missing]) -> dict[str, int]:
        """Make sure that there is room, then fetch, largest first; gives sizes by digest."""
        self.cache.remove_stale()
        self.cache.require_room(plan.fetch_bytes)
        self.report(ProgressEvent("plan", total=plan.fetch_bytes))
        for source in plan.distinct():
            if source.stored:
                self.touch(source)
        ordered = sorted(missing.values(), key=lambda one: -(one.size or 0))
        sizes = self.together(self.fetch_one, ordered)
        return {str(one.digest): size for one, size in zip(ordered, sizes, strict=True)}

    def touch(self, source: PlannedSource) -> None:
        """Make young what is reused, so that a prune beside us leaves it alone."""
        digest = Digest.parse(source.digest)
        for area in AREAS:
            self.cache.touch_blob(area, digest)
        self.report(ProgressEvent("reused", source.origin, source.digest, total=source.size or 0))

    def fetch_one(self, one: _Missing) -> int:
        """Fetch one content from the first origin that delivers it."""
        copied = self.copy(one)
        if copied is not None:
            return copied
        failure: SpinCacheError | None = None
        for place, origin, offer in one.origins:
            try:
                return self.download(one, place, origin, offer)
            except (PullCancelled, NoSpaceError):
                raise
            except SpinCacheError as exc:
                where = self.project.where(place)
                failure = failure or (exc if exc.where.startswith(where) else located(exc, where))
        raise failure if failure is not None else AssertionError("content without an origin")

    def copy(self, one: _Missing) -> int | None:
        """Copy it from ``data/``, where a damaged file in ``wasm/`` hides it from Spin."""
        size = self.cache.blob_size("data", one.digest)
        if size is None or (one.size is not None and size != one.size):
            return None
        try:
            self.cache.copy_blob(one.digest, source="data", target="wasm", size=size, durable=self.durable)
        except ContentError:
            _log.warning("data/%s is damaged", one.digest)
            return None
        return size

    def download(self, one: _Missing, place: Place, origin: str, offer: Callable[[], Iterator[bytes]]) -> int:
        """Stream one content into ``wasm/``."""
        text = str(one.digest)
        self.report(ProgressEvent("start", origin, text, total=one.size or 0))

        def counted() -> Iterator[bytes]:
            for chunk in offer():
                self.check()
                yield chunk
                self.report(ProgressEvent("bytes", origin, text, len(chunk), one.size or 0))
            if stored_size(self.cache, one.digest, one.size) is not None:
                raise _OvertakenError  # a good file stays; who comes second has lost nothing

        where = f"{self.project.where(place)}: {origin}"
        try:
            count = self.cache.put_blob(
                "wasm", one.digest, counted(), size=one.size, where=where, durable=self.durable
            )
        except _OvertakenError:
            count = stored_size(self.cache, one.digest, one.size) or 0
        self.report(ProgressEvent("done", origin, text, total=count))
        return count

    def renew(self, wanted: Iterable[_Missing]) -> dict[Digest, SpinCacheError]:
        """Fetch what is wanted and nothing else; says what could not be fetched, and why."""

        def attempt(one: _Missing) -> SpinCacheError | None:
            try:
                self.fetch_one(one)
            except PullCancelled:
                raise
            except SpinCacheError as exc:
                return exc
            return None

        each = list(wanted)
        with self.working():
            found = self.together(attempt, each)
        return {one.digest: exc for one, exc in zip(each, found, strict=True) if exc is not None}

    # Finishing -------------------------------------------------------------------------------

    def record(self, releases: dict[PackageKey, Release]) -> None:
        """Keep which content each package was, so that it is known offline."""
        now = datetime.now(UTC)
        PackageLog().append(
            PackageRecord(now, package, requirement, registry, release.version, release.digest)
            for (package, requirement, registry), release in releases.items()
        )

    def result(self, plan: SourcesPlan, fetched: dict[str, int]) -> SourcesResult:
        sources = tuple(
            replace(source, size=fetched.get(source.digest, source.size)) for source in plan.sources
        )
        parts = {field.name: getattr(plan, field.name) for field in fields(SourcesPlan)}
        return SourcesResult(
            **parts | {"sources": sources},
            wire_bytes=self.client.wire_bytes,
            seconds=time.perf_counter() - self.started,
        )

    # Watching --------------------------------------------------------------------------------

    def check(self) -> None:
        """Raise if the work is to stop."""
        if self.stop.is_set() or (self.cancel is not None and self.cancel.is_set()):
            raise PullCancelled("sources", "", "", "stopped; what was complete is kept")

    def together(self, work: Callable[[Any], T], items: Iterable[Any]) -> list[T]:
        """Do something with each item, some at a time; stop at a cancel or the first error."""
        tasks: list[Future[T]] = [self.pool.submit(work, item) for item in items]
        running = set(tasks)
        while running:
            done, running = wait(running, timeout=_POLL_SECONDS, return_when=FIRST_COMPLETED)
            self.check()
            for task in done:
                task.result()
        return [task.result() for task in tasks]

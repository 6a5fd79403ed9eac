"""One pull at work: threads fetch, the caller's thread watches, and each tag is written last of all."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from spincache_nb.core.cache import Cache
from spincache_nb.core.digest import Digest
from spincache_nb.core.files import FileState
from spincache_nb.core.journal import History, PullRecord
from spincache_nb.core.progress import Progress, ProgressEvent, Reporter
from spincache_nb.core.pull.decide import JOBS, Source, decide, resolve
from spincache_nb.core.pull.stock import ComingApp, Stock, WantedBlob
from spincache_nb.core.pull.values import PullPlan, PullResult, result_of
from spincache_nb.core.reference import Reference
from spincache_nb.errors import CacheError, PullCancelled

if TYPE_CHECKING:
    from spincache_nb.core.archive import ArchiveLimits

_POLL_SECONDS = 0.05


class Options(NamedTuple):
    """How to carry a pull out; see `pull` for each."""

    jobs: int = JOBS
    progress: Progress = None
    cancel: threading.Event | None = None
    durable: bool = False
    archive_limits: ArchiveLimits | None = None
    history: History | None = None


class Work:
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
        self.options = options
        self.stock = Stock(
            cache,
            source,
            report,
            self.check,
            durable=options.durable,
            archive_limits=options.archive_limits,
        )
        self.history = options.history if options.history is not None else cache.history
        self.started = time.perf_counter()
        self.sharing = threading.Lock()
        self.telling = threading.Lock()
        self.wire_bytes_told = 0
        self.pool = ThreadPoolExecutor(options.jobs, thread_name_prefix="spincache-pull")

    def run(self, references: Sequence[Reference]) -> list[PullResult]:
        was_there = os.path.lexists(self.cache.path)
        try:
            apps = self.prepare(references)
            self.fetch(apps)
        except BaseException:
            self.stop.set()
            self.source.close()
            raise
        finally:
            self.pool.shutdown(wait=True, cancel_futures=True)
            if not was_there:
                self.cache.remove_if_empty()  # nothing came, so nothing stays
        return [app.result for app in apps if app.result is not None]

    def prepare(self, references: Sequence[Reference]) -> list[ComingApp]:
        """Fetch the manifests, decide, and make sure that there is room."""
        futures = [self.pool.submit(resolve, self.source, reference) for reference in references]
        self.watch(futures)
        resolved = [future.result() for future in futures]
        apps = [
            ComingApp(one, plan) for one, plan in zip(resolved, decide(self.cache, resolved), strict=True)
        ]
        for app in apps:
            self.cache.remove_stale(app.resolved.reference)
        total = sum(app.plan.fetch_bytes for app in apps)
        self.cache.require_room(total)
        self.report(ProgressEvent("plan", total=total))
        return apps

    def fetch(self, apps: Sequence[ComingApp]) -> None:
        """Fetch what is missing, and finish each app as soon as nothing of it is."""
        documents = [
            self.pool.submit(self.stock.fetch_document, app, one)
            for app in apps
            for one in self.stock.missing_documents(app)
        ]
        blobs = self.stock.missing(apps)
        nowhere = {blob.digest for app in apps for blob in app.plan.layers if not blob.stored}
        for digest, blob in blobs.items():
            blob.elsewhere = str(digest) not in nowhere
        users: dict[Digest, list[ComingApp]] = {digest: [] for digest in blobs}
        for app in apps:
            for digest in {layer.digest for layer in app.resolved.manifest.content_layers}:
                if digest in users:
                    users[digest].append(app)
                    app.waiting += 1
        coming = iter(sorted(blobs.items(), key=lambda item: -item[1].descriptor.size))
        ready = [app for app in apps if not app.waiting]
        workers = [
            self.pool.submit(self.fetch_next, coming, users)
            for _ in range(min(self.options.jobs, len(blobs)))
        ]
        self.watch(documents)
        for app in apps:
            self.stock.touch(app, coming=blobs)
        self.stock.documents_are_good.set()
        self.watch([self.pool.submit(self.finish, app) for app in ready] + workers)

    def fetch_next(
        self, coming: Iterator[tuple[Digest, WantedBlob]], users: Mapping[Digest, Sequence[ComingApp]]
    ) -> None:
        """Fetch one blob after the other until none is left, and finish the apps that waited for them."""
        while True:
            self.check()
            with self.sharing:
                following = next(coming, None)
            if following is None:
                return
            digest, blob = following
            self.stock.fetch_blob(blob)
            with self.sharing:
                for app in users[digest]:
                    app.waiting -= 1
                ready = [app for app in users[digest] if not app.waiting]
            for app in ready:
                self.finish(app)

    def finish(self, app: ComingApp) -> None:
        """Check that all is there, write the tag, and record the pull."""
        one = app.resolved
        self.stock.unpack_missing_members(app)
        self.stock.touch(app)
        self.stock.restore_lost(app)
        self.check()
        self.cache.write_tag(
            one.reference, locked_app=app.document, manifest=one.content, durable=self.options.durable
        )
        self.confirm(app)
        app.result = self.result_of(app.plan)
        self.report(ProgressEvent("tag", app.plan.reference))
        self.record(app.result)

    def result_of(self, plan: PullPlan) -> PullResult:
        """What a plan took: the bytes that came in since the app before was finished, and the time."""
        seconds = time.perf_counter() - self.started
        with self.telling:
            received = self.source.wire_bytes
            told, self.wire_bytes_told = self.wire_bytes_told, received
        return result_of(plan, wire_bytes=received - told, seconds=seconds)

    def confirm(self, app: ComingApp) -> None:
        """Look once more, now that the tag is there: a removal beside us may have missed it before."""
        try:
            self.stock.unpack_missing_members(app)
            self.stock.restore_lost(app)
        except CacheError:
            if FileState.at(self.cache.tag_path(app.resolved.reference)) is not None:
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

    def check(self) -> None:
        """Raise if the pull is to stop."""
        if self.stop.is_set() or (self.options.cancel is not None and self.options.cancel.is_set()):
            raise PullCancelled("pull", "", "", "stopped; blobs that were complete are kept")

    def watch(self, tasks: Iterable[Future[Any]]) -> None:
        """Wait for tasks; stop at a cancel or the first error."""
        running = set(tasks)
        while running:
            done, running = wait(running, timeout=_POLL_SECONDS, return_when=FIRST_COMPLETED)
            self.check()
            for task in done:
                task.result()

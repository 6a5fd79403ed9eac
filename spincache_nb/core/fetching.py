"""How blobs come into a cache: what is wanted, who offers it, threads that fetch, a caller who watches.

A pull, a pull of sources and a repair differ in what they want and in who offers it. The rest is here:
room on the disk, the other area of the cache first, one offer after the other, progress, cancel.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Collection, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, Self, TypeVar

from spincache_nb.core.cache import Cache, NewBlob
from spincache_nb.core.digest import Digest
from spincache_nb.core.documents import Area, Descriptor
from spincache_nb.core.journal import History
from spincache_nb.core.plans import PullFailure, Resolved, Served, resolve
from spincache_nb.core.progress import Progress, ProgressEvent, Reporter
from spincache_nb.core.reference import Reference
from spincache_nb.core.settings import JOBS
from spincache_nb.errors import CacheWriteError, ContentError, PullCancelled, SpinCacheError

if TYPE_CHECKING:
    from spincache_nb.core.archive import Unpacked
    from spincache_nb.core.settings import ArchiveLimits

_log = logging.getLogger(__name__)
_POLL_SECONDS = 0.05
_FIRST_WORKERS = 4
_QUICK_SECONDS = 0.008
"""A blob that takes no longer than this, its round trip included, is not worth more threads."""
_HOLDER = "a layer or archive that holds this blob"
_TOLD_BYTES = 64 << 10
"""Progress is told in steps of so many bytes: once for a small blob."""
T = TypeVar("T")
R = TypeVar("R")


class Options(NamedTuple):
    """How to fetch; see `spincache_nb.pull` for each."""

    jobs: int = JOBS
    progress: Progress = None
    cancel: threading.Event | None = None
    durable: bool = False
    archive_limits: ArchiveLimits | None = None
    history: History | None = None


class Source(Protocol):
    """Where manifests and blobs come from: a registry, or an OCI image layout."""

    @property
    def wire_bytes(self) -> int:
        """Bytes received so far."""

    def fetch_manifest(self, reference: Reference, digest: Digest | None = None) -> Served:
        """Give the manifest or index of a reference, or of a digest in the same repository."""

    def fetch_document(
        self, reference: Reference, descriptor: Descriptor, *, limit: int | None = None
    ) -> bytes:
        """Give a small blob whole, checked against its descriptor."""

    def stream_blob(self, reference: Reference, descriptor: Descriptor) -> Iterator[bytes]:
        """Give a blob in pieces; who takes them checks the digest."""

    def close(self) -> None:
        """Free what is held, and end whatever waits in another thread."""


class Offer(NamedTuple):
    """Somebody who has a blob, and gives it in pieces when asked."""

    name: str
    """A reference or address, as progress events call it."""
    where: str
    """What errors call it."""
    open: Callable[[], Iterator[bytes]]


def registry_offer(source: Source, reference: Reference, layer: Descriptor) -> Offer:
    """A registry or layout that has a layer."""
    name = reference.cached_name
    return Offer(name, f"{name}, layer {layer.digest}", lambda: source.stream_blob(reference, layer))


class Wanted:
    """A blob to be brought into one area of the cache or both, and who offers it."""

    __slots__ = ("areas", "digest", "is_archive", "is_dropped", "may_be_elsewhere", "offers", "size")

    def __init__(
        self, digest: Digest, size: int | None, areas: Iterable[Area] = (), offers: Iterable[Offer] = ()
    ) -> None:
        self.digest = digest
        self.size = size
        self.areas = set(areas)
        self.offers = list(offers)
        self.is_archive = False
        self.may_be_elsewhere = True
        self.is_dropped = False


class _DroppedError(Exception):
    """Nobody needs the blob any more."""


def raise_failure(wanted: Wanted, failure: SpinCacheError | None) -> None:
    """Let the first blob that cannot be had end all."""
    del wanted
    if failure is not None:
        raise failure


class Fetching:
    """Threads that fetch for one caller; a context manager that ends them, and closes where they read."""

    def __init__(self, cache: Cache, options: Options, *closers: Callable[[], None], what: str) -> None:
        self.cache = cache
        self.options = options
        self.closers = list(closers)
        self.report = Reporter(options.progress, what=what)
        self.may_place = threading.Event()  # blobs wait for it before they get their names
        self.may_place.set()
        self._what = what
        self._was_there = os.path.lexists(cache.path)
        self._stop = threading.Event()
        self._sharing = threading.Lock()
        self._coming: Iterator[Wanted] = iter(())
        self._settle: Callable[[Wanted, SpinCacheError | None], None] = raise_failure
        self._workers: set[Future[None]] = set()
        self._left = self._settled = 0
        self._begun = 0.0
        self._pool = ThreadPoolExecutor(options.jobs, thread_name_prefix=f"spincache-{what}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if exc is not None:
            self._stop.set()
            self._close()
        self._pool.shutdown(wait=True, cancel_futures=True)
        if not self._was_there:
            self.cache.remove_if_empty()  # nothing came, so nothing stays
        self._close()
        self.report.close()

    def _close(self) -> None:
        for close in self.closers:
            close()

    def check(self) -> None:
        """Raise if the work is to stop."""
        cancel = self.options.cancel
        if self._stop.is_set() or (cancel is not None and cancel.is_set()):
            raise PullCancelled(self._what, "", "", "stopped; what was complete is kept")

    def submit(self, work: Callable[..., R], *arguments: Any) -> Future[R]:
        """Have a thread do something."""
        return self._pool.submit(work, *arguments)

    def watch(self, tasks: Iterable[Future[Any]], *, and_blobs: bool = False) -> None:
        """Wait for tasks, and perhaps for all blobs; stop at a cancel or the first error of anybody."""
        running = set(tasks)
        while running or (and_blobs and self._workers):
            done, _ = wait(running | self._workers, timeout=_POLL_SECONDS, return_when=FIRST_COMPLETED)
            self.check()
            for task in done:
                task.result()
            running -= done
            self._workers -= done
            self._add_workers()

    def each(self, work: Callable[[T], R], items: Iterable[T]) -> list[R]:
        """Do something with each item, some at a time; stop at a cancel or the first error."""
        tasks = [self.submit(work, item) for item in items]
        self.watch(tasks)
        return [task.result() for task in tasks]

    def resolve(
        self, source: Source, references: Iterable[Reference], *, keep_going: bool
    ) -> list[Resolved | PullFailure]:
        """Fetch the manifests that references mean, some at a time."""

        def attempt(reference: Reference) -> Resolved | PullFailure:
            try:
                return resolve(source.fetch_manifest, reference)
            except PullCancelled:
                raise
            except SpinCacheError as exc:
                if not keep_going:
                    raise
                return PullFailure(reference.cached_name, exc)

        return self.each(attempt, references)

    def make_room(self, count: int) -> None:
        """Make sure that the disk has room for what is to come, and say how much that is."""
        self.cache.require_room(count)
        self.report(ProgressEvent("plan", total=count))

    def start(
        self, wanted: Iterable[Wanted], settle: Callable[[Wanted, SpinCacheError | None], None]
    ) -> None:
        """Set threads to fetching, largest first; `settle` hears of each blob, and may raise its error."""
        ordered = sorted(wanted, key=lambda one: -(one.size or 0))
        self._coming, self._settle = iter(ordered), settle
        self._left, self._settled, self._begun = len(ordered), 0, time.perf_counter()
        self._add_workers(_FIRST_WORKERS)

    def _add_workers(self, most: int | None = None) -> None:
        """Add threads where blobs take their time: where they come at once, more of them only cost CPU."""
        if most is None:
            elapsed = time.perf_counter() - self._begun
            if elapsed < _POLL_SECONDS or elapsed * len(self._workers) < self._settled * _QUICK_SECONDS:
                return
            most = self.options.jobs
        while len(self._workers) < min(most, self.options.jobs) and self._left > 0:
            self._left -= 1
            self._workers.add(self.submit(self._fetch_all))

    def _fetch_all(self) -> None:
        while True:
            self.check()
            with self._sharing:
                wanted = next(self._coming, None)
            if wanted is None:
                self._left = 0
                return
            try:
                self.fetch(wanted)
            except PullCancelled:
                raise
            except SpinCacheError as exc:
                self._settle(wanted, exc)
            else:
                self._settle(wanted, None)
            self._settled += 1

    def fetch(self, wanted: Wanted) -> None:
        """Bring one blob into every area that needs it: copied if it is stored, else from an offer."""
        try:
            for area in sorted(wanted.areas):
                if wanted.may_be_elsewhere and self.copy(wanted, area):
                    continue
                failure: SpinCacheError | None = None
                for offer in wanted.offers:
                    try:
                        self._download(wanted, area, offer)
                        break
                    except (PullCancelled, CacheWriteError):
                        raise
                    except SpinCacheError as exc:
                        failure = failure or exc
                else:
                    raise failure or ContentError(str(wanted.digest), _HOLDER, "none", "pull the app again")
                wanted.may_be_elsewhere = True
            if wanted.is_archive:
                self.unpack(wanted.digest)
        except _DroppedError:
            _log.debug("%s is not needed any more", wanted.digest)

    def copy(self, wanted: Wanted, area: Area) -> bool:
        """Copy a blob from the other area if it is whole there."""
        source: Area = "data" if area == "wasm" else "wasm"
        found = self.cache.blob_size(source, wanted.digest)
        if found is None or (wanted.size is not None and found != wanted.size):
            return False
        self._wait_to_place(wanted)
        try:
            self.cache.copy_blob(
                wanted.digest, source=source, target=area, size=found, durable=self.options.durable
            )
        except ContentError:
            _log.warning("%s/%s is damaged", source, wanted.digest)
            return False
        wanted.size = found
        return True

    def _download(self, wanted: Wanted, area: Area, offer: Offer) -> None:
        """Stream one blob into one area."""
        digest, size, untold = str(wanted.digest), wanted.size or 0, 0
        self.report(ProgressEvent("start", offer.name, digest, total=size))
        durable = self.options.durable
        pieces = offer.open()
        try:
            with NewBlob(self.cache, area, wanted.digest, wanted.size, offer.where, durable=durable) as new:
                for piece in pieces:
                    self.check()
                    new.write(piece)
                    untold += len(piece)
                    if untold >= _TOLD_BYTES:
                        self.report(ProgressEvent("bytes", offer.name, digest, untold, size))
                        untold = 0
                if untold:
                    self.report(ProgressEvent("bytes", offer.name, digest, untold, size))
                self._wait_to_place(wanted)
                wanted.size = new.keep(anew=durable)
        finally:
            if isinstance(pieces, Generator):
                pieces.close()  # which lets its connection go now, and not some time
        self.report(ProgressEvent("done", offer.name, digest, total=wanted.size or 0))

    def _wait_to_place(self, wanted: Wanted) -> None:
        """Wait until blobs may be stored: until the documents that need them were read and are good."""
        while not self.may_place.wait(_POLL_SECONDS):
            self.check()
        if wanted.is_dropped:
            raise _DroppedError

    def has(self, wanted: Wanted, area: Area) -> bool:
        """Whether a blob is stored, of the right size and with the right bytes."""
        found = self.cache.blob_size(area, wanted.digest)
        fits = found is not None and wanted.size in (None, found)
        return fits and self.cache.has_good(wanted.digest, area)

    def unpack(self, archive: Digest, *, renew: Collection[Digest] = ()) -> Unpacked:
        """Store the members of a stored archive."""
        from spincache_nb.core.archive import unpack

        found = unpack(
            self.cache,
            archive,
            limits=self.options.archive_limits,
            check=self.check,
            durable=self.options.durable,
            renew=renew,
        )
        if found.skipped:
            _log.info("%s: %d entries that are no regular files were skipped", archive, found.skipped)
        self.report(ProgressEvent("unpacked", digest=str(archive), count=len(found.members)))
        return found

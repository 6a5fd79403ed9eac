"""A registry as a snapshot, from its manifests alone: no blob of theirs is ever fetched."""

from __future__ import annotations

import contextlib
import os
import random
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

from spincache_nb.core.plans import Resolved, resolve
from spincache_nb.core.reference import Reference
from spincache_nb.core.refusals import RetryableError
from spincache_nb.errors import (
    AccessDeniedError,
    ContentError,
    FormatError,
    InvalidReferenceError,
    LimitError,
    NotFoundError,
    ProtocolError,
    PullCancelled,
    SpinCacheError,
    StatusError,
)
from spincache_nb.fleet.dataset import CRAWL_PART, Snapshot
from spincache_nb.fleet.engines import literal
from spincache_nb.fleet.place import Entry, Place, file_name, folder_name, load, newest_first, parse_folder
from spincache_nb.fleet.retention import write_sorted
from spincache_nb.fleet.table import Buffer, check, is_good, made_with, with_common

if TYPE_CHECKING:
    from spincache_nb.core.credentials import Credentials
    from spincache_nb.core.registry import Registry

T = TypeVar("T")

_WAITING_PER_JOB = 4
_UNSAVED_SECONDS = 10.0
_UNSAVED_SHARE = 0.02
"""What a crawl that is killed has to ask for again: ten seconds of work, or two hundredths of all of it."""
_OF_ONE = (StatusError, ProtocolError, FormatError, ContentError, LimitError)
_KINDS: tuple[tuple[type[SpinCacheError], str], ...] = (
    (NotFoundError, "missing manifest"),
    (AccessDeniedError, "no access"),
    (StatusError, "refused"),
    (LimitError, "manifest too large"),
)
_LONGEST_INTERVAL, _FIRST_INTERVAL = 5.0, 0.05
_SLOWER, _FASTER = 2.0, 0.98
_LONGEST_PAUSE, _LONGEST_WAIT = 300.0, 60.0
_SLICE = 0.1
_MERGED = """
WITH parts AS (SELECT * REPLACE (TIMESTAMPTZ {moment} AS taken_at) FROM given), common AS (
    SELECT source, host, day, taken_at FROM parts WHERE record = 'snapshot'
), called AS (
    SELECT DISTINCT digest, CASE WHEN role = 'config' THEN role ELSE role || ' layer' END AS name
    FROM parts WHERE record = 'need'
), placed AS (
    SELECT digest, name, row_number() OVER (PARTITION BY digest ORDER BY name) AS place FROM called
), blob AS (
    SELECT digest, area, max(stored_bytes) AS stored_bytes, count(*) AS use_count, count(*) AS app_count
    FROM parts WHERE record = 'need' AND area IS NOT NULL GROUP BY digest, area
)
SELECT * FROM parts
UNION ALL BY NAME SELECT 'blob' AS record, common.*, blob.*, name
FROM blob JOIN placed USING (digest) CROSS JOIN common WHERE place = 1
UNION ALL BY NAME SELECT 'name' AS record, common.*, digest, name
FROM placed CROSS JOIN common WHERE place > 1
"""


def crawl(
    registry: str,
    repositories: Iterable[str] | None,
    target: str | os.PathLike[str],
    *,
    jobs: int = 4,
    per_second: float | None = None,
    resume: bool = True,
    day: date | None = None,
    insecure: bool | None = None,
    ca: str | os.PathLike[str] | None = None,
    auth: Credentials | tuple[str, str] | None = None,
    progress: Callable[[int], object] | None = None,
    cancel: threading.Event | None = None,
    storage_options: Mapping[str, Any] | None = None,
    rows_per_part: int = 100_000,
) -> Snapshot:
    """Write what the manifests of a registry say, as `snapshot` writes what a cache holds.

    Only lists of tags and manifests are fetched. Manifests that cannot be had or read become rows of
    `Fleet.problems`. Several tags of one manifest are several apps, as in a cache.

    Parameters
    ----------
    registry, repositories
        Host and port, and names such as ``org/app``; None for all that it lists, which many do not.
    target, storage_options
        Folder of the dataset, in which the registry becomes a host; options for fsspec.
    jobs, per_second
        Requests at a time, and in a second. After a 429 all wait as it says, then go at half the pace.
    resume, day
        Whether to go on with a crawl that was not finished; its folder, today's (UTC) unless given.
    insecure, ca, auth
        As for `pull`.
    progress, cancel
        Called with the number of manifests so far; set from another thread to stop.
    rows_per_part
        Rows held in memory at most. What is written, every ten seconds or so, is not asked for again.

    Returns
    -------
    Snapshot
        What was written; not written if that day's crawl is complete already.

    Raises
    ------
    RegistryError, InvalidReferenceError, PullCancelled, SpinCacheError
        If the registry cannot be reached or goes on refusing (crawl again to go on), or its name is
        none; if it was stopped; if an extra is missing or the target cannot be written.
    """
    from spincache_nb.core.registry import Registry
    from spincache_nb.core.settings import RetryPolicy

    parts = Parts.of_day(Place(target, storage_options), _registry_name(registry), day, resume=resume)
    if parts.complete is not None:
        return parts.complete
    once, throttle = RetryPolicy(attempts=1, connect_attempts=1), Throttle(per_second, cancel=cancel)
    with Registry(insecure=insecure, ca=ca, auth=auth, jobs=jobs, cancel=cancel, retries=once) as client:
        return _Crawl(client, throttle, parts, jobs, rows_per_part, progress).run(repositories)


def _registry_name(registry: str) -> str:
    parsed = Reference.parse(f"{registry}/repository")
    if parsed.repository not in ("repository", "library/repository"):
        raise InvalidReferenceError(registry, "a registry's host and port", registry, "such as ghcr.io")
    return parsed.registry


class Parts:
    """What a crawl has written so far: one Parquet file per part, all of which become one in the end."""

    def __init__(self, place: Place, registry: str, day: date) -> None:
        self.place, self.registry, self.day = place, registry, day
        self.folder = folder_name(registry, day)
        self.moment = datetime.now(UTC)
        there = place.files(self.folder)
        self.complete = self._complete(there)
        listed = [name for name in sorted(there) if CRAWL_PART.fullmatch(name.rpartition("/")[2])]
        self.names = [name for name in listed if is_good(place, name, there[name], part=True)]
        self._damaged = [name for name in listed if name not in self.names]
        self.next = 1 + max((int(name[-11:-5]) for name in listed), default=-1)
        self.done: set[str] = set()
        self.has_apps = False
        for name in self.names:
            self._take_down(name)

    @classmethod
    def of_day(cls, place: Place, registry: str, day: date | None, *, resume: bool) -> Parts:
        """Those of a day, or of the latest crawl that was begun and not finished, or of today."""
        begun: set[date] = set()
        done: set[date] = set()
        for name in place.files() if resume and day is None else ():
            found = parse_folder(name)
            if found is not None and found[0] == registry:
                is_part = CRAWL_PART.fullmatch(name.rpartition("/")[2])
                (begun if is_part else done).add(found[1])
        return cls(place, registry, day or max(begun - done, default=datetime.now(UTC).date()))

    def _complete(self, there: Mapping[str, Entry]) -> Snapshot | None:
        """The finished crawl of the day, if there is one."""
        for file in newest_first(there):
            with contextlib.suppress(SpinCacheError):
                facts = check(self.place, file.name, there[file.name], file=file)
                size = there[file.name].size or 0
                return Snapshot(str(self.place), self.registry, self.day, facts.row_count, size, False)
        return None

    def _take_down(self, name: str) -> None:
        """Remember what a part has, so that nobody is asked for it again."""
        with self.place.reading(name) as file:
            table = load("pyarrow.parquet").read_table(file, columns=["record", "reference"])
        for record, reference in zip(*(column.to_pylist() for column in table.columns), strict=True):
            self.has_apps = self.has_apps or record == "app"
            if record in ("app", "problem"):
                self.done.add(reference)

    def add(self, buffer: Buffer, *, last: bool = False) -> None:
        """Write a part; the last one brings the row of the snapshot itself."""
        while self._damaged:
            self.place.remove(self._damaged.pop())
        records = [*buffer.records(), *([made_with()] if last else [])]
        name = f"{self.folder}/_crawl-{self.next:06d}.part"
        table = load("pyarrow").concat_tables(records)
        table = with_common(table, source="registry", host=self.registry, day=self.day, taken_at=self.moment)
        sink = load("pyarrow").BufferOutputStream()
        load("pyarrow.parquet").write_table(table, sink, compression="zstd")
        self.place.write(sink.getvalue().to_pybytes(), name)
        self.next += 1
        self.has_apps = self.has_apps or bool(buffer.apps)
        self.names.append(name)

    def finish(self) -> Snapshot:
        """Make one file of all parts; then these go."""
        with tempfile.TemporaryDirectory(prefix="spincache-crawl-") as scratch:
            query = _MERGED.format(moment=literal(self.moment.isoformat()))
            merged, rows, content = write_sorted(query, self.place, self.names, Path(scratch))
            name = file_name(self.registry, self.day, self.moment, content)
            self.place.write(merged, name)
            size = merged.stat().st_size
        for part in self.names:
            self.place.remove(part)
        return Snapshot(str(self.place), self.registry, self.day, rows, size, True)


class _Crawl:
    """One run: references in, parts out, a bounded number of manifests in between."""

    def __init__(
        self,
        client: Registry,
        throttle: Throttle,
        parts: Parts,
        jobs: int,
        rows_per_part: int,
        progress: Callable[[int], object] | None,
    ) -> None:
        self._client, self._throttle, self._parts = client, throttle, parts
        self._jobs, self._rows_per_part, self._progress = jobs, rows_per_part, progress
        self._buffer = Buffer()
        self._running: dict[Future[Resolved], Reference] = {}
        self._finished: SimpleQueue[Future[Resolved]] = SimpleQueue()
        self._count = len(parts.done)
        self._first_error: SpinCacheError | None = None
        self._began_at = self._saved_at = time.monotonic()

    def run(self, repositories: Iterable[str] | None) -> Snapshot:
        """Fetch every manifest that is not done."""
        try:
            with ThreadPoolExecutor(self._jobs, thread_name_prefix="spincache-crawl") as pool:
                self._fetch_all(pool, self._references(repositories))
        except BaseException:
            if len(self._buffer):
                self._parts.add(self._buffer)
            raise
        if self._first_error is not None and not self._buffer.apps and not self._parts.has_apps:
            raise self._first_error
        self._parts.add(self._buffer, last=True)
        return self._parts.finish()

    def _fetch_all(self, pool: ThreadPoolExecutor, references: Iterator[Reference]) -> None:
        try:
            for reference in references:
                request = partial(resolve, self._client.fetch_manifest, reference)
                future = pool.submit(self._throttle.ask, request)
                self._running[future] = reference
                future.add_done_callback(self._finished.put)
                while len(self._running) >= self._jobs * _WAITING_PER_JOB or not self._finished.empty():
                    self._take_in()
            while self._running:
                self._take_in()
        except BaseException:
            # What is under way is taken in, so that nobody is asked for it again.
            self._throttle.stop()
            for future in [future for future in self._running if not future.cancel()]:
                with contextlib.suppress(SpinCacheError):
                    self._add(future.result())
            raise

    def _take_in(self) -> None:
        future = self._finished.get()
        reference = self._running.pop(future)
        try:
            self._add(future.result())
        except SpinCacheError as exc:
            self._note(reference.cached_name, exc)
        self._count += 1
        if len(self._buffer) and self._is_due():
            self._parts.add(self._buffer)
            self._buffer = Buffer()
            self._saved_at = time.monotonic()
        if self._progress is not None:
            self._progress(self._count)

    def _add(self, found: Resolved) -> None:
        self._buffer.add(found.reference, found.manifest, str(found.digest))

    def _is_due(self) -> bool:
        """Whether to write a part: memory is bounded, and so is what a kill would lose."""
        now = time.monotonic()
        longest = max(_UNSAVED_SECONDS, _UNSAVED_SHARE * (now - self._began_at))
        return len(self._buffer) >= self._rows_per_part or now - self._saved_at >= longest

    def _references(self, repositories: Iterable[str] | None) -> Iterator[Reference]:
        """Every tag that is not done, repository by repository."""
        names = [repositories] if isinstance(repositories, str) else repositories
        registry = self._parts.registry
        if names is None:
            names = self._throttle.ask(lambda: list(self._client.repositories(registry)))
        for repository in dict.fromkeys(names):
            where = f"{registry}/{repository}"
            try:
                parsed = Reference.parse(where)
                tags = self._throttle.ask(lambda parsed=parsed: list(self._client.tags(parsed)))  # type: ignore[misc]
            except SpinCacheError as exc:
                if where not in self._parts.done:
                    self._note(where, exc)
                continue
            for tag in tags:
                reference = Reference(parsed.registry, parsed.repository, tag)
                if reference.cached_name not in self._parts.done:
                    yield reference

    def _note(self, where: str, exc: SpinCacheError) -> None:
        """Take down what concerns one repository or manifest; whatever else stops the crawl."""
        if not isinstance(exc, _OF_ONE) or passing(exc) is not None:
            raise exc
        self._first_error = self._first_error or exc
        kind = next((kind for fault, kind in _KINDS if isinstance(exc, fault)), "damaged manifest")
        self._buffer.problems.append((kind, where))


class Throttle:
    """Spaces the requests of several threads, further as soon as the registry says so."""

    def __init__(
        self,
        per_second: float | None = None,
        *,
        attempts: int = 8,
        cancel: threading.Event | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._least = 0.0 if per_second is None else 1.0 / per_second
        self.interval = self._least
        self._attempts, self._clock = attempts, clock
        self._cancel = cancel if cancel is not None else threading.Event()
        self._lock = threading.Lock()
        self._free_at = 0.0
        self._is_stopped = False

    def stop(self) -> None:
        """Begin no request any more; those under way come to their end."""
        self._is_stopped = True

    def ask(self, request: Callable[[], T]) -> T:
        """Make a request when it is its turn, again if it failed in passing."""
        attempt = 1
        while True:
            self._wait_for_turn()
            try:
                found = request()
            except SpinCacheError as exc:
                if attempt >= self._attempts or not self._will_pass(exc, attempt):
                    raise
                attempt += 1
                continue
            if self.interval > self._least:
                with self._lock:
                    self.interval = max(self._least, self.interval * _FASTER)
            return found

    def _wait_for_turn(self) -> None:
        while True:
            if self._is_stopped or self._cancel.is_set():
                raise PullCancelled("fleet.crawl", "to go on", "a request to stop", "crawl again to go on")
            with self._lock:
                now = self._clock()
                if now >= self._free_at:
                    self._free_at = now + self.interval
                    return
                left = self._free_at - now
            self._cancel.wait(min(left, _SLICE))

    def _will_pass(self, exc: SpinCacheError, attempt: int) -> bool:
        """Whether trying again makes sense; then everybody, or this thread, has waited or will wait."""
        failure = passing(exc)
        if failure is None:
            return False
        limited = isinstance(exc, StatusError) and exc.status == 429
        backoff = min(_LONGEST_WAIT, 2.0 ** (attempt - 1)) * random.uniform(0.5, 1.0)  # noqa: S311 - spreads
        if not limited and failure.retry_after is None:
            self._sleep(backoff)
            return True
        asked = backoff if failure.retry_after is None else failure.retry_after
        with self._lock:
            self._free_at = max(self._free_at, self._clock() + min(asked, _LONGEST_PAUSE))
            if limited:
                wider = max(self.interval * _SLOWER, _FIRST_INTERVAL)
                self.interval = max(self._least, min(wider, _LONGEST_INTERVAL))
        return True

    def _sleep(self, seconds: float) -> None:
        """Wait, but not for somebody who was stopped."""
        until = time.monotonic() + seconds
        while not self._is_stopped and (left := until - time.monotonic()) > 0:
            if self._cancel.wait(min(left, _SLICE)):
                return


def passing(exc: BaseException | None) -> RetryableError | None:
    """The failure behind an error of the client, if it is of the kind that passes."""
    while exc is not None:
        if isinstance(exc, RetryableError):
            return exc
        exc = exc.__context__
    return None

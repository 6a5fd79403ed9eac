"""A registry as a snapshot, from its manifests alone: no blob of theirs is ever fetched."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import spincache_nb
from spincache_nb.core.plans import Resolved, resolve
from spincache_nb.core.reference import Reference
from spincache_nb.errors import (
    AccessDeniedError,
    ContentError,
    FormatError,
    InvalidReferenceError,
    LimitError,
    NotFoundError,
    ProtocolError,
    SpinCacheError,
    StatusError,
)
from spincache_nb.fleet.dataset import CRAWL_PART
from spincache_nb.fleet.engines import literal
from spincache_nb.fleet.manifests import Buffer
from spincache_nb.fleet.place import Entry, Place, load
from spincache_nb.fleet.retention import write_sorted
from spincache_nb.fleet.snapshots import Snapshot
from spincache_nb.fleet.table import (
    check,
    file_name,
    folder_name,
    parse_file,
    parse_folder,
    rows_of,
    to_parquet,
    whole,
)
from spincache_nb.fleet.throttle import Throttle, passing

if TYPE_CHECKING:
    from spincache_nb.core.credentials import Credentials
    from spincache_nb.core.registry import Registry

ROWS_PER_PART = 100_000
"""Rows of layers after which a part is written."""
JOBS = 4
"""Manifests asked for at a time."""
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
    jobs: int = JOBS,
    per_second: float | None = None,
    resume: bool = True,
    day: date | None = None,
    insecure: bool | None = None,
    ca: str | os.PathLike[str] | None = None,
    auth: Credentials | tuple[str, str] | None = None,
    progress: Callable[[int], object] | None = None,
    cancel: threading.Event | None = None,
    storage_options: Mapping[str, Any] | None = None,
    rows_per_part: int = ROWS_PER_PART,
) -> Snapshot:
    """Write what the manifests of a registry say, as `snapshot` writes what a cache holds.

    Parameters
    ----------
    registry
        Host and port, ``ghcr.io`` for example.
    repositories
        Which, such as ``org/app``; None for all that the registry lists, which many do not.
    target
        Folder of the dataset; the registry becomes a host in it.
    jobs
        Requests at a time.
    per_second
        Most requests in a second. Without it, as many as there are, until the registry answers 429:
        then all wait as long as it says, and go on at half the pace.
    resume
        Whether to go on with a crawl that was begun and not finished.
    day
        Folder of the crawl; today (UTC) unless given.
    insecure, ca, auth
        As for `pull`.
    progress
        Called with the number of manifests so far.
    cancel
        Set it from another thread to stop; what was written is gone on with the next time.
    storage_options
        Handed to fsspec.
    rows_per_part
        Rows of layers that are held in memory at most; then a part is written. A part is written
        every ten seconds as well, later on less often: whatever is in one is not asked for again.

    Returns
    -------
    Snapshot
        What was written; not written if that day's crawl is complete already.

    Raises
    ------
    MissingExtraError
        If ``spincache-nb[fleet]`` is not installed.
    InvalidReferenceError
        If the registry's name is none.
    RegistryError
        If the registry cannot be reached, or goes on refusing. Crawl again to go on.
    PullCancelled
        If it was stopped.
    SpinCacheError
        If the target cannot be written.

    Notes
    -----
    Only lists of tags and manifests are fetched. Manifests that cannot be had or read become rows of
    `Fleet.problems`. Several tags of one manifest are several apps, as in a cache.
    """
    from spincache_nb.core.registry import Registry
    from spincache_nb.core.settings import RetryPolicy

    name = _registry_name(registry)
    place = Place(target, storage_options)
    begun = _unfinished(place, name) if resume else None
    parts = Parts(place, name, day or begun or datetime.now(UTC).date())
    if parts.complete is not None:
        return parts.complete
    once = RetryPolicy(attempts=1, connect_attempts=1)
    with Registry(insecure=insecure, ca=ca, auth=auth, jobs=jobs, cancel=cancel, retries=once) as client:
        throttle = Throttle(per_second, cancel=cancel)
        walk = _Crawl(client, throttle, parts, jobs=jobs, rows_per_part=rows_per_part, progress=progress)
        return walk.run(repositories)


def _registry_name(registry: str) -> str:
    parsed = Reference.parse(f"{registry}/repository")
    if parsed.repository not in ("repository", "library/repository"):
        raise InvalidReferenceError(registry, "a registry's host and port", registry, "such as ghcr.io")
    return parsed.registry


def _unfinished(place: Place, registry: str) -> date | None:
    """Day of the latest crawl of a registry that was begun and not finished."""
    begun: set[date] = set()
    done: set[date] = set()
    for name in place.files():
        found = parse_folder(name)
        if found is not None and found[0] == registry:
            is_part = CRAWL_PART.fullmatch(name.rpartition("/")[2])
            (begun if is_part else done).add(found[1])
    return max(begun - done, default=None)


class Parts:
    """What a crawl has written so far: one Parquet file per part, all of which become one in the end."""

    def __init__(self, place: Place, registry: str, day: date) -> None:
        self.place, self.registry, self.day = place, registry, day
        self.folder = folder_name(registry, day)
        self.moment = datetime.now(UTC)
        there = place.files(self.folder)
        self.complete = self._complete(there)
        listed = {
            name: there[name] for name in sorted(there) if CRAWL_PART.fullmatch(name.rpartition("/")[2])
        }
        self.names = [name for name, entry in listed.items() if self._is_whole(name, entry)]
        self._damaged = [name for name in listed if name not in self.names]
        self.next = 1 + max((int(name[-11:-5]) for name in listed), default=-1)
        self.done: set[str] = set()
        self.has_apps = False
        for name in self.names:
            self._take_down(name)

    def _complete(self, there: Mapping[str, Entry]) -> Snapshot | None:
        """The finished crawl of the day, if there is one."""
        for file in sorted(filter(None, map(parse_file, there)), key=lambda one: one.moment, reverse=True):
            with contextlib.suppress(SpinCacheError):
                facts = check(self.place, file.name, there[file.name], file=file)
                size = there[file.name].size or 0
                return Snapshot(str(self.place), self.registry, self.day, facts.row_count, size, False)
        return None

    def _is_whole(self, name: str, entry: Entry) -> bool:
        try:
            check(self.place, name, entry, part=True)
        except (SpinCacheError, OSError):
            return False
        return True

    def _take_down(self, name: str) -> None:
        """Remember what a part has, so that nobody is asked for it again."""
        parquet, compute = load("pyarrow.parquet"), load("pyarrow.compute")
        with self.place.reading(name) as file:
            table = parquet.read_table(file, columns=["record", "reference"])
        listed = table.filter(compute.is_in(table["record"], load("pyarrow").array(["app", "problem"])))
        self.done |= set(listed["reference"].to_pylist())
        self.has_apps = self.has_apps or "app" in listed["record"].to_pylist()

    def add(self, buffer: Buffer, *, last: bool = False) -> None:
        """Write a part; the last one brings the row of the snapshot itself."""
        while self._damaged:
            self.place.remove(self._damaged.pop())
        records = buffer.records()
        if last:
            said = {"name": ["spincache-nb"], "version": [spincache_nb.__version__]}
            records.append(rows_of("snapshot", said, 1))
        name = f"{self.folder}/_crawl-{self.next:06d}.part"
        self.place.write(
            to_parquet(
                whole(records, source="registry", host=self.registry, day=self.day, moment=self.moment)
            ),
            name,
        )
        self.next += 1
        self.has_apps = self.has_apps or bool(buffer.apps)
        self.names.append(name)

    def finish(self) -> Snapshot:
        """Make one file of all parts; then these go."""
        with tempfile.TemporaryDirectory(prefix="spincache-crawl-") as scratch:
            local = [self._brought(name, Path(scratch)) for name in self.names]
            query = _MERGED.format(moment=literal(self.moment.isoformat()))
            merged, rows, content = write_sorted(query, local, Path(scratch))
            name = file_name(self.registry, self.day, self.moment, content)
            self.place.put(merged, name)
            size = merged.stat().st_size
        for part in self.names:
            self.place.remove(part)
        return Snapshot(str(self.place), self.registry, self.day, rows, size, True)

    def _brought(self, name: str, scratch: Path) -> Path:
        """A part as a local file."""
        if self.place.local:
            return Path(self.place.path(name))
        local = scratch / name.rpartition("/")[2]
        with self.place.reading(name) as file, local.open("wb") as copy:
            shutil.copyfileobj(file, copy)
        return local


class _Crawl:
    """One run: references in, parts out, a bounded number of manifests in between."""

    def __init__(
        self,
        client: Registry,
        throttle: Throttle,
        parts: Parts,
        *,
        jobs: int,
        rows_per_part: int,
        progress: Callable[[int], object] | None,
    ) -> None:
        self._client, self._throttle, self._parts = client, throttle, parts
        self._jobs, self._rows_per_part, self._progress = jobs, rows_per_part, progress
        self._buffer = Buffer()
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
        running: dict[Future[Resolved], Reference] = {}
        try:
            for reference in references:
                running[
                    pool.submit(self._throttle.ask, partial(resolve, self._client.fetch_manifest, reference))
                ] = reference
                if len(running) >= self._jobs * _WAITING_PER_JOB:
                    self._take_in(running)
            while running:
                self._take_in(running)
        except BaseException:
            self._keep(running)
            raise

    def _keep(self, running: dict[Future[Resolved], Reference]) -> None:
        """Take in what is under way when the crawl stops, so that nobody is asked for it again."""
        self._throttle.stop()
        for future in [future for future in running if not future.cancel()]:
            with contextlib.suppress(SpinCacheError):
                self._add(future.result())

    def _take_in(self, running: dict[Future[Resolved], Reference]) -> None:
        finished, _ = wait(running, return_when=FIRST_COMPLETED)
        for future in finished:
            reference = running.pop(future)
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
        given = [repositories] if isinstance(repositories, str) else repositories
        registry = self._parts.registry
        names = (
            given
            if given is not None
            else self._throttle.ask(lambda: list(self._client.repositories(registry)))
        )
        for repository in dict.fromkeys(names):
            where = f"{registry}/{repository}"
            try:
                parsed = Reference.parse(where)
                tags = self._throttle.ask(partial(self._tags, parsed))
            except SpinCacheError as exc:
                if where not in self._parts.done:
                    self._note(where, exc)
                continue
            for tag in tags:
                reference = Reference(parsed.registry, parsed.repository, tag)
                if reference.cached_name not in self._parts.done:
                    yield reference

    def _tags(self, repository: Reference) -> list[str]:
        return list(self._client.tags(repository))

    def _note(self, where: str, exc: SpinCacheError) -> None:
        """Take down what concerns one repository or manifest; whatever else stops the crawl."""
        if not isinstance(exc, _OF_ONE) or passing(exc) is not None:
            raise exc
        self._first_error = self._first_error or exc
        kind = next((kind for fault, kind in _KINDS if isinstance(exc, fault)), "damaged manifest")
        self._buffer.problems.append((kind, where))

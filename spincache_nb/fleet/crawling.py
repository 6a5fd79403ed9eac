"""A registry as a snapshot, from its manifests alone."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import UTC, date, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

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
from spincache_nb.fleet.journal import Journal, unfinished
from spincache_nb.fleet.manifests import Buffer
from spincache_nb.fleet.marker import MARKER, folder_of, parse_marker
from spincache_nb.fleet.pace import Pace, passing
from spincache_nb.fleet.place import Place
from spincache_nb.fleet.snapshots import Snapshot

if TYPE_CHECKING:
    from spincache_nb.core.credentials import Credentials
    from spincache_nb.core.plans import Resolved
    from spincache_nb.core.registry import Registry

ROWS_PER_PART = 100_000
"""Rows of layers after which a part is written."""
JOBS = 4
"""Manifests asked for at a time."""
_WAITING_PER_JOB = 4
_UNSAVED_SECONDS = 10.0
_UNSAVED_SHARE = 0.02
"""What a crawl that is killed has to ask for again: ten seconds of work, or two hundredths of all of it."""


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

    Notes
    -----
    Only lists of tags and manifests are fetched. Manifests that cannot be had or read become rows of
    `Fleet.problems`. Several tags of one manifest are several apps, as in a cache.
    """
    from spincache_nb.core.registry import Registry
    from spincache_nb.core.settings import RetryPolicy

    name = _registry_name(registry)
    place = Place(target, storage_options)
    begun = unfinished(place, name) if resume else None
    wanted = day or begun or datetime.now(UTC).date()
    complete = _complete(place, name, wanted)
    if complete is not None:
        return complete
    journal = Journal(place, name, wanted)
    once = RetryPolicy(attempts=1, connect_attempts=1)
    with Registry(insecure=insecure, ca=ca, auth=auth, jobs=jobs, cancel=cancel, retries=once) as client:
        pace = Pace(per_second, cancel=cancel)
        walk = _Crawl(client, pace, name, journal, jobs=jobs, rows_per_part=rows_per_part, progress=progress)
        return walk.run(repositories)


def _registry_name(registry: str) -> str:
    parsed = Reference.parse(f"{registry}/repository")
    if parsed.repository not in ("repository", "library/repository"):
        raise InvalidReferenceError(registry, "a registry's host and port", registry, "such as ghcr.io")
    return parsed.registry


def _complete(place: Place, registry: str, day: date) -> Snapshot | None:
    """The finished crawl of a day, if there is one."""
    folder = folder_of(registry, day)
    if MARKER not in place.folder(*folder):
        return None
    marker = parse_marker(place.read(*folder, MARKER), where=place.path(*folder, MARKER))
    rows = sum(file.row_count for part in marker.parts for file in part.values())
    return Snapshot(str(place), registry, day, rows, marker.size_bytes, False)


class _Crawl:
    """One run: references in, parts out, a bounded number of manifests in between."""

    def __init__(
        self,
        client: Registry,
        pace: Pace,
        registry: str,
        journal: Journal,
        *,
        jobs: int,
        rows_per_part: int,
        progress: Callable[[int], object] | None,
    ) -> None:
        self._client = client
        self._pace = pace
        self._registry = registry
        self._journal = journal
        self._jobs = jobs
        self._rows_per_part = rows_per_part
        self._progress = progress
        self._done = journal.references()
        self._seen = journal.manifest_digests()
        self._buffer = Buffer(self._seen)
        self._count = len(self._done)
        self._first_error: SpinCacheError | None = None
        self._began_at = self._saved_at = time.monotonic()

    def run(self, repositories: Iterable[str] | None) -> Snapshot:
        """Fetch every manifest that is not done."""
        try:
            with ThreadPoolExecutor(self._jobs, thread_name_prefix="spincache-crawl") as pool:
                self._fetch_all(pool, self._references(repositories))
        except BaseException:
            if len(self._buffer):
                self._journal.add(self._buffer.tables())
            raise
        if self._first_error is not None and not self._buffer.apps and not self._journal.has_apps:
            raise self._first_error
        left = self._buffer.tables() if len(self._buffer) or not self._journal.parts else None
        return self._journal.finish(left)

    def _fetch_all(self, pool: ThreadPoolExecutor, references: Iterator[Reference]) -> None:
        running: dict[Future[Resolved], Reference] = {}
        try:
            for reference in references:
                running[pool.submit(self._pace.ask, _Fetch(self._client, reference))] = reference
                if len(running) >= self._jobs * _WAITING_PER_JOB:
                    self._take_in(running)
            while running:
                self._take_in(running)
        except BaseException:
            self._keep(running)
            raise

    def _keep(self, running: dict[Future[Resolved], Reference]) -> None:
        """Take in what is under way when the crawl stops, so that nobody is asked for it again."""
        self._pace.stop()
        for future in [future for future in running if not future.cancel()]:
            with contextlib.suppress(SpinCacheError):
                self._buffer.add(future.result())

    def _take_in(self, running: dict[Future[Resolved], Reference]) -> None:
        finished, _ = wait(running, return_when=FIRST_COMPLETED)
        for future in finished:
            reference = running.pop(future)
            try:
                self._buffer.add(future.result())
            except SpinCacheError as exc:
                self._note(reference.cached_name, exc)
            self._count += 1
        if len(self._buffer) and self._is_due():
            self._journal.add(self._buffer.tables())
            self._buffer = Buffer(self._seen)
            self._saved_at = time.monotonic()
        if self._progress is not None:
            self._progress(self._count)

    def _is_due(self) -> bool:
        """Whether to write a part: memory is bounded, and so is what a kill would lose."""
        now = time.monotonic()
        longest = max(_UNSAVED_SECONDS, _UNSAVED_SHARE * (now - self._began_at))
        return len(self._buffer) >= self._rows_per_part or now - self._saved_at >= longest

    def _references(self, repositories: Iterable[str] | None) -> Iterator[Reference]:
        """Every tag that is not done, repository by repository."""
        given = [repositories] if isinstance(repositories, str) else repositories
        names = given if given is not None else self._pace.ask(self._list_repositories)
        for repository in dict.fromkeys(names):
            where = f"{self._registry}/{repository}"
            try:
                parsed = Reference.parse(where)
                tags = self._pace.ask(partial(self._list_tags, parsed))
            except SpinCacheError as exc:
                if where not in self._done:
                    self._note(where, exc)
                continue
            for tag in tags:
                reference = Reference(parsed.registry, parsed.repository, tag)
                if reference.cached_name not in self._done:
                    yield reference

    def _list_repositories(self) -> list[str]:
        return list(self._client.repositories(self._registry))

    def _list_tags(self, repository: Reference) -> list[str]:
        return list(self._client.tags(repository))

    def _note(self, where: str, exc: SpinCacheError) -> None:
        """Take down what concerns one repository or manifest; whatever else stops the crawl."""
        if not isinstance(exc, _OF_ONE) or passing(exc) is not None:
            raise exc
        self._first_error = self._first_error or exc
        self._buffer.add_problem(where, _kind_of(exc))


class _Fetch:
    """Asks for the manifest of one reference."""

    def __init__(self, client: Registry, reference: Reference) -> None:
        self._client = client
        self._reference = reference

    def __call__(self) -> Resolved:
        from spincache_nb.core.plans import resolve

        return resolve(self._client.fetch_manifest, self._reference)


def _kind_of(exc: SpinCacheError) -> str:
    """What kind of fault it is, in plain words."""
    if isinstance(exc, NotFoundError):
        return "missing manifest"
    if isinstance(exc, AccessDeniedError):
        return "no access"
    if isinstance(exc, StatusError):
        return "refused"
    if isinstance(exc, LimitError):
        return "manifest too large"
    return "damaged manifest"


_OF_ONE = (StatusError, ProtocolError, FormatError, ContentError, LimitError)

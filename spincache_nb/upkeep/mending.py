"""The work of a repair: manifests, locked apps, blobs, archive members, in this order."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from spincache_nb.core.archive import ArchiveLimits, unpack
from spincache_nb.core.cache import Cache
from spincache_nb.core.digest import Digest
from spincache_nb.core.documents import Area, Descriptor
from spincache_nb.core.journal import History
from spincache_nb.core.layout import file_name, shown
from spincache_nb.core.progress import Progress, ProgressEvent, Reporter
from spincache_nb.core.pull.decide import JOBS, Source, other_area
from spincache_nb.core.reference import Reference
from spincache_nb.errors import ContentError, PullCancelled, SpinCacheError
from spincache_nb.inventory import CachedApp, Inventory, take_inventory
from spincache_nb.upkeep.checking import Health
from spincache_nb.upkeep.documents import DocumentMender

_POLL_SECONDS = 0.05
_NOBODY = "no layer of a cached manifest is it, and no archive holds it"
Place = tuple[Area, Digest]
T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class RepairOptions:
    """How to repair; see `repair` for each."""

    jobs: int = JOBS
    progress: Progress = None
    cancel: threading.Event | None = None
    durable: bool = False
    archive_limits: ArchiveLimits | None = None
    projects: tuple[str | os.PathLike[str], ...] = ()
    history: History | None = None


@dataclass(slots=True)
class _Wanted:
    """A blob to be brought back: where it can come from."""

    place: Place
    size: int | None = None
    offers: list[tuple[Reference, Descriptor]] = field(default_factory=list)
    archives: set[Digest] = field(default_factory=set)


class Mender:
    """One repair: threads do the work, the caller's thread watches."""

    def __init__(
        self,
        cache: Cache,
        source: Source,
        health: Health,
        options: RepairOptions,
        report: Reporter,
        stop: threading.Event,
    ) -> None:
        self.cache = cache
        self.source = source
        self.inventory = health.inventory
        self.wrong: set[Place] = {
            (one.blob.area, one.blob.digest) for one in health.wrong if one.blob.digest is not None
        }
        self.options = options
        self.report = report
        self.stop = stop
        self.history = options.history if options.history is not None else cache.history
        self.failures: dict[str, str] = {}
        self.written: set[tuple[str, str]] = set()
        self.pool = ThreadPoolExecutor(options.jobs, thread_name_prefix="spincache-repair")

    def run(self) -> None:
        """Repair what can be repaired."""
        try:
            self.mend_documents()
            self.mend_blobs()
        except BaseException:
            self.stop.set()
            self.source.close()
            raise
        finally:
            self.pool.shutdown(wait=True, cancel_futures=True)

    # Documents -------------------------------------------------------------------------------

    def mend_documents(self) -> None:
        mender = DocumentMender(self.cache, self.source, self.history, durable=self.options.durable)
        if any(
            self.each(
                self.inventory.apps, mender.mend_manifest, lambda app: self.relative(app.tag.manifest_path)
            )
        ):
            self.inventory = self.take_inventory()
        if any(
            self.each(
                self.inventory.apps,
                mender.mend_locked_app,
                lambda app: self.relative(app.tag.locked_app_path),
            )
        ):
            self.inventory = self.take_inventory()

    def take_inventory(self) -> Inventory:
        return take_inventory(self.cache, projects=self.options.projects, history=self.history)

    # Blobs -----------------------------------------------------------------------------------

    def mend_blobs(self) -> None:
        """Copy or fetch what is damaged or lacking, then unpack what archives hold of it."""
        wanted = self.wanted()
        direct = [one for one in wanted if one.offers or not one.archives]
        total = sum(one.size or 0 for one in direct if one.offers)
        self.report(ProgressEvent("plan", total=total))
        self.each(direct, self.bring, lambda one: self.path_of(one.place))
        members: dict[Digest, set[Digest]] = {}
        for one in wanted:
            for archive in () if self.is_written(one.place) else one.archives:
                members.setdefault(archive, set()).add(one.place[1])
        self.each(
            sorted(members.items()),
            lambda item: self.unpack(item[0], item[1]),
            lambda item: self.path_of(("data", item[0])),
        )

    def wanted(self) -> list[_Wanted]:
        """What apps need and cannot use, largest first."""
        places: dict[Place, _Wanted] = {}
        apps = {app.reference: app for app in self.inventory.apps}
        for lost in self.inventory.missing:
            self.want(places, (lost.area, lost.digest), apps[lost.user])
        for use in self.inventory.uses():
            if (use.area, use.digest) in self.wrong and use.user in apps:
                self.want(places, (use.area, use.digest), apps[use.user])
        return sorted(places.values(), key=lambda one: (-(one.size or 0), one.place))

    def want(self, places: dict[Place, _Wanted], place: Place, app: CachedApp) -> None:
        one = places.setdefault(place, _Wanted(place))
        reference = _reference(app)
        for layer in app.manifest.layers if app.manifest is not None else ():
            if layer.digest == place[1] and reference is not None:
                one.size = layer.size
                one.offers.append((reference, layer))
            elif layer.role == "archive" and place[0] == "data":
                one.archives.add(layer.digest)

    def bring(self, one: _Wanted) -> None:
        """Bring one blob back: from the other area if it is whole there, else from a registry."""
        area, digest = one.place
        if self.copy(area, digest):
            return
        failure: SpinCacheError | None = None
        for reference, layer in one.offers:
            try:
                self.download(area, reference, layer)
            except PullCancelled:
                raise
            except SpinCacheError as exc:
                failure = failure or exc
            else:
                return
        if failure is not None:
            raise failure
        raise ContentError(str(digest), "somebody who has it", _NOBODY, "pull the app again")

    def copy(self, area: Area, digest: Digest) -> bool:
        source = other_area(area)
        size = self.cache.blob_size(source, digest)
        if size is None or (source, digest) in self.wrong:
            return False
        try:
            self.cache.copy_blob(digest, source=source, target=area, size=size, durable=self.options.durable)
        except ContentError:
            return False
        self.note_written((area, digest))
        return True

    def download(self, area: Area, reference: Reference, layer: Descriptor) -> None:
        name, text = reference.cached_name, str(layer.digest)
        self.report(ProgressEvent("start", name, text, total=layer.size))

        def counted() -> Iterator[bytes]:
            for chunk in self.source.stream_blob(reference, layer):
                yield chunk
                self.report(ProgressEvent("bytes", name, text, len(chunk), layer.size))

        where = f"{name}, layer {text}"
        self.cache.put_blob(
            area, layer.digest, counted(), size=layer.size, where=where, durable=self.options.durable
        )
        self.note_written((area, layer.digest))
        self.report(ProgressEvent("done", name, text, total=layer.size))

    def unpack(self, archive: Digest, members: set[Digest]) -> None:
        renew = {digest for digest in members if ("data", digest) in self.wrong}
        try:
            found = unpack(
                self.cache,
                archive,
                limits=self.options.archive_limits,
                check=self.check,
                durable=self.options.durable,
                renew=renew,
            )
        except PullCancelled:
            raise
        except SpinCacheError as exc:
            for digest in members:
                self.failures.setdefault(self.path_of(("data", digest)), str(exc))
            raise
        for member in found.members:
            if member.digest in members:
                self.note_written(("data", member.digest))
        self.report(ProgressEvent("unpacked", digest=str(archive), count=len(found.members)))

    # Watching --------------------------------------------------------------------------------

    def check(self) -> None:
        """Raise if the work is to stop."""
        if self.stop.is_set() or (self.options.cancel is not None and self.options.cancel.is_set()):
            raise PullCancelled("repair", "", "", "stopped; what was repaired stays")

    def each(self, things: Iterable[T], work: Callable[[T], R], path_of: Callable[[T], str]) -> list[R]:
        """Do something with each of several things at once; what fails is noted under its path."""
        tasks: dict[Future[R], T] = {self.pool.submit(work, thing): thing for thing in things}
        running = set(tasks)
        results = []
        while running:
            done, running = wait(running, timeout=_POLL_SECONDS, return_when=FIRST_COMPLETED)
            self.check()
            for task in done:
                try:
                    results.append(task.result())
                except PullCancelled:
                    raise
                except SpinCacheError as exc:
                    self.failures[path_of(tasks[task])] = str(exc)
        return results

    def note_written(self, place: Place) -> None:
        self.written.add(self.name_of(place))

    def is_written(self, place: Place) -> bool:
        return self.name_of(place) in self.written

    def name_of(self, place: Place) -> tuple[str, str]:
        """Area and file name of a blob that is stored."""
        area, digest = place
        return area, shown(self.cache.blob_path(area, digest).name)

    def relative(self, path: Path) -> str:
        """A path as problems name it."""
        return shown(path.relative_to(self.cache.path).as_posix())

    def path_of(self, place: Place) -> str:
        """Where a blob is or would be, as problems name it."""
        area, digest = place
        path = self.cache.blob_path(area, digest)
        name = path.name if path.exists() else file_name(digest, windows=self.cache.windows_names)
        return f"{area}/{shown(name)}"


def _reference(app: CachedApp) -> Reference | None:
    try:
        return Reference.parse(app.reference)
    except SpinCacheError:
        return None

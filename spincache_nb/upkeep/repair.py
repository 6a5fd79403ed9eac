"""Repairing: what is damaged or missing is fetched again from where its app came from, and no more."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from spincache_nb.core.cache import Cache
from spincache_nb.core.digest import Digest
from spincache_nb.core.documents import Area, Descriptor
from spincache_nb.core.fetching import Fetching, Options, Source, Wanted, registry_offer
from spincache_nb.core.files import read_bounded
from spincache_nb.core.journal import History
from spincache_nb.core.layout import file_name, shown
from spincache_nb.core.locked_app import parse_locked_app
from spincache_nb.core.plans import Resolved, resolve
from spincache_nb.core.progress import Progress
from spincache_nb.core.pull import Pull
from spincache_nb.core.reference import Reference
from spincache_nb.core.scan import Problem
from spincache_nb.core.settings import JOBS, LOCKED_APP_BYTES, ArchiveLimits
from spincache_nb.errors import ManifestError, PullCancelled, SpinCacheError, printable
from spincache_nb.inventory import CachedApp, Inventory, known_digests, take_inventory
from spincache_nb.show import Cell, block, count_text, more_text, size_text, table
from spincache_nb.upkeep.verify import Health, examine, is_damage

if TYPE_CHECKING:
    from spincache_nb.core.pull import Auth
    from spincache_nb.project.packages import PackageClient

_ROWS_SHOWN = 10
_Place = tuple[Area, Digest]
T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True, repr=False)
class RepairResult:
    """What a repair did.

    Parameters
    ----------
    repaired
        Problems that are gone.
    remaining
        Problems that are not, with the reason where one was tried.
    failed
        How many of them could not be repaired although it was tried.
    wire_bytes
        All bytes received: manifests, tokens, retries and error pages included.
    seconds
        Wall-clock time, the check before and after included.
    """

    repaired: tuple[Problem, ...]
    remaining: tuple[Problem, ...]
    failed: int
    wire_bytes: int
    seconds: float

    @property
    def damaged(self) -> tuple[Problem, ...]:
        """Problems that remain and mean that content is damaged or lacking."""
        return tuple(row for row in self.remaining if is_damage(row.kind, row.reference))

    def __str__(self) -> str:
        lines = [self.summary()]
        lines += [
            f"  {row.kind}: {row.path}: {printable(row.detail)}" for row in self.remaining[:_ROWS_SHOWN]
        ]
        more = more_text(len(self.remaining), _ROWS_SHOWN)
        return "\n".join([*lines, f"  {more}"] if more else lines)

    def summary(self) -> str:
        """The result in one line."""
        return (
            f"repaired {count_text(len(self.repaired), 'problem')} "
            f"with {size_text(self.wire_bytes)} received; "
            f"{len(self.remaining)} remain, {len(self.damaged)} of them damage"
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.summary()}>"

    def _repr_html_(self) -> str:
        told = [("repaired", row) for row in self.repaired] + [("remains", row) for row in self.remaining]
        rows = [(Cell(what), Cell(row.kind), Cell(row.path, "code"), Cell(row.detail)) for what, row in told]
        return block("", self.summary(), table(("", "problem", "path", "detail"), rows, most=_ROWS_SHOWN))


def repair(
    cache: Cache,
    *,
    insecure: bool | None = None,
    ca: str | os.PathLike[str] | None = None,
    auth: Auth = None,
    jobs: int = JOBS,
    progress: Progress = None,
    cancel: threading.Event | None = None,
    durable: bool = False,
    archive_limits: ArchiveLimits | None = None,
    projects: Sequence[str | os.PathLike[str]] = (),
    history: History | None = None,
) -> RepairResult:
    """Fetch again exactly what is damaged or missing, from the registry that its app came from.

    Parameters
    ----------
    cache
        The cache. Everything stored is hashed first.
    insecure
        None means plain HTTP for loopback hosts only; True forces HTTP, False HTTPS.
    ca
        File with further certificate authorities (PEM).
    auth
        Credentials to use ahead of the stores: ``(user, password)``.
    jobs
        Downloads at a time.
    progress
        None for silence, True for a bar, or a callable that takes each `ProgressEvent`: first those of
        the check, then those of the downloads.
    cancel
        Set it from another thread to stop; what was repaired by then stays.
    durable
        Whether to wait until the disk has each file.
    archive_limits
        How much an archive layer may unpack to.
    projects
        ``spin.toml`` files or folders of projects that use this cache too.
    history
        The record of pulls, which tells a manifest's digest; this user's unless given.

    Returns
    -------
    RepairResult
        What was repaired and what was not, and why. An unreachable registry is no error.

    Raises
    ------
    PullCancelled
        If `cancel` was set.
    SpinManifestError
        If there is no project at one of the paths given.

    Notes
    -----
    A damaged file stays until its good copy is there and takes its place in one step. A blob is fetched
    by the digest that the cached manifest gives, so that a tag that was moved meanwhile changes nothing.
    A manifest is fetched by the digest it is known to have had; if none is known, by its tag, and taken
    only if it names the locked app that is stored. Archives are unpacked again where members lack. A
    damaged source that only a ``spin.toml`` of one of `projects` names comes from the address or package
    that it names; sources that are not stored at all, `pull_sources` fetches. What neither an app nor a
    project needs is left alone: `plan_prune`.
    """
    from spincache_nb.core.registry import Registry
    from spincache_nb.project.packages import PackageClient

    started = time.perf_counter()
    client = Registry(insecure=insecure, ca=ca, auth=auth, jobs=jobs)
    packages = PackageClient(insecure=insecure, ca=ca, auth=auth, jobs=jobs)
    options = Options(jobs, progress, cancel, durable, archive_limits, history)
    with Fetching(cache, options, client.close, packages.close, what="repair") as fetching:
        before = examine(cache, progress=progress, cancel=cancel, projects=projects, history=history)
        work = _Repair(fetching, client, packages, before, projects)
        work.mend_documents()
        work.mend_blobs()
    changed = {(one.blob.area, one.blob.name) for one in before.wrong} | work.written
    after = examine(cache, cancel=cancel, projects=projects, history=history, only=changed)
    wire_bytes = client.wire_bytes + packages.wire_bytes
    return _result(before, after, work.failures, wire_bytes, time.perf_counter() - started)


def _result(
    before: Health, after: Health, failures: dict[str, str], wire_bytes: int, seconds: float
) -> RepairResult:
    left = {(row.path, row.kind) for row in after.problems}
    repaired = tuple(row for row in before.problems if (row.path, row.kind) not in left)
    remaining = tuple(
        replace(row, detail=f"{row.detail}; it could not be repaired: {failures[row.path]}")
        if row.path in failures
        else row
        for row in after.problems
    )
    failed = sum(row.path in failures for row in after.problems)
    return RepairResult(repaired, remaining, failed, wire_bytes, seconds)


class _Repair:
    """One repair: manifests, locked apps, blobs, archive members, in this order; failures are noted."""

    def __init__(
        self,
        fetching: Fetching,
        source: Source,
        packages: PackageClient,
        health: Health,
        projects: Sequence[str | os.PathLike[str]],
    ) -> None:
        self.fetching = fetching
        self.cache = fetching.cache
        self.source = source
        self.packages = packages
        self.inventory = health.inventory
        self.projects = tuple(projects)
        given = fetching.options.history
        self.history = given if given is not None else self.cache.history
        self.wrong: set[_Place] = {
            (one.blob.area, one.blob.digest) for one in health.wrong if one.blob.digest is not None
        }
        self.failures: dict[str, str] = {}
        self.written: set[tuple[str, str]] = set()
        self.known: dict[str, list[Digest]] | None = None

    def each(self, work: Callable[[T], R], items: Iterable[T], path_of: Callable[[T], str]) -> list[R]:
        """Do something with each of several things at once; what fails is noted under its path."""
        results: list[R] = []

        def attempt(item: T) -> None:
            try:
                results.append(work(item))
            except PullCancelled:
                raise
            except SpinCacheError as exc:
                self.failures[path_of(item)] = str(exc)

        self.fetching.each(attempt, items)
        return results

    # Documents -------------------------------------------------------------------------------

    def mend_documents(self) -> None:
        """Complete apps without their manifest, then bring back locked apps."""
        found = self.each(
            self.find_manifest, self.inventory.apps, lambda app: self.relative(app.tag.manifest_path)
        )
        resolved = [one for one in found if one is not None]
        if resolved:
            pull = Pull(self.fetching, self.source, keep_going=True, history=History(enabled=False))
            for app in pull.store(resolved):
                if app.failure is not None:
                    tag = self.cache.cached_tag(app.resolved.reference)
                    self.failures[self.relative(tag.manifest_path)] = str(app.failure)
            self.inventory = self.take_inventory()
        if any(
            self.each(
                self.mend_locked_app,
                self.inventory.apps,
                lambda app: self.relative(app.tag.locked_app_path),
            )
        ):
            self.inventory = self.take_inventory()

    def take_inventory(self) -> Inventory:
        return take_inventory(self.cache, projects=self.projects, history=self.history)

    def find_manifest(self, app: CachedApp) -> Resolved | None:
        """Fetch the manifest that an app had, if the one that is stored is damaged or seems altered."""
        reference = Reference.parse(app.reference)
        stored = _stored_document(app)
        failures: list[SpinCacheError] = []
        if app.manifest is not None:
            if app.manifest_digest is not None or stored is None or all(layer.stored for layer in app.layers):
                return None
            known = self.known_manifests(app, reference, failures)
            return next((one for one in known if one.manifest.tag_document.digest.matches(stored)), None)
        for resolved in self.known_manifests(app, reference, failures):
            if stored is None or resolved.manifest.tag_document.digest.matches(stored):
                return resolved
        if reference.tag is not None and stored is not None:
            resolved = resolve(self.source.fetch_manifest, reference)
            if resolved.manifest.tag_document.digest.matches(stored):
                return resolved
        if failures:
            raise failures[0]
        raise ManifestError(
            app.reference,
            "to know which manifest it was",
            "a registry that has another by now, or no trace of it",
            "pull the app again",
        )

    def known_manifests(
        self, app: CachedApp, reference: Reference, failures: list[SpinCacheError]
    ) -> Iterator[Resolved]:
        """Fetch manifests that an app is known to have had, likeliest first; add why one does not come."""
        if app.tag.digest is not None:
            digests = [app.tag.digest]
        else:
            if self.known is None:
                self.known = known_digests(self.history, self.cache)
            digests = self.known.get(app.reference, [])
        for digest in digests:
            wanted = Reference(reference.registry, reference.repository, reference.tag, digest)
            try:
                yield resolve(self.source.fetch_manifest, wanted)._replace(reference=reference)
            except PullCancelled:
                raise
            except SpinCacheError as exc:
                failures.append(exc)

    def mend_locked_app(self, app: CachedApp) -> bool:
        """Bring ``config.json`` back if it is not the one that the manifest names."""
        if app.manifest is None:
            return False
        document = app.manifest.tag_document
        try:
            if document.digest.matches(app.tag.read_locked_app()):
                return False
        except SpinCacheError:
            pass  # it is not there, or cannot be read: all the more reason
        content = self.from_data(document)
        if content is None:
            reference = Reference.parse(app.reference)
            content = self.source.fetch_document(reference, document, limit=LOCKED_APP_BYTES)
        if app.manifest.kind == "app":
            parse_locked_app(content, where=f"{app.reference}, {document.digest}")
        self.cache.write_locked_app(app.tag, content, durable=self.fetching.options.durable)
        return True

    def from_data(self, document: Descriptor) -> bytes | None:
        """Look for a locked app in ``data/``, where older Spins put what they did not know."""
        if self.cache.blob_size("data", document.digest) != document.size:
            return None
        try:
            content = read_bounded(self.cache.blob_path("data", document.digest), limit=LOCKED_APP_BYTES)
        except SpinCacheError:
            return None
        return content if document.digest.matches(content) else None

    # Blobs -----------------------------------------------------------------------------------

    def mend_blobs(self) -> None:
        """Copy or fetch what is damaged or lacking, then unpack what archives hold of it."""
        wanted, archives = self.wanted()
        looking = self.fetching.submit(self.wanted_by_projects)
        self.fetching.watch([looking])
        wanted |= looking.result()
        self.fetching.make_room(sum(one.size or 0 for one in wanted.values() if one.offers))
        self.fetching.start(wanted.values(), self.settle)
        self.fetching.watch((), and_blobs=True)
        left: dict[Digest, set[Digest]] = {}
        for place, holders in archives.items():
            for archive in () if self.name_of(place) in self.written else holders:
                left.setdefault(archive, set()).add(place[1])
        self.each(self.unpack, sorted(left.items()), lambda item: self.path_of(("data", item[0])))

    def settle(self, one: Wanted, failure: SpinCacheError | None) -> None:
        """Note what became of a blob."""
        for area in one.areas:
            if failure is None:
                self.failures.pop(self.path_of((area, one.digest)), None)
                self.written.add(self.name_of((area, one.digest)))
            else:
                self.failures[self.path_of((area, one.digest))] = str(failure)

    def wanted(self) -> tuple[dict[_Place, Wanted], dict[_Place, set[Digest]]]:
        """What apps need and cannot use, and archives that hold some of it."""
        wanted: dict[_Place, Wanted] = {}
        archives: dict[_Place, set[Digest]] = {}
        apps = {app.reference: app for app in self.inventory.apps}
        lost = [((one.area, one.digest), apps[one.user]) for one in self.inventory.missing]
        for use in self.inventory.uses():
            if (use.area, use.digest) in self.wrong and use.user in apps:
                lost.append(((use.area, use.digest), apps[use.user]))
        for place, app in lost:
            one = wanted.setdefault(place, Wanted(place[1], None, {place[0]}))
            holders = archives.setdefault(place, set())
            reference = _reference(app)
            for layer in app.manifest.layers if app.manifest is not None else ():
                if layer.digest == place[1] and reference is not None:
                    one.size = layer.size
                    one.offers.append(registry_offer(self.source, reference, layer))
                elif layer.role == "archive" and place[0] == "data":
                    holders.add(layer.digest)
        only_in_archives = {place for place, one in wanted.items() if archives[place] and not one.offers}
        return {place: one for place, one in wanted.items() if place not in only_in_archives}, archives

    def wanted_by_projects(self) -> dict[_Place, Wanted]:
        """Damaged sources that only projects need, with the addresses and packages that offer them."""
        apps = {app.reference for app in self.inventory.apps}
        needed = {(use.area, use.digest) for use in self.inventory.uses() if use.user in apps}
        found: dict[_Place, Wanted] = {}
        for project in self.inventory.projects:
            named = {(use.area, use.digest) for use in project.uses if use.via == "spin.toml"}
            places = named & (self.wrong - needed)
            if places:
                self.add_offers(found, project.path, places)
        return found

    def add_offers(self, found: dict[_Place, Wanted], path: Path, places: Collection[_Place]) -> None:
        """Add who offers damaged sources of one project; note why nobody does."""
        from spincache_nb.project.sources import Project, find_offers

        digests = {digest for _, digest in places}
        try:
            offered, failures = find_offers(self.packages, Project.read(path), digests)
        except PullCancelled:
            raise
        except SpinCacheError as exc:
            offered, failures = {}, dict.fromkeys(digests, exc)
        for place in places:
            area, digest = place
            if digest in offered:
                one = found.setdefault(place, Wanted(digest, offered[digest].size, {area}))
                one.offers += offered[digest].offers
            else:
                self.failures[self.path_of(place)] = str(failures[digest])

    def unpack(self, item: tuple[Digest, Collection[Digest]]) -> None:
        """Store the members of an archive that are lacking or damaged."""
        archive, members = item
        renew = {digest for digest in members if ("data", digest) in self.wrong}
        try:
            found = self.fetching.unpack(archive, renew=renew)
        except PullCancelled:
            raise
        except SpinCacheError as exc:
            for digest in members:
                self.failures.setdefault(self.path_of(("data", digest)), str(exc))
            raise
        self.written |= {self.name_of(("data", one.digest)) for one in found.members if one.digest in members}

    # Names -----------------------------------------------------------------------------------

    def name_of(self, place: _Place) -> tuple[str, str]:
        """Area and file name of a blob that is stored."""
        area, digest = place
        return area, shown(self.cache.blob_path(area, digest).name)

    def path_of(self, place: _Place) -> str:
        """Where a blob is or would be, as problems name it."""
        area, digest = place
        path = self.cache.blob_path(area, digest)
        name = path.name if path.exists() else file_name(digest, windows=self.cache.windows_names)
        return f"{area}/{shown(name)}"

    def relative(self, path: Path) -> str:
        """A path as problems name it."""
        return shown(path.relative_to(self.cache.path).as_posix())


def _reference(app: CachedApp) -> Reference | None:
    try:
        return Reference.parse(app.reference)
    except SpinCacheError:
        return None


def _stored_document(app: CachedApp) -> bytes | None:
    """Bytes of ``config.json``, if they are a locked app."""
    if app.config_kind != "locked app":
        return None
    try:
        return app.tag.read_locked_app()
    except SpinCacheError:
        return None

"""Repairing: what is damaged or missing is fetched again from where its app came from, and no more."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from msgspec import structs

from spincache_nb.core.cache import Cache
from spincache_nb.core.digest import Digest
from spincache_nb.core.fetching import Fetching, Options, Source, Wanted, registry_offer
from spincache_nb.core.files import read_bounded
from spincache_nb.core.journal import History
from spincache_nb.core.layout import shown
from spincache_nb.core.locked_app import parse_locked_app
from spincache_nb.core.plans import Resolved, resolve
from spincache_nb.core.progress import Progress
from spincache_nb.core.pull import Pull
from spincache_nb.core.reference import Reference
from spincache_nb.core.scan import Problem
from spincache_nb.core.settings import JOBS, LOCKED_APP_BYTES, ArchiveLimits
from spincache_nb.errors import ManifestError, PullCancelled, SpinCacheError
from spincache_nb.inventory import CachedApp, take_inventory
from spincache_nb.inventory.columns import AREAS_IN_ORDER, VIAS, parsed
from spincache_nb.show import Column, Table, count_text, size_text
from spincache_nb.upkeep.plans import Shown
from spincache_nb.upkeep.verify import Health, Place, examine, is_damage, users_of

if TYPE_CHECKING:
    from spincache_nb.core.pull import Auth
    from spincache_nb.project.packages import PackageClient

_COLUMNS = (
    Column("what", "what"),
    Column("kind", "problem"),
    Column("path", "path", "code"),
    Column("detail", "detail"),
)
T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True, repr=False)
class RepairResult(Shown):
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

    def summary(self) -> str:
        """The result in one line."""
        return (
            f"repaired {count_text(len(self.repaired), 'problem')} "
            f"with {size_text(self.wire_bytes)} received; "
            f"{len(self.remaining)} remain, {len(self.damaged)} of them damage"
        )

    def _tables(self, most: int) -> Iterable[Table]:
        told = [("remains", row) for row in self.remaining] + [("repaired", row) for row in self.repaired]
        yield Table([(what, row.kind, row.path, row.detail) for what, row in told], _COLUMNS, most=most)


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
    insecure, ca, auth, jobs, progress, cancel, durable, archive_limits
        As `pull` takes them. Progress is first that of the check; what was repaired before a cancel stays.
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
    PullCancelled, NoSpaceError, SpinManifestError
        If `cancel` was set, the disk has no room, or there is no project at one of the paths given.

    Notes
    -----
    A damaged file stays until its good copy takes its place. A blob is fetched by the digest that the cached
    manifest gives; a manifest by the digest it is known to have had, else by its tag, and then taken only if
    it names the locked app that is stored. Archives are unpacked again where members lack. Of what only a
    project needs, damaged sources come from where its ``spin.toml`` says; `pull_sources` fetches the others.
    """
    from spincache_nb.core.registry import Registry
    from spincache_nb.project.packages import PackageClient

    started = time.perf_counter()
    client = Registry(insecure=insecure, ca=ca, auth=auth, jobs=jobs)
    packages = PackageClient(insecure=insecure, ca=ca, auth=auth, jobs=jobs)
    options = Options(jobs, progress, cancel, durable, archive_limits, history)
    look = partial(examine, cache, cancel=cancel, projects=projects, history=history)
    with Fetching(cache, options, client.close, packages.close, what="repair") as fetching:
        before = look(progress=progress)
        work = _Repair(fetching, client, packages, before, projects)
        work.mend_documents()
        work.mend_blobs()
    after = look(only={one.path for one in before.wrong} | work.written)
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
        self.known = self.history.manifest_digests(self.cache.path)
        self.wrong: set[Place] = {one.place for one in health.wrong if one.place is not None}
        self.failures: dict[str, str] = {}
        self.written: set[str] = set()

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
        apps = self.inventory.apps
        found = self.each(self.find_manifest, apps, lambda app: self.relative(app.tag.manifest_path))
        if resolved := [one for one in found if one is not None]:
            pull = Pull(self.fetching, self.source, keep_going=True, history=History(enabled=False))
            for one in pull.store(resolved):
                if one.failure is not None:
                    tag = self.cache.cached_tag(one.resolved.reference)
                    self.failures[self.relative(tag.manifest_path)] = str(one.failure)
            self.look_again()
        apps = self.inventory.apps
        if any(self.each(self.mend_locked_app, apps, lambda app: self.relative(app.tag.locked_app_path))):
            self.look_again()

    def look_again(self) -> None:
        self.inventory = take_inventory(self.cache, projects=self.projects, history=self.history)

    def find_manifest(self, app: CachedApp) -> Resolved | None:
        """Fetch the manifest that an app had, if the one that is stored is damaged or seems altered."""
        stored = _read(app.tag.locked_app_path) if app.config_kind == "locked app" else None
        layers = app.contents.layers
        flags = layers.stored[layers.starts[app.number] : layers.starts[app.number + 1]]
        is_legible = app.config is not None
        if is_legible and (app.manifest_digest is not None or stored is None or flags.all()):
            return None
        reference = Reference.parse(app.reference)
        digests = [app.tag.digest] if app.tag.digest is not None else self.known.get(app.reference, [])
        candidates = [structs.replace(reference, digest=digest) for digest in digests]
        if not is_legible and reference.tag is not None and stored is not None:
            candidates.append(reference)  # what it means by now may still be what it meant
        failure: SpinCacheError | None = None
        for candidate in candidates:
            try:
                resolved = resolve(self.source.fetch_manifest, candidate)._replace(reference=reference)
            except PullCancelled:
                raise
            except SpinCacheError as exc:
                if candidate is reference:
                    raise
                failure = failure or exc
                continue
            if stored is None or resolved.manifest.tag_document.digest.matches(stored):
                return resolved
        if is_legible:
            return None
        raise failure or ManifestError(
            app.reference,
            "to know which manifest it was",
            "a registry that has another by now, or no trace of it",
            "pull the app again",
        )

    def mend_locked_app(self, app: CachedApp) -> bool:
        """Bring ``config.json`` back if it is not the one that the manifest names."""
        manifest = app.manifest
        if manifest is None:
            return False
        document = manifest.tag_document
        stored = _read(app.tag.locked_app_path)
        if stored is not None and document.digest.matches(stored):
            return False
        content = None  # older Spins put what they did not know into data/
        if self.cache.blob_size("data", document.digest) == document.size:
            content = _read(self.cache.blob_path("data", document.digest))
        if content is None or not document.digest.matches(content):
            reference = Reference.parse(app.reference)
            content = self.source.fetch_document(reference, document, limit=LOCKED_APP_BYTES)
        if manifest.kind == "app":
            parse_locked_app(content, where=f"{app.reference}, {document.digest}")
        self.cache.write_locked_app(app.tag, content, durable=self.fetching.options.durable)
        return True

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
            for archive in () if self.path_of(place) in self.written else holders:
                left.setdefault(archive, set()).add(place[1])
        self.each(self.unpack, sorted(left.items()), lambda item: self.path_of(("data", item[0])))

    def settle(self, one: Wanted, failure: SpinCacheError | None) -> None:
        """Note what became of a blob."""
        for area in one.areas:
            if failure is None:
                self.failures.pop(self.path_of((area, one.digest)), None)
                self.written.add(self.path_of((area, one.digest)))
            else:
                self.failures[self.path_of((area, one.digest))] = str(failure)

    def lost(self) -> dict[str, list[Place]]:
        """What each app needs and cannot use, but for files that its publisher never pushed."""
        not_pushed = {row.path for row in self.inventory.problems if row.kind == "file not pushed"}
        found: dict[str, list[Place]] = {}
        lost = self.inventory.missing
        rows = zip(
            *(column.tolist() for column in (lost.users, lost.areas, lost.digests, lost.vias)), strict=True
        )
        for user, area, digest, via in rows:
            place = AREAS_IN_ORDER[area], parsed(lost.digest_texts[digest])
            if VIAS[via] != "archive member" or self.path_of(place) not in not_pushed:
                found.setdefault(lost.names[user], []).append(place)
        for place, user, _ in users_of(self.inventory, self.wrong):
            found.setdefault(user, []).append(place)
        return found

    def wanted(self) -> tuple[dict[Place, Wanted], dict[Place, set[Digest]]]:
        """What apps need and cannot use, and archives that hold some of it."""
        wanted: dict[Place, Wanted] = {}
        archives: dict[Place, set[Digest]] = {}
        lost = self.lost()
        for app in self.inventory.apps:
            manifest = app.manifest if app.reference in lost else None
            layers = manifest.layers if manifest is not None else ()
            holders = {layer.digest for layer in layers if layer.role == "archive"}
            for place in lost.get(app.reference, ()):
                area, digest = place
                one = wanted.setdefault(place, Wanted(digest, None, {area}))
                archives.setdefault(place, set()).update(holders - {digest} if area == "data" else ())
                for layer in (layer for layer in layers if layer.digest == digest):
                    with contextlib.suppress(SpinCacheError):  # a folder's name may be no reference
                        reference = Reference.parse(app.reference)
                        one.size = layer.size
                        one.offers.append(registry_offer(self.source, reference, layer))
        return {p: one for p, one in wanted.items() if one.offers or not archives[p]}, archives

    def wanted_by_projects(self) -> dict[Place, Wanted]:
        """Damaged sources that only projects need, with the addresses and packages that offer them."""
        from spincache_nb.project.sources import find_offers

        apps = {app.reference for app in self.inventory.apps}
        uses = list(users_of(self.inventory, self.wrong))
        needed = {place for place, user, _ in uses if user in apps}
        found: dict[Place, Wanted] = {}
        for project in self.inventory.projects:
            named = {place for place, user, via in uses if user == project.name and via == "spin.toml"}
            digests = {digest for _, digest in named - needed}
            offered = find_offers(self.packages, project.path, digests) if digests else {}
            for area, digest in named - needed:
                offer = offered[digest]
                if isinstance(offer, Wanted):
                    one = found.setdefault((area, digest), Wanted(digest, offer.size, {area}))
                    one.offers += offer.offers
                else:
                    self.failures[self.path_of((area, digest))] = str(offer)
        return found

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
        self.written |= {self.path_of(("data", one.digest)) for one in found.members if one.digest in members}

    # Names -----------------------------------------------------------------------------------

    def path_of(self, place: Place) -> str:
        """Where a blob is or would be, as problems name it."""
        return f"{place[0]}/{shown(self.cache.blob_path(*place).name)}"

    def relative(self, path: Path) -> str:
        """A path as problems name it."""
        return shown(path.relative_to(self.cache.path).as_posix())


def _read(path: Path) -> bytes | None:
    """A document; None if it is not there, or cannot be read."""
    try:
        return read_bounded(path, limit=LOCKED_APP_BYTES)
    except SpinCacheError:
        return None

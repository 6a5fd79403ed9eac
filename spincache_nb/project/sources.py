"""Sources that a ``spin.toml`` names by address and digest, or as packages: decide, then fetch."""

from __future__ import annotations

import contextlib
import copy
import os
import threading
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from spincache_nb.core.cache import Cache
from spincache_nb.core.digest import Digest
from spincache_nb.core.documents import Area
from spincache_nb.core.fetching import Fetching, Offer, Options, Wanted, raise_failure
from spincache_nb.core.plans import Form, Plan, Result
from spincache_nb.core.progress import Progress, ProgressEvent
from spincache_nb.core.settings import JOBS
from spincache_nb.errors import ContentError, PullCancelled, SpinCacheError, SpinManifestError
from spincache_nb.project.package_config import PackageLog, PackageRecord
from spincache_nb.project.spin_toml import PackageKey, Place, SpinManifest, WebSource, find_project

if TYPE_CHECKING:
    from spincache_nb.core.pull import Auth
    from spincache_nb.project.packages import PackageClient, Release


@dataclass(frozen=True, slots=True)
class PlannedSource:
    """A source that a ``spin.toml`` names, and the blob that it is."""

    component: str | None
    trigger: str | None
    dependency: str | None
    profile: str | None
    kind: Literal["url", "package"]
    origin: str
    package: str | None
    version: str | None
    digest: str
    size: int | None
    stored: bool

    @property
    def what(self) -> str:
        """Who needs it, in a few words."""
        names = [self.component or f"trigger {self.trigger}", self.dependency]
        text = ", ".join(name for name in names if name is not None)
        return f"{text} ({self.profile})" if self.profile is not None else text


@dataclass(frozen=True, slots=True, repr=False)
class SourcesPlan(Plan[PlannedSource]):
    """What a pull of a project's sources would fetch and what it would reuse.

    Parameters
    ----------
    path
        The project, as it was named.
    name
        The application's name, or None.
    sources
        In the order of the file; the same digest may be there several times. Local paths are not.
    """

    path: str
    name: str | None
    sources: tuple[PlannedSource, ...]

    @property
    def unknown_count(self) -> int:
        """Number of sources to be fetched whose size is not known before, each digest once."""
        return sum(source.size is None for source in self.distinct())

    def _each(self) -> Iterable[PlannedSource]:
        return self.sources

    def _unknown(self) -> str:
        return f" and {self.unknown_count} of unknown size" if self.unknown_count else ""

    def _form(self) -> Form:
        from spincache_nb.show import Cell, digest_cell, size_cell

        rows = [
            (
                *(Cell(one.what), Cell(one.origin), digest_cell(one.digest)),
                *(size_cell(one.size), self._state(one.stored)),
            )
            for one in self.sources
        ]
        return self.path, self._share(), ("what", "from", "digest", "size", ""), rows

    def _counted(self) -> str:
        from spincache_nb.show import count_text

        return f"{self.path}: {count_text(len(self.sources), 'source')}"


@dataclass(frozen=True, slots=True, repr=False)
class SourcesResult(Result[PlannedSource], SourcesPlan):
    """What a pull of sources fetched and what it reused: the plan it carried out, and its cost.

    Parameters
    ----------
    wire_bytes
        All bytes received: metadata, lists of tags, manifests, retries and error pages included.
    seconds
        Wall-clock time.
    """

    wire_bytes: int
    seconds: float


def plan_sources(
    cache: Cache,
    path: str | os.PathLike[str],
    *,
    insecure: bool | None = None,
    ca: str | os.PathLike[str] | None = None,
    auth: Auth = None,
    jobs: int = JOBS,
) -> SourcesPlan:
    """Say what fetching the sources of a project would bring; nothing is downloaded or written.

    Parameters
    ----------
    cache
        The cache that would be filled. Spin's own commands keep these sources in this user's default
        cache in some cases, whatever ``--cache-dir`` says (``spin registry push``).
    path
        A ``spin.toml`` or the folder that holds one.
    insecure, ca, auth, jobs
        As `pull_sources` takes them.

    Returns
    -------
    SourcesPlan
        The sources of all components, dependencies and build profiles. Package registries are asked
        for versions and manifests; addresses are not, so that sizes of what is not stored are not known.

    Raises
    ------
    SpinManifestError
        If there is no project, or anything in its ``spin.toml`` that Spin would refuse.
    PackageError, PackageConfigError
        If it cannot be found out which content a package is.
    NotFoundError, AccessDeniedError, ConnectionFailedError, RegistryError, ManifestError
        If a registry does not give what was asked for.
    """
    from spincache_nb.project.packages import PackageClient

    project = Project.read(path)
    client = PackageClient(insecure=insecure, ca=ca, auth=auth, jobs=jobs)
    with Fetching(cache, Options(jobs), client.close, what="plan") as fetching:
        return _look_up(fetching, client, project)[0]


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
    cache, path
        The cache to fill, and a ``spin.toml`` or the folder that holds one.
    insecure, ca, jobs, progress, cancel, durable
        As `pull` takes them. An ``http://`` address in the file is asked as it is written, since the digest
        beside it protects the content; ``insecure=False`` refuses it.
    auth
        Credentials for package registries, ahead of the package tools' configuration and the stores.

    Returns
    -------
    SourcesResult
        The sources of all components, dependencies and build profiles, with the sizes of all.

    Raises
    ------
    SpinManifestError, PackageError, PackageConfigError, NotFoundError, AccessDeniedError, RegistryError
        As `plan_sources`; nothing is asked of a project that Spin would refuse.
    DigestMismatchError, SizeMismatchError, NoSpaceError, CacheWriteError, CacheError, PullCancelled
        If what comes is something else, or cannot be stored, or `cancel` was set.

    Notes
    -----
    As in Spin, content that ``data/`` has is not fetched again. Of several addresses with one digest the
    first that delivers counts. The history of pulls says nothing of it; which content each package was is
    kept beside that history, so that ``projects=`` knows it offline.
    """
    from spincache_nb.project.packages import PackageClient

    started = time.perf_counter()
    project = Project.read(path)
    client = PackageClient(insecure=insecure, ca=ca, auth=auth, jobs=jobs)
    options = Options(jobs, progress, cancel, durable)
    with Fetching(cache, options, client.close, what="sources") as fetching:
        plan, missing, releases = _look_up(fetching, client, project)
        cache.remove_stale()
        fetching.make_room(plan.fetch_bytes)
        _reuse(fetching, plan)
        fetching.start(missing.values(), raise_failure)
        fetching.watch((), and_blobs=True)
    _record(releases)
    sizes = {str(digest): one.size for digest, one in missing.items()}
    sources = tuple(replace(one, size=sizes.get(one.digest, one.size)) for one in plan.sources)
    return SourcesResult(plan.path, plan.name, sources, client.wire_bytes, time.perf_counter() - started)


@dataclass(frozen=True, slots=True)
class Project:
    """A project's ``spin.toml``, read and found without fault."""

    path: str
    manifest: SpinManifest

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Project:
        """Read a project of which sources are to be fetched."""
        files = find_project(path)
        manifest = files.read_manifest()
        if manifest is None:
            raise SpinManifestError(
                files.name, "a folder with a spin.toml", "only an environment lock", "name another folder"
            )
        if manifest.faults:
            fault = manifest.faults[0]
            more = f" (and {len(manifest.faults) - 1} more faults)" if len(manifest.faults) > 1 else ""
            raise SpinManifestError(
                f"{files.name}, {fault.key}",
                "a manifest that Spin would load",
                f"{fault.reason}{more}",
                "correct the file",
            )
        return cls(files.name, manifest)

    @property
    def package_keys(self) -> list[PackageKey]:
        """Packages that it names, each once: name, requirement, registry."""
        return list(dict.fromkeys(source.key for source in self.manifest.packages))

    def resolve(self, client: PackageClient, key: PackageKey) -> Release:
        """Look a package up; an error says which part of the project needs it."""
        place = next(source.place for source in self.manifest.packages if source.key == key)
        with _located(f"{self.path}, {place}"):
            return client.resolve(*key)

    def offers(
        self, client: PackageClient, releases: Mapping[PackageKey, Release]
    ) -> tuple[list[tuple[Place, Release]], dict[Digest, Wanted]]:
        """What its sources are, without packages that were not looked up, and who offers each content."""
        from spincache_nb.project.packages import Release

        found: list[tuple[Place, Release]] = []
        wanted: dict[Digest, Wanted] = {}
        for source in self.manifest.sources:
            where = f"{self.path}, {source.place}"
            if isinstance(source, WebSource):
                opened = partial(client.stream_address, source.url, where=where)
                release = Release(None, None, source.address, source.digest, None, opened)
            elif source.key in releases:
                release = releases[source.key]
            else:
                continue
            found.append((source.place, release))
            one = wanted.setdefault(release.digest, Wanted(release.digest, release.size, {"wasm"}))
            one.size = release.size if one.size is None else one.size
            opened = partial(_open_located, release, where)
            one.offers.append(Offer(release.origin, f"{where}: {release.origin}", opened))
        return found, wanted


def _look_up(
    fetching: Fetching, client: PackageClient, project: Project
) -> tuple[SourcesPlan, dict[Digest, Wanted], dict[PackageKey, Release]]:
    """Find out which content the sources are, what the cache lacks of it, and what packages are now."""
    keys = project.package_keys
    answers = fetching.each(lambda key: project.resolve(client, key), keys)
    releases = dict(zip(keys, answers, strict=True))
    found, wanted = project.offers(client, releases)
    sizes = fetching.each(lambda one: _stored_size(fetching, one), wanted.values())
    stored = dict(zip(wanted, sizes, strict=True))
    rows = [_planned(place, release, stored[release.digest]) for place, release in found]
    plan = SourcesPlan(project.path, project.manifest.name, tuple(rows))
    return plan, {digest: one for digest, one in wanted.items() if stored[digest] is None}, releases


def _planned(place: Place, release: Release, size: int | None) -> PlannedSource:
    return PlannedSource(
        *(place.component, place.trigger, place.dependency, place.profile),
        kind="url" if release.package is None else "package",
        origin=release.origin,
        package=release.package,
        version=release.version,
        digest=str(release.digest),
        size=release.size if size is None else size,
        stored=size is not None,
    )


def _stored_size(fetching: Fetching, wanted: Wanted) -> int | None:
    """Size of the blob that Spin finds for a digest, if its bytes are the right ones; else None."""
    cache = fetching.cache
    area: Area = "wasm" if cache.blob_size("wasm", wanted.digest) is not None else "data"
    return cache.blob_size(area, wanted.digest) if fetching.has(wanted, area) else None


def _reuse(fetching: Fetching, plan: SourcesPlan) -> None:
    """Make young what is reused, so that a prune beside us leaves it alone."""
    for source in plan.distinct():
        if source.stored:
            fetching.cache.touch_blobs([Digest.parse(source.digest)])
            fetching.report(ProgressEvent("reused", source.origin, source.digest, total=source.size or 0))


def _record(releases: Mapping[PackageKey, Release]) -> None:
    """Note which content each package was."""
    now = datetime.now(UTC).replace(microsecond=0)
    PackageLog().append(
        PackageRecord(now, *key, str(release.version), str(release.digest))
        for key, release in releases.items()
    )


def find_offers(
    client: PackageClient, path: Path, digests: Collection[Digest]
) -> dict[Digest, Wanted | SpinCacheError]:
    """Who offers some contents of a project now, or why nobody does."""
    found: dict[Digest, Wanted | SpinCacheError] = {}
    releases: dict[PackageKey, Release] = {}
    try:
        project = Project.read(path)
    except SpinCacheError as exc:
        return dict.fromkeys(digests, exc)
    known = PackageLog().known()
    for key in project.package_keys:
        digest = known.get(key)
        if digest is not None and digest in digests:
            try:
                releases[key] = project.resolve(client, key)
            except PullCancelled:
                raise
            except SpinCacheError as exc:
                found[digest] = exc
    offered = project.offers(client, releases)[1]
    nobody = "no address in it, and no version of a package that it takes by now"
    for digest in digests:
        error = ContentError(project.path, f"a source of {digest}", nobody, "build it again")
        found[digest] = offered.get(digest) or found.get(digest, error)
    return found


def _open_located(release: Release, where: str) -> Iterator[bytes]:
    """The bytes of a release; errors say which part of the project they are about."""
    with _located(where):
        yield from release.open()


@contextlib.contextmanager
def _located(where: str) -> Iterator[None]:
    """Put the part of the project before the place that an error names."""
    try:
        yield
    except PullCancelled:
        raise
    except SpinCacheError as exc:
        if exc.where.startswith(where):
            raise
        twin = copy.copy(exc)
        twin.where = f"{where}: {exc.where}"
        twin.args = (twin.where, *exc.args[1:])
        raise twin from exc

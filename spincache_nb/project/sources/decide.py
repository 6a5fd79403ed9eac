"""Which blobs a project's sources are, and which of them the cache has already."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spincache_nb.core.cache import Cache
from spincache_nb.core.digest import Digest, hash_stream
from spincache_nb.core.documents import Area
from spincache_nb.core.files import open_regular
from spincache_nb.errors import PullCancelled, SpinCacheError, SpinManifestError
from spincache_nb.project.package_record import PackageKey
from spincache_nb.project.places import find_project
from spincache_nb.project.sources.values import PlannedSource, SourcesPlan
from spincache_nb.project.spin_manifest import Place, SpinManifest, WebSource

if TYPE_CHECKING:
    from spincache_nb.core.credentials import Credentials
    from spincache_nb.project.packages import PackageClient, Release

    Auth = Credentials | tuple[str, str] | None

JOBS = 16
"""Loads at a time, as in Spin (``MAX_FILE_LOADING_CONCURRENCY``)."""


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
    insecure
        None means plain HTTP for registries on this machine only; True forces HTTP, False HTTPS.
    ca
        File with further certificate authorities (PEM).
    auth
        Credentials for package registries, ahead of the package tools' configuration and the stores.
    jobs
        Packages looked up at a time.

    Returns
    -------
    SourcesPlan
        The sources of all components, dependencies and build profiles. Package registries are asked
        for versions and manifests; addresses are not, so that the size of what is not stored is
        not known.

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

    project = read_project(path)
    with (
        PackageClient(insecure=insecure, ca=ca, auth=auth, jobs=jobs) as client,
        ThreadPoolExecutor(jobs, thread_name_prefix="spincache-sources") as pool,
    ):
        keys = list(project.package_keys())
        found = pool.map(lambda key: resolve(client, project, key), keys)
        releases = dict(zip(keys, found, strict=True))
        wanted = project.wanted(releases)
        sizes = pool.map(lambda item: stored_size(cache, *item), wanted.items())
        return project.plan(releases, dict(zip(wanted, sizes, strict=True)))


@dataclass(frozen=True, slots=True)
class Project:
    """A project's ``spin.toml``, read and found without fault."""

    path: str
    manifest: SpinManifest

    def package_keys(self) -> Iterable[PackageKey]:
        """Packages that it names, each once: name, requirement, registry."""
        return dict.fromkeys(source.key for source in self.manifest.packages)

    def wanted(self, releases: Mapping[PackageKey, Release]) -> dict[Digest, int | None]:
        """Digests that it needs, with the declared size of each, if there is one."""
        found: dict[Digest, int | None] = {source.digest: None for source in self.manifest.web_sources}
        for release in releases.values():
            found[release.digest] = release.size
        return found

    def where(self, place: Place) -> str:
        """What to call a part of it in an error."""
        return f"{self.path}, {place}"

    def plan(
        self, releases: Mapping[PackageKey, Release], stored: Mapping[Digest, int | None]
    ) -> SourcesPlan:
        """Put together what was found out."""
        rows = []
        for source in self.manifest.sources:
            release: Release | None = None
            if isinstance(source, WebSource):
                origin, digest, declared = source.address, source.digest, None
            else:
                release = releases[source.key]
                origin, digest, declared = release.origin, release.digest, release.size
            size = stored[digest]
            rows.append(
                PlannedSource(
                    component=source.place.component,
                    trigger=source.place.trigger,
                    dependency=source.place.dependency,
                    profile=source.place.profile,
                    kind="url" if release is None else "package",
                    origin=origin,
                    package=release.package if release is not None else None,
                    version=release.version if release is not None else None,
                    digest=str(digest),
                    size=size if size is not None else declared,
                    stored=size is not None,
                )
            )
        return SourcesPlan(self.path, self.manifest.name, tuple(rows))


def read_project(path: str | os.PathLike[str]) -> Project:
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
    return Project(files.name, manifest)


def resolve(client: PackageClient, project: Project, key: PackageKey) -> Release:
    """Look a package up; an error says which part of the project needs it."""
    package, requirement, registry = key
    try:
        return client.resolve(package, requirement, registry)
    except PullCancelled:
        raise
    except SpinCacheError as exc:
        places = [source.place for source in project.manifest.packages if source.key == key]
        raise located(exc, project.where(places[0])) from exc


def located(exc: SpinCacheError, where: str) -> SpinCacheError:
    """The same error, with the part of the project before the place where it happened."""
    twin = copy.copy(exc)
    twin.where = f"{where}: {exc.where}"
    twin.args = (twin.where, *exc.args[1:])
    return twin


def stored_size(cache: Cache, digest: Digest, declared: int | None) -> int | None:
    """Size of the blob that Spin finds for a digest, if its bytes are the right ones; else None."""
    size = cache.blob_size("wasm", digest)
    area: Area = "wasm"
    if size is None:
        size, area = cache.blob_size("data", digest), "data"
    if size is None or (declared is not None and size != declared):
        return None
    try:
        with open_regular(cache.blob_path(area, digest)) as stream:
            found, count = hash_stream(stream, digest.algorithm)
    except SpinCacheError:
        return None
    return count if found == digest else None

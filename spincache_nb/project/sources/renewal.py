"""Fetching single sources of a project again, where what is stored under their names is damaged."""

from __future__ import annotations

import os
import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spincache_nb.core.cache import Cache
from spincache_nb.core.digest import Digest
from spincache_nb.core.progress import Reporter
from spincache_nb.errors import ContentError, PullCancelled, SpinCacheError
from spincache_nb.project.package_record import PackageKey, PackageLog
from spincache_nb.project.sources.carry import SourcesPull
from spincache_nb.project.sources.decide import JOBS, Project, read_project, resolve

if TYPE_CHECKING:
    from spincache_nb.project.packages import PackageClient, Release
    from spincache_nb.project.sources.decide import Auth

_CHANGED = "no address in it, and no version of a package that it takes by now"


@dataclass(frozen=True, slots=True)
class Renewed:
    """What became of sources that were to be fetched again."""

    failures: Mapping[Digest, SpinCacheError]
    wire_bytes: int


def renew_sources(
    cache: Cache,
    path: str | os.PathLike[str],
    digests: Collection[Digest],
    *,
    insecure: bool | None = None,
    ca: str | os.PathLike[str] | None = None,
    auth: Auth = None,
    jobs: int = JOBS,
    cancel: threading.Event | None = None,
    durable: bool = False,
) -> Renewed:
    """Fetch some sources of a project again, and put them in the place of what is stored."""
    from spincache_nb.project.packages import PackageClient

    project = read_project(path)
    stop, reporter = threading.Event(), Reporter(None)
    client = PackageClient(insecure=insecure, ca=ca, auth=auth, jobs=jobs, cancel=stop)
    try:
        releases, failures = _looked_up(client, project, digests)
        pull = SourcesPull(cache, client, project, reporter, stop, cancel, durable, jobs)
        missing = pull.missing(releases, dict.fromkeys(digests))
        failures |= pull.renew(missing.values())
    finally:
        client.close()
        reporter.close()
    for digest in digests:
        if digest not in missing and digest not in failures:
            failures[digest] = ContentError(project.path, f"a source of {digest}", _CHANGED, "build it again")
    return Renewed(failures, client.wire_bytes)


def _looked_up(
    client: PackageClient, project: Project, digests: Collection[Digest]
) -> tuple[dict[PackageKey, Release], dict[Digest, SpinCacheError]]:
    """Look up the packages that had one of some contents before; say which could not be."""
    releases: dict[PackageKey, Release] = {}
    failures: dict[Digest, SpinCacheError] = {}
    known = PackageLog().known()
    for key in project.package_keys():
        digest = known.get(key)
        if digest is None or digest not in digests:
            continue
        try:
            releases[key] = resolve(client, project, key)
        except PullCancelled:
            raise
        except SpinCacheError as exc:
            failures[digest] = exc
    return releases, failures

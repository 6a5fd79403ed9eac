"""What pulls brought, by their history, and what versions in a registry are, by their manifests.

`remote_versions` is the one analysis that asks a registry. What it gives is a *source* like any other:
`remote_savings` and `upgrade_matrix` replay it without a network.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, MutableMapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Any, TypeAlias

import pandas as pd

from spincache_nb.analysis.schemas import (
    MANIFESTS_SCHEMA,
    REMOTE_PROBLEMS_SCHEMA,
    REMOTE_TAGS_SCHEMA,
    TAGS_SCHEMA,
    TIMELINE_SCHEMA,
)
from spincache_nb.analysis.tags import Survey, reference_key, survey
from spincache_nb.core.plans import Resolved
from spincache_nb.core.progress import Progress
from spincache_nb.core.reference import Reference
from spincache_nb.core.settings import JOBS
from spincache_nb.frames import history
from spincache_nb.frames.schemas import build
from spincache_nb.frames.sources import Caches, caches_of
from spincache_nb.show import rows

if TYPE_CHECKING:
    from spincache_nb.core.pull import Auth

Pulls: TypeAlias = pd.DataFrame | Caches
"""``frames.history()``, or whose pulls to load: those into caches, or all of this user's."""


@TIMELINE_SCHEMA.describes
def timeline(cache: Pulls = None) -> pd.DataFrame:
    """Add up over time what pulls fetched and what they could reuse.

    Parameters
    ----------
    cache
        ``frames.history()``, or a cache, its path or several; all that this user pulled unless given.

    Returns
    -------
    pandas.DataFrame
        One row per pull in order of time, those without a time last. A missing byte count adds 0.

        {columns}
    """
    fetched = reused = wire = 0
    lines = []
    for pull in _in_time(_loaded(cache), "fetch_bytes", "reused_bytes", "wire_bytes"):
        at, cache, reference, fetch_bytes, reused_bytes, wire_bytes = pull
        fetched += fetch_bytes or 0
        reused += reused_bytes or 0
        wire += wire_bytes or 0
        both = (fetch_bytes or 0) + (reused_bytes or 0)
        share = (reused_bytes or 0) / both if both else None
        lines.append((at, cache, reference, fetch_bytes, reused_bytes, share, fetched, reused, wire))
    return build(TIMELINE_SCHEMA, lines)


@TAGS_SCHEMA.describes
def tags_over_time(cache: Pulls = None) -> pd.DataFrame:
    """Say which manifests each tag has meant, one after the other.

    Parameters
    ----------
    cache
        As for `timeline`.

    Returns
    -------
    pandas.DataFrame
        One row per unbroken run of pulls of one reference into one cache that gave the same
        manifest. Pulls whose manifest is not known are left out.

        {columns}
    """
    pulls = [
        (cache or "", reference or "", digest, at)
        for at, cache, reference, digest in _in_time(_loaded(cache), "manifest_digest")
        if digest is not None
    ]
    lines = []
    for (cache, reference), group in groupby(sorted(pulls, key=lambda p: p[:2]), key=lambda p: p[:2]):
        seen: set[str] = set()
        for meaning, (digest, run) in enumerate(groupby(group, key=lambda p: p[2]), start=1):
            times = [at for *_, at in run]
            lines.append((cache, reference, meaning, digest, times[0], times[-1], len(times), digest in seen))
            seen.add(digest)
    return build(TAGS_SCHEMA, lines)


def _loaded(cache: Pulls) -> pd.DataFrame:
    if isinstance(cache, pd.DataFrame):
        return cache
    if cache is None:
        return history()
    caches, _ = caches_of(cache)
    return pd.concat([history(one, record=one.history) for one in caches], ignore_index=True)


def _in_time(pulls: pd.DataFrame, *columns: str) -> list[tuple[Any, ...]]:
    lines = list(rows(pulls, "at", "cache", "reference", *columns))
    return sorted(lines, key=lambda line: (line[0] is None, line[0].value if line[0] is not None else 0))


_CREATED = "org.opencontainers.image.created"


@dataclass(frozen=True, eq=False)
class RemoteVersions:
    """The versions of a repository in a registry, as their manifests describe them.

    Parameters
    ----------
    repository
        ``registry/repository``.
    tags, problems
        One row per tag that is an app or package, in their order; one per other tag, and what it is.
    manifests
        What the replays take: one row per manifest and config or layer.
    request_count, wire_bytes
        What finding this out took.
    """

    repository: str
    tags: pd.DataFrame
    problems: pd.DataFrame
    manifests: pd.DataFrame = field(repr=False)
    request_count: int
    wire_bytes: int

    def __repr__(self) -> str:
        return (
            f"RemoteVersions({self.repository}: {len(self.tags)} versions, {len(self.problems)} other tags)"
        )


def remote_versions(
    repository: str | Reference,
    *,
    tags: Sequence[str] | None = None,
    insecure: bool | None = None,
    ca: str | os.PathLike[str] | None = None,
    auth: Auth = None,
    jobs: int = JOBS,
    progress: Progress = None,
    cancel: threading.Event | None = None,
    manifests: MutableMapping[str, bytes] | None = None,
) -> RemoteVersions:
    """Fetch the manifests of a repository's tags; no config and no layer.

    Parameters
    ----------
    repository
        Such as ``ghcr.io/org/app``; the tag of a reference is not looked at.
    tags
        Which tags; all that the registry lists unless given.
    insecure, ca, auth, jobs, progress, cancel
        As for `pull`; the bar is over the tags.
    manifests
        Manifests by digest (a ``dict``, a ``shelve``), kept between calls: asked before the registry, and
        what is fetched is added. Only the calling thread uses it.

    Returns
    -------
    RemoteVersions
        The versions, and the tags that are none. Of an index, the manifest that a pull on this
        machine would take.

    Raises
    ------
    InvalidReferenceError
        If the repository or a tag is not one; before anything is asked.
    NotFoundError
        If there is no such repository, or one of the `tags` given is not there.
    AccessDeniedError, ConnectionFailedError, RegistryError, PullCancelled
        If the registry does not answer, or `cancel` was set. What was fetched until then is in `manifests`.

    Notes
    -----
    Where there are several tags, or manifests to be asked first, a tag's digest is learnt by a HEAD
    request, and only manifests not known yet are fetched: Docker Hub counts these, but no HEAD.
    """
    return _described(
        survey(
            repository,
            tags=tags,
            insecure=insecure,
            ca=ca,
            auth=auth,
            jobs=jobs,
            progress=progress,
            cancel=cancel,
            manifests=manifests,
        )
    )


def _described(found: Survey) -> RemoteVersions:
    served = sorted(found.found, key=lambda one: reference_key(one.reference.cached_name))
    return RemoteVersions(
        found.repository,
        build(REMOTE_TAGS_SCHEMA, [_tag(one) for one in served]),
        build(REMOTE_PROBLEMS_SCHEMA, [(one.reference, one.kind, one.detail) for one in found.skipped]),
        build(MANIFESTS_SCHEMA, [line for one in served for line in _manifest(one)]),
        found.request_count,
        found.wire_bytes,
    )


def _tag(one: Resolved) -> tuple[object, ...]:
    manifest, index = one.manifest, one.index_digest and str(one.index_digest)
    size = sum(descriptor.size for descriptor in manifest.distinct())
    of_tag = one.reference.cached_name, one.reference.tag, manifest.kind, manifest.annotations.get(_CREATED)
    return *of_tag, str(one.digest), index, len(manifest.layers), size


def _manifest(one: Resolved) -> Iterator[tuple[object, ...]]:
    """Give the config, then the layers."""
    manifest, name = one.manifest, one.reference.cached_name
    of_tag = (name, one.reference.tag, manifest.annotations.get(_CREATED))
    yield (*of_tag, None, str(manifest.config.digest), "config", manifest.config.size)
    for position, layer in enumerate(manifest.layers):
        yield (*of_tag, position, str(layer.digest), layer.role, layer.size)

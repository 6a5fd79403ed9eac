"""What versions still in a registry would cost: from their manifests alone, no layer is fetched.

`remote_versions` is the one function here that asks a registry. What it gives is a *source* like
any other: `remote_savings` and `upgrade_matrix` replay it without a network.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import pandas as pd

from spincache_nb.analysis.replay import Rules, check_rules, replay_savings
from spincache_nb.analysis.schemas import MANIFESTS_SCHEMA, REMOTE_PROBLEMS_SCHEMA, REMOTE_TAGS_SCHEMA
from spincache_nb.analysis.tags import Survey, reference_key, survey
from spincache_nb.core.plans import Resolved
from spincache_nb.core.progress import Progress
from spincache_nb.core.reference import Reference
from spincache_nb.core.settings import JOBS
from spincache_nb.frames.schemas import build

if TYPE_CHECKING:
    from spincache_nb.core.pull import Auth

_CREATED = "org.opencontainers.image.created"


@dataclass(frozen=True, eq=False)
class RemoteVersions:
    """The versions of a repository in a registry, as their manifests describe them.

    Parameters
    ----------
    repository
        ``registry/repository``.
    tags
        One row per tag that is an app or package, in the order of tags: ``reference``, ``tag``, ``kind``
        (``app`` or ``package``), ``created_at`` (by the annotations), ``manifest_digest`` (of the manifest a
        pull would take now), ``index_digest`` (of the index that led there, if one did), ``layer_count``,
        ``declared_bytes`` (config and layers, each digest once).
    problems
        One row per other tag: ``reference``, ``kind`` and ``detail``. The kinds: ``neither app nor package``
        (a signature, an SBOM, an image), ``name of an attachment`` (the tag says that it is one; it was not
        asked for), ``damaged manifest``, ``too large``, ``not served``, ``not there`` (any more), or
        ``not a tag``.
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


Remote: TypeAlias = str | Reference | RemoteVersions
"""A repository to ask a registry for, or what that gave already."""


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
        Manifests by digest, such as a ``dict`` or a ``shelve``, kept between calls: asked before the
        registry, and what is fetched is added. Only the calling thread uses it.

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
    found = survey(
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
    return _described(found)


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
    return (
        one.reference.cached_name,
        one.reference.tag,
        one.manifest.kind,
        one.manifest.annotations.get(_CREATED),
        str(one.digest),
        None if one.index_digest is None else str(one.index_digest),
        len(one.manifest.layers),
        sum(descriptor.size for descriptor in one.manifest.distinct()),
    )


def _manifest(one: Resolved) -> Iterator[tuple[object, ...]]:
    """Give the config, then the layers."""
    manifest, name = one.manifest, one.reference.cached_name
    of_tag = (name, one.reference.tag, manifest.annotations.get(_CREATED))
    yield (*of_tag, None, str(manifest.config.digest), "config", manifest.config.size)
    for position, layer in enumerate(manifest.layers):
        yield (*of_tag, position, str(layer.digest), layer.role, layer.size)


def remote_savings(
    repository: Remote,
    *,
    tags: Sequence[str] | None = None,
    rules: Rules = "spin",
    order: Sequence[str] | None = None,
    insecure: bool | None = None,
    ca: str | os.PathLike[str] | None = None,
    auth: Auth = None,
    jobs: int = JOBS,
    progress: Progress = None,
    cancel: threading.Event | None = None,
    manifests: MutableMapping[str, bytes] | None = None,
) -> pd.DataFrame:
    """Say what pulling a registry's versions one after the other into an empty cache would cost.

    Parameters
    ----------
    repository
        Such as ``ghcr.io/org/app``, or what `remote_versions` gave: then nothing is asked.
    rules
        ``spin`` for what Spin fetches, ``spincache`` for what this toolkit fetches; see
        `spincache_nb.analysis.replay`.
    order
        As for `version_savings`, tags only.
    tags, insecure, ca, auth, jobs, progress, cancel, manifests
        How to ask, as for `remote_versions`.

    Returns
    -------
    pandas.DataFrame
        The columns of `version_savings`, one row per version, in order. Only its bytes tell what is
        in an archive: where one is fetched, ``archive_known_bytes`` is missing, and what a later
        version could reuse of its members is not counted. Tags that are no versions are left out;
        ``remote_versions(...).problems`` lists them.

    Raises
    ------
    ValueError
        If the rules are none of those, or the order names a version that is not there.
    SpinCacheError
        As `remote_versions`.
    """
    check_rules(rules)
    if not isinstance(repository, RemoteVersions):
        repository = remote_versions(
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
    return replay_savings(repository.manifests, rules=rules, order=order)

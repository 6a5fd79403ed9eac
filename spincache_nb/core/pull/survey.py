"""What the tags of a repository mean now, from their manifests alone: no config and no layer is fetched."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spincache_nb.core.progress import LOOK_UP, Progress, Reporter
from spincache_nb.core.pull.asking import Asking, SkipKind, Skipped
from spincache_nb.core.pull.decide import JOBS, Resolved
from spincache_nb.core.reference import Reference
from spincache_nb.errors import InvalidReferenceError

if TYPE_CHECKING:
    from spincache_nb.core.pull.decide import Auth
    from spincache_nb.core.registry import RegistryClient

__all__ = ["SkipKind", "Skipped", "Survey", "survey"]

_ATTACHMENT = re.compile(r"sha(256|384|512)-[0-9a-f]{64}(\..+)?")
"""Tags of signatures, attestations and lists of these: cosign, and OCI distribution spec, Referrers."""


@dataclass(frozen=True, slots=True)
class Survey:
    """What the tags of a repository mean now.

    Parameters
    ----------
    repository
        ``registry/repository``.
    found
        The apps and packages, in the order of the tags.
    skipped
        All other tags, sorted.
    request_count
        Requests sent: lists of tags, challenges, tokens and redirects included.
    wire_bytes
        Bytes received.
    """

    repository: str
    found: tuple[Resolved, ...]
    skipped: tuple[Skipped, ...]
    request_count: int
    wire_bytes: int


def survey(
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
) -> Survey:
    """Look up what the tags of a repository mean.

    Parameters
    ----------
    repository
        Such as ``ghcr.io/org/app``; the tag of a reference is not looked at.
    tags
        Which tags; all that the registry lists unless given.
    insecure, ca, auth, cancel
        As for `pull`.
    jobs
        Requests at a time.
    progress
        As for `pull`; it counts tags.
    manifests
        Manifests by digest, asked before the registry; what is fetched is added as it comes. Used
        by the calling thread only, so that it may be a `shelve`.

    Returns
    -------
    Survey
        The apps and packages, and what else there is.

    Raises
    ------
    InvalidReferenceError
        If the repository or a tag is not one; before anything is asked.
    NotFoundError
        If there is no such repository, or one of the `tags` given is not there.
    AccessDeniedError, ConnectionFailedError, RegistryError
        If the registry does not answer. What was fetched until then is in `manifests`.
    PullCancelled
        If `cancel` was set.

    Notes
    -----
    Where there are several tags, or manifests to be asked first, a tag's digest is learnt by a HEAD
    request, which Docker Hub does not count as a pull, and only manifests not known yet are fetched.
    """
    from spincache_nb.core.registry import RegistryClient

    place = Reference.parse(repository)
    named = [tags] if isinstance(tags, str) else tags
    references = [_tagged(place, tag) for tag in dict.fromkeys(named or ())]
    skipped: list[Skipped] = []
    reporter = Reporter(progress, what=LOOK_UP)
    with RegistryClient(insecure=insecure, ca=ca, auth=auth, jobs=jobs, cancel=cancel) as client:
        if named is None:
            references = _listed(client, place, skipped)
        kept = manifests if manifests is not None else {}
        asking = Asking(client, kept, jobs=jobs, report=reporter, named=named is not None)
        try:
            asking.run(references)
        finally:
            reporter.close()
    return Survey(
        f"{place.registry}/{place.repository}",
        tuple(asking.found[reference] for reference in references if reference in asking.found),
        tuple(sorted([*skipped, *asking.skipped], key=lambda one: one.reference)),
        client.request_count,
        client.wire_bytes,
    )


def _tagged(place: Reference, tag: str) -> Reference:
    """Name a tag of a repository.

    Raises
    ------
    InvalidReferenceError
        If it cannot be one.
    """
    reference = Reference.parse(f"{place.registry}/{place.repository}:{tag}")
    if reference.tag != tag:
        raise InvalidReferenceError("tag", "a tag such as v1", repr(tag), "give tags without a digest")
    return reference


def _listed(client: RegistryClient, place: Reference, skipped: list[Skipped]) -> list[Reference]:
    """Ask for the tags; those that cannot be a version's are skipped."""
    references = []
    for tag in dict.fromkeys(client.tags(place)):
        name = f"{place.registry}/{place.repository}:{tag}"
        if _ATTACHMENT.fullmatch(tag):
            skipped.append(Skipped(name, "name of an attachment", "not asked for"))
            continue
        try:
            references.append(_tagged(place, tag))
        except InvalidReferenceError as exc:
            skipped.append(Skipped(name, "not a tag", str(exc)))
    return references

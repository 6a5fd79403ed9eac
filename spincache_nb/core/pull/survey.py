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
    from spincache_nb.core.registry import Registry

__all__ = ["SkipKind", "Skipped", "Survey", "survey"]

_ATTACHMENT = re.compile(r"sha(256|384|512)-[0-9a-f]{64}(\..+)?")
"""Tags of signatures, attestations and lists of these: cosign, and OCI distribution spec, Referrers."""


@dataclass(frozen=True, slots=True)
class Survey:
    """What the tags of a repository mean now."""

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
    """Look up what the tags of a repository mean."""
    from spincache_nb.core.registry import Registry

    place = Reference.parse(repository)
    named = [tags] if isinstance(tags, str) else tags
    references = [_tagged(place, tag) for tag in dict.fromkeys(named or ())]
    skipped: list[Skipped] = []
    reporter = Reporter(progress, what=LOOK_UP)
    with Registry(insecure=insecure, ca=ca, auth=auth, jobs=jobs, cancel=cancel) as client:
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
    """Name a tag of a repository."""
    reference = Reference.parse(f"{place.registry}/{place.repository}:{tag}")
    if reference.tag != tag:
        raise InvalidReferenceError("tag", "a tag such as v1", repr(tag), "give tags without a digest")
    return reference


def _listed(client: Registry, place: Reference, skipped: list[Skipped]) -> list[Reference]:
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

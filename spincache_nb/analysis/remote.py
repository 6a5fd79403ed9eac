"""The versions of a repository in a registry, from their manifests alone.

`remote_versions` is the one analysis that asks a registry. What it gives is a *source* like any other:
`remote_savings` and `upgrade_matrix` replay it without a network.
"""

from __future__ import annotations

import contextlib
import re
import threading
from collections import deque
from collections.abc import Generator, Iterator, MutableMapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import pandas as pd

from spincache_nb.analysis.schemas import MANIFESTS_SCHEMA, REMOTE_PROBLEMS_SCHEMA, REMOTE_TAGS_SCHEMA
from spincache_nb.analysis.tags import reference_key
from spincache_nb.core.digest import Digest
from spincache_nb.core.plans import Resolved, Served, resolve
from spincache_nb.core.progress import LOOK_UP, Progress, ProgressEvent, Reporter
from spincache_nb.core.reference import Reference
from spincache_nb.core.settings import JOBS
from spincache_nb.errors import (
    AccessDeniedError,
    ContentError,
    FormatError,
    InvalidReferenceError,
    LimitError,
    ManifestError,
    NotFoundError,
    ProtocolError,
    SpinCacheError,
    StatusError,
    printable,
)
from spincache_nb.frames.schemas import build

if TYPE_CHECKING:
    from typing import Unpack

    from spincache_nb.core.pull import RegistryOptions
    from spincache_nb.core.registry import Registry

    class LookUpOptions(RegistryOptions, total=False):
        """What `remote_versions` takes beside the repository."""

        tags: Sequence[str] | None
        progress: Progress
        cancel: threading.Event | None
        manifests: MutableMapping[str, bytes] | None


_OF_ONE = (StatusError, ProtocolError, FormatError, ContentError, LimitError)
"""Faults of one tag, which the next one need not have."""

_POLL_SECONDS = 0.2
_CREATED = "org.opencontainers.image.created"
_ATTACHMENT = re.compile(r"sha(256|384|512)-[0-9a-f]{64}(\..+)?")
"""Tags of signatures, attestations and lists of these: cosign, and OCI distribution spec, Referrers."""


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
    progress: Progress = None,
    cancel: threading.Event | None = None,
    manifests: MutableMapping[str, bytes] | None = None,
    **registry: Unpack[RegistryOptions],
) -> RemoteVersions:
    """Fetch the manifests of a repository's tags; no config and no layer.

    Parameters
    ----------
    repository
        Such as ``ghcr.io/org/app``; the tag of a reference is not looked at.
    tags
        Which tags; all that the registry lists unless given.
    manifests
        Manifests by digest (a ``dict``, a ``shelve``), kept between calls: asked before the registry, and
        what is fetched is added. Only the calling thread uses it.
    progress, cancel
        As for `pull`; the bar is over the tags.
    insecure, ca, auth, jobs, manifest_limit
        As for `plan_pull`.

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
    from spincache_nb.core.registry import Registry

    place = Reference.parse(repository)
    named = [tags] if isinstance(tags, str) else tags
    references = None if named is None else [_tagged(place, tag) for tag in dict.fromkeys(named)]
    with Registry(cancel=cancel, **registry) as client:
        kept = {} if manifests is None else manifests
        found = _looked_up(client, place, references, kept, registry.get("jobs", JOBS), progress)
    return _described(place, found, client)


def _looked_up(
    client: Registry,
    place: Reference,
    named: list[Reference] | None,
    kept: MutableMapping[str, bytes],
    jobs: int,
    progress: Progress,
) -> list[Resolved | _Skipped]:
    """Find out what some tags mean, or all that the registry lists, and tell of each as it is known."""
    found: list[Resolved | _Skipped] = []
    references = _listed(client, place, found) if named is None else named
    lookup = _Lookup(client, kept, by_head=len(references) > 1 or bool(kept))
    reporter = Reporter(progress, what=LOOK_UP)
    reporter(ProgressEvent("plan", total=len(references)))
    answers = lookup.answers(references, jobs, named=named is not None)
    try:
        for one in answers:
            found.append(one)
            if isinstance(one, Resolved):
                reporter(ProgressEvent("looked up", one.reference.cached_name, str(one.digest), count=1))
            else:
                reporter(ProgressEvent("looked up", one[0], count=1))
    finally:
        answers.close()
        reporter.close()
    return found


def _described(place: Reference, found: Sequence[Resolved | _Skipped], client: Registry) -> RemoteVersions:
    served = [one for one in found if isinstance(one, Resolved)]
    served.sort(key=lambda one: reference_key(one.reference.cached_name))
    return RemoteVersions(
        f"{place.registry}/{place.repository}",
        build(REMOTE_TAGS_SCHEMA, map(_tag, served)),
        build(REMOTE_PROBLEMS_SCHEMA, sorted(one for one in found if not isinstance(one, Resolved))),
        build(MANIFESTS_SCHEMA, [line for one in served for line in _manifest(one)]),
        client.request_count,
        client.wire_bytes,
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


_Skipped: TypeAlias = tuple[str, str, str]
"""A row of ``REMOTE_PROBLEMS_SCHEMA``."""


def _tagged(place: Reference, tag: str) -> Reference:
    """Name a tag of a repository."""
    reference = Reference.parse(f"{place.registry}/{place.repository}:{tag}")
    if reference.tag != tag:
        raise InvalidReferenceError("tag", "a tag such as v1", repr(tag), "give tags without a digest")
    return reference


def _listed(client: Registry, place: Reference, skipped: list[Resolved | _Skipped]) -> list[Reference]:
    """Ask for the tags; those that cannot be a version's are skipped."""
    references = []
    for tag in dict.fromkeys(client.tags(place)):
        name = f"{place.registry}/{place.repository}:{tag}"
        if _ATTACHMENT.fullmatch(tag):
            skipped.append((name, "name of an attachment", "not asked for"))
            continue
        try:
            references.append(_tagged(place, tag))
        except InvalidReferenceError as exc:
            skipped.append((name, "not a tag", str(exc)))
    return references


_Question: TypeAlias = Digest | tuple[Reference, str]
"""The manifest of a digest; or what a tag means, by a HEAD or by a GET."""


class _UnansweredError(Exception):
    """What has to be asked first."""

    def __init__(self, question: _Question, reference: Reference) -> None:
        self.question, self.reference = question, reference


class _Lookup:
    """Finds out what tags mean, so far as the answers to questions tell; other threads only fetch these.

    So no manifest is fetched twice, and the mapping of kept manifests, the caller's own, is touched by the
    caller's thread alone.
    """

    def __init__(self, client: Registry, kept: MutableMapping[str, bytes], *, by_head: bool) -> None:
        self._client = client
        self._kept = kept
        self._by_head = by_head
        self._known: dict[_Question, Any] = {}
        self._there: set[Reference] = set()

    def answers(
        self, references: Sequence[Reference], jobs: int, *, named: bool
    ) -> Generator[Resolved | _Skipped]:
        """Look tags up, so many requests at a time, and give what was found out as it comes."""
        ready = deque(references)
        waiting: dict[_Question, list[Reference]] = {}
        running: dict[Future[Any], _Question] = {}
        with ThreadPoolExecutor(jobs, thread_name_prefix="spincache-survey") as pool:
            try:
                while ready or running:
                    while ready and len(running) < 2 * jobs:
                        reference = ready.popleft()
                        try:
                            yield self._look_up(reference, named=named)
                        except _UnansweredError as exc:
                            if exc.question not in waiting:
                                running[pool.submit(self._ask, exc.question, reference)] = exc.question
                            waiting.setdefault(exc.question, []).append(reference)
                    done, _ = wait(running, _POLL_SECONDS, FIRST_COMPLETED)  # a signal comes through
                    for task in sorted(
                        done, key=lambda task: task.exception() is not None
                    ):  # keep, then fail
                        question = running.pop(task)
                        self._take(question, task)
                        ready.extendleft(reversed(waiting.pop(question)))
            except BaseException:
                self._client.close()
                pool.shutdown(wait=True, cancel_futures=True)
                raise

    def _look_up(self, reference: Reference, *, named: bool) -> Resolved | _Skipped:
        name = reference.cached_name
        try:
            resolved = resolve(self._fetch, reference)
        except SpinCacheError as exc:
            if isinstance(exc, NotFoundError) and named and reference not in self._there:
                raise
            return name, _kind_of(exc), printable(str(exc))
        manifest = resolved.manifest
        if manifest.kind != "unknown":
            return resolved
        types = ", ".join(sorted({layer.media_type for layer in manifest.layers})) or "none"
        detail = f"config {manifest.config.media_type}; layers {types}"
        return name, "neither app nor package", printable(detail)

    def _fetch(self, reference: Reference, digest: Digest | None) -> Served:
        """Give the manifest of a digest, or the one that a tag means."""
        served: Served | None = None
        question: _Question = digest or (reference, "GET")
        head = (reference, "HEAD")
        if digest is None and question not in self._known and (self._by_head or head in self._known):
            meant = self._answer(head, reference)
            with contextlib.suppress(SpinCacheError):  # a digest that only a HEAD answer named
                served = meant and self._answer(meant, reference)
        served = served or self._answer(question, reference)
        self._there.add(reference)
        return served

    def _answer(self, question: _Question, reference: Reference) -> Any:
        if question not in self._known and isinstance(question, Digest):
            content = self._kept.get(str(question))
            if content is not None and question.matches(content):
                self._known[question] = Served(content, question)
        if question not in self._known:
            raise _UnansweredError(question, reference)
        if isinstance(found := self._known[question], SpinCacheError):
            raise found
        return found

    def _ask(self, question: _Question, reference: Reference) -> Any:
        if isinstance(question, Digest):
            return self._client.fetch_manifest(reference, question)
        if question[1] == "HEAD":
            return self._client.fetch_manifest_digest(reference)
        return self._client.fetch_manifest(reference)

    def _take(self, question: _Question, task: Future[Any]) -> None:
        """Remember an answer; raise what the next tag would meet as well, a limit of requests included."""
        is_head = isinstance(question, tuple) and question[1] == "HEAD"
        answer: Any = task.exception()
        if answer is None:
            answer = task.result()
        elif is_head and isinstance(answer, NotFoundError | AccessDeniedError):
            pass  # some gateways let no HEAD through; whether a GET comes through, it will say
        elif (
            not isinstance(answer, _OF_ONE)
            or isinstance(answer, AccessDeniedError)
            or (isinstance(answer, StatusError) and answer.status == 429)
        ):
            raise answer
        if is_head and not isinstance(answer, Digest):
            self._by_head = self._by_head and isinstance(answer, NotFoundError)  # this registry does not say
            answer = None
        if isinstance(answer, Served):
            self._known[answer.digest] = answer
            self._kept[str(answer.digest)] = answer.content
        self._known[question] = answer


def _kind_of(exc: SpinCacheError) -> str:
    if isinstance(exc, NotFoundError):
        return "not there"
    if isinstance(exc, ManifestError | ContentError):
        return "damaged manifest"
    return "too large" if isinstance(exc, LimitError) else "not served"

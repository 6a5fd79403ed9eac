"""The tags of a repository: what they mean now, from their manifests alone, and their one order."""

from __future__ import annotations

import contextlib
import os
import re
import threading
from collections import deque
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Literal

from spincache_nb.core.digest import Digest
from spincache_nb.core.plans import Resolved, Served, resolve
from spincache_nb.core.progress import LOOK_UP, Progress, ProgressEvent, Reporter
from spincache_nb.core.reference import Reference
from spincache_nb.core.settings import JOBS
from spincache_nb.errors import (
    AccessDeniedError,
    ConnectionFailedError,
    ContentError,
    CredentialsError,
    InsecureTransportError,
    InvalidReferenceError,
    LimitError,
    ManifestError,
    MissingExtraError,
    NotFoundError,
    PullCancelled,
    SpinCacheError,
    StatusError,
    printable,
)

if TYPE_CHECKING:
    from spincache_nb.core.pull import Auth
    from spincache_nb.core.registry import Registry

SkipKind = Literal[
    "not there",
    "not served",
    "damaged manifest",
    "too large",
    "neither app nor package",
    "name of an attachment",
    "not a tag",
]
"""Why a tag is no version of an app or package."""

_FOR_ALL = (
    AccessDeniedError,
    ConnectionFailedError,
    CredentialsError,
    InsecureTransportError,
    MissingExtraError,
    PullCancelled,
)
"""Faults that the next tag would meet as well."""

_TOO_MANY_REQUESTS = 429
_POLL_SECONDS = 0.2
_ATTACHMENT = re.compile(r"sha(256|384|512)-[0-9a-f]{64}(\..+)?")
"""Tags of signatures, attestations and lists of these: cosign, and OCI distribution spec, Referrers."""


@dataclass(frozen=True, slots=True)
class SkippedTag:
    """A tag that is no version of an app or package, and why."""

    reference: str
    kind: SkipKind
    detail: str


@dataclass(frozen=True, slots=True)
class Survey:
    """What the tags of a repository mean now."""

    repository: str
    found: tuple[Resolved, ...]
    skipped: tuple[SkippedTag, ...]
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
    found: list[Resolved] = []
    skipped: list[SkippedTag] = []
    reporter = Reporter(progress, what=LOOK_UP)
    with Registry(insecure=insecure, ca=ca, auth=auth, jobs=jobs, cancel=cancel) as client:
        if named is None:
            references = _listed(client, place, skipped)
        kept = manifests if manifests is not None else {}
        lookup = _Lookup(client, kept, named=named is not None, by_head=len(references) > 1 or bool(kept))
        reporter(ProgressEvent("plan", total=len(references)))
        try:
            for answer in _look_up_all(lookup, references, jobs):
                if isinstance(answer, Resolved):
                    found.append(answer)
                    event = answer.reference.cached_name, str(answer.digest)
                else:
                    skipped.append(answer)
                    event = answer.reference, ""
                reporter(ProgressEvent("looked up", *event, count=1))
        finally:
            reporter.close()
    order = {reference: place for place, reference in enumerate(references)}
    return Survey(
        f"{place.registry}/{place.repository}",
        tuple(sorted(found, key=lambda one: order[one.reference])),
        tuple(sorted(skipped, key=lambda one: one.reference)),
        client.request_count,
        client.wire_bytes,
    )


def _look_up_all(
    lookup: _Lookup, references: Sequence[Reference], jobs: int
) -> Iterator[Resolved | SkippedTag]:
    """Look tags up, so many at a time, and give what was found out as it comes."""
    waiting = deque(references)
    running = 0
    finished: list[Future[Resolved | SkippedTag]] = []
    with ThreadPoolExecutor(jobs, thread_name_prefix="spincache-survey") as pool:
        try:
            while waiting or running:
                while waiting and running < 2 * jobs:
                    task = pool.submit(lookup.run, waiting.popleft())
                    task.add_done_callback(lambda task: lookup.for_caller.put(lambda: finished.append(task)))
                    running += 1
                with contextlib.suppress(Empty):
                    lookup.for_caller.get(timeout=_POLL_SECONDS)()
                while finished:
                    running -= 1
                    yield finished.pop().result()
        except BaseException:
            lookup.stopped.set()
            lookup.client.close()
            pool.shutdown(wait=True, cancel_futures=True)
            raise


class _Lookup:
    """Finds out what tags mean; many threads ask, and no manifest is fetched twice.

    The mapping of kept manifests is the caller's: only the caller's thread touches it, by doing what the
    others put into `for_caller`.
    """

    def __init__(
        self, client: Registry, manifests: MutableMapping[str, bytes], *, named: bool, by_head: bool
    ) -> None:
        self.client = client
        self.for_caller: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self.stopped = threading.Event()
        self._manifests = manifests
        self._known: dict[Digest, bytes] = {}
        self._named = named
        self._by_head = by_head
        self._lock = threading.Lock()
        self._one_at_a_time: dict[Digest, threading.Lock] = {}
        self._failures: dict[Digest, SpinCacheError] = {}
        self._there: set[Reference] = set()

    def run(self, reference: Reference) -> Resolved | SkippedTag:
        """Find out what one tag means; raise what the next one would meet as well."""
        try:
            resolved = resolve(self._fetch, reference)
        except SpinCacheError as exc:
            _raise_if_for_all(exc)
            if isinstance(exc, NotFoundError) and self._named and reference not in self._there:
                raise
            return SkippedTag(reference.cached_name, _kind_of(exc), printable(str(exc)))
        manifest = resolved.manifest
        if manifest.kind != "unknown":
            return resolved
        types = ", ".join(sorted({layer.media_type for layer in manifest.layers})) or "none"
        detail = f"config {manifest.config.media_type}; layers {types}"
        return SkippedTag(reference.cached_name, "neither app nor package", printable(detail))

    def _fetch(self, reference: Reference, digest: Digest | None) -> Served:
        """Give the manifest of a digest, or the one that a tag means."""
        if digest is not None:
            return self._by_digest(reference, digest)
        meant = self._ask_head(reference) if self._by_head else None
        if meant is not None:
            try:
                served = self._by_digest(reference, meant)
            except SpinCacheError as exc:  # a digest that only a HEAD answer named
                _raise_if_for_all(exc)
            else:
                self._there.add(reference)
                return served
        served = self.client.fetch_manifest(reference)
        self._there.add(reference)
        self._keep(served)
        return served

    def _ask_head(self, reference: Reference) -> Digest | None:
        """Ask what a tag means without fetching it; None where that is not said."""
        try:
            digest = self.client.fetch_manifest_digest(reference)
        except NotFoundError:
            return None
        except AccessDeniedError:
            digest = None  # some gateways let no HEAD through; whether a GET comes through, it will say
        except SpinCacheError as exc:
            _raise_if_for_all(exc)
            digest = None
        if digest is None:
            self._by_head = False  # this registry does not say
        return digest

    def _by_digest(self, reference: Reference, digest: Digest) -> Served:
        """Give a manifest that is known, or fetch it, while others who want the same one wait."""
        with self._lock:
            alone = self._one_at_a_time.setdefault(digest, threading.Lock())
        with alone:
            content = self._known.get(digest) or self._recall(digest)
            if content is not None and digest.matches(content):
                return Served(content, digest)
            if digest in self._failures:
                raise self._failures[digest]
            try:
                served = self.client.fetch_manifest(reference, digest)
            except SpinCacheError as exc:
                self._failures[digest] = exc
                raise
            self._keep(served)
            return served

    def _recall(self, digest: Digest) -> bytes | None:
        """Have the caller's thread look a manifest up."""
        answer: Future[bytes | None] = Future()
        self.for_caller.put(lambda: answer.set_result(self._manifests.get(str(digest))))
        while not self.stopped.is_set():
            with contextlib.suppress(TimeoutError):
                return answer.result(_POLL_SECONDS)
        raise PullCancelled("survey", remedy="it was stopped")

    def _keep(self, served: Served) -> None:
        self._known[served.digest] = served.content
        self.for_caller.put(lambda: self._manifests.update({str(served.digest): served.content}))


def _kind_of(exc: SpinCacheError) -> SkipKind:
    if isinstance(exc, NotFoundError):
        return "not there"
    if isinstance(exc, ManifestError | ContentError):
        return "damaged manifest"
    return "too large" if isinstance(exc, LimitError) else "not served"


def _raise_if_for_all(exc: SpinCacheError) -> None:
    """Raise what the next tag would meet as well, a limit of requests included."""
    if isinstance(exc, _FOR_ALL) or (isinstance(exc, StatusError) and exc.status == _TOO_MANY_REQUESTS):
        raise exc


def _tagged(place: Reference, tag: str) -> Reference:
    """Name a tag of a repository."""
    reference = Reference.parse(f"{place.registry}/{place.repository}:{tag}")
    if reference.tag != tag:
        raise InvalidReferenceError("tag", "a tag such as v1", repr(tag), "give tags without a digest")
    return reference


def _listed(client: Registry, place: Reference, skipped: list[SkippedTag]) -> list[Reference]:
    """Ask for the tags; those that cannot be a version's are skipped."""
    references = []
    for tag in dict.fromkeys(client.tags(place)):
        name = f"{place.registry}/{place.repository}:{tag}"
        if _ATTACHMENT.fullmatch(tag):
            skipped.append(SkippedTag(name, "name of an attachment", "not asked for"))
            continue
        try:
            references.append(_tagged(place, tag))
        except InvalidReferenceError as exc:
            skipped.append(SkippedTag(name, "not a tag", str(exc)))
    return references


_VERSION = re.compile(
    r"[vV]?(?P<numbers>[0-9]+(?:\.[0-9]+)*)"
    r"(?:-(?P<pre>[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)|(?P<word>(?:a|alpha|b|beta|c|rc|pre|dev)\.?[0-9]*))?"
    r"(?:[+_][0-9A-Za-z.-]+)?"
)
_CALENDAR = re.compile(r"(?:19|20)[0-9]{2}(?:-[0-9]{1,2}){1,2}(?:[-.][0-9]+)*")
_COMMIT = re.compile(r"(?=[0-9]*[a-f])(?=[a-f]*[0-9])[0-9a-f]{7,64}")
_PARTS = re.compile(r"[0-9]+|[^0-9]+")

_VERSIONS, _NUMBERED, _OTHERS, _LATEST = (bytes([place]) for place in range(4))
_END, _NUMBER, _WORD = b"\x00", b"\x01", b"\x02"  # a list that ends is first, and numbers before words


def tag_key(tag: str | None, created_ns: int | None = None) -> bytes:
    """Make the bytes by which a tag is sorted among those of its repository.

    Semantic versions are ordered by their precedence (Semantic Versioning 2.0.0, 10 and 11); a leading
    ``v``, fewer or more numbers than three and dates are taken too, and ``_`` for the ``+`` that no tag may
    hold. Numbers in other tags count as numbers. Words and commit hashes say nothing about their order:
    these, and None for an app filed under a digest, go by the time of creation. Ties go by it too, those
    without one last, and then by the tag.

    >>> tags = ["latest", "main", "build-10", "build-9", "v10", "v2", "1.2.3.10", "1.2.3.4", "2.0.0-rc.1"]
    >>> " ".join(sorted(tags, key=tag_key))
    '1.2.3.4 1.2.3.10 2.0.0-rc.1 v2 v10 build-9 build-10 main latest'
    """
    time = b"\x01" if created_ns is None else b"\x00" + (created_ns + (1 << 63)).to_bytes(8, "big")
    return _named_key(tag) + time + (tag or "").encode("utf-8", "backslashreplace")


def _named_key(tag: str | None) -> bytes:
    """Give the part of the key that a tag's name decides."""
    if tag == "latest":
        return _LATEST
    if tag is None or _COMMIT.fullmatch(tag):
        return _OTHERS
    if _CALENDAR.fullmatch(tag):
        return _VERSIONS + _numbers(re.findall("[0-9]+", tag)) + b"\x01"
    if match := _VERSION.fullmatch(tag):
        pre = match["pre"].split(".") if match["pre"] else _PARTS.findall(match["word"] or "")
        identifiers = b"".join(map(_identifier, pre)) + _END
        return _VERSIONS + _numbers(match["numbers"].split(".")) + (b"\x00" + identifiers if pre else b"\x01")
    if not re.search("[0-9]", tag):
        return _OTHERS
    return _NUMBERED + b"".join(map(_identifier, _PARTS.findall(tag))) + _END


def _numbers(numbers: list[str]) -> bytes:
    """Encode a list of numbers; zeros at its end do not count, so that 1.2 is 1.2.0."""
    texts = [number.lstrip("0") for number in numbers]
    while texts and not texts[-1]:
        texts.pop()
    return b"".join(_NUMBER + _sized(text) for text in texts) + _END


def _identifier(part: str) -> bytes:
    if part[0] in "0123456789" and part.isdigit():
        return _NUMBER + _sized(part.lstrip("0"))
    return _WORD + part.encode("utf-8", "backslashreplace") + _END


def _sized(digits: str) -> bytes:
    """Encode a number of any size, never as an int: longer ones are larger."""
    return len(digits).to_bytes(4, "big") + digits.encode()


def reference_key(reference: str) -> tuple[str, bytes, str]:
    """Make the key by which references of apps (and paths of projects) are sorted: repository, then tag."""
    repository, mark, tag = reference.rpartition(":")
    if not mark or "/" in tag or "@" in repository:
        repository, tag = reference.partition("@")[0], ""
    return repository, tag_key(tag or None), reference

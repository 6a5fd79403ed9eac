"""Asking for the manifests of many tags: threads ask, the caller's thread decides what is asked next."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, MutableMapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from spincache_nb.core.digest import Digest
from spincache_nb.core.progress import ProgressEvent, Reporter
from spincache_nb.core.pull.decide import Resolved, Served, resolve
from spincache_nb.core.reference import Reference
from spincache_nb.errors import (
    AccessDeniedError,
    ConnectionFailedError,
    ContentError,
    CredentialsError,
    InsecureTransportError,
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


@dataclass(frozen=True, slots=True)
class Skipped:
    """A tag that is no version of an app or package, and why."""

    reference: str
    kind: SkipKind
    detail: str


class _LackingError(Exception):
    """A manifest is not known yet; None is the one that a tag means."""

    def __init__(self, digest: Digest | None) -> None:
        super().__init__(digest)
        self.digest = digest


@dataclass(frozen=True, slots=True)
class _Known:
    """A manifest as `resolve` takes it."""

    content: bytes
    digest: Digest


@dataclass(frozen=True, slots=True)
class _Wish:
    """A manifest that is asked for: by its digest, or as what a tag means."""

    reference: Reference
    digest: Digest | None


class Asking:
    """Finds out what tags of one repository mean."""

    def __init__(
        self,
        client: Registry,
        manifests: MutableMapping[str, bytes],
        *,
        jobs: int,
        report: Reporter,
        named: bool,
    ) -> None:
        self.found: dict[Reference, Resolved] = {}
        self.skipped: list[Skipped] = []
        self._client = client
        self._manifests = manifests
        self._jobs = jobs
        self._report = report
        self._named = named
        self._known: dict[Digest, bytes] = {}
        self._means: dict[Reference, Digest] = {}
        self._wanted_by: dict[Digest, list[Reference]] = {}
        self._asked_by_tag: set[Reference] = set()
        self._nowhere: set[Digest] = set()
        self._heads: dict[Future[Digest | None], Reference] = {}
        self._fetches: dict[Future[Served], _Wish] = {}
        self._by_head = False

    def run(self, references: Sequence[Reference]) -> None:
        """Ask for as many tags at a time as there are jobs."""
        self._by_head = len(references) > 1 or bool(self._manifests)
        self._report(ProgressEvent("plan", total=len(references)))
        waiting = deque(references)
        with ThreadPoolExecutor(self._jobs, thread_name_prefix="spincache-survey") as pool:
            try:
                while waiting or self._heads or self._fetches:
                    while waiting and len(self._heads) + len(self._fetches) < 2 * self._jobs:
                        self._start(pool, waiting.popleft())
                    self._take_answers(pool)
            except BaseException:
                self._client.close()
                pool.shutdown(wait=True, cancel_futures=True)
                raise

    def fetch_manifest(self, reference: Reference, digest: Digest | None = None) -> Served:
        """Give a manifest that is known already, for `resolve`."""
        wanted = digest or self._means.get(reference)
        content = self._recall(wanted) if wanted is not None else None
        if wanted is None or content is None:
            raise _LackingError(wanted)
        return _Known(content, wanted)

    # Asking ----------------------------------------------------------------------------------

    def _start(self, pool: ThreadPoolExecutor, reference: Reference) -> None:
        if self._by_head:
            self._heads[pool.submit(self._client.fetch_manifest_digest, reference)] = reference
        else:
            self._fetch(pool, reference, None)

    def _fetch(self, pool: ThreadPoolExecutor, reference: Reference, digest: Digest | None) -> None:
        """Ask for a manifest, unless the same one is asked for already."""
        if digest is None:
            self._asked_by_tag.add(reference)
        elif digest in self._wanted_by:
            self._wanted_by[digest].append(reference)
            return
        else:
            self._wanted_by[digest] = [reference]
        task: Future[Served] = pool.submit(self._client.fetch_manifest, reference, digest)
        self._fetches[task] = _Wish(reference, digest)

    def _take_answers(self, pool: ThreadPoolExecutor) -> None:
        """Wait for answers, and see for each tag concerned what comes next."""
        tasks: list[Future[Any]] = [*self._heads, *self._fetches]
        done, _ = wait(tasks, timeout=_POLL_SECONDS, return_when=FIRST_COMPLETED)
        for head in [head for head in self._heads if head in done]:
            reference = self._heads.pop(head)
            self._take_head(reference, head)
            self._go_on(pool, reference)
        for fetch in [fetch for fetch in self._fetches if fetch in done]:
            for reference in self._take_manifest(pool, self._fetches.pop(fetch), fetch):
                self._go_on(pool, reference)

    def _take_head(self, reference: Reference, head: Future[Digest | None]) -> None:
        """Note what a tag means; where that is not said, its manifest is asked for next."""
        try:
            digest = head.result()
        except NotFoundError:
            return
        except AccessDeniedError:
            digest = None  # some gateways let no HEAD through; whether a GET comes through, it will say
        except SpinCacheError as exc:
            _raise_if_for_all(exc)
            digest = None
        if digest is None:
            self._by_head = False  # this registry does not say
        elif digest not in self._nowhere:
            self._means[reference] = digest

    def _take_manifest(
        self, pool: ThreadPoolExecutor, wish: _Wish, fetch: Future[Served]
    ) -> Sequence[Reference]:
        """Keep a manifest; give the tags that it was wanted for."""
        concerned = [wish.reference] if wish.digest is None else self._wanted_by.pop(wish.digest)
        try:
            served = fetch.result()
        except SpinCacheError as exc:
            _raise_if_for_all(exc)
            self._after_fault(pool, wish, concerned, exc)
            return []
        self._known[served.digest] = served.content
        self._manifests[str(served.digest)] = served.content
        if wish.digest is None:
            self._means[wish.reference] = served.digest
        return concerned

    def _after_fault(
        self, pool: ThreadPoolExecutor, wish: _Wish, concerned: Iterable[Reference], exc: SpinCacheError
    ) -> None:
        """Ask again by tag where the digest was only the word of a HEAD answer; else give up."""
        for reference in concerned:
            by_head = reference not in self._asked_by_tag and self._means.get(reference) == wish.digest
            if by_head and wish.digest is not None:
                del self._means[reference]
                self._nowhere.add(wish.digest)
                self._fetch(pool, reference, None)
            else:
                self._give_up(reference, exc)

    # Deciding --------------------------------------------------------------------------------

    def _go_on(self, pool: ThreadPoolExecutor, reference: Reference) -> None:
        """Resolve a tag as a pull does, or ask for the manifest that this lacks."""
        try:
            resolved = resolve(self, reference)
        except _LackingError as lacking:
            self._fetch(pool, reference, lacking.digest)
        except SpinCacheError as exc:
            self._give_up(reference, exc)
        else:
            self._classify(reference, resolved)

    def _classify(self, reference: Reference, resolved: Resolved) -> None:
        manifest = resolved.manifest
        if manifest.kind == "unknown":
            types = sorted({layer.media_type for layer in manifest.layers})
            detail = f"config {manifest.config.media_type}; layers {', '.join(types) or 'none'}"
            self._skip(reference, "neither app nor package", detail)
        else:
            self.found[reference] = resolved
            self._tell(reference, str(resolved.digest))

    def _give_up(self, reference: Reference, exc: SpinCacheError) -> None:
        if isinstance(exc, NotFoundError):
            if self._named and reference not in self._means:
                raise exc
            self._skip(reference, "not there", str(exc))
        elif isinstance(exc, ManifestError | ContentError):
            self._skip(reference, "damaged manifest", str(exc))
        else:
            self._skip(reference, "too large" if isinstance(exc, LimitError) else "not served", str(exc))

    def _skip(self, reference: Reference, kind: SkipKind, detail: str) -> None:
        self.skipped.append(Skipped(reference.cached_name, kind, printable(detail)))
        self._tell(reference, "")

    def _tell(self, reference: Reference, digest: str) -> None:
        self._report(ProgressEvent("looked up", reference.cached_name, digest, count=1))

    def _recall(self, digest: Digest) -> bytes | None:
        """Look a manifest up; kept bytes that are not those of the digest do not count."""
        if digest not in self._known:
            content = self._manifests.get(str(digest))
            if content is None or Digest.of(content, digest.algorithm) != digest:
                return None
            self._known[digest] = content
        return self._known[digest]


def _raise_if_for_all(exc: SpinCacheError) -> None:
    """Raise what the next tag would meet as well, a limit of requests included."""
    if isinstance(exc, _FOR_ALL) or (isinstance(exc, StatusError) and exc.status == _TOO_MANY_REQUESTS):
        raise exc

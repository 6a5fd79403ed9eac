"""The OCI distribution API, as far as reading needs it: manifests, blobs, tags and repositories."""

from __future__ import annotations

import os
import re
import threading
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import httpx
from msgspec.structs import replace

from spincache_nb.core.addresses import check_plain, origin_of, parse_url, public_url
from spincache_nb.core.digest import Digest
from spincache_nb.core.documents import ACCEPTED, Descriptor, parse_object
from spincache_nb.core.plans import Served
from spincache_nb.core.reference import Reference
from spincache_nb.core.refusals import Access, Purpose, RetryableError
from spincache_nb.core.settings import Limits, RetryPolicy, Timeouts
from spincache_nb.core.web import ZLIB_OR_GZIP, Answer, Ask, Attempts, Web
from spincache_nb.errors import (
    FormatError,
    InvalidDigestError,
    LimitError,
    ProtocolError,
    PullCancelled,
    SizeMismatchError,
    SpinCacheError,
    quoted,
)

if TYPE_CHECKING:
    from spincache_nb.core.auth import Authorizer
    from spincache_nb.core.credentials import Auth, Credentials

HOPED_FOR = (200, 203, 206, 416)
"""Everything, also by way of a proxy, the part asked for, and that there is no such part."""

OpenAt = Callable[[Mapping[str, str]], Answer]
_CONTENT_RANGE = re.compile(r"bytes (\d{1,19})-(\d{1,19})/(\d{1,19}|\*)")
_ANYBODY = Access("without credentials", "check the address; none are sent unless they are part of it")
_DIGEST_HEADER = "Docker-Content-Digest"
_MANIFESTS = ", ".join(ACCEPTED)
_PER_PAGE = 1000
_TAG = re.compile(r"\w[\w.-]{0,127}")
_LINK = re.compile(r"<([^<>]*)>([^<]*)")
_REL = re.compile(r";\s*rel\s*=", re.IGNORECASE)
_REL_NEXT = r"(?i);\s*rel\s*=\s*(?:\"(?:[^\"]*\s)?next(?:\s[^\"]*)?\"|next(?=[\s,;]|$))"
_WRONG_API = "the registry does not follow the OCI distribution spec"
_NO_CATALOG = "the registry does not follow the Docker registry API; name the repositories"
_RAISE = "raise it with manifest_limit="


class Registry:
    """Reads from registries for one pull; safe to use from many threads; a context manager."""

    def __init__(
        self,
        *,
        insecure: bool | None = None,
        ca: str | os.PathLike[str] | None = None,
        auth: Auth = None,
        anonymous: bool = False,
        jobs: int = 16,
        cancel: threading.Event | None = None,
        manifest_limit: int | None = None,
        limits: Limits | None = None,
        timeouts: Timeouts | None = None,
        retries: RetryPolicy | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        limits = limits or Limits()
        if manifest_limit is not None:
            limits = replace(limits, manifest_bytes=manifest_limit, document_bytes=manifest_limit)
        self._web = Web(
            insecure=insecure,
            ca=ca,
            jobs=jobs,
            cancel=cancel,
            limits=limits,
            timeouts=timeouts,
            retries=retries,
            transport=transport,
        )
        self._auth = _given(auth)
        self._anonymous = anonymous
        self._lock = threading.Lock()
        self._authorizer: Authorizer | None = None

    def __enter__(self) -> Registry:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections, also while other threads read: those get `PullCancelled` at once."""
        self._web.close()

    @property
    def wire_bytes(self) -> int:
        """Bytes of all bodies received: retries, tokens and error pages included."""
        return self._web.wire_bytes

    @property
    def request_count(self) -> int:
        """Requests sent: challenges, tokens and redirects included."""
        return self._web.request_count

    def fetch_manifest(self, reference: Reference, digest: Digest | None = None) -> Served:
        """Fetch the manifest or index that a reference means now."""
        wanted = digest or reference.digest
        target, purpose = _asking_for_manifest(reference, wanted)
        limit = self._web.limits.manifest_bytes
        content, headers = self._whole(reference, target, purpose, accept=_MANIFESTS, limit=limit)
        served = Digest.of(content, wanted.algorithm if wanted is not None else "sha256")
        if wanted is not None:
            wanted.check(served.encoded, where=f"{reference}, manifest")
        for announced in _announced(headers, where=purpose.where):
            same = announced.algorithm == served.algorithm
            actual = served if same else Digest.of(content, announced.algorithm)
            announced.check(actual.encoded, where=f"{reference}, {_DIGEST_HEADER}")
        return Served(content, served)

    def fetch_manifest_digest(self, reference: Reference) -> Digest | None:
        """Ask which manifest or index a tag means now, by HEAD; None if the registry does not say."""
        target, purpose = _asking_for_manifest(reference, None)
        headers = {"Accept": _MANIFESTS}

        def once() -> Digest | None:
            with self._ask(reference, target, headers, purpose, head=True) as answer:
                found = set(_announced(answer.headers, where=str(reference)))
                return found.pop() if len(found) == 1 else None

        return self._web.run(once)

    def fetch_document(
        self, reference: Reference, descriptor: Descriptor, *, limit: int | None = None
    ) -> bytes:
        """Fetch a small blob whole, a config or a locked app, checked against its digest."""
        most = self._web.limits.document_bytes if limit is None else limit
        where = f"{reference}, {descriptor.digest}"
        if descriptor.size > most:
            expected, found = f"a document of at most {most} bytes", f"{descriptor.size} bytes declared"
            raise LimitError(where, expected, found, f"if the app needs one like it, {_RAISE}")
        content = b"".join(self.stream_blob(reference, descriptor))
        descriptor.digest.check(Digest.of(content, descriptor.digest.algorithm).encoded, where=where)
        return content

    def stream_blob(self, reference: Reference, descriptor: Descriptor) -> Iterator[bytes]:
        """Fetch a blob in pieces; a connection that breaks is taken up again where it broke."""
        if descriptor.data is not None and descriptor.matches(descriptor.data):
            held = [descriptor.data]  # by the manifest: some registries lack the blob then
            return (piece for piece in held)
        where = f"{reference}, blob {descriptor.digest}"
        what = f"the blob of {descriptor.size} bytes"
        purpose = Purpose(where, what, "the registry has lost it, push the app again")
        target = f"/v2/{reference.repository}/blobs/{descriptor.digest}"
        asking = partial(self._ask, reference, target, purpose=purpose, good=HOPED_FOR)
        sources: list[OpenAt] = [partial(asking, announcing=descriptor.digest)]
        sources += [plain_source(self._web, url, purpose) for url in descriptor.urls]
        return iter(Download(sources, size=descriptor.size, where=where, web=self._web))

    def tags(self, reference: Reference | str) -> Iterator[str]:
        """List the tags of a repository, in the registry's order, page by page."""
        reference = Reference.parse(reference)
        where = f"tags of {reference.registry}/{reference.repository}"
        purpose = Purpose(where, f"repository {reference.repository}", "check the spelling of the repository")
        target = f"/v2/{reference.repository}/tags/list"
        for tags in self._pages(reference, target, purpose, "tags", _WRONG_API):
            for tag in tags:
                if _TAG.fullmatch(tag) is None:
                    raise ProtocolError(where, "tags", quoted(tag), _WRONG_API)
            yield from tags

    def repositories(self, registry: str) -> Iterator[str]:
        """List the repositories of a registry that offers such a list, in its order, page by page.

        The OCI distribution spec has no such list, and large public registries offer none. It needs a right
        of its own where tokens are asked for; this client only ever asks to pull.
        """
        missing = "many registries offer none: name the repositories"
        purpose = Purpose(f"repositories of {registry}", "a list of repositories", missing)
        reference = Reference(registry, "_catalog")
        for names in self._pages(reference, "/v2/_catalog", purpose, "repositories", _NO_CATALOG):
            yield from names

    def _ask(
        self,
        reference: Reference,
        target: str,
        headers: Mapping[str, str],
        purpose: Purpose,
        *,
        good: tuple[int, ...] = (200, 203),
        head: bool = False,
        announcing: Digest | None = None,
    ) -> Answer:
        """Ask for something, and once more with what the registry wants to see."""
        used = self._authorizer.header_for(reference) if self._authorizer is not None else None
        ask = self._web.ask(reference.host, target, headers, used, head=head)
        answer = self._web.send(ask)
        for _ in range(1 if used is None else 3):  # what replaces an old token may be old by now, too
            if answer.status not in (401, 403, 404) or not answer.at_home:
                break
            header = self._way_in(reference, answer, ask.authorization)
            if header is None:
                break
            ask = ask._replace(authorization=header)
            answer = self._web.send(ask)
        if answer.status not in good:
            raise answer.refusal(purpose, self._authorizing().access(reference))
        if announcing is not None:
            _check_announced(answer, announcing, purpose.where)
        return answer

    def _way_in(self, reference: Reference, answer: Answer, used: str | None) -> str | None:
        """What to send to a registry that refuses: it says so with 401, or hides what it has."""
        answer.read_error_page()
        if answer.status == 401:
            challenges = answer.headers.get_list("WWW-Authenticate")
            return self._authorizing().meet(reference, challenges, used)
        return self._authorizing().log_in(reference) if used is None else None

    def _authorizing(self) -> Authorizer:
        from spincache_nb.core import auth  # most registries ask for nothing

        with self._lock:
            if self._authorizer is None:
                search = auth.search_nowhere if self._anonymous else None
                self._authorizer = auth.Authorizer(self._web, self._auth, search=search)
            return self._authorizer

    def _whole(
        self, reference: Reference, target: str, purpose: Purpose, *, accept: str, limit: int
    ) -> tuple[bytes, httpx.Headers]:
        """Fetch a document, again if it broke off."""

        def once() -> tuple[bytes, httpx.Headers]:
            with self._ask(reference, target, {"Accept": accept}, purpose) as answer:
                return answer.read(limit, what=purpose.what, raise_limit=_RAISE), answer.headers

        return self._web.run(once)

    def _pages(
        self, reference: Reference, path: str, purpose: Purpose, field: str, remedy: str
    ) -> Iterator[list[str]]:
        """The one pager: tags and repositories, page by page (OCI distribution spec, Listing Tags)."""
        where, limits = purpose.where, self._web.limits
        target: str | None = f"{path}?n={_PER_PAGE}"
        seen: set[str] = set()
        while target is not None:
            if target in seen:
                raise ProtocolError(where, "a next page", "one that was there before", remedy)
            if len(seen) >= limits.tag_pages:
                raise LimitError(where, f"at most {limits.tag_pages} pages", "more", "raise Limits.tag_pages")
            seen.add(target)
            content, headers = self._whole(
                reference, target, purpose, accept="application/json", limit=limits.tag_page_bytes
            )
            yield parse_page(content, field, where=where, remedy=remedy)
            page = self._web.url(reference.host, target)
            target = next_target(headers.get_list("Link"), page, where=where)


def parse_page(content: bytes, field: str, *, where: str, remedy: str = _WRONG_API) -> list[str]:
    """Read one page of a list."""
    try:
        names = parse_object(content, where=where, error=FormatError, what=f"a list of {field}").get(field)
    except FormatError as exc:
        raise ProtocolError(exc.where, exc.expected, exc.found, remedy) from exc
    if names is None:
        return []
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ProtocolError(where, f"a list of {field}", quoted(names), remedy)
    return names


def next_target(links: list[str], page: httpx.URL, *, where: str) -> str | None:
    """Path and query of the next page (RFC 8288), or None on the last one.

    A link without ``rel`` counts if there is no better one and it leads to the same list.
    """
    found = [link for header in links for link in _LINK.findall(header)]
    chosen = next((target for target, parameters in found if re.search(_REL_NEXT, parameters)), None)
    if chosen is not None:
        return _target_in(chosen, page, where)
    for target, parameters in found:
        if _REL.search(parameters) is None:
            url = parse_url(target.strip(), base=page, where=where)
            if url.path == page.path:
                return _target_in(target, page, where)
    return None


def _target_in(target: str, page: httpx.URL, where: str) -> str:
    url = parse_url(target.strip(), base=page, where=where)
    if origin_of(url) != origin_of(page):
        raise ProtocolError(where, "a next page of the same registry", public_url(url), _WRONG_API)
    return url.raw_path.decode("ascii")


def _announced(headers: httpx.Headers, *, where: str) -> list[Digest]:
    """The digests that a registry gives in a header of its own: none, one, or the same one twice."""
    found = []
    for text in headers.get_list(_DIGEST_HEADER, split_commas=True):
        try:
            found += [Digest.parse(text.strip())] if text.strip() else []
        except InvalidDigestError as exc:
            remedy = "the registry or a proxy is set up wrongly"
            raise ProtocolError(where, f"a digest in {_DIGEST_HEADER}", exc.found, remedy) from exc
    return found


def _check_announced(answer: Answer, wanted: Digest, where: str) -> None:
    """See that a blob's head does not name another blob."""
    try:
        for announced in _announced(answer.headers, where=where):
            if announced.algorithm == wanted.algorithm:
                announced.check(wanted.encoded, where=f"{where}, {_DIGEST_HEADER}")
    except SpinCacheError:
        answer.close()
        raise


def _asking_for_manifest(reference: Reference, digest: Digest | None) -> tuple[str, Purpose]:
    name = str(digest or reference.tag)
    kind = "manifest" if digest is not None else "tag"
    what = f"{kind} {name} in repository {reference.repository}"
    purpose = Purpose(str(reference), what, f"check the spelling of repository and {kind}")
    return f"/v2/{reference.repository}/manifests/{name}", purpose


def _given(auth: Auth) -> Credentials | None:
    if auth is None:
        return None
    from spincache_nb.core.credentials import as_credentials

    return as_credentials(auth)


class Download:
    """A body as one stream: asked for again where a connection broke off, then from the next source.

    Range requests by RFC 9110, 14.
    """

    def __init__(
        self, sources: Sequence[OpenAt], *, size: int | None, where: str, web: Web, start: int = 0
    ) -> None:
        self._sources = sources
        self._size = size
        self._where = where
        self._web = web
        self._answer: Answer | None = None
        self._to_skip = 0
        self._breaks = 0
        self._unzip: zlib._Decompress | None = None
        self.position = start

    def __iter__(self) -> Iterator[bytes]:
        """Deliver the bytes; what the first source said is raised if no source has them."""
        fault: SpinCacheError | None = None
        for ask in self._sources:
            failures: Attempts | None = None
            try:
                while True:
                    try:
                        answer = self._answer or self._accept(ask(self._range()))
                        piece = answer.piece()
                        if piece is None:
                            self._check_end()
                            return
                        fresh = self._fresh_part(piece)
                    except RetryableError as exc:
                        if self._answer is not None and self.position == self._size:
                            return  # all is here, only the end of the answer is not
                        failures = self._wait_after(exc, failures)
                        continue
                    if fresh:
                        failures = None
                        yield fresh
            except PullCancelled:
                raise
            except SpinCacheError as exc:
                fault = fault or exc
            finally:
                self._drop()
        if fault is not None:
            raise fault

    def _wait_after(self, exc: RetryableError, failures: Attempts | None) -> Attempts:
        """Let a broken answer go, and wait until it makes sense to ask again; or raise what failed."""
        self._drop()
        self._breaks += 1
        if self._breaks > self._web.retries.breaks:
            raise exc.error from exc
        failures = failures or self._web.attempts()
        failures.wait_after(exc)
        return failures

    def _range(self) -> dict[str, str]:
        """The header that asks for what is not here yet; what comes compressed comes from its beginning."""
        resuming = self.position > 0 and self._unzip is None
        return {"Range": f"bytes={self.position}-"} if resuming else {}

    def _accept(self, answer: Answer) -> Answer:
        resuming = self.position > 0 and self._unzip is None
        self._answer, self._unzip = answer, None
        if answer.status == 416 and resuming:
            raise self._mismatch(f"none from byte {self.position} on")
        if answer.status in (206, 416):
            self._check_range(answer, resuming)
            self._to_skip = 0
        else:
            self._to_skip = self.position
            self._check_length(answer)
        return answer

    def _check_length(self, answer: Answer) -> None:
        if self._size is None:
            self._size = answer.length  # a break can then be told from the end
        elif answer.length is not None and answer.length != self._size:
            if not answer.zipped:
                raise self._mismatch(f"an answer of {answer.length}")
            self._unzip = zlib.decompressobj(ZLIB_OR_GZIP)

    def _check_range(self, answer: Answer, resuming: bool) -> None:
        text = answer.headers.get("Content-Range", "")
        match = _CONTENT_RANGE.fullmatch(text.strip())
        if match is None:
            raise self._bad_range(text or "none")
        first, last, whole = int(match[1]), int(match[2]), match[3]
        if not resuming and whole not in ("*", str(last + 1)):
            raise self._bad_range("a part of the bytes")
        if whole != "*" and self._size is not None and int(whole) != self._size:
            raise self._mismatch(whole)
        if first != self.position or last < first or (self._size is not None and last >= self._size):
            raise self._bad_range(text)
        if answer.length is not None and answer.length != last - first + 1:
            raise self._bad_range(f"{text} in an answer of {answer.length} bytes")

    def _fresh_part(self, piece: bytes) -> bytes:
        """What of a piece was not delivered before."""
        if self._unzip is not None and self._size is not None:
            piece = self._unzipped(piece, self._size - self.position + self._to_skip)
        if self._to_skip:
            skipped = min(self._to_skip, len(piece))
            self._to_skip -= skipped
            piece = piece[skipped:]
        if self._size is not None and self.position + len(piece) > self._size:
            raise self._mismatch("more")
        self.position += len(piece)
        return piece

    def _unzipped(self, piece: bytes, left: int) -> bytes:
        assert self._unzip is not None
        try:
            return self._unzip.decompress(piece, left + 1)
        except zlib.error as exc:
            raise self._mismatch("bytes that are not compressed, although labelled so") from exc

    def _check_end(self) -> None:
        if self._to_skip or (self._size is not None and self.position < self._size):
            raise RetryableError(self._mismatch(f"{self.position}"), hopeless=True)

    def _drop(self) -> None:
        answer, self._answer = self._answer, None
        if answer is not None:
            answer.close()

    def _mismatch(self, found: str) -> SpinCacheError:
        return SizeMismatchError(
            self._where,
            f"{self._size} bytes",
            found,
            "the registry holds something else than its manifest says; nothing was kept",
        )

    def _bad_range(self, found: str) -> SpinCacheError:
        return ProtocolError(
            self._where,
            f"the bytes from {self.position} on",
            f"Content-Range: {found}",
            "the registry, its storage or a proxy answers range requests wrongly",
        )


def plain_source(
    web: Web, address: str | httpx.URL, purpose: Purpose, *, authorization: str | None = None
) -> OpenAt:
    """What a plain address names; any success counts, as it does for Spin."""

    def ask(more: Mapping[str, str]) -> Answer:
        url = parse_url(address, where=purpose.where)
        check_plain(url, insecure=web.insecure, where=purpose.where)
        answer = web.send(Ask(url, more, authorization))
        if not 200 <= answer.status < 300 and answer.status != 416:
            raise answer.refusal(purpose, _ANYBODY)
        return answer

    return ask


def stream_address(
    web: Web,
    address: str | httpx.URL,
    *,
    where: str,
    size: int | None = None,
    authorization: str | None = None,
) -> Iterator[bytes]:
    """Fetch what a plain address names, in pieces."""
    purpose = Purpose(where, f"what {public_url(address)} names", "check the address")
    source = plain_source(web, address, purpose, authorization=authorization)
    return iter(Download([source], size=size, where=where, web=web))

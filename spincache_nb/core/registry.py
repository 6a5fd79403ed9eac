"""The OCI distribution API, as far as reading needs it: manifests, blobs, tags and repositories."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import httpx

from spincache_nb.core.addresses import origin_of, parse_url, public_url
from spincache_nb.core.digest import Digest
from spincache_nb.core.documents import ACCEPTED, Descriptor, parse_object
from spincache_nb.core.download import HOPED_FOR, Download, OpenAt, plain_source
from spincache_nb.core.reference import Reference
from spincache_nb.core.refusals import Purpose
from spincache_nb.core.settings import Limits, RetryPolicy, Timeouts
from spincache_nb.core.web import Answer, Ask, Web
from spincache_nb.errors import (
    FormatError,
    InvalidDigestError,
    LimitError,
    ProtocolError,
    SpinCacheError,
    quoted,
)

if TYPE_CHECKING:
    from spincache_nb.core.auth import Authorizer
    from spincache_nb.core.credentials import Auth, Credentials

_DIGEST_HEADER = "Docker-Content-Digest"
_PER_PAGE = 1000
_TAG = re.compile(r"\w[\w.-]{0,127}")
_LINK = re.compile(r"<([^<>]*)>([^<]*)")
_REL = re.compile(r";\s*rel\s*=", re.IGNORECASE)
_REL_NEXT = re.compile(
    r";\s*rel\s*=\s*(?:\"(?:[^\"]*\s)?next(?:\s[^\"]*)?\"|next(?=[\s,;]|$))", re.IGNORECASE
)
_WRONG_API = "the registry does not follow the OCI distribution spec"
_NO_CATALOG = "the registry does not follow the Docker registry API; name the repositories"
_RAISE = "raise it with manifest_limit="


class ServedDocument(NamedTuple):
    """A manifest or index as a registry served it."""

    content: bytes
    digest: Digest
    media_type: str


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

    def fetch_manifest(self, reference: Reference, digest: Digest | None = None) -> ServedDocument:
        """Fetch the manifest or index that a reference means now."""
        wanted = digest or reference.digest
        target, purpose = _asking_for_manifest(reference, wanted)
        limit = self._web.limits.manifest_bytes
        accept = ", ".join(ACCEPTED)
        content, headers = self._whole(reference, target, purpose, accept=accept, limit=limit)
        served = Digest.of(content, wanted.algorithm if wanted is not None else "sha256")
        if wanted is not None:
            wanted.check(served.encoded, where=f"{reference}, manifest")
        for announced in _announced(headers, where=str(reference)):
            actual = Digest.of(content, announced.algorithm)
            announced.check(actual.encoded, where=f"{reference}, {_DIGEST_HEADER}")
        media_type = headers.get("Content-Type", "").partition(";")[0].strip()
        return ServedDocument(content, served, media_type)

    def fetch_manifest_digest(self, reference: Reference) -> Digest | None:
        """Ask which manifest or index a tag means now, by HEAD; None if the registry does not say."""
        target, purpose = _asking_for_manifest(reference, None)
        headers = {"Accept": ", ".join(ACCEPTED)}

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
        sources = [self._blob_source(reference, descriptor, purpose)]
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

    # Requests ------------------------------------------------------------------------------------

    def _ask(
        self,
        reference: Reference,
        target: str,
        headers: Mapping[str, str],
        purpose: Purpose,
        *,
        good: tuple[int, ...] = (200, 203),
        head: bool = False,
    ) -> Answer:
        """Ask for something, and once more with what the registry wants to see."""
        used = self._authorizer.header_for(reference) if self._authorizer is not None else None
        ask = Ask(self._web.url(reference.host, target), headers, used, head=head)
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

    def _blob_source(self, reference: Reference, blob: Descriptor, purpose: Purpose) -> OpenAt:
        target = f"/v2/{reference.repository}/blobs/{blob.digest}"

        def ask(more: Mapping[str, str]) -> Answer:
            answer = self._ask(reference, target, more, purpose, good=HOPED_FOR)
            try:
                for announced in _announced(answer.headers, where=purpose.where):
                    if announced.algorithm == blob.digest.algorithm:
                        announced.check(blob.digest.encoded, where=f"{purpose.where}, {_DIGEST_HEADER}")
            except SpinCacheError:
                answer.close()
                raise
            return answer

        return ask

    # Lists ---------------------------------------------------------------------------------------

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
    chosen = next((target for target, parameters in found if _REL_NEXT.search(parameters)), None)
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

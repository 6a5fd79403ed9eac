"""Blobs: from the registry, or from where else a descriptor says they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from spincache_nb.core.digest import Digest
from spincache_nb.core.documents import Descriptor
from spincache_nb.core.reference import Reference
from spincache_nb.core.registry.refusals import Access, Wish, refusal
from spincache_nb.core.registry.requests import Requests
from spincache_nb.core.transport.addresses import check_plain, parse_url, public_url
from spincache_nb.core.transport.answers import Answer
from spincache_nb.core.transport.download import HOPED_FOR, Download, OpenAt
from spincache_nb.core.transport.web import Ask, Web
from spincache_nb.errors import (
    InvalidDigestError,
    ProtocolError,
    PullCancelled,
    SpinCacheError,
)

DIGEST_HEADER = "Docker-Content-Digest"
_ANYBODY = Access("without credentials", "to such an address none are sent")


def stream_blob(requests: Requests, reference: Reference, descriptor: Descriptor) -> Iterator[bytes]:
    """Fetch a blob in pieces; see `RegistryClient.stream_blob`."""
    where = f"{reference}, blob {descriptor.digest}"
    wish = Wish(where, f"the blob of {descriptor.size} bytes", "the registry has lost it, push the app again")
    sources = [_from_registry(requests, reference, descriptor, wish)]
    sources += [_from_elsewhere(requests.web, url, wish, descriptor.size) for url in descriptor.urls]
    failure: SpinCacheError | None = None
    position = 0
    for source in sources:
        download = Download(
            source, size=descriptor.size, where=where, retrier=requests.web.retrier, start=position
        )
        try:
            yield from download
            return
        except PullCancelled:
            raise
        except SpinCacheError as exc:
            failure, position = failure or exc, download.position
    if failure is not None:
        raise failure


def stream_url(web: Web, url: str, *, where: str, size: int | None) -> Iterator[bytes]:
    """Fetch what an address names; see `RegistryClient.stream_url`."""
    wish = Wish(where, f"what {public_url(url)} names", "check the address")
    yield from Download(_from_elsewhere(web, url, wish), size=size, where=where, retrier=web.retrier)


def _from_registry(requests: Requests, reference: Reference, blob: Descriptor, wish: Wish) -> OpenAt:
    digest = blob.digest
    target = f"/v2/{reference.repository}/blobs/{digest}"

    def ask(more: Mapping[str, str]) -> Answer:
        answer = requests.ask(reference, target, more, wish, good=HOPED_FOR, size=blob.size)
        try:
            announced = announced_digest(answer.headers, where=wish.where)
            if announced is not None and announced.algorithm == digest.algorithm:
                announced.check(digest.encoded, where=f"{wish.where}, {DIGEST_HEADER}")
        except SpinCacheError:
            answer.close()
            raise
        return answer

    return ask


def _from_elsewhere(web: Web, text: str, wish: Wish, size: int | None = None) -> OpenAt:
    def ask(more: Mapping[str, str]) -> Answer:
        url = parse_url(text, where=wish.where)
        check_plain(url, insecure=web.insecure, where=wish.where)
        answer = web.send(Ask(url, more, size=size))
        if answer.status not in HOPED_FOR:
            raise refusal(answer, wish, _ANYBODY)
        return answer

    return ask


def announced_digest(headers: Mapping[str, str], *, where: str) -> Digest | None:
    """The digest that a registry gives in a header of its own; None if it does not."""
    text = headers.get(DIGEST_HEADER)
    if text is None:
        return None
    try:
        return Digest.parse(text.strip())
    except InvalidDigestError as exc:
        raise ProtocolError(
            where, f"a digest in {DIGEST_HEADER}", exc.found, "the registry or a proxy is set up wrongly"
        ) from exc

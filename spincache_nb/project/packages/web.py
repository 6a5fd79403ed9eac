"""What package registries need of the web beside the OCI API: their metadata, and plain addresses."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import replace
from urllib.parse import unquote

import httpx

from spincache_nb.core.credentials import Credentials
from spincache_nb.core.documents import parse_object
from spincache_nb.core.registry.refusals import Access, Wish, refusal
from spincache_nb.core.registry.tokens import basic
from spincache_nb.core.transport.addresses import check_plain, is_loopback, parse_url, public_url
from spincache_nb.core.transport.answers import Answer
from spincache_nb.core.transport.download import Download
from spincache_nb.core.transport.retrying import Retrier
from spincache_nb.core.transport.web import Ask, Web
from spincache_nb.errors import (
    CredentialsError,
    FormatError,
    InsecureTransportError,
    InvalidReferenceError,
    LimitError,
    PackageError,
    RegistryError,
)
from spincache_nb.project.packages.metadata import WELL_KNOWN, RegistryMetadata, parse_metadata

_log = logging.getLogger(__name__)
_GOOD = (200, 206)
_METADATA_ATTEMPTS = 3
_ANYBODY = Access("without credentials", "check the address; none are sent unless they are part of it")


def fetch_metadata(web: Web, registry: str) -> tuple[RegistryMetadata, str]:
    """Ask a registry for its metadata, at its well-known address."""
    try:
        content = _fetch(web, registry)
        if content is None:
            return RegistryMetadata(), "it has no metadata"
        where = f"metadata of {registry}"
        document = parse_object(content, where=where, error=FormatError, what="metadata of a registry")
        return parse_metadata(document, where=where, error=FormatError), ""
    except (RegistryError, FormatError, LimitError, InvalidReferenceError) as exc:
        _log.warning("metadata of %s: %s; going on without", registry, exc)
        return RegistryMetadata(), f"its metadata could not be had: {exc.found or exc.where}"


def _fetch(web: Web, registry: str) -> bytes | None:
    url = web.url(registry, WELL_KNOWN)
    wish = Wish(f"metadata of {registry}", public_url(url), "it has none")

    def once() -> bytes | None:
        with web.send(Ask(url, {"Accept": "application/json"})) as answer:
            if answer.status == 404:
                answer.discard()
                return None
            if answer.status != 200:
                raise refusal(answer, wish, _ANYBODY)
            return answer.read(web.limits.token_bytes, what="metadata")

    policy = web.retrier.policy
    patient = replace(policy, attempts=min(policy.attempts, _METADATA_ATTEMPTS))
    return Retrier(patient, web.halt).run(once)


def stream_address(web: Web, address: str, *, where: str) -> Iterator[bytes]:
    """Fetch what an address names, in pieces."""
    url, authorization = _split_user(address, where=where)
    check_plain(url, insecure=web.insecure, where=where)
    if authorization is not None and url.scheme == "http" and not is_loopback(url.host):
        raise InsecureTransportError(
            where, "https:// for an address that holds a password", public_url(url), "use https"
        )
    wish = Wish(where, f"what {public_url(url)} names", "check the address")

    def ask(more: Mapping[str, str]) -> Answer:
        answer = web.send(Ask(url, more, authorization))
        if answer.status not in _GOOD:
            raise refusal(answer, wish, _ANYBODY)
        return answer

    yield from Download(ask, size=None, where=where, retrier=web.retrier)


def _split_user(address: str, *, where: str) -> tuple[httpx.URL, str | None]:
    """An address without user and password, and what to send for them."""
    try:
        pair = httpx.URL(address).userinfo.decode("ascii")
        url = parse_url(address, where=where)
    except (RegistryError, httpx.InvalidURL, TypeError, UnicodeError):  # which may hold the password
        raise PackageError(
            where, "an address that begins with https:// or http://", "something else", "correct it"
        ) from None
    if not pair:
        return url, None
    user, _, password = pair.partition(":")
    try:
        return url, basic(Credentials(unquote(user), unquote(password), source="the address"))
    except CredentialsError as exc:
        raise PackageError(where, exc.expected, exc.found, "correct the address") from None

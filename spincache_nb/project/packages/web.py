"""What package registries need of the web beside the OCI API: their metadata, and plain addresses."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from urllib.parse import unquote

import httpx

from spincache_nb.core.addresses import host_in, is_loopback, parse_url, public_url
from spincache_nb.core.auth import basic
from spincache_nb.core.credentials import Credentials
from spincache_nb.core.download import stream_address as stream_plain
from spincache_nb.core.refusals import Access, Purpose
from spincache_nb.core.strict_json import parse_object
from spincache_nb.core.web import Ask, Web
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
    purpose = Purpose(f"metadata of {registry}", public_url(url), "it has none")

    def once() -> bytes | None:
        with web.send(Ask(url, {"Accept": "application/json"})) as answer:
            if answer.status == 404:
                answer.read_error_page()
                return None
            if answer.status != 200:
                raise answer.refusal(purpose, _ANYBODY)
            return answer.read(web.limits.token_bytes, what="metadata")

    return web.run(once, attempts=_METADATA_ATTEMPTS)


def stream_address(web: Web, address: str, *, where: str) -> Iterator[bytes]:
    """Fetch what an address names, in pieces."""
    url, authorization = _split_user(address, where=where)
    if authorization is not None and url.scheme == "http" and not is_loopback(host_in(url)):
        raise InsecureTransportError(
            where, "https:// for an address that holds a password", public_url(url), "use https"
        )
    yield from stream_plain(web, url, where=where, authorization=authorization)


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

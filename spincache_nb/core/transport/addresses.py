"""Addresses: what is loopback, what may be shown to people, what may be asked in plain HTTP."""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache

import httpx

from spincache_nb.errors import InsecureTransportError, ProtocolError, printable

_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9_])?\.?")
_PORTS = {"http": 80, "https": 443}
Origin = tuple[str, str, int]


@lru_cache(maxsize=256)
def is_loopback(host: str) -> bool:
    """Whether a host is this machine by its very name."""
    name = host.strip("[]").lower()
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def host_of(netloc: str) -> str:
    """Host of ``host[:port]``."""
    if netloc.startswith("["):
        return netloc[1:].partition("]")[0]
    return netloc.partition(":")[0]


def parse_url(text: str | httpx.URL, *, base: httpx.URL | None = None, where: str) -> httpx.URL:
    """Read an address that a server gave."""
    try:
        url = httpx.URL(text) if base is None else base.join(text)
        url = url.copy_with(userinfo=b"", fragment=None)
    except (httpx.InvalidURL, ValueError, TypeError) as exc:
        raise _not_an_address(where, "text that is none") from exc
    if url.scheme not in _PORTS:
        raise _not_an_address(where, f"scheme {url.scheme!r}" if url.scheme else "no scheme")
    if not can_be_asked(url):
        raise _not_an_address(where, public_url(url))
    return url


def can_be_asked(url: httpx.URL) -> bool:
    """Whether host and port are such that a server could have them; httpx looks at neither."""
    if url.port is not None and not 0 < url.port < 1 << 16:
        return False
    try:
        host = url.raw_host.decode("ascii")
    except UnicodeError:  # an IPv6 address with a zone that is no text
        return False
    return _NAME.fullmatch(host) is not None or (":" in host and _is_address(host))


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _not_an_address(where: str, found: str) -> ProtocolError:
    return ProtocolError(
        where, "an address that begins with https:// or http://", found, "the server is set up wrongly"
    )


def origin_of(url: httpx.URL) -> Origin:
    """Scheme, host and port: what credentials belong to (RFC 6454)."""
    return url.scheme, url.host.lower(), url.port or _PORTS[url.scheme]


def public_url(url: httpx.URL | str) -> str:
    """An address as it may be shown: no user, no password, no query, no fragment."""
    text = str(url)
    scheme, mark, rest = text.partition("://")
    rest = rest.partition("#")[0]
    rest, asked, _ = rest.partition("?")
    authority, slash, path = rest.partition("/")
    shown = f"{scheme}{mark}{authority.rpartition('@')[2]}{slash}{path}" if mark else scheme
    return printable(shown + ("?..." if asked else ""))


def check_plain(url: httpx.URL, *, insecure: bool | None, where: str) -> None:
    """Refuse plain HTTP that nobody asked for."""
    if url.scheme == "https" or insecure is True or is_loopback(url.host):
        return
    raise InsecureTransportError(
        where,
        "an https:// address",
        public_url(url),
        "plain HTTP is used for loopback only; insecure=True asks for it",
    )

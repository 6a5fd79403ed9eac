"""Addresses: what is loopback, what may be shown to people or asked in plain HTTP, and by which proxy.

Hosts are compared, shown and asked as the ASCII text that goes over the wire. httpx decodes ``url.host`` only
when somebody reads it, and raises `idna`'s own exceptions then; nothing in this package reads it.
"""

from __future__ import annotations

import base64
import ipaddress
import re
import threading
from functools import lru_cache
from urllib.parse import unquote, urlsplit

import httpx
import msgspec

from spincache_nb.errors import ConnectionFailedError, InsecureTransportError, ProtocolError, printable

_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9_])?\.?")
_PORTS = {"http": 80, "https": 443}
_WELL_FORMED = (  # compiled when it is first used, as the next: a pull that goes well shows no address
    r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<user>[^/?#\\\s]*@)?"
    r"(?P<host>[\w.-]+|\[[0-9a-f:.]+\])(?P<port>:\d{1,5})?(?P<path>/[^?#]*)?(?P<rest>[?#].*)?"
)
_SCHEME = r"\s*([a-z][a-z0-9+.-]*:(?://)?)"
Origin = tuple[str, str, int]


def host_in(url: httpx.URL) -> str:
    """Host of an address, as it is asked: lower case, punycode, without brackets."""
    return url.raw_host.decode("ascii")


def host_of(netloc: str) -> str:
    """Host of ``host[:port]``."""
    if netloc.startswith("["):
        return netloc[1:].partition("]")[0]
    return netloc.partition(":")[0]


@lru_cache(maxsize=256)
def is_loopback(host: str) -> bool:
    """Whether a host is this machine by its very name; IPv4 written as IPv6 is not, on any Python."""
    name = host.strip("[]").lower()
    if name == "localhost":
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    return address.is_loopback and not getattr(address, "ipv4_mapped", None)


def parse_url(text: str | httpx.URL, *, base: httpx.URL | None = None, where: str) -> httpx.URL:
    """Read an address that a server or a document gave; user, password and fragment are dropped."""
    url = _read(text, base)
    if url is None:  # raised out here: the parser's own error repeats the text, and a password in it
        raise _not_an_address(where, "text that is not a URL")
    if url.scheme not in _PORTS:
        raise _not_an_address(where, f"scheme {url.scheme!r}" if url.scheme else "no scheme")
    if not can_be_asked(url):
        raise _not_an_address(where, public_url(url))
    return url


def _read(text: str | httpx.URL, base: httpx.URL | None) -> httpx.URL | None:
    try:
        url = httpx.URL(text) if base is None else base.join(text)
        return url.copy_with(userinfo=b"", fragment=None)
    except (httpx.InvalidURL, ValueError, TypeError):
        return None


def can_be_asked(url: httpx.URL) -> bool:
    """Whether a server could have this host and port; httpx looks at neither."""
    if url.port is not None and not 0 < url.port < 1 << 16:
        return False
    try:
        host = host_in(url)
        _ = url.host  # which httpx decodes when it makes a request, and not before
    except UnicodeError:  # malformed punycode, or an IPv6 address with a zone that is no text
        return False
    return _NAME.fullmatch(host) is not None or (":" in host and _is_address(host))


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _not_an_address(where: str, found: str) -> ProtocolError:
    expected = "an address that begins with https:// or http://"
    return ProtocolError(where, expected, found, "the server or document that names it is set up wrongly")


def origin_of(url: httpx.URL) -> Origin:
    """Scheme, host and port: what credentials belong to (RFC 6454)."""
    return url.scheme, host_in(url), url.port or _PORTS[url.scheme]


def whole_url(request: httpx.Request) -> httpx.URL:
    """Address of a request; its path may stand beside its origin, in httpx's request extension ``target``."""
    return with_target(request.url, request.extensions.get("target"))


def with_target(url: httpx.URL, target: bytes | None) -> httpx.URL:
    """An origin's address with a path, or an address as it is."""
    return url if target is None else url.copy_with(raw_path=target)


def public_url(url: httpx.URL | str) -> str:
    """An address as it may be shown: no user, no password, no query, no fragment.

    Of text that may not mean what it says, such as a password with a slash in it, only the scheme is shown.
    """
    text = str(url)
    match = re.fullmatch(_WELL_FORMED, text, re.IGNORECASE | re.DOTALL)
    if match is None or _may_hide_a_password(match):
        scheme = re.match(_SCHEME, text, re.IGNORECASE)
        if scheme is not None or "@" in text:
            return (scheme[1] if scheme is not None else "") + "..."
        return printable(text.partition("?")[0].partition("#")[0])
    query = "?..." if (match["rest"] or "").startswith("?") else ""
    return printable(f"{match['scheme']}://{match['host']}{match['port'] or ''}{match['path'] or ''}{query}")


def _may_hide_a_password(match: re.Match[str]) -> bool:
    """Whether an @ further on may end a ``user:password``, the host being what follows."""
    if "@" not in (match["path"] or "") + (match["rest"] or ""):
        return False
    return bool(match["user"] or match["port"] or "." not in match["host"])


def public_netloc(url: httpx.URL) -> str:
    """Host and port as they may be shown: not if they may be a user and the beginning of a password."""
    hides = b"@" in url.raw_path and (url.port is not None or b"." not in url.raw_host)
    return "..." if hides else url.netloc.decode("ascii")


def check_plain(url: httpx.URL, *, insecure: bool | None, where: str) -> None:
    """Refuse plain HTTP that nobody asked for."""
    if url.scheme == "https" or insecure is True or is_loopback(host_in(url)):
        return
    raise InsecureTransportError(
        where,
        "an https:// address",
        public_url(url),
        "plain HTTP is used for loopback only; insecure=True asks for it",
    )


_PROXY_PORTS = {"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080}
_CHECK_PROXY = "check HTTPS_PROXY, HTTP_PROXY and ALL_PROXY, or the system's settings"
_ENCODE = "write # / ? and @ of a user or password as %23 %2F %3F and %40"


class Proxy(msgspec.Struct, frozen=True):
    """A proxy; its user and password stay out of every repr."""

    scheme: str
    host: str
    port: int
    user: str = ""
    password: str = ""

    def __repr__(self) -> str:
        return f"Proxy({self.name!r})"

    @classmethod
    def parse(cls, text: str) -> Proxy:
        """Read a proxy's address."""
        found = cls._read(text if "://" in text else f"http://{text}")
        if found is None:  # raised out here: the parser's own error repeats a part of a password
            raise ConnectionFailedError("proxy", "an address", "something else", f"{_CHECK_PROXY}; {_ENCODE}")
        if found.scheme not in _PROXY_PORTS or not found.host:
            kinds = "an address of kind http, https, socks5 or socks5h"
            raise ConnectionFailedError(
                f"proxy {public_url(text)}", kinds, found.scheme or "none", _CHECK_PROXY
            )
        return found

    @classmethod
    def _read(cls, text: str) -> Proxy | None:
        try:
            parts = urlsplit(text)
            scheme = "socks5" if parts.scheme == "socks" else parts.scheme
            host, port = parts.hostname or "", parts.port or _PROXY_PORTS.get(scheme, 0)
        except ValueError:
            return None
        if "@" in parts.path + parts.query + parts.fragment:  # what looks like a host is part of the user's
            return None
        return cls(scheme, host, port, unquote(parts.username or ""), unquote(parts.password or ""))

    @property
    def name(self) -> str:
        """``scheme://host:port``, for people and for httpx."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"

    @property
    def authorization(self) -> str | None:
        """Value of ``Proxy-Authorization``, if the proxy was given with a user."""
        if not self.user:
            return None
        return "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode("ascii")


class SystemProxies:
    """Which proxy an address is reached through: by the environment, or the settings of macOS and Windows."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._settings: dict[str, str] | None = None
        self._known: dict[tuple[str, str], Proxy | None] = {}

    def __call__(self, url: httpx.URL) -> Proxy | None:
        """Find the proxy for an address."""
        if is_loopback(host_in(url)):
            return None
        key = url.scheme, url.netloc.decode("ascii")
        with self._lock:
            if key not in self._known:
                self._known[key] = self._find(url)
            return self._known[key]

    def _find(self, url: httpx.URL) -> Proxy | None:
        from urllib.request import getproxies, getproxies_environment, proxy_bypass

        if self._settings is None:
            self._settings = getproxies()
        text = self._settings.get(url.scheme) or self._settings.get("all")
        if not text:
            return None
        if environment := getproxies_environment():
            port = str(url.port or _PORTS[url.scheme])
            direct = is_exempt(host_in(url), port, environment.get("no", ""))
        else:
            direct = bool(proxy_bypass(url.netloc.decode("ascii")))
        return None if direct else Proxy.parse(text)


def is_exempt(host: str, port: str, no_proxy: str) -> bool:
    """Whether ``NO_PROXY`` names a host: by Go's rules, which other clients of registries follow.

    An address, a range of them (``10.0.0.0/8``), a name with all below it (``example.com``), only what is
    below it (``.example.com``, ``*.example.com``), each but the range perhaps with a port; ``*`` is all.
    """
    name = host.lower().rstrip(".")
    address = _address(name)
    return any(
        _exempts(entry, name, address, port) for entry in re.split(r"[,\s]+", no_proxy.lower()) if entry
    )


def _exempts(
    entry: str, name: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address | None, port: str
) -> bool:
    if entry == "*":
        return True
    if "/" in entry:
        return address is not None and _in_range(address, entry)
    match = re.fullmatch(r"(\[[^\]]*\]|[^:]*):(\d*)", entry)
    wanted, only = (match[1], match[2]) if match is not None else (entry, "")
    wanted = wanted.strip("[]").rstrip(".")
    if not wanted or only not in ("", port):
        return False
    if (exempt := _address(wanted)) is not None:
        return exempt == address
    wanted = wanted.removeprefix("*")
    return name.endswith(wanted) if wanted.startswith(".") else name == wanted or name.endswith(f".{wanted}")


def _in_range(address: ipaddress.IPv4Address | ipaddress.IPv6Address, entry: str) -> bool:
    try:
        return address in ipaddress.ip_network(entry.replace("[", "").replace("]", ""), strict=False)
    except ValueError:
        return False


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """An IP address; one of IPv4 written as IPv6 is the same to Go."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address

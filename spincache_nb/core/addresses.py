"""Addresses: what is loopback, what may be shown to people or asked in plain HTTP, and by which proxy.

Hosts are compared, shown and asked as the ASCII text that goes over the wire.
"""

from __future__ import annotations

import base64
import ipaddress
import re
import threading
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import parse_qs, quote, unquote, urlencode, urljoin, urlsplit

import msgspec

from spincache_nb.errors import ConnectionFailedError, InsecureTransportError, ProtocolError, printable

_PORTS = {"http": 80, "https": 443}
_LONGEST = 64 << 10
_AUTHORITY = re.compile(r"(?:([^@]*)@)?(\[[^\[\]]*\]|[^:@\[\]]*)(?::([0-9]{0,5}))?")
_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9_])?\.?")
_NUMBERS = re.compile(r"(?:[0-9]+\.){3}[0-9]+")
_PARTS = (  # RFC 3986, appendix B; compiled when it is first used, as the next two
    r"(?:([A-Za-z][A-Za-z0-9+.-]*):)?(?://([^/?#]*))?([^?#]*)(?:\?([^#]*))?(?:#.*)?"
)
_WELL_FORMED = (
    r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<user>[^/?#\\\s]*@)?"
    r"(?P<host>[\w.-]+|\[[0-9a-f:.]+\])(?P<port>:\d{1,5})?(?P<path>/[^?#]*)?(?P<rest>[?#].*)?"
)
_SCHEME = r"\s*([a-z][a-z0-9+.-]*:(?://)?)"
_PATH_SAFE = "!$%&'()*+,/:;=@[]\\^|~"
_QUERY_SAFE = _PATH_SAFE + "?`{}"
Origin = tuple[str, str, int]


class Url(NamedTuple):
    """An address as it is asked: a user, password and fragment are no part of it."""

    scheme: str
    host: str
    """In lower case and punycode, without brackets."""
    port: int
    target: str
    """Path and query, in ASCII."""

    @classmethod
    def of(cls, scheme: str, authority: str, target: str) -> Url | None:
        """Put an address together; None if no server could have such a host and port."""
        match = _AUTHORITY.fullmatch(authority)
        if match is None:
            return None
        host, port = match[2].lower(), int(match[3] or _PORTS[scheme])
        if "xn--" in host or not host.isascii():
            host = _punycode(host)
        if not 0 < port < 1 << 16:
            return None
        if host[:1] == "[":
            host = host[1:-1]
            fits = ":" in host and _is_address(host)
        else:
            fits = _NAME.fullmatch(host) is not None
            if fits and _NUMBERS.fullmatch(host):
                fits = _is_address(host)
        return cls(scheme, host, port, target) if fits else None

    def __str__(self) -> str:
        return f"{self.scheme}://{self.netloc}{self.target}"

    def __repr__(self) -> str:
        return f"Url({public_url(self)!r})"

    @property
    def netloc(self) -> str:
        """``host[:port]``, as in a ``Host`` header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def path(self) -> str:
        """What comes before the query."""
        return self.target.partition("?")[0]

    @property
    def origin(self) -> Origin:
        """Scheme, host and port: what credentials belong to (RFC 6454)."""
        return self[:3]

    def with_fields(self, fields: Mapping[str, str | Sequence[str]]) -> Url:
        """The address with these fields of a query, in place of those of the same names."""
        path, _, query = self.target.partition("?")
        merged = {**parse_qs(query, keep_blank_values=True), **fields}
        return self._replace(target=f"{path}?{urlencode(merged, doseq=True)}")


def _punycode(host: str) -> str:
    """A name in other letters as it is asked; empty if it stands for none."""
    import httpx  # whose rules for such names are those of browsers

    try:
        url = httpx.URL(f"http://{host}/")
        _ = url.host  # which is decoded now, and not before
        return url.raw_host.decode("ascii")
    except (httpx.InvalidURL, ValueError):
        return ""


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


def parse_url(text: str, *, base: Url | None = None, where: str) -> Url:
    """Read an address that a server or a document gave; user, password and fragment are dropped."""
    parts = _parts_of(text, base)
    if parts is None:  # raised out here: the parser's own error repeats the text, and a password in it
        raise _not_an_address(where, "text that is not a URL")
    scheme, authority, path, query = parts
    if scheme not in _PORTS:
        raise _not_an_address(where, f"scheme {scheme!r}" if scheme else "no scheme")
    target = quote(_without_dots(path), _PATH_SAFE) + (f"?{quote(query, _QUERY_SAFE)}" if query else "")
    url = Url.of(scheme, authority, target)
    if url is None:
        raise _not_an_address(where, public_url(f"{scheme}://{authority}{target}"))
    return url


def _parts_of(text: str, base: Url | None) -> tuple[str, str, str, str] | None:
    """Scheme, authority, path and query; no control characters and no lone surrogates in them."""
    try:
        text.encode("utf-8")
        joined = text if base is None else urljoin(str(base), text)
    except ValueError:
        return None
    if len(text) > _LONGEST or any(c < " " or c == "\x7f" for c in text):
        return None
    match = re.fullmatch(_PARTS, joined, re.DOTALL)
    assert match is not None  # any text has parts, perhaps empty ones
    scheme, authority, path, query = (part or "" for part in match.groups())
    return scheme.lower(), authority, path, query


def _without_dots(path: str) -> str:
    """A path from the root, without the steps ``.`` and ``..`` (RFC 3986, 5.2.4)."""
    if "/." not in path:
        return path or "/"
    kept: list[str] = []
    *folders, last = path.split("/")[1:]
    for step in folders:
        if step == "..":
            del kept[-1:]
        elif step != ".":
            kept.append(step)
    if last == "..":
        del kept[-1:]
    return "/".join(["", *kept, "" if last in (".", "..") else last])


def user_in(text: str) -> str:
    """What stands before an @ in an address, as it stands there: user and password."""
    match = re.fullmatch(_PARTS, text, re.DOTALL)
    found = _AUTHORITY.fullmatch(match[2] or "") if match is not None else None
    return (found[1] or "") if found is not None else ""


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _not_an_address(where: str, found: str) -> ProtocolError:
    expected = "an address that begins with https:// or http://"
    return ProtocolError(where, expected, found, "the server or document that names it is set up wrongly")


def public_url(url: Url | str) -> str:
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


def public_netloc(url: Url) -> str:
    """Host and port as they may be shown: not if they may be a user and the beginning of a password."""
    hides = "@" in url.target and (url.port != _PORTS[url.scheme] or "." not in url.host)
    return "..." if hides else url.netloc


def check_plain(url: Url, *, insecure: bool | None, where: str) -> None:
    """Refuse plain HTTP that nobody asked for."""
    if url.scheme == "https" or insecure is True or is_loopback(url.host):
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

    def __call__(self, url: Url) -> Proxy | None:
        """Find the proxy for an address."""
        if is_loopback(url.host):
            return None
        key = url.scheme, url.netloc
        with self._lock:
            if key not in self._known:
                self._known[key] = self._find(url)
            return self._known[key]

    def _find(self, url: Url) -> Proxy | None:
        from urllib.request import getproxies, getproxies_environment, proxy_bypass

        if self._settings is None:
            self._settings = getproxies()
        text = self._settings.get(url.scheme) or self._settings.get("all")
        if not text:
            return None
        if environment := getproxies_environment():
            direct = is_exempt(url.host, str(url.port), environment.get("no", ""))
        else:
            direct = bool(proxy_bypass(url.netloc))
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

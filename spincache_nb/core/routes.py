"""The way of each request: directly or through the system's proxy, and which certificates are trusted."""

from __future__ import annotations

import ipaddress
import os
import re
import ssl
import sys
import threading
from pathlib import Path

import httpx

from spincache_nb.core.addresses import Proxy, host_in, is_loopback
from spincache_nb.core.refusals import causes
from spincache_nb.core.sockets import Check, SocketTransport, proxy_error
from spincache_nb.errors import ConnectionFailedError, MissingExtraError

_PORTS = {"http": "80", "https": "443"}


class Transport(httpx.BaseTransport):
    """Sends each request the way the system wants it sent."""

    def __init__(
        self,
        *,
        ca: str | os.PathLike[str] | None = None,
        idle: int = 16,
        check: Check = lambda: None,
    ) -> None:
        self._tls = Tls(ca)
        self._idle = idle
        self._proxies = SystemProxies()
        self._direct = SocketTransport(context=self._tls.context, idle=idle, check=check)
        self._lock = threading.Lock()
        self._others: dict[tuple[Proxy, str], httpx.HTTPTransport] = {}

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request."""
        proxy = self._proxies(request.url)
        if proxy is None or proxy.scheme == "http":
            return self._direct.handle_request(request, proxy)
        transport = self._through(proxy, request.url.scheme)
        try:
            return transport.handle_request(request)
        except (httpx.ConnectError, httpx.ConnectTimeout) as exc:
            if any(isinstance(cause, ssl.SSLError) for cause in causes(exc)):
                raise
            raise proxy_error(exc, proxy) from exc

    def _through(self, proxy: Proxy, scheme: str) -> httpx.HTTPTransport:
        with self._lock:
            if (proxy, scheme) not in self._others:
                self._others[proxy, scheme] = self._make(proxy, scheme)
            return self._others[proxy, scheme]

    def _make(self, proxy: Proxy, scheme: str) -> httpx.HTTPTransport:
        secure = "https" in (scheme, proxy.scheme)
        context = self._tls.context() if secure else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        auth = (proxy.user, proxy.password) if proxy.user else None
        own_context = context if proxy.scheme == "https" else None
        try:
            return httpx.HTTPTransport(
                verify=context,
                trust_env=False,
                http2=False,
                limits=httpx.Limits(max_connections=None, max_keepalive_connections=self._idle),
                proxy=httpx.Proxy(proxy.name, auth=auth, ssl_context=own_context),
            )
        except ImportError as exc:
            remedy = "install it with: pip install 'spincache-nb[socks]'"
            raise MissingExtraError(f"proxy {proxy.name}", "the package socksio", "none", remedy) from exc
        except (httpx.InvalidURL, ValueError) as exc:
            raise ConnectionFailedError("proxy", "a host", proxy.name, "check HTTPS_PROXY") from exc

    def close(self, *, cut_all: bool = False) -> None:
        """Close what is idle; also end what waits in other threads, as far as the connection is ours."""
        self._direct.close(cut_all=cut_all)
        for transport in self._others.values():
            transport.close()


# Proxies -----------------------------------------------------------------------------------------


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


# Trust -------------------------------------------------------------------------------------------


class Tls:
    """Whom a client trusts: one context for all connections, made for the first (20 to 200 ms)."""

    def __init__(self, ca: str | os.PathLike[str] | None = None) -> None:
        self._ca = Path(ca) if ca is not None else None
        self._lock = threading.Lock()
        self._context: ssl.SSLContext | None = None

    def context(self) -> ssl.SSLContext:
        """Give the one context, building it if need be."""
        with self._lock:
            if self._context is None:
                context = _from_environment() or _system_context()
                if self._ca is not None:
                    _load(context, "ca=", cafile=self._ca)
                self._context = context
            return self._context


def _from_environment() -> ssl.SSLContext | None:
    file, folder = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
    if not file and not folder:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if file:
        _load(context, "SSL_CERT_FILE", cafile=Path(file))
    for part in (folder or "").split(os.pathsep):
        if part:
            _load(context, "SSL_CERT_DIR", capath=Path(part))
    return context


def _system_context() -> ssl.SSLContext:
    if sys.platform not in ("darwin", "win32") and ssl.get_default_verify_paths().cafile is not None:
        context = ssl.create_default_context()
        # Python 3.13 asks more of an authority than curl, Go and older Pythons do, and private ones lack it
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        return context
    import truststore

    return truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _load(
    context: ssl.SSLContext, setting: str, *, cafile: Path | None = None, capath: Path | None = None
) -> None:
    where = f"{setting} {cafile or capath}"
    try:
        context.load_verify_locations(cafile=cafile, capath=capath)
    except OSError as exc:  # ssl.SSLError is one, for a file that holds no certificate
        found = exc.strerror if isinstance(exc, FileNotFoundError | PermissionError) else "something else"
        remedy = "name the authority's PEM file"
        raise ConnectionFailedError(
            where, "a file of certificates (PEM)", str(found).lower(), remedy
        ) from exc

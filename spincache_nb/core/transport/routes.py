"""The one place where a transport is made."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable

import httpx

from spincache_nb.core.transport.connections import DirectTransport, proxy_error
from spincache_nb.core.transport.faults import causes
from spincache_nb.core.transport.proxies import Proxy, SystemProxies
from spincache_nb.core.transport.wire import Check
from spincache_nb.errors import MissingExtraError

_BY_US = (None, "http")


class RoutedTransport(httpx.BaseTransport):
    """Sends each request the way the system wants it sent."""

    def __init__(self, *, context: Callable[[], ssl.SSLContext], idle: int, check: Check) -> None:
        self._context = context
        self._idle = idle
        self._proxies = SystemProxies()
        self._direct = DirectTransport(context=context, idle=idle, check=check)
        self._lock = threading.Lock()
        self._others: dict[tuple[Proxy, str], httpx.HTTPTransport] = {}

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request."""
        proxy = self._proxies(request.url)
        if proxy is None or proxy.scheme in _BY_US:
            return self._direct.handle(request, proxy)
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
        context = self._context() if secure else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
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
            raise MissingExtraError(
                f"proxy {proxy.name}",
                "the package socksio",
                "none",
                "install it with: pip install 'spincache-nb[socks]'",
            ) from exc

    def cut(self) -> None:
        """End what waits in other threads, as far as this transport made the connection."""
        self._direct.cut()

    def close(self) -> None:
        """Close what is idle."""
        self._direct.close()
        for transport in self._others.values():
            transport.close()


def make_transport(
    *, context: Callable[[], ssl.SSLContext], idle: int = 16, check: Check = lambda: None
) -> RoutedTransport:
    """Make the transport that all requests of a client go through."""
    return RoutedTransport(context=context, idle=idle, check=check)

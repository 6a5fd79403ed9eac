"""Exchanges by way of httpx: through proxies of https and SOCKS, and any transport that httpx knows.

The only module that loads httpx; a pull without such a proxy does without.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from typing import cast

import httpx

from spincache_nb.core.addresses import Proxy
from spincache_nb.core.messages import Ask, Headers, cut, framed, unreached
from spincache_nb.core.refusals import (
    ConnectTimeoutError,
    ProxyError,
    SilenceError,
    TransportError,
    UnconnectedError,
    UnsendableError,
    causes,
)
from spincache_nb.core.settings import Timeouts
from spincache_nb.errors import ConnectionFailedError, MissingExtraError

_ERRORS = (
    (httpx.ProxyError, ProxyError),
    (httpx.ConnectTimeout, ConnectTimeoutError),
    (httpx.TimeoutException, SilenceError),
    (httpx.ConnectError, UnconnectedError),
    (httpx.LocalProtocolError, UnsendableError),
    (httpx.TransportError, TransportError),
)


def through(proxy: Proxy, context: ssl.SSLContext | None, *, idle: int) -> HttpxTransport:
    """A transport through a proxy of https or SOCKS; without a context there is no TLS on the way."""
    auth = (proxy.user, proxy.password) if proxy.user else None
    try:
        transport = httpx.HTTPTransport(
            verify=context or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
            trust_env=False,
            http2=False,
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=idle),
            proxy=httpx.Proxy(
                proxy.name, auth=auth, ssl_context=context if proxy.scheme == "https" else None
            ),
        )
    except ImportError as exc:
        remedy = "install it with: pip install 'spincache-nb[socks]'"
        raise MissingExtraError(f"proxy {proxy.name}", "the package socksio", "none", remedy) from exc
    except (httpx.InvalidURL, ValueError) as exc:
        raise ConnectionFailedError("proxy", "a host", proxy.name, "check HTTPS_PROXY") from exc
    return HttpxTransport(transport, proxy)


class HttpxTransport:
    """Sends requests by an httpx transport, which may lead through a proxy."""

    def __init__(self, transport: httpx.BaseTransport, proxy: Proxy | None = None) -> None:
        self._transport = transport
        self._proxy = proxy
        self._lock = threading.Lock()
        self._open: set[_Body] = set()

    def send(self, ask: Ask, timeouts: Timeouts) -> _Body:
        """Send a request and read the head of the answer."""
        waits = {"connect": timeouts.connect, "read": timeouts.read, "write": timeouts.read, "pool": None}
        with self._told():
            request = httpx.Request(
                ask.method,
                str(ask.url),
                headers=ask.fields,
                content=ask.content if ask.form is not None else None,
                extensions={"timeout": waits},
            )
            body = _Body(self, ask, self._transport.handle_request(request))
        with self._lock:
            self._open.add(body)
        return body

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Name errors as our own transport does."""
        try:
            yield
        except httpx.TransportError as exc:
            unconnected = isinstance(exc, httpx.ConnectError | httpx.ConnectTimeout)
            untrusted = any(isinstance(cause, ssl.SSLError) for cause in causes(exc))
            if self._proxy is not None and unconnected and not untrusted:
                raise unreached(self._proxy, exc) from exc
            kind = next(ours for theirs, ours in _ERRORS if isinstance(exc, theirs))
            raise kind(str(exc)) from exc
        except (httpx.InvalidURL, UnicodeError) as exc:  # httpx decodes punycode when it makes a request
            raise UnconnectedError("a name that no server can have") from exc

    def forget(self, body: _Body) -> None:
        """An answer was closed."""
        with self._lock:
            self._open.discard(body)

    def close(self) -> None:
        """End everything: reads that wait in other threads, too."""
        with self._lock:
            waiting = list(self._open)
        for body in waiting:
            body.cut()
        self._transport.close()


class _Body:
    """The body of an answer, piece by piece, as it comes."""

    def __init__(self, transport: HttpxTransport, ask: Ask, response: httpx.Response) -> None:
        self.head = framed(response.status_code, Headers(response.headers.multi_items()), ask.method)
        self._transport = transport
        self._response = response

    def __iter__(self) -> Iterator[bytes]:
        with self._transport._told():
            yield from cast(httpx.SyncByteStream, self._response.stream)  # as iter_raw, less a copy

    def cut(self) -> None:
        """End a read that waits in another thread."""
        stream = self._response.extensions.get("network_stream")
        sock = stream.get_extra_info("socket") if stream is not None else None
        if isinstance(sock, socket.socket):
            cut(sock)

    def close(self) -> None:
        """Let the connection go."""
        self._transport.forget(self)
        with contextlib.suppress(httpx.TransportError):
            self._response.close()

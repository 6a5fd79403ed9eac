"""Connections to servers, one request at a time each, and those that wait for their next."""

from __future__ import annotations

import http.client
import threading
from typing import Any, NamedTuple, cast

import httpx

from spincache_nb.core.transport.addresses import Origin
from spincache_nb.core.transport.proxies import Proxy
from spincache_nb.core.transport.wire import Wire

_INTERIM = range(102, 200)
"""Heads before the one that counts; http.client itself skips 100, and 101 answers what is never asked."""


class Route(NamedTuple):
    """Whom a connection leads to, and through which proxy."""

    origin: Origin
    proxy: Proxy | None

    @property
    def tunnelled(self) -> bool:
        """Whether the proxy only passes TLS on (CONNECT)."""
        return self.proxy is not None and self.origin[0] == "https"


class Connection:
    """One connection; used by one thread at a time."""

    def __init__(self, route: Route, wire: Wire) -> None:
        self.route = route
        self.wire = wire
        self._http = http.client.HTTPConnection("unused.invalid")
        self._http.auto_open = 0  # sockets are made below, and only there
        self._http.sock = cast(Any, wire)

    def ask(self, request: httpx.Request, timeout: float) -> http.client.HTTPResponse:
        """Send a request and read the head of its answer."""
        self.wire.allow(timeout)
        direct = self.route.proxy is None or self.route.tunnelled
        target = request.url.raw_path.decode("ascii") if direct else _absolute(request.url)
        self._http.putrequest(request.method, target, skip_host=True, skip_accept_encoding=True)
        for name, value in request.headers.raw:
            self._http.putheader(name.decode("ascii"), value)
        if not direct and self.route.proxy is not None and self.route.proxy.authorization:
            self._http.putheader("Proxy-Authorization", self.route.proxy.authorization)
        self._http.endheaders(request.read() or None)
        answer = self._http.getresponse()
        while answer.status in _INTERIM:
            answer = self._next_head(answer, request.method)
        _check_head(answer)
        return answer

    def _next_head(self, interim: http.client.HTTPResponse, method: str) -> http.client.HTTPResponse:
        """Read the head that follows an interim one, such as Early Hints (RFC 9110, 15.2)."""
        interim.close()
        following = http.client.HTTPResponse(cast(Any, self.wire), method=method)
        following.begin()
        return following


def _absolute(url: httpx.URL) -> str:
    return f"{url.scheme}://{url.netloc.decode('ascii')}{url.raw_path.decode('ascii')}"


def _check_head(answer: http.client.HTTPResponse) -> None:
    if answer.status < 200:
        raise http.client.HTTPException(f"an answer of status {answer.status} that nobody asked for")
    if "Transfer-Encoding" in answer.headers and not answer.chunked:
        raise http.client.HTTPException("a transfer encoding other than chunked")


class Pool:
    """Connections that wait for their next request, the latest used first."""

    def __init__(self, idle: int) -> None:
        self._idle = idle
        self._lock = threading.Lock()
        self._closed = False
        self._waiting: dict[Route, list[Connection]] = {}

    def take(self, route: Route) -> Connection | None:
        """Take one that is still good, closing those that are not."""
        while True:
            with self._lock:
                connections = self._waiting.get(route)
                connection = connections.pop() if connections else None
            if connection is None or connection.wire.is_quiet():
                return connection
            connection.wire.shut()

    def give(self, connection: Connection) -> None:
        """Keep one for later, unless there are enough or no later is to come."""
        with self._lock:
            connections = self._waiting.setdefault(connection.route, [])
            if len(connections) < self._idle and not self._closed:
                connections.append(connection)
                return
        connection.wire.shut()

    def close(self) -> None:
        """Close all that wait, and keep none from now on."""
        with self._lock:
            self._closed = True
            waiting = [connection for connections in self._waiting.values() for connection in connections]
            self._waiting.clear()
        for connection in waiting:
            connection.wire.shut()

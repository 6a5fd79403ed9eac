"""The fast path: an httpx transport over http.client, with a pool of connections.

Why not httpx's own: it reads 64 KiB at a time and copies each piece several times. Here a piece goes from
the kernel into the bytes object that the caller gets, up to 1 MiB at a time.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
from collections.abc import Callable, Iterator
from typing import Any, cast

import httpx

from spincache_nb.core.transport.addresses import origin_of
from spincache_nb.core.transport.pool import Connection, Pool, Route
from spincache_nb.core.transport.proxies import Proxy
from spincache_nb.core.transport.wire import Check, OpenSockets, Wire, open_socket, start_tls

FIRST_READ_BYTES = 64 << 10
LARGEST_READ_BYTES = 1 << 20
_REPEATABLE = ("GET", "HEAD")
_NO_ANSWER = (ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError)


class Body(httpx.SyncByteStream):
    """The body of an answer, piece by piece, as it comes."""

    def __init__(
        self, connection: Connection, answer: http.client.HTTPResponse, pool: Pool, timeout: float
    ) -> None:
        self._connection: Connection | None = connection
        self._answer = answer
        self._pool = pool
        self._timeout = timeout
        self._whole = answer.length == 0

    def __iter__(self) -> Iterator[bytes]:
        wire = self._connection.wire if self._connection is not None else None
        left, size = self._answer.length, FIRST_READ_BYTES
        while wire is not None and not self._whole:
            wire.allow(self._timeout)
            with reading():
                piece = self._read(wire, size if left is None else min(left, size))
            if len(piece) == size:  # the network is fast; for a slow one a large buffer would only cost
                size = LARGEST_READ_BYTES
            if left is not None:
                left -= len(piece)
                self._whole = left == 0
                if not piece:
                    raise httpx.RemoteProtocolError(f"an answer that ended {left} bytes early")
            elif not piece:
                self._whole = True
                return
            yield piece

    def _read(self, wire: Wire, count: int) -> bytes:
        if self._answer.chunked:
            return self._answer.read1(count)
        return wire.reader.read1(count)

    def close(self) -> None:
        """Give the connection back if its answer was read to the end, else close it."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        lasting = self._whole and not self._answer.will_close
        with contextlib.suppress(OSError):
            self._answer.close()
        if lasting:
            self._pool.give(connection)
        else:
            connection.wire.shut()


class DirectTransport(httpx.BaseTransport):
    """HTTP/1.1 to a server, or through an ``http`` proxy."""

    def __init__(self, *, context: Callable[[], ssl.SSLContext], idle: int, check: Check) -> None:
        self._context = context
        self._check = check
        self._pool = Pool(idle)
        self._sockets = OpenSockets()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Ask a server directly."""
        return self.handle(request, None)

    def handle(self, request: httpx.Request, proxy: Proxy | None) -> httpx.Response:
        """Ask a server, through a proxy if there is one."""
        timeouts = request.extensions["timeout"]
        route = Route(origin_of(request.url), proxy)
        connection, answer = self._ask(route, request, timeouts)
        body = Body(connection, answer, self._pool, timeouts["read"])
        headers = [
            (name.encode("latin-1"), " ".join(value.splitlines()).encode("latin-1", "replace"))
            for name, value in answer.headers.items()
        ]
        return httpx.Response(answer.status, headers=headers, stream=body)

    def _ask(
        self, route: Route, request: httpx.Request, timeouts: dict[str, float]
    ) -> tuple[Connection, http.client.HTTPResponse]:
        kept = self._pool.take(route)
        if kept is not None:
            try:
                with reading(unless=_NO_ANSWER if request.method in _REPEATABLE else ()):
                    return kept, self._ask_over(kept, request, timeouts["read"])
            except _NO_ANSWER:  # closed while it waited: no failure, open another
                self._check()
        connection = self._connect(route, timeouts)
        with reading():
            return connection, self._ask_over(connection, request, timeouts["read"])

    def _ask_over(
        self, connection: Connection, request: httpx.Request, timeout: float
    ) -> http.client.HTTPResponse:
        try:
            return connection.ask(request, timeout)
        except BaseException:
            connection.wire.shut()
            raise

    def _connect(self, route: Route, timeouts: dict[str, float]) -> Connection:
        scheme, host, port = route.origin
        timeout = timeouts["connect"]
        context = self._context() if scheme == "https" else None
        sock = self._reach(host, port, route.proxy, timeout)
        with connecting():
            if route.tunnelled and route.proxy is not None:
                self._tunnel(Wire(sock, self._sockets, self._check), route.proxy, host, port, timeout)
            if context is not None:
                sock = start_tls(sock, context, host, timeout=timeout, sockets=self._sockets)
        return Connection(route, Wire(sock, self._sockets, self._check))

    def _reach(self, host: str, port: int, proxy: Proxy | None, timeout: float) -> socket.socket:
        """Connect to a server, or to the proxy that leads to it."""
        if proxy is not None:
            host, port = proxy.host, proxy.port
        try:
            with connecting():
                return open_socket(host, port, timeout=timeout, sockets=self._sockets, check=self._check)
        except (httpx.ConnectError, httpx.ConnectTimeout) as exc:
            if proxy is None:
                raise
            raise proxy_error(exc, proxy) from exc

    def _tunnel(self, wire: Wire, proxy: Proxy, host: str, port: int, timeout: float) -> None:
        target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        headers = {"Host": target} | (
            {"Proxy-Authorization": proxy.authorization} if proxy.authorization else {}
        )
        asking = http.client.HTTPConnection("unused.invalid")
        asking.sock = cast(Any, wire)
        wire.allow(timeout)
        try:
            asking.request("CONNECT", target, headers=headers)
            status = asking.getresponse().status
            if not 200 <= status < 300:
                raise httpx.ProxyError(f"{status} from {proxy.name}")
        except BaseException:
            wire.shut()
            raise

    def cut(self) -> None:
        """End everything that waits, in whatever thread, and close what is idle."""
        self._sockets.cut()
        self._pool.close()

    def close(self) -> None:
        """Close what is idle; answers that are being read stay open."""
        self._pool.close()


def proxy_error(exc: httpx.TransportError, proxy: Proxy) -> httpx.ProxyError:
    """Say that it is the proxy that could not be reached."""
    return httpx.ProxyError(f"no connection to {proxy.name} ({exc})")


@contextlib.contextmanager
def connecting() -> Iterator[None]:
    """Raise what happens while connecting as httpx would."""
    try:
        yield
    except TimeoutError as exc:
        raise httpx.ConnectTimeout(str(exc)) from exc
    except (OSError, http.client.HTTPException) as exc:
        raise httpx.ConnectError(str(exc)) from exc
    except ValueError as exc:  # a name that cannot be looked up, such as one with a label of 64 letters
        raise httpx.ConnectError("a name that no server can have") from exc


@contextlib.contextmanager
def reading(unless: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """Raise what happens while asking and reading as httpx would, some exceptions apart."""
    try:
        yield
    except unless:
        raise
    except TimeoutError as exc:
        raise httpx.ReadTimeout(str(exc)) from exc
    except OSError as exc:
        raise httpx.ReadError(str(exc)) from exc
    except http.client.IncompleteRead as exc:
        raise httpx.RemoteProtocolError("an answer that ended early") from exc
    except http.client.HTTPException as exc:
        raise httpx.RemoteProtocolError(f"an answer that is not HTTP ({type(exc).__name__})") from exc
    except ValueError as exc:  # a chunk whose size is no number, a header that cannot be sent
        raise httpx.RemoteProtocolError("an answer that is not HTTP") from exc

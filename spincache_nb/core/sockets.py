"""The fast path of HTTP: an httpx transport over plain sockets, with a pool of connections.

Why not httpx's own: it reads 64 KiB at a time and copies each piece several times. Here a piece goes from
the kernel into the bytes object that the caller gets, up to 1 MiB at a time.
"""

from __future__ import annotations

import contextlib
import io
import re
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeAlias

import httpx

from spincache_nb.core.addresses import Origin, Proxy, origin_of, whole_url
from spincache_nb.core.refusals import (
    SilentCloseError,
    TlsSpokenError,
    causes,
    not_connected,
    proxy_error,
    unanswered,
)
from spincache_nb.errors import ConnectionFailedError, MissingExtraError

FIRST_READ_BYTES = 64 << 10
LARGEST_READ_BYTES = 1 << 20
MOST_LINE_BYTES = 128 << 10
MOST_HEAD_BYTES = 1 << 20
MOST_INTERIM_HEADS = 20
_MOST_CHUNK_LINE_BYTES = 4 << 10
_SLICE_SECONDS = 0.25
_SHORT_CONNECT_SECONDS = 3.0
_MOST_ADDRESSES = 8
_REPEATABLE = ("GET", "HEAD")
_NO_ANSWER = (SilentCloseError, ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError)
_STATUS_LINE = re.compile(rb"HTTP/1\.(\d) ([1-9]\d\d)(?:[ \t][^\n]*)?\r?\n")
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;[^\n]*)?\r?\n")
_FOLD = re.compile(rb"\n[ \t]+")  # a line that goes on with the value before it
Check = Callable[[], None]
Fields = list[tuple[bytes, bytes]]
_Reader: TypeAlias = "io.BufferedReader[Wire]"


class Route(NamedTuple):
    """Whom a connection leads to, and through which proxy; one of TLS is only passed on by it (CONNECT)."""

    origin: Origin
    proxy: Proxy | None


class Sockets:
    """All sockets of a transport, so that one call can end what waits on them; and idle connections."""

    def __init__(self, idle: int) -> None:
        self._idle = idle
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._waiting: dict[Route, list[Wire]] = {}
        self._cut = self._closed = False

    def add(self, sock: socket.socket) -> None:
        """Know one more; it is cut at once if all others were."""
        with self._lock:
            self._open.add(sock)
            if self._cut:
                cut(sock)

    def secure(self, sock: socket.socket, context: ssl.SSLContext, host: str) -> ssl.SSLSocket:
        """Put TLS around one, before its handshake; the new socket takes its place."""
        with self._lock:
            self._open.discard(sock)
            if self._cut:
                sock.close()
                raise ConnectionAbortedError("cut")
            secure = context.wrap_socket(sock, server_hostname=host, do_handshake_on_connect=False)
            self._open.add(secure)
            return secure

    def discard(self, sock: socket.socket) -> None:
        """Close one and forget it."""
        with self._lock:
            self._open.discard(sock)
        with contextlib.suppress(OSError):
            sock.close()

    def take(self, route: Route) -> Wire | None:
        """Take an idle connection that is still good, the latest first, closing those that are not."""
        while True:
            with self._lock:
                wires = self._waiting.get(route)
                wire = wires.pop() if wires else None
            if wire is None or wire.is_quiet():
                return wire
            wire.shut()

    def give(self, wire: Wire, route: Route) -> None:
        """Keep a connection for later, unless there are enough or no later is to come."""
        with self._lock:
            wires = self._waiting.setdefault(route, [])
            if len(wires) < self._idle and not self._closed:
                wires.append(wire)
                return
        wire.shut()

    def close(self, *, cut_all: bool = False) -> None:
        """Close what is idle, for good; cut all else, too: what waits in other threads ends now."""
        with self._lock:
            self._closed = True
            waiting = [wire for wires in self._waiting.values() for wire in wires]
            self._waiting.clear()
            if cut_all:
                self._cut = True
                for sock in self._open:
                    cut(sock)
        for wire in waiting:
            wire.shut()


def cut(sock: socket.socket) -> None:
    """Shut a socket down while another thread may be reading from it."""
    with contextlib.suppress(OSError):
        socket.socket.shutdown(sock, socket.SHUT_RDWR)


def _open_socket(host: str, port: int, *, timeout: float, sockets: Sockets, check: Check) -> socket.socket:
    """Connect to the first of a host's addresses that answers."""
    name = host.encode("ascii") if host.isascii() else host  # of text, Python loads its tables for IDNA
    addresses = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)[:_MOST_ADDRESSES]
    error = OSError(f"no address for {host}")
    for number, (family, kind, protocol, _, address) in enumerate(addresses, 1):
        check()
        sock = socket.socket(family, kind, protocol)
        sockets.add(sock)
        try:
            sock.settimeout(timeout if number == len(addresses) else min(timeout, _SHORT_CONNECT_SECONDS))
            sock.connect(address)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return sock
        except OSError as exc:
            error = exc
            sockets.discard(sock)
        except BaseException:
            sockets.discard(sock)
            raise
    check()
    raise error


class Wire(io.RawIOBase):
    """The bytes of a connected socket, with a deadline, and which another thread can cut; for one reader."""

    def __init__(self, sock: socket.socket, sockets: Sockets, check: Check) -> None:
        sock.settimeout(_SLICE_SECONDS)
        self.socket = sock
        self._secure = isinstance(sock, ssl.SSLSocket)
        self._sockets = sockets
        self._check = check
        self._deadline = 0.0
        self._resting = False
        self.reader: _Reader = io.BufferedReader(self, FIRST_READ_BYTES)

    def allow(self, seconds: float) -> None:
        """Set the time for everything that is read from now on, until this is called again."""
        self._deadline = time.monotonic() + seconds

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int | None:  # type: ignore[override]
        """Read what there is; wait for it until the deadline."""
        while not self._resting:
            self._go_on()
            try:
                count = self.socket.recv_into(buffer)
            except TimeoutError:
                continue
            return count + self._rest_into(buffer[count:]) if count and self._secure else count
        return None

    def send(self, data: bytes, seconds: float) -> None:
        """Send a request, a short one, and allow that many seconds for it and for the head of the answer."""
        self.allow(seconds)
        left = memoryview(data)
        while left:
            self._go_on()
            try:
                left = left[self.socket.send(left) :]
            except TimeoutError:
                continue

    def _go_on(self) -> None:
        """Raise if somebody stopped the pull, or time is up, even while bytes come that lead nowhere."""
        self._check()
        if time.monotonic() >= self._deadline:
            raise TimeoutError("the deadline passed")

    def _rest_into(self, buffer: memoryview) -> int:
        """Read what else is there already: TLS gives no more than one record, 16 KiB, at a time."""
        filled = 0
        self.socket.settimeout(0.0)
        with contextlib.suppress(OSError):  # nothing there yet; what else is wrong, the next read tells
            while filled < len(buffer) and (count := self.socket.recv_into(buffer[filled:])):
                filled += count
        self.socket.settimeout(_SLICE_SECONDS)
        return filled

    def is_quiet(self) -> bool:
        """Whether nothing came since the last answer: not the end, nor anything nobody asked for."""
        self._resting = True
        try:
            pending = isinstance(self.socket, ssl.SSLSocket) and self.socket.pending()
            return not pending and not self.reader.peek(1) and not _readable(self.socket)
        except (OSError, ValueError):
            return False
        finally:
            self._resting = False

    def shut(self) -> None:
        """Close the socket."""
        self._sockets.discard(self.socket)


def _readable(sock: socket.socket) -> bool:
    if hasattr(select, "poll"):
        poll = select.poll()
        poll.register(sock, select.POLLIN)
        return bool(poll.poll(0))
    return bool(select.select([sock], [], [], 0)[0])


class Head(NamedTuple):
    """The head of an answer, and how its body is framed: by length, in chunks, or to the end."""

    status: int
    fields: Fields
    length: int | None
    chunked: bool
    lasting: bool


def read_head(reader: _Reader, method: str) -> Head:
    """Read the head that counts; interim ones, such as 100 and Early Hints, come before it."""
    left = MOST_HEAD_BYTES
    for _ in range(MOST_INTERIM_HEADS):
        line = reader.readline(min(left, MOST_LINE_BYTES) + 1)
        match = _STATUS_LINE.fullmatch(line)
        if match is None or len(line) > MOST_LINE_BYTES:
            raise _not_http(line)
        fields, left = _read_fields(reader, left - len(line))
        status = int(match[2])
        if status >= 200:
            return _framed(status, fields, method, persistent=match[1] != b"0")
        if status == 101:
            break  # it answers what is never asked
    raise httpx.RemoteProtocolError("interim answers only")


def _line(reader: _Reader, most: int) -> bytes:
    line = reader.readline(most + 1)
    if len(line) > most:
        raise httpx.RemoteProtocolError("a head that is too long")
    return line


def _not_http(line: bytes) -> httpx.TransportError:
    if len(line) > MOST_LINE_BYTES:
        return httpx.RemoteProtocolError("a head that is too long")
    if not line:
        return SilentCloseError("a connection closed without an answer")
    if line[:2] in (b"\x15\x03", b"\x16\x03"):
        return TlsSpokenError("an answer in TLS")
    return httpx.RemoteProtocolError("an answer that is not HTTP")


def _read_fields(reader: _Reader, left: int) -> tuple[Fields, int]:
    """Read the lines of a head or trailer up to the blank one; and say how many bytes may still come."""
    lines = _lines_at_hand(reader, left) or _lines_that_come(reader, left)
    text = lines.replace(b"\r\n", b"\n").replace(b"\r", b" ")
    if b"\n " in text or b"\n\t" in text:
        text = _FOLD.sub(b" ", text)
    parts = (line.partition(b":") for line in text.split(b"\n"))
    return [(name.rstrip(), value.strip(b" \t")) for name, colon, value in parts if colon], left - len(lines)


def _lines_at_hand(reader: _Reader, left: int) -> bytes:
    """All lines at once, as nearly all heads come in one packet; none if the blank one is not here yet."""
    here = reader.peek()
    end = here.find(b"\n\r\n") + 1
    if not 0 < end <= left or here.startswith((b"\r\n", b"\n")) or b"\n\n" in here[:end]:
        return b""
    return reader.read(end + 2)[:end]


def _lines_that_come(reader: _Reader, left: int) -> bytes:
    lines = []
    while (line := _line(reader, MOST_LINE_BYTES)) not in (b"\r\n", b"\n"):
        left -= len(line)
        if left < 0:
            raise httpx.RemoteProtocolError("a head that is too long")
        if not line.endswith(b"\n"):
            raise httpx.RemoteProtocolError("an answer that ended early")
        lines.append(line)
    return b"".join(lines)


def _framed(status: int, fields: Fields, method: str, *, persistent: bool) -> Head:
    values = {b"transfer-encoding": b"", b"content-length": b"", b"connection": b""}
    for name, value in fields:
        if (lower := name.lower()) in values:
            values[lower] += (b"," if values[lower] else b"") + value
    options = [option.strip() for option in values[b"connection"].lower().split(b",")]
    lasting = b"close" not in options if persistent else b"keep-alive" in options
    if method == "HEAD" or status in (204, 304):
        return Head(status, fields, 0, False, lasting)
    if coding := values[b"transfer-encoding"].lower():
        if coding != b"chunked":
            raise httpx.RemoteProtocolError("a transfer encoding other than chunked")
        return Head(status, fields, None, True, lasting)
    lengths = {length.strip() for length in values[b"content-length"].split(b",")}
    if len(lengths) > 1:
        raise httpx.RemoteProtocolError("two lengths for one answer")
    length = lengths.pop()
    if not length.isdigit() or len(length) > 19:
        return Head(status, fields, None, False, False)
    return Head(status, fields, int(length), False, lasting)


class Body(httpx.SyncByteStream):
    """The body of an answer, piece by piece, as it comes."""

    def __init__(self, wire: Wire, route: Route, head: Head, sockets: Sockets, timeout: float) -> None:
        self._wire: Wire | None = wire
        self._route = route
        self._head = head
        self._sockets = sockets
        self._timeout = timeout
        self._left = head.length  # of the body; of the chunk, where there are chunks
        self._whole = head.length == 0

    def __iter__(self) -> Iterator[bytes]:
        wire, size = self._wire, FIRST_READ_BYTES
        try:
            while wire is not None and not self._whole:
                wire.allow(self._timeout)
                if self._head.chunked and not self._left:
                    self._begin_chunk(wire.reader)
                    continue
                piece = wire.reader.read1(size if self._left is None else min(self._left, size))
                if len(piece) == size:  # the network is fast; for a slow one a large buffer would only cost
                    size = LARGEST_READ_BYTES
                if self._left is not None:
                    if not piece:
                        raise httpx.RemoteProtocolError(f"an answer that ended {self._left} bytes early")
                    self._left -= len(piece)
                    self._whole = not self._head.chunked and self._left == 0
                elif not piece:
                    self._whole = True
                    return
                yield piece
        except TimeoutError as exc:
            raise httpx.ReadTimeout(str(exc)) from exc
        except OSError as exc:
            raise httpx.ReadError(str(exc)) from exc

    def _begin_chunk(self, reader: _Reader) -> None:
        """Read the end of one chunk and the size of the next; the last is followed by a trailer."""
        if self._left == 0 and _line(reader, 2) not in (b"\r\n", b"\n"):
            raise httpx.RemoteProtocolError("a chunk longer than it says")
        match = _CHUNK_SIZE.fullmatch(_line(reader, _MOST_CHUNK_LINE_BYTES))
        if match is None:
            raise httpx.RemoteProtocolError("a chunk without a size")
        self._left = int(match[1], 16)
        if self._left == 0:
            _read_fields(reader, MOST_HEAD_BYTES)
            self._whole = True

    def close(self) -> None:
        """Give the connection back if its answer was read to the end, else close it."""
        wire, self._wire = self._wire, None
        if wire is not None and self._whole and self._head.lasting:
            self._sockets.give(wire, self._route)
        elif wire is not None:
            wire.shut()


class SocketTransport(httpx.BaseTransport):
    """HTTP/1.1 to a server, or through an ``http`` proxy; httpx's own goes through proxies of other kinds."""

    def __init__(
        self,
        *,
        context: Callable[[], ssl.SSLContext],
        idle: int,
        check: Check,
        proxy_for: Callable[[httpx.URL], Proxy | None] = lambda _url: None,
    ) -> None:
        self._context = context
        self._check = check
        self._proxy_for = proxy_for
        self._idle = idle
        self._sockets = Sockets(idle)
        self._lock = threading.Lock()
        self._others: dict[tuple[Proxy, str], httpx.HTTPTransport] = {}

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request, by an idle connection if there is one, and read the head of the answer."""
        proxy = self._proxy_for(request.url)
        if proxy is not None and proxy.scheme != "http":
            return self._by_httpx(request, proxy)
        route, timeouts = Route(origin_of(request.url), proxy), request.extensions["timeout"]
        data = _as_sent(request, proxy)
        kept = self._sockets.take(route)
        while True:
            wire = kept or self._connect(route, timeouts["connect"])
            try:
                wire.send(data, timeouts["read"])
                head = read_head(wire.reader, request.method)
            except BaseException as exc:
                wire.shut()
                if kept is not None and request.method in _REPEATABLE and isinstance(exc, _NO_ANSWER):
                    self._check()
                    kept = None  # it was closed while it waited, which is no failure: open another
                    continue
                if isinstance(exc, OSError):
                    raise unanswered(exc) from exc
                raise
            body = Body(wire, route, head, self._sockets, timeouts["read"])
            return httpx.Response(head.status, headers=head.fields, stream=body)

    def _connect(self, route: Route, timeout: float) -> Wire:
        (scheme, host, port), proxy = route
        context = self._context() if scheme == "https" else None
        try:
            end = (host, port) if proxy is None else (proxy.host, proxy.port)
            sock = _open_socket(*end, timeout=timeout, sockets=self._sockets, check=self._check)
        except (OSError, ValueError) as exc:
            error = not_connected(exc)
            raise (proxy_error(error, proxy) if proxy is not None else error) from exc
        try:
            if context is not None and proxy is not None:
                self._tunnel(Wire(sock, self._sockets, self._check), proxy, host, port, timeout)
            if context is not None:
                sock = self._start_tls(sock, context, host, timeout)
        except httpx.ProxyError:
            raise
        except (OSError, httpx.TransportError, ValueError) as exc:
            raise not_connected(exc) from exc
        return Wire(sock, self._sockets, self._check)

    def _start_tls(
        self, sock: socket.socket, context: ssl.SSLContext, host: str, timeout: float
    ) -> socket.socket:
        sock.settimeout(timeout)
        secure = self._sockets.secure(sock, context, host)
        try:
            secure.do_handshake()
        except BaseException:
            self._sockets.discard(secure)
            raise
        return secure

    def _tunnel(self, wire: Wire, proxy: Proxy, host: str, port: int, timeout: float) -> None:
        target = (f"[{host}]:{port}" if ":" in host else f"{host}:{port}").encode("ascii")
        try:
            wire.send(_joined(b"CONNECT", target, [(b"Host", target), *_proxy_login(proxy)], b""), timeout)
            status = read_head(wire.reader, "CONNECT").status
            if not 200 <= status < 300:
                raise httpx.ProxyError(f"{status} from {proxy.name}")
        except BaseException:
            wire.shut()
            raise

    def _by_httpx(self, request: httpx.Request, proxy: Proxy) -> httpx.Response:
        """Send a request through a proxy of https or SOCKS."""
        request.url = whole_url(
            request
        )  # a proxy wants all of it, and httpx's own would send the target alone
        request.extensions.pop("target", None)
        key = proxy, request.url.scheme
        with self._lock:
            if key not in self._others:
                self._others[key] = self._other_transport(*key)
            transport = self._others[key]
        try:
            return transport.handle_request(request)
        except (httpx.ConnectError, httpx.ConnectTimeout) as exc:
            if any(isinstance(cause, ssl.SSLError) for cause in causes(exc)):
                raise
            raise proxy_error(exc, proxy) from exc

    def _other_transport(self, proxy: Proxy, scheme: str) -> httpx.HTTPTransport:
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
            remedy = "install it with: pip install 'spincache-nb[socks]'"
            raise MissingExtraError(f"proxy {proxy.name}", "the package socksio", "none", remedy) from exc
        except (httpx.InvalidURL, ValueError) as exc:
            raise ConnectionFailedError("proxy", "a host", proxy.name, "check HTTPS_PROXY") from exc

    def close(self, *, cut_all: bool = False) -> None:
        """Close what is idle, and leave alone what is being read; or end everything, in whatever thread."""
        self._sockets.close(cut_all=cut_all)
        for transport in self._others.values():
            transport.close()


def _as_sent(request: httpx.Request, proxy: Proxy | None) -> bytes:
    target, fields = request.extensions.get("target") or request.url.raw_path, request.headers.raw
    body = b"" if request.method in _REPEATABLE else request.read()
    if proxy is not None and request.url.scheme == "http":
        target = b"http://" + request.url.netloc + target
        fields = [*fields, *_proxy_login(proxy)]
    return _joined(request.method.encode("ascii"), target, fields, body)


def _joined(method: bytes, target: bytes, fields: Fields, body: bytes) -> bytes:
    lines = [b"%s %s HTTP/1.1" % (method, target), *(b"%s: %s" % field for field in fields)]
    text = b"".join(lines)
    if b"\n" in text or b"\r" in text or b"\0" in text:
        raise httpx.LocalProtocolError("a header that holds the end of a line")
    return b"\r\n".join([*lines, b"", body])


def _proxy_login(proxy: Proxy) -> Fields:
    return [(b"Proxy-Authorization", proxy.authorization.encode("ascii"))] if proxy.authorization else []

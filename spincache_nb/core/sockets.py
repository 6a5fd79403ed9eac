"""HTTP/1.1 over plain sockets, with a pool of connections.

Why not httpx: importing it takes as long as all else that a short pull does, it reads 64 KiB at a time and
copies each piece several times. Here a piece goes from the kernel into the bytes object that the caller
gets, up to 1 MiB at a time.
"""

from __future__ import annotations

import contextlib
import io
import re
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from spincache_nb.core.addresses import Origin, Proxy, Url
from spincache_nb.core.messages import Ask, Fields, Head, Headers, Reply, Transport, cut, framed, unreached
from spincache_nb.core.refusals import (
    ConnectTimeoutError,
    ProxyError,
    SilenceError,
    SilentCloseError,
    TlsSpokenError,
    TransportError,
    UnconnectedError,
    UnsendableError,
)
from spincache_nb.core.settings import Timeouts

if TYPE_CHECKING:
    import ssl  # which a pull from loopback does not need

FIRST_READ_BYTES = 64 << 10
LARGEST_READ_BYTES = 1 << 20
MOST_LINE_BYTES = 128 << 10
MOST_HEAD_BYTES = 1 << 20
MOST_INTERIM_HEADS = 20
_MOST_CHUNK_LINE_BYTES = 4 << 10
_SLICE_SECONDS = 0.25
_SHORT_CONNECT_SECONDS = 3.0
_MOST_ADDRESSES = 8
_STATUS_LINE = re.compile(rb"HTTP/1\.(\d) ([1-9]\d\d)(?:[ \t][^\n]*)?\r?\n")
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;[^\n]*)?\r?\n")
_UNSENDABLE = re.compile(r"[^\t\x20-\x7e]")
Check = Callable[[], None]
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
        self._closed = False

    def add(self, sock: socket.socket) -> None:
        """Know one more; it is cut at once if all others were."""
        with self._lock:
            self._open.add(sock)
            if self._closed:
                cut(sock)

    def secure(self, sock: socket.socket, context: ssl.SSLContext, host: str) -> ssl.SSLSocket:
        """Put TLS around one, before its handshake; the new socket takes its place."""
        with self._lock:
            self._open.discard(sock)
            if self._closed:
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

    def close(self) -> None:
        """Close what is idle, for good, and cut all else: what waits in other threads ends now."""
        with self._lock:
            self._closed = True
            waiting = [wire for wires in self._waiting.values() for wire in wires]
            self._waiting.clear()
            for sock in self._open:
                cut(sock)
        for wire in waiting:
            wire.shut()


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
        self._pending: Callable[[], int] | None = getattr(sock, "pending", None)  # of TLS
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
            with contextlib.suppress(TimeoutError):
                count = self.socket.recv_into(buffer)
                return count + self._rest_into(buffer[count:]) if count and self._pending else count
        return None

    def send(self, data: bytes, seconds: float) -> None:
        """Send a request, a short one, and allow that many seconds for it and for the head of the answer."""
        self.allow(seconds)
        left = memoryview(data)
        while left:
            self._go_on()
            with contextlib.suppress(TimeoutError):
                left = left[self.socket.send(left) :]

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
            pending = self._pending is not None and self._pending()
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
            return framed(status, Headers(fields), method, persistent=match[1] != b"0")
        if status == 101:
            break  # it answers what is never asked
    raise TransportError("interim answers only")


def _line(reader: _Reader, left: int, most: int = MOST_LINE_BYTES) -> bytes:
    most = min(left, most)
    line = reader.readline(most + 1)
    if len(line) > most:
        raise TransportError("a head that is too long")
    return line


def _not_http(line: bytes) -> TransportError:
    if len(line) > MOST_LINE_BYTES:
        return TransportError("a head that is too long")
    if not line:
        return SilentCloseError("a connection closed without an answer")
    if line[:2] in (b"\x15\x03", b"\x16\x03"):
        return TlsSpokenError("an answer in TLS")
    return TransportError("an answer that is not HTTP")


def _read_fields(reader: _Reader, left: int) -> tuple[Fields, int]:
    """Read the lines of a head or trailer up to the blank one; and say how many bytes may still come."""
    fields: Fields = []
    while (line := _line(reader, left)) not in (b"\r\n", b"\n"):
        left -= len(line)
        if not line.endswith(b"\n"):
            raise TransportError("an answer that ended early")
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError:
            text = line.decode("latin-1")
        text = text.strip(" \t\r\n").replace("\r", " ")
        if line[:1] in b" \t":
            if fields:  # a folded line goes on with the value before it
                fields[-1] = (fields[-1][0], f"{fields[-1][1]} {text}")
            continue
        name, colon, value = text.partition(":")
        if colon:
            fields.append((name.rstrip(), value.lstrip(" \t")))
    return fields, left


class Body:
    """The body of an answer, piece by piece, as it comes."""

    def __init__(self, wire: Wire, route: Route, head: Head, sockets: Sockets, timeout: float) -> None:
        self.head = head
        self._wire: Wire | None = wire
        self._route = route
        self._sockets = sockets
        self._timeout = timeout
        self._left = head.length  # of the body; of the chunk, where there are chunks
        self._whole = head.length == 0

    def __iter__(self) -> Iterator[bytes]:
        wire, size = self._wire, FIRST_READ_BYTES
        try:
            while wire is not None and not self._whole:
                wire.allow(self._timeout)
                if self.head.chunked and not self._left:
                    self._begin_chunk(wire.reader)
                    continue
                piece = wire.reader.read1(size if self._left is None else min(self._left, size))
                if len(piece) == size:  # the network is fast; for a slow one a large buffer would only cost
                    size = LARGEST_READ_BYTES
                if self._left is not None:
                    if not piece:
                        raise TransportError(f"an answer that ended {self._left} bytes early")
                    self._left -= len(piece)
                    self._whole = not self.head.chunked and self._left == 0
                elif not piece:
                    self._whole = True
                    return
                yield piece
        except TimeoutError as exc:
            raise SilenceError(str(exc)) from exc
        except OSError as exc:
            raise TransportError(str(exc)) from exc

    def _begin_chunk(self, reader: _Reader) -> None:
        """Read the end of one chunk and the size of the next; the last is followed by a trailer."""
        if self._left == 0 and _line(reader, 2) not in (b"\r\n", b"\n"):
            raise TransportError("a chunk longer than it says")
        match = _CHUNK_SIZE.fullmatch(_line(reader, _MOST_CHUNK_LINE_BYTES))
        if match is None:
            raise TransportError("a chunk without a size")
        self._left = int(match[1], 16)
        if self._left == 0:
            _read_fields(reader, MOST_HEAD_BYTES)
            self._whole = True

    def close(self) -> None:
        """Give the connection back if its answer was read to the end, else close it."""
        wire, self._wire = self._wire, None
        if wire is not None and self._whole and self.head.lasting:
            self._sockets.give(wire, self._route)
        elif wire is not None:
            wire.shut()


class SocketTransport:
    """HTTP/1.1 to a server, or through an ``http`` proxy; httpx goes through proxies of other kinds."""

    def __init__(
        self,
        *,
        context: Callable[[], ssl.SSLContext],
        idle: int,
        check: Check,
        proxy_for: Callable[[Url], Proxy | None] = lambda _url: None,
    ) -> None:
        self._context = context
        self._check = check
        self._proxy_for = proxy_for
        self._idle = idle
        self._sockets = Sockets(idle)
        self._lock = threading.Lock()
        self._others: dict[tuple[Proxy, str], Transport] = {}

    def send(self, ask: Ask, timeouts: Timeouts) -> Reply:
        """Send a request, by an idle connection if there is one, and read the head of the answer."""
        proxy = self._proxy_for(ask.url)
        if proxy is not None and proxy.scheme != "http":
            return self._other(proxy, ask.url.scheme).send(ask, timeouts)
        route, data = Route(ask.url.origin, proxy), _as_sent(ask, proxy)
        kept = self._sockets.take(route)
        while True:
            wire = kept or self._connect(route, timeouts.connect)
            try:
                wire.send(data, timeouts.read)
                head = read_head(wire.reader, ask.method)
            except BaseException as exc:
                wire.shut()
                if kept is not None and ask.form is None and _is_silent_close(exc):
                    self._check()
                    kept = None  # it was closed while it waited, which is no failure: open another
                    continue
                if isinstance(exc, OSError):
                    raise _unanswered(exc) from exc
                raise
            return Body(wire, route, head, self._sockets, timeouts.read)

    def _connect(self, route: Route, timeout: float) -> Wire:
        (scheme, host, port), proxy = route
        context = self._context() if scheme == "https" else None
        try:
            end = (host, port) if proxy is None else (proxy.host, proxy.port)
            sock = _open_socket(*end, timeout=timeout, sockets=self._sockets, check=self._check)
        except (OSError, ValueError) as exc:
            raise (_not_connected(exc) if proxy is None else unreached(proxy, exc)) from exc
        try:
            if context is not None and proxy is not None:
                self._tunnel(Wire(sock, self._sockets, self._check), proxy, host, port, timeout)
            if context is not None:
                sock = self._start_tls(sock, context, host, timeout)
        except ProxyError:
            raise
        except (OSError, TransportError, ValueError) as exc:
            raise _not_connected(exc) from exc
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
        target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            wire.send(_joined(f"CONNECT {target}", {"Host": target, **_login(proxy)}), timeout)
            status = read_head(wire.reader, "CONNECT").status
            if not 200 <= status < 300:
                raise ProxyError(f"{status} from {proxy.name}")
        except BaseException:
            wire.shut()
            raise

    def _other(self, proxy: Proxy, scheme: str) -> Transport:
        """The transport through a proxy of https or SOCKS."""
        from spincache_nb.core import proxied  # which loads httpx

        with self._lock:
            if (proxy, scheme) not in self._others:
                context = self._context() if "https" in (scheme, proxy.scheme) else None
                self._others[proxy, scheme] = proxied.through(proxy, context, idle=self._idle)
            return self._others[proxy, scheme]

    def close(self) -> None:
        """End everything, in whatever thread."""
        self._sockets.close()
        for transport in self._others.values():
            transport.close()


def _as_sent(ask: Ask, proxy: Proxy | None) -> bytes:
    url, fields, content = ask.url, {"Host": ask.url.netloc, **ask.fields}, ask.content
    target = url.target
    if proxy is not None and url.scheme == "http":
        target = str(url)
        fields |= _login(proxy)
    if content:
        fields["Content-Length"] = str(len(content))
    return _joined(f"{ask.method} {target}", fields) + content


def _joined(start: str, fields: Mapping[str, str]) -> bytes:
    lines = [f"{start} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    if _UNSENDABLE.search("".join(lines)):
        raise UnsendableError("a header with what is no text in ASCII, or the end of a line")
    return "\r\n".join([*lines, "", ""]).encode("ascii")


def _login(proxy: Proxy) -> dict[str, str]:
    return {"Proxy-Authorization": proxy.authorization} if proxy.authorization else {}


def _is_silent_close(exc: BaseException) -> bool:
    """Whether a connection was closed before the first byte of an answer."""
    if isinstance(exc, SilentCloseError | ConnectionError):
        return True
    if not isinstance(exc, OSError) or isinstance(exc, TimeoutError):
        return False
    import ssl

    return isinstance(exc, ssl.SSLEOFError | ssl.SSLZeroReturnError)


def _unanswered(exc: OSError) -> TransportError:
    """What ended a request."""
    if isinstance(exc, ConnectionError):
        return SilentCloseError(str(exc))
    return SilenceError(str(exc)) if isinstance(exc, TimeoutError) else TransportError(str(exc))


def _not_connected(exc: Exception) -> TransportError:
    if isinstance(exc, TimeoutError):
        return ConnectTimeoutError(str(exc))
    if not isinstance(exc, OSError) and isinstance(exc, ValueError):  # a name with a label of 64 letters
        return UnconnectedError("a name that no server can have")
    return UnconnectedError(str(exc))

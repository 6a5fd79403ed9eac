"""A connected socket as http.client wants one, with a deadline, and which another thread can cut."""

from __future__ import annotations

import contextlib
import io
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable

_SLICE_SECONDS = 0.25
_BUFFER_BYTES = 64 << 10
_SHORT_CONNECT_SECONDS = 3.0
_MOST_ADDRESSES = 8
Check = Callable[[], None]


class OpenSockets:
    """All sockets of a transport, so that one call can end whatever waits on any of them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sockets: set[socket.socket] = set()
        self._cut = False

    def add(self, sock: socket.socket) -> None:
        """Know one more; it is cut at once if all others were."""
        with self._lock:
            self._sockets.add(sock)
            if self._cut:
                cut(sock)

    def secure(self, sock: socket.socket, context: ssl.SSLContext, host: str) -> ssl.SSLSocket:
        """Put TLS around one, before its handshake; the new socket takes its place."""
        with self._lock:
            self._sockets.discard(sock)
            if self._cut:
                sock.close()
                raise ConnectionAbortedError("cut")
            secure = context.wrap_socket(sock, server_hostname=host, do_handshake_on_connect=False)
            self._sockets.add(secure)
            return secure

    def discard(self, sock: socket.socket) -> None:
        """Close one and forget it."""
        with self._lock:
            self._sockets.discard(sock)
        with contextlib.suppress(OSError):
            sock.close()

    def cut(self) -> None:
        """Shut all of them down: reads and connects that wait in other threads end now."""
        with self._lock:
            self._cut = True
            for sock in self._sockets:
                cut(sock)


def cut(sock: socket.socket) -> None:
    """Shut a socket down while another thread may be reading from it."""
    with contextlib.suppress(OSError):
        socket.socket.shutdown(sock, socket.SHUT_RDWR)


def open_socket(host: str, port: int, *, timeout: float, sockets: OpenSockets, check: Check) -> socket.socket:
    """Connect to the first of a host's addresses that answers."""
    addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[:_MOST_ADDRESSES]
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


def start_tls(
    sock: socket.socket, context: ssl.SSLContext, host: str, *, timeout: float, sockets: OpenSockets
) -> socket.socket:
    """Speak TLS on a connected socket."""
    sock.settimeout(timeout)
    secure = sockets.secure(sock, context, host)
    try:
        secure.do_handshake()
    except BaseException:
        sockets.discard(secure)
        raise
    return secure


class Wire:
    """What http.client takes for its socket."""

    def __init__(self, sock: socket.socket, sockets: OpenSockets, check: Check) -> None:
        sock.settimeout(_SLICE_SECONDS)
        self._sock = sock
        self._secure = isinstance(sock, ssl.SSLSocket)
        self._sockets = sockets
        self._check = check
        self._deadline = 0.0
        self._resting = False
        self.reader = _Reader(_RawWire(self), _BUFFER_BYTES)

    def allow(self, seconds: float) -> None:
        """Set the time for everything that is read from now on, until this is called again."""
        self._deadline = time.monotonic() + seconds

    def makefile(self, *_: object) -> io.BufferedReader:
        """Give the reader; one answer after the other uses it."""
        return self.reader

    def sendall(self, data: bytes) -> None:
        """Send a head, or the short body of a request, until the deadline."""
        left = memoryview(data)
        while left:
            self._go_on()
            with contextlib.suppress(TimeoutError):
                left = left[self._sock.send(left) :]

    def receive_into(self, buffer: memoryview) -> int | None:
        """Read what there is; wait for it until the deadline."""
        while not self._resting:
            self._go_on()
            with contextlib.suppress(TimeoutError):
                count = self._sock.recv_into(buffer)
                return count + self._rest_into(buffer[count:]) if count and self._secure else count
        return None

    def _go_on(self) -> None:
        """Raise if somebody stopped the pull, or time is up, even while bytes come that lead nowhere."""
        self._check()
        if time.monotonic() >= self._deadline:
            raise TimeoutError("the deadline passed")

    def _rest_into(self, buffer: memoryview) -> int:
        """Read what else is there already: TLS gives no more than one record, 16 KiB, at a time."""
        filled = 0
        self._sock.settimeout(0.0)
        with contextlib.suppress(OSError):  # nothing there yet; what else is wrong, the next read tells
            while filled < len(buffer) and (count := self._sock.recv_into(buffer[filled:])):
                filled += count
        self._sock.settimeout(_SLICE_SECONDS)
        return filled

    def close(self) -> None:
        """Do nothing; see the notes."""

    def is_quiet(self) -> bool:
        """Whether nothing came since the last answer: not the end, nor anything nobody asked for."""
        self._resting = True
        try:
            return not self.reader.peek(1) and not _readable(self._sock)
        except (OSError, ValueError):
            return False
        finally:
            self._resting = False

    @property
    def socket(self) -> socket.socket:
        """The socket itself."""
        return self._sock

    def shut(self) -> None:
        """Close it."""
        self._sockets.discard(self._sock)


class _RawWire(io.RawIOBase):
    """The bytes of a wire, for a buffered reader."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int | None:  # type: ignore[override]
        return self._wire.receive_into(buffer)


class _Reader(io.BufferedReader):
    """A buffered reader that outlives the answers read from it."""

    def close(self) -> None:
        """Do nothing: http.client closes it after each answer."""


def _readable(sock: socket.socket) -> bool:
    if hasattr(select, "poll"):
        poll = select.poll()
        poll.register(sock, select.POLLIN)
        return bool(poll.poll(0))
    return bool(select.select([sock], [], [], 0)[0])

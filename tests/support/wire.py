"""HTTP/1.1 on a bare socket, server side: reads requests, writes whatever it is told to."""

import socket
import struct
import threading
from dataclasses import dataclass, field
from http.client import responses
from urllib.parse import parse_qs, unquote, urlsplit

Headers = tuple[tuple[str, str], ...]
"""Header fields in order; a name may come several times."""


@dataclass(frozen=True)
class Request:
    """A request as it arrived."""

    method: str
    target: str
    headers: Headers
    body: bytes = b""
    connection: int = 0
    at: float = 0.0

    @property
    def path(self) -> str:
        return unquote(urlsplit(self.target).path)

    @property
    def query(self) -> dict[str, list[str]]:
        return parse_qs(urlsplit(self.target).query, keep_blank_values=True)

    @property
    def line(self) -> str:
        """``METHOD /target``, for comparing with literal text."""
        return f"{self.method} {self.target}"

    def header(self, name: str) -> str | None:
        """Return the first field of that name in any case, or ``None``."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    @property
    def authorization(self) -> str | None:
        return self.header("Authorization")


@dataclass
class Wire:
    """One accepted connection."""

    sock: socket.socket
    number: int
    body_bytes: int = 0
    _buffer: bytes = b""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def read_request(self, at: float) -> Request | None:
        """Read one request; ``None`` at the end of the connection."""
        while b"\r\n\r\n" not in self._buffer:
            if not self._more():
                return None
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ", 2)
        pairs = (line.partition(":") for line in lines)
        headers = tuple((name, value.strip()) for name, _, value in pairs)
        bare = Request(method, target, headers, b"", self.number, at)
        body = self._read_body(bare)
        return Request(method, target, headers, body, self.number, at)

    def _read_body(self, request: Request) -> bytes:
        if (request.header("Transfer-Encoding") or "").lower() == "chunked":
            body = b""
            while size := int(self._line(), 16):
                body += self._exactly(size)
                self._line()
            self._line()
            return body
        return self._exactly(int(request.header("Content-Length") or "0"))

    def _line(self) -> bytes:
        while b"\r\n" not in self._buffer:
            if not self._more():
                raise ConnectionError("the client hung up within a body")
        line, _, self._buffer = self._buffer.partition(b"\r\n")
        return line

    def _exactly(self, size: int) -> bytes:
        while len(self._buffer) < size:
            if not self._more():
                raise ConnectionError("the client hung up within a body")
        found, self._buffer = self._buffer[:size], self._buffer[size:]
        return found

    def _more(self) -> bool:
        received = self.sock.recv(65536)
        self._buffer += received
        return bool(received)

    def send_head(self, status: int, headers: Headers) -> None:
        lines = [f"HTTP/1.1 {status} {responses.get(status, 'Whatever')}", *(f"{k}: {v}" for k, v in headers)]
        self.sock.sendall("\r\n".join([*lines, "", ""]).encode("latin-1"))

    def send_body(self, data: bytes) -> None:
        """Send bytes of a body and count them, before a client can have them."""
        view = memoryview(data)
        while view:
            coming, sent = len(view[:65536]), 0
            self.body_bytes += coming
            try:
                sent = self.sock.send(view[:coming])
            finally:
                self.body_bytes -= coming - sent
            view = view[sent:]

    def send_chunk(self, data: bytes) -> None:
        """Send one chunk of a chunked body; an empty one ends it."""
        self.sock.sendall(b"%x\r\n" % len(data))
        self.send_body(data)
        self.sock.sendall(b"\r\n")

    def abort(self) -> None:
        """Close with a reset instead of an orderly end."""
        with self._lock:
            if self.sock.fileno() >= 0:
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self) -> None:
        """Close the connection; again and again if need be."""
        with self._lock:
            if self.sock.fileno() >= 0:
                self.sock.close()

    def shutdown(self) -> None:
        with self._lock:
            if self.sock.fileno() >= 0:
                try:
                    self.sock.shutdown(socket.SHUT_RDWR)
                except OSError:
                    return  # the other side was faster

"""A read-only OCI registry in this process, on loopback, for demos, notebooks and tests."""

from __future__ import annotations

import errno
import json
import logging
import socket
import socketserver
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from spincache_nb.demo.answers import Answer, Answers
from spincache_nb.demo.apps import Artifact, artifacts
from spincache_nb.errors import SpinCacheError

ADDRESS = "127.0.0.1"
"""Where the registry listens. Not ``localhost``: that may mean ``::1`` first, where nothing listens."""

PREFERRED_PORT = 27746
"""The port the registry takes if it can, so that references in notebooks stay the same.

It is assigned to nobody and lies below the ranges from which systems hand out ports of their own.
"""

_IDLE_SECONDS = 60.0
_JOIN_SECONDS = 5.0
_DRAIN_BYTES = 2**20
_log = logging.getLogger(__name__)


class Request(NamedTuple):
    """A request that the registry answered: its line, the status, and the bytes of the body (0 for HEAD)."""

    method: str
    path: str
    status: int
    bytes: int


@dataclass(frozen=True)
class DemoRegistry:
    """A running demo registry.

    Parameters
    ----------
    host
        ``127.0.0.1:PORT``, as it stands in a reference.
    artifacts
        What it holds: repository by repository, each oldest version first.
    """

    host: str
    artifacts: tuple[Artifact, ...] = field(repr=False)
    _requests: list[Request] = field(repr=False, compare=False)

    @property
    def references(self) -> list[str]:
        """Every app and version, repository by repository, each oldest version first."""
        return [artifact.reference(self.host) for artifact in self.artifacts]

    @property
    def repositories(self) -> list[str]:
        """The names of the repositories, in the order of `references`."""
        return list(dict.fromkeys(artifact.repository for artifact in self.artifacts))

    @property
    def latest(self) -> list[str]:
        """The newest version of every repository, in the order of `references`."""
        newest = {artifact.repository: artifact for artifact in self.artifacts}
        return [artifact.reference(self.host) for artifact in newest.values()]

    @property
    def requests(self) -> tuple[Request, ...]:
        """The requests answered so far, in order."""
        return tuple(self._requests)

    def versions(self, repository: str) -> list[str]:
        """The references of one repository, oldest version first."""
        return [a.reference(self.host) for a in self.artifacts if a.repository == repository]


@contextmanager
def registry(*, port: int | None = None) -> Iterator[DemoRegistry]:
    """Run a read-only OCI registry on 127.0.0.1 that holds the demo apps.

    Six repositories, three versions each, with the bytes that Spin and wkg would push; see `apps`.
    Plain HTTP, no credentials. It answers what a pull asks for, ranges and paged lists included;
    whatever would write gets 405.

    Parameters
    ----------
    port
        The port to listen on; 0 lets the system choose. By default 27746, or whatever is free
        if that is taken.

    Yields
    ------
    DemoRegistry
        Its address, the references in it and the requests it has answered. When the block ends,
        every connection is closed and every thread of it has ended.

    Raises
    ------
    SpinCacheError
        If the port asked for is taken, or the package's ``data-fixtures`` cannot be found.

    Examples
    --------
    >>> from spincache_nb import demo
    >>> with demo.registry() as registry:
    ...     registry.repositories
    ['demo/hello', 'demo/site', 'demo/docs', 'demo/playground', 'demo/greet', 'demo/redact']
    """
    held = artifacts()
    with serve(held, port=port) as running:
        yield running


@contextmanager
def serve(held: Iterable[Artifact], *, port: int | None = None) -> Iterator[DemoRegistry]:
    """Run a read-only OCI registry that holds the artifacts given; otherwise as `registry`.

    Parameters
    ----------
    held
        What it holds.
    port
        As for `registry`.

    Yields
    ------
    DemoRegistry
        The running registry.

    Raises
    ------
    SpinCacheError
        If the port asked for is taken.
    """
    held = tuple(held)
    requests: list[Request] = []
    server = _bind(port, Answers(held), requests)
    loop = threading.Thread(
        target=server.serve_forever, args=(0.05,), name="spincache-demo-registry", daemon=True
    )
    loop.start()
    try:
        yield DemoRegistry(f"{ADDRESS}:{server.server_port}", held, requests)
    finally:
        server.shutdown()
        loop.join()
        server.end_connections()
        server.server_close()


def _bind(port: int | None, answers: Answers, requests: list[Request]) -> _Server:
    """Listen on the port asked for; if none was, on the preferred one or else any."""
    try:
        return _Server(PREFERRED_PORT if port is None else port, answers, requests)
    except OSError as exc:
        # Windows says EACCES for a port that it keeps for itself.
        if exc.errno not in (errno.EADDRINUSE, errno.EACCES):
            raise
        if port is not None:
            raise SpinCacheError(
                f"{ADDRESS}:{port}",
                expected="a free port",
                found=exc.strerror or "an error",
                remedy="leave the port out, or give 0 for any free one",
            ) from exc
        _log.debug("port %d is taken, using another", PREFERRED_PORT)
        return _Server(0, answers, requests)


class _Server(ThreadingHTTPServer):
    """Accepts connections, one thread each, and can end them all."""

    daemon_threads = True
    request_queue_size = 128
    # On Windows this option would let two servers share a port.
    allow_reuse_address = sys.platform != "win32"

    def __init__(self, port: int, answers: Answers, requests: list[Request]) -> None:
        self.answers = answers
        self.answered = requests
        self._connections: dict[threading.Thread, socket.socket] = {}
        self._lock = threading.Lock()
        super().__init__((ADDRESS, port), _Handler)

    def server_bind(self) -> None:
        """Bind without asking the name service for this host's name, as HTTPServer does."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = ADDRESS, self.socket.getsockname()[1]

    def process_request(self, request: Any, client_address: Any) -> None:
        """Start a thread for a connection and remember both."""
        thread = threading.Thread(
            target=self.process_request_thread,
            args=(request, client_address),
            name="spincache-demo-connection",
            daemon=True,
        )
        with self._lock:
            self._connections[thread] = request
        thread.start()

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve a connection to its end, then forget it."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._lock:
                self._connections.pop(threading.current_thread(), None)

    def end_connections(self) -> None:
        """Cut the connections that clients keep open and wait for their threads."""
        with self._lock:
            open_now = list(self._connections.items())
        for _thread, connection in open_now:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:  # the client was faster
                continue
        for thread, _connection in open_now:
            thread.join(_JOIN_SECONDS)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Stay silent when a client goes away; log anything else."""
        if not isinstance(sys.exception(), OSError):
            _log.exception("the demo registry failed on a request")


class _Handler(BaseHTTPRequestHandler):
    """One connection: reads requests, sends what `Answers` says."""

    protocol_version = "HTTP/1.1"
    server_version = "spincache-demo"
    sys_version = ""
    timeout = _IDLE_SECONDS
    disable_nagle_algorithm = True
    server: _Server

    def _answer(self) -> None:
        # Clients written in Go send one Accept line for each media type.
        found = {name: self.headers.get_all(name) for name in ("Accept", "Range", "If-Range")}
        headers = {name: ", ".join(values) for name, values in found.items() if values}
        answer = self.server.answers.answer(self.command, self.path, headers)
        if self.command not in ("GET", "HEAD"):
            self._drain()
        self._send(answer)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _answer  # noqa: N815

    def _drain(self) -> None:
        """Read what a refused upload sends, so that its sender gets to read the refusal."""
        self.close_connection = True
        length = self.headers.get("Content-Length", "0")
        if length.isascii() and length.isdigit():
            self.rfile.read(min(int(length), _DRAIN_BYTES))

    def _send(self, answer: Answer) -> None:
        body = b"" if self.command == "HEAD" else answer.body
        if self.command:  # not for what was no HTTP at all, as when a client tries TLS first
            self.server.answered.append(Request(self.command, self.path, int(answer.status), len(body)))
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.send_header("Docker-Distribution-Api-Version", "registry/2.0")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Refuse a malformed request in the registry's own error form, then hang up."""
        self.close_connection = True
        self.request_version = self.protocol_version  # else an unread request counts as HTTP/0.9
        self.command = self.command or ""
        self.path = getattr(self, "path", "")
        error = {"code": "UNSUPPORTED", "message": message or "malformed request", "detail": {}}
        self._send(
            Answer(code, {"Content-Type": "application/json"}, json.dumps({"errors": [error]}).encode())
        )

    def log_message(self, format: str, *args: Any) -> None:
        """Log to `logging` instead of standard error."""
        _log.debug(format, *args)

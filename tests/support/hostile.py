"""A loopback server, plain or TLS, that answers honestly where nothing else was scripted.

::

    with HostileServer() as server:
        server.serve(artifact)                                   # an honest registry for it,
        server.on("*/blobs/" + digest, later(503), Cut(1000))    # but first 503, then cut after 1000 bytes
        ...
        ranges = [request.header("Range") for request in server.requests_for("*/blobs/*")]
        assert ranges == [None, None, "bytes=1000-"]
"""

import contextlib
import fnmatch
import socket
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.support.artifact import Artifact
from tests.support.behaviours import Behaviour, Call, Content, Reply, challenge, error, json_reply
from tests.support.wire import Request, Wire


class HostileServer:
    """Serves scripted answers and records every request; use it as a context manager."""

    def __init__(
        self, host: str = "127.0.0.1", *, tls: ssl.SSLContext | None = None, drop_every: int = 0
    ) -> None:
        self.host, self.tls, self.drop_every = host, tls, drop_every
        self.requests: list[Request] = []
        self.connections = 0
        self.most_concurrent = 0
        self._concurrent = 0
        self._lock = threading.RLock()
        self._contents: dict[str, Content] = {}
        self._once: list[tuple[str, Behaviour]] = []
        self._always: list[tuple[str, Behaviour]] = []
        self._accepts: Callable[[Request], bool] | None = None
        self._denial: Reply = challenge()
        self._wires: list[Wire] = []
        self._threads: list[threading.Thread] = []
        self._stopping = threading.Event()
        self._listener = socket.create_server((host, 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]

    @property
    def name(self) -> str:
        """``host:port``, what a reference begins with."""
        return f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        return f"{'http' if self.tls is None else 'https'}://{self.name}"

    def serve(self, *artifacts: Artifact, tags: bool = True) -> None:
        """Answer honestly for artifacts: manifests by tag and digest, blobs, and the list of tags."""
        for artifact in artifacts:
            base = f"/v2/{artifact.repository}"
            manifest = Content(artifact.manifest, artifact.media_type)
            names = {artifact.digest, artifact.tag or artifact.digest}
            with self._lock:
                self._contents |= {f"{base}/manifests/{name}": manifest for name in names}
                self._contents |= {
                    f"{base}/blobs/{key}": Content(data) for key, data in artifact.blobs.items()
                }
            self.serve(*artifact.children, tags=False)
            if tags:
                self._list_tags(artifact.repository)

    def content(self, path: str, data: bytes, media_type: str = "application/octet-stream") -> None:
        with self._lock:
            self._contents[path] = Content(data, media_type)

    def on(self, pattern: str, *behaviours: Behaviour) -> None:
        """Answer the next requests for a path with these behaviours, one each, before anything else."""
        with self._lock:
            self._once += [(pattern, behaviour) for behaviour in behaviours]

    def always(self, pattern: str, behaviour: Behaviour) -> None:
        """Answer every request for a path with one behaviour, after those of ``on`` are used up."""
        with self._lock:
            self._always.append((pattern, behaviour))

    def be_honest(self) -> None:
        """Forget what ``on`` and ``always`` scripted; what was served is answered honestly from now on."""
        with self._lock:
            self._once.clear()
            self._always.clear()
            self.drop_every = 0

    def require(self, accepts: Callable[[Request], bool] | str, *challenges: str) -> None:
        """Refuse requests below ``/v2/`` with 401 and these challenges unless they are accepted."""
        wanted = accepts
        self._accepts = wanted if callable(wanted) else lambda request: request.authorization == wanted
        self._denial = challenge(*challenges)

    def tag_pages(
        self, repository: str, pages: Sequence[Sequence[str]], *, last_link: str | None = None
    ) -> None:
        """Answer ``tags/list`` in pages chained by Link headers (``?last=`` is the page's number)."""
        path = f"/v2/{repository}/tags/list"
        self.always(path, _TagPages(path, repository, pages, last_link))

    def requests_for(self, pattern: str) -> list[Request]:
        """Return the requests that match a pattern as in ``on``."""
        with self._lock:
            return [request for request in self.requests if _matches(pattern, request)]

    @property
    def lines(self) -> list[str]:
        """``METHOD /target`` of every request."""
        with self._lock:
            return [request.line for request in self.requests]

    @property
    def authorizations(self) -> list[str]:
        """The Authorization values received, in order; empty if none was ever sent here."""
        with self._lock:
            return [request.authorization for request in self.requests if request.authorization is not None]

    @property
    def body_bytes(self) -> int:
        """Bytes of bodies sent on all connections (handed to the kernel; a client may have read fewer)."""
        with self._lock:
            return sum(wire.body_bytes for wire in self._wires)

    @property
    def open_connections(self) -> int:
        """Connections that are open now."""
        with self._lock:
            return sum(wire.sock.fileno() >= 0 for wire in self._wires)

    def __enter__(self) -> "HostileServer":
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        """Stop, close every connection and wait for every thread."""
        self._stopping.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        with self._lock:
            threads, wires = list(self._threads), list(self._wires)
        for wire in wires:
            wire.shutdown()
        for thread in threads:
            thread.join(10)
        self._listener.close()
        alive = [thread.name for thread in threads if thread.is_alive()]
        assert not alive, f"threads of the hostile server still run: {alive}"

    def _start(self, target: Callable[..., None], *arguments: object) -> None:
        name = f"hostile {self.name} {len(self._threads)}"
        thread = threading.Thread(target=target, args=arguments, name=name, daemon=True)
        with self._lock:
            self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        """Accept connections until the listener is shut down."""
        while not self._stopping.is_set():
            try:
                connection, _ = self._listener.accept()
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # no 40 ms for each body
            except OSError:
                return
            with self._lock:
                self.connections += 1
                wire = Wire(connection, self.connections)
                self._wires.append(wire)
            if self._stopping.is_set() or (self.drop_every and wire.number % self.drop_every == 0):
                wire.abort()
            else:
                self._start(self._serve, wire)

    def _serve(self, wire: Wire) -> None:
        """Answer the requests of one connection. That a client hangs up is no fault."""
        with contextlib.suppress(OSError, ValueError):
            if self._shake_hands(wire):
                while (request := wire.read_request(time.monotonic())) and self._answer(request, wire):
                    pass
        wire.shutdown()
        wire.close()

    def _shake_hands(self, wire: Wire) -> bool:
        """Wrap the connection in TLS if that is wanted."""
        if self.tls is None:
            return True
        wire.sock.settimeout(10)
        try:
            wire.sock = self.tls.wrap_socket(wire.sock, server_side=True)
        except OSError:
            return False
        wire.sock.settimeout(None)
        return True

    def _answer(self, request: Request, wire: Wire) -> bool:
        """Record and answer one request; return whether the connection stays."""
        with self._lock:
            self.requests.append(request)
            self._concurrent += 1
            self.most_concurrent = max(self.most_concurrent, self._concurrent)
            behaviour = self._behaviour(request)
            call = Call(request, wire, self._contents.get(request.path), self._stopping)
        try:
            return (behaviour or call.honest()).answer(call)
        finally:
            with self._lock:
                self._concurrent -= 1

    def _behaviour(self, request: Request) -> Behaviour | None:
        """Return what was scripted for a request: a denial, the next of ``on``, or ``always``."""
        if self._accepts and request.path.startswith("/v2/") and not self._accepts(request):
            return self._denial
        for position, (pattern, behaviour) in enumerate(self._once):
            if _matches(pattern, request):
                del self._once[position]
                return behaviour
        for pattern, behaviour in self._always:
            if _matches(pattern, request):
                return behaviour
        return json_reply({}) if request.path == "/v2/" else None

    def _list_tags(self, repository: str) -> None:
        start = f"/v2/{repository}/manifests/"
        with self._lock:
            names = sorted(path.removeprefix(start) for path in self._contents if path.startswith(start))
        tags = [name for name in names if ":" not in name]
        reply = json_reply({"name": repository, "tags": tags})
        self.content(f"/v2/{repository}/tags/list", reply.body, "application/json")


@dataclass(frozen=True)
class _TagPages:
    """Pages of tags; see ``HostileServer.tag_pages``."""

    path: str
    name: str
    pages: Sequence[Sequence[str]]
    last_link: str | None

    def answer(self, call: Call) -> bool:
        page = int(call.request.query.get("last", ["0"])[0])
        if page >= len(self.pages):
            return error(400, "PAGINATION_NUMBER_INVALID").answer(call)
        last = page + 1 == len(self.pages)
        link = self.last_link if last else f'<{self.path}?last={page + 1}&n=2>; rel="next"'
        headers = (("Link", link),) if link else ()
        return json_reply({"name": self.name, "tags": self.pages[page]}, headers=headers).answer(call)


def _matches(pattern: str, request: Request) -> bool:
    method, _, path = pattern.rpartition(" ")
    return method in ("", request.method) and fnmatch.fnmatchcase(request.path, path)

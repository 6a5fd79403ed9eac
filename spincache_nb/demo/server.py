"""A read-only OCI registry in this process, on loopback, for demos, notebooks and tests.

What it answers is pure: a request's method, target and headers in, a status, headers and a body out. It
shares no parsing code with the client, so that the two cannot agree on a mistake.
"""

from __future__ import annotations

import errno
import json
import logging
import re
import socket
import socketserver
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qs, quote, unquote

from spincache_nb.demo.shipped import Artifact, artifacts
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

_NAME = "(?P<name>[a-z0-9][a-z0-9._/-]*)"
_TAGS = re.compile(rf"/v2/{_NAME}/tags/list")
_MANIFEST = re.compile(rf"/v2/{_NAME}/manifests/(?P<item>[^/]+)")
_BLOB = re.compile(rf"/v2/{_NAME}/blobs/(?P<item>[^/]+)")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha384:[0-9a-f]{96}|sha512:[0-9a-f]{128}")
_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")
_COUNT = re.compile(r"[0-9]{1,9}")
_MAX_PAGE = 1000


class Request(NamedTuple):
    """A request that the registry answered: its line, the status, and the bytes of the body (0 for HEAD)."""

    method: str
    path: str
    status: int
    bytes: int


@dataclass(frozen=True)
class DemoRegistry:
    """A running demo registry: ``127.0.0.1:PORT``, and what it holds, each repository's oldest first."""

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
    """Run a read-only OCI registry that holds the artifacts given; otherwise as `registry`."""
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


@dataclass(frozen=True)
class Answer:
    """An HTTP response."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = field(default=b"", repr=False)


class Answers:
    """The artifacts of a registry, and its answers to requests for them."""

    def __init__(self, artifacts: Iterable[Artifact]) -> None:
        self._tags: dict[str, dict[str, Artifact]] = {}
        self._manifests: dict[str, dict[str, Artifact]] = {}
        self._blobs: dict[str, dict[str, bytes]] = {}
        for artifact in artifacts:
            tags = self._tags.setdefault(artifact.repository, {})
            if artifact.tag in tags:
                raise ValueError(f"{artifact.repository}:{artifact.tag} is there twice")
            tags[artifact.tag] = artifact
            self._manifests.setdefault(artifact.repository, {})[artifact.digest] = artifact
            self._blobs.setdefault(artifact.repository, {}).update(artifact.blobs)

    def answer(self, method: str, target: str, headers: Mapping[str, str]) -> Answer:
        """Answer one request."""
        if method not in ("GET", "HEAD"):
            refusal = _error(405, "UNSUPPORTED", "this demo registry is read-only")
            return Answer(refusal.status, refusal.headers | {"Allow": "GET, HEAD"}, refusal.body)
        path, _, question = target.partition("?")
        path, query = unquote(path), parse_qs(question)
        if path in ("/v2", "/v2/"):
            return _json_answer({})
        if path == "/v2/_catalog":
            return _page("repositories", self._tags, path, query)
        if match := _TAGS.fullmatch(path):
            return self._tag_list(match["name"], path, query)
        if match := _MANIFEST.fullmatch(path):
            return self._manifest(match["name"], match["item"], headers.get("Accept"))
        if match := _BLOB.fullmatch(path):
            wanted = headers.get("Range") if method == "GET" else None
            return self._blob(match["name"], match["item"], wanted, headers.get("If-Range"))
        return _error(404, "NOT_FOUND", "no such page")

    def _tag_list(self, name: str, path: str, query: Mapping[str, list[str]]) -> Answer:
        if name not in self._tags:
            return _unknown_name(name)
        return _page("tags", self._tags[name], path, query, extra={"name": name})

    def _manifest(self, name: str, item: str, accept: str | None) -> Answer:
        if name not in self._tags:
            return _unknown_name(name)
        if ":" in item and not _DIGEST.fullmatch(item):
            return _error(400, "DIGEST_INVALID", "the digest is malformed", digest=item)
        artifact = self._manifests[name].get(item) or self._tags[name].get(item)
        if artifact is None:
            return _error(404, "MANIFEST_UNKNOWN", "no such manifest in this repository", reference=item)
        media_type = artifact.manifest_media_type
        if accept is not None and not _accepts(accept, media_type):
            return _error(404, "MANIFEST_UNKNOWN", f"Accept lacks {media_type}", reference=item)
        return Answer(200, {"Content-Type": media_type} | _naming(artifact.digest), artifact.manifest)

    def _blob(self, name: str, digest: str, wanted: str | None, if_range: str | None) -> Answer:
        if name not in self._tags:
            return _unknown_name(name)
        if not _DIGEST.fullmatch(digest):
            return _error(400, "DIGEST_INVALID", "the digest is malformed", digest=digest)
        data = self._blobs[name].get(digest)
        if data is None:
            return _error(404, "BLOB_UNKNOWN", "no such blob in this repository", digest=digest)
        headers = {"Content-Type": "application/octet-stream", "Accept-Ranges": "bytes"} | _naming(digest)
        part = _range(wanted, len(data)) if if_range in (None, headers["ETag"]) else None
        if part is None:
            return Answer(200, headers, data)
        if not part:
            refusal = _error(416, "RANGE_INVALID", "the range starts past the end of the blob")
            return Answer(416, refusal.headers | {"Content-Range": f"bytes */{len(data)}"}, refusal.body)
        content_range = f"bytes {part.start}-{part.stop - 1}/{len(data)}"
        return Answer(206, headers | {"Content-Range": content_range}, data[part.start : part.stop])


def _range(wanted: str | None, size: int) -> range | None:
    """Resolve a ``Range`` header (RFC 9110, section 14)."""
    match = _RANGE.fullmatch(wanted.replace(" ", "")) if wanted else None
    if match is None or match[0] == "bytes=-":
        return None
    if not match[1]:
        return range(max(0, size - int(match[2])), size)
    start = int(match[1])
    if match[2] and int(match[2]) < start:
        return None
    stop = min(size, int(match[2]) + 1) if match[2] else size
    return range(start, max(start, stop))


def _accepts(accept: str, media_type: str) -> bool:
    """Tell whether an ``Accept`` header admits a media type; weights are not looked at."""
    offers = {offer.partition(";")[0].strip().lower() for offer in accept.split(",")}
    return not offers.isdisjoint({media_type, "application/*", "*/*"})


def _page(
    key: str,
    names: Iterable[str],
    path: str,
    query: Mapping[str, list[str]],
    *,
    extra: Mapping[str, str] | None = None,
) -> Answer:
    """One page of sorted names, with a ``Link`` to the next if ``n`` cut it short."""
    count = query.get("n", [str(_MAX_PAGE)])[0]
    if not _COUNT.fullmatch(count):
        return _error(400, "PAGINATION_NUMBER_INVALID", "n is not a number", n=count)
    limit = min(int(count), _MAX_PAGE)
    last = query.get("last", [""])[0]
    rest = sorted(name for name in names if name > last)
    page = rest[:limit]
    answer = _json_answer({**(extra or {}), key: page})
    if page and len(rest) > limit:
        link = f'<{quote(path)}?n={limit}&last={quote(page[-1], safe="")}>; rel="next"'
        return Answer(200, answer.headers | {"Link": link}, answer.body)
    return answer


def _naming(digest: str) -> dict[str, str]:
    return {"Docker-Content-Digest": digest, "ETag": f'"{digest}"'}


def _json_answer(value: object, *, status: int = 200) -> Answer:
    return Answer(status, {"Content-Type": "application/json"}, json.dumps(value).encode())


def _unknown_name(name: str) -> Answer:
    return _error(404, "NAME_UNKNOWN", "no such repository in this registry", name=name)


def _error(status: int, code: str, message: str, **detail: str) -> Answer:
    return _json_answer({"errors": [{"code": code, "message": message, "detail": detail}]}, status=status)

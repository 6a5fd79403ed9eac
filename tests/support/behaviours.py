"""How a hostile server answers one request: whole answers. Answers that are spoilt are in ``faults``."""

import datetime as dt
import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from email.utils import format_datetime
from typing import Protocol

from tests.support.artifact import sha256
from tests.support.wire import Headers, Request, Wire


@dataclass(frozen=True)
class Call:
    """One request to be answered."""

    request: Request
    wire: Wire
    content: "Content | None"
    stopping: threading.Event

    def honest(self, *, ranges: bool = True) -> "Reply":
        """Return the honest answer to this request, with or without regard to its Range."""
        if self.content is None:
            return error(404, "MANIFEST_UNKNOWN" if "/manifests/" in self.request.path else "BLOB_UNKNOWN")
        return self.content.reply(self.request, ranges=ranges)


class Behaviour(Protocol):
    """Answers a request; returns whether the connection stays open."""

    def answer(self, call: Call) -> bool:
        """Answer one request."""


@dataclass(frozen=True)
class Reply:
    """A plain answer."""

    status: int = 200
    body: bytes = b""
    headers: Headers = ()
    close: bool = False
    hang_up: bool = False

    def answer(self, call: Call) -> bool:
        self.send_head(call)
        if call.request.method != "HEAD":
            call.wire.send_body(self.body)
        return not (self.close or self.hang_up)

    def send_head(self, call: Call, length: int | None = None) -> None:
        """Send the head alone, with another Content-Length if given."""
        call.wire.send_head(self.status, self.fields(length))

    def fields(self, length: int | None = None) -> Headers:
        names = {name.lower() for name, _ in self.headers}
        added: Headers = ()
        if not names & {"content-length", "transfer-encoding"}:
            added = (("Content-Length", str(len(self.body) if length is None else length)),)
        return self.headers + added + ((("Connection", "close"),) if self.close else ())

    def with_headers(self, changes: Mapping[str, str | None]) -> "Reply":
        names = {name.lower() for name in changes}
        kept = tuple((name, value) for name, value in self.headers if name.lower() not in names)
        added = tuple((name, value) for name, value in changes.items() if value is not None)
        return replace(self, headers=kept + added)


@dataclass(frozen=True)
class Content:
    """Bytes that an honest server holds, served with Range support and a digest header."""

    data: bytes
    media_type: str = "application/octet-stream"

    def answer(self, call: Call) -> bool:
        return self.reply(call.request).answer(call)

    def reply(self, request: Request, *, ranges: bool = True) -> Reply:
        """Return 200 with everything, 206 with one range, or 416."""
        digest = sha256(self.data)
        headers: Headers = (
            ("Content-Type", self.media_type),
            ("Docker-Content-Digest", digest),
            ("Docker-Distribution-Api-Version", "registry/2.0"),
            ("Etag", f'"{digest}"'),
            ("Accept-Ranges", "bytes"),
        )
        wanted = request.header("Range")
        if not ranges or wanted is None or not wanted.startswith("bytes="):
            return Reply(200, self.data, headers)
        first, _, last = wanted.removeprefix("bytes=").partition("-")
        size = len(self.data)
        start = int(first) if first else size - int(last)
        end = min(int(last), size - 1) if first and last else size - 1
        if start >= size or start > end:
            return Reply(416, b"", (("Content-Range", f"bytes */{size}"),))
        where = ("Content-Range", f"bytes {start}-{end}/{size}")
        return Reply(206, self.data[start : end + 1], (*headers, where))


@dataclass(frozen=True)
class Redirect:
    """A redirect to an absolute URL, or by a function of the request."""

    location: str | Callable[[Request], str]
    status: int = 307

    def answer(self, call: Call) -> bool:
        target = self.location if isinstance(self.location, str) else self.location(call.request)
        return Reply(self.status, b"", (("Location", target),)).answer(call)


def challenge(*values: str, status: int = 401) -> Reply:
    """Return 401 with one WWW-Authenticate field per value, in the order given; without values, none."""
    headers = tuple(("WWW-Authenticate", value) for value in values)
    return replace(error(status, "UNAUTHORIZED"), headers=headers)


def error(status: int, code: str = "UNKNOWN", message: str = "as the test wants it") -> Reply:
    """Return an error answer with the body that the OCI distribution specification gives it."""
    body = json.dumps({"errors": [{"code": code, "message": message}]}).encode()
    return Reply(status, body, (("Content-Type", "application/json"),))


def later(status: int = 503, retry_after: int | str | dt.datetime | None = None) -> Reply:
    """Return 429, 503 and the like; ``retry_after`` in seconds, as an aware time (HTTP-date), or raw text."""
    reply = error(status, "TOOMANYREQUESTS" if status == 429 else "UNAVAILABLE")
    if retry_after is None:
        return reply
    if isinstance(retry_after, dt.datetime):
        retry_after = format_datetime(retry_after.astimezone(dt.UTC), usegmt=True)
    return reply.with_headers({"Retry-After": str(retry_after)})


def json_reply(value: object, status: int = 200, headers: Headers = ()) -> Reply:
    return Reply(status, json.dumps(value).encode(), (("Content-Type", "application/json"), *headers))


def wait_until(condition: Callable[[], bool], seconds: float = 5) -> None:
    """Wait until a condition holds; fail if it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.005)

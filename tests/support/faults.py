"""Answers that are spoilt. Each takes the honest answer and says only what is wrong with it.

``server.on("*/blobs/sha256:ab..", Cut(1000))`` cuts the honest answer after 1000 bytes of its body.
"""

import gzip
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace

from tests.support.behaviours import Behaviour, Call, Reply

PIECE = 65536


@dataclass(frozen=True)
class Cut:
    """The honest head, ``after`` bytes of the body, then the connection ends (``reset``: by a reset)."""

    after: int
    reset: bool = False

    def answer(self, call: Call) -> bool:
        reply = call.honest()
        reply.send_head(call)
        call.wire.send_body(reply.body[: self.after])
        if self.reset:
            call.wire.abort()
        return False


@dataclass(frozen=True)
class Drop:
    """No answer at all: the connection ends (``reset``: by a reset)."""

    reset: bool = False

    def answer(self, call: Call) -> bool:
        if self.reset:
            call.wire.abort()
        return False


@dataclass(frozen=True)
class IgnoreRange:
    """200 with the whole content, whatever Range asked for."""

    def answer(self, call: Call) -> bool:
        return call.honest(ranges=False).answer(call)


@dataclass(frozen=True)
class WrongRange:
    """206 whose Content-Range starts ``shift`` bytes off, with the bytes from there, or is ``text``."""

    shift: int = 1
    text: str | None = None

    def answer(self, call: Call) -> bool:
        assert call.content is not None
        data = call.content.data
        asked = (call.request.header("Range") or "bytes=0-").removeprefix("bytes=").partition("-")[0]
        start = max(0, int(asked) + self.shift)
        where = self.text or f"bytes {start}-{len(data) - 1}/{len(data)}"
        return Reply(206, data[start:], (("Content-Range", where),)).answer(call)


@dataclass(frozen=True)
class Stall:
    """``after`` bytes of the body, then silence, until ``seconds`` have passed or the server stops.

    With ``after=None`` not even the head comes. The connection ends after that.
    """

    after: int | None = None
    seconds: float = 60

    def answer(self, call: Call) -> bool:
        if self.after is not None:
            reply = call.honest()
            reply.send_head(call)
            call.wire.send_body(reply.body[: self.after])
        call.stopping.wait(self.seconds)
        return False


@dataclass(frozen=True)
class Drip:
    """The honest answer in pieces of ``size`` bytes with a pause of ``pause`` seconds after each."""

    size: int = 1024
    pause: float = 0.01

    def answer(self, call: Call) -> bool:
        reply = call.honest()
        reply.send_head(call)
        for start in range(0, len(reply.body), self.size):
            call.wire.send_body(reply.body[start : start + self.size])
            if call.stopping.wait(self.pause):
                return False
        return True


@dataclass(frozen=True, eq=False)
class Hold:
    """Wait for an event, then answer as ``then`` does (default: honestly)."""

    event: threading.Event
    then: Behaviour | None = None

    def answer(self, call: Call) -> bool:
        while not self.event.wait(0.01):
            if call.stopping.is_set():
                return False
        return (self.then or call.honest()).answer(call)


@dataclass(frozen=True)
class WrongLength:
    """A Content-Length off by ``delta`` bytes; positive: the body ends early, negative: bytes follow it."""

    delta: int

    def answer(self, call: Call) -> bool:
        reply = call.honest()
        reply.send_head(call, length=max(0, len(reply.body) + self.delta))
        call.wire.send_body(reply.body)
        return False


@dataclass(frozen=True)
class Truncated:
    """An answer complete in itself, whose content is ``missing`` bytes short (or longer if negative)."""

    missing: int = 1

    def answer(self, call: Call) -> bool:
        reply = call.honest()
        body = reply.body[: -self.missing] if self.missing > 0 else reply.body + bytes(-self.missing)
        return replace(reply, body=body).answer(call)


@dataclass(frozen=True)
class WrongBytes:
    """Content of the right size with one bit of its byte number ``at`` flipped."""

    at: int = -1

    def answer(self, call: Call) -> bool:
        reply = call.honest()
        body = bytearray(reply.body)
        body[self.at] ^= 1
        return replace(reply, body=bytes(body)).answer(call)


@dataclass(frozen=True, eq=False)
class Relabel:
    """The honest answer with header fields replaced, or removed where the value is ``None``."""

    headers: Mapping[str, str | None]

    def answer(self, call: Call) -> bool:
        return call.honest().with_headers(self.headers).answer(call)


@dataclass(frozen=True)
class HangUp:
    """An honest answer, after which the connection is closed although nothing said so."""

    def answer(self, call: Call) -> bool:
        return replace(call.honest(), hang_up=True).answer(call)


@dataclass(frozen=True)
class Gzipped:
    """The honest content under ``Content-Encoding: gzip``, whatever Accept-Encoding says."""

    def answer(self, call: Call) -> bool:
        reply = call.honest().with_headers({"Content-Encoding": "gzip"})
        return replace(reply, body=gzip.compress(reply.body, mtime=0)).answer(call)


@dataclass(frozen=True)
class Stream:
    """``total`` bytes in pieces, never held at once: chunked, or with ``chunked=False`` until the end.

    Stops when the client hangs up; ``Wire.body_bytes`` and ``HostileServer.body_bytes`` tell how far it came.
    """

    total: int
    chunked: bool = True
    media_type: str = "application/vnd.oci.image.manifest.v1+json"
    start: bytes = b'{"schemaVersion":2,"padding":"'

    def answer(self, call: Call) -> bool:
        framing = (("Transfer-Encoding", "chunked"),) if self.chunked else (("Connection", "close"),)
        call.wire.send_head(200, (("Content-Type", self.media_type), *framing))
        send = call.wire.send_chunk if self.chunked else call.wire.send_body
        send(self.start)
        for done in range(len(self.start), self.total, PIECE):
            if call.stopping.is_set():
                return False
            send(b"x" * min(PIECE, self.total - done))
        if self.chunked:
            send(b"")
        return self.chunked

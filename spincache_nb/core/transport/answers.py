"""The answer to a request: its head, and its body as it comes, bounded and counted."""

from __future__ import annotations

import contextlib
import socket
import time
from typing import Protocol, cast

import httpx

from spincache_nb.core.settings import Limits, Timeouts
from spincache_nb.core.transport.addresses import public_url
from spincache_nb.core.transport.faults import translate
from spincache_nb.core.transport.halting import Halt
from spincache_nb.core.transport.retrying import RetryableError
from spincache_nb.core.transport.wire import cut
from spincache_nb.errors import ConnectionFailedError, LimitError, ProtocolError


class Keeper(Protocol):
    """What an answer needs of the client it belongs to."""

    limits: Limits
    timeouts: Timeouts
    halt: Halt

    def count(self, received: int) -> None: ...
    def forget(self, answer: Answer) -> None: ...


class Answer:
    """The head of an answer, and its body piece by piece; to be closed."""

    def __init__(self, web: Keeper, url: httpx.URL, response: httpx.Response) -> None:
        self.url = url
        self.status = response.status_code
        self.headers = response.headers
        self.at_home = True
        self._web = web
        self._response = response
        self._pieces = iter(cast(httpx.SyncByteStream, response.stream))  # as iter_raw, less a copy
        self._waited = 0.0
        self._recent = 0
        self._page: bytes | None = None

    def __enter__(self) -> Answer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def length(self) -> int | None:
        """``Content-Length``, if there is one that says anything."""
        text = self.headers.get("Content-Length", "")
        if "Transfer-Encoding" in self.headers or not (text.isascii() and text.isdigit()):
            return None
        return int(text[:19])

    def check_encoding(self, size: int | None = None) -> None:
        """Refuse a body that is not the bytes themselves."""
        coding = self.headers.get("Content-Encoding", "identity").strip().lower()
        if coding in ("identity", "") or self.status >= 300:
            return
        if size is not None and (self.length == size or self.status == 206):
            return
        self.close()
        raise ProtocolError(
            public_url(self.url),
            "the bytes as they are (Accept-Encoding: identity)",
            f"Content-Encoding: {coding}",
            "the server or a proxy before it compresses what it should not",
        )

    def piece(self) -> bytes | None:
        """Next piece of the body as it came; None at its end."""
        started = time.monotonic()
        try:
            self._web.halt.check()
            piece = next(self._pieces, None)
            self._web.halt.check()
        except httpx.TransportError as exc:
            self.close()
            self._web.halt.check()
            raise translate(exc, self.url) from exc
        except BaseException:
            self.close()
            raise
        if piece is None:
            self.close()
            return None
        self._web.count(len(piece))
        self._check_pace(time.monotonic() - started, len(piece))
        return piece

    def _check_pace(self, seconds: float, received: int) -> None:
        timeouts = self._web.timeouts
        self._waited += seconds
        self._recent += received
        if self._recent >= timeouts.stall_bytes:
            self._waited, self._recent = 0.0, 0
        elif self._waited > timeouts.stall:
            self.close()
            found = f"{self._recent} bytes in {self._waited:.0f} s"
            raise RetryableError(
                ConnectionFailedError(
                    public_url(self.url),
                    f"at least {timeouts.stall_bytes} bytes in {timeouts.stall:.0f} s",
                    found,
                    "the server or the network is too slow; try again later",
                ),
                hopeless=True,
            )

    def read(self, limit: int, *, what: str) -> bytes:
        """Read the whole body, as long as it is not larger than a limit."""
        where = f"{what} at {public_url(self.url)}"
        if self.length is not None and self.length > limit:
            self.close()
            raise _too_large(where, limit, f"{self.length} bytes")
        pieces, received = [], 0
        while (piece := self.piece()) is not None:
            pieces.append(piece)
            received += len(piece)
            if received > limit:
                self.close()
                raise _too_large(where, limit, "more")
        return b"".join(pieces)

    def read_error_page(self) -> bytes:
        """Read what a refusal says, as far as it is short and arrives; the answer is closed then."""
        if self._page is None:
            limit = self._web.limits.error_bytes
            self._page = b""
            with self, contextlib.suppress(RetryableError, LimitError):
                self._page = self.read(limit, what="error page")
        return self._page

    def discard(self) -> None:
        """Read a short body to its end, which keeps the connection, and close."""
        self.read_error_page()

    def cut(self) -> None:
        """End a read that waits in another thread."""
        stream = self._response.extensions.get("network_stream")
        sock = stream.get_extra_info("socket") if stream is not None else None
        if isinstance(sock, socket.socket):
            cut(sock)

    def close(self) -> None:
        """Let the connection go."""
        self._web.forget(self)
        with contextlib.suppress(httpx.TransportError):
            self._response.close()


def _too_large(where: str, limit: int, found: str) -> LimitError:
    return LimitError(
        where, f"at most {limit} bytes", found, "if it is meant to be that large, raise the limit"
    )

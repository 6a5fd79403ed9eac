"""One body as one stream, across connections that break off (RFC 9110, 14: range requests)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

from spincache_nb.core.digest import Digest
from spincache_nb.core.transport.answers import Answer
from spincache_nb.core.transport.retrying import Retrier, RetryableError
from spincache_nb.errors import ProtocolError, SizeMismatchError, SpinCacheError

_CONTENT_RANGE = re.compile(r"bytes (\d{1,19})-(\d{1,19})/(\d{1,19}|\*)")
HOPED_FOR = (200, 206, 416)
"""Everything, the part asked for, and that there is no such part."""

OpenAt = Callable[[Mapping[str, str]], Answer]


class Download:
    """A body of known or unknown size, asked for again from where it broke off."""

    def __init__(
        self, ask: OpenAt, *, size: int | None, where: str, retrier: Retrier, start: int = 0
    ) -> None:
        self._ask = ask
        self._size = size
        self._where = where
        self._retrier = retrier
        self._answer: Answer | None = None
        self._to_skip = 0
        self._breaks = 0
        self.position = start

    def __iter__(self) -> Iterator[bytes]:
        """Deliver the bytes."""
        try:
            while (piece := self._retrier.run(self._next)) is not None:
                yield piece
        finally:
            self._drop()

    def _next(self) -> bytes | None:
        """Next piece, from where the last one ended; safe to call again after a failure."""
        try:
            answer = self._answer or self._open()
            while (piece := answer.piece()) is not None:
                if fresh := self._fresh_part(piece):
                    return fresh
            self._check_end()
        except RetryableError as exc:
            if self._answer is not None and self.position == self._size:
                return None  # all is here, only the end of the answer is not
            self._drop()
            self._breaks += 1
            if self._breaks > self._retrier.policy.breaks:
                raise exc.error from exc
            raise
        return None

    def _open(self) -> Answer:
        resuming = self.position > 0
        answer = self._ask({"Range": f"bytes={self.position}-"} if resuming else {})
        self._answer = answer
        if answer.status == 416 and resuming:
            raise self._mismatch(f"none from byte {self.position} on")
        if answer.status != 200:
            self._check_range(answer, resuming)
            self._to_skip = 0
        else:
            self._to_skip = self.position
            self._check_length(answer)
        return answer

    def _check_length(self, answer: Answer) -> None:
        if self._size is None:
            self._size = answer.length  # a break can then be told from the end
        elif answer.length is not None and answer.length != self._size:
            raise self._mismatch(f"an answer of {answer.length}")

    def _check_range(self, answer: Answer, resuming: bool) -> None:
        text = answer.headers.get("Content-Range", "")
        match = _CONTENT_RANGE.fullmatch(text.strip())
        if match is None or not resuming:
            raise self._bad_range(text or "none" if resuming else "a part of the bytes")
        first, last, whole = int(match[1]), int(match[2]), match[3]
        if whole != "*" and self._size is not None and int(whole) != self._size:
            raise self._mismatch(whole)
        if first != self.position or last < first or (self._size is not None and last >= self._size):
            raise self._bad_range(text)
        if answer.length is not None and answer.length != last - first + 1:
            raise self._bad_range(f"{text} in an answer of {answer.length} bytes")

    def _fresh_part(self, piece: bytes) -> bytes:
        """What of a piece was not delivered before."""
        if self._to_skip:
            skipped = min(self._to_skip, len(piece))
            self._to_skip -= skipped
            piece = piece[skipped:]
        if self._size is not None and self.position + len(piece) > self._size:
            raise self._mismatch("more")
        self.position += len(piece)
        return piece

    def _check_end(self) -> None:
        if self._to_skip or (self._size is not None and self.position < self._size):
            raise RetryableError(self._mismatch(f"{self.position}"), hopeless=True)

    def _drop(self) -> None:
        answer, self._answer = self._answer, None
        if answer is not None:
            answer.close()

    def _mismatch(self, found: str) -> SpinCacheError:
        return SizeMismatchError(
            self._where,
            f"{self._size} bytes",
            found,
            "the registry holds something else than its manifest says; nothing was kept",
        )

    def _bad_range(self, found: str) -> SpinCacheError:
        return ProtocolError(
            self._where,
            f"the bytes from {self.position} on",
            f"Content-Range: {found}",
            "the registry, its storage or a proxy answers range requests wrongly",
        )


def checked(pieces: Iterator[bytes], digest: Digest, *, where: str) -> Iterator[bytes]:
    """Pass bytes on and check, at their end, that they are what a digest names."""
    hasher = digest.hasher()
    for piece in pieces:
        hasher.update(piece)
        yield piece
    digest.check(hasher.hexdigest(), where=where)

"""One body as one stream, across connections that break off (RFC 9110, 14: range requests)."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence

import httpx

from spincache_nb.core.addresses import check_plain, parse_url, public_url
from spincache_nb.core.refusals import Access, Purpose, RetryableError
from spincache_nb.core.web import ZLIB_OR_GZIP, Answer, Ask, Web
from spincache_nb.errors import ProtocolError, PullCancelled, SizeMismatchError, SpinCacheError

HOPED_FOR = (200, 203, 206, 416)
"""Everything, also by way of a proxy, the part asked for, and that there is no such part."""

OpenAt = Callable[[Mapping[str, str]], Answer]
_CONTENT_RANGE = re.compile(r"bytes (\d{1,19})-(\d{1,19})/(\d{1,19}|\*)")
_ANYBODY = Access("without credentials", "check the address; none are sent unless they are part of it")


class Download:
    """A body of known or unknown size: asked for again from where it broke off, then from the next source."""

    def __init__(
        self, sources: Sequence[OpenAt], *, size: int | None, where: str, web: Web, start: int = 0
    ) -> None:
        self._sources = sources
        self._ask = sources[0]
        self._size = size
        self._where = where
        self._web = web
        self._answer: Answer | None = None
        self._to_skip = 0
        self._breaks = 0
        self._unzip: zlib._Decompress | None = None
        self.position = start

    def __iter__(self) -> Iterator[bytes]:
        """Deliver the bytes; what the first source said is raised if no source has them."""
        failure: SpinCacheError | None = None
        for source in self._sources:
            self._ask = source
            try:
                while (piece := self._next()) is not None:
                    yield piece
                return
            except PullCancelled:
                raise
            except SpinCacheError as exc:
                failure = failure or exc
            finally:
                self._drop()
        if failure is not None:
            raise failure

    def _next(self) -> bytes | None:
        """Next piece, from where the last one ended."""
        failures = None
        while True:
            try:
                answer = self._answer or self._open()
                while (piece := answer.piece()) is not None:
                    if fresh := self._fresh_part(piece):
                        return fresh
                self._check_end()
                return None
            except RetryableError as exc:
                if self._answer is not None and self.position == self._size:
                    return None  # all is here, only the end of the answer is not
                self._drop()
                self._breaks += 1
                if self._breaks > self._web.retries.breaks:
                    raise exc.error from exc
                failures = failures or self._web.attempts()
                failures.wait_after(exc)

    def _open(self) -> Answer:
        resuming = self.position > 0 and self._unzip is None
        answer = self._ask({"Range": f"bytes={self.position}-"} if resuming else {})
        self._answer, self._unzip = answer, None
        if answer.status == 416 and resuming:
            raise self._mismatch(f"none from byte {self.position} on")
        if answer.status in (206, 416):
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
            if not answer.zipped:
                raise self._mismatch(f"an answer of {answer.length}")
            self._unzip = zlib.decompressobj(ZLIB_OR_GZIP)

    def _check_range(self, answer: Answer, resuming: bool) -> None:
        text = answer.headers.get("Content-Range", "")
        match = _CONTENT_RANGE.fullmatch(text.strip())
        if match is None:
            raise self._bad_range(text or "none")
        first, last, whole = int(match[1]), int(match[2]), match[3]
        if not resuming and whole not in ("*", str(last + 1)):
            raise self._bad_range("a part of the bytes")
        if whole != "*" and self._size is not None and int(whole) != self._size:
            raise self._mismatch(whole)
        if first != self.position or last < first or (self._size is not None and last >= self._size):
            raise self._bad_range(text)
        if answer.length is not None and answer.length != last - first + 1:
            raise self._bad_range(f"{text} in an answer of {answer.length} bytes")

    def _fresh_part(self, piece: bytes) -> bytes:
        """What of a piece was not delivered before."""
        if self._unzip is not None and self._size is not None:
            piece = self._unzipped(piece, self._size - self.position + self._to_skip)
        if self._to_skip:
            skipped = min(self._to_skip, len(piece))
            self._to_skip -= skipped
            piece = piece[skipped:]
        if self._size is not None and self.position + len(piece) > self._size:
            raise self._mismatch("more")
        self.position += len(piece)
        return piece

    def _unzipped(self, piece: bytes, left: int) -> bytes:
        assert self._unzip is not None
        try:
            return self._unzip.decompress(piece, left + 1)
        except zlib.error as exc:
            raise self._mismatch("bytes that are not compressed, although labelled so") from exc

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


def plain_source(
    web: Web, address: str | httpx.URL, purpose: Purpose, *, authorization: str | None = None
) -> OpenAt:
    """What a plain address names; any success counts, as it does for Spin."""

    def ask(more: Mapping[str, str]) -> Answer:
        url = parse_url(address, where=purpose.where)
        check_plain(url, insecure=web.insecure, where=purpose.where)
        answer = web.send(Ask(url, more, authorization))
        if not 200 <= answer.status < 300 and answer.status != 416:
            raise answer.refusal(purpose, _ANYBODY)
        return answer

    return ask


def stream_address(
    web: Web,
    address: str | httpx.URL,
    *,
    where: str,
    size: int | None = None,
    authorization: str | None = None,
) -> Iterator[bytes]:
    """Fetch what a plain address names, in pieces."""
    purpose = Purpose(where, f"what {public_url(address)} names", "check the address")
    source = plain_source(web, address, purpose, authorization=authorization)
    return iter(Download([source], size=size, where=where, web=web))

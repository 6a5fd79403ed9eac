"""One exchange with a server: redirects, bounded answers, and whether something is tried again."""

from __future__ import annotations

import contextlib
import logging
import os
import random
import re
import socket
import ssl
import sys
import threading
import time
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast
from urllib.parse import urlencode

import httpx
from msgspec.structs import replace

from spincache_nb import __version__
from spincache_nb.core.addresses import (
    Origin,
    SystemProxies,
    can_be_asked,
    check_plain,
    host_in,
    host_of,
    is_loopback,
    origin_of,
    parse_url,
    public_url,
    whole_url,
    with_target,
)
from spincache_nb.core.refusals import (
    Access,
    Purpose,
    Refusal,
    RetryableError,
    broken_redirect,
    translate,
)
from spincache_nb.core.settings import Limits, RetryPolicy, Timeouts
from spincache_nb.core.sockets import SocketTransport, cut
from spincache_nb.errors import (
    ConnectionFailedError,
    InsecureTransportError,
    InvalidReferenceError,
    LimitError,
    PullCancelled,
    SpinCacheError,
)

_log = logging.getLogger(__name__)
_REDIRECTS = (301, 302, 303, 307, 308)
_ZIPPED = ("gzip", "x-gzip", "deflate")
ZLIB_OR_GZIP = 47  # zlib: largest window, the header says which of the two
_SLICE_SECONDS = 0.1
_NO_BODY = httpx.ByteStream(b"")
_READY = re.compile(r"(?:/[A-Za-z0-9_][A-Za-z0-9_.:-]*)+")
"""Paths in which httpx would change nothing: no dots alone, no query, nothing to be quoted."""
T = TypeVar("T")


class Halt:
    """Cancel and close: the two ways in which a caller ends what is under way, in every thread."""

    def __init__(self, cancel: threading.Event | None = None) -> None:
        self._cancel = cancel
        self._closed = threading.Event()

    def close(self) -> None:
        """Stop everything, for good."""
        self._closed.set()

    def check(self) -> None:
        """Go on only if nobody wants to stop."""
        if self._cancel is not None and self._cancel.is_set():
            raise PullCancelled("stopped", remedy="the caller cancelled it; nothing half-written is left")
        if self._closed.is_set():
            raise PullCancelled("stopped", remedy="the client was closed while it was at work")

    def sleep(self, seconds: float) -> None:
        """Sleep, but no longer than anybody wants to wait."""
        deadline = time.monotonic() + seconds
        while True:
            self.check()
            left = deadline - time.monotonic()
            if left <= 0:
                return
            event = self._closed if self._cancel is None else self._cancel
            event.wait(left if self._cancel is None else min(left, _SLICE_SECONDS))


class Attempts:
    """The failures of one operation so far: each is followed by a wait, and the last one is raised."""

    def __init__(self, policy: RetryPolicy, halt: Halt) -> None:
        self._policy = policy
        self._halt = halt
        self._count = 0
        self._started = time.monotonic()

    def wait_after(self, failure: RetryableError) -> None:
        """Wait until it makes sense to try again, or raise what failed; called in its handler."""
        policy = self._policy
        self._count += 1
        seconds = self._backoff(failure.retry_after)
        allowed = policy.connect_attempts if failure.hopeless else policy.attempts
        late = time.monotonic() - self._started + seconds > policy.total
        if late or self._count >= allowed:
            raise failure.error from failure.__cause__
        _log.info("trying again in %.1f s: %s", seconds, failure)
        self._halt.sleep(seconds)

    def _backoff(self, retry_after: float | None) -> float:
        policy = self._policy
        seconds = min(policy.longest_wait, policy.first_wait * 2.0 ** (self._count - 1))
        seconds *= random.uniform(0.5, 1.0)  # noqa: S311 - spreads clients, keeps no secret
        if retry_after is None:
            return seconds
        return min(retry_after, policy.longest_retry_after) + seconds / 4


class Ask(NamedTuple):
    """A request; ``target`` is its path where the address is a registry's, without one."""

    url: httpx.URL
    headers: Mapping[str, str]
    authorization: str | None = None
    form: Mapping[str, str] | None = None
    head: bool = False
    target: bytes | None = None

    def __repr__(self) -> str:
        return f"Ask({public_url(self.address)!r})"

    @property
    def address(self) -> httpx.URL:
        """Where it leads to, path included."""
        return with_target(self.url, self.target)

    @property
    def method(self) -> str:
        return "POST" if self.form is not None else "HEAD" if self.head else "GET"


class Answer:
    """The head of an answer, and its body piece by piece; to be closed."""

    def __init__(self, web: Web, request: httpx.Request, response: httpx.Response, *, at_home: bool) -> None:
        self.status = response.status_code
        self.headers = response.headers
        self.at_home = at_home
        self.length = _length(self.headers)
        self._web = web
        self._request = request
        self._response = response
        self._stream = cast(httpx.SyncByteStream, response.stream)
        self._pieces = iter(self._stream)  # as iter_raw, less a copy
        self._waited = 0.0
        self._recent = 0
        self._page: bytes | None = None
        self._is_closed = False

    def __enter__(self) -> Answer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def url(self) -> httpx.URL:
        """What was asked, after all redirects."""
        return whole_url(self._request)

    @property
    def zipped(self) -> bool:
        """Whether the server says that it compressed the body, although it was asked not to."""
        return self.headers.get("Content-Encoding", "").strip().lower() in _ZIPPED

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
            expected = f"at least {timeouts.stall_bytes} bytes in {timeouts.stall:.0f} s"
            found = f"{self._recent} bytes in {self._waited:.0f} s"
            remedy = "the server or the network is too slow; try again later"
            error = ConnectionFailedError(public_url(self.url), expected, found, remedy)
            raise RetryableError(error, hopeless=True)

    def read(self, limit: int, *, what: str, raise_limit: str = "raise the limit") -> bytes:
        """Read the whole body, unless it is larger than a limit; real compression is undone."""
        if self.length is not None and self.length > limit:
            raise self._too_large(limit, f"{self.length} bytes", what, raise_limit)
        pieces, received = [], 0
        while (piece := self.piece()) is not None:
            pieces.append(piece)
            received += len(piece)
            if received > limit:
                raise self._too_large(limit, "more", what, raise_limit)
        content = b"".join(pieces)
        if self.zipped:
            content = _unzipped(content, limit)
            if len(content) > limit:
                raise self._too_large(limit, "more, once decompressed", what, raise_limit)
        return content

    def _too_large(self, limit: int, found: str, what: str, raise_limit: str) -> LimitError:
        """Let the connection go, and say what came instead."""
        self.close()
        remedy = f"if it is meant to be that large, {raise_limit}"
        return LimitError(f"{what} at {public_url(self.url)}", f"at most {limit} bytes", found, remedy)

    def refusal(self, purpose: Purpose, access: Access) -> SpinCacheError | RetryableError:
        """Say what an answer means that is not what was asked for; its body is read and it is closed."""
        page = self.read_error_page()
        return Refusal(self.status, self.headers, page, self.url, self.at_home).error(purpose, access)

    def read_error_page(self) -> bytes:
        """Read what a refusal says, as far as it is short and arrives; the answer is closed then.

        A short body that was read to its end lets the connection serve the next request.
        """
        if self._page is None:
            self._page = b""
            with self, contextlib.suppress(RetryableError, LimitError):
                self._page = self.read(self._web.limits.error_bytes, what="error page")
        return self._page

    def cut(self) -> None:
        """End a read that waits in another thread."""
        stream = self._response.extensions.get("network_stream")
        sock = stream.get_extra_info("socket") if stream is not None else None
        if isinstance(sock, socket.socket):
            cut(sock)

    def close(self) -> None:
        """Let the connection go."""
        if not self._is_closed:
            self._is_closed = True
            self._web.forget(self)
            with contextlib.suppress(httpx.TransportError):
                self._stream.close()  # the response would do no more


def _length(headers: httpx.Headers) -> int | None:
    """``Content-Length``, if there is one that says anything."""
    text = headers.get("Content-Length", "")
    if not (text.isascii() and text.isdigit()) or "Transfer-Encoding" in headers:
        return None
    return int(text[:19])


def _unzipped(data: bytes, limit: int) -> bytes:
    """What a body was made of, up to one byte more than the limit; the body itself if not compressed."""
    try:
        return zlib.decompressobj(ZLIB_OR_GZIP).decompress(data, limit + 1)
    except zlib.error:
        return data


class Web:
    """Talks HTTP for one client; safe to use from many threads."""

    def __init__(
        self,
        *,
        insecure: bool | None = None,
        ca: str | os.PathLike[str] | None = None,
        jobs: int = 16,
        cancel: threading.Event | None = None,
        limits: Limits | None = None,
        timeouts: Timeouts | None = None,
        retries: RetryPolicy | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.insecure = insecure
        self.limits = limits or Limits()
        self.timeouts = timeouts or Timeouts()
        self.retries = retries or RetryPolicy()
        self.halt = Halt(cancel)
        self.wire_bytes = 0
        self.request_count = 0
        self._lock = threading.Lock()
        self._open: set[Answer] = set()
        self._answered: set[Origin] = set()
        self._agent = f"spincache-nb/{__version__}"
        self._origins: dict[str, httpx.URL] = {}
        self._extensions: dict[str, Any] = {"timeout": self.timeouts.for_httpx()}
        self._transport = transport or SocketTransport(
            context=Tls(ca).context, idle=jobs, check=self.halt.check, proxy_for=SystemProxies()
        )

    def close(self) -> None:
        """Close all connections; reads that wait in other threads end at once."""
        self.halt.close()
        with self._lock:
            waiting = list(self._open)
        for answer in waiting:
            answer.cut()
        if isinstance(self._transport, SocketTransport):
            self._transport.close(cut_all=True)
        else:
            self._transport.close()

    def url(self, netloc: str, target: str = "/") -> httpx.URL:
        """Address of something in a registry, by the rule for plain HTTP."""
        plain = self.insecure or (self.insecure is None and is_loopback(host_of(netloc)))
        try:
            url = httpx.URL(f"{'http' if plain else 'https'}://{netloc}{target}")
        except httpx.InvalidURL:
            url = None
        if url is None or not can_be_asked(url):
            raise InvalidReferenceError(
                netloc,
                "a registry's host and port",
                "something else",
                "write host[:port], the port up to 65535",
            )
        return url

    def ask(
        self,
        netloc: str,
        target: str,
        headers: Mapping[str, str],
        authorization: str | None = None,
        *,
        head: bool = False,
    ) -> Ask:
        """A request to a registry, whose own address is read but once: httpx takes its time to do so."""
        if _READY.fullmatch(target) is None:
            return Ask(self.url(netloc, target), headers, authorization, head=head)
        origin = self._origins.get(netloc)
        if origin is None:
            origin = self._origins[netloc] = self.url(netloc)
        return Ask(origin, headers, authorization, head=head, target=target.encode("ascii"))

    def run(self, operation: Callable[[], T], *, attempts: int | None = None) -> T:
        """Run an operation until it goes well, or there is no sense in trying again."""
        failures = self.attempts(attempts)
        while True:
            try:
                return operation()
            except RetryableError as failure:
                failures.wait_after(failure)

    def attempts(self, most: int | None = None) -> Attempts:
        """Begin to count the failures of an operation."""
        policy = self.retries
        if most is not None:
            policy = replace(policy, attempts=min(most, policy.attempts))
        return Attempts(policy, self.halt)

    def send(self, ask: Ask) -> Answer:
        """Send a request where it leads to, and give the answer's head."""
        hop, seen = ask, set[httpx.URL]()
        for _ in range(self.limits.redirects + 1):
            self.halt.check()
            request = self._request(hop)
            origin = origin_of(request.url)
            try:
                response = self._transport.handle_request(request)
            except httpx.TransportError as exc:
                self.halt.check()
                raise translate(exc, hop.address, answered=origin in self._answered) from exc
            at_home = hop is ask or origin == origin_of(ask.url)
            answer = self._answer(request, response, origin, at_home=at_home)
            if answer.status not in _REDIRECTS:
                return answer
            seen.add(hop.address)
            url = self._redirected(ask, answer)
            if url in seen:
                raise broken_redirect(ask.address, "redirects in a loop")
            kept = hop.authorization if origin_of(url) == origin else None
            hop = hop._replace(url=url, target=None, authorization=kept)
        raise broken_redirect(ask.address, f"more than {self.limits.redirects} of them")

    def _redirected(self, ask: Ask, answer: Answer) -> httpx.URL:
        """Where a redirect leads to, if anybody may be led there."""
        answer.read_error_page()
        if ask.form is not None:
            raise broken_redirect(ask.address, "one for a request that holds a secret")
        location = answer.headers.get("Location")
        if not location:
            raise broken_redirect(ask.address, "one without an address")
        where = f"redirect of {public_url(ask.address)}"
        target = parse_url(location, base=answer.url, where=where)
        if answer.url.scheme == "https" and target.scheme == "http":
            self._check_downgrade(ask.url, target, where)
        check_plain(target, insecure=self.insecure, where=where)
        return target

    def _check_downgrade(self, asked: httpx.URL, target: httpx.URL, where: str) -> None:
        """Refuse to go from https to plain http; on this machine, only this machine may send us there."""
        if self.insecure is True or (is_loopback(host_in(target)) and is_loopback(host_in(asked))):
            return
        remedy = f"ask the owner of {host_in(asked)} to redirect to https; nothing was sent in the clear"
        raise InsecureTransportError(where, "an https:// address", public_url(target), remedy)

    def _answer(
        self, request: httpx.Request, response: httpx.Response, origin: Origin, *, at_home: bool
    ) -> Answer:
        answer = Answer(self, request, response, at_home=at_home)
        with self._lock:
            self._open.add(answer)
            self._answered.add(origin)
        if _log.isEnabledFor(logging.DEBUG):
            _log.debug("%s %s: %d", request.method, public_url(answer.url), answer.status)
        return answer

    def _request(self, ask: Ask) -> httpx.Request:
        """Make a request with all its header fields: httpx would look for each that it might add."""
        headers = {"Host": ask.url.netloc.decode("ascii"), "User-Agent": self._agent}
        headers |= {"Accept-Encoding": "identity", **ask.headers}
        if ask.authorization is not None:
            headers["Authorization"] = ask.authorization
        stream, extensions = _NO_BODY, self._extensions
        if ask.target is not None:
            extensions = {**extensions, "target": ask.target}
        if ask.form is not None:
            content = urlencode(ask.form).encode("ascii")
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            headers["Content-Length"] = str(len(content))
            stream = httpx.ByteStream(content)
        with self._lock:
            self.request_count += 1
        return httpx.Request(ask.method, ask.url, headers=headers, stream=stream, extensions=extensions)

    def count(self, received: int) -> None:
        """Add to the bytes received."""
        with self._lock:
            self.wire_bytes += received

    def forget(self, answer: Answer) -> None:
        """An answer was closed."""
        with self._lock:
            self._open.discard(answer)


class Tls:
    """Whom a client trusts: one context for all connections, made for the first (20 to 200 ms)."""

    def __init__(self, ca: str | os.PathLike[str] | None = None) -> None:
        self._ca = Path(ca) if ca is not None else None
        self._lock = threading.Lock()
        self._context: ssl.SSLContext | None = None

    def context(self) -> ssl.SSLContext:
        """Give the one context, building it if need be."""
        with self._lock:
            if self._context is None:
                context = _from_environment() or _system_context()
                if self._ca is not None:
                    _load(context, "ca=", cafile=self._ca)
                self._context = context
            return self._context


def _from_environment() -> ssl.SSLContext | None:
    file, folder = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
    if not file and not folder:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if file:
        _load(context, "SSL_CERT_FILE", cafile=Path(file))
    for part in (folder or "").split(os.pathsep):
        if part:
            _load(context, "SSL_CERT_DIR", capath=Path(part))
    return context


def _system_context() -> ssl.SSLContext:
    if sys.platform not in ("darwin", "win32") and ssl.get_default_verify_paths().cafile is not None:
        context = ssl.create_default_context()
        # Python 3.13 asks more of an authority than curl, Go and older Pythons do, and private ones lack it
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        return context
    import truststore

    return truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _load(
    context: ssl.SSLContext, setting: str, *, cafile: Path | None = None, capath: Path | None = None
) -> None:
    where = f"{setting} {cafile or capath}"
    try:
        context.load_verify_locations(cafile=cafile, capath=capath)
    except OSError as exc:  # ssl.SSLError is one, for a file that holds no certificate
        found = exc.strerror if isinstance(exc, FileNotFoundError | PermissionError) else "something else"
        remedy = "name the authority's PEM file"
        raise ConnectionFailedError(
            where, "a file of certificates (PEM)", str(found).lower(), remedy
        ) from exc

"""One exchange with a server: redirects followed by hand, answers bounded, bytes counted."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlencode

import httpx

from spincache_nb import __version__
from spincache_nb.core.settings import Limits, RetryPolicy, Timeouts
from spincache_nb.core.transport.addresses import (
    can_be_asked,
    check_plain,
    host_of,
    is_loopback,
    origin_of,
    parse_url,
    public_url,
)
from spincache_nb.core.transport.answers import Answer
from spincache_nb.core.transport.faults import broken_redirect, translate
from spincache_nb.core.transport.halting import Halt
from spincache_nb.core.transport.retrying import Retrier
from spincache_nb.core.transport.routes import make_transport
from spincache_nb.core.transport.tls import Tls
from spincache_nb.errors import InvalidReferenceError

_log = logging.getLogger(__name__)
_REDIRECTS = (301, 302, 303, 307, 308)


class Ask(NamedTuple):
    """A request."""

    url: httpx.URL
    headers: Mapping[str, str]
    authorization: str | None = None
    form: Mapping[str, str] | None = None
    head: bool = False
    size: int | None = None

    def __repr__(self) -> str:
        return f"Ask({public_url(self.url)!r})"


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
        self.halt = Halt(cancel)
        self.retrier = Retrier(retries or RetryPolicy(), self.halt)
        self.wire_bytes = 0
        self.request_count = 0
        self._lock = threading.Lock()
        self._open: set[Answer] = set()
        self._agent = f"spincache-nb/{__version__}"
        self._transport = transport or make_transport(
            context=Tls(ca).context, idle=jobs, check=self.halt.check
        )

    def close(self) -> None:
        """Close all connections; reads that wait in other threads end at once."""
        self.halt.close()
        with self._lock:
            waiting = list(self._open)
        for answer in waiting:
            answer.cut()
        end_all = getattr(self._transport, "cut", self._transport.close)
        end_all()
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

    def send(self, ask: Ask) -> Answer:
        """Send a request where it leads to, and give the answer's head."""
        url, authorization = ask.url, ask.authorization
        seen = {url}
        for _ in range(self.limits.redirects + 1):
            answer = self._exchange(ask, url, authorization)
            answer.at_home = origin_of(url) == origin_of(ask.url)
            if answer.status not in _REDIRECTS:
                answer.check_encoding(ask.size)
                return answer
            target = self._target(ask, answer)
            if target in seen:
                raise broken_redirect(ask.url, "redirects in a loop")
            if origin_of(target) != origin_of(url):
                authorization = None
            seen.add(target)
            url = target
        raise broken_redirect(ask.url, f"more than {self.limits.redirects} of them")

    def _target(self, ask: Ask, answer: Answer) -> httpx.URL:
        answer.discard()
        if ask.form is not None:
            raise broken_redirect(ask.url, "one for a request that holds a secret")
        location = answer.headers.get("Location")
        if not location:
            raise broken_redirect(ask.url, "one without an address")
        where = f"redirect of {public_url(ask.url)}"
        target = parse_url(location, base=answer.url, where=where)
        check_plain(target, insecure=self.insecure, where=where)
        return target

    def _exchange(self, ask: Ask, url: httpx.URL, authorization: str | None) -> Answer:
        self.halt.check()
        request = self._request(ask, url, authorization)
        with self._lock:
            self.request_count += 1
        try:
            response = self._transport.handle_request(request)
        except httpx.TransportError as exc:
            self.halt.check()
            raise translate(exc, url) from exc
        answer = Answer(self, url, response)
        with self._lock:
            self._open.add(answer)
        if _log.isEnabledFor(logging.DEBUG):
            _log.debug("%s %s: %d", request.method, public_url(url), answer.status)
        return answer

    def _request(self, ask: Ask, url: httpx.URL, authorization: str | None) -> httpx.Request:
        headers = {"User-Agent": self._agent, "Accept-Encoding": "identity", **ask.headers}
        if authorization is not None:
            headers["Authorization"] = authorization
        content = None
        if ask.form is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            content = urlencode(ask.form).encode("ascii")
        method = "POST" if ask.form is not None else "HEAD" if ask.head else "GET"
        extensions = {"timeout": self.timeouts.for_httpx()}
        return httpx.Request(method, url, headers=headers, content=content, extensions=extensions)

    def count(self, received: int) -> None:
        """Add to the bytes received."""
        with self._lock:
            self.wire_bytes += received

    def forget(self, answer: Answer) -> None:
        """An answer was closed."""
        with self._lock:
            self._open.discard(answer)

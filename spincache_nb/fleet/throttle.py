"""How fast a registry is asked: by all threads together, and slower as soon as it says so."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from spincache_nb.core.refusals import RetryableError
from spincache_nb.errors import PullCancelled, SpinCacheError, StatusError

T = TypeVar("T")

_LONGEST_INTERVAL = 5.0
_FIRST_INTERVAL = 0.05
_SLOWER, _FASTER = 2.0, 0.98
_LONGEST_PAUSE = 300.0
_LONGEST_WAIT = 60.0
_SLICE = 0.1


class Throttle:
    """Spaces the requests of several threads."""

    def __init__(
        self,
        per_second: float | None = None,
        *,
        attempts: int = 8,
        cancel: threading.Event | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._least = 0.0 if per_second is None else 1.0 / per_second
        self.interval = self._least
        self._attempts = attempts
        self._cancel = cancel if cancel is not None else threading.Event()
        self._clock = clock
        self._lock = threading.Lock()
        self._free_at = 0.0
        self._is_stopped = False

    def stop(self) -> None:
        """Begin no request any more; those under way come to their end."""
        self._is_stopped = True

    def ask(self, request: Callable[[], T]) -> T:
        """Make a request when it is its turn, again if it failed in passing."""
        attempt = 1
        while True:
            self._wait_for_turn()
            try:
                found = request()
            except SpinCacheError as exc:
                if attempt >= self._attempts or not self._will_pass(exc, attempt):
                    raise
                attempt += 1
                continue
            with self._lock:
                self.interval = max(self._least, self.interval * _FASTER)
            return found

    def _wait_for_turn(self) -> None:
        while True:
            if self._is_stopped or self._cancel.is_set():
                raise PullCancelled("fleet.crawl", "to go on", "a request to stop", "crawl again to go on")
            with self._lock:
                now = self._clock()
                if now >= self._free_at:
                    self._free_at = now + self.interval
                    return
                left = self._free_at - now
            self._cancel.wait(min(left, _SLICE))

    def _will_pass(self, exc: SpinCacheError, attempt: int) -> bool:
        """Whether trying again makes sense; then everybody, or this thread, has waited or will wait."""
        failure = passing(exc)
        if failure is None:
            return False
        limited = isinstance(exc, StatusError) and exc.status == 429
        backoff = min(_LONGEST_WAIT, 2.0 ** (attempt - 1)) * random.uniform(0.5, 1.0)  # noqa: S311 - spreads
        if not limited and failure.retry_after is None:
            self._sleep(backoff)
            return True
        asked = backoff if failure.retry_after is None else failure.retry_after
        with self._lock:
            self._free_at = max(self._free_at, self._clock() + min(asked, _LONGEST_PAUSE))
            if limited:
                wider = max(self.interval * _SLOWER, _FIRST_INTERVAL)
                self.interval = max(self._least, min(wider, _LONGEST_INTERVAL))
        return True

    def _sleep(self, seconds: float) -> None:
        """Wait, but not for somebody who was stopped."""
        until = time.monotonic() + seconds
        while not self._is_stopped and (left := until - time.monotonic()) > 0:
            if self._cancel.wait(min(left, _SLICE)):
                return


def passing(exc: BaseException | None) -> RetryableError | None:
    """The failure behind an error of the client, if it is of the kind that passes."""
    while exc is not None:
        if isinstance(exc, RetryableError):
            return exc
        exc = exc.__context__
    return None

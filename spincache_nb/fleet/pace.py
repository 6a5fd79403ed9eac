"""How fast a registry is asked: by all threads together, and slower as soon as it says so."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from spincache_nb.core.transport.retrying import RetryableError
from spincache_nb.errors import ConnectionFailedError, PullCancelled, SpinCacheError, StatusError

T = TypeVar("T")

_LONGEST_INTERVAL = 5.0
_FIRST_INTERVAL = 0.05
_FASTER = 0.98
_LONGEST_PAUSE = 300.0
_SLICE = 0.1


class Pace:
    """Spaces the requests of several threads.

    Parameters
    ----------
    per_second
        Most requests in a second; None for as many as the threads make, until the registry objects.
    attempts
        How often one request is made that fails in passing.
    cancel
        Set it from another thread to stop.
    clock
        For tests.

    Notes
    -----
    An answer 429, or one with ``Retry-After``, makes all threads wait that long (as a token bucket that
    is empty for one is empty for all), and doubles the space between requests, which then shrinks slowly.
    """

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
        self._next = 0.0

    def ask(self, request: Callable[[], T]) -> T:
        """Make a request when it is its turn, again if it failed in passing.

        Raises
        ------
        SpinCacheError
            What the last attempt gave, or what another attempt would not change.
        PullCancelled
            If the caller stopped it.
        """
        for attempt in range(1, self._attempts + 1):
            self._wait_for_turn()
            try:
                found = request()
            except SpinCacheError as exc:
                if attempt == self._attempts or not self._note(exc, attempt):
                    raise
            else:
                with self._lock:
                    self.interval = max(self._least, self.interval * _FASTER)
                return found
        raise AssertionError("the last attempt returns or raises")

    def _wait_for_turn(self) -> None:
        with self._lock:
            mine = max(self._next, self._clock())
            self._next = mine + self.interval
        while True:
            if self._cancel.is_set():
                raise PullCancelled("fleet.crawl", "to go on", "the caller stopped it", "crawl again to go on")
            with self._lock:
                left = max(mine, self._next - self.interval if self._paused_until > mine else mine)
            remaining = left - self._clock()
            if remaining <= 0:
                return
            self._cancel.wait(min(remaining, _SLICE))

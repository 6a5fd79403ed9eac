"""Cancel and close: the two ways in which a caller ends what is under way."""

from __future__ import annotations

import threading
import time

from spincache_nb.errors import PullCancelled

_SLICE_SECONDS = 0.1


class Halt:
    """Tells every thread of a client that it should stop."""

    def __init__(self, cancel: threading.Event | None = None) -> None:
        self._cancel = cancel
        self._closed = threading.Event()

    @property
    def closed(self) -> bool:
        """Whether the client was closed."""
        return self._closed.is_set()

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

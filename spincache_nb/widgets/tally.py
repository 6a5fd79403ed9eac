"""Adding up what a pull tells: how much is there, how fast it comes, what is running."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

from spincache_nb.core.progress import ProgressEvent

SPEED_SECONDS = 5.0
"""Span over which the speed is taken."""

_LEAST_SECONDS = 0.3


@dataclass(frozen=True, slots=True)
class Running:
    """A blob that is on its way."""

    digest: str
    reference: str
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """How far a pull is at one moment."""

    planned: bool
    done: int
    total: int
    speed: float | None
    seconds_left: float | None
    running: tuple[Running, ...]

    @property
    def share(self) -> float:
        """Part of the bytes that is there, from 0 to 1; all of nothing is 1."""
        if not self.planned:
            return 0.0
        return self.done / self.total if self.total else 1.0


class Tally:
    """Takes the events of one pull, from any thread, and says how far it is."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._planned = False
        self._total = self._done = 0
        self._running: dict[str, Running] = {}
        self._marks: deque[tuple[float, int]] = deque([(clock(), 0)])

    def add(self, event: ProgressEvent) -> None:
        """Take one event."""
        with self._lock:
            if event.kind == "plan":
                self._planned = True
                self._total += event.total
                self._marks = deque([(self._clock(), self._done)])
            elif event.kind == "start":
                self._running[event.digest] = Running(event.digest, event.reference, 0, event.total)
            elif event.kind == "bytes":
                self._count(event)
            elif event.kind == "done":
                self._running.pop(event.digest, None)

    def _count(self, event: ProgressEvent) -> None:
        self._done += event.count
        one = self._running.get(event.digest)
        if one is not None:
            self._running[event.digest] = replace(one, done=one.done + event.count)

    def snapshot(self) -> Snapshot:
        """Say how far the pull is now."""
        with self._lock:
            now, done = self._clock(), self._done
            speed = self._speed(now)
            total = max(self._total, done)
            left = (total - done) / speed if speed and self._planned and self._total else None
            return Snapshot(self._planned, done, total, speed, left, tuple(self._running.values()))

    def _speed(self, now: float) -> float | None:
        self._marks.append((now, self._done))
        while len(self._marks) > 2 and now - self._marks[1][0] >= SPEED_SECONDS:
            self._marks.popleft()
        began, before = self._marks[0]
        return (self._done - before) / (now - began) if now - began >= _LEAST_SECONDS else None

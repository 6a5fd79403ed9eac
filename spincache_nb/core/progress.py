"""What a pull tells while it runs, and the bars made of it."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any, Literal

import msgspec

LOOK_UP = "look up"

EventKind = Literal["plan", "start", "bytes", "done", "reused", "unpacked", "tag", "looked up"]


class ProgressEvent(msgspec.Struct, frozen=True):
    """One thing that happened."""

    kind: EventKind
    reference: str = ""
    digest: str = ""
    count: int = 0
    total: int = 0


ProgressCallback = Callable[[ProgressEvent], object]
Progress = bool | ProgressCallback | None


class Reporter:
    """Hands events to a callback, one at a time, from whichever thread they come."""

    def __init__(self, progress: Progress, *, what: str = "pull") -> None:
        self._lock = threading.Lock()
        self._display: _Bar | _Lines | None = None
        if progress is True:
            self._display = _Bar(what) if _bar_fits() else _Lines(what)
            self._callback: ProgressCallback | None = self._display
        else:
            self._callback = progress or None

    def __call__(self, event: ProgressEvent) -> None:
        if self._callback is not None:
            with self._lock:
                self._callback(event)

    def close(self) -> None:
        """Finish the bar, if there is one."""
        if self._display is not None:
            self._display.close()


class _Bar:
    """One tqdm bar over all bytes or tags; a widget in a notebook, text in a terminal."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._unit: dict[str, Any] = {"unit": "B", "unit_scale": True, "unit_divisor": 1024}
        if what == LOOK_UP:
            self._unit = {"unit": " tags"}
        self._bar: Any = None

    def __call__(self, event: ProgressEvent) -> None:
        if event.kind == "plan":
            from tqdm.auto import tqdm

            self._bar = tqdm(total=event.total, desc=self._what, **self._unit)
        elif event.kind in ("bytes", "looked up") and self._bar is not None:
            self._bar.update(event.count)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()


class _Lines:
    """Plain lines on standard error, for a pipe or a log file."""

    def __init__(self, what: str) -> None:
        self._verb = {"verify": "check", LOOK_UP: LOOK_UP}.get(what, "fetch")
        self._unit = "tags" if what == LOOK_UP else "bytes"
        self._total = self._known = 0

    def __call__(self, event: ProgressEvent) -> None:
        if event.kind == "plan":
            self._total = event.total
            self._say(f"to {self._verb}: {event.total} {self._unit}")
        elif event.kind == "looked up":
            self._known += event.count
            if self._known * 10 // self._total > (self._known - event.count) * 10 // self._total:
                self._say(f"looked up {self._known} of {self._total} tags")
        elif event.kind == "done":
            self._say(f"fetched {event.digest} {event.total} bytes")
        elif event.kind == "tag":
            self._say(f"stored {event.reference}")

    def close(self) -> None:
        sys.stderr.flush()

    @staticmethod
    def _say(text: str) -> None:
        sys.stderr.write(f"{text}\n")


def _bar_fits() -> bool:
    """Whether somebody looks: at a terminal, or in a notebook's kernel, not in what only starts one."""
    return sys.stderr.isatty() or "ipykernel.kernelapp" in sys.modules

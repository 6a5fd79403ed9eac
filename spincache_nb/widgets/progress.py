"""How far a pull is: one bar over everything, and one for each blob that is on its way."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import ipywidgets as widgets

from spincache_nb.core.progress import ProgressEvent
from spincache_nb.show import escaped, short_digest, size_text, wait_text
from spincache_nb.widgets import parts

SPEED_SECONDS = 5.0

MOST_BARS = 8
"""Blobs that get a bar of their own; of more it is said how many there are."""

_LEAST_SECONDS = 0.3


@dataclass(frozen=True, slots=True)
class Running:
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

    @property
    def text(self) -> str:
        """The same in words, as far as it is known."""
        if not self.total:
            return "nothing to fetch"
        found = f"{size_text(self.done)} of {size_text(self.total)}"
        if self.speed is not None:
            found += f", {size_text(round(self.speed))}/s"
        return found if self.seconds_left is None else f"{found}, {wait_text(self.seconds_left)} left"


class Progress:
    """Takes the events of one pull, from any thread, and says how far it is."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._planned = False
        self._total = self._done = 0
        self._running: dict[str, Running] = {}
        self._marks: deque[tuple[float, int]] = deque([(clock(), 0)])

    def add(self, event: ProgressEvent) -> None:
        with self._lock:
            if event.kind == "plan":
                self._planned = True
                self._total += event.total
                self._marks = deque([(self._clock(), self._done)])
            elif event.kind == "start":
                self._running[event.digest] = Running(event.digest, event.reference, 0, event.total)
            elif event.kind == "done":
                self._running.pop(event.digest, None)
            elif event.kind == "bytes":
                self._done += event.count
                one = self._running.get(event.digest)
                if one is not None:
                    self._running[event.digest] = replace(one, done=one.done + event.count)

    def snapshot(self) -> Snapshot:
        with self._lock:
            done = self._done
            speed = self._speed(self._clock())
            total = max(self._total, done)
            left = (total - done) / speed if speed and self._planned and self._total else None
            return Snapshot(self._planned, done, total, speed, left, tuple(self._running.values()))

    def _speed(self, now: float) -> float | None:
        self._marks.append((now, self._done))
        while len(self._marks) > 2 and now - self._marks[1][0] >= SPEED_SECONDS:
            self._marks.popleft()
        began, before = self._marks[0]
        return (self._done - before) / (now - began) if now - began >= _LEAST_SECONDS else None


class Bar:
    """A name, a bar and what there is to say about it; all three as text, too."""

    def __init__(self, *, small: bool = False) -> None:
        self.name = widgets.HTML().add_class("sc-name")
        self.bar = widgets.FloatProgress(min=0.0, max=1.0, value=0.0)
        self.text = widgets.HTML()
        self.box: Any = widgets.HBox([self.name, self.bar, self.text]).add_class("sc-bar")
        if small:
            self.box.add_class("sc-small")

    def show(self, name: str, share: float, text: str) -> None:
        self.name.value = f'<span title="{escaped(name)}">{escaped(name)}</span>'
        self.bar.value = round(share, 3)
        self.text.value = escaped(text)


class Bars:
    """All bars, hidden until something is begun; a blob keeps its bar until it is there."""

    def __init__(self) -> None:
        self.overall = Bar()
        self.slots = [Bar(small=True) for _ in range(MOST_BARS)]
        self.others = parts.line(style="dim")
        self._taken: list[str | None] = [None] * MOST_BARS
        boxes = [self.overall.box, *(slot.box for slot in self.slots), self.others]
        self.box: Any = widgets.VBox(boxes, layout={"margin": "4px 0"})
        self.hide()

    def hide(self) -> None:
        parts.shown(self.box, False)
        self._show_running(())

    def begin(self, name: str, text: str = "asking for the manifest") -> None:
        """Show the bar over everything, empty."""
        self.overall.bar.bar_style = "info"
        self.overall.show(name, 0.0, text)
        self._show_running(())
        parts.shown(self.box, True)

    def show(self, name: str, snapshot: Snapshot) -> None:
        if snapshot.planned:
            self.overall.show(name, snapshot.share, snapshot.text)
            self._show_running(snapshot.running)

    def end(self, style: str, text: str, *, full: bool = False) -> None:
        """Leave the bar over everything as it ended."""
        self._show_running(())
        self.overall.bar.bar_style = style
        self.overall.text.value = escaped(text)
        if full:
            self.overall.bar.value = 1.0

    def fail(self) -> None:
        """Leave the bar over everything as it was when something went wrong; none if nothing had come."""
        if self.overall.bar.value:
            self.end("danger", "not finished")
        else:
            self.hide()

    def _show_running(self, running: tuple[Running, ...]) -> None:
        by_digest = {one.digest: one for one in running}
        self._taken = [digest if digest in by_digest else None for digest in self._taken]
        waiting = [digest for digest in by_digest if digest not in self._taken]
        for place, slot in enumerate(self.slots):
            if self._taken[place] is None and waiting:
                self._taken[place] = waiting.pop(0)
            digest = self._taken[place]
            if digest is not None:
                _show_one(slot, by_digest[digest])
            parts.shown(slot.box, digest is not None)
        parts.say(self.others, f"and {len(waiting)} more at the same time" if waiting else "", style="dim")


def _show_one(slot: Bar, one: Running) -> None:
    total = max(one.total, one.done)
    text = f"{size_text(one.done)} of {size_text(one.total)}" if one.total else size_text(one.done)
    slot.show(f"{short_digest(one.digest)} {one.reference}", one.done / total if one.total else 0.0, text)

"""What the tabs of a panel share: the cache, what was read of it, who works, and where faults appear."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeVar

from spincache_nb import frames as frames_of
from spincache_nb.core.cache import Cache
from spincache_nb.frames.tables import Frames
from spincache_nb.show import error_text
from spincache_nb.widgets import parts
from spincache_nb.widgets.worker import Outcome, Reader, Worker, heard_warnings

EVERYWHERE = -1
"""In place of a tab: what concerns all of them, such as a cache that cannot be read."""

FRAMES = ("disk", "blobs", "uses", "layers", "apps", "files", "components", "dependencies", "problems")

T = TypeVar("T")
Listener = Callable[[], object]


class _Alert(NamedTuple):
    text: str
    is_fault: bool


class Alerts:
    """One line above the tabs: what went wrong in the tab in sight, and nothing of the others."""

    def __init__(self) -> None:
        self.line = parts.line()
        self.tab = 0
        self._alerts: dict[int, _Alert] = {}

    def fail(self, text: str, tab: int) -> None:
        """Show a fault at once, of whichever tab (or of `EVERYWHERE`)."""
        self._alerts[tab] = _Alert(text, is_fault=True)
        self._show(self._alerts[tab])

    def warn(self, text: str, tab: int) -> None:
        """Show a warning of a tab; it hides no fault."""
        known = self._alerts.get(tab)
        if known is None or not known.is_fault:
            self._alerts[tab] = _Alert(text, is_fault=False)
            self._show(self._first() or self._alerts[tab])

    def forget(self, tab: int) -> None:
        if self._alerts.pop(tab, None) is not None:
            self._show(self._first())

    def turn(self, tab: int) -> None:
        """Show what belongs to another tab from now on."""
        self.tab = tab
        self._show(self._first())

    def _first(self) -> _Alert | None:
        here = [self._alerts[tab] for tab in (self.tab, EVERYWHERE) if tab in self._alerts]
        return max(here, key=lambda one: one.is_fault, default=None)

    def _show(self, one: _Alert | None) -> None:
        if one is None:
            parts.say(self.line, "")
        else:
            parts.say(self.line, one.text, style="alert" if one.is_fault else "alert warn", role="alert")


class Session:
    def __init__(
        self,
        cache: Cache,
        projects: Sequence[str],
        options: Mapping[str, Any],
        focus: Callable[[str], object] = str,
    ) -> None:
        self.focus = focus
        self.cache = cache
        self.projects = tuple(projects)
        self.options = dict(options)
        self.frames: Frames | None = None
        self.selected: tuple[str, ...] = ()
        self.alerts = Alerts()
        self.worker = Worker(self._tell_busy)
        self.reader = Reader(self.fail)
        self.place: Any = None
        self._last: Listener | None = None
        self.on_frames: list[Listener] = []
        self.on_selection: list[Listener] = []
        self.on_busy: list[Callable[[bool], object]] = []

    def fail(self, fault: BaseException, tab: int | None = None) -> None:
        """Show a fault in plain words: of the tab in sight unless another is named."""
        self.alerts.fail(error_text(fault), self.alerts.tab if tab is None else tab)

    def guarded(self, action: Listener) -> Callable[..., None]:
        """Make a handler that shows what goes wrong in it; an exception in a handler would be lost."""

        def handler(*_change: object) -> None:
            try:
                action()
            except Exception as exc:  # noqa: BLE001 - shown in the panel
                self.fail(exc)

        return handler

    def button(self, name: str, action: Listener, hint: str, **options: Any) -> Any:
        """Make a button whose faults are shown."""
        return parts.button(name, self.guarded(action), hint=hint, **options)

    def _heard(self, action: Callable[..., T], *arguments: Any, tab: int) -> T:
        with heard_warnings(partial(self.alerts.warn, tab=tab)):
            return action(*arguments)

    def work(
        self, place: Any, said: str, job: Callable[[Any], Any], done: Callable[[Outcome[Any]], object]
    ) -> None:
        """Begin a job, if none is running, and say so at a place; its fault is shown, then `done` told."""
        tab = self.alerts.tab

        def finish(outcome: Outcome[Any]) -> None:
            if outcome.fault is not None:
                self.fail(outcome.fault, tab)
            done(outcome)

        if not self.worker.is_busy:
            self.alerts.forget(tab)
            self.place = place
            parts.say(place, said)
            self.worker.start(partial(self._heard, job, tab=tab), finish)

    def is_busy_at(self, place: Any) -> bool:
        """Whether the job that is running is one that says there how it goes."""
        return self.worker.is_busy and self.place is place

    def conclude(self, text: str, result: str = "") -> None:
        """Say how a job ended once buttons can be pressed again; then the focus goes on to its result."""

        def last() -> None:
            parts.say(self.place, text)
            if result:
                self.focus(result)

        self.when_free(last)

    def when_free(self, action: Listener) -> None:
        """Say the last word of a job once buttons can be pressed again."""
        self._last = action

    def _tell_busy(self, is_busy: bool) -> None:
        for listener in self.on_busy:
            listener(is_busy)
        last, self._last = self._last, None
        if last is not None:
            last()

    def refresh(self) -> None:
        """Read the cache anew, then tell who listens."""
        self.alerts.forget(EVERYWHERE)
        self.read("frames", self._load, self._take, tab=EVERYWHERE)

    def read(
        self, key: str, work: Callable[[], T], done: Callable[[T], object], *, tab: int | None = None
    ) -> None:
        """Read something beside the kernel, for the tab in sight unless another is named."""
        place = self.alerts.tab if tab is None else tab
        heard = partial(self._heard, tab=place)
        self.reader.submit(key, partial(heard, work), partial(heard, done), partial(self.fail, tab=place))

    def _load(self) -> Frames:
        return frames_of.load(self.cache, *FRAMES, projects=self.projects, toolchains=False)

    def _take(self, frames: Frames) -> None:
        self.frames = frames
        for listener in self.on_frames:
            self.guarded(listener)()

    def select(self, references: Sequence[str]) -> None:
        chosen = tuple(references)
        if chosen != self.selected:
            self.selected = chosen
            for listener in self.on_selection:
                listener()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until nothing is done and read any more; say whether that came in time (seconds)."""
        return self.worker.wait(timeout) and self.reader.wait(timeout)

    def close(self) -> None:
        self.worker.close()
        self.reader.close()


def cache_of(cache: object) -> Cache:
    """Give the cache that is meant: itself, or the one at a path, or this user's own."""
    if isinstance(cache, Cache):
        return cache
    if cache is None or isinstance(cache, str | os.PathLike):
        return Cache(cache)
    raise TypeError(f"expected a Cache, a path, a fleet or nothing, got {type(cache).__name__}")

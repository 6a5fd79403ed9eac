"""The tab that plans and pulls, and how far that is: a bar over everything, one for each blob on its way."""

from __future__ import annotations

import re
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any

import ipywidgets as widgets

from spincache_nb import analysis
from spincache_nb.core.plans import PullFailure, PullPlan, PullPlans
from spincache_nb.core.progress import ProgressEvent
from spincache_nb.core.pull import plan_pull, pull
from spincache_nb.core.reference import Reference
from spincache_nb.errors import InvalidReferenceError, printable
from spincache_nb.frames.tables import Frames
from spincache_nb.project.sources import SourcesPlan, plan_sources, pull_sources
from spincache_nb.show import count_text, escaped, more_text, rows, short_digest, size_text, wait_text
from spincache_nb.widgets import parts
from spincache_nb.widgets.session import Session
from spincache_nb.widgets.worker import Outcome, Ticker

HINT = "A reference such as ghcr.io/org/app:v1, several of them, or the path of a spin.toml."

_BETWEEN = re.compile(r"[\s,;]+")
_LIKE_A_PATH = re.compile(r"([/~\\]|\.{1,2}([/\\]|$)|[A-Za-z]:[/\\])")
_VERSION = re.compile(r"[:@][^/]+$")
_MANIFEST = "spin.toml"
_NAMED = 3


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be pulled, or why that cannot be told; bare if it is one repository without a version."""

    references: tuple[Reference, ...] = ()
    project: Path | None = None
    message: str = HINT
    is_wrong: bool = False
    is_bare: bool = False

    @property
    def is_ready(self) -> bool:
        return bool(self.references) or self.project is not None


def read_request(text: str) -> Request:
    """Read what was typed; as for Spin, a path that exists comes first."""
    typed = text.strip()
    if not typed:
        return Request()
    return _read_path(typed) or _read_references(typed)


def _read_path(typed: str) -> Request | None:
    """Read a path, or give None for what is none."""
    path = Path(typed)
    try:
        path = path.expanduser()
        found = path / _MANIFEST if path.is_dir() else path
        if found.is_file():
            return Request(project=found, message=f"a project: {printable(str(found))}")
    except (OSError, ValueError, RuntimeError):
        found = path
    if typed.endswith(".toml") or _LIKE_A_PATH.match(typed):
        return Request(message=f"there is no file {printable(str(found))}", is_wrong=True)
    return None


def _read_references(typed: str) -> Request:
    found: dict[Reference, None] = {}
    for word in filter(None, _BETWEEN.split(typed)):
        try:
            found[Reference.parse(word)] = None
        except InvalidReferenceError as exc:
            return Request(message=str(exc), is_wrong=True)
    if not found:
        return Request()
    names = ", ".join(str(one) for one in list(found)[:_NAMED])
    more = more_text(len(found), _NAMED)
    text = f"{count_text(len(found), 'reference')}: {names}{f' {more}' if more else ''}"
    is_bare = len(found) == 1 and not _VERSION.search(typed.strip(" ,;"))
    return Request(
        tuple(found), message=f"{text}; Enter lists its versions" if is_bare else text, is_bare=is_bare
    )


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

    @contextmanager
    def following(self, name: str) -> Iterator[Callable[[ProgressEvent], object]]:
        """Show what events say while a job goes on; gives what takes them."""
        events = Progress()
        with Ticker(lambda: self.show(name, events.snapshot())):
            yield events.add

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

    def conclude(self, outcome: Outcome[Any], said: str) -> None:
        """Leave the bar over everything as a job ended; none if something went wrong before anything came."""
        if outcome.value is not None:
            self.end("success", said, full=True)
        elif outcome.is_cancelled:
            self.end("warning", "stopped")
        elif self.overall.bar.value:
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


LAYERS_SHOWN = 200

_WIDE = {"width": "calc(100% - 4px)", "max_width": "720px"}

Plans = Sequence[PullPlan | PullFailure] | SourcesPlan

MOST_OFFERED = 200


class PullTab:
    """A field for what is wanted, and buttons to plan, pull and cancel."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.request = Request()
        self.reference = widgets.Combobox(
            description="Reference",
            placeholder="ghcr.io/org/app:v1",
            ensure_option=False,
            continuous_update=True,
            layout=_WIDE,
            style={"description_width": parts.LABEL_WIDTH},
        )
        self.understood = parts.line(HINT, style="dim")
        self.understood.layout.margin = f"0 0 4px calc({parts.LABEL_WIDTH} + 10px)"
        self.plan = session.button("Plan", self._plan, "Say what would be fetched; nothing is downloaded")
        self.pull = session.button("Pull", self._pull, "Fetch it into the cache", style="primary")
        self.cancel = session.button("Cancel", self._cancel, "Stop; what was complete is kept")
        self.list = session.button("Tags", self._list_tags, "List the versions of a repository")
        self.tags = widgets.Select(
            description="Version", rows=8, layout=_WIDE, style={"description_width": parts.LABEL_WIDTH}
        ).add_class("sc-tags")
        self.state = parts.line()
        self.bars = Bars()
        self.shown = widgets.HTML().add_class("sc-scroll").add_class("sc-pulled")
        buttons = parts.row(self.plan, self.pull, self.cancel, self.list, self.state)
        shown = [self.reference, self.understood, self.tags, buttons, self.bars.box, self.shown]
        self.box: Any = widgets.VBox(shown)
        parts.shown(self.tags, False)
        self._is_pulling = False
        self.reference.observe(session.guarded(self._read), names="value")
        self.reference.on_msg(self._heard)
        self.tags.observe(session.guarded(self._picked), names="value")
        session.on_frames.append(self._offer)
        session.on_busy.append(self._set_busy)
        self._set_busy(False)

    def _read(self) -> None:
        self.request = read_request(self.reference.value)
        self.session.alerts.forget(self.session.alerts.tab)
        parts.say(self.understood, self.request.message, style="wrong" if self.request.is_wrong else "dim")
        self._set_busy(self.session.worker.is_busy)

    def _offer(self) -> None:
        if self.session.frames is not None:
            apps = self.session.frames.need("apps").sort_values("pulled_at", ascending=False)
            names = apps["registry"].astype(str) + "/" + apps["repository"].astype(str)
            self.reference.options = list(dict.fromkeys(names))[:MOST_OFFERED]

    def _heard(self, _widget: object, content: Any, _buffers: object) -> None:
        """Enter in the field lists the versions of a repository, and pulls everything else."""
        if isinstance(content, dict) and content.get("event") == "submit" and not self.pull.disabled:
            self.session.guarded(self._list_tags if self.request.is_bare else self._pull)()

    def _set_busy(self, is_busy: bool) -> None:
        self.list.disabled = is_busy or len(self.request.references) != 1
        self.plan.disabled = self.pull.disabled = is_busy or not self.request.is_ready
        self.cancel.disabled = not self.session.is_busy_at(self.state)

    def _cancel(self) -> None:
        self.cancel.disabled = True
        if self._is_pulling:
            parts.say(self.state, "Stopping.")
            self.session.worker.cancel()
        else:
            self.session.worker.abandon()
            parts.say(self.state, "Stopped.")

    def _list_tags(self) -> None:
        (reference,) = self.request.references
        repository = f"{reference.registry}/{reference.repository}"
        self._is_pulling = False
        frames, options = self.session.frames, self.session.options

        def job(cancel: Event) -> list[tuple[str, str]]:
            return versions_of(analysis.remote_versions(repository, cancel=cancel, **options), frames)

        self.session.work(self.state, "Asking for the versions.", job, self._listed)

    def _listed(self, outcome: Outcome[list[tuple[str, str]]]) -> None:
        found = outcome.value
        if found:
            self.tags.options = [("choose a version", ""), *found]
            self.tags.value = ""
        parts.shown(self.tags, bool(found))
        said = f"{count_text(len(found), 'version')}, newest first." if found else "No version."
        self.session.conclude("Stopped." if outcome.is_cancelled else said, "sc-tags")

    def pull_picked(self) -> None:
        """Pull the version that is picked: Enter in the list."""
        if self.tags.value and not self.pull.disabled:
            self._pull()

    def pull_again(self, references: Sequence[str]) -> None:
        self.reference.value = " ".join(references)
        if not self.pull.disabled:  # a click from here would count all the same
            self.pull.click()

    def _picked(self) -> None:
        if self.tags.value:
            self.reference.value = self.tags.value

    def _plan(self) -> None:
        self.bars.hide()
        self.shown.value = ""
        self._is_pulling = False
        job = partial(self._asked, self.request, plan_sources, plan_pull)
        self.session.work(self.state, "Asking for the manifest.", lambda cancel: job(), self._planned)

    def _asked(
        self, request: Request, project: Callable[..., Any], references: Callable[..., Any], **more: Any
    ) -> Plans:
        """Plan or pull what is wanted, by the function for a project or that for references."""
        cache, options = self.session.cache, {**self.session.options, **more}
        if request.project is not None:
            return project(cache, request.project, **options)  # type: ignore[no-any-return]
        if len(request.references) == 1:
            return [references(cache, request.references[0], **options)]
        return references(cache, list(request.references), on_error="keep", **options)  # type: ignore[no-any-return]

    def _planned(self, outcome: Outcome[Plans]) -> None:
        if outcome.value is None or outcome.is_cancelled:
            self.session.conclude("Stopped." if outcome.is_cancelled else "No plan.")
            return
        self._list(outcome.value)
        fetch, total = _bytes(outcome.value)
        said = f"{size_text(fetch)} of {size_text(total)} to fetch" if fetch else "all of it is stored"
        self.session.conclude(f"Planned: {said}.")

    def _list(self, plans: Plans) -> None:
        each, _ = _parted(plans)
        layers = "".join(plan.html(most=LAYERS_SHOWN) for plan in each)
        if isinstance(plans, PullPlans):
            folded = f"<details><summary>The layers</summary>{layers}</details>" if each else ""
            self.shown.value = plans._repr_html_() + folded
        else:
            self.shown.value = layers

    def _pull(self) -> None:
        self._is_pulling = True
        request = self.request
        name = "all layers" if request.project is None else "all sources"
        self.shown.value = ""
        self.bars.begin(name)

        def job(cancel: Event) -> Plans:
            with self.bars.following(name) as progress:
                return self._asked(request, pull_sources, pull, progress=progress, cancel=cancel)

        self.session.work(self.state, "Pulling.", job, self._pulled)

    def _pulled(self, outcome: Outcome[Plans]) -> None:
        plans, result = outcome.value, ""
        fetch, total = _bytes(plans or [])
        self.bars.conclude(outcome, f"{size_text(fetch)} fetched, {size_text(total - fetch)} reused")
        if plans is not None:
            self._list(plans)
            each, failed = _parted(plans)
            noun = "project" if isinstance(plans, SourcesPlan) else "reference"
            wrong = f", {len(failed)} failed" if failed else ""
            said, result = f"Done: {count_text(len(each), noun)} in the cache{wrong}.", "sc-pulled"
        elif outcome.is_cancelled:
            said = "Stopped. What was complete is kept; Pull goes on from there."
        else:
            said = "It was not pulled."
        self.session.conclude(said, result)
        self.session.refresh()


def _parted(plans: Plans) -> tuple[list[PullPlan | SourcesPlan], list[PullFailure]]:
    each = [plans] if isinstance(plans, SourcesPlan) else plans
    failed = [one for one in each if isinstance(one, PullFailure)]
    return [one for one in each if not isinstance(one, PullFailure)], failed


def _bytes(plans: Plans) -> tuple[int, int]:
    """Bytes that are fetched, and all bytes, with what is shared counted as `plan_pull` does."""
    each, _ = _parted(plans)
    return sum(plan.fetch_bytes for plan in each), sum(plan.total_bytes for plan in each)


def versions_of(found: analysis.RemoteVersions, frames: Frames | None) -> list[tuple[str, str]]:
    """Describe the versions in a registry, newest first: what each costs beside what is stored."""
    stored = set() if frames is None else set(frames.need("blobs")["digest"].dropna())
    total: Counter[str] = Counter()
    missing: Counter[str] = Counter()
    seen: set[tuple[str, str]] = set()
    for reference, digest, size in rows(found.manifests, "reference", "digest", "declared_bytes"):
        if (reference, digest) not in seen:
            seen.add((reference, digest))
            total[reference] += size or 0
            missing[reference] += 0 if digest in stored else size or 0
    named = [(one, tag or one.rpartition("@")[2]) for one, tag in rows(found.tags, "reference", "tag")]
    costs = {one: f"costs {size_text(missing[one])} of {size_text(total[one])}" for one in total}
    return [(f"{tag}: {costs.get(one, 'unknown')}", one) for one, tag in named[::-1]]

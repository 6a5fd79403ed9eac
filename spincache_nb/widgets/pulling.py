"""The tab that plans and pulls."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
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
from spincache_nb.frames.bundle import Frames
from spincache_nb.project.sources import SourcesPlan, plan_sources, pull_sources
from spincache_nb.show import count_text, more_text, rows, size_text
from spincache_nb.widgets import parts
from spincache_nb.widgets.progress import Bars, Progress
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
        self._busy_here = self._is_pulling = False
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
        self.cancel.disabled = not (is_busy and self._busy_here)

    def _begin(self, job: Callable[[Event], Any], done: Callable[[Outcome[Any]], object], said: str) -> None:
        def finish(outcome: Outcome[Any]) -> None:
            self._busy_here = False
            done(outcome)

        if not self.session.worker.is_busy:
            self._busy_here = True
            parts.say(self.state, said)
            self.session.work(job, finish)

    def _cancel(self) -> None:
        self.cancel.disabled = True
        if self._is_pulling:
            parts.say(self.state, "Stopping.")
            self.session.worker.cancel()
        else:
            self._busy_here = False
            self.session.worker.abandon()
            parts.say(self.state, "Stopped.")

    def _list_tags(self) -> None:
        (reference,) = self.request.references
        repository = f"{reference.registry}/{reference.repository}"
        self._is_pulling = False
        frames, options = self.session.frames, self.session.options

        def job(cancel: Event) -> list[tuple[str, str]]:
            return versions_of(analysis.remote_versions(repository, cancel=cancel, **options), frames)

        self._begin(job, self._listed, "Asking for the versions.")

    def _listed(self, outcome: Outcome[list[tuple[str, str]]]) -> None:
        found = outcome.value
        if found:
            self.tags.options = [("choose a version", ""), *found]
            self.tags.value = ""
        parts.shown(self.tags, bool(found))
        said = (
            "No version."
            if found is None or not found
            else f"{count_text(len(found), 'version')}, newest first."
        )
        self.session.conclude(self.state, "Stopped." if outcome.is_cancelled else said, "sc-tags")

    def pull_picked(self) -> None:
        """Pull the version that is picked: Enter in the list."""
        if self.tags.value and not self.pull.disabled:
            self._pull()

    def pull_again(self, references: Sequence[str]) -> None:
        self.reference.value = " ".join(references)
        self.pull.click()

    def _picked(self) -> None:
        if self.tags.value:
            self.reference.value = self.tags.value

    def _plan(self) -> None:
        self.bars.hide()
        self.shown.value = ""
        self._is_pulling = False
        request = self.request
        self._begin(lambda cancel: self._plans(request), self._planned, "Asking for the manifest.")

    def _plans(self, request: Request) -> Plans:
        if request.project is not None:
            return plan_sources(self.session.cache, request.project, **self.session.options)
        if len(request.references) == 1:
            return [plan_pull(self.session.cache, request.references[0], **self.session.options)]
        return plan_pull(
            self.session.cache, list(request.references), on_error="keep", **self.session.options
        )

    def _planned(self, outcome: Outcome[Plans]) -> None:
        if outcome.value is None or outcome.is_cancelled:
            self.session.conclude(self.state, "Stopped." if outcome.is_cancelled else "No plan.")
            return
        self._list(outcome.value)
        fetch, total = _bytes(outcome.value)
        said = f"{size_text(fetch)} of {size_text(total)} to fetch" if fetch else "all of it is stored"
        self.session.conclude(self.state, f"Planned: {said}.")

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
        request, events = self.request, Progress()
        name = "all layers" if request.project is None else "all sources"
        self.shown.value = ""
        self.bars.begin(name)

        def job(cancel: Event) -> Plans:
            with Ticker(lambda: self.bars.show(name, events.snapshot())):
                return self._fetch(request, events.add, cancel)

        self._begin(job, self._pulled, "Pulling.")

    def _fetch(self, request: Request, progress: Callable[[ProgressEvent], object], cancel: Event) -> Plans:
        cache, options = self.session.cache, self.session.options
        if request.project is not None:
            return pull_sources(cache, request.project, progress=progress, cancel=cancel, **options)
        options = {**options, "progress": progress, "cancel": cancel}
        if len(request.references) == 1:
            return [pull(cache, request.references[0], **options)]
        return pull(cache, list(request.references), on_error="keep", **options)

    def _pulled(self, outcome: Outcome[Plans]) -> None:
        if outcome.value is not None:
            fetch, total = _bytes(outcome.value)
            kept = f"{size_text(fetch)} fetched, {size_text(total - fetch)} reused"
            self.bars.end("success", kept, full=True)
            self._list(outcome.value)
            each, failed = _parted(outcome.value)
            noun = "project" if isinstance(outcome.value, SourcesPlan) else "reference"
            wrong = f", {len(failed)} failed" if failed else ""
            self.session.conclude(
                self.state, f"Done: {count_text(len(each), noun)} in the cache{wrong}.", "sc-pulled"
            )
        elif outcome.is_cancelled:
            self.bars.end("warning", "stopped")
            self.session.conclude(self.state, "Stopped. What was complete is kept; Pull goes on from there.")
        else:
            self.bars.fail()
            self.session.conclude(self.state, "It was not pulled.")
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

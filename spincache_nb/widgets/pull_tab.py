"""The tab that plans and pulls."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event
from typing import Any

import ipywidgets as widgets

from spincache_nb.core.progress import ProgressEvent
from spincache_nb.core.pull import PullPlan, plan_pull, pull
from spincache_nb.project.sources import SourcesPlan, plan_sources, pull_sources
from spincache_nb.show import count_text, size_text
from spincache_nb.widgets import look
from spincache_nb.widgets.bars import Bars
from spincache_nb.widgets.desk import Desk
from spincache_nb.widgets.tally import Tally
from spincache_nb.widgets.wanted import HINT, Wanted, read_wanted
from spincache_nb.widgets.work import Outcome, Ticker

LAYERS_SHOWN = 200
"""Layers of one app that a plan lists."""

Plans = list[PullPlan] | SourcesPlan


class PullTab:
    """A field for what is wanted, and buttons to plan, pull and cancel."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.wanted = Wanted()
        self.reference = widgets.Textarea(
            description="Reference",
            placeholder="ghcr.io/org/app:v1",
            rows=2,
            continuous_update=True,
            layout={"width": "100%", "max_width": "720px"},
            style={"description_width": look.LABEL_WIDTH},
        )
        self.understood = look.line(HINT, style="dim")
        self.understood.layout.margin = f"0 0 4px calc({look.LABEL_WIDTH} + 10px)"
        self.plan = look.button(
            "Plan",
            desk.guarded(self._plan),
            hint="Say what would be fetched; nothing is downloaded",
        )
        self.pull = look.button(
            "Pull", desk.guarded(self._pull), hint="Fetch it into the cache", style="primary"
        )
        self.cancel = look.button(
            "Cancel", desk.guarded(self._cancel), hint="Stop; what was complete is kept"
        )
        self.state = look.line()
        self.bars = Bars()
        self.shown = widgets.HTML().add_class("sc-scroll")
        buttons = widgets.HBox(
            [self.plan, self.pull, self.cancel, self.state], layout={"align_items": "center"}
        )
        self.box: Any = widgets.VBox([self.reference, self.understood, buttons, self.bars.box, self.shown])
        self._busy_here = self._is_pulling = False
        self.reference.observe(lambda _change: desk.guarded(self._read)(), names="value")
        desk.on_busy.append(self._set_busy)
        self._set_busy(False)

    # What is typed ---------------------------------------------------------------------------

    def _read(self) -> None:
        self.wanted = read_wanted(self.reference.value)
        look.say(self.understood, self.wanted.message, style="wrong" if self.wanted.is_wrong else "dim")
        self._set_busy(self.desk.worker.is_busy)

    def _set_busy(self, is_busy: bool) -> None:
        self.plan.disabled = self.pull.disabled = is_busy or not self.wanted.is_ready
        self.cancel.disabled = not (is_busy and self._busy_here)

    def _begin(self, job: Callable[[Event], Any], done: Callable[[Outcome[Any]], object], said: str) -> None:
        def finish(outcome: Outcome[Any]) -> None:
            self._busy_here = False
            done(outcome)

        if not self.desk.worker.is_busy:
            self._busy_here = True
            look.say(self.state, said)
            self.desk.work(job, finish)

    def _conclude(self, text: str) -> None:
        self.desk.when_free(lambda: look.say(self.state, text))

    def _cancel(self) -> None:
        self.cancel.disabled = True
        if self._is_pulling:
            look.say(self.state, "Stopping.")
            self.desk.worker.cancel()
        else:
            self._busy_here = False
            self.desk.worker.abandon()
            look.say(self.state, "Stopped.")

    # Planning --------------------------------------------------------------------------------

    def _plan(self) -> None:
        self.bars.hide()
        self.shown.value = ""
        self._is_pulling = False
        wanted = self.wanted
        self._begin(lambda cancel: self._plans(wanted), self._planned, "Asking for the manifest.")

    def _plans(self, wanted: Wanted) -> Plans:
        if wanted.project is not None:
            return plan_sources(self.desk.cache, wanted.project, **self.desk.options)
        return plan_pull(self.desk.cache, list(wanted.references), **self.desk.options)

    def _planned(self, outcome: Outcome[Plans]) -> None:
        if outcome.value is None or outcome.is_cancelled:
            self._conclude("Stopped." if outcome.is_cancelled else "No plan.")
            return
        self._list(outcome.value)
        fetch, total = _bytes(outcome.value)
        said = f"{size_text(fetch)} of {size_text(total)} to fetch" if fetch else "all of it is stored"
        self._conclude(f"Planned: {said}.")

    def _list(self, plans: Plans) -> None:
        each = [plans] if isinstance(plans, SourcesPlan) else plans
        self.shown.value = "".join(plan.html(most=LAYERS_SHOWN) for plan in each)

    # Pulling ---------------------------------------------------------------------------------

    def _pull(self) -> None:
        self._is_pulling = True
        wanted, tally = self.wanted, Tally()
        name = "all layers" if wanted.project is None else "all sources"
        self.shown.value = ""
        self.bars.begin(name)

        def job(cancel: Event) -> Plans:
            with Ticker(lambda: self.bars.show(name, tally.snapshot())):
                return self._fetch(wanted, tally.add, cancel)

        self._begin(job, self._pulled, "Pulling.")

    def _fetch(self, wanted: Wanted, progress: Callable[[ProgressEvent], object], cancel: Event) -> Plans:
        cache, options = self.desk.cache, self.desk.options
        if wanted.project is not None:
            return pull_sources(cache, wanted.project, progress=progress, cancel=cancel, **options)
        results = pull(cache, list(wanted.references), progress=progress, cancel=cancel, **options)
        return list(results)

    def _pulled(self, outcome: Outcome[Plans]) -> None:
        if outcome.value is not None:
            fetch, total = _bytes(outcome.value)
            kept = f"{size_text(fetch)} fetched, {size_text(total - fetch)} reused"
            self.bars.end("success", kept, full=True)
            self._list(outcome.value)
            count = 1 if isinstance(outcome.value, SourcesPlan) else len(outcome.value)
            noun = "project" if isinstance(outcome.value, SourcesPlan) else "reference"
            self._conclude(f"Done: {count_text(count, noun)} in the cache.")
        elif outcome.is_cancelled:
            self.bars.end("warning", "stopped")
            self._conclude("Stopped. What was complete is kept; Pull goes on from there.")
        else:
            self.bars.fail()
            self._conclude("It was not pulled.")
        self.desk.refresh()


def _bytes(plans: Plans) -> tuple[int, int]:
    """Bytes that are fetched, and all bytes, with what is shared counted as `plan_pull` does."""
    each = [plans] if isinstance(plans, SourcesPlan) else plans
    return sum(plan.fetch_bytes for plan in each), sum(plan.total_bytes for plan in each)

"""The tab that says what is wrong with the cache, hashes all of it, and fetches again what is damaged."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event
from typing import Any

import ipywidgets as widgets
import pandas as pd

from spincache_nb.frames.tables import verify
from spincache_nb.show import Column, Table, count_text, escaped, rows, shorten
from spincache_nb.upkeep import RepairResult, repair
from spincache_nb.widgets import parts
from spincache_nb.widgets.progress import Bars, Progress
from spincache_nb.widgets.session import Session
from spincache_nb.widgets.worker import Outcome, Ticker

MOST_PROBLEMS = 200
COLUMNS = (
    Column("kind", "Problem"),
    Column("reference", "App", show=lambda value: shorten(value or "no app", 44)),
    Column("remedy", "What to do"),
    Column("detail", "What was found"),
    Column("path", "File", show=lambda value: shorten(value or "", 36)),
)


class HealthTab:
    """A badge, the list of problems, and two jobs that can be stopped."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.found: pd.DataFrame | None = None
        self.badge = widgets.HTML()

        button = session.button
        self.verify = button("Verify", self._verify, "Hash everything that is stored", style="primary")
        self.repair = button("Repair", self._repair, "Fetch again what is damaged or missing")
        self.cancel = button("Cancel", self._cancel, "Stop; what was repaired stays")
        self.state = parts.line().add_class("sc-hashed")
        self.bars = Bars()
        self.shown = widgets.HTML().add_class("sc-scroll").add_class("sc-wide")
        buttons = parts.row(self.verify, self.repair, self.cancel, self.state)
        self.box: Any = widgets.VBox([self.badge, buttons, self.bars.box, self.shown])
        self._busy_here = False
        session.on_frames.append(self._load)
        session.on_busy.append(lambda is_busy: self._enable())
        self._enable()

    @property
    def damaged(self) -> list[str]:
        return [] if self.found is None else [str(path) for path in self.found["path"].dropna()]

    def _enable(self) -> None:
        is_busy = self.session.worker.is_busy
        self.verify.disabled = self.repair.disabled = is_busy
        self.cancel.disabled = not (is_busy and self._busy_here)

    def _load(self) -> None:
        """Show the problems of the frames, and with them those that only hashing told, while they last."""
        frames = self.session.frames
        if frames is None:
            return
        problems = frames.need("problems")
        if self.found is not None:
            there = set(frames.need("disk")["path"])
            self.found = self.found[self.found["path"].isin(there)]
            problems = pd.concat([problems, self.found], ignore_index=True)
            problems = problems.drop_duplicates(["path", "kind"], ignore_index=True)
        self._show(problems)

    def _show(self, problems: pd.DataFrame) -> None:
        count = len(problems)
        said = count_text(count, "problem") if count else "No problem found"
        hashed = "" if self.found is not None else " without hashing what is stored; Verify does that"
        style = "sc-badge-bad" if count else "sc-badge-good"
        self.badge.value = (
            f'<div role="status"><span class="sc-badge {style}">{escaped(said)}</span>{escaped(hashed)}</div>'
        )
        shown = Table(problems, COLUMNS, most=MOST_PROBLEMS).html() if count else ""
        for (reference,) in rows(problems[["reference"]].dropna().drop_duplicates(), "reference"):
            name = shorten(reference, 44)  # as a whole cell: what else is said is never a name
            shown = shown.replace(f">{escaped(name)}<", f">{parts.app_name(reference, name)}<")
        self.shown.value = shown

    def _begin(self, job: Callable[[Progress, Event], Any], done: Callable[[Any], object], name: str) -> None:
        if self.session.worker.is_busy:
            return
        events = Progress()
        self.bars.begin(name, "looking")

        def work(cancel: Event) -> Any:
            with Ticker(lambda: self.bars.show(name, events.snapshot())):
                return job(events, cancel)

        def finish(outcome: Outcome[Any]) -> None:
            self._busy_here = False
            if outcome.value is not None:
                self.bars.end("success", "done", full=True)
                done(outcome.value)
            else:
                self.bars.end("warning", "stopped") if outcome.is_cancelled else self.bars.fail()
                said = "Stopped." if outcome.is_cancelled else "It did not come to its end."
                self.session.conclude(self.state, said, "sc-hashed")
            self.session.refresh()

        self._busy_here = True
        parts.say(self.state, name)
        self.session.work(work, finish)

    def _verify(self) -> None:
        session = self.session

        def job(events: Progress, cancel: Event) -> pd.DataFrame:
            return verify(session.cache, progress=events.add, cancel=cancel, projects=session.projects)

        self._begin(job, self._verified, "Hashing all files.")

    def _verified(self, found: pd.DataFrame) -> None:
        self.found = found
        count = count_text(len(found), "problem") if len(found) else "no problem"
        self.session.conclude(self.state, f"Hashed: {count}.", "sc-hashed")

    def _repair(self) -> None:
        session = self.session
        options = {name: value for name, value in session.options.items() if name != "history"}

        def job(events: Progress, cancel: Event) -> RepairResult:
            return repair(
                session.cache, progress=events.add, cancel=cancel, projects=session.projects, **options
            )

        self._begin(job, self._repaired, "Hashing and repairing.")

    def _repaired(self, result: RepairResult) -> None:
        self.found = None
        self.session.conclude(self.state, f"{result.summary()}.", "sc-hashed")

    def _cancel(self) -> None:
        self.cancel.disabled = True
        parts.say(self.state, "Stopping.")
        self.session.worker.cancel()

"""The tabs that look after the cache: what can be removed, and what is wrong.

Each plan of a removal is shown first, and carried out only when that is said once more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from threading import Event
from typing import Any

import ipywidgets as widgets
import pandas as pd

from spincache_nb import analysis
from spincache_nb.frames.tables import Frames, verify
from spincache_nb.show import Column, Table, count_text, escaped, more_text, rows, shorten, size_text
from spincache_nb.upkeep import (
    RemovalPlan,
    RemovalResult,
    RepairResult,
    plan_clear,
    plan_prune,
    plan_remove,
    repair,
)
from spincache_nb.widgets import parts
from spincache_nb.widgets.pulling import Bars
from spincache_nb.widgets.session import Session
from spincache_nb.widgets.worker import Outcome

ITEMS_SHOWN = 100

VERSIONS_SHOWN, VERSION_LETTERS = 12, 24

_GO = {"remove": "Yes, remove", "prune": "Yes, prune", "clear": "Yes, clear all"}
_WHOLE = {"description_width": "initial"}


class CleanTab:
    """What can be removed, the plan of the one that was asked for, and the question."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.plan: RemovalPlan | None = None
        self.old: list[str] = []

        button = session.button
        self.remove = button(
            "Remove selected", self.plan_removal, "Plan to remove the apps selected under Apps"
        )
        self.prune = button("Prune", self._prune, "Plan to remove what nothing needs")
        self.clear = button("Clear all", self._clear, "Plan to remove the whole cache")
        self.go = button("Yes", self._execute, "Do it", style="danger", wide=True)
        self.keep = button("Keep", self._keep, "Remove nothing").add_class("sc-keep")
        self.older = button(
            "Remove older", self._older, "Plan to remove all versions but the newest", wide=True
        )
        self.newest = widgets.BoundedIntText(
            value=1, min=1, max=10_000, description="Keep the newest", layout={"width": "200px"}, style=_WHOLE
        )
        self.frees = parts.line()
        self.chosen = parts.line(style="dim")
        self.minutes = widgets.BoundedFloatText(
            value=60.0,
            min=0.0,
            max=1e6,
            description="Keep files younger than (minutes)",
            layout={"width": "350px", "margin": "2px 2px 2px 16px"},
            style=_WHOLE,
        )
        self.state = parts.line()
        self.shown = widgets.HTML().add_class("sc-scroll")
        self.question = widgets.HTML().add_class("sc-ask")
        self.promise = parts.line(style="dim")
        self.ask = widgets.VBox([parts.row(self.question, self.keep, self.go), self.promise])

        def choice(button: Any, said: str, *more: Any) -> Any:
            return parts.row(button, parts.line(said, style="dim"), *more)

        choices = [
            choice(self.older, "all but the newest of each repository", self.newest, self.frees),
            choice(self.remove, "the apps selected under Apps, and what only they need", self.chosen),
            choice(self.prune, "what no app and no given project needs", self.minutes),
            choice(self.clear, "the whole cache; Spin fetches again what it needs"),
        ]
        self.box: Any = widgets.VBox([*choices, self.state, self.ask, self.shown])
        session.on_frames.append(self._count_older)
        session.on_busy.append(lambda is_busy: self._enable())
        self.newest.observe(session.guarded(self._newest_changed), names="value")
        session.on_selection.append(self._selection_changed)
        self.minutes.observe(lambda _change: self._withdraw("prune"), names="value")
        self._withdraw()
        self._selection_changed()

    def _enable(self) -> None:
        is_busy = self.session.worker.is_busy
        self.remove.disabled = is_busy or not self.session.selected
        for one in (self.prune, self.clear, self.go, self.keep):
            one.disabled = is_busy
        self.older.disabled = is_busy or not self.old

    def _selection_changed(self) -> None:
        parts.say(self.chosen, f"{len(self.session.selected)} selected", style="dim")
        self._withdraw("remove")
        self._enable()

    def plan_removal(self) -> None:
        self._begin(plan_remove, self.session.selected, projects=self.session.projects)

    def _count_older(self) -> None:
        """Say what keeping so many versions would free, as the number changes."""
        frames, keep = self.session.frames, self.newest.value
        if frames is not None:
            self.session.read("older", lambda: _older(frames, keep), self._take_older)

    def _newest_changed(self) -> None:
        self._withdraw("remove")
        self._count_older()

    def _take_older(self, found: tuple[list[str], int]) -> None:
        self.old, freed = found
        text = f"{count_text(len(self.old), 'app')} would go and free {size_text(freed)}"
        parts.say(self.frees, text if self.old else "no repository has more versions")
        self._enable()

    def _older(self) -> None:
        self._begin(plan_remove, self.old, projects=self.session.projects)

    def _prune(self) -> None:
        self._begin(plan_prune, projects=self.session.projects, grace_seconds=60 * self.minutes.value)

    def _clear(self) -> None:
        self._begin(plan_clear)

    def _begin(self, planning: Callable[..., RemovalPlan], *arguments: Any, **options: Any) -> None:
        session = self.session
        if not session.worker.is_busy:
            self._withdraw()
            job = partial(planning, session.cache, *arguments, **options)
            session.work(self.state, "Looking what would go.", lambda cancel: job(), self._planned)

    def _planned(self, outcome: Outcome[RemovalPlan]) -> None:
        plan = outcome.value
        if plan is None:
            parts.say(self.state, "Nothing was removed.")
            return
        files = f"<details><summary>The files</summary>{plan.html(most=ITEMS_SHOWN)}</details>"
        self.shown.value = by_repository(plan.references) + (files if plan.items else "")
        parts.say(self.state, "" if plan.items else "There is nothing to remove.")
        if plan.items:
            self.plan = plan
            self.question.value = f'<div role="status"><b>{escaped(question_text(plan))}</b></div>'
            self.go.description = _GO[plan.kind]
            parts.say(self.promise, plan.notice, style="dim")
            self.session.when_free(self._ask)

    def _ask(self) -> None:
        parts.shown(self.ask, self.plan is not None)
        self.session.focus("sc-keep")

    def _withdraw(self, kind: str | None = None) -> None:
        """Take the question back, of any kind or of one."""
        if kind is None or (self.plan is not None and self.plan.kind == kind):
            self.plan = None
            parts.shown(self.ask, False)
            self.shown.value = ""
            parts.say(self.state, "")

    def _keep(self) -> None:
        self._withdraw()
        parts.say(self.state, "Kept. Nothing was removed.")

    def _execute(self) -> None:
        plan = self.plan
        if plan is not None and not self.session.worker.is_busy:
            self._withdraw()
            self.session.work(self.state, "Removing.", lambda cancel: plan.execute(), self._executed)

    def _executed(self, outcome: Outcome[RemovalResult]) -> None:
        result = outcome.value
        if result is None:
            parts.say(self.state, "It was not carried out to the end.")
        else:
            self.shown.value = result._repr_html_() if result.skipped or result.failed else ""
            parts.say(self.state, f"Done: {result.summary().partition(': ')[2]}.")
        self.session.refresh()


def by_repository(references: Sequence[str]) -> str:
    """List apps by repository: the versions of each in one line."""
    versions: dict[str, list[tuple[str, str]]] = {}
    for reference in references:
        repository, _, version = reference.partition("@") if "@" in reference else reference.rpartition(":")
        versions.setdefault(repository, []).append((reference, version[:VERSION_LETTERS]))
    lines = []
    for repository, named in sorted(versions.items())[:ITEMS_SHOWN]:
        more = more_text(len(named), VERSIONS_SHOWN)
        said = ", ".join(parts.app_name(*one) for one in named[:VERSIONS_SHOWN])
        lines.append(f"<li><b>{escaped(repository)}</b>: {said} {escaped(more)}</li>")
    return f"<ul>{''.join(lines)}</ul>{more_text(len(versions), ITEMS_SHOWN)}" if versions else ""


def _older(frames: Frames, keep: int) -> tuple[list[str], int]:
    old = analysis.superseded_references(frames, keep=keep)
    return old, int(analysis.freed_by(frames, old)["stored_bytes"].sum()) if old else 0


def question_text(plan: RemovalPlan) -> str:
    apps = count_text(len(plan.references), "app")
    verb = {"remove": f"Remove {apps}", "prune": "Prune", "clear": "Clear the whole cache"}[plan.kind]
    return f"{verb}: {count_text(len(plan.items), 'item')}, {size_text(plan.freed_bytes)}?"


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
        session.on_frames.append(self._load)
        session.on_busy.append(lambda is_busy: self._enable())
        self._enable()

    @property
    def damaged(self) -> list[str]:
        return [] if self.found is None else [str(path) for path in self.found["path"].dropna()]

    def _enable(self) -> None:
        is_busy = self.session.worker.is_busy
        self.verify.disabled = self.repair.disabled = is_busy
        self.cancel.disabled = not self.session.is_busy_at(self.state)

    def _load(self) -> None:
        """Show the problems of the frames, and with them those that only hashing told, while they last."""
        frames = self.session.frames
        if frames is None:
            return
        problems = frames.need("problems")
        if self.found is not None:
            there = set(frames.need("disk")["path"])
            self.found = self.found[self.found["path"].isin(there)]
            both = [table for table in (problems, self.found) if len(table)] or [problems]
            problems = pd.concat(both, ignore_index=True).drop_duplicates(["path", "kind"], ignore_index=True)
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

    def _begin(self, job: Callable[..., Any], done: Callable[[Any], str], name: str, **options: Any) -> None:
        """Begin a job of the whole cache that tells how far it is; `done` says how it ended."""
        session = self.session
        if session.worker.is_busy:
            return
        self.bars.begin(name, "looking")

        def work(cancel: Event) -> Any:
            with self.bars.following(name) as progress:
                return job(
                    session.cache, progress=progress, cancel=cancel, projects=session.projects, **options
                )

        def finish(outcome: Outcome[Any]) -> None:
            self.bars.conclude(outcome, "done")
            if outcome.value is not None:
                said = done(outcome.value)
            else:
                said = "Stopped." if outcome.is_cancelled else "It did not come to its end."
            session.conclude(said, "sc-hashed")
            session.refresh()

        session.work(self.state, name, work, finish)

    def _verify(self) -> None:
        self._begin(verify, self._verified, "Hashing all files.")

    def _verified(self, found: pd.DataFrame) -> str:
        self.found = found
        return f"Hashed: {count_text(len(found), 'problem') if len(found) else 'no problem'}."

    def _repair(self) -> None:
        options = {name: value for name, value in self.session.options.items() if name != "history"}
        self._begin(repair, self._repaired, "Hashing and repairing.", **options)

    def _repaired(self, result: RepairResult) -> str:
        self.found = None
        return f"{result.summary()}."

    def _cancel(self) -> None:
        self.cancel.disabled = True
        parts.say(self.state, "Stopping.")
        self.session.worker.cancel()

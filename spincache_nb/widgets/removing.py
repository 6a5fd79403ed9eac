"""The tab that cleans up: each plan is shown first, and carried out only when that is said once more."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import ipywidgets as widgets

from spincache_nb import analysis
from spincache_nb.frames.bundle import Frames
from spincache_nb.show import count_text, escaped, more_text, size_text
from spincache_nb.upkeep import RemovalPlan, RemovalResult, plan_clear, plan_prune, plan_remove
from spincache_nb.widgets import parts
from spincache_nb.widgets.session import Session
from spincache_nb.widgets.worker import Outcome

ITEMS_SHOWN = 100

VERSIONS_SHOWN, VERSION_LETTERS = 12, 24

_GO = {"remove": "Yes, remove", "prune": "Yes, prune", "clear": "Yes, clear all"}
_MINUTE = 60.0
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
        session = self.session
        self._begin(partial(plan_remove, session.cache, session.selected, projects=session.projects))

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
        session = self.session
        self._begin(partial(plan_remove, session.cache, self.old, projects=session.projects))

    def _prune(self) -> None:
        session, grace = self.session, self.minutes.value * _MINUTE
        self._begin(partial(plan_prune, session.cache, projects=session.projects, grace_seconds=grace))

    def _clear(self) -> None:
        self._begin(partial(plan_clear, self.session.cache))

    def _begin(self, planning: Callable[[], RemovalPlan]) -> None:
        if not self.session.worker.is_busy:
            self._withdraw()
            parts.say(self.state, "Looking what would go.")
            self.session.work(lambda cancel: planning(), self._planned)

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
            parts.say(self.state, "Removing.")
            self.session.work(lambda cancel: plan.execute(), self._executed)

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

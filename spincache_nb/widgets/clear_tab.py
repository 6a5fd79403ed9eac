"""The tab that removes: each plan is shown first, and carried out only when that is said once more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ipywidgets as widgets

from spincache_nb.show import count_text, escaped, size_text
from spincache_nb.upkeep import RemovalPlan, RemovalResult, plan_clear, plan_prune, plan_remove
from spincache_nb.widgets import look
from spincache_nb.widgets.desk import Desk
from spincache_nb.widgets.work import Outcome

ITEMS_SHOWN = 100
"""Files that a plan lists."""

_GO = {"remove": "Yes, remove", "prune": "Yes, prune", "clear": "Yes, clear all"}
_MINUTE = 60.0


class ClearTab:
    """Three things that can be removed, the plan of the one that was asked for, and the question."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.plan: RemovalPlan | None = None
        self.remove = look.button(
            "Remove selected",
            desk.guarded(self.plan_removal),
            hint="Plan to remove the apps selected under Apps",
        )
        self.prune = look.button("Prune", desk.guarded(self._prune), hint="Plan to remove what nothing needs")
        self.clear = look.button(
            "Clear all", desk.guarded(self._clear), hint="Plan to remove the whole cache"
        )
        self.chosen = look.line(style="dim")
        self.minutes = widgets.BoundedFloatText(
            value=60.0,
            min=0.0,
            max=1e6,
            description="Keep files younger than (minutes)",
            layout={"width": "350px", "margin": "2px 2px 2px 16px"},
            style={"description_width": "initial"},
        )
        self.state = look.line()
        self.shown = widgets.HTML().add_class("sc-scroll")
        self.question = widgets.HTML().add_class("sc-ask")
        self.go = look.button("Yes", desk.guarded(self._execute), hint="Do it", style="danger", wide=True)
        self.keep = look.button("Keep", desk.guarded(self._keep), hint="Remove nothing")
        self.ask: Any = widgets.HBox([self.question, self.keep, self.go], layout={"align_items": "center"})
        self.box: Any = widgets.VBox(
            [
                _choice(self.remove, "the apps selected under Apps, and what only they need", self.chosen),
                _choice(self.prune, "what no app and no given project needs", self.minutes),
                _choice(self.clear, "the whole cache; Spin fetches again what it needs"),
                self.state,
                self.ask,
                self.shown,
            ]
        )
        desk.on_busy.append(lambda is_busy: self._enable())
        desk.on_selection.append(self._selection_changed)
        self.minutes.observe(lambda _change: self._withdraw("prune"), names="value")
        self._withdraw()
        self._selection_changed()

    def _enable(self) -> None:
        is_busy = self.desk.worker.is_busy
        self.remove.disabled = is_busy or not self.desk.selected
        for one in (self.prune, self.clear, self.go, self.keep):
            one.disabled = is_busy

    def _selection_changed(self) -> None:
        look.say(self.chosen, f"{len(self.desk.selected)} selected", style="dim")
        self._withdraw("remove")
        self._enable()

    # Planning --------------------------------------------------------------------------------

    def plan_removal(self) -> None:
        """Plan to remove the apps that are selected."""
        cache, chosen, projects = self.desk.cache, self.desk.selected, self.desk.projects
        self._begin(lambda: plan_remove(cache, chosen, projects=projects))

    def _prune(self) -> None:
        cache, projects, grace = self.desk.cache, self.desk.projects, self.minutes.value * _MINUTE
        self._begin(lambda: plan_prune(cache, projects=projects, grace_seconds=grace))

    def _clear(self) -> None:
        self._begin(lambda: plan_clear(self.desk.cache))

    def _begin(self, planning: Callable[[], RemovalPlan]) -> None:
        if not self.desk.worker.is_busy:
            self._withdraw()
            look.say(self.state, "Looking what would go.")
            self.desk.work(lambda cancel: planning(), self._planned)

    def _planned(self, outcome: Outcome[RemovalPlan]) -> None:
        plan = outcome.value
        if plan is None:
            look.say(self.state, "Nothing was removed.")
            return
        self.shown.value = plan.html(most=ITEMS_SHOWN)
        if not plan.items:
            look.say(self.state, "There is nothing to remove.")
            return
        look.say(self.state, "")
        self.plan = plan
        self.question.value = f'<div role="status"><b>{escaped(question_text(plan))}</b></div>'
        self.go.description = _GO[plan.kind]
        self.desk.when_free(lambda: look.shown(self.ask, self.plan is not None))

    # Answering -------------------------------------------------------------------------------

    def _withdraw(self, kind: str | None = None) -> None:
        """Take the question back, of any kind or of one."""
        if kind is None or (self.plan is not None and self.plan.kind == kind):
            self.plan = None
            look.shown(self.ask, False)
            self.shown.value = ""
            look.say(self.state, "")

    def _keep(self) -> None:
        self._withdraw()
        look.say(self.state, "Kept. Nothing was removed.")

    def _execute(self) -> None:
        plan = self.plan
        if plan is not None and not self.desk.worker.is_busy:
            self._withdraw()
            look.say(self.state, "Removing.")
            self.desk.work(lambda cancel: plan.execute(), self._executed)

    def _executed(self, outcome: Outcome[RemovalResult]) -> None:
        result = outcome.value
        if result is None:
            look.say(self.state, "It was not carried out to the end.")
        else:
            left = result.skipped or result.failed
            self.shown.value = result._repr_html_() if left else ""
            look.say(self.state, f"Done: {result.summary().partition(': ')[2]}.")
        self.desk.refresh()


def question_text(plan: RemovalPlan) -> str:
    """Ask whether a plan is to be carried out."""
    apps = count_text(len(plan.references), "app")
    verb = {"remove": f"Remove {apps}", "prune": "Prune", "clear": "Clear the whole cache"}[plan.kind]
    return f"{verb}: {count_text(len(plan.items), 'item')}, {size_text(plan.freed_bytes)}?"


def _choice(button: Any, text: str, *more: Any) -> Any:
    said = widgets.HTML(f'<span class="sc-dim">{escaped(text)}</span>')
    return widgets.HBox([button, said, *more], layout={"align_items": "center"})

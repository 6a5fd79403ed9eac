"""The tab with the apps, and what removing some of them would free."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ipywidgets as widgets

from spincache_nb import analysis
from spincache_nb.analysis.inputs import Frames
from spincache_nb.show import count_text, size_text
from spincache_nb.widgets import look
from spincache_nb.widgets.desk import Desk
from spincache_nb.widgets.listing import AppList, apps_of
from spincache_nb.widgets.table import AppTable

_NONE = "Select apps to see what removing them frees."


class AppsTab:
    """The list of apps, the figure for those that are chosen, and the way to remove them."""

    def __init__(self, desk: Desk, on_remove: Callable[[], object]) -> None:
        self.desk = desk
        self.apps = AppList()
        self.table = AppTable(self.apps, desk.guarded(self._chosen))
        self.freed = look.line(_NONE)
        self.remove = look.button(
            "Remove selected\u2026",
            desk.guarded(on_remove),
            hint="Show what would go, then ask",
            wide=True,
        )
        self.refresh = look.button("Refresh", desk.guarded(desk.refresh), hint="Read the cache again")
        below = widgets.HBox([self.remove, self.refresh, self.freed], layout={"align_items": "center"})
        self.box: Any = widgets.VBox([self.table.box, below])
        desk.on_frames.append(self._load)
        desk.on_busy.append(lambda is_busy: self._enable())
        self._enable()

    def _enable(self) -> None:
        self.remove.disabled = self.desk.worker.is_busy or not self.apps.selected

    def _load(self) -> None:
        if self.desk.frames is not None:
            self.apps.replace(apps_of(self.desk.frames))
            self.table.show()
            self._chosen()

    def _chosen(self) -> None:
        chosen = sorted(self.apps.selected)
        self.desk.select(chosen)
        self._enable()
        if not chosen or self.desk.frames is None:
            look.say(self.freed, _NONE)
            self.desk.read("freed", str, lambda _text: None)
            return
        frames = self.desk.frames
        look.say(self.freed, f"{count_text(len(chosen), 'app')} selected: counting.")
        self.desk.read("freed", lambda: freed_text(frames, chosen), lambda text: look.say(self.freed, text))


def freed_text(frames: Frames, references: list[str]) -> str:
    """Say what removing apps frees, and what of them stays."""
    freed = int(analysis.freed_by(frames, references)["stored_bytes"].sum())
    return f"{count_text(len(references), 'app')} selected: removing frees {size_text(freed)}."

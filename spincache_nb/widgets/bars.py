"""Bars of a pull: one over everything, and one for each blob that is on its way."""

from __future__ import annotations

from typing import Any

import ipywidgets as widgets

from spincache_nb.show import escaped, short_digest, size_text
from spincache_nb.widgets import look
from spincache_nb.widgets.tally import Running, Snapshot
from spincache_nb.widgets.words import progress_text

MOST_BARS = 8
"""Blobs that get a bar of their own; of more it is said how many there are."""


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
        """Set all three."""
        self.name.value = f'<span title="{escaped(name)}">{escaped(name)}</span>'
        self.bar.value = round(share, 3)
        self.text.value = escaped(text)


class Bars:
    """All bars, hidden until something is begun."""

    def __init__(self) -> None:
        self.overall = Bar()
        self._slots = [Bar(small=True) for _ in range(MOST_BARS)]
        self._taken: list[str | None] = [None] * MOST_BARS
        self._others = look.line(style="dim")
        self.box: Any = widgets.VBox(
            [self.overall.box, *(slot.box for slot in self._slots), self._others], layout={"margin": "4px 0"}
        )
        self.hide()

    def hide(self) -> None:
        """Show none."""
        look.shown(self.box, False)
        self._show_running(())

    def begin(self, name: str) -> None:
        """Show the bar over everything, empty."""
        self.overall.bar.bar_style = "info"
        self.overall.show(name, 0.0, "asking for the manifest")
        self._show_running(())
        look.shown(self.box, True)

    def show(self, name: str, snapshot: Snapshot) -> None:
        """Show how far a pull is."""
        if not snapshot.planned:
            return
        text = progress_text(snapshot.done, snapshot.total, snapshot.speed, snapshot.seconds_left)
        self.overall.show(name, snapshot.share, text if snapshot.total else "nothing to fetch")
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
        for place, slot in enumerate(self._slots):
            if self._taken[place] is None and waiting:
                self._taken[place] = waiting.pop(0)
            digest = self._taken[place]
            if digest is not None:
                _show_one(slot, by_digest[digest])
            look.shown(slot.box, digest is not None)
        look.say(self._others, f"and {len(waiting)} more at the same time" if waiting else "", style="dim")


def _show_one(slot: Bar, one: Running) -> None:
    total = max(one.total, one.done)
    text = f"{size_text(one.done)} of {size_text(one.total)}" if one.total else size_text(one.done)
    slot.show(f"{short_digest(one.digest)} {one.reference}", one.done / total if one.total else 0.0, text)

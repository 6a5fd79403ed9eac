"""The tab with the plots."""

from __future__ import annotations

from typing import Any

import ipywidgets as widgets

from spincache_nb.widgets import look
from spincache_nb.widgets.desk import Desk
from spincache_nb.widgets.pictures import Picture, pictures_of, summary_text

_EMPTY = "There are no apps in the cache."


class SharingTab:
    """A choice of plots and the one that is chosen, drawn anew when the cache was read anew."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.summary = look.line()
        self.choice = widgets.Dropdown(
            description="Plot", layout={"width": "560px"}, style={"description_width": "44px"}
        )
        self.refresh = look.button("Refresh", desk.guarded(desk.refresh), hint="Read the cache again")
        self.picture = widgets.HTML()
        self.state = look.line(style="dim")
        above = widgets.HBox([self.choice, self.refresh, self.state], layout={"align_items": "center"})
        self.box: Any = widgets.VBox([above, self.summary, self.picture])
        self._pictures: list[Picture] = []
        self._is_looked_at = self._is_stale = self._is_loading = False
        self._text = ""
        self.choice.observe(lambda _change: desk.guarded(self._chosen)(), names="index")
        desk.on_frames.append(self._load)

    def look(self, *, is_looked_at: bool) -> None:
        """Say whether the tab is in sight: nothing is drawn for nobody."""
        self._is_looked_at = is_looked_at
        if is_looked_at and self._is_stale:
            self._draw()

    def _load(self) -> None:
        frames = self.desk.frames
        if frames is None:
            return
        before = self.choice.value
        self._pictures = pictures_of(frames)
        titles = [picture.title for picture in self._pictures]
        self._is_loading = True
        self.choice.options = titles
        if titles:
            self.choice.value = before if before in titles else titles[0]
        self.choice.disabled = not titles
        self._is_loading = False
        self._text = summary_text(frames) if titles else _EMPTY
        look.say(self.summary, self._text)
        self._chosen()

    def _chosen(self) -> None:
        if self._is_loading:
            return
        self._is_stale = True
        if self._is_looked_at:
            self._draw()

    def _draw(self) -> None:
        self._is_stale = False
        place = self.choice.index
        if place is None or not self._pictures:
            self.picture.value = ""
            return
        picture, text = self._pictures[place], self._text
        look.say(self.state, "Drawing.", style="dim")
        self.desk.alerts.forget(self.desk.alerts.tab)
        self.desk.read("picture", lambda: self._html(picture, text), self._show)

    def _html(self, picture: Picture, text: str) -> str:
        try:
            return picture.html(text)
        except Exception:
            self._show("")
            raise

    def _show(self, html: str) -> None:
        self.picture.value = html
        look.say(self.state, "")

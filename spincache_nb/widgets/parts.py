"""What the panel is made of: its style, and widgets with names that a screen reader can say."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anywidget
import ipywidgets as widgets

from spincache_nb.show import escaped

PANEL_CLASS = "spincache-panel"
LABEL_WIDTH = "88px"

DARK = f'[data-jp-theme-light="false"] .{PANEL_CLASS}'
"""Selects a panel where JupyterLab's or Voila's theme is dark."""


def style() -> Any:
    sheet = Path(__file__).with_name("panel.css").read_text(encoding="utf-8")
    return widgets.HTML(f"<style>{sheet}</style>")


def button(
    name: str, on_click: Callable[[], object], *, hint: str, style: str = "", wide: bool = False
) -> Any:
    """Make a button; without an icon, whose character would become part of its name."""
    layout = {"width": "auto" if wide else "132px"}
    made = widgets.Button(description=name, tooltip=hint, button_style=style, layout=layout)
    made.on_click(lambda _button: on_click())
    return made


def line(text: str = "", *, style: str = "") -> Any:
    place = widgets.HTML().add_class("sc-line")
    say(place, text, style=style)
    return place


def say(place: Any, text: str, *, style: str = "", role: str = "status") -> None:
    """Show text, escaped, where a screen reader hears of it."""
    names = " ".join(f"sc-{name}" for name in style.split())
    place.value = f'<div role="{role}" class="{names}">{escaped(text)}</div>' if text else ""


def shown(widget: Any, visible: bool) -> None:
    """Show a widget or take it out of sight (and out of reach of the keyboard)."""
    widget.layout.display = None if visible else "none"


def heading(what: str, said: str, path: str = "") -> str:
    """The line above the tabs: what is looked at, what is in it, and where it is."""
    code = f"<code>{escaped(path)}</code>" if path else ""
    return f'<div class="sc-head"><b>{what}</b><span role="status">{escaped(said)}</span>{code}</div>'


def app_name(reference: str, text: str = "", *, action: str = "open") -> str:
    """Make a name of an app that opens it when it is clicked, or does something else with it."""
    hint = f"{action.capitalize()} {reference}"
    attributes = {"data-do": action, "data-app": reference, "title": hint, "aria-label": hint if text else ""}
    said = "".join(f' {name}="{escaped(value)}"' for name, value in attributes.items() if value)
    return f'<button class="sc-app"{said}>{escaped(text or reference)}</button>'


class Page(anywidget.AnyWidget):
    """What the page does for a panel: says which app was clicked, and where the focus goes."""

    _esm = Path(__file__).with_name("page.js")

    def __init__(self, heard: Callable[[str, str], object]) -> None:
        super().__init__()
        self._heard_by = heard
        self.on_msg(self._heard)

    def _heard(self, _widget: object, content: Any, _buffers: object) -> None:
        if isinstance(content, dict):
            self._heard_by(str(content.get("do", "")), str(content.get("app", "")))

    def focus_on(self, name: str) -> None:
        """Let the focus go on to what has a class, if it is in this panel now."""
        self.send({"focus": name})


def row(*children: Any) -> Any:
    return widgets.HBox(children, layout={"align_items": "center"})


def with_picture(bundle: Any, draw: Callable[[], bytes | None]) -> Any:
    """Add a static picture to what a widget shows, for places where no widget can live."""
    data = bundle[0] if isinstance(bundle, tuple) else bundle
    picture = draw() if data else None
    if picture is None:
        return bundle
    found = {**data, "image/png": picture}
    return (found, *bundle[1:]) if isinstance(bundle, tuple) else found

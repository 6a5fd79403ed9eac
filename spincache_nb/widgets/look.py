"""What the panel is made of: its style, and widgets with names that a screen reader can say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ipywidgets as widgets

from spincache_nb.show import escaped

PANEL_CLASS = "spincache-panel"
LABEL_WIDTH = "88px"

DARK = f'[data-jp-theme-light="false"] .{PANEL_CLASS}'
"""Selects a panel where JupyterLab's or Voila's theme is dark."""

STYLE = """<style>
.spincache-panel { --sc-line: var(--jp-border-color2, #d0d0d0); --sc-dim: var(--jp-ui-font-color2, #616161);
  --sc-ground: var(--jp-layout-color2, #f4f4f4); --sc-ink: var(--jp-ui-font-color1, #212121);
  max-width: 1040px; color: var(--sc-ink); }
.spincache-panel .widget-html-content, .spincache-panel .widget-html > .widget-html-content {
  line-height: 1.45; white-space: normal; overflow-wrap: anywhere; }
.spincache-panel .sc-head { display: flex; flex-wrap: wrap; gap: 2px 14px; align-items: baseline;
  padding: 2px 0 6px 0; }
.spincache-panel .sc-head code { background: transparent; color: var(--sc-dim); }
.spincache-panel .sc-dim { color: var(--sc-dim); }
.spincache-panel .sc-wrong { color: #a31515;
  color: color-mix(in srgb, var(--jp-error-color1, #d32f2f) 65%, var(--sc-ink)); }
.spincache-panel .sc-alert { border: 1px solid var(--jp-error-color1, #d32f2f); border-left-width: 5px;
  border-radius: 3px; padding: 6px 10px; margin: 0 0 6px 0; background: var(--jp-layout-color1, #fff); }
.spincache-panel .sc-warn { border-color: var(--jp-warn-color1, #ef6c00); }
.spincache-panel table { border-collapse: collapse; font-size: 12px; margin: 4px 0; }
.spincache-panel th, .spincache-panel td { padding: 3px 14px 3px 0; border-bottom: 1px solid var(--sc-line);
  vertical-align: top; }
.spincache-panel td:last-child, .spincache-panel th:last-child { padding-right: 4px; }
.spincache-panel td:first-child { white-space: nowrap; }
.spincache-panel td:nth-child(n+4):last-child { min-width: 150px; overflow-wrap: break-word; }
.spincache-panel .widget-hbox > .widget-html { margin-left: 10px; }
.spincache-panel .widget-hbox.sc-row > .widget-html, .spincache-panel .widget-hbox.sc-bar > .widget-html {
  margin-left: 0; }
.spincache-panel .widget-html.sc-line { margin: 0 2px; }
.spincache-panel .widget-button { flex-shrink: 0; }
.spincache-panel .widget-hbox:not(.sc-row, .sc-bar) { flex-wrap: wrap; }
.spincache-panel .widget-hbox > .widget-html.sc-line { margin-left: 12px; }
.spincache-panel .widget-hbox > .widget-html.sc-ask { margin: 8px 12px 8px 2px; }
.spincache-panel td code { white-space: nowrap; background: transparent; }
.spincache-panel .spincache-value { margin: 2px 0 12px 0; }
.spincache-panel .spincache-value p { margin: 4px 0; color: var(--sc-dim); }
.spincache-panel .sc-scroll { overflow: auto; max-height: 420px; }
.spincache-panel .sc-table { overflow-x: auto; border: 1px solid var(--sc-line); border-radius: 3px; }
.spincache-panel .widget-hbox.sc-row { display: grid; align-items: center; min-width: 700px;
  grid-template-columns: minmax(260px, 1fr) repeat(3, 104px) 146px; column-gap: 8px; padding: 0 10px;
  overflow: visible; }
.spincache-panel .sc-row > * { width: auto; margin: 0; min-width: 0; }
.spincache-panel .sc-row.sc-body { border-top: 1px solid var(--sc-line); min-height: 30px; }
.spincache-panel .sc-row.sc-body:hover { background: var(--sc-ground); }
.spincache-panel .sc-row.sc-chosen, .spincache-panel .sc-row.sc-chosen:hover {
  background: rgba(33, 150, 243, 0.24); }
.spincache-panel .sc-row .sc-cells { grid-column: span 4; }
.spincache-panel .sc-cells .sc-grid { display: grid; grid-template-columns: repeat(3, 104px) 146px;
  column-gap: 8px; font-variant-numeric: tabular-nums; }
.spincache-panel .sc-grid span { text-align: right; }
.spincache-panel .sc-row .widget-checkbox label { display: flex; align-items: center; width: 100%;
  justify-content: flex-start; cursor: pointer; }
.spincache-panel .sc-row .widget-checkbox input { flex: 0 0 auto; width: auto; margin: 0 9px 0 0; }
.spincache-panel .sc-row .widget-checkbox span { flex: 1 1 auto; text-align: left; overflow: hidden;
  text-overflow: ellipsis; white-space: nowrap; }
.spincache-panel .sc-header { background: var(--sc-ground); }
.spincache-panel .sc-header button { background: transparent; font-weight: 600; text-align: right;
  padding: 0; box-shadow: none; }
.spincache-panel .sc-header button:first-child { text-align: left; }
.spincache-panel .sc-header button:focus-visible { outline: 2px solid var(--jp-brand-color1, #1976d2); }
.spincache-panel .widget-hbox.sc-bar { display: grid; align-items: center; column-gap: 14px;
  grid-template-columns: 290px minmax(120px, 1fr) 290px; overflow: visible; padding-left: 2px; }
.spincache-panel .sc-bar > * { width: auto; margin: 1px 0; min-width: 0; }
.spincache-panel .sc-bar .sc-name .widget-html-content { overflow: hidden; text-overflow: ellipsis;
  white-space: nowrap; }
.spincache-panel .sc-small .widget-html-content { font-size: 12px; }
.spincache-panel .sc-bar .widget-hprogress { height: 20px; }
.spincache-panel .sc-small .widget-hprogress { height: 12px; }
.spincache-panel .sc-bar .progress { height: 100%; margin: 0; }
@media (max-width: 820px) {
  .spincache-panel .widget-hbox.sc-bar { grid-template-columns: minmax(0, 1fr) minmax(0, 1fr); row-gap: 0; }
  .spincache-panel .sc-bar > .sc-name { grid-column: 1 / -1; }
}
[data-jp-theme-light="false"] .spincache-panel { --jp-widgets-dropdown-arrow: url("data:image/svg+xml,\
%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 18 18'%3E%3Cpath fill='none' stroke='%23e0e0e0' \
stroke-width='2' d='M5 7l4 4 4-4'/%3E%3C/svg%3E"); }
.spincache-panel figure { margin: 6px 0; }
.spincache-panel figure svg { display: block; max-width: 100%; height: auto; }
.spincache-panel figcaption { color: var(--sc-dim); }
</style>"""


def button(
    name: str,
    on_click: Callable[[], object],
    *,
    hint: str,
    style: str = "",
    wide: bool = False,
) -> Any:
    """Make a button; without an icon, whose character would become part of its name."""
    layout = {"width": "auto" if wide else "132px"}
    made = widgets.Button(description=name, tooltip=hint, button_style=style, layout=layout)
    made.on_click(lambda _button: on_click())
    return made


def line(text: str = "", *, style: str = "") -> Any:
    """Make a place for one line of text; see `say`."""
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

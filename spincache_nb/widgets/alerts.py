"""Faults and warnings, tab by tab: what went wrong in one tab does not stand above another."""

from __future__ import annotations

from dataclasses import dataclass

from spincache_nb.widgets import look

EVERYWHERE = -1
"""In place of a tab: what concerns all of them, such as a cache that cannot be read."""


@dataclass(frozen=True, slots=True)
class _Said:
    text: str
    is_fault: bool


class Alerts:
    """One place above the tabs, which shows what belongs to the tab in sight."""

    def __init__(self) -> None:
        self.line = look.line()
        self.tab = 0
        self._said: dict[int, _Said] = {}

    def fail(self, text: str, tab: int) -> None:
        """Show a fault of a tab, or of `EVERYWHERE`."""
        self._said[tab] = _Said(text, is_fault=True)
        self._show(self._said[tab])

    def warn(self, text: str, tab: int) -> None:
        """Show a warning of a tab, unless a fault of it is known; it hides no fault."""
        known = self._said.get(tab)
        if known is None or not known.is_fault:
            self._said[tab] = _Said(text, is_fault=False)
            self._show(self._first() or self._said[tab])

    def forget(self, tab: int) -> None:
        """Show nothing of a tab any more."""
        if self._said.pop(tab, None) is not None:
            self._show(self._first())

    def turn(self, tab: int) -> None:
        """Show what belongs to another tab from now on."""
        self.tab = tab
        self._show(self._first())

    def _first(self) -> _Said | None:
        """What is to be shown in this tab: faults first."""
        here = [self._said[tab] for tab in (self.tab, EVERYWHERE) if tab in self._said]
        return next((one for one in here if one.is_fault), here[0] if here else None)

    def _show(self, one: _Said | None) -> None:
        if one is None:
            look.say(self.line, "")
        else:
            look.say(self.line, one.text, style="alert" if one.is_fault else "alert warn", role="alert")

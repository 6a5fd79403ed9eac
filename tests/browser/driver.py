"""The panel as a person finds it on a page: by labels and names."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.support.jupyter import screenshot

if TYPE_CHECKING:
    from playwright.sync_api import Page

CELL = """\
import spincache_nb as sc
from spincache_nb.core.journal import History
cache = sc.Cache({folder!r}, history=History({history!r}, enabled=True))
panel = sc.widgets.panel(cache)
panel"""


def source(folder):
    """Code of a cell that shows a panel over a cache in a folder."""
    return CELL.format(folder=str(folder), history=str(folder / "history.jsonl"))


@dataclass
class Driver:
    """Drives the panel on a page; ``name`` begins the names of its pictures."""

    page: Page
    name: str

    @property
    def panel(self):
        """The panel."""
        return self.page.locator(".spincache-panel")

    def wait_open(self):
        """Wait until the panel is there and has read the cache; turn to the tab that pulls."""
        self.panel.locator(".sc-figure").first.wait_for()
        self.head("on disk")
        self.tab("Pull")

    def head(self, text):
        """Wait until the head of the panel says something."""
        self.panel.locator(".sc-head").get_by_text(re.compile(re.escape(text))).wait_for()

    def tab(self, name):
        """Turn to a tab."""
        self.panel.get_by_role("tab", name=name, exact=True).click()

    def button(self, name):
        """A button by its whole name."""
        return self.panel.get_by_role("button", name=name, exact=True)

    def click(self, name):
        """Click a button, once it can be."""
        self.button(name).click()

    def want(self, text):
        """Type what is wanted."""
        self.panel.get_by_label("Reference").fill(text)

    def says(self, text):
        """Wait until the panel says something; give the place."""
        place = self.panel.get_by_text(re.compile(text)).filter(visible=True).first
        place.wait_for()
        return place

    def shares(self):
        """How full each bar in sight is, from 0 to 1; the one over everything comes first."""
        bars = self.panel.locator(".sc-bar:visible .progress-bar").all()
        widths = [re.search(r"width:\s*([\d.]+)%", bar.get_attribute("style") or "") for bar in bars]
        return [float(width[1]) / 100 if width else 0.0 for width in widths]

    def picture(self, what):
        """Keep a picture."""
        screenshot(self.page, f"{self.name}-{what}")

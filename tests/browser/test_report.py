"""The report as a browser sees it, with the network off."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from spincache_nb import report
from spincache_nb.core.cache import Cache
from tests.plots.samples import cache_of, history_of
from tests.report.hostile_cache import hostile_cache

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.browser, pytest.mark.slow]


class Visit:
    """A page opened from a file: what it asked for, and what it complained of."""

    def __init__(self, page: Page, path: Path) -> None:
        self.page = page
        self.asked: list[str] = []
        self.complaints: list[str] = []
        page.on("request", lambda request: self.asked.append(request.url))
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("dialog", lambda dialog: self.complaints.append(dialog.message))
        page.goto(path.as_uri())
        self.outside = [url for url in self.asked[1:] if not url.startswith("data:")]


@pytest.fixture
def offline(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(offline=True, viewport={"width": 1200, "height": 900})
    yield context.new_page()
    context.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    hostile: Cache = hostile_cache(folder / "hostile")
    return {
        "hostile": report.write(
            hostile, folder / "hostile.html", inside=True, title="<script>alert(1)</script>"
        ),
        "twelve": report.write(cache_of(12).frames(), folder / "twelve.html", history=history_of(12)),
        "empty": report.write(Cache(folder / "none"), folder / "empty.html"),
    }


@pytest.mark.parametrize("name", ["hostile", "twelve", "empty"])
def test_report_asks_for_nothing_and_complains_of_nothing(
    name: str, pages: dict[str, Path], offline: Page
) -> None:
    visit = Visit(offline, pages[name])
    assert visit.outside == []
    assert visit.complaints == []
    assert offline.evaluate("document.scripts.length") == 0
    assert offline.evaluate("document.querySelectorAll('svg[aria-label]').length") == offline.evaluate(
        "document.querySelectorAll('figure').length"
    )


@pytest.mark.parametrize("width", [360, 800, 1200])
@pytest.mark.parametrize("name", ["hostile", "twelve"])
def test_report_is_no_wider_than_the_window(
    name: str, width: int, pages: dict[str, Path], offline: Page
) -> None:
    offline.set_viewport_size({"width": width, "height": 800})
    Visit(offline, pages[name])
    assert offline.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("name", ["hostile", "twelve"])
def test_report_on_a_narrow_screen_keeps_plots_legible_and_lets_keys_scroll_them(
    name: str, pages: dict[str, Path], offline: Page
) -> None:
    offline.set_viewport_size({"width": 360, "height": 800})
    Visit(offline, pages[name])
    assert offline.evaluate("document.querySelector('figure svg').getBoundingClientRect().width") > 500
    script = """() => [...document.querySelectorAll('*')].filter(
        (one) => one.scrollWidth > one.clientWidth && getComputedStyle(one).overflowX === 'auto'
            && !(one.tabIndex === 0 && one.getAttribute('aria-label'))
    ).length"""
    assert offline.evaluate(script) == 0


def test_report_follows_light_and_dark(pages: dict[str, Path], offline: Page) -> None:
    def colours() -> list[str]:
        script = """() => [
            getComputedStyle(document.querySelector('section')).backgroundColor,
            getComputedStyle(document.querySelector('section')).color,
            getComputedStyle(document.querySelector('figure svg path')).fill,
        ]"""
        found: list[str] = offline.evaluate(script)
        return found

    offline.emulate_media(color_scheme="light")
    Visit(offline, pages["twelve"])
    light = colours()
    offline.emulate_media(color_scheme="dark")
    dark = colours()
    assert light[0] == light[2] == "rgb(254, 254, 254)"
    assert dark[0] == dark[2] == "rgb(23, 28, 35)"
    assert light[1] == "rgb(28, 36, 48)"
    assert dark[1] == "rgb(228, 233, 239)"
    offline.emulate_media(color_scheme="dark", media="print")
    assert colours()[2] == "rgb(254, 254, 254)"


def test_report_prints(pages: dict[str, Path], offline: Page) -> None:
    Visit(offline, pages["twelve"])
    printed = offline.pdf(format="A4")
    assert printed.startswith(b"%PDF")
    assert 3 <= printed.count(b"/Type /Page\n") + printed.count(b"/Type /Page ") <= 20


def test_report_of_many_apps_prints_names_whole_and_plots_no_taller_than_a_page(
    tmp_path: Path, offline: Page
) -> None:
    Visit(offline, report.write(cache_of(200).frames(), tmp_path / "many.html"))
    offline.set_viewport_size({"width": 703, "height": 1017})  # A4 without its margins, at 96 dots an inch
    offline.emulate_media(media="print")
    heights = "all => Math.max(...all.map(one => one.getBoundingClientRect().height))"
    rows = offline.locator("#apps tbody tr")
    assert rows.count() == 200
    assert rows.evaluate_all(heights) < 30, "no name is broken into several lines"
    assert 600 < offline.locator("figure svg").evaluate_all(heights) < 800
    assert offline.evaluate("document.documentElement.scrollWidth") <= 703

"""The report as a browser sees it, with the network off."""

import pytest

from spincache_nb import report
from spincache_nb.core.cache import Cache
from tests.plots.samples import cache_of, history_of
from tests.report.hostile_cache import hostile_cache

pytestmark = [pytest.mark.browser, pytest.mark.slow]


class Visit:
    """A page opened from a file: what it asked for, and what it complained of."""

    def __init__(self, page, path):
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
def offline(browser):
    context = browser.new_context(offline=True, viewport={"width": 1200, "height": 900})
    yield context.new_page()
    context.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
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
def test_report_asks_for_nothing_and_complains_of_nothing(name, pages, offline):
    visit = Visit(offline, pages[name])
    assert visit.outside == []
    assert visit.complaints == []
    assert offline.evaluate("document.scripts.length") == 2
    assert offline.evaluate("document.querySelectorAll('svg rect').length") == offline.evaluate(
        "document.querySelectorAll('svg rect:is(:has(title), g:has(title) > *, .legend *)').length"
    )


def test_report_sorts_filters_and_opens(pages, offline):
    Visit(offline, pages["twelve"])
    listing = offline.locator("#sharing .listing")
    sizes = listing.locator("tbody").first.locator("td:nth-child(3)")
    hidden = listing.locator("details tbody tr").first
    assert not hidden.is_visible()
    before = sizes.evaluate_all("all => all.map(one => Number(one.dataset.v))")
    listing.get_by_role("button", name="Size").first.click()
    after = sizes.evaluate_all("all => all.map(one => Number(one.dataset.v))")
    assert after == sorted(after, reverse=True)
    assert len(before) == len(after)
    listing.get_by_role("searchbox").fill("component")
    assert hidden.is_hidden() or "component" in hidden.inner_text().lower()
    assert " of " in listing.locator("output").inner_text()
    offline.locator("#disk tbody a").first.click()
    target = offline.locator("tr:target")
    assert target.is_visible()
    assert target.get_attribute("id") == offline.evaluate("location.hash.slice(1)")


@pytest.mark.parametrize("width", [360, 800, 1200])
@pytest.mark.parametrize("name", ["hostile", "twelve"])
def test_report_is_no_wider_than_the_window(name, width, pages, offline):
    offline.set_viewport_size({"width": width, "height": 800})
    Visit(offline, pages[name])
    assert offline.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("name", ["hostile", "twelve"])
def test_report_on_a_narrow_screen_keeps_plots_legible_and_lets_keys_scroll_them(name, pages, offline):
    offline.set_viewport_size({"width": 360, "height": 800})
    Visit(offline, pages[name])
    assert offline.evaluate("document.querySelector('figure svg').getBoundingClientRect().width") > 330
    script = """() => [...document.querySelectorAll('*')].filter(
        (one) => one.scrollWidth > one.clientWidth && getComputedStyle(one).overflowX === 'auto'
            && !(one.tabIndex === 0 && one.getAttribute('aria-label'))
    ).length"""
    assert offline.evaluate(script) == 0


def test_report_follows_light_and_dark(pages, offline):
    def colours():
        script = """() => [
            getComputedStyle(document.querySelector('section')).backgroundColor,
            getComputedStyle(document.querySelector('section')).color,
            getComputedStyle(document.querySelector('#disk td.bar rect')).fill,
        ]"""
        found: list[str] = offline.evaluate(script)
        return found

    offline.emulate_media(color_scheme="light")
    Visit(offline, pages["twelve"])
    light = colours()
    offline.emulate_media(color_scheme="dark")
    dark = colours()
    assert light[0] == "rgb(254, 254, 254)"
    assert dark[0] == "rgb(23, 28, 35)"
    assert light[2] != dark[2]
    assert light[1] == "rgb(28, 36, 48)"
    assert dark[1] == "rgb(228, 233, 239)"
    offline.emulate_media(color_scheme="dark", media="print")
    assert colours()[2] == light[2]


def test_report_prints(pages, offline):
    Visit(offline, pages["twelve"])
    printed = offline.pdf(format="A4")
    assert printed.startswith(b"%PDF")
    assert 2 <= printed.count(b"/Type /Page\n") + printed.count(b"/Type /Page ") <= 20


def test_report_of_many_apps_prints_on_few_pages(tmp_path, offline):
    Visit(offline, report.write(cache_of(300).lay_out(tmp_path), tmp_path / "many.html"))
    offline.set_viewport_size({"width": 703, "height": 1017})  # A4 without its margins, at 96 dots an inch
    printed = offline.pdf(format="A4")
    assert printed.count(b"/Type /Page\n") + printed.count(b"/Type /Page ") <= 8
    offline.emulate_media(media="print")
    assert offline.evaluate("document.documentElement.scrollWidth") <= 703
    assert offline.locator("#apps tbody tr").count() == 300
    assert offline.locator("#apps tbody tr:visible").count() == 15

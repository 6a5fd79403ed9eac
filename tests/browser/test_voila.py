"""The panel as a dashboard: Voila in a real browser, each thing a person does with it."""

from collections.abc import Callable

import pytest

from spincache_nb import Cache, demo, pull
from spincache_nb.core.journal import History
from tests.browser.driver import Driver, source
from tests.support import jupyter
from tests.support.artifacts import Component, new_style, wasm_module
from tests.support.faults import Drip

pytestmark = [pytest.mark.browser, pytest.mark.slow]

Open = Callable[[str], tuple[Driver, Cache]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("voila")


@pytest.fixture(scope="module")
def address(folder):
    (folder / "notebooks").mkdir()
    with jupyter.running_voila(folder / "notebooks", folder / "home") as found:
        yield found


@pytest.fixture(scope="module")
def registry():
    with demo.registry() as found:
        yield found


@pytest.fixture
def open_panel(folder, address, page):
    """Open a panel over a cache of its own, filled with what is named."""

    def open_one(name, *references):
        place = folder / name
        place.mkdir()
        cache = Cache(place, history=History(place / "history.jsonl", enabled=True))
        if references:
            pull(cache, list(references))
        jupyter.write_notebook(folder / "notebooks" / f"{name}.ipynb", source(place))
        page.goto(f"{address}/voila/render/{name}.ipynb")
        driver = Driver(page, f"voila-{name}")
        driver.wait_open()
        return driver, cache

    return open_one


WATCH = """panel => new MutationObserver(() => {
    if (window.disabledThen === undefined && panel.textContent.includes("Planned: "))
        window.disabledThen = panel.querySelector(".mod-primary").disabled;
}).observe(panel, {childList: true, subtree: true})"""
"""Notes whether Pull was disabled at the moment when the plan was there to be read."""


def apps(cache):
    return sorted(tag.reference for tag in cache.scan().tags)


def test_plan_then_pull_to_the_end(open_panel, registry):
    panel, cache = open_panel("pull", f"{registry.host}/demo/site:1.0.0")
    wanted = [f"{registry.host}/demo/docs:1.0.0", f"{registry.host}/demo/hello:1.0.0"]
    assert panel.button("Pull").is_disabled()
    panel.want("not A reference")
    panel.says("repository names are lower case")
    assert panel.button("Pull").is_disabled()
    panel.want(" ".join(wanted))
    panel.says("2 references: ")
    panel.click("Plan")
    panel.says("Planned: ")
    panel.panel.get_by_text("The layers").click()
    assert panel.panel.get_by_role("cell", name="stored", exact=True).count() == 1
    panel.picture("1-plan")
    assert len(apps(cache)) == 1
    panel.click("Pull")
    panel.says("Done: 2 references in the cache")
    assert panel.shares() == [1.0]
    panel.head("3 apps")
    panel.picture("2-done")
    assert apps(cache) == sorted([*wanted, f"{registry.host}/demo/site:1.0.0"])
    assert panel.page.evaluate("document.activeElement.className").count("sc-pulled"), "the focus goes on"
    panel.tab("Explore")
    panel.click("Sharing")
    panel.says(r"that \d apps share")
    panel.panel.locator(".sc-column").first.click()
    panel.says("2 apps selected: removing frees")
    panel.picture("3-sharing")


def test_plan_then_pull_with_the_keyboard(open_panel, registry):
    """From the field on, with Tab, Space and Enter alone."""
    panel, cache = open_panel("keys")
    reference = f"{registry.host}/demo/hello:1.0.0"
    keyboard = panel.page.keyboard
    focused = "document.activeElement.innerText"
    panel.panel.get_by_label("Reference").focus()
    keyboard.type(reference)
    panel.page.wait_for_timeout(1000)  # what was typed half way was right and wrong by turns
    panel.page.wait_for_function("!document.querySelector('.spincache-panel .mod-primary').disabled")
    keyboard.press("Tab")
    assert panel.page.evaluate(focused) == "Plan"
    panel.panel.evaluate(WATCH)
    keyboard.press("Space")
    panel.says("Planned: ")
    assert panel.page.evaluate("window.disabledThen") is False, "the quickest key comes too late"
    assert not cache.path.exists()
    keyboard.press("Tab")
    assert panel.page.evaluate(focused) == "Pull"
    keyboard.press("Enter")
    panel.says("Done: 1 reference in the cache")
    assert apps(cache) == [reference]
    panel.want(f"{registry.host}/demo/hello")
    panel.says("Enter lists its versions")
    panel.panel.get_by_label("Reference").press("Enter")
    panel.says("3 versions, newest first")
    panel.page.wait_for_function("document.activeElement.matches('.sc-tags select')")
    keyboard.press("ArrowDown")
    panel.says("1 reference: .*hello:1.1.0$")
    keyboard.press("Enter")
    panel.head("2 apps")
    panel.page.wait_for_function("document.activeElement.matches('.sc-pulled')")
    panel.tab("Apps")
    panel.panel.get_by_role("button", name=f"Open {reference}", exact=True).click()
    panel.says("No version before it is in the cache")
    panel.page.wait_for_function("document.activeElement.matches('.sc-opened')")


def test_cancel_half_way(open_panel, hostile):
    components = [Component(f"part-{n}", wasm_module(f"part-{n}", 400_000 + n), {}) for n in range(4)]
    hostile.serve(new_style("demo/slow", "v1", components=components))
    hostile.always("*/blobs/*", Drip(4096, 0.05))
    panel, cache = open_panel("cancel")
    assert panel.button("Cancel").is_disabled()
    panel.want(f"{hostile.name}/demo/slow:v1")
    panel.click("Pull")
    panel.says(r"/s, .* left")
    panel.page.wait_for_function(
        "document.querySelectorAll('.sc-bar.sc-small:not([style*=\"none\"])').length >= 4"
    )
    assert 0 < panel.shares()[0] < 1
    assert len(panel.shares()) == 5
    panel.picture("1-running")
    panel.click("Cancel")
    panel.says("Stopped. What was complete is kept")
    panel.picture("2-stopped")
    assert apps(cache) == []
    assert [path.name for path in cache.path.rglob(".spincache-*")] == []
    assert panel.button("Pull").is_enabled()
    hostile.be_honest()
    panel.click("Pull")
    panel.says("Done: 1 reference in the cache")
    assert apps(cache) == [f"{hostile.name}/demo/slow:v1"]


def test_select_and_remove(open_panel, registry):
    panel, cache = open_panel("remove", *registry.references)
    panel.tab("Apps")
    panel.says("1 to 12 of 18")
    boxes = panel.panel.get_by_role("checkbox").all()
    names = [box.evaluate("box => box.labels[0].innerText.trim()") for box in boxes]
    assert len(names) == len(set(names)) == 12
    assert set(names) <= set(registry.references), "each box is called by the app beside it, and only once"
    panel.picture("1-apps")
    panel.panel.get_by_label("Filter").fill("DEMO hello:1.0")
    panel.says(r"1 to 2 of 2 \(16 hidden\)")
    chosen = [f"{registry.host}/demo/hello:1.0.0", f"{registry.host}/demo/hello:1.0.1"]
    for reference in chosen:
        panel.panel.get_by_role("checkbox", name=reference, exact=True).check()
    said = panel.says("2 apps selected: removing frees").inner_text()
    panel.panel.get_by_label("Filter").fill("")
    panel.says("1 to 12 of 18")
    panel.picture("2-selected")
    before = sum(file.stored_bytes for file in cache.scan().files)
    panel.click("Remove selected\u2026")
    question = panel.says("Remove 2 apps: ").inner_text()
    assert said.split("frees ")[1].rstrip(".") in question
    panel.picture("3-asked")
    assert len(apps(cache)) == 18
    panel.click("Yes, remove")
    panel.says("Done: removed")
    panel.head("16 apps")
    panel.picture("4-removed")
    assert set(apps(cache)) == set(registry.references) - set(chosen)
    assert sum(file.stored_bytes for file in cache.scan().files) < before


def test_clear_at_the_prompt_with_the_keyboard(open_panel, registry):
    panel, cache = open_panel("clear", f"{registry.host}/demo/hello:1.0.0")
    panel.panel.get_by_role("tab", name="Pull", exact=True).focus()
    for key in ("ArrowRight", "ArrowRight", "Enter"):
        panel.page.keyboard.press(key)
    panel.button("Clear all").press("Enter")
    panel.says("Clear the whole cache: ")
    panel.picture("1-asked")
    assert cache.path.exists()
    panel.page.wait_for_function("document.activeElement.innerText === 'Keep'")
    panel.page.keyboard.press("Tab")
    panel.page.keyboard.press("Enter")
    panel.says("Done: removed")
    panel.head("0 apps")
    panel.picture("2-cleared")
    assert not cache.path.exists()

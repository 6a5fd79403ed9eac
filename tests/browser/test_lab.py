"""The panel where most people use it: a notebook in JupyterLab, in a real browser."""

import re
import time

import pytest

from spincache_nb import Cache, demo
from tests.browser.driver import Driver, source
from tests.support import jupyter
from tests.support.artifacts import Component, new_style, wasm_module
from tests.support.faults import Drip

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("lab")


@pytest.fixture(scope="module")
def address(folder):
    (folder / "notebooks").mkdir()
    with jupyter.running_lab(folder / "notebooks", folder / "home") as found:
        yield found


def open_notebook(page, address, folder, name, *more):
    """Run a notebook with a panel over a cache of its own."""
    place = folder / name
    jupyter.write_notebook(folder / "notebooks" / f"{name}.ipynb", source(place), *more)
    jupyter.run_all_cells(page, address, f"{name}.ipynb")
    driver = Driver(page, f"lab-{name}")
    driver.wait_open()
    return driver, Cache(place)


def test_a_panel_from_the_plan_to_the_empty_cache(page, address, folder):
    with demo.registry() as registry:
        panel, cache = open_notebook(page, address, folder, "whole", "pass")
        reference = f"{registry.host}/demo/hello:1.0.0"
        panel.want(f"{reference} {registry.host}/demo/playground:0.1.0")
        panel.click("Plan")
        panel.says("Planned: ")
        assert not cache.path.exists()
        panel.picture("1-plan")
        panel.click("Pull")
        panel.says("Done: 2 references in the cache")
        panel.tab("Apps")
        panel.panel.get_by_role("checkbox", name=reference, exact=True).check()
        panel.says("1 app selected: removing frees")
        panel.picture("2-apps")
        panel.click("Open")
        panel.says("greeter.wasm|hello.wasm")
        page.wait_for_function("document.activeElement.classList.contains('sc-opened')")
        set_theme(page, "JupyterLab Dark")
        panel.picture("3-opened-dark")
        set_theme(page, "JupyterLab Light")
        panel.tab("Clean up")
        panel.click("Remove selected")
        panel.says("Remove 1 app: ")
        panel.click("Keep")
        panel.says("Kept. Nothing was removed.")
        assert len(cache.scan().tags) == 2
        panel.click("Clear all")
        panel.says("Clear the whole cache: ")
        panel.picture("4-asked")
        panel.click("Yes, clear all")
        panel.says("Done: removed")
        assert not cache.path.exists()
        panel.tab("Pull")
        panel.want(f"{registry.host}/demo/none:1")
        panel.click("Pull")
        panel.panel.get_by_role("alert").filter(has_text="404 Not Found").wait_for()
        panel.picture("5-error")
        panel.tab("Apps")
        panel.panel.get_by_role("alert").wait_for(state="detached")
        panel.tab("Pull")
        panel.panel.get_by_role("alert").filter(has_text="404 Not Found").wait_for()
    outputs = page.locator(".jp-OutputArea-output").all_inner_texts()
    assert len(outputs) == 1, "only the panel is shown, nothing is printed"


def set_theme(page, name):
    """Change JupyterLab's theme, as its menu does, and wait until it is there."""
    page.evaluate(f"window.jupyterapp.commands.execute('apputils:change-theme', {{theme: '{name}'}})")
    page.wait_for_selector(f'body[data-jp-theme-name="{name}"]', state="attached")
    page.wait_for_selector("#jupyterlab-splash", state="detached")


def test_the_kernel_is_free_and_stops_cleanly(page, address, folder, hostile):
    """A cell runs beside a pull; then the kernel restarts in the middle of it."""
    hostile.serve(new_style("demo/slow", "v1", components=[Component("a", wasm_module("a", 900_000), {})]))
    hostile.always("*/blobs/*", Drip(4096, 0.1))
    beside = (
        "import threading; print('threads:', sum('spincache-pull' in t.name for t in threading.enumerate()))"
    )
    panel, cache = open_notebook(page, address, folder, "free", beside)
    panel.want(f"{hostile.name}/demo/slow:v1")
    panel.click("Pull")
    panel.says(r"/s, .* left")
    assert unfinished(cache)
    page.locator(".jp-CodeCell").nth(1).locator(".cm-content").click()
    page.keyboard.press("Control+Enter")
    page.get_by_text(re.compile("threads: [1-9]")).wait_for()
    panel.picture("1-beside")
    page.evaluate(
        "window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart().then(() => null)"
    )
    page.wait_for_selector(".spincache-panel.jupyter-widgets-disconnected")
    said = "panel => getComputedStyle(panel, '::before').content"
    assert "No kernel is behind this any more" in panel.panel.evaluate(said)
    panel.picture("2-left-behind")
    deadline = time.monotonic() + 20
    while unfinished(cache) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert unfinished(cache) == []
    assert cache.scan().tags == ()
    requests = len(hostile.lines)
    time.sleep(0.5)
    assert len(hostile.lines) == requests


def unfinished(cache):
    return [path.name for path in cache.path.rglob(".spincache-*")]

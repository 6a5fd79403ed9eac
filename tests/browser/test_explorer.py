"""The explorer as a person and as Python use it: JupyterLab, Notebook 7 and Voila in a real browser."""

import re
import time

import pytest

from tests.plots.samples import cache_of
from tests.support import jupyter

pytestmark = [pytest.mark.browser, pytest.mark.slow]

CELL = "import spincache_nb as sc; explorer = sc.explore({folder!r}); explorer"
SERVICE = "ghcr.io/shop/shop-api-0"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("explorer")
    cache_of(24).lay_out(place / "cache")
    (place / "notebooks").mkdir()
    return place


@pytest.fixture
def complaints(page):
    found = jupyter.complaints_of(page)
    yield found
    assert found == []


def cell(page, name):
    """A rectangle by how its name begins."""
    return page.locator(f'.sc-cell[aria-label^="{name}"]')


def crumbs(page):
    return page.locator(".sc-path").inner_text()


def wait_for_crumbs(page, text):
    deadline = time.monotonic() + 20
    while text not in crumbs(page) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert text in crumbs(page)


@pytest.mark.parametrize("program", ["jupyterlab", "notebook"])
def test_mouse_keyboard_and_python_go_the_same_way(page, folder, complaints, program):
    more = (
        "print('chosen', explorer.selection, int(explorer.frame().stored_bytes.sum()) > 0)",
        f"explorer.selection = ['{SERVICE}:1.2.0']; explorer.at = '{SERVICE}'",
    )
    jupyter.write_notebook(
        folder / "notebooks" / "lab.ipynb", CELL.format(folder=str(folder / "cache")), *more
    )
    with jupyter.running_lab(folder / "notebooks", folder / "home", program=program) as address:
        jupyter.run_all_cells(page, address, "lab.ipynb", program=program)
        wait_for_crumbs(page, "shop/shop-api-0")
        marked = page.locator(".sc-cell.sc-marked")
        marked.first.wait_for()
        assert "1.2.0" in marked.all_inner_texts()[-1] + marked.all_inner_texts()[0], (
            "Python's choice is marked"
        )
        page.locator(".sc-path").get_by_role("button", name="ghcr.io").click()
        wait_for_crumbs(page, "ghcr.io")
        cell(page, "shop/shop-api-0:").click(position={"x": 12, "y": 8})
        wait_for_crumbs(page, "shop/shop-api-0")
        assert "removing all of them frees it" in page.locator(".sc-said").inner_text()
        page.locator(".sc-cell").first.focus()
        page.keyboard.press("ArrowRight")
        page.wait_for_function("document.activeElement !== document.querySelector('.sc-cell')")
        cell(page, "1.").first.focus()
        page.keyboard.press("Space")
        page.locator(".sc-cell[aria-pressed=true]").first.wait_for()
        page.keyboard.press("Enter")
        wait_for_crumbs(page, "1.")
        page.keyboard.press("Escape")
        page.wait_for_function("document.querySelectorAll('.sc-path button').length === 3")
        page.keyboard.press("Escape")
        page.wait_for_function("document.querySelectorAll('.sc-path button').length === 2")
        page.get_by_text("As a table").click()
        page.get_by_role("cell", name="repository").first.wait_for()
        jupyter.screenshot(page, f"explorer-{program}")
        page.locator(".jp-CodeCell").nth(1).locator(".cm-content").click()
        page.keyboard.press("Control+Enter")
        page.get_by_text(re.compile(rf"chosen \['{SERVICE}:1.\d.0'\] True")).wait_for()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_figures_and_columns_in_a_page(page, folder, complaints, theme):
    name = f"page-{theme}"
    (folder / name).mkdir()
    jupyter.write_notebook(folder / name / "voila.ipynb", CELL.format(folder=str(folder / "cache")))
    with jupyter.running_voila(folder / name, folder / "home") as address:
        page.goto(f"{address}/voila/render/voila.ipynb?theme={theme}")
        page.locator(".sc-figure-freed").click()
        wait_for_crumbs(page, "needed by nothing")
        page.locator(".sc-figure-saved").click()
        page.locator(".sc-column").first.click()
        page.locator(".sc-column.sc-marked").wait_for()
        page.get_by_role("button", name="Map", exact=True).click()
        page.locator(".sc-cell.sc-marked").first.wait_for()
        jupyter.screenshot(page, f"explorer-{theme}")
        page.set_viewport_size({"width": 400, "height": 800})
        deadline = time.monotonic() + 10
        while page.locator(".sc-stage").bounding_box()["width"] > 400 and time.monotonic() < deadline:  # type: ignore[index]
            time.sleep(0.05)
        jupyter.screenshot(page, f"explorer-{theme}-400")

"""The panel over a fleet as a page: Voila in a real browser, light and dark."""

import pytest

from tests.browser.driver import Driver
from tests.support import jupyter
from tests.support.made_up_fleet import FleetPlan, write_fleet

pytest.importorskip("duckdb", reason="the extra fleet is not installed")
pytestmark = [pytest.mark.browser, pytest.mark.slow]

PLAN = FleetPlan(hosts=12, apps_per_host=14, files_per_app=8, repositories=14, versions=5)
CELL = "import spincache_nb as sc; sc.widgets.panel(sc.fleet.open({target!r}))"
GROUNDS = {"light": "rgb(255, 255, 255)", "dark": "rgb(33, 33, 33)"}
ANALYSES = ("What each pair of hosts has in common", "What a warm image would save")


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fleet")
    write_fleet(folder / "snapshots", PLAN)
    (folder / "notebooks").mkdir()
    jupyter.write_notebook(
        folder / "notebooks" / "fleet.ipynb", CELL.format(target=str(folder / "snapshots"))
    )
    with jupyter.running_voila(folder / "notebooks", folder / "home") as found:
        yield f"{found}/voila/render/fleet.ipynb"


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_fleet_from_the_overview_to_a_chosen_analysis(page, address, theme):
    complaints = jupyter.complaints_of(page)
    page.goto(f"{address}?theme={theme}")
    panel = Driver(page, f"fleet-{theme}")
    panel.head("12 hosts, ")
    panel.says(r"apps on 12 hosts: .* stored, each host on its own; one cache for all would hold")
    panel.panel.get_by_role("img", name="What one cache for all would save").wait_for()
    panel.picture("1-overview")
    for place, title in enumerate(ANALYSES, 2):
        panel.panel.get_by_label("Plot").select_option(title)
        drawn = panel.panel.get_by_role("img", name=title)
        drawn.wait_for()
        panel.panel.get_by_text("Drawing.").wait_for(state="detached")
        assert drawn.evaluate("plot => plot.getBoundingClientRect().width") > 500
        assert (
            drawn.locator("path").first.evaluate("ground => getComputedStyle(ground).fill")
            == (GROUNDS[theme])
        )
        panel.picture(f"{place}-chosen")
    assert panel.panel.get_by_role("alert").count() == 0
    assert complaints == []

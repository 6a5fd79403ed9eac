"""The panel over a fleet: its plots, read-only; no kernel, no browser."""

import sys

import pytest

pytest.importorskip("duckdb", reason="the extra fleet is not installed")

from spincache_nb import Cache, demo, fleet, widgets
from tests.support.made_up_fleet import FleetPlan, write_fleet
from tests.widgets.test_panel import text

PLAN = FleetPlan(hosts=4, apps_per_host=10, files_per_app=6, repositories=10, versions=4)


@pytest.fixture
def opened(tmp_path):
    write_fleet(tmp_path, PLAN)
    with fleet.open(tmp_path) as found:
        yield found


def test_panel_of_a_fleet_draws_every_plot_it_offers(opened, make):
    panel = make(opened)
    assert isinstance(panel, widgets.FleetPanel)
    assert text(panel.head) == "Fleet of Spin caches4 hosts, duckdb"
    titles = list(panel.choice.options)
    assert titles[:2] == ["What one cache for all would save", "What each pair of hosts has in common"]
    assert any(title.startswith("What each version of ghcr.io/") for title in titles)
    assert titles[0] in panel.picture.value, "the first is drawn before anybody chooses"
    for title in titles[:5]:
        panel.choice.value = title
        assert panel.wait(60)
        assert f'<svg role="img" aria-label="{title}. ' in panel.picture.value
        assert text(panel.alert) == ""
    row = opened.summary().iloc[0]
    assert f"{int(row['app_count'])} apps on 4 hosts" in text(panel.summary)
    panel.close()
    assert opened.summary()["host_count"].tolist() == [4], "the fleet is its owner's to close"


def test_panel_of_a_fleet_says_what_it_cannot_do(opened, make):
    for options in ({"projects": ["x"]}, {"jobs": 3}, {"insecure": True}):
        with pytest.raises(ValueError, match="takes no projects"):
            widgets.panel(opened, **options)
    panel = make(opened)
    assert "panel(Cache())" in text(panel.tabs.children[0].children[-1])
    assert [panel.tabs.get_title(0), len(panel.tabs.children)] == ["Sharing", 1]


def test_panel_of_a_fleet_shows_what_goes_wrong(opened, make, monkeypatch):
    def broken(_fleet):
        raise OSError(5, "the disk is gone")

    monkeypatch.setattr(sys.modules["spincache_nb.widgets.fleet"], "pictures_of_fleet", broken)
    assert "the disk is gone" in text(make(opened).alert)


def test_panel_of_one_host_or_of_nothing_offers_what_makes_sense(tmp_path, make):
    fleet.snapshot(Cache(tmp_path / "none"), tmp_path / "empty", host="a")
    with fleet.open(tmp_path / "empty") as opened:
        panel = make(opened)
        assert (panel.choice.options, panel.choice.disabled) == ((), True)
    with demo.registry() as registry:
        fleet.crawl(registry.host, ["demo/hello"], tmp_path / "registry")
    with fleet.open(tmp_path / "registry") as opened:
        panel = make(opened)
        assert list(panel.choice.options) == [f"What each version of {registry.host}/demo/hello costs"]
        assert text(panel.head).startswith("Registries")

"""The panel over a fleet: its plots, read-only; no kernel, no browser."""

import re
import sys

import pytest

pytest.importorskip("duckdb", reason="the extra fleet is not installed")

from spincache_nb import Cache, demo, fleet, widgets
from spincache_nb.widgets.panel import Panel
from tests.support.made_up_fleet import FleetPlan, write_fleet

PLAN = FleetPlan(hosts=4, apps_per_host=10, files_per_app=6, repositories=10, versions=4)


@pytest.fixture
def opened(tmp_path):
    write_fleet(tmp_path, PLAN)
    with fleet.open(tmp_path) as found:
        yield found


def text(place):
    return re.sub(r"<[^>]*>", "", str(place.value)).strip()


def test_panel_of_a_fleet_draws_every_plot_it_offers(opened):
    panel = widgets.panel(opened)
    try:
        assert panel.wait(60)
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
    finally:
        panel.close()
    assert opened.summary()["host_count"].tolist() == [4], "the fleet is its owner's to close"


def test_panel_of_a_fleet_says_what_it_cannot_do(opened):
    for options in ({"projects": ["x"]}, {"jobs": 3}, {"insecure": True}):
        with pytest.raises(ValueError, match="takes no projects"):
            widgets.panel(opened, **options)
    with widgets_closed(widgets.panel(opened)) as panel:
        assert "panel(Cache())" in text(panel.tabs.children[0].children[-1])
        assert [panel.tabs.get_title(0), len(panel.tabs.children)] == ["Sharing", 1]


def test_panel_of_a_fleet_shows_what_goes_wrong(opened, monkeypatch):
    def broken(_fleet):
        raise OSError(5, "the disk is gone")

    monkeypatch.setattr(sys.modules["spincache_nb.widgets.fleet"], "pictures_of_fleet", broken)
    with widgets_closed(widgets.panel(opened)) as panel:
        assert "the disk is gone" in text(panel.alert)


def test_panel_of_one_host_or_of_nothing_offers_what_makes_sense(tmp_path):
    fleet.snapshot(Cache(tmp_path / "none"), tmp_path / "empty", host="a")
    with fleet.open(tmp_path / "empty") as opened, widgets_closed(widgets.panel(opened)) as panel:
        assert (panel.choice.options, panel.choice.disabled) == ((), True)
    with demo.registry() as registry:
        fleet.crawl(registry.host, ["demo/hello"], tmp_path / "registry")
    with fleet.open(tmp_path / "registry") as opened, widgets_closed(widgets.panel(opened)) as panel:
        assert list(panel.choice.options) == [f"What each version of {registry.host}/demo/hello costs"]
        assert text(panel.head).startswith("Registries")


def test_panel_of_a_cache_is_what_it_was(tmp_path):
    with widgets_closed(widgets.panel(Cache(tmp_path))) as panel:
        assert isinstance(panel, Panel)


class widgets_closed:
    """A panel that is closed at the end."""

    def __init__(self, panel):
        self.panel = panel

    def __enter__(self):
        assert self.panel.wait(60)
        return self.panel

    def __exit__(self, *_):
        self.panel.close()
        assert self.panel.wait(10)

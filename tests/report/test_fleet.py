"""The report about a fleet: the same numbers in every form, harmless names, one clear error."""

import json

import pandas as pd
import pytest

pytest.importorskip("duckdb", reason="the extra fleet is not installed")

from spincache_nb import Cache, demo, fleet, report
from spincache_nb.cli import main
from spincache_nb.frames.schemas import HISTORY_SCHEMA, empty
from tests.analysis.worlds import two_versions
from tests.fleet.fleets import write_hosts
from tests.report.test_write import EVIL, Page
from tests.support.made_up_fleet import FleetPlan, write_fleet

PLAN = FleetPlan(hosts=5, apps_per_host=12, files_per_app=6, repositories=10, versions=4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("fleet")
    write_fleet(path, PLAN)
    return path


def test_write_takes_a_fleet_and_the_page_asks_for_nothing(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1767225600")
    with fleet.open(folder) as opened:
        written = report.write(opened, tmp_path / "fleet.html")
        again = report.render(opened)
        hosts = opened.hosts
    text = written.read_text(encoding="utf-8")
    assert text == again, "of one state of a fleet a report is always the same bytes"
    page = Page(text)
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))
    assert [target for target in page.targets if not target.startswith("#")] == []
    assert {target[1:] for target in page.targets if target.startswith("#")} <= set(page.ids)
    assert {"iframe", "link"}.isdisjoint(page.tags)
    assert page.only_its_own_script_runs()
    assert all(host in page.text for host in hosts)


def test_json_of_a_fleet_has_the_numbers_of_its_methods(folder):
    with fleet.open(folder) as opened:
        found = json.loads(report.render(opened, format="json", title="t"))
        line = opened.summary().iloc[0]
        idle = int(opened.unreferenced()["stored_bytes"].sum())
        overlap = opened.host_overlap()
    assert (found["format"], found["kind"]) == ("spincache-nb fleet report 1", "cache")
    assert found["summary"]["shared_cache_saved_bytes"] == line["shared_cache_saved_bytes"] > 0
    assert [one["host"] for one in found["host_overlap"]] == overlap["host"].tolist()
    assert sum(one["stored_bytes"] for one in found["unreferenced"]) == idle > 0
    assert sum(one["version_count"] for one in found["repositories"]) == len(found["versions"])
    assert len(found["version_savings"]) == 2
    assert found["prewarm"][-1]["saved_share"] == 1.0


def test_markdown_and_data_of_a_fleet(folder, tmp_path):
    with fleet.open(folder) as opened:
        report.write(opened, tmp_path / "fleet.md", data=tmp_path / "data")
        pairs = opened.host_pairs(top=60)
    text = (tmp_path / "fleet.md").read_text(encoding="utf-8")
    assert text.startswith("# A fleet of Spin registry caches\n")
    assert "## What hosts have in common" in text
    assert len(pd.read_parquet(tmp_path / "data" / "host_pairs.parquet")) == len(pairs) == 10
    assert {path.stem for path in (tmp_path / "data").iterdir()} >= {"summary", "host_overlap", "versions"}


@pytest.mark.parametrize(
    "options",
    [{"inside": True}, {"projects": ["."]}, {"since": "x.html"}, {"history": empty(HISTORY_SCHEMA)}],
    ids=str,
)
def test_write_says_what_a_fleet_cannot_be_asked(options, folder, tmp_path):
    with fleet.open(folder) as opened, pytest.raises(ValueError, match="report about a fleet takes no"):
        report.write(opened, tmp_path / "fleet.html", **options)
    assert not list(tmp_path.iterdir())


def test_names_of_hosts_are_harmless(tmp_path):
    frames = two_versions().frames()
    write_hosts(tmp_path, {EVIL: frames, "$x^2$|*b*": frames})
    with fleet.open(tmp_path) as opened:
        page = Page(report.render(opened))
        text = report.render(opened, format="markdown")
    assert "img" not in page.tags
    assert "<img" not in text
    assert "\u202e" not in page.text


def test_report_of_no_apps_and_of_a_registry(tmp_path):
    fleet.snapshot(Cache(tmp_path / "none"), tmp_path / "empty", host="a")
    with fleet.open(tmp_path / "empty") as opened:
        assert "Nothing here yet" in Page(report.render(opened)).text
    with demo.registry() as registry:
        fleet.crawl(registry.host, None, tmp_path / "registry")
    with fleet.open(tmp_path / "registry") as opened:
        page = Page(report.render(opened))
    assert "Versions in a registry" in page.text
    assert "1 registry" in page.text
    assert "One cache would save" not in page.text


def test_report_tells_of_snapshots_that_are_left_out(tmp_path):
    write_fleet(tmp_path, PLAN)
    (marker,) = tmp_path.glob("host=ci-1/day=*/*.parquet")
    marker.write_bytes(b"{}")
    with fleet.open(tmp_path) as opened:
        text = Page(report.render(opened)).text
    assert "Snapshots that could not be used" in text
    assert "host=ci-1" in text


def test_command_writes_a_report_about_a_fleet(folder, tmp_path, capsys):
    assert main(["report", str(tmp_path / "f.html"), "--fleet", str(folder), "--title", "Ours"]) == 0
    assert "Ours" in Page((tmp_path / "f.html").read_text(encoding="utf-8")).text
    assert main(["report", "--json", "--fleet", str(folder), "--fail-under-dedup", "99"]) == 1
    out, err = capsys.readouterr()
    assert '"kind": "cache"' in out
    assert "99" in err
    for words in (["--cache-dir", "x"], ["--inside"], ["--project", "x"]):
        assert main(["report", str(tmp_path / "g.html"), "--fleet", str(folder), *words]) == 2
    assert main(["report", str(tmp_path / "g.html"), "--fleet", ""]) == 2
    assert main(["report", str(tmp_path / "g.html"), "--fleet", str(tmp_path / "gone")]) == 3
    err = capsys.readouterr().err
    assert "`spincache-nb snapshot`" in err.splitlines()[-1]
    assert not (tmp_path / "g.html").exists()


def test_command_writes_a_report_to_an_address(folder, tmp_path, monkeypatch, capsys):
    import fsspec

    monkeypatch.chdir(tmp_path)
    memory = fsspec.filesystem("memory")
    assert main(["report", "memory://pages/fleet.html", "--fleet", str(folder)]) == 0
    assert capsys.readouterr().out == "memory://pages/fleet.html\n"
    assert "A fleet of Spin registry caches" in Page(memory.cat_file("/pages/fleet.html").decode()).text
    memory.rm("/pages", recursive=True)
    assert main(["report", "nowhere://pages/fleet.html", "--fleet", str(folder)]) == 3
    assert "an address that fsspec knows" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())

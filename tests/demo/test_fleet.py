"""Snapshots of made-up hosts: the same for the same seed, and whole."""

from datetime import date

import pytest

pytest.importorskip("pyarrow", reason="the extra fleet is not installed")

from spincache_nb import fleet
from spincache_nb.demo import write_fleet


def test_write_fleet_writes_the_same_for_the_same_seed(tmp_path):
    tables = {}
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        written = write_fleet(tmp_path / name, hosts=5, seed=seed, day=date(2026, 3, 3))
        assert [one.host for one in written] == ["edge-0", "ci-1", "dev-2", "batch-3", "edge-4"]
        assert {one.day for one in written} == {date(2026, 3, 3)}
        with fleet.open(tmp_path / name) as opened:
            tables[name] = opened.versions().to_csv() + opened.sharing().to_csv()
    assert tables["a"] == tables["b"] != tables["c"]


def test_write_fleet_is_without_problems_and_adds_up(tmp_path):
    write_fleet(tmp_path, hosts=8)
    with fleet.open(tmp_path) as opened:
        assert opened.problems().empty
        line = opened.summary().iloc[0]
        kinds = opened.breakdown().groupby("kind", observed=True)["stored_bytes"].sum()
        assert kinds.sum() == line["disk_bytes"]
        assert kinds["unreferenced"] == line["unreferenced_bytes"] > 0
        assert (opened.version_savings()["fetch_bytes"] > 0).all()
        versions = opened.versions()
        assert "latest" in set(versions["tag"])
        assert versions["last_pulled_at"].notna().all()

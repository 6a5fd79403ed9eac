"""Made-up fleets: the same for the same seed, and whole."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

pytest.importorskip("pyarrow", reason="the extra fleet is not installed")

from spincache_nb import fleet
from spincache_nb.demo import FleetPlan, write_fleet

PLAN = FleetPlan(hosts=4, apps_per_host=12, files_per_app=6, repositories=20, versions=4)


def contents(folder: Path) -> dict[str, str]:
    """Digest of every file."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_write_fleet_writes_the_same_for_the_same_seed(tmp_path: Path) -> None:
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        written = write_fleet(tmp_path / name, PLAN, seed=seed)
        assert [one.host for one in written] == ["edge-0", "ci-1", "dev-2", "batch-3"]
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert contents(tmp_path / "a").keys() != contents(tmp_path / "c").keys()
    assert not any(one.written for one in write_fleet(tmp_path / "a", PLAN, seed=3))


def test_made_up_fleet_adds_up(tmp_path: Path) -> None:
    """Every byte that apps need is stored and listed, and every digest has its name."""
    write_fleet(tmp_path, PLAN)
    with fleet.open(tmp_path) as opened:
        line = opened.summary().iloc[0]
        kinds = opened.breakdown().groupby("kind", observed=True)["stored_bytes"].sum()
        assert kinds.drop(["unreferenced", "manifests"]).sum() == line["stored_bytes"]
        assert kinds.sum() == line["disk_bytes"]
        assert (opened.sharing()["name_count"] >= 1).all()
        savings = opened.version_savings()
        assert (savings["reused_bytes"] >= 0).all()
        assert (savings["fetch_bytes"] > 0).all()
        assert opened.versions()["last_pulled_at"].notna().all()

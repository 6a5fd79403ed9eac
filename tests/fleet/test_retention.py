"""Old snapshots go, and days of many small files become few files that say the same."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest

pytest.importorskip("duckdb", reason="the extra fleet is not installed")

from spincache_nb import fleet
from spincache_nb.errors import SpinCacheError
from spincache_nb.fleet import retention
from tests.support.made_up_fleet import FleetPlan, write_fleet

PLAN = FleetPlan(hosts=4, apps_per_host=8, files_per_app=5, repositories=8, versions=3)
TODAY = datetime.now(UTC).date()


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Four hosts on three days; two of them, and a foreign file, on the first only as well."""
    for days, seed in ((9, 1), (3, 2), (1, 3)):
        write_fleet(tmp_path, PLAN, day=TODAY - timedelta(days=days), seed=seed)
    for path in [*tmp_path.glob("host=ci-1/day=*/*"), *tmp_path.glob("host=dev-2/day=*/*")]:
        if (TODAY - timedelta(days=9)).isoformat() not in str(path):
            path.unlink()
            path.parent.rmdir()
    (tmp_path / "host=ci-1" / "notes.txt").write_text("mine")
    return tmp_path


def test_expire_removes_days_long_ago_and_nothing_else(dataset: Path) -> None:
    before = files(dataset)
    told = fleet.expire(dataset, keep_days=5, dry_run=True)
    assert files(dataset) == before
    done = fleet.expire(dataset, keep_days=5)
    old = (TODAY - timedelta(days=9)).isoformat()
    assert set(done.removed) == set(told.removed) == {name for name in before if old in name}
    assert done.removed_bytes > 0
    assert (told.dry_run, done.dry_run) == (True, False)
    assert files(dataset) == before - set(done.removed)
    with fleet.open(dataset) as opened:
        assert opened.hosts == ["batch-3", "edge-0"]
    with pytest.raises(ValueError, match="keep_days"):
        fleet.expire(dataset, keep_days=-1)


def test_compact_makes_few_files_that_say_the_same(dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def told() -> list[pd.DataFrame]:
        frames = []
        for days in (0, 2, 8):
            with fleet.open(dataset, day=TODAY - timedelta(days=days)) as opened:
                assert opened.skipped == ()
                frames += [
                    opened.sharing(),
                    opened.host_overlap(),
                    opened.version_savings(),
                    opened.versions(),
                ]
        return frames

    expected, before = told(), files(dataset)
    planned = fleet.compact(dataset, dry_run=True)
    assert files(dataset) == before
    done = fleet.compact(dataset)
    assert planned.removed == done.removed
    assert len(done.removed) == 4, "of each host the newest stays"
    assert len(done.written) == 2
    assert files(dataset) == (before - set(done.removed)) | set(done.written)
    for one, other in zip(told(), expected, strict=True):
        pd.testing.assert_frame_equal(one, other)
    again = fleet.compact(dataset)
    assert (again.removed, again.written) == ((), ())
    gone = fleet.expire(dataset, keep_days=5)
    assert [name for name in gone.removed if name.startswith("compacted/")] == [done.written[0]]
    assert set(retention.COMPACTED.findall("\n".join(done.written))) == {
        (TODAY - timedelta(days=days)).isoformat() for days in (9, 3)
    }


def test_compact_writes_what_hosts_have_in_common_once(tmp_path: Path) -> None:
    """A day of hosts alike takes a part of what their files took, and the rows stay the same."""
    plan = FleetPlan(hosts=8, apps_per_host=60, files_per_app=40, repositories=40, versions=4)
    for days in (2, 1):
        write_fleet(tmp_path, plan, day=TODAY - timedelta(days=days))
    done = fleet.compact(tmp_path)
    assert len(done.removed) == 8
    assert done.written_bytes < done.removed_bytes / 2


def test_compact_that_is_stopped_loses_nothing_and_counts_nothing_twice(dataset: Path, monkeypatch) -> None:
    day = TODAY - timedelta(days=2)
    with fleet.open(dataset, day=day) as opened:
        expected = opened.sharing()

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(retention.Place, "remove", stop)
        with pytest.raises(KeyboardInterrupt):
            fleet.compact(dataset)
    assert list(dataset.glob("compacted/day=*/*.parquet"))
    with fleet.open(dataset, day=day) as opened:
        pd.testing.assert_frame_equal(opened.sharing(), expected)
    fleet.compact(dataset)
    with fleet.open(dataset, day=day) as opened:
        pd.testing.assert_frame_equal(opened.sharing(), expected)


def test_compact_leaves_a_file_that_cannot_be_read_and_goes_on(tmp_path: Path) -> None:
    day = TODAY - timedelta(days=3)
    for one in (day, TODAY - timedelta(days=2)):
        write_fleet(tmp_path, PLAN, day=one)
    bad = next(tmp_path.glob(f"host=ci-1/day={day}/*.parquet"))
    content = bad.read_bytes()
    bad.write_bytes(content[:200] + b"\xff" * 700 + content[900:])
    done = fleet.compact(tmp_path)
    assert sorted(name.partition("/")[0] for name in done.removed) == [
        "host=batch-3",
        "host=dev-2",
        "host=edge-0",
    ]
    assert len(done.written) == 1
    assert files(tmp_path) >= {str(bad.relative_to(tmp_path)), *done.written}
    with fleet.open(tmp_path, day=day) as opened:
        assert opened.summary()["host_count"].tolist() == [3]
        assert [one.path for one in opened.skipped] == [str(bad)]


def test_compact_says_what_keeps_it_from_merging(tmp_path: Path, monkeypatch) -> None:
    for days in (3, 2):
        write_fleet(tmp_path, PLAN, day=TODAY - timedelta(days=days))
    before = files(tmp_path)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(retention, "write_sorted", full)
    with pytest.raises(SpinCacheError, match="No space left"):
        fleet.compact(tmp_path)
    assert files(tmp_path) == before


def test_files_are_read_by_their_very_names(tmp_path: Path) -> None:
    """A folder whose name is a pattern of another one's."""
    for name, seed in (("fleet[1]", 1), ("fleet1", 2)):
        (written,) = write_fleet(tmp_path / name, FleetPlan(hosts=1, apps_per_host=2), seed=seed)
        next((tmp_path / name).rglob("*.parquet")).rename(tmp_path / name / "part")
        if seed == 1:
            expected = written.row_count
    place = retention.Place(tmp_path / "fleet[1]")
    _, rows, _ = retention.write_sorted("SELECT * FROM given", place, ["part"], tmp_path)
    assert rows == expected

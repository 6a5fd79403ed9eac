"""Snapshots: complete or not there, the same again for the same cache, and nobody's secrets."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

pytest.importorskip("pyarrow", reason="the extra fleet is not installed")

import pyarrow.parquet as pq

import spincache_nb as sc
from spincache_nb import demo, fleet
from spincache_nb.errors import FormatError, MissingExtraError, SpinCacheError
from spincache_nb.fleet.marker import MARKER, parse_marker
from spincache_nb.fleet.place import Place
from spincache_nb.fleet.tables import TABLES
from tests.analysis.worlds import two_versions
from tests.fleet.fleets import write_hosts

AT = datetime(2026, 3, 2, 23, 30, tzinfo=UTC)


@pytest.fixture(scope="module")
def cache():
    """The demo cache."""
    with demo.Workspace() as workspace:
        workspace.pull_all()
        yield workspace.cache


def files_of(folder: Path) -> dict[str, tuple[int, int]]:
    """Path, size and time of every file below a folder."""
    return {
        str(path.relative_to(folder)): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


def names_in(folder: Path) -> set[str]:
    """Names in a folder."""
    return {path.name for path in folder.iterdir()}


def test_snapshot_writes_one_file_per_table_and_a_marker(cache, tmp_path: Path) -> None:
    taken = fleet.snapshot(cache, tmp_path, host="node 1/a", at=AT)
    folder = tmp_path / "host=node%201%2Fa" / "day=2026-03-02"
    names = sorted(path.name for path in folder.iterdir())
    assert [name.partition("-")[0] for name in names] == sorted([MARKER, *TABLES])
    marker = json.loads((folder / MARKER).read_bytes())
    assert (marker["kind"], marker["host"], marker["day"]) == ("cache", "node 1/a", "2026-03-02")
    for table, (name, count, size) in marker["parts"][0].items():
        found = pq.ParquetFile(folder / name)
        assert found.metadata.num_rows == count
        assert (folder / name).stat().st_size == size
        assert found.schema_arrow.names == list(TABLES[table])
    assert taken.written
    assert taken.row_count == sum(count for _, count, _ in marker["parts"][0].values())
    assert (taken.host, taken.day) == ("node 1/a", date(2026, 3, 2))


def test_snapshot_of_the_same_cache_writes_nothing(cache, tmp_path: Path) -> None:
    first = fleet.snapshot(cache, tmp_path, host="a", at=AT)
    before = files_of(tmp_path)
    second = fleet.snapshot(cache, tmp_path, host="a", at=AT.replace(minute=59))
    assert files_of(tmp_path) == before
    assert (first.written, second.written) == (True, False)
    assert (second.row_count, second.size_bytes) == (first.row_count, first.size_bytes)


def test_snapshot_of_another_state_takes_the_place_of_the_first(cache, tmp_path: Path) -> None:
    folder = tmp_path / "host=a" / "day=2026-03-02"
    fleet.snapshot(cache, tmp_path, host="a", at=AT)
    full = names_in(folder)
    empty = sc.Cache(tmp_path / "no-cache")
    fleet.snapshot(empty, tmp_path, host="a", at=AT)
    assert len(names_in(folder)) == len(TABLES) + 1
    with fleet.open(tmp_path) as opened:
        assert opened.summary()["app_count"].tolist() == [0]
    fleet.snapshot(cache, tmp_path, host="a", at=AT)
    assert names_in(folder) == full


def test_snapshot_mends_a_damaged_one(cache, tmp_path: Path) -> None:
    folder = tmp_path / "host=a" / "day=2026-03-02"
    fleet.snapshot(cache, tmp_path, host="a", at=AT)
    (uses,) = folder.glob("uses-*")
    whole = uses.read_bytes()
    uses.write_bytes(whole[:-9])
    assert fleet.snapshot(cache, tmp_path, host="a", at=AT).written
    assert uses.read_bytes() == whole


@pytest.mark.parametrize("stop_after", range(len(TABLES) + 1))
def test_snapshot_that_is_stopped_counts_for_nothing(
    stop_after: int, cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped after any number of files: the marker is the last one."""
    written: list[str] = []
    write, replace = Place.write, Place.replace

    def counted(method):
        def stopping(self: Place, content: bytes, *names: str) -> None:
            if len(written) == stop_after:
                raise KeyboardInterrupt
            method(self, content, *names)
            written.append(names[-1])

        return stopping

    monkeypatch.setattr(Place, "write", counted(write))
    monkeypatch.setattr(Place, "replace", counted(replace))
    with pytest.raises(KeyboardInterrupt):
        fleet.snapshot(cache, tmp_path, host="a", at=AT)
    assert MARKER not in written
    with pytest.raises(SpinCacheError) as caught:
        fleet.open(tmp_path)
    nothing = caught.value.found == "no file at all"
    assert nothing if stop_after == 0 else "not finished, host=a/day=2026-03-02" in caught.value.found
    monkeypatch.undo()
    assert fleet.snapshot(cache, tmp_path, host="a", at=AT).written
    with fleet.open(tmp_path) as opened:
        assert opened.summary()["app_count"].tolist() == [18]


def test_an_interrupted_snapshot_leaves_the_one_before(cache, tmp_path: Path, monkeypatch) -> None:
    fleet.snapshot(cache, tmp_path, host="a", at=AT)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Place, "replace", full)
    with pytest.raises(OSError, match="No space"):
        fleet.snapshot(sc.Cache(tmp_path / "no-cache"), tmp_path, host="a", at=AT)
    with fleet.open(tmp_path) as opened:
        assert opened.summary()["app_count"].tolist() == [18]


# What is written, and what is not -----------------------------------------------------------------


def everything_in(folder: Path) -> bytes:
    """Names, markers, and every value of every column, uncompressed."""
    parts = []
    for path in folder.rglob("*"):
        parts.append(str(path.relative_to(folder)).encode())
        if path.suffix == ".parquet":
            plain = io.BytesIO()
            pq.write_table(pq.ParquetFile(path).read(), plain, compression="none", use_dictionary=False)
            parts += [plain.getvalue(), repr(pq.ParquetFile(path).schema_arrow.metadata).encode()]
        elif path.is_file():
            parts.append(path.read_bytes())
    return b"\n".join(parts)


def test_snapshot_holds_no_secret_and_no_path(cache, tmp_path: Path) -> None:
    stored = b"".join(path.read_bytes() for path in cache.path.rglob("*") if path.is_file())
    assert demo.CANARY.encode() in stored, "the cache was to hold the canary"
    project = tmp_path / "secret-project"
    project.mkdir()
    (project / "spin.toml").write_text(
        'spin_manifest_version = 2\n[application]\nname = "p"\n[component.c]\nsource = "gone.wasm"\n'
    )
    target = tmp_path / "target"
    fleet.snapshot(cache, target, host="a", projects=[project], at=AT)
    written = everything_in(target)
    assert b"demo/hello" in written, "the test was to see text"
    for secret in (demo.CANARY, str(cache.path), str(cache.path.parent), "secret-project"):
        assert secret.encode() not in written


def test_projects_are_numbered_and_count_as_users(tmp_path: Path) -> None:
    world = two_versions()
    wasm = world.apps[0].layers[0][0]
    world.projects = {"/home/ann/site/spin.toml": {wasm: "spin.toml"}, "tool": {wasm: "spin.toml"}}
    write_hosts(tmp_path, {"a": world.frames()})
    with fleet.open(tmp_path) as opened:
        row = opened.sharing().set_index("digest").loc[wasm]
    assert (row["user_count"], row["app_count"]) == (5, 3)
    assert b"ann" not in everything_in(tmp_path)


def test_snapshot_of_a_big_cache_is_a_few_megabytes(tmp_path: Path) -> None:
    """400 apps of 100 layers: 40,000 rows of uses, 20,000 different blobs."""
    plan = demo.FleetPlan(hosts=1, apps_per_host=500, files_per_app=85, repositories=2_000, versions=9)
    (taken,) = demo.write_fleet(tmp_path, plan)
    with fleet.open(tmp_path) as opened:
        assert opened.row_count > 60_000
    assert taken.size_bytes < 4 << 20


@pytest.mark.parametrize("salt", ["pepper", b"pepper"])
def test_host_names_are_hashed_with_a_salt(cache, tmp_path: Path, salt) -> None:
    one = fleet.snapshot(cache, tmp_path / "1", host="node-17", salt=salt, at=AT)
    same = fleet.snapshot(cache, tmp_path / "2", host="node-17", salt=salt, at=AT)
    other = fleet.snapshot(cache, tmp_path / "3", host="node-17", salt="salt", at=AT)
    assert one.host == same.host != other.host
    assert "node-17" not in one.host
    assert b"node-17" not in everything_in(tmp_path / "1")
    assert b"pepper" not in everything_in(tmp_path / "1")


def test_host_without_a_name_is_a_hash_of_machine_and_cache(cache, tmp_path: Path) -> None:
    mine = fleet.snapshot(cache, tmp_path, at=AT)
    again = fleet.snapshot(cache, tmp_path, at=AT)
    other = fleet.snapshot(sc.Cache(tmp_path / "other"), tmp_path, at=AT)
    assert mine.host == again.host != other.host
    with pytest.raises(ValueError, match="empty"):
        fleet.snapshot(cache, tmp_path, host=" ")


# Markers ------------------------------------------------------------------------------------------


def test_open_takes_the_latest_day_of_each_host(cache, tmp_path: Path) -> None:
    empty = sc.Cache(tmp_path / "no-cache")
    fleet.snapshot(empty, tmp_path / "t", host="a", at=AT)
    fleet.snapshot(cache, tmp_path / "t", host="a", at=AT.replace(day=3))
    fleet.snapshot(cache, tmp_path / "t", host="b", at=AT.replace(day=1))
    for day, hosts, apps in (
        (None, ["a", "b"], 36),
        ("2026-03-02", ["a", "b"], 18),
        (date(2026, 3, 1), ["b"], 18),
    ):
        with fleet.open(tmp_path / "t", day=day) as opened:
            assert opened.hosts == hosts
            assert opened.summary()["app_count"].tolist() == [apps]
    with pytest.raises(SpinCacheError, match="2026-02-28"):
        fleet.open(tmp_path / "t", day="2026-02-28")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"format": 1}', b'{"format": 99}'])
def test_marker_that_cannot_be_read_is_skipped_and_told(cache, tmp_path: Path, content: bytes) -> None:
    fleet.snapshot(cache, tmp_path, host="a", at=AT.replace(day=1))
    fleet.snapshot(cache, tmp_path, host="a", at=AT)
    (tmp_path / "host=a" / "day=2026-03-02" / MARKER).write_bytes(content)
    with fleet.open(tmp_path) as opened:
        assert opened.summary()["app_count"].tolist() == [18]
        assert [skipped.path.split("/")[-2] for skipped in opened.skipped] == ["day=2026-03-02"]
        assert "1 skipped" in repr(opened)


def test_marker_names_no_file_outside_its_folder() -> None:
    part = {table: ["../../x.parquet", 1, 1] for table in TABLES}
    document = {"format": 1, "kind": "cache", "host": "a", "day": "2026-03-02", "parts": [part]}
    document["taken_at"] = "2026-03-02T00:00:00+00:00"
    with pytest.raises(FormatError):
        parse_marker(json.dumps(document).encode(), where="m")


def test_marker_of_another_host_is_skipped(cache, tmp_path: Path) -> None:
    fleet.snapshot(cache, tmp_path, host="a", at=AT)
    (tmp_path / "host=a").rename(tmp_path / "host=b")
    with pytest.raises(SpinCacheError, match="none that can be read"):
        fleet.open(tmp_path)


def test_files_that_no_marker_names_are_not_read(cache, tmp_path: Path) -> None:
    fleet.snapshot(cache, tmp_path, host="a", at=AT)
    folder = tmp_path / "host=a" / "day=2026-03-02"
    (uses,) = folder.glob("uses-*")
    (folder / "uses-9-left.parquet").write_bytes(uses.read_bytes())
    (tmp_path / "host=a" / "day=never").mkdir()
    (tmp_path / "README").write_text("not ours")
    with fleet.open(tmp_path) as opened:
        before = opened.summary()
    (folder / "uses-9-left.parquet").unlink()
    with fleet.open(tmp_path) as opened:
        assert opened.summary().equals(before)


def test_extras_that_are_absent_are_one_clear_error(tmp_path: Path) -> None:
    code = """
import sys
for name in ("pyarrow", "duckdb", "fsspec", "dask", "distributed"):
    sys.modules[name] = None
import spincache_nb as sc
from spincache_nb.errors import MissingExtraError
place = sys.argv[1]
for call in (
    lambda: sc.fleet.snapshot(sc.Cache(place), place),
    lambda: sc.fleet.open(place),
    lambda: sc.demo.write_fleet(place),
):
    try:
        call()
    except MissingExtraError as exc:
        print(exc)
"""
    run = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )
    lines = run.stdout.splitlines()
    assert len(lines) == 3
    assert all('pip install "spincache-nb[fleet]"' in line and "package fsspec" in line for line in lines)
    assert issubclass(MissingExtraError, SpinCacheError)


def test_dask_that_is_absent_is_one_clear_error(cache, tmp_path: Path, monkeypatch) -> None:
    fleet.snapshot(cache, tmp_path, host="a")
    for name in [*sys.modules]:
        if name.partition(".")[0] in ("dask", "distributed"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "dask", None)
    with pytest.raises(MissingExtraError) as caught:
        fleet.open(tmp_path, engine="dask")
    assert caught.value.remedy == 'pip install "spincache-nb[dask]"'
    assert caught.value.expected == "the package dask"

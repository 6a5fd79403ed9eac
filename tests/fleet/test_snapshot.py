"""Snapshots: complete or not there, the same again for the same cache, and nobody's secrets."""

from __future__ import annotations

import io
import random
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

pytest.importorskip("pyarrow", reason="the extra fleet is not installed")

import duckdb
import pyarrow.parquet as pq

import spincache_nb as sc
from spincache_nb import demo, fleet
from spincache_nb.core.digest import Digest
from spincache_nb.errors import MissingExtraError, SpinCacheError
from spincache_nb.fleet import table
from spincache_nb.fleet.place import Place
from spincache_nb.fleet.snapshots import publish, records_of
from tests.analysis.worlds import two_versions
from tests.fleet.fleets import write_hosts
from tests.support.made_up_fleet import FleetPlan, write_fleet

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


def test_snapshot_is_one_parquet_file_of_the_columns_that_are_told(cache, tmp_path: Path) -> None:
    taken = fleet.snapshot(cache, tmp_path, host="node 1/a", at=AT)
    (path,) = (tmp_path / "host=node%201%2Fa" / "day=2026-03-02").iterdir()
    assert path.name.startswith("20260302T233000.000000Z-")
    found = pq.ParquetFile(path)
    assert (found.metadata.num_rows, path.stat().st_size) == (taken.row_count, taken.size_bytes)
    assert found.metadata.metadata[table.FORMAT_KEY] == b"2"
    schema = table.arrow_types()
    assert found.schema_arrow.names == list(schema)
    assert [field.type for field in found.schema_arrow] == list(schema.values())
    rows = found.read().to_pylist()
    assert {row["record"] for row in rows} == {"snapshot", "app", "blob", "disk", "name", "need"}
    assert {(row["host"], row["taken_at"], row["source"]) for row in rows} == {("node 1/a", AT, "cache")}
    assert (taken.written, taken.host, taken.day) == (True, "node 1/a", date(2026, 3, 2))


def test_snapshot_is_read_by_plain_sql(cache, tmp_path: Path) -> None:
    """With nothing but DuckDB, and with the views that a fleet gives."""
    duckdb = pytest.importorskip("duckdb")
    fleet.snapshot(cache, tmp_path, host="a", at=AT)
    plain = f"SELECT sum(stored_bytes) FROM '{tmp_path}/host=*/day=*/*.parquet' WHERE use_count > 0"
    with fleet.open(tmp_path) as opened:
        stored = int(opened.summary()["stored_bytes"].iloc[0])
        views = opened.views()
    with duckdb.connect() as connection:
        assert connection.sql(plain).fetchall() == [(stored,)]
        for name, text in views.items():
            connection.execute(f"CREATE VIEW {name} AS {text}")
        assert connection.sql("SELECT count(*) FROM manifests").fetchall() == [(18,)]


def test_snapshot_of_the_same_cache_writes_nothing(cache, tmp_path: Path) -> None:
    first = fleet.snapshot(cache, tmp_path, host="a", at=AT)
    before = files_of(tmp_path)
    second = fleet.snapshot(cache, tmp_path, host="a", at=AT.replace(minute=59))
    assert files_of(tmp_path) == before
    assert (first.written, second.written) == (True, False)
    assert (second.row_count, second.size_bytes) == (first.row_count, first.size_bytes)


def test_snapshot_of_another_state_takes_the_place_of_the_first(cache, tmp_path: Path) -> None:
    empty = sc.Cache(tmp_path / "no-cache")
    for number, (one, apps) in enumerate([(cache, 18), (empty, 0)]):
        assert fleet.snapshot(one, tmp_path / "t", host="a", at=AT).written
        with fleet.open(tmp_path / "t") as opened:
            assert opened.summary()["app_count"].tolist() == [apps], number


def test_older_moment_never_takes_the_place_of_a_newer_one(cache, tmp_path: Path) -> None:
    empty = sc.Cache(tmp_path / "no-cache")
    fleet.snapshot(cache, tmp_path / "t", host="a", at=AT)
    late = fleet.snapshot(empty, tmp_path / "t", host="a", at=AT.replace(minute=1))
    assert not late.written
    with fleet.open(tmp_path / "t") as opened:
        assert opened.summary()["app_count"].tolist() == [18]


def test_replaced_file_stays_for_a_while_and_then_goes(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    frames = two_versions().frames()
    for number, minutes in enumerate((30, 20, 5, 0)):
        records = records_of(replace(frames, apps=frames.need("apps").head(number)))
        moment = now - timedelta(minutes=minutes)
        publish(
            Place(tmp_path), table.whole(records, source="cache", host="a", day=now.date(), moment=moment)
        )
    left = sorted(path.name[:15] for path in tmp_path.rglob("*.parquet"))
    kept = [now - timedelta(minutes=minutes) for minutes in (20, 5, 0)]
    assert left == [f"{moment:%Y%m%dT%H%M%S}" for moment in kept], "the first was replaced long ago"


def test_snapshot_mends_a_damaged_one(cache, tmp_path: Path) -> None:
    fleet.snapshot(cache, tmp_path, host="a", at=AT)
    (path,) = tmp_path.rglob("*.parquet")
    path.write_bytes(path.read_bytes()[:-9])
    assert fleet.snapshot(cache, tmp_path, host="a", at=AT.replace(minute=31)).written
    with fleet.open(tmp_path) as opened:
        assert opened.summary()["app_count"].tolist() == [18]


def test_snapshot_that_is_stopped_or_finds_no_room_leaves_the_one_before(
    cache, tmp_path: Path, monkeypatch
) -> None:
    fleet.snapshot(cache, tmp_path / "t", host="a", at=AT)
    before = files_of(tmp_path)
    for fault, raised in (
        (OSError(28, "No space left on device"), SpinCacheError),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ):

        def fail(self, target, fault=fault):
            raise fault

        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", fail)
            late = AT.replace(minute=59)
            with pytest.raises(raised):
                fleet.snapshot(sc.Cache(tmp_path / "no-cache"), tmp_path / "t", host="a", at=late)
        assert files_of(tmp_path) == before


def test_many_snapshots_of_one_host_at_once_leave_the_newest(tmp_path: Path) -> None:
    frames = two_versions().frames()

    def write(second: int) -> None:
        moment = AT.replace(second=second)
        apps = frames.need("apps").head(second % 4).assign(name=f"app {second}")  # no two are the same
        records = records_of(replace(frames, apps=apps))
        publish(Place(tmp_path), table.whole(records, source="cache", host="a", day=AT.date(), moment=moment))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(12)))
    with fleet.open(tmp_path) as opened:
        assert opened.snapshots()["taken_at"].tolist() == [AT.replace(second=11)]
        assert opened.summary()["app_count"].tolist() == [3]
        assert opened.skipped == ()


def test_impossible_size_becomes_a_problem(tmp_path: Path) -> None:
    world = two_versions()
    wasm = world.apps[0].layers[0][0]
    frames = world.frames()
    layers = frames.need("layers")
    layers.loc[layers["digest"] == wasm, "declared_bytes"] = 2**63 - 1
    write_hosts(tmp_path, {"a": frames, "b": two_versions().frames()})
    with fleet.open(tmp_path) as opened:
        assert opened.hosts == ["a", "b"]
        found = opened.problems()
        assert found.loc[found["kind"] == "size out of range", "host"].tolist() == ["a"] * 3
        opened.version_savings()


# What is written, and what is not -----------------------------------------------------------------


def everything_in(folder: Path) -> bytes:
    """Names, and every value of every column, uncompressed."""
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


def test_snapshot_takes_little_more_than_its_digests(tmp_path: Path) -> None:
    """400 apps of 100 layers, of 20,000 different blobs, whose digests nothing makes shorter."""
    plan = FleetPlan(hosts=1, apps_per_host=500, files_per_app=85, repositories=2_000, versions=9)
    (taken,) = write_fleet(tmp_path, plan)
    with fleet.open(tmp_path) as opened:
        assert opened.row_count > 60_000
        found = opened._run("SELECT count(*) AS needs, count(DISTINCT digest) AS digests FROM needs")
    needs, digests = (column[0].as_py() for column in found.columns)
    assert taken.size_bytes < 34 * digests + 10 * needs


def test_digests_take_little_whether_they_come_in_runs_or_strewn() -> None:
    """Each way of writing digests would take several times as much for one of the two."""
    some = [Digest.of(str(number).encode()) for number in range(5_000)]
    strewn = random.Random(1).choices(some, k=50_000)
    sizes = []
    for digests in (some * 10, strewn):
        needs = {"digest": list(map(str, digests)), "reference": "ghcr.io/org/app:1", "kind": "app"}
        told = table.rows_of("need", needs, len(digests))
        sizes.append(len(table.to_parquet(told)))
    runs, strewn_size = sizes
    assert runs < 5_000 * 45
    assert strewn_size < 5_000 * 34 + 50_000 * 2


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


# Days --------------------------------------------------------------------------------------------


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


def test_extras_that_are_absent_are_one_clear_error(tmp_path: Path) -> None:
    code = """
import sys
for name in ("pyarrow", "duckdb", "fsspec"):
    sys.modules[name] = None
import spincache_nb as sc
from spincache_nb.core.digest import Digest
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


README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
SQL = [
    *re.findall(r"^```sql\n(.*?)^```", README, re.DOTALL | re.MULTILINE),
    *re.findall(r"::\n\n((?: {4}.*\n)+)", table.__doc__ or ""),
]


@pytest.mark.parametrize("text", SQL)
def test_documented_queries_say_what_the_analyses_say(text: str, tmp_path: Path) -> None:
    """Every SQL statement of the README and of the table's description, as it stands, in plain DuckDB."""
    write_fleet(tmp_path, FleetPlan(hosts=3, apps_per_host=12, files_per_app=6, repositories=9, versions=3))
    text = re.sub(r"--.*", "", text).replace("/mnt/fleet", str(tmp_path))
    view, *queries = [one.strip() for one in text.split(";") if one.strip()]
    with fleet.open(tmp_path) as opened:
        idle = opened.unreferenced().groupby("host", observed=True)["stored_bytes"].sum()
        where = opened.versions().set_index("reference")["host_count"]
        blobs = opened._run("SELECT digest, stored_bytes FROM blobs").to_pandas()
    sizes = blobs.groupby("digest")["stored_bytes"].agg(["count", "first"]).prod(axis=1)
    largest = sizes.sort_values(ascending=False)
    with duckdb.connect() as connection:
        connection.execute(view)
        found = [connection.execute(query).fetchall() for query in queries]
    could_go, is_where, takes_most = found
    assert dict(could_go) == idle.to_dict()
    assert dict(is_where) == where.to_dict()
    assert [count for _, count in is_where] == sorted(where, reverse=True)
    assert [size for _, size in takes_most] == largest.head(9).tolist()
    assert all(largest[digest] == size for digest, size in takes_most)

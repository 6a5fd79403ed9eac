"""Opening: which engine, which place, which snapshots; memory that is bounded; arguments that are wrong."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

pytest.importorskip("duckdb", reason="the extra fleet is not installed")

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.implementations.local import LocalFileSystem

from spincache_nb import fleet
from spincache_nb.analysis.schemas import SUMMARY_SCHEMA
from spincache_nb.errors import NotInCacheError, SpinCacheError
from spincache_nb.fleet import schemas, table
from spincache_nb.fleet.dataset import choose
from spincache_nb.fleet.place import Place
from spincache_nb.fleet.snapshots import publish, records_of
from spincache_nb.frames import Frames
from tests.analysis.worlds import World, two_versions
from tests.fleet.fleets import write_hosts
from tests.support.made_up_fleet import FleetPlan, write_fleet

PLAN_DAY = date(2026, 3, 2)
PLAN = FleetPlan(hosts=3, apps_per_host=10, files_per_app=6, repositories=10, versions=3)
EVERY = {
    "summary": schemas.FLEET_SUMMARY_SCHEMA,
    "sharing": schemas.FLEET_SHARING_SCHEMA,
    "breakdown": schemas.FLEET_BREAKDOWN_SCHEMA,
    "shared_bytes": schemas.FLEET_SHARED_BYTES_SCHEMA,
    "version_savings": schemas.FLEET_VERSION_SAVINGS_SCHEMA,
    "unreferenced": schemas.UNREFERENCED_SCHEMA,
    "host_overlap": schemas.HOST_OVERLAP_SCHEMA,
    "host_pairs": schemas.HOST_PAIRS_SCHEMA,
    "prewarm": schemas.PREWARM_SCHEMA,
    "prewarm_images": schemas.PREWARM_IMAGES_SCHEMA,
    "versions": schemas.VERSIONS_SCHEMA,
    "problems": schemas.PROBLEMS_SCHEMA,
    "snapshots": schemas.SNAPSHOTS_SCHEMA,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small fleet, in a folder whose name holds what patterns are made of."""
    path = tmp_path_factory.mktemp("fleet") / "it's [1] * ? 100%"
    write_fleet(path, PLAN)
    return path


class Elsewhere(LocalFileSystem):
    """A store that only fsspec can reach, as far as anybody can tell."""

    protocol = "elsewhere"

    @classmethod
    def _strip_protocol(cls, path):
        return LocalFileSystem._strip_protocol(str(path).replace("elsewhere://", "file://"))


@pytest.fixture(scope="module", autouse=True)
def _elsewhere():
    fsspec.register_implementation("elsewhere", Elsewhere, clobber=True)


# Columns ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EVERY)
def test_every_frame_has_its_schema_also_when_empty(name: str, folder: Path, tmp_path: Path) -> None:
    nothing = write_hosts(tmp_path, {"a": World([], {}, set()).frames(), "b": World([], {}, set()).frames()})
    for place in (folder, nothing):
        with fleet.open(place) as opened:
            frame = getattr(opened, name)()
        assert {column: str(dtype) for column, dtype in frame.dtypes.items()} == dict(EVERY[name])
        assert frame.index.equals(pd.RangeIndex(len(frame)))


@pytest.mark.parametrize("name", EVERY)
def test_every_docstring_lists_the_columns_that_are_its_own(name: str) -> None:
    text = getattr(fleet.Fleet, name).__doc__
    listed = dict(
        re.findall(
            r"^ +(\w+) +(category|string|Int64|Float64|timedelta64\[ns\]|datetime64\[ns, UTC\])  ",
            text,
            re.MULTILINE,
        )
    )
    assert listed.items() <= dict(EVERY[name]).items()
    assert set(listed) == (set() if name == "shared_bytes" else set(EVERY[name]))


def test_fleet_columns_begin_with_those_of_one_cache() -> None:
    assert list(schemas.FLEET_SUMMARY_SCHEMA)[: len(SUMMARY_SCHEMA)] == list(SUMMARY_SCHEMA)


# Engines ------------------------------------------------------------------------------------------


def test_open_takes_duckdb_unless_it_gets_a_session(folder: Path) -> None:
    with fleet.open(folder, threads=1) as opened:
        assert opened.engine == "duckdb"
        assert repr(opened) == f"Fleet(3 caches, {opened.row_count} rows, engine 'duckdb')"
    for engine in ("spark", "pandas", object()):
        with pytest.raises(ValueError, match="a running SparkSession"):
            fleet.open(folder, engine=engine)


def test_spills_below_a_memory_limit_and_says_the_same(tmp_path: Path) -> None:
    plan = FleetPlan(hosts=8, apps_per_host=400, files_per_app=60, repositories=4_000, versions=6)
    write_fleet(tmp_path / "fleet", plan)
    spilled, most, done = tmp_path / "spill", [0], threading.Event()

    def watch() -> None:
        while not done.wait(0.005):
            with contextlib.suppress(FileNotFoundError):
                most[0] = max([most[0], *(path.stat().st_size for path in spilled.rglob("*.tmp"))])

    with fleet.open(tmp_path / "fleet") as free:
        expected = free.sharing()
    thread = threading.Thread(target=watch)
    thread.start()
    try:
        with fleet.open(tmp_path / "fleet", memory_limit="60MB", threads=1, spill_folder=spilled) as bounded:
            pd.testing.assert_frame_equal(bounded.sharing(), expected)
    finally:
        done.set()
        thread.join()
    assert most[0] > 0, "the limit was to be too small for what there is to add up"
    assert not list(spilled.rglob("*.tmp"))


def test_closed_fleet_is_one_clear_error(folder: Path) -> None:
    opened = fleet.open(folder)
    opened.close()
    opened.close()
    assert repr(opened).endswith(", closed)")
    for name in EVERY:
        with pytest.raises(SpinCacheError) as caught:
            getattr(opened, name)()
        assert (caught.value.found, caught.value.where) == ("one that was closed", str(folder))


def test_threads_get_the_answers_to_their_own_questions(folder: Path) -> None:
    with fleet.open(folder) as opened:
        names = [*EVERY, *EVERY, *EVERY]
        expected = {name: getattr(opened, name)() for name in EVERY}
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda name: getattr(opened, name)(), names))
    for name, frame in zip(names, found, strict=True):
        drop = ["snapshot_age"] if name == "snapshots" else []
        pd.testing.assert_frame_equal(frame.drop(columns=drop), expected[name].drop(columns=drop))


def test_close_removes_what_was_spilled(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    opened = fleet.open(folder)
    assert len(list(tmp_path.glob("spincache-fleet-*"))) == 1
    opened.close()
    assert not list(tmp_path.glob("spincache-fleet-*"))


def test_no_extension_is_ever_downloaded(folder: Path) -> None:
    with fleet.open(folder) as opened:
        names = ("autoinstall_known_extensions", "autoload_known_extensions")
        query = "SELECT " + ", ".join(f"current_setting('{name}')" for name in names)
        assert opened._engine._connection.execute(query).fetchall() == [(False, False)]


# Places -------------------------------------------------------------------------------------------


def test_any_store_of_fsspec_will_do(tmp_path: Path) -> None:
    """DuckDB reads through the file system that it is handed."""
    target = f"elsewhere://{tmp_path.as_posix()}/fleet"
    write_fleet(target, PLAN)
    write_fleet(tmp_path / "plain", PLAN)
    with fleet.open(target) as there, fleet.open(tmp_path / "plain") as here:
        assert not there._place.local
        pd.testing.assert_frame_equal(there.sharing(), here.sharing())
        pd.testing.assert_frame_equal(there.unreferenced(), here.unreferenced())


def test_credentials_in_an_address_or_options_are_not_shown(folder: Path) -> None:
    place = Place(folder, {"auto_mkdir": False})
    place._address = "s3://user:hunter2@bucket/fleet"
    assert "hunter2" not in repr(place)
    assert "hunter2" not in str(place)
    assert str(place) == "s3://bucket/fleet"


def test_open_says_what_is_there_in_place_of_a_snapshot(tmp_path: Path) -> None:
    """Nothing, one that was begun, a cache, a folder within, something else, another kind, other days."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "notes.txt").write_text("mine")
    (tmp_path / "crawl" / "host=r" / "day=2026-03-02").mkdir(parents=True)
    (tmp_path / "crawl" / "host=r" / "day=2026-03-02" / "_crawl-000000.part").write_text("{}")
    (tmp_path / "cache" / "registry" / "wasm").mkdir(parents=True)
    (tmp_path / "cache" / "registry" / "wasm" / f"sha256:{'0' * 64}").write_text("x")
    write_fleet(tmp_path / "good", PLAN)
    cases = {
        "absent": ("no file at all", "check the address"),
        "empty": ("no file at all", "check the address"),
        "foreign": ("one file that no snapshot has, such as notes.txt", "name another folder"),
        "crawl": ("a crawl that is not finished, host=r/day=2026-03-02", "fleet.crawl() again"),
        "cache": ("a Spin cache", "fleet.snapshot()"),
        "good/host=ci-1": ("a folder within a dataset", "open the folder that holds"),
        "good/host=ci-1/day=2026-03-02": ("a folder within a dataset", "open the folder that holds"),
    }
    for name, (found, remedy) in cases.items():
        with pytest.raises(SpinCacheError) as caught:
            fleet.open(tmp_path / name)
        assert caught.value.where == str(tmp_path / name)
        assert caught.value.found == found
        assert remedy in caught.value.remedy
    with pytest.raises(SpinCacheError, match="kind 'cache' only"):
        fleet.open(tmp_path / "good", kind="registry")
    with pytest.raises(SpinCacheError, match="the first of 2026-03-02"):
        fleet.open(tmp_path / "good", day="2026-03-01")


# What cannot be used ------------------------------------------------------------------------------


def rewritten(path: Path, change) -> None:
    """Write a snapshot again with other columns."""
    found = pq.ParquetFile(path).read()
    pq.write_table(change(found), path)


def column(name: str, values):
    """A change that gives a column other values."""

    def change(found):
        array = values(found) if callable(values) else pa.array([values] * found.num_rows)
        return found.set_column(found.schema.get_field_index(name), name, array)

    return change


def sizes(size: int):
    """Sizes, where there are any, that no file has."""
    return lambda found: pa.array([value and size for value in found["stored_bytes"].to_pylist()], pa.int64())


DAMAGE = {
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "empty": lambda path: path.write_bytes(b""),
    "no Parquet": lambda path: path.write_bytes(b"not Parquet, PAR1"),
    "huge metadata": lambda path: path.write_bytes(
        b"PAR1" + b"x" * (20 << 20) + (20 << 20).to_bytes(4, "little") + b"PAR1"
    ),
    "false metadata": lambda path: path.write_bytes(
        b"PAR1" + b"x" * 300 + (300).to_bytes(4, "little") + b"PAR1"
    ),
    "later format": lambda path: rewritten(
        path, lambda found: found.replace_schema_metadata({table.FORMAT_KEY: "3"})
    ),
    "format 1e400": lambda path: rewritten(
        path, lambda found: found.replace_schema_metadata({table.FORMAT_KEY: "1e400"})
    ),
    "renamed column": lambda path: rewritten(
        path,
        lambda found: found.rename_columns(
            ["x" if name == "digest" else name for name in found.column_names]
        ),
    ),
    "column of nulls": lambda path: rewritten(
        path, column("digest", lambda found: pa.nulls(found.num_rows, pa.string()))
    ),
    "no counts": lambda path: rewritten(
        path, column("use_count", lambda found: pa.nulls(found.num_rows, pa.int64()))
    ),
    "no host": lambda path: rewritten(
        path, column("host", lambda found: pa.nulls(found.num_rows, pa.string()))
    ),
    "sizes of 2^62": lambda path: rewritten(path, column("stored_bytes", sizes(2**62))),
    "negative sizes": lambda path: rewritten(path, column("stored_bytes", sizes(-5))),
    "sizes as text": lambda path: rewritten(path, column("stored_bytes", "many")),
    "another host": lambda path: rewritten(path, column("host", "dev-2")),
    "another moment": lambda path: rewritten(path, column("taken_at", datetime(2026, 3, 1, tzinfo=UTC))),
    "neither cache nor registry": lambda path: rewritten(path, column("source", "disk")),
    "no row": lambda path: rewritten(path, lambda found: found.slice(0, 0)),
    "a folder": lambda path: (path.unlink(), path.mkdir(), (path / "x").write_bytes(b"PAR1")),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_cannot_be_used_is_skipped_and_the_day_before_stands_in(damage: str, tmp_path: Path) -> None:
    write_fleet(tmp_path, PLAN)
    write_fleet(tmp_path, PLAN, day=PLAN_DAY + timedelta(days=1), seed=2)
    (victim,) = tmp_path.glob("host=ci-1/day=2026-03-03/*.parquet")
    DAMAGE[damage](victim)
    with fleet.open(tmp_path) as opened:
        assert opened.snapshots()["day"].dt.day.tolist() == [2, 3, 3]
        skipped = [one for one in opened.skipped if one.path.startswith(str(victim))]
        assert len(skipped) == (damage != "a folder")
        assert all("\n" not in one.reason for one in skipped)
        for name in EVERY:
            getattr(opened, name)()


def test_file_that_goes_while_a_fleet_is_opened_is_not_chosen_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_fleet(tmp_path, PLAN)

    def choose_and_lose(*args: Any, **named: Any) -> Any:
        found = choose(*args, **named)
        if len(found.chosen) == 3:
            Path(found.place.path(found.chosen[0].name)).unlink()
        return found

    monkeypatch.setattr("spincache_nb.fleet.opened.choose", choose_and_lose)
    with fleet.open(tmp_path) as opened:
        assert opened.hosts == ["dev-2", "edge-0"]
        assert opened.summary()["host_count"].tolist() == [2]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_named_pipe_blocks_nobody(tmp_path: Path) -> None:
    write_fleet(tmp_path, PLAN)
    (victim,) = tmp_path.glob("host=ci-1/day=*/*.parquet")
    victim.unlink()
    os.mkfifo(victim)
    with fleet.open(tmp_path) as opened:
        assert opened.hosts == ["dev-2", "edge-0"]
        assert ["a regular file" in one.reason for one in opened.skipped] == [True]


@pytest.mark.parametrize("damage", ["bytes", "counts"])
def test_damage_that_no_footer_shows_is_found_and_skipped_when_it_is_read(
    damage: str, tmp_path: Path
) -> None:
    """A part of a file overwritten; or statistics that lie."""
    write_fleet(tmp_path, PLAN)
    (victim,) = tmp_path.glob("host=ci-1/day=*/*.parquet")
    content = bytearray(victim.read_bytes())
    end = (len(content) - int.from_bytes(content[-8:-4], "little")) * 2 // 3  # the footer stays
    content[4:end] = b"\xff" * (end - 4)
    if damage == "bytes":
        victim.write_bytes(content)
    else:
        rewritten(
            victim,
            column(
                "use_count", lambda found: pa.array([v and 2**50 for v in found["use_count"].to_pylist()])
            ),
        )
    with fleet.open(tmp_path) as opened:
        assert opened.hosts == ["ci-1", "dev-2", "edge-0"]
        assert opened.summary()["host_count"].tolist() == [2]
        assert [one.path for one in opened.skipped] == [str(victim)]
        for name in EVERY:
            getattr(opened, name)()


def test_optional_columns_and_other_types_do_not_matter(tmp_path: Path) -> None:
    """A later version may write more columns, an earlier one fewer."""
    write_fleet(tmp_path, PLAN)
    with fleet.open(tmp_path) as opened:
        expected = {name: getattr(opened, name)() for name in ("sharing", "host_overlap", "version_savings")}
    (victim,) = tmp_path.glob("host=ci-1/day=*/*.parquet")
    rewritten(
        victim,
        lambda found: found.drop_columns(["component_count", "file_count"]).append_column(
            "new", found["kind"]
        ),
    )
    rewritten(
        victim,
        lambda found: found.set_column(
            found.schema.get_field_index("position"), "position", found["position"].cast(pa.int32())
        ),
    )
    with fleet.open(tmp_path) as opened:
        assert opened.skipped == ()
        for name, frame in expected.items():
            pd.testing.assert_frame_equal(getattr(opened, name)(), frame)


def test_old_format_is_told_and_breaks_nothing(tmp_path: Path) -> None:
    old = tmp_path / "host=old" / "day=2026-03-02"
    old.mkdir(parents=True)
    (old / "_complete.json").write_text('{"format": 1}' + " " * 1000)
    (old / "apps-0-1f.parquet").write_bytes(b"PAR1")
    with pytest.raises(SpinCacheError, match="old format 1"):
        fleet.open(tmp_path)
    write_fleet(tmp_path, PLAN)
    with fleet.open(tmp_path) as opened:
        assert len(opened.hosts) == 3
        assert ["old format" in one.reason for one in opened.skipped] == [True]


def test_since_leaves_out_what_is_older_and_the_future_is_told(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    frames = two_versions().frames()
    for host, age in (("new", 1), ("old", 50), ("ahead", 2), ("ahead", -30)):
        moment = now - timedelta(hours=age)
        found = table.whole(records_of(frames), source="cache", host=host, day=moment.date(), moment=moment)
        publish(Place(tmp_path), found)
    for since in (
        now - timedelta(days=1),
        timedelta(days=1),
        f"{now - timedelta(days=1):%Y-%m-%dT%H:%M:%S+00:00}",
    ):
        with fleet.open(tmp_path, since=since) as opened:
            assert opened.hosts == ["ahead", "new"]
            reasons = [one.reason for one in opened.skipped]
            assert "from the future, by 1 day, 5:59" in reasons[0]
            assert "older than asked for" in reasons[1]
    with fleet.open(tmp_path, since=(now - timedelta(days=4)).date()) as opened:
        assert opened.snapshots()["snapshot_age"].dt.total_seconds().floordiv(3600).tolist() == [2, 1, 50]


# Live ---------------------------------------------------------------------------------------------


def test_reader_that_loses_a_file_chooses_again(tmp_path: Path) -> None:
    """A host's file replaced and removed after the fleet was opened, without any grace."""
    write_fleet(tmp_path, PLAN)
    with fleet.open(tmp_path) as opened:
        for path in tmp_path.glob("host=ci-1/day=*/*.parquet"):
            path.unlink()
        write_fleet(tmp_path, PLAN, day=PLAN_DAY + timedelta(days=1))
        for name in EVERY:
            getattr(opened, name)()
        assert opened.snapshots()["day"].dt.day.tolist() == [3, 3, 3]


def test_hosts_that_write_all_the_time_break_no_reader(tmp_path: Path) -> None:
    frames = two_versions().frames()
    stop = threading.Event()

    def write(host: str) -> None:
        number = 0
        while not stop.is_set():
            number += 1
            changed = frames.need("apps").assign(name=str(number))
            one = Frames(**{**{f.name: getattr(frames, f.name) for f in fields(frames)}, "apps": changed})
            moment = datetime.now(UTC)
            publish(
                Place(tmp_path),
                table.whole(records_of(one), source="cache", host=host, day=moment.date(), moment=moment),
            )
            for old in sorted(tmp_path.glob(f"host={host}/day=*/*.parquet"))[:-2]:
                old.unlink()  # as if the grace were over at once

    with ThreadPoolExecutor(3) as pool:
        running = [pool.submit(write, f"h{number}") for number in range(3)]
        try:
            while len(list(tmp_path.glob("host=*"))) < 3:
                stop.wait(0.05)
            for _ in range(4):
                with fleet.open(tmp_path) as opened:
                    for name in ("summary", "sharing", "host_overlap", "versions"):
                        getattr(opened, name)()
                    assert opened.summary()["host_count"].tolist() == [3]
                    assert opened.skipped == ()
        finally:
            stop.set()
    assert [one.result() for one in running] == [None] * 3


def test_open_looks_no_deeper_than_a_dataset_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever opens their home directory by mistake waits for no walk through it."""
    deep = tmp_path / "a" / "b" / "c" / "d"
    deep.mkdir(parents=True)
    (deep / "file").write_text("x")
    (tmp_path / "a" / "b" / "c" / "near").write_text("x")
    assert Place(tmp_path).files() == {}


# Names --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ghcr.io/org/web", "org/web", "ghcr.io/org/web:1.0.0"])
def test_repositories_are_found_by_short_names(name: str, tmp_path: Path) -> None:
    write_hosts(tmp_path, {"a": two_versions().frames()})
    with fleet.open(tmp_path) as opened:
        table = opened.version_savings(name)
    assert table["repository"].unique().tolist() == ["ghcr.io/org/web"]
    assert table["fetch_bytes"].tolist() == [1000 + 40 + 7 + 50 + 20, 9 + 51 + 20]


def test_repositories_that_are_not_there_or_ambiguous_are_errors(tmp_path: Path) -> None:
    world = two_versions()
    for app in world.apps[1:2]:
        app.registry = "localhost:5000"
    write_hosts(tmp_path, {"a": world.frames()})
    with fleet.open(tmp_path) as opened:
        with pytest.raises(NotInCacheError) as caught:
            opened.version_savings("org/nothing")
        assert caught.value.found == "none of that name"
        with pytest.raises(NotInCacheError, match="localhost:5000"):
            opened.version_savings("org/web")
        with pytest.raises(ValueError, match="podman"):
            opened.version_savings(rules="podman")  # type: ignore[arg-type]


def test_version_savings_with_unreadable_manifests_leaves_them_out(tmp_path: Path) -> None:
    frames = two_versions().frames()
    apps = frames.need("apps")
    apps.loc[0, ["layer_count", "declared_bytes"]] = [pd.NA, pd.NA]
    layers = frames.need("layers")
    gone = apps["reference"].iloc[0]
    from dataclasses import replace

    write_hosts(tmp_path, {"a": replace(frames, layers=layers[layers["reference"] != gone])})
    with fleet.open(tmp_path) as opened:
        assert gone not in set(opened.version_savings()["reference"])
        assert gone in set(opened.versions()["reference"])


def test_large_sums_are_exact(tmp_path: Path) -> None:
    """Beyond what a float tells apart."""
    world = two_versions()
    wasm = world.apps[0].layers[0][0]
    world.sizes[wasm] = 2**50 - 1
    write_hosts(tmp_path, {f"h{number}": world.frames() for number in range(3)})
    with fleet.open(tmp_path) as opened:
        row = opened.sharing().set_index("digest").loc[wasm]
        assert row["needed_bytes"] == 9 * (2**50 - 1) > 2**53
        assert row["stored_bytes"] == 3 * (2**50 - 1)
        total = opened.summary().iloc[0]
        assert total["logical_bytes"] == 9 * (2**50 - 1) + 3 * (2 * 40 + 7 + 9)


def test_no_query_draws_on_standard_output(folder: Path) -> None:
    """DuckDB draws a bar where `__main__` has no file, as in a kernel, for what takes over two seconds."""
    script = """if True:
        import sys
        from spincache_nb.fleet.engines import connect
        from spincache_nb.fleet.place import Place
        connection = connect(Place(sys.argv[1]), sys.argv[1])
        for one in (connection, connection.cursor()):
            print(one.execute("SELECT current_setting('enable_progress_bar')").fetchone()[0])
    """
    ran = subprocess.run([sys.executable, "-c", script, folder], capture_output=True, text=True, check=True)
    assert ran.stdout == "False\nFalse\n"

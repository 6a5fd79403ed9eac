"""Opening: which engine, which place, which snapshots; memory that is bounded; arguments that are wrong."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("duckdb", reason="the extra fleet is not installed")

import fsspec
from fsspec.implementations.local import LocalFileSystem

from spincache_nb import fleet
from spincache_nb.analysis.schemas import SUMMARY_SCHEMA
from spincache_nb.demo import FleetPlan, write_fleet
from spincache_nb.errors import NotInCacheError, SpinCacheError
from spincache_nb.fleet import opening, schemas
from spincache_nb.fleet.dataset import choose
from spincache_nb.fleet.engines.in_duckdb import DuckDBEngine
from spincache_nb.fleet.place import Place
from tests.analysis.worlds import World, two_versions
from tests.fleet.fleets import write_hosts

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
    "versions": schemas.VERSIONS_SCHEMA,
    "problems": schemas.PROBLEMS_SCHEMA,
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
@pytest.mark.parametrize("engine", ["pandas", "duckdb"])
def test_every_frame_has_its_schema_also_when_empty(
    name: str, engine: str, folder: Path, tmp_path: Path
) -> None:
    nothing = write_hosts(tmp_path, {"a": World([], {}, set()).frames(), "b": World([], {}, set()).frames()})
    for place in (folder, nothing):
        with fleet.open(place, engine=engine) as opened:
            frame = getattr(opened, name)()
        assert {column: str(dtype) for column, dtype in frame.dtypes.items()} == dict(EVERY[name])
        assert frame.index.equals(pd.RangeIndex(len(frame)))


@pytest.mark.parametrize("name", sorted(set(EVERY) - {"problems"}))
def test_every_docstring_lists_the_columns_that_are_its_own(name: str) -> None:
    text = getattr(fleet.Fleet, name).__doc__
    listed = dict(
        re.findall(r"^ +(\w+) +(category|string|Int64|Float64|datetime64\[ns, UTC\])  ", text, re.MULTILINE)
    )
    for column, dtype in listed.items():
        assert EVERY[name][column] == dtype
    whole = name in ("breakdown", "unreferenced", "host_overlap", "host_pairs", "prewarm", "versions")
    assert not whole or set(listed) == set(EVERY[name])
    assert whole or f"`analysis.{name}`" in text


def test_fleet_columns_begin_with_those_of_one_cache() -> None:
    assert list(schemas.FLEET_SUMMARY_SCHEMA)[: len(SUMMARY_SCHEMA)] == list(SUMMARY_SCHEMA)


# Engines ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "cluster", "engine"),
    [
        (999_999, False, "pandas"),
        (1_000_000, False, "duckdb"),
        (10**9, False, "duckdb"),
        (10**9, True, "dask"),
    ],
)
def test_engine_is_chosen_by_size(rows, cluster, engine, folder: Path, monkeypatch) -> None:
    dataset = choose(Place(folder))
    monkeypatch.setattr(type(dataset), "row_count", lambda self, table: rows if table == "layers" else 7)
    assert opening.engine_for(dataset, cluster=cluster) == engine


def test_open_chooses_pandas_for_little_and_takes_what_is_named(folder: Path) -> None:
    with fleet.open(folder) as opened:
        assert opened.engine == "pandas"
        assert repr(opened) == f"Fleet(3 caches, {opened.row_count} rows, engine 'pandas')"
    with fleet.open(folder, engine="duckdb", threads=1) as opened:
        assert opened.engine == "duckdb"
    with pytest.raises(ValueError, match="spark"):
        fleet.open(folder, engine="spark")  # type: ignore[arg-type]


def test_duckdb_spills_below_a_memory_limit_and_says_the_same(tmp_path: Path) -> None:
    plan = FleetPlan(hosts=8, apps_per_host=400, files_per_app=60, repositories=4_000, versions=6)
    write_fleet(tmp_path / "fleet", plan)
    spilled = tmp_path / "spill"
    most = 0

    class Watched(DuckDBEngine):
        def digests(self, **options):
            nonlocal most
            found = super().digests(**options)
            query = "SELECT coalesce(sum(size), 0) FROM duckdb_temporary_files()"
            ((size,),) = self._catalog.connection.execute(query).fetchall()
            most = max(most, int(size))
            return found

    with fleet.open(tmp_path / "fleet", engine="duckdb") as free:
        expected = free.sharing(top=50)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("spincache_nb.fleet.engines.in_duckdb.DuckDBEngine", Watched)
        bounds = {"memory_limit": "24MB", "threads": 1, "spill_folder": spilled}
        with fleet.open(tmp_path / "fleet", engine="duckdb", **bounds) as bounded:
            pd.testing.assert_frame_equal(bounded.sharing(top=50), expected)
    assert most > 0, "the limit was to be too small for what there is to add up"
    assert not list(spilled.rglob("*.tmp"))


def test_close_removes_what_was_spilled(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    opened = fleet.open(folder, engine="duckdb")
    assert len(list(tmp_path.glob("spincache-fleet-*"))) == 1
    opened.close()
    assert not list(tmp_path.glob("spincache-fleet-*"))


def test_no_extension_is_ever_downloaded(folder: Path) -> None:
    with fleet.open(folder, engine="duckdb") as opened:
        names = ("autoinstall_known_extensions", "autoload_known_extensions")
        query = "SELECT " + ", ".join(f"current_setting('{name}')" for name in names)
        assert opened._catalog.connection.execute(query).fetchall() == [(False, False)]


# Places -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ["pandas", "duckdb"])
def test_any_store_of_fsspec_will_do(engine: str, tmp_path: Path) -> None:
    """DuckDB reads through the file system that it is handed."""
    target = f"elsewhere://{tmp_path.as_posix()}/fleet"
    write_fleet(target, PLAN)
    write_fleet(tmp_path / "plain", PLAN)
    with fleet.open(target, engine=engine) as there, fleet.open(tmp_path / "plain") as here:
        assert not there._catalog.dataset.place.local
        pd.testing.assert_frame_equal(there.sharing(), here.sharing())
        pd.testing.assert_frame_equal(there.unreferenced(), here.unreferenced())


def test_memory_of_this_process_is_seen_here_and_by_no_worker() -> None:
    pytest.importorskip("dask.dataframe", reason="the extra dask is not installed")
    target = "memory://fleet-of-this-process"
    write_fleet(target, PLAN)
    try:
        for engine in ("pandas", "duckdb"):
            with fleet.open(target, engine=engine) as opened:
                assert opened.summary()["host_count"].tolist() == [3]
        with pytest.raises(ValueError, match="cannot see the memory"):
            fleet.open(target, engine="dask")
    finally:
        fsspec.filesystem("memory").rm("/fleet-of-this-process", recursive=True)


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
    (tmp_path / "half" / "host=a" / "day=2026-03-02").mkdir(parents=True)
    (tmp_path / "half" / "host=a" / "day=2026-03-02" / "apps-0-12.parquet").write_bytes(b"PAR1")
    (tmp_path / "crawl" / "host=r" / "day=2026-03-02").mkdir(parents=True)
    (tmp_path / "crawl" / "host=r" / "day=2026-03-02" / "_crawl-000000.json").write_text("{}")
    (tmp_path / "cache" / "registry" / "wasm").mkdir(parents=True)
    (tmp_path / "cache" / "registry" / "wasm" / f"sha256:{'0' * 64}").write_text("x")
    write_fleet(tmp_path / "good", PLAN)
    cases = {
        "absent": ("no file at all", "check the address"),
        "empty": ("no file at all", "check the address"),
        "foreign": ("one file that no snapshot has, such as notes.txt", "name another folder"),
        "half": ("one that is not finished, host=a/day=2026-03-02", "take it again"),
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


def test_open_of_a_later_format_stands_back_to_the_day_before_or_says_so(tmp_path: Path) -> None:
    """Hosts that were updated and hosts that were not write into one dataset."""
    write_fleet(tmp_path, PLAN)
    write_fleet(tmp_path, PLAN, day=date(2026, 3, 3))
    markers = sorted(tmp_path.glob("host=*/day=2026-03-03/_complete.json"))
    markers[0].write_bytes(markers[0].read_bytes().replace(b'"format": 1', b'"format": 2'))
    with fleet.open(tmp_path) as opened:
        assert len(opened.hosts) == 3
        assert [marker.day.day for marker in opened._catalog.dataset.markers] == [2, 3, 3]
        (skipped,) = opened.skipped
        assert "update this toolkit" in skipped.reason
    for marker in tmp_path.glob("host=*/day=*/_complete.json"):
        marker.write_bytes(marker.read_bytes().replace(b'"format": 1', b'"format": 2'))
    with pytest.raises(SpinCacheError, match="update this toolkit"):
        fleet.open(tmp_path)


@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_open_leaves_out_a_snapshot_whose_files_are_not_all_there(damage: str, tmp_path: Path) -> None:
    write_fleet(tmp_path, PLAN)
    victim = sorted(tmp_path.glob("host=ci-1/day=*/uses-*"))[0]
    if damage == "cut":
        victim.write_bytes(victim.read_bytes()[:-1])
    else:
        victim.unlink()
    with fleet.open(tmp_path) as opened:
        assert opened.hosts == ["dev-2", "edge-0"]
        assert [victim.name in skipped.reason for skipped in opened.skipped] == [True]


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
    world.sizes[wasm] = 2**53 + 1
    write_hosts(tmp_path, {f"h{number}": world.frames() for number in range(3)})
    for engine in ("pandas", "duckdb"):
        with fleet.open(tmp_path, engine=engine) as opened:
            row = opened.sharing().set_index("digest").loc[wasm]
            assert row["needed_bytes"] == 9 * (2**53 + 1)
            assert row["stored_bytes"] == 3 * (2**53 + 1)
            total = opened.summary().iloc[0]
            assert total["logical_bytes"] == 9 * (2**53 + 1) + 3 * (2 * 40 + 7 + 9)
    assert np.float64(2**53 + 1) == 2**53

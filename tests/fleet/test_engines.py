"""All engines say what brute force and independent SQL say, on totals and on rows."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

pytest.importorskip("duckdb", reason="the extra fleet is not installed")

from spincache_nb import fleet
from spincache_nb.demo import FleetPlan, write_fleet
from tests.fleet.fleets import SQL, Rows

PLAN = FleetPlan(hosts=7, apps_per_host=22, files_per_app=8, repositories=24, versions=5)
ENGINES = ("pandas", "duckdb", "dask")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A made-up fleet."""
    path = tmp_path_factory.mktemp("fleet")
    write_fleet(path, PLAN, seed=5)
    return path


@pytest.fixture(scope="module")
def rows(folder: Path) -> Rows:
    """The same, row by row."""
    return Rows(folder)


@pytest.fixture(scope="module", params=ENGINES)
def opened(request: pytest.FixtureRequest, folder: Path):
    """The fleet, opened with each engine."""
    if request.param == "dask":
        pytest.importorskip("dask.dataframe", reason="the extra dask is not installed")
    with fleet.open(folder, engine=request.param) as found:
        assert found.engine == request.param
        yield found


def by(frame: pd.DataFrame, *columns: str):
    """Rows of a frame by some columns."""
    names = [name for name in frame.columns if name not in columns]
    keys = zip(*(frame[name].tolist() for name in columns), strict=True)
    values = frame[names].to_dict("records")
    return {key if len(columns) > 1 else key[0]: value for key, value in zip(keys, values, strict=True)}


def test_made_up_fleet_has_what_makes_it_hard(rows: Rows) -> None:
    assert len(rows.hosts) == 7
    assert len(rows.uses) > 1000
    assert rows.members.shape[0] > 0
    assert (rows.apps["tag"] == "latest").any()
    several = rows.apps.groupby("reference")["manifest"].nunique()
    assert (several > 1).any(), "some name should mean different manifests on different hosts"
    assert rows.apps["manifest_digest"].isna().any()
    assert rows.apps["manifest_digest"].notna().any()


def test_summary_is_the_sum_by_brute_force_and_by_sql(opened, rows: Rows, folder: Path) -> None:
    line = opened.summary().to_dict("records")[0]
    expected = rows.summary()
    assert {name: line[name] for name in expected} == pytest.approx(expected)
    totals = SQL(folder).totals()
    assert {name: line[name] for name in totals} == totals
    assert line["disk_bytes"] == rows.breakdown["stored_bytes"].sum()
    idle = rows.breakdown.loc[rows.breakdown["kind"] == "unreferenced", "stored_bytes"].sum()
    assert line["unreferenced_bytes"] == idle


def test_sharing_has_the_rows_of_brute_force_and_of_sql(opened, rows: Rows, folder: Path) -> None:
    table = opened.sharing()
    found, expected = by(table, "digest"), rows.sharing()
    assert found == expected
    listed = [(-saved, digest) for saved, digest in zip(table["saved_bytes"], table["digest"], strict=True)]
    assert listed == sorted(listed)
    counted = SQL(folder).sharing()
    assert {d: (r["user_count"], r["host_count"], r["needed_bytes"]) for d, r in found.items()} == counted


@pytest.mark.parametrize("top", [1, 17, 10_000])
def test_sharing_of_the_top_is_the_head_of_all(opened, top: int) -> None:
    few, head = opened.sharing(top=top), opened.sharing().head(top)
    pd.testing.assert_frame_equal(few, head, check_categorical=False)  # fewer rows name fewer areas


def test_sharing_without_names_has_the_same_columns(opened) -> None:
    table = opened.sharing(names=False)
    assert table["names"].isna().all()
    named = opened.sharing()
    pd.testing.assert_frame_equal(
        table.drop(columns=["names", "name_count"]), named.drop(columns=["names", "name_count"])
    )
    assert table.dtypes.astype(str).tolist() == named.dtypes.astype(str).tolist()


def test_host_overlap_has_the_rows_of_brute_force(opened, rows: Rows) -> None:
    table = opened.host_overlap()
    found = by(table, "host")
    for host, expected in rows.host_overlap().items():
        assert {name: found[host][name] for name in expected} == expected
    assert table["host"].tolist() == rows.hosts
    assert (table["elsewhere_bytes"] + table["only_here_bytes"] == table["stored_bytes"]).all()
    last, total = table.iloc[-1], opened.summary().iloc[0]
    assert last["cumulative_stored_bytes"] == total["stored_bytes"]
    assert last["cumulative_distinct_bytes"] == total["distinct_bytes"]
    assert table["shared_cache_saved_bytes"].sum() == total["shared_cache_saved_bytes"]


def test_host_pairs_have_the_bytes_of_brute_force(opened, rows: Rows) -> None:
    table = opened.host_pairs()
    found = {(a, b): size for a, b, size in table.itertuples(index=False)}
    assert found == rows.host_pairs()
    stored = {host: line["stored_bytes"] for host, line in rows.host_overlap().items()}
    largest = sorted(sorted(stored), key=lambda host: -stored[host])[:3]
    few = opened.host_pairs(top=3)
    assert set(few["host_a"]) | set(few["host_b"]) == set(largest)
    assert all(found[a, b] == size for a, b, size in few.itertuples(index=False))


def test_shared_bytes_have_the_bytes_of_brute_force(opened, rows: Rows) -> None:
    expected = rows.shared_bytes()
    sizes = rows.apps.groupby("reference")["stored_bytes"].sum()
    largest = set(sorted(sizes.index, key=lambda name: (-sizes[name], name))[:12])
    found = {(a, b): size for a, b, size in opened.shared_bytes(top=12).itertuples(index=False)}
    assert found == {pair: size for pair, size in expected.items() if set(pair) <= largest}
    assert 0 in found.values()
    assert max(found.values()) > 0


def test_prewarm_has_the_sums_of_brute_force(opened, rows: Rows) -> None:
    table = opened.prewarm()
    found = by(table, "host_count")
    names = ("blob_count", "distinct_bytes", "stored_bytes")
    assert {n: tuple(line[name] for name in names) for n, line in found.items()} == rows.prewarm()
    assert table["host_count"].is_monotonic_decreasing
    assert table["saved_share"].iloc[-1] == 1.0
    assert table["image_bytes"].iloc[-1] == table["distinct_bytes"].sum()


def test_unreferenced_has_the_rows_of_brute_force(opened, rows: Rows) -> None:
    table = opened.unreferenced()
    names = ["host", "digest", "area", "stored_bytes", "used_by_hosts"]
    assert set(table[names].itertuples(index=False, name=None)) == rows.unreferenced()
    assert len(table) == len(rows.unreferenced())
    assert (table["used_by_hosts"] > 0).any()


def test_versions_have_the_counts_of_brute_force(opened, rows: Rows) -> None:
    table = opened.versions()
    names = ("host_count", "manifest_count", "stored_bytes")
    found = {reference: tuple(line[n] for n in names) for reference, line in by(table, "reference").items()}
    assert found == rows.versions()
    order = list(zip(-table["host_count"], table["reference"], strict=True))
    assert order == sorted(order)
    pulled = pd.to_datetime(rows.apps.groupby("reference")["pulled_at"].max(), utc=True)
    assert dict(zip(table["reference"], table["last_pulled_at"], strict=True)) == pulled.to_dict()


@pytest.mark.parametrize("rules", ["spin", "spincache"])
def test_version_savings_are_those_of_the_analysis_of_one_cache(opened, rows: Rows, rules) -> None:
    """Where no name means two manifests; `analysis.replay` knows one manifest per name."""
    expected = rows.version_savings(rules)
    table = opened.version_savings(rules=rules)
    compared = 0
    for repository, one in expected.items():
        mine = table[table["repository"] == repository]
        if mine["reference"].duplicated().any():
            continue
        shown = mine[one.columns].reset_index(drop=True)
        pd.testing.assert_frame_equal(shown, one)
        pd.testing.assert_frame_equal(opened.version_savings(repository, rules=rules)[one.columns], one)
        compared += 1
    assert compared > 5


def test_version_savings_fetch_what_sql_says(opened, folder: Path, tmp_path: Path) -> None:
    table = opened.version_savings()
    expected = SQL(folder).fetched()
    tagged = table[table["tag"] != "latest"]
    checked = 0
    for repository, rows in table.groupby("repository", observed=True):
        if (rows["tag"] == "latest").any():
            continue  # what it means differs from host to host
        name = str(repository).partition("/")[2]
        assert (len(rows), int(rows["fetch_bytes"].sum())) == expected[name]
        checked += 1
    assert checked > 3
    assert set(tagged["repository"].str.partition("/")[2]) <= set(expected)


def test_version_savings_of_two_manifests_by_one_name_are_two_rows(opened, rows: Rows) -> None:
    table = opened.version_savings()
    counts = table.groupby("reference")["host_count"].agg(["size", "sum"])
    several = rows.apps.groupby("reference")["manifest"].nunique()
    assert counts["size"].to_dict() == several.to_dict()
    spread = rows.apps.groupby("reference").apply(lambda app: app.groupby("manifest")["host"].nunique().sum())
    assert counts["sum"].to_dict() == spread.to_dict()


def test_breakdown_and_problems_are_what_snapshots_say(opened, rows: Rows) -> None:
    table = opened.breakdown()
    found = by(table, "host", "kind")
    assert {pair: line["stored_bytes"] for pair, line in found.items()} == {
        (row.host, row.kind): row.stored_bytes for row in rows.breakdown.itertuples()
    }
    assert table.groupby("host", observed=True)["share"].sum().tolist() == pytest.approx([1.0] * 7)
    assert len(opened.problems()) == 0


def test_every_engine_gives_the_same_frames(folder: Path) -> None:
    """Cell by cell, index and dtypes included."""
    names = ("summary", "sharing", "host_overlap", "host_pairs", "shared_bytes", "prewarm", "unreferenced")
    frames = {}
    for engine in ("pandas", "duckdb"):
        with fleet.open(folder, engine=engine) as opened:
            frames[engine] = [getattr(opened, name)() for name in names] + [opened.version_savings()]
    for one, other in zip(frames["pandas"], frames["duckdb"], strict=True):
        pd.testing.assert_frame_equal(one, other)

"""Every analysis says what brute force says, on totals and on rows."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

pytest.importorskip("duckdb", reason="the extra fleet is not installed")

from spincache_nb import fleet
from tests.fleet.fleets import Rows
from tests.fleet.odd import FLEETS


@pytest.fixture(scope="module", params=FLEETS)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Each of the fleets."""
    path = tmp_path_factory.mktemp("fleet")
    FLEETS[request.param](path)
    return path


@pytest.fixture(scope="module")
def rows(folder: Path) -> Rows:
    """The same, row by row."""
    return Rows(folder)


@pytest.fixture(scope="module")
def opened(folder: Path):
    """The fleet, opened."""
    with fleet.open(folder) as found:
        assert found.engine == "duckdb"
        yield found


def by(frame: pd.DataFrame, *columns: str):
    """Rows of a frame by some columns."""
    names = [name for name in frame.columns if name not in columns]
    keys = zip(*(frame[name].tolist() for name in columns), strict=True)
    values = frame[names].to_dict("records")
    return {key if len(columns) > 1 else key[0]: value for key, value in zip(keys, values, strict=True)}


def test_fleets_have_what_makes_them_hard(tmp_path: Path) -> None:
    FLEETS["made up"](tmp_path / "made up")
    rows = Rows(tmp_path / "made up")
    assert len(rows.hosts) == 7
    assert len(rows.uses) > 1000
    assert rows.members.shape[0] > 0
    assert (rows.apps["tag"] == "latest").any()
    several = rows.apps.groupby("reference")["manifest"].nunique()
    assert (several > 1).any(), "some name should mean different manifests on different hosts"
    assert rows.apps["manifest_digest"].isna().any()
    assert rows.apps["manifest_digest"].notna().any()
    assert {0} < set(rows.shared_bytes().values())
    assert any(used_by for *_, used_by in rows.unreferenced())

    FLEETS["odd"](tmp_path / "odd")
    rows = Rows(tmp_path / "odd")
    assert set(rows.problems["kind"]) >= {"truncated", "missing blob", "damaged manifest"}
    assert rows.apps["layer_count"].isna().any(), "some manifest should be unreadable"
    assert rows.apps["tag"].isna().any()
    assert rows.layers["digest"].isna().any()
    assert (rows.uses["kind"] == "project").any(), "some project should use something"
    assert set(rows.hosts) - set(rows.apps["host"]) == {"no apps", "no apps but a project", "nothing"}
    assert len(list((tmp_path / "odd").glob("host=several*/day=*"))) == 3
    assert len(list((tmp_path / "odd").glob("host=h-*/day=*"))) == 2


def test_summary_is_the_sum_by_brute_force(opened, rows: Rows) -> None:
    line = opened.summary().astype(object).where(lambda frame: frame.notna(), None).to_dict("records")[0]
    expected = rows.summary()
    assert {name: line[name] for name in expected} == pytest.approx(expected)


def test_sharing_has_the_rows_of_brute_force(opened, rows: Rows) -> None:
    table = opened.sharing()
    assert by(table, "digest") == rows.sharing()
    listed = [(-saved, digest) for saved, digest in zip(table["saved_bytes"], table["digest"], strict=True)]
    assert listed == sorted(listed)


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


def test_prewarm_has_the_sums_of_brute_force(opened, rows: Rows) -> None:
    table = opened.prewarm()
    found = by(table, "host_count")
    names = ("blob_count", "distinct_bytes", "stored_bytes")
    assert {n: tuple(line[name] for name in names) for n, line in found.items()} == rows.prewarm()
    assert table["host_count"].is_monotonic_decreasing
    assert table["saved_share"].tail(1).tolist() == [1.0] * bool(len(table))
    assert table["image_bytes"].tail(1).sum() == table["distinct_bytes"].sum()


def test_unreferenced_has_the_rows_of_brute_force(opened, rows: Rows) -> None:
    table = opened.unreferenced()
    names = ["host", "digest", "area", "stored_bytes", "used_by_hosts"]
    assert set(table[names].itertuples(index=False, name=None)) == rows.unreferenced()
    assert len(table) == len(rows.unreferenced())


def test_versions_have_the_counts_of_brute_force(opened, rows: Rows) -> None:
    table = opened.versions()
    names = ("host_count", "manifest_count", "stored_bytes")
    found = {reference: tuple(line[n] for n in names) for reference, line in by(table, "reference").items()}
    assert found == rows.versions()
    order = list(zip(-table["host_count"], table["reference"], strict=True))
    assert order == sorted(order)
    pulled = pd.to_datetime(rows.apps.groupby("reference")["pulled_at"].max())
    assert dict(zip(table["reference"], table["last_pulled_at"], strict=True)) == pulled.to_dict()


@pytest.mark.parametrize("rules", ["spin", "spincache"])
def test_version_savings_are_those_of_the_analysis_of_one_cache(opened, rows: Rows, rules) -> None:
    """Where no name means two manifests; `analysis.replay` knows one manifest per name."""
    expected = rows.version_savings(rules)
    table = opened.version_savings(rules=rules)
    skipped = 0
    for repository, one in expected.items():
        mine = table[table["repository"] == repository]
        if mine["reference"].duplicated().any():
            skipped += 1
            continue
        shown = mine[one.columns].reset_index(drop=True)
        pd.testing.assert_frame_equal(shown, one)
        pd.testing.assert_frame_equal(opened.version_savings(repository, rules=rules)[one.columns], one)
    assert set(table["repository"]) == set(expected)
    assert skipped <= len(expected) / 2


def test_version_savings_of_two_manifests_by_one_name_are_two_rows(opened, rows: Rows) -> None:
    table = opened.version_savings()
    counts = table.groupby("reference")["host_count"].agg(["size", "sum"])
    readable = rows.apps[rows.apps["layer_count"].notna()]
    several = readable.groupby("reference")["manifest"].nunique()
    assert counts["size"].to_dict() == several.to_dict()
    spread = readable.drop_duplicates(["reference", "manifest", "host"]).groupby("reference").size()
    assert counts["sum"].to_dict() == spread.to_dict()


def test_breakdown_and_problems_are_what_snapshots_say(opened, rows: Rows) -> None:
    table = opened.breakdown()
    found = by(table, "host", "kind")
    assert {pair: line["stored_bytes"] for pair, line in found.items()} == {
        (row.host, row.kind): row.stored_bytes for row in rows.breakdown.itertuples()
    }
    shares = table.groupby("host", observed=True)["share"].sum()
    assert shares.tolist() == pytest.approx([1.0] * rows.breakdown["host"].nunique())
    assert len(opened.problems()) == len(rows.problems)


def test_prewarm_images_begin_with_what_saves_most(opened, rows: Rows) -> None:
    table = opened.prewarm_images(top=5)
    once: dict[tuple[str, str], list[int]] = {}
    for sizes in rows.blobs_by_host().values():
        for blob, size in sizes.items():
            once.setdefault(blob, []).append(size)
    apps = {
        reference: set(zip(found["digest"], found["area"], strict=True))
        for reference, found in rows.uses[rows.uses["kind"] == "app"].groupby("reference")
    }
    brought: set[tuple[str, str]] = set()
    for line in table.itertuples():
        gains = {name: sum(sum(once[blob]) for blob in blobs - brought) for name, blobs in apps.items()}
        assert line.reference == min(apps, key=lambda name: (-gains[name], name))
        brought |= apps[line.reference]
        assert line.saved_bytes == sum(sum(once[blob]) for blob in brought)
        assert line.image_bytes == sum(max(once[blob]) for blob in brought)

"""Digests that begin with the same 8 bytes: told apart, whichever host has which."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

pytest.importorskip("duckdb", reason="the extra fleet is not installed")

from spincache_nb import fleet
from spincache_nb.fleet.clashes import fixes_for
from spincache_nb.fleet.keys import assign, prefix, raw, text
from tests.analysis.worlds import App, World
from tests.fleet.fleets import Rows, write_hosts
from tests.fleet.in_sql import COLUMNS, SQL, plain_rows

ALIKE = "11" * 8
A, B, C = (f"sha256:{ALIKE}{last * 48}" for last in "abc")
NEXT = f"sha256:{'11' * 7}12{'d' * 48}"
"""Begins with the number that B or C is moved to where A is there too."""
PLAIN = f"sha256:{'77' * 32}"
SIZES = {A: 1000, B: 200, C: 30, NEXT: 7, PLAIN: 5}


def host(*digests: str, role: str = "data") -> World:
    """A host with one app per digest, and one more that needs all of them."""
    places = [list(SIZES).index(digest) for digest in digests]
    apps = [
        App("ghcr.io", "org/one", f"1.{n}.0", [(digest, role)])
        for n, digest in zip(places, digests, strict=True)
    ]
    minor = int("9" + "".join(map(str, places)))
    apps.append(App("ghcr.io", "org/all", f"1.{minor}.0", [(d, role) for d in digests], config_bytes=9))
    return World(apps, SIZES, {(digest, "wasm" if role == "wasm" else "data") for digest in digests})


FLEETS = {
    "on different hosts": [host(A, PLAIN), host(B, PLAIN), host(A), host(C)],
    "on one host": [host(A, B, C)],
    "on one host and others": [host(A, B, C, PLAIN), host(B), host(C), host(A, PLAIN)],
    "moved onto another": [host(A, B), host(NEXT), host(B, NEXT), host(NEXT, A, C)],
    "as wasm": [host(A, B, role="wasm"), host(B)],
}


@pytest.mark.parametrize("engine", ["pandas", "duckdb", "dask"])
@pytest.mark.parametrize("name", FLEETS)
def test_digests_that_begin_alike_are_told_apart(name: str, engine: str, tmp_path: Path) -> None:
    if engine == "dask":
        pytest.importorskip("dask.dataframe", reason="the extra dask is not installed")
    write_hosts(tmp_path, {f"h{n}": world.frames() for n, world in enumerate(FLEETS[name])})
    rows, sql = Rows(tmp_path), SQL(tmp_path)
    with fleet.open(tmp_path, engine=engine) as opened:
        assert opened._catalog.fixes, "the fleet was to have a clash"
        for analysis in COLUMNS:
            assert plain_rows(getattr(opened, analysis)(), analysis) == sql.rows(analysis), analysis
        assert opened.sharing().set_index("digest").to_dict("index") == rows.sharing()
        for repository, one in rows.version_savings("spin").items():
            pd.testing.assert_frame_equal(opened.version_savings(repository)[one.columns], one)


def test_unreferenced_digests_that_begin_alike_keep_their_own_hosts(tmp_path: Path) -> None:
    idle = replace(host(B), stored={(B, "data"), (A, "data")})
    write_hosts(tmp_path, {"idle": idle.frames(), "user": host(A).frames()})
    with fleet.open(tmp_path, engine="pandas") as opened:
        table = opened.unreferenced()
    assert table[["host", "digest", "used_by_hosts"]].values.tolist() == [["idle", A, 1]]


def test_no_clash_changes_no_key(tmp_path: Path) -> None:
    write_hosts(tmp_path, {"h0": host(A, PLAIN).frames(), "h1": host(A, NEXT).frames()})
    with fleet.open(tmp_path, engine="duckdb") as opened:
        assert opened._catalog.fixes == []


def test_assign_keeps_prefixes_where_it_can_and_moves_the_rest() -> None:
    known = assign(map(raw, (C, NEXT, B, A, PLAIN)))
    assert len(set(known.values())) == 5
    assert [known[raw(d)] == prefix(raw(d)) for d in (A, B, C, NEXT, PLAIN)] == [
        True,
        False,
        False,
        True,
        True,
    ]
    assert known == assign(map(raw, (A, B, C, PLAIN, NEXT))), "the order given has no say"


def test_assign_goes_round_the_end_of_the_numbers() -> None:
    last = [bytes.fromhex("7f" + "ff" * 7 + end * 24) for end in ("01", "02")]
    assert sorted(assign(last).values()) == [-(2**63), 2**63 - 1]


@pytest.mark.parametrize("algorithm", ["sha256", "sha384", "sha512"])
def test_raw_and_text_are_inverse(algorithm: str) -> None:
    length = {"sha256": 64, "sha384": 96, "sha512": 128}[algorithm]
    digest = f"{algorithm}:{'0f' * (length // 2)}"
    assert text(raw(digest)) == digest


def test_fixes_for_avoids_keys_in_use() -> None:
    rows = [(0, 5, b"a" * 32), (1, 5, b"b" * 32)]
    free = {fix.new_key for fix in fixes_for(rows, lambda keys: set())}
    moved = {fix.new_key for fix in fixes_for(rows, lambda keys: free & set(keys))}
    assert len(moved) == 2
    assert not moved & free


def test_fixes_for_asks_the_data_once_however_many_clash() -> None:
    asked: list[int] = []
    rows = [(0, 5, number.to_bytes(32, "big")) for number in range(1000)]
    fixes = fixes_for(rows, lambda keys: set(asked.append(len(keys)) or ()))
    assert asked == [1000]
    assert len({fix.new_key for fix in fixes}) == 1000

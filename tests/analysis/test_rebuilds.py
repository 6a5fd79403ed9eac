"""Verdicts on the new binaries of components."""

from __future__ import annotations

import pandas as pd
import pytest

import spincache_nb as sc
from spincache_nb import analysis
from spincache_nb.analysis.schemas import REBUILDS_SCHEMA
from spincache_nb.core.cache import Cache
from spincache_nb.core.journal import History
from spincache_nb.core.pull import pull
from tests.support.artifact import sha256, wasm_module
from tests.support.artifacts import Component, new_style

FUNCTION = b"\0asm\x01\0\0\0" + bytes.fromhex("010401600000030201000a040102000b")
OTHER = b"\0asm\x01\0\0\0" + bytes.fromhex("010401600000030201000a05010300010b")
CUSTOM = FUNCTION + bytes.fromhex("0003026869")
BROKEN = b"\0asm\x01\0\0\0" + b"\x0a\xff"


def app(tag: str, **wasm: bytes):
    return new_style("org/app", tag, version=tag, components=[Component(*pair) for pair in wasm.items()])


@pytest.fixture
def cache(hostile, tmp_path):
    versions = [
        app("1.0.0", kept=wasm_module("kept"), core=FUNCTION, odd=FUNCTION, gone=FUNCTION),
        app("1.1.0", kept=wasm_module("kept"), core=CUSTOM, odd=BROKEN, new=FUNCTION),
        app("1.2.0", kept=wasm_module("kept"), core=OTHER, odd=BROKEN, new=FUNCTION),
    ]
    hostile.serve(*versions)
    cache = Cache(tmp_path / "cache")
    pull(cache, [version.reference(hostile.name) for version in versions], history=History(enabled=False))
    return cache


def test_rebuilds_judges_each_binary_that_took_the_place_of_another(cache, hostile):
    table = analysis.rebuilds(cache)
    place = f"{hostile.name}/org/app"
    assert list(
        table[["component", "from_version", "to_version", "verdict"]].itertuples(index=False, name=None)
    ) == [
        ("core", f"{place}:1.0.0", f"{place}:1.1.0", "same code and data"),
        ("odd", f"{place}:1.0.0", f"{place}:1.1.0", "not comparable"),
        ("core", f"{place}:1.1.0", f"{place}:1.2.0", "other code"),
    ]
    assert set(table["repository"]) == {place}
    assert table["old_digest"].tolist() == [sha256(FUNCTION), sha256(FUNCTION), sha256(CUSTOM)]
    assert table["new_digest"].tolist() == [sha256(CUSTOM), sha256(BROKEN), sha256(OTHER)]
    assert table.loc[0, "detail"] == "rebuilt, the same code: only custom sections differ (hi)"
    assert sha256(BROKEN) in table.loc[1, "detail"]


def test_rebuilds_goes_on_where_a_binary_is_not_stored(cache):
    (cache.path / "wasm" / sha256(CUSTOM)).unlink()
    assert analysis.rebuilds(cache)["verdict"].tolist() == ["not comparable"] * 3


def test_rebuilds_has_its_schema_with_rows_and_without(cache, tmp_path):
    for frame in (analysis.rebuilds(cache), analysis.rebuilds(Cache(tmp_path / "none"))):
        assert {name: str(dtype) for name, dtype in frame.dtypes.items()} == dict(REBUILDS_SCHEMA)
        assert frame.index.equals(pd.RangeIndex(len(frame)))


def test_rebuilds_of_the_demo_tells_new_seeds_from_new_code():
    with sc.demo.Workspace() as demo:
        demo.pull_all()
        table = analysis.rebuilds(demo.cache)
    found = {(row.component, row.to_version.rpartition(":")[2]): row.verdict for row in table.itertuples()}
    assert found == {
        ("hello", "1.0.1"): "same code",
        ("hello", "1.1.0"): "same code",
        ("greeter", "0.3.0"): "same code",
        ("highlighter", "0.2.0"): "other code",
        ("highlighter", "0.3.0"): "other code",
        ("redact", "0.2.0"): "other code",
    }

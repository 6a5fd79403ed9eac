"""The finer grains on a cache that was pulled from the demo registry."""

from __future__ import annotations

import pytest

import spincache_nb as sc
from spincache_nb import analysis as inside
from tests.analysis.worlds import by_grain
from tests.support.payloads import payload


@pytest.fixture(scope="module")
def pulled(tmp_path_factory):
    cache = sc.Cache(tmp_path_factory.mktemp("spin"))
    with sc.demo.registry() as registry:
        for reference in registry.references:
            if "/hello:" in str(reference):
                sc.pull(cache, str(reference))
    return cache


def test_cache_grains_patches_each_version_from_the_one_before(pulled):
    rows = by_grain(inside.cache_grains(pulled))
    sizes = [path.stat().st_size for area in ("wasm", "data") for path in (pulled.path / area).glob("*")]
    assert inside.cache_grains(pulled, only=["blob"])["piece_count"].tolist() == [len(sizes)]
    assert rows["blob"]["total_bytes"] == rows["patch"]["total_bytes"] == sum(sizes)
    pairs = [("1.0.0", "1.0.0-rebuild"), ("1.0.0-rebuild", "1.0.1")]
    saved = sum(
        int(inside.grains(*(payload(f"hello-js/{v}.wasm") for v in pair), only=["patch"])["reused_bytes"][0])
        for pair in pairs
    )
    assert rows["patch"]["reused_bytes"] == pytest.approx(saved, abs=5000)  # small assets aside
    assert rows["module"]["reused_share"] > 0.5


def test_shared_modules_of_a_cache_names_its_apps(pulled):
    first = inside.shared_modules(pulled).iloc[0]
    assert first["names"] == "componentize_qjs_runtime.wasm"
    assert (first["blob_count"], first["user_count"]) == (3, 3)
    assert all("/hello:" in user for user in first["users"].split(", "))

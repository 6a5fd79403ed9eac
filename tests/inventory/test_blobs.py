"""Blobs that are damaged, missing, or where Spin does not look for them. Expectations are written by hand."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from spincache_nb.inventory import take_inventory
from tests.inventory.reading import (
    SITE_V1,
    WEB_CONFIG,
    WEB_V1,
    app,
    laid_out,
    layers,
    missing,
    problems,
    standings,
    taken,
    uses,
    vias,
)
from tests.support import caches, odd_artifacts
from tests.support.artifact import sha256, wasm_module
from tests.support.caches import INDEX, TINY, WEB, blob, pulled, web, without
from tests.support.trees import union


def test_truncated_blob_is_one_problem(tmp_path: Path) -> None:
    inventory = taken(tmp_path, caches.truncated_blob())
    assert problems(inventory) == [(blob("data", INDEX), "damaged blob", WEB_V1)]
    assert "expected 300 bytes, found 100" in inventory.problems[0].detail
    assert [layer.stored for layer in layers(app(inventory, WEB_V1))] == [True, False, True]
    assert (WEB_V1, blob("data", INDEX), "data", 100, "layer") in uses(inventory)
    assert standings(inventory)[blob("data", INDEX)] == "referenced"


def test_empty_blob_is_one_problem(tmp_path: Path) -> None:
    inventory = taken(tmp_path, caches.empty_blob())
    assert problems(inventory) == [(blob("wasm", WEB), "damaged blob", WEB_V1)]


def test_empty_blob_that_nobody_declares_is_one_problem(tmp_path: Path) -> None:
    inventory = taken(tmp_path, {blob("data", b"something"): b"", blob("data", b""): b""})
    assert problems(inventory) == [(blob("data", b"something"), "damaged blob", None)]


def test_blob_too_long_is_one_problem(tmp_path: Path) -> None:
    inventory = taken(tmp_path, {**pulled(web()), blob("wasm", WEB): WEB + b"more"})
    assert problems(inventory) == [(blob("wasm", WEB), "damaged blob", WEB_V1)]


def test_damage_shared_by_apps_is_one_problem(tmp_path: Path) -> None:
    tree = union(*(pulled(web(tag=tag)) for tag in ("v1", "v2", "v3")))
    inventory = taken(tmp_path, {**tree, blob("data", INDEX): b"x"})
    assert problems(inventory) == [(blob("data", INDEX), "damaged blob", WEB_V1)]
    assert inventory.problems[0].detail.endswith("; it concerns 2 more apps")


def test_lost_layers_are_one_problem_each(tmp_path: Path) -> None:
    inventory = taken(tmp_path, caches.lost_layers())
    assert problems(inventory) == [
        (blob("data", INDEX), "missing blob", WEB_V1),
        (blob("wasm", WEB), "missing blob", WEB_V1),
    ]
    assert uses(inventory) == set()
    assert [layer.stored for layer in layers(app(inventory, WEB_V1))] == [False, False, True]
    assert {(lost.area, str(lost.digest), lost.via) for lost in missing(inventory)} == {
        ("wasm", sha256(WEB), "layer"),
        ("data", sha256(INDEX), "layer"),
    }


def test_inlined_asset_without_blob_is_no_problem(tmp_path: Path) -> None:
    tree = pulled(web())
    assert blob("data", TINY) not in tree
    assert problems(taken(tmp_path, tree)) == []


def test_blob_that_only_an_inline_ref_names_is_unreferenced(tmp_path: Path) -> None:
    inventory = taken(tmp_path, {**pulled(web()), blob("data", TINY): TINY})
    assert standings(inventory)[blob("data", TINY)] == "unreferenced"


def test_wasm_copy_does_not_satisfy_a_mounted_file(tmp_path: Path) -> None:
    wasm = wasm_module("both areas", 2000)
    tree = without(pulled(odd_artifacts.wasm_and_data()), blob("data", wasm))
    inventory = taken(tmp_path, tree)
    assert problems(inventory) == [
        (blob("data", wasm), "blob in the wrong area", "ghcr.io/demo/both-areas:v1")
    ]
    assert [lost.elsewhere for lost in missing(inventory)] == [True]


def test_data_copy_satisfies_the_wasm_of_an_app(tmp_path: Path) -> None:
    wasm = wasm_module("both areas", 2000)
    inventory = taken(tmp_path, without(pulled(odd_artifacts.wasm_and_data()), blob("wasm", wasm)))
    assert problems(inventory) == []
    assert vias(inventory, "ghcr.io/demo/both-areas:v1") == {blob("data", wasm): "layer"}


def test_stored_bytes_of_an_app_are_those_of_its_own_blobs(tmp_path: Path) -> None:
    trees = {SITE_V1: pulled(caches.archive_mode()), WEB_V1: pulled(web())}
    for one in taken(tmp_path, union(*trees.values())).apps:
        own = [data for path, data in trees[one.reference].items() if not path.startswith("manifests/")]
        assert one.stored_bytes == sum(map(len, own))


def test_data_copy_does_not_satisfy_a_package(tmp_path: Path) -> None:
    """Before v3.6 Spin put ``application/wasm`` in ``data``; later releases then skip it."""
    wasm = caches.package_wasm()
    tree = {**without(pulled(caches.wkg_package()), blob("wasm", wasm)), blob("data", wasm): wasm}
    inventory = taken(tmp_path, tree)
    assert problems(inventory) == [(blob("wasm", wasm), "blob in the wrong area", "ghcr.io/org/pkg:1.0.0")]
    assert standings(inventory) == {blob("data", wasm): "referenced"}


def test_second_data_copy_of_wasm_is_unreferenced(tmp_path: Path) -> None:
    inventory = taken(tmp_path, {**pulled(web()), blob("data", WEB): WEB})
    assert standings(inventory)[blob("data", WEB)] == "unreferenced"


def test_lost_wasm_of_unknown_type_is_one_problem(tmp_path: Path) -> None:
    wasm = wasm_module("unknown", 2000)
    inventory = taken(tmp_path, without(pulled(odd_artifacts.unknown_media_type()), blob("data", wasm)))
    assert problems(inventory) == [(blob("data", wasm), "missing blob", "ghcr.io/demo/unknown-type:v1")]


def test_wasm_of_unknown_type_in_wasm_is_no_problem(tmp_path: Path) -> None:
    wasm = wasm_module("unknown", 2000)
    tree = without(pulled(odd_artifacts.unknown_media_type()), blob("data", wasm))
    inventory = taken(tmp_path, {**tree, blob("wasm", wasm): wasm})
    assert problems(inventory) == []
    assert set(standings(inventory).values()) == {"referenced"}


def test_asset_in_wasm_only_is_one_problem_without_a_locked_app_too(tmp_path: Path) -> None:
    tree = {**without(pulled(web()), blob("data", INDEX)), blob("wasm", INDEX): INDEX}
    path = blob("data", INDEX)
    assert problems(taken(tmp_path / "whole", tree)) == [(path, "blob in the wrong area", WEB_V1)]
    del tree[WEB_CONFIG]
    assert problems(taken(tmp_path / "without", tree)) == [
        (path, "blob in the wrong area", WEB_V1),
        (WEB_CONFIG, "missing locked app", WEB_V1),
    ]


@pytest.mark.parametrize("links", [1, 2])
def test_blob_of_a_time_that_no_column_can_hold_is_listed(tmp_path: Path, links: int) -> None:
    cache = laid_out(tmp_path, pulled(web()))
    path = cache.path / blob("data", INDEX)
    if links == 2:
        os.link(path, tmp_path / "other")
    beyond = 10_000_000_000  # seconds: the year 2286
    os.utime(path, (beyond, beyond))
    if path.stat().st_mtime != beyond:
        pytest.skip("this file system keeps no such time")
    inventory = take_inventory(cache)
    assert problems(inventory) == []
    assert standings(inventory)[blob("data", INDEX)] == "referenced"

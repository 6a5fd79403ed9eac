"""Whole caches of every generation of Spin. Expectations are written by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from spincache_nb.core.cache import Cache
from spincache_nb.inventory import take_inventory
from tests.inventory.reading import (
    SITE_V1,
    WEB_V1,
    app,
    blobs,
    each_use,
    layers,
    missing,
    problems,
    standings,
    taken,
    uses,
    vias,
)
from tests.support import artifacts, caches, odd_artifacts
from tests.support.artifact import text_file, wasm_module
from tests.support.caches import INDEX, PAGES, TINY, WEB, blob, pulled, web


def test_take_inventory_of_no_cache_is_empty(tmp_path: Path) -> None:
    inventory = take_inventory(Cache(tmp_path / "none"))
    assert [*inventory.apps, *blobs(inventory), *inventory.files, *inventory.problems] == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("areas", [(), ("wasm",), ("manifests",), ("manifests", "wasm", "data")])
def test_take_inventory_of_empty_folders_is_empty(tmp_path: Path, areas: tuple[str, ...]) -> None:
    for area in areas:
        (tmp_path / "registry" / area).mkdir(parents=True)
    inventory = take_inventory(Cache(tmp_path))
    assert [*inventory.apps, *blobs(inventory), *inventory.problems] == []


def test_take_inventory_of_a_v08_app(tmp_path: Path) -> None:
    inventory = taken(tmp_path, pulled(caches.spin_0_8()))
    found = app(inventory, "ghcr.io/org/old:v08")
    wasm, index, tiny = wasm_module("old 1.0.0", 2500), text_file("old 1.0.0", 500), b"tiny"
    assert problems(inventory) == []
    assert (found.kind, found.config_kind, found.manifest_digest) == ("app", "locked app", None)
    assert [(one.position, one.role, one.stored) for one in layers(found)] == [
        (0, "wasm", True),
        (1, "data", True),
        (2, "data", True),
    ]
    assert uses(inventory) == {
        ("ghcr.io/org/old:v08", blob("wasm", wasm), "wasm", len(wasm), "layer"),
        ("ghcr.io/org/old:v08", blob("data", index), "data", 500, "layer"),
        ("ghcr.io/org/old:v08", blob("data", tiny), "data", 4, "layer"),
    }
    assert found.stored_bytes == len(wasm) + 504


def test_take_inventory_of_a_v15_app_knows_inlined_layers(tmp_path: Path) -> None:
    inventory = taken(tmp_path, pulled(caches.spin_1_5()))
    found = app(inventory, "ghcr.io/org/old:v15")
    assert problems(inventory) == []
    assert vias(inventory, "ghcr.io/org/old:v15")[blob("data", b"tiny")] == "layer"
    assert found.locked_app is not None
    assert [file.content.inline for file in found.locked_app.components[0].files] == [False, True]


def test_take_inventory_of_a_v20_app_without_label(tmp_path: Path) -> None:
    inventory = taken(tmp_path, pulled(caches.spin_2_0()))
    found = app(inventory, "ghcr.io/org/web:v20")
    assert problems(inventory) == []
    assert [(one.role, one.stored) for one in layers(found)] == [
        ("wasm", True),
        ("data", True),
        ("application", True),
    ]


def test_take_inventory_of_an_app_with_label(tmp_path: Path) -> None:
    inventory = taken(tmp_path, pulled(web()))
    assert problems(inventory) == []
    assert uses(inventory) == {
        (WEB_V1, blob("wasm", WEB), "wasm", len(WEB), "layer"),
        (WEB_V1, blob("data", INDEX), "data", 300, "layer"),
    }
    assert standings(inventory) == {blob("wasm", WEB): "referenced", blob("data", INDEX): "referenced"}
    assert not len(missing(inventory))


def test_take_inventory_of_an_archive_names_members(tmp_path: Path) -> None:
    inventory = taken(tmp_path, pulled(caches.archive_mode()))
    archive = caches.archive_layer()
    members = {blob("data", data): "archive member" for data in [*PAGES.values(), TINY]}
    layers = {blob("wasm", WEB): "layer", blob("data", archive): "layer"}
    assert problems(inventory) == []
    assert vias(inventory, SITE_V1) == {**members, **layers}
    assert set(standings(inventory).values()) == {"referenced"}
    sizes = [len(WEB), len(archive), len(TINY), *map(len, PAGES.values())]
    assert app(inventory, SITE_V1).stored_bytes == sum(sizes)


def test_take_inventory_of_a_package(tmp_path: Path) -> None:
    inventory = taken(tmp_path, pulled(caches.wkg_package()))
    found = app(inventory, "ghcr.io/org/pkg:1.0.0")
    assert problems(inventory) == []
    assert (found.kind, found.config_kind, found.locked_app) == ("package", "package config", None)
    assert vias(inventory, "ghcr.io/org/pkg:1.0.0") == {blob("wasm", caches.package_wasm()): "layer"}


def test_take_inventory_of_a_sha512_layer(tmp_path: Path) -> None:
    artifact = caches.sha512_app()
    inventory = taken(tmp_path, pulled(artifact))
    name = next(path for path in pulled(artifact) if "sha512:" in path)
    assert problems(inventory) == []
    assert vias(inventory, "ghcr.io/org/long:v1") == {blob("wasm", WEB): "layer", name: "layer"}


@pytest.mark.parametrize("name", sorted(odd_artifacts.pushable()))
def test_take_inventory_finds_no_fault_with_what_spin_stored(tmp_path: Path, name: str) -> None:
    artifact = odd_artifacts.pushable()[name]
    inventory = taken(tmp_path, pulled(artifact))
    assert problems(inventory) == []
    assert all(layer.stored for app in inventory.apps for layer in layers(app))
    assert set(standings(inventory).values()) == {"referenced"}
    assert sum(use.stored_bytes for use in each_use(inventory)) == sum(
        len(data) for path, data in pulled(artifact).items() if not path.startswith("manifests/")
    )


@pytest.mark.parametrize("name", sorted(artifacts.five_kinds()))
@pytest.mark.parametrize("naming", ["unix", "windows"])
def test_take_inventory_reads_both_spellings(tmp_path: Path, name: str, naming: str) -> None:
    artifact = artifacts.five_kinds()[name]
    tree = pulled(artifact, artifact.reference("localhost:5000"), naming=naming)
    inventory = taken(tmp_path, tree)
    assert problems(inventory) == []
    assert [app.reference for app in inventory.apps] == [artifact.reference("localhost:5000")]
    assert set(standings(inventory).values()) == {"referenced"}


def test_take_inventory_of_bytes_needed_in_both_areas(tmp_path: Path) -> None:
    wasm = wasm_module("both areas", 2000)
    inventory = taken(tmp_path, pulled(odd_artifacts.wasm_and_data()))
    assert vias(inventory, "ghcr.io/demo/both-areas:v1") == {
        blob("wasm", wasm): "layer",
        blob("data", wasm): "layer",
    }


def test_take_inventory_finds_wasm_of_unknown_type_in_data(tmp_path: Path) -> None:
    wasm = wasm_module("unknown", 2000)
    inventory = taken(tmp_path, pulled(odd_artifacts.unknown_media_type()))
    assert problems(inventory) == []
    assert vias(inventory, "ghcr.io/demo/unknown-type:v1")[blob("data", wasm)] == "layer"


def test_take_inventory_lists_every_file(tmp_path: Path) -> None:
    tree = {**pulled(web()), "stray.txt": b"12345", caches.temporary_name(): b"123"}
    inventory = taken(tmp_path, tree)
    assert [(file.path, file.stored_bytes) for file in inventory.files] == sorted(
        (path, len(data)) for path, data in tree.items()
    )

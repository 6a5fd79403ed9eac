"""What is in a cache, for every way in which a Spin may have left it; expectations are written by hand."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

from spincache_nb import frames
from spincache_nb.core.archive import ArchiveLimits
from spincache_nb.core.cache import Cache
from spincache_nb.core.history import History, HistoryWarning, PullRecord
from spincache_nb.core.inventory import CachedApp, Inventory, InventoryLimits, take_inventory
from tests.support import archives, artifacts, caches, odd_artifacts
from tests.support.artifact import compact, filler, sha256, text_file, wasm_module
from tests.support.caches import INDEX, PAGES, TINY, WEB, blob, folder, pulled, web, without
from tests.support.trees import union, write_tree

WEB_V1 = "ghcr.io/org/web:v1"
WEB_MANIFEST = "manifests/ghcr.io/org/web/v1/manifest.json"
WEB_CONFIG = "manifests/ghcr.io/org/web/v1/config.json"
SITE_V1 = "ghcr.io/org/site:v1"


def laid_out(tmp_path: Path, tree: Mapping[str, bytes]) -> Cache:
    write_tree(tmp_path / "cache" / "registry", tree)
    return Cache(tmp_path / "cache")


def taken(tmp_path: Path, tree: Mapping[str, bytes]) -> Inventory:
    return take_inventory(laid_out(tmp_path, tree))


def problems(inventory: Inventory) -> list[tuple[str, str, str | None]]:
    for problem in inventory.problems:
        assert problem.detail
        assert problem.remedy
        assert f"``{problem.kind}``" in (frames.problems.__doc__ or "")
    return [(problem.path, problem.kind, problem.reference) for problem in inventory.problems]


def app(inventory: Inventory, reference: str) -> CachedApp:
    (found,) = [app for app in inventory.apps if app.reference == reference]
    return found


def uses(inventory: Inventory) -> set[tuple[str, str, str, int, str]]:
    rows = [(u.user, f"{u.area}/{u.digest}", u.area, u.stored_bytes, u.via) for u in inventory.uses()]
    assert len(rows) == len(set(rows))
    return set(rows)


def vias(inventory: Inventory, user: str) -> dict[str, str]:
    return {f"{use.area}/{use.digest}": use.via for use in inventory.uses() if use.user == user}


def standings(inventory: Inventory) -> dict[str, str]:
    return {f"{one.blob.area}/{one.blob.name}": one.standing for one in inventory.blobs}


# Whole caches of every generation ---------------------------------------------------------------


def test_take_inventory_of_no_cache_is_empty(tmp_path: Path) -> None:
    inventory = take_inventory(Cache(tmp_path / "none"))
    assert (inventory.apps, inventory.blobs, inventory.files, inventory.problems) == ((), (), (), ())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("areas", [(), ("wasm",), ("manifests",), ("manifests", "wasm", "data")])
def test_take_inventory_of_empty_folders_is_empty(tmp_path: Path, areas: tuple[str, ...]) -> None:
    for area in areas:
        (tmp_path / "registry" / area).mkdir(parents=True)
    inventory = take_inventory(Cache(tmp_path))
    assert (inventory.apps, inventory.blobs, inventory.problems) == ((), (), ())


def test_take_inventory_of_a_v08_app(tmp_path: Path) -> None:
    inventory = taken(tmp_path, pulled(caches.spin_0_8()))
    found = app(inventory, "ghcr.io/org/old:v08")
    wasm, index, tiny = wasm_module("old 1.0.0", 2500), text_file("old 1.0.0", 500), b"tiny"
    assert problems(inventory) == []
    assert (found.kind, found.config_kind, found.manifest_digest) == ("app", "locked app", None)
    assert [(one.position, one.descriptor.role, one.stored) for one in found.layers] == [
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
    assert [(one.descriptor.role, one.stored) for one in found.layers] == [
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
    assert inventory.missing == ()


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
    assert all(layer.stored for app in inventory.apps for layer in app.layers)
    assert set(standings(inventory).values()) == {"referenced"}
    assert sum(use.stored_bytes for use in inventory.uses()) == sum(
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


# References -------------------------------------------------------------------------------------


def test_take_inventory_tells_nested_repositories_apart(tmp_path: Path) -> None:
    inventory = taken(tmp_path, caches.nested())
    assert problems(inventory) == []
    assert [(a.reference, a.tag.repository, a.tag.tag) for a in inventory.apps] == [
        ("ghcr.io/org/a/b:latest", "org/a/b", "latest"),
        ("ghcr.io/org/a:b", "org/a", "b"),
        ("ghcr.io/org/a:manifest.json", "org/a", "manifest.json"),
    ]


def test_take_inventory_does_not_guess_the_digest_of_latest(tmp_path: Path) -> None:
    tree, _ = caches.digest_pull_over_latest()
    inventory = taken(tmp_path, tree)
    assert problems(inventory) == []
    assert app(inventory, "ghcr.io/org/web:latest").manifest_digest is None


def test_take_inventory_knows_the_digest_of_a_digest_folder(tmp_path: Path) -> None:
    artifact = web()
    own = f"manifests/ghcr.io/org/web/{artifact.digest}"
    tree = {path.replace(folder(artifact), own): data for path, data in pulled(artifact).items()}
    tree[f"{own}/manifest.json"] = artifact.manifest
    inventory = taken(tmp_path, tree)
    assert problems(inventory) == []
    assert str(app(inventory, f"ghcr.io/org/web@{artifact.digest}").manifest_digest) == artifact.digest


def test_take_inventory_believes_no_digest_folder_that_spin_rewrote(tmp_path: Path) -> None:
    artifact = web()
    own = f"manifests/ghcr.io/org/web/{artifact.digest}"
    tree = {path.replace(folder(artifact), own): data for path, data in pulled(artifact).items()}
    tree[f"{own}/manifest.json"] = artifact.manifest + b"\n"
    assert taken(tmp_path, tree).apps[0].manifest_digest is None


def record(cache: Cache, reference: str, digest: str) -> History:
    history = History(cache.path.parent.parent / "history.jsonl", enabled=True)
    at = datetime(2026, 3, 1, tzinfo=UTC)
    history.append(PullRecord(at, str(cache.path), reference, digest, None, 1, 2, 3, 0.5))
    return history


def test_take_inventory_asks_the_history_for_the_digest(tmp_path: Path) -> None:
    artifact = web()
    cache = laid_out(tmp_path, {**pulled(artifact), WEB_MANIFEST: artifact.manifest})
    record(cache, WEB_V1, "sha256:" + "0" * 64)
    history = record(cache, WEB_V1, artifact.digest)
    record(cache, WEB_V1, "sha256:" + "1" * 64)
    assert str(take_inventory(cache, history=history).apps[0].manifest_digest) == artifact.digest


def test_take_inventory_does_not_trust_the_history_of_another_app_or_cache(tmp_path: Path) -> None:
    artifact = web()
    cache = laid_out(tmp_path, {**pulled(artifact), WEB_MANIFEST: artifact.manifest})
    record(cache, "ghcr.io/org/web:v2", artifact.digest)
    history = record(Cache(tmp_path / "cache" / "other"), WEB_V1, artifact.digest)
    assert take_inventory(cache, history=history).apps[0].manifest_digest is None


def test_take_inventory_only_warns_of_an_unreadable_history(tmp_path: Path) -> None:
    (tmp_path / "history.jsonl").mkdir()
    cache = laid_out(tmp_path, pulled(web()))
    with pytest.warns(HistoryWarning):
        inventory = take_inventory(cache, history=History(tmp_path / "history.jsonl", enabled=True))
    assert len(inventory.apps) == 1


def test_take_inventory_of_the_same_app_by_two_tags(tmp_path: Path) -> None:
    inventory = taken(tmp_path, union(pulled(web(tag="v1")), pulled(web(tag="stable"))))
    assert problems(inventory) == []
    assert uses(inventory) == {
        (user, path, path[:4], len(data), "layer")
        for user in (WEB_V1, "ghcr.io/org/web:stable")
        for path, data in [(blob("wasm", WEB), WEB), (blob("data", INDEX), INDEX)]
    }


def test_take_inventory_merges_two_spellings_of_one_tag(tmp_path: Path) -> None:
    own = pulled(web(), "localhost:5000/org/web:v1")
    copied = pulled(web(version="2.0.0"), "localhost:5000/org/web:v1", naming="windows")
    cache = laid_out(tmp_path, union(own, copied))
    inventory = take_inventory(cache)
    assert [app.reference for app in inventory.apps] == ["localhost:5000/org/web:v1"]
    assert inventory.apps[0].tag.path.parts[-4] == "localhost:5000"
    assert problems(inventory) == [
        (blob("data", INDEX).replace(":", "_"), "second copy", None),
        ("manifests/localhost_5000/org/web/v1", "second copy", "localhost:5000/org/web:v1"),
        (blob("wasm", WEB).replace(":", "_"), "second copy", None),
    ]
    assert standings(inventory) == {
        blob("data", INDEX): "referenced",
        blob("wasm", WEB): "referenced",
        blob("data", INDEX).replace(":", "_"): "misnamed",
        blob("wasm", WEB).replace(":", "_"): "misnamed",
    }


# Damaged blobs ----------------------------------------------------------------------------------


def test_truncated_blob_is_one_problem(tmp_path: Path) -> None:
    inventory = taken(tmp_path, caches.truncated_blob())
    assert problems(inventory) == [(blob("data", INDEX), "damaged blob", WEB_V1)]
    assert "expected 300 bytes, found 100" in inventory.problems[0].detail
    assert [layer.stored for layer in app(inventory, WEB_V1).layers] == [True, False, True]
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
    assert [layer.stored for layer in app(inventory, WEB_V1).layers] == [False, False, True]
    assert {(lost.area, str(lost.digest), lost.via) for lost in inventory.missing} == {
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
    assert [lost.elsewhere for lost in inventory.missing] == [True]


def test_data_copy_satisfies_the_wasm_of_an_app(tmp_path: Path) -> None:
    wasm = wasm_module("both areas", 2000)
    inventory = taken(tmp_path, without(pulled(odd_artifacts.wasm_and_data()), blob("wasm", wasm)))
    assert problems(inventory) == []
    assert vias(inventory, "ghcr.io/demo/both-areas:v1") == {blob("data", wasm): "layer"}


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


# Damaged documents ------------------------------------------------------------------------------


def test_manifest_newer_than_config_is_one_problem(tmp_path: Path) -> None:
    inventory = taken(tmp_path, caches.two_versions())
    found = app(inventory, WEB_V1)
    assert problems(inventory) == [(WEB_CONFIG, "stale locked app", WEB_V1)]
    assert [layer.stored for layer in found.layers] == [True, True, False]
    assert found.locked_app is not None
    assert found.locked_app.version == "1.0.0"


def test_stale_locked_app_explains_what_it_lacks(tmp_path: Path) -> None:
    other = artifacts.new_style(
        "org/web", "v1", components=[artifacts.Component("web", WEB, {"gone.html": filler("gone", 400)})]
    )
    inventory = taken(tmp_path, {**pulled(web()), WEB_CONFIG: other.application or b""})
    assert problems(inventory) == [(WEB_CONFIG, "stale locked app", WEB_V1)]
    assert [(lost.area, lost.via) for lost in inventory.missing] == [("data", "content ref")]


def test_stale_locked_app_keeps_its_blobs_alive(tmp_path: Path) -> None:
    gone = filler("gone", 400)
    other = artifacts.new_style(
        "org/web", "v1", components=[artifacts.Component("web", WEB, {"gone.html": gone})]
    )
    tree = {**pulled(web()), WEB_CONFIG: other.application or b"", blob("data", gone): gone}
    inventory = taken(tmp_path, tree)
    assert vias(inventory, WEB_V1)[blob("data", gone)] == "content ref"


def test_manifest_without_config_is_one_problem(tmp_path: Path) -> None:
    inventory = taken(tmp_path, without(pulled(web()), WEB_CONFIG))
    assert problems(inventory) == [(WEB_CONFIG, "missing locked app", WEB_V1)]
    assert (app(inventory, WEB_V1).kind, app(inventory, WEB_V1).config_kind) == ("app", "missing")
    assert set(standings(inventory).values()) == {"referenced"}


def test_config_without_manifest_is_one_problem(tmp_path: Path) -> None:
    inventory = taken(tmp_path, without(pulled(web()), WEB_MANIFEST))
    found = app(inventory, WEB_V1)
    assert problems(inventory) == [(WEB_MANIFEST, "missing manifest", WEB_V1)]
    assert (found.kind, found.manifest, found.layers) == ("app", None, ())
    assert vias(inventory, WEB_V1) == {blob("wasm", WEB): "content ref", blob("data", INDEX): "content ref"}
    assert found.tag.modified_ns is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"schemaVersion":2}',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"schemaVersion":NaN}',
    ],
)
def test_damaged_manifest_is_one_problem(tmp_path: Path, content: bytes) -> None:
    inventory = taken(tmp_path, {**pulled(web()), WEB_MANIFEST: content})
    found = app(inventory, WEB_V1)
    assert problems(inventory) == [(WEB_MANIFEST, "damaged manifest", WEB_V1)]
    assert (found.kind, found.manifest) == ("app", None)
    assert set(standings(inventory).values()) == {"referenced"}


@pytest.mark.parametrize(
    "digest", ["sha256:../../../../etc/passwd", "/etc/passwd", "sha256:" + "AB" * 32, "md5:" + "0" * 32, ""]
)
def test_digest_that_would_leave_the_cache_is_never_looked_up(tmp_path: Path, digest: str) -> None:
    tree = pulled(web())
    manifest = json.loads(tree[WEB_MANIFEST])
    manifest["layers"][0]["digest"] = digest
    locked = json.loads(tree[WEB_CONFIG])
    locked["components"][0]["source"]["digest"] = digest
    locked["components"][0]["files"][0]["digest"] = digest
    tree |= {WEB_MANIFEST: compact(manifest), WEB_CONFIG: compact(locked)}
    found = problems(taken(tmp_path, tree))
    assert found == [
        (WEB_CONFIG, "fault in the locked app", WEB_V1),
        (WEB_CONFIG, "fault in the locked app", WEB_V1),
        (WEB_MANIFEST, "damaged manifest", WEB_V1),
    ]


def test_index_in_the_manifests_place_is_one_problem(tmp_path: Path) -> None:
    index = compact({"schemaVersion": 2, "manifests": []})
    inventory = taken(tmp_path, {**pulled(web()), WEB_MANIFEST: index})
    assert problems(inventory) == [(WEB_MANIFEST, "damaged manifest", WEB_V1)]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b'{"spin_lock_version":0,"compon'])
def test_config_that_is_not_json_is_one_problem(tmp_path: Path, content: bytes) -> None:
    inventory = taken(tmp_path, {**pulled(web()), WEB_CONFIG: content})
    found = app(inventory, WEB_V1)
    assert problems(inventory) == [(WEB_CONFIG, "damaged locked app", WEB_V1)]
    assert (found.kind, found.config_kind, found.locked_app) == ("app", "damaged", None)


def test_package_config_that_is_not_json_is_one_problem(tmp_path: Path) -> None:
    artifact = caches.wkg_package()
    config = f"{folder(artifact)}/config.json"
    inventory = taken(tmp_path, {**pulled(artifact), config: b"oops"})
    assert problems(inventory) == [(config, "damaged config", "ghcr.io/org/pkg:1.0.0")]
    assert inventory.apps[0].kind == "package"


def test_package_without_config_is_one_problem(tmp_path: Path) -> None:
    artifact = caches.wkg_package()
    config = f"{folder(artifact)}/config.json"
    inventory = taken(tmp_path, without(pulled(artifact), config))
    assert problems(inventory) == [(config, "missing config", "ghcr.io/org/pkg:1.0.0")]


def test_package_with_another_config_is_one_problem(tmp_path: Path) -> None:
    artifact = caches.wkg_package()
    config = f"{folder(artifact)}/config.json"
    inventory = taken(tmp_path, {**pulled(artifact), config: b'{"layerDigests":[]}'})
    assert problems(inventory) == [(config, "stale config", "ghcr.io/org/pkg:1.0.0")]


def test_package_of_two_layers_is_one_problem(tmp_path: Path) -> None:
    artifact = caches.wkg_package()
    document = artifact.document
    document["layers"] *= 2
    manifest = f"{folder(artifact)}/manifest.json"
    inventory = taken(tmp_path, {**pulled(artifact), manifest: compact(document)})
    assert problems(inventory) == [(manifest, "package without exactly one layer", "ghcr.io/org/pkg:1.0.0")]
    assert set(standings(inventory).values()) == {"referenced"}


@pytest.mark.parametrize(
    ("label", "layer"), [(True, True), (False, True), (True, False)], ids=["both", "layer", "label"]
)
def test_locked_app_is_recovered_from_data(tmp_path: Path, label: bool, layer: bool) -> None:
    inventory = taken(tmp_path, caches.image_config_left(label=label, layer=layer))
    found = app(inventory, WEB_V1)
    assert problems(inventory) == [(WEB_CONFIG, "config in the locked app's place", WEB_V1)]
    assert "found in data/" in inventory.problems[0].detail
    assert (found.kind, found.config_kind) == ("app", "image config")
    assert found.locked_app is not None
    assert [component.id for component in found.locked_app.components] == ["web"]
    assert set(standings(inventory).values()) == {"referenced"}


def test_locked_app_that_is_nowhere_is_one_problem(tmp_path: Path) -> None:
    inventory = taken(tmp_path, caches.image_config_left(stuck=False))
    found = app(inventory, WEB_V1)
    assert problems(inventory) == [(WEB_CONFIG, "config in the locked app's place", WEB_V1)]
    assert "found in data/" not in inventory.problems[0].detail
    assert (found.kind, found.config_kind, found.locked_app) == ("app", "image config", None)


def test_locked_app_is_not_recovered_from_altered_bytes(tmp_path: Path) -> None:
    tree = caches.image_config_left()
    component = artifacts.Component("web", WEB, {"index.html": INDEX})
    stuck = artifacts.new_style("org/web", "v1", components=[component]).application or b""
    tree[blob("data", stuck)] = stuck.replace(b'"web"', b'"xxx"')
    assert app(taken(tmp_path, tree), WEB_V1).locked_app is None


def test_container_image_is_one_problem(tmp_path: Path) -> None:
    layer = ("application/vnd.oci.image.layer.v1.tar+gzip", b"layer")
    document = artifacts.assemble(
        ("application/vnd.oci.image.config.v1+json", b'{"rootfs":{}}'), [layer, layer]
    )
    path = "manifests/docker.io/library/busybox/latest"
    tree = {
        f"{path}/manifest.json": compact(document),
        f"{path}/config.json": b'{"rootfs":{}}',
        blob("data", b"layer"): b"layer",
    }
    inventory = taken(tmp_path, tree)
    reference = "docker.io/library/busybox:latest"
    assert problems(inventory) == [(f"{path}/config.json", "neither app nor package", reference)]
    assert app(inventory, reference).kind == "unknown"
    assert standings(inventory) == {blob("data", b"layer"): "referenced"}


def test_faults_in_the_locked_app_are_one_problem_each(tmp_path: Path) -> None:
    artifact = web()
    locked = json.loads(artifact.application or b"")
    locked["components"][0]["files"] = [
        {"path": "../up", "digest": sha256(INDEX)},
        {"path": "/abs", "digest": sha256(INDEX)},
        {"path": "odd", "digest": "sha256:short", "inline": None},
    ]
    tree = {
        f"{folder(artifact)}/config.json": compact(locked),
        blob("wasm", WEB): WEB,
        blob("data", INDEX): INDEX,
    }
    found = problems(taken(tmp_path, tree))
    assert found == [
        *[(WEB_CONFIG, "fault in the locked app", WEB_V1)] * 3,
        (WEB_MANIFEST, "missing manifest", WEB_V1),
    ]


def test_locked_app_of_a_later_version_is_one_problem(tmp_path: Path) -> None:
    content = b'{"spin_lock_version":2,"components":[]}'
    inventory = taken(tmp_path, {**pulled(web()), WEB_CONFIG: content})
    assert problems(inventory) == [(WEB_CONFIG, "locked app of an unknown version", WEB_V1)]
    assert (app(inventory, WEB_V1).kind, app(inventory, WEB_V1).locked_app) == ("app", None)


def test_many_faults_are_counted(tmp_path: Path) -> None:
    files = [{"path": f"../{number}", "digest": sha256(INDEX)} for number in range(250)]
    locked = {
        "spin_lock_version": 0,
        "triggers": [],
        "components": [{"id": "a", "source": {}, "files": files}],
    }
    found = taken(tmp_path, {WEB_CONFIG: compact(locked)}).problems
    details = [problem.detail for problem in found if problem.kind == "fault in the locked app"]
    assert len(details) == 101
    assert "and 151 more faults" in details


def test_documents_beyond_the_limits_are_not_read(tmp_path: Path) -> None:
    cache = laid_out(tmp_path, pulled(web()))
    inventory = take_inventory(cache, limits=InventoryLimits(manifest_bytes=10, locked_app_bytes=10))
    assert problems(inventory) == [
        (WEB_CONFIG, "damaged locked app", WEB_V1),
        (WEB_MANIFEST, "damaged manifest", WEB_V1),
    ]


def test_back_slash_paths_are_kept(tmp_path: Path) -> None:
    inventory = taken(tmp_path, caches.back_slashes())
    found = app(inventory, SITE_V1).locked_app
    assert problems(inventory) == []
    assert found is not None
    assert found.components[0].files[0].path == "pages\\page-0.html"


def test_secrets_are_in_no_value(tmp_path: Path) -> None:
    artifact = artifacts.inline_files("org/secret", "v1")
    document = artifact.application or b""
    assert b"s3cret-default" in document
    inventory = taken(tmp_path, pulled(artifact))
    text = repr(inventory.apps) + repr(inventory.problems) + repr(inventory)
    for secret in ("s3cret-default", "hunter2", "ciao"):
        assert secret not in text


# Archives ---------------------------------------------------------------------------------------


def test_missing_members_are_one_problem_each(tmp_path: Path) -> None:
    inventory = taken(tmp_path, caches.members_missing("page-1.html", "page-3.html"))
    lost = sorted([blob("data", PAGES["page-1.html"]), blob("data", PAGES["page-3.html"])])
    assert problems(inventory) == [(path, "missing archive member", SITE_V1) for path in lost]
    assert {lost.via for lost in inventory.missing} == {"archive member"}
    assert all(layer.stored for layer in app(inventory, SITE_V1).layers)


def test_missing_archive_explains_its_members(tmp_path: Path) -> None:
    archive = blob("data", caches.archive_layer())
    members = [blob("data", data) for data in PAGES.values()]
    inventory = taken(tmp_path, without(pulled(caches.archive_mode()), archive, *members))
    assert problems(inventory) == [(archive, "missing blob", SITE_V1)]
    assert len(inventory.missing) == 5


def test_archive_whose_members_are_there_is_one_problem(tmp_path: Path) -> None:
    archive = blob("data", caches.archive_layer())
    inventory = taken(tmp_path, without(pulled(caches.archive_mode()), archive))
    assert problems(inventory) == [(archive, "missing blob", SITE_V1)]
    assert [layer.stored for layer in app(inventory, SITE_V1).layers] == [True, False, True]


def test_members_that_nobody_names_are_found_in_the_archive(tmp_path: Path) -> None:
    inventory = taken(tmp_path, pulled(caches.unnamed_members()))
    members = {path: via for path, via in vias(inventory, "ghcr.io/org/unnamed:v1").items() if via != "layer"}
    assert members == {blob("data", data): "archive member" for data in PAGES.values()}
    assert set(standings(inventory).values()) == {"referenced"}
    assert problems(inventory) == []


def test_archives_are_opened_only_for_what_remains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    from spincache_nb.core.inventory import archives as module

    original = module.list_members
    monkeypatch.setattr(
        module,
        "list_members",
        lambda *args, **kwargs: (opened.append(kwargs["where"]), original(*args, **kwargs))[1],
    )
    cache = laid_out(tmp_path, pulled(caches.archive_mode()))
    take_inventory(cache)
    assert opened == []
    write_tree(cache.path, {blob("wasm", b"unneeded"): b"unneeded"})
    take_inventory(cache)
    assert opened == []
    write_tree(cache.path, {blob("data", b"unneeded"): b"unneeded"})
    inventory = take_inventory(cache)
    assert opened == [blob("data", caches.archive_layer())]
    assert standings(inventory)[blob("data", b"unneeded")] == "unreferenced"


def test_opening_an_archive_tells_truncated_members(tmp_path: Path) -> None:
    page = PAGES["page-2.html"]
    tree = {**pulled(caches.archive_mode()), blob("data", page): page[:7], blob("data", b"other"): b"other"}
    inventory = taken(tmp_path, tree)
    assert problems(inventory) == [(blob("data", page), "damaged blob", SITE_V1)]


@pytest.mark.parametrize("damage", ["not gzip", "cut off", "bomb"])
def test_archive_that_cannot_be_listed_is_one_problem(tmp_path: Path, damage: str) -> None:
    layers = {
        "not gzip": b"this is not gzip",
        "cut off": archives.mount_archive({"a": filler("a", 5000)})[:-3000],
        "bomb": archives.bomb(3 << 20),
    }
    artifact = odd_artifacts.archive_app(layers[damage], "org/bad")
    application = artifact.application or b""
    tree = {
        f"{folder(artifact)}/manifest.json": artifact.manifest,
        f"{folder(artifact)}/config.json": application,
        **{blob("data", data): data for data in (layers[damage], b"remains")},
        blob("wasm", wasm_module("archived", 1000)): wasm_module("archived", 1000),
    }
    cache = laid_out(tmp_path, tree)
    limits = InventoryLimits(archive=ArchiveLimits(total_bytes=1 << 20))
    inventory = take_inventory(cache, limits=limits)
    assert problems(inventory) == [(blob("data", layers[damage]), "damaged archive", "ghcr.io/org/bad:v1")]


def test_truncated_archive_is_one_problem(tmp_path: Path) -> None:
    archive = caches.archive_layer()
    tree = {**pulled(caches.archive_mode()), blob("data", archive): archive[:50], blob("data", b"x"): b"x"}
    assert problems(taken(tmp_path, tree)) == [(blob("data", archive), "damaged blob", SITE_V1)]


def test_same_archive_of_two_apps_is_listed_once(tmp_path: Path) -> None:
    first = caches.unnamed_members()
    tree = union(pulled(first), pulled(first.located(tag="v2")))
    inventory = taken(tmp_path, tree)
    for tag in ("v1", "v2"):
        assert len(vias(inventory, f"ghcr.io/org/unnamed:{tag}")) == 2 + len(PAGES)


# Odd names and things in wrong places ------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "kind", "standing"),
    [
        (caches.temporary_name(), "temporary file", "temporary"),
        ("data/.spincache-4711-0123456789abcdef", "temporary file", "temporary"),
        (caches.bare_hex_name(), "name of an old Spin", "misnamed"),
        ("wasm/sha256", "misnamed file", "misnamed"),
        ("data/notes.txt", "misnamed file", "misnamed"),
        ("wasm/sha256:" + "AB" * 32, "misnamed file", "misnamed"),
        ("wasm/sha256:" + "ab" * 31, "misnamed file", "misnamed"),
        ("wasm/md5:" + "ab" * 16, "misnamed file", "misnamed"),
        ("wasm/download-sha256-" + "ab" * 32, "misnamed file", "misnamed"),
    ],
)
def test_odd_name_is_one_problem(tmp_path: Path, path: str, kind: str, standing: str) -> None:
    inventory = taken(tmp_path, {path: b"bytes"})
    assert problems(inventory) == [(path, kind, None)]
    assert standings(inventory) == {path: standing}
    assert inventory.blobs[0].digest is None


def test_environment_blob_is_no_problem(tmp_path: Path) -> None:
    inventory = taken(tmp_path, caches.environment_blob())
    assert problems(inventory) == []
    assert list(standings(inventory).values()) == ["unreferenced"]


def test_unreferenced_blob_is_no_problem(tmp_path: Path) -> None:
    moved = artifacts.new_style("org/web", "v1", components=[artifacts.Component("web", filler("new", 300))])
    inventory = taken(tmp_path, union(pulled(web()), pulled(moved)))
    assert problems(inventory) == []
    assert standings(inventory)[blob("wasm", WEB)] == "unreferenced"


def test_what_systems_leave_is_no_problem(tmp_path: Path) -> None:
    inventory = taken(tmp_path, {"wasm/.DS_Store": b"x", "manifests/desktop.ini": b"x", "Thumbs.db": b"x"})
    assert problems(inventory) == []
    assert standings(inventory) == {"wasm/.DS_Store": "misnamed"}


def test_empty_tag_folder_is_one_problem(tmp_path: Path) -> None:
    cache = laid_out(tmp_path, pulled(web()))
    (cache.path / "manifests/ghcr.io/org/web/v2").mkdir()
    assert problems(take_inventory(cache)) == [("manifests/ghcr.io/org/web/v2", "empty tag folder", None)]


def test_temporary_file_in_a_tag_concerns_the_app(tmp_path: Path) -> None:
    inventory = taken(tmp_path, {**pulled(web()), f"{folder(web())}/.spincache-1-0": b"{"})
    assert problems(inventory) == [(f"{folder(web())}/.spincache-1-0", "temporary file", WEB_V1)]


def test_link_in_a_blobs_place_is_one_problem(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes(WEB)
    cache = laid_out(tmp_path, without(pulled(web()), blob("wasm", WEB)))
    (cache.path / "wasm").mkdir()
    (cache.path / blob("wasm", WEB)).symlink_to(outside)
    inventory = take_inventory(cache)
    assert problems(inventory) == [(blob("wasm", WEB), "link", WEB_V1)]
    assert app(inventory, WEB_V1).layers[0].stored is False
    assert blob("wasm", WEB) not in standings(inventory)


@pytest.mark.parametrize("document", ["manifest.json", "config.json"])
def test_link_in_a_documents_place_is_one_problem(tmp_path: Path, document: str) -> None:
    path = f"{folder(web())}/{document}"
    outside = tmp_path / "outside.json"
    outside.write_bytes(pulled(web())[path])
    cache = laid_out(tmp_path, without(pulled(web()), path))
    (cache.path / path).symlink_to(outside)
    assert problems(take_inventory(cache)) == [(path, "link", WEB_V1)]


@pytest.mark.parametrize("area", ["wasm", "data", "manifests"])
def test_link_in_a_folders_place_is_one_problem(tmp_path: Path, area: str) -> None:
    cache = laid_out(tmp_path, pulled(web()))
    (cache.path / area).rename(tmp_path / "outside")
    (cache.path / area).symlink_to(tmp_path / "outside")
    inventory = take_inventory(cache)
    expected = None if area == "manifests" else WEB_V1
    assert problems(inventory) == [(area, "link", expected)]
    assert not any(file.path.startswith(area) for file in inventory.files)


def test_folder_in_a_blobs_place_is_one_problem(tmp_path: Path) -> None:
    cache = laid_out(tmp_path, without(pulled(web()), blob("data", INDEX)))
    (cache.path / blob("data", INDEX)).mkdir(parents=True)
    assert problems(take_inventory(cache)) == [(blob("data", INDEX), "folder in a file's place", WEB_V1)]


def test_file_in_a_folders_place_is_one_problem(tmp_path: Path) -> None:
    inventory = taken(tmp_path, {"data": b"a file", "manifests": b"another"})
    assert problems(inventory) == [
        ("data", "file in a folder's place", None),
        ("manifests", "file in a folder's place", None),
    ]
    assert [(file.path, file.area) for file in inventory.files] == [("data", "other"), ("manifests", "other")]


def test_pipe_in_a_files_place_is_one_problem(tmp_path: Path) -> None:
    cache = laid_out(tmp_path, without(pulled(web()), WEB_CONFIG))
    os.mkfifo(cache.path / WEB_CONFIG)
    os.mkfifo(cache.path / "stray")
    assert problems(take_inventory(cache)) == [
        (WEB_CONFIG, "not a file", WEB_V1),
        ("stray", "foreign", None),
    ]


def test_names_that_are_not_utf8_are_one_problem_each(tmp_path: Path) -> None:
    cache = laid_out(tmp_path, pulled(web()))
    root = os.fsencode(cache.path)
    for name in (b"wasm/\xff\xfe", b"data/caf\xe9"):
        with open(root + b"/" + name, "wb") as file:  # noqa: PTH123 - a name that is no text
            file.write(b"x")
    odd = root + b"/manifests/ghcr.io/org/web/v\xff"
    os.mkdir(odd)  # noqa: PTH102
    with open(odd + b"/manifest.json", "wb") as file:  # noqa: PTH123
        file.write(b"")
    inventory = take_inventory(cache)
    assert problems(inventory) == [
        ("data/caf\\xe9", "misnamed file", None),
        ("manifests/ghcr.io/org/web/v\\xff/config.json", "missing locked app", "ghcr.io/org/web:v\\xff"),
        ("manifests/ghcr.io/org/web/v\\xff/manifest.json", "damaged manifest", "ghcr.io/org/web:v\\xff"),
        ("wasm/\\xff\\xfe", "misnamed file", None),
    ]


def test_names_that_are_shown_alike_are_both_counted(tmp_path: Path) -> None:
    cache = laid_out(tmp_path, {"wasm/\\xff": b"12345"})
    with open(os.fsencode(cache.path) + b"/wasm/\xff", "wb") as file:  # noqa: PTH123
        file.write(b"x")
    inventory = take_inventory(cache)
    assert sorted((one.blob.name, one.blob.stored_bytes) for one in inventory.blobs) == [
        ("\\xff", 1),
        ("\\xff", 5),
    ]
    assert sum(file.stored_bytes for file in inventory.files) == 6


def test_names_with_control_characters_are_shown_escaped(tmp_path: Path) -> None:
    tree = {path.replace("/v1/", "/v\n1/"): data for path, data in pulled(web()).items()}
    inventory = taken(tmp_path, {**tree, "wasm/two\nlines\x1b[31m": b"x"})
    assert inventory.apps[0].reference == "ghcr.io/org/web:v\\n1"
    assert problems(inventory) == [("wasm/two\\nlines\\x1b[31m", "misnamed file", None)]

"""Manifests and locked apps that are damaged, missing, or do not belong together; rows written by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from spincache_nb.core.cache import Cache
from spincache_nb.inventory import InventoryLimits, take_inventory
from tests.inventory.reading import (
    SITE_V1,
    WEB_CONFIG,
    WEB_MANIFEST,
    WEB_V1,
    app,
    laid_out,
    layers,
    missing,
    problems,
    standings,
    taken,
    vias,
)
from tests.support import artifacts, caches
from tests.support.artifact import compact, filler, sha256
from tests.support.caches import INDEX, WEB, blob, folder, pulled, web, without


def test_manifest_newer_than_config_is_one_problem(tmp_path: Path) -> None:
    inventory = taken(tmp_path, caches.two_versions())
    found = app(inventory, WEB_V1)
    assert problems(inventory) == [(WEB_CONFIG, "stale locked app", WEB_V1)]
    assert [layer.stored for layer in layers(found)] == [True, True, False]
    assert found.locked_app is not None
    assert found.locked_app.version == "1.0.0"


def test_stale_locked_app_explains_what_it_lacks(tmp_path: Path) -> None:
    other = artifacts.new_style(
        "org/web", "v1", components=[artifacts.Component("web", WEB, {"gone.html": filler("gone", 400)})]
    )
    inventory = taken(tmp_path, {**pulled(web()), WEB_CONFIG: other.application or b""})
    assert problems(inventory) == [(WEB_CONFIG, "stale locked app", WEB_V1)]
    assert [(lost.area, lost.via) for lost in missing(inventory)] == [("data", "content ref")]


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
    assert (found.kind, found.manifest, layers(found)) == ("app", None, [])
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


@pytest.mark.parametrize("manifest", [None, b"{"], ids=["missing", "damaged"])
def test_recovered_locked_app_is_needed_whatever_the_manifest_says(
    tmp_path: Path, manifest: bytes | None
) -> None:
    tree = caches.image_config_left()
    del tree[WEB_MANIFEST]
    if manifest is not None:
        tree[WEB_MANIFEST] = manifest
    inventory = taken(tmp_path, tree)
    assert app(inventory, WEB_V1).locked_app is not None
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


IMAGES = [b'{"rootfs":{}}', b'{"architecture":"wasm","os":"wasip1"}']


@pytest.mark.parametrize("config", [*IMAGES, b'{"architecture":"wasm"}'])
def test_container_image_is_one_problem(tmp_path: Path, config: bytes) -> None:
    kind = "image config" if config in IMAGES else "other JSON"
    layer = ("application/vnd.oci.image.layer.v1.tar+gzip", b"layer")
    document = artifacts.assemble(("application/vnd.oci.image.config.v1+json", config), [layer, layer])
    path = "manifests/docker.io/library/busybox/latest"
    tree = {
        f"{path}/manifest.json": compact(document),
        f"{path}/config.json": config,
        blob("data", b"layer"): b"layer",
    }
    inventory = taken(tmp_path, tree)
    reference = "docker.io/library/busybox:latest"
    assert problems(inventory) == [(f"{path}/config.json", "neither app nor package", reference)]
    assert (app(inventory, reference).kind, app(inventory, reference).config_kind) == ("unknown", kind)
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


def test_layers_keep_their_further_addresses(tmp_path: Path) -> None:
    """A repair may need them, where the registry itself has no blob."""
    layer = {"mediaType": "application/wasm", "digest": f"sha256:{'1' * 64}", "size": 3}
    far = {
        **layer,
        "digest": f"sha256:{'2' * 64}",
        "urls": ["https://example.com/a", "https://example.com/b"],
    }
    config = {
        "mediaType": "application/vnd.oci.image.config.v1+json",
        "digest": f"sha256:{'3' * 64}",
        "size": 2,
    }
    for tag, listed in (("a", [layer]), ("b", [layer, far]), ("c", [far])):
        place = tmp_path / "registry" / "manifests" / "ghcr.io" / "o" / "app" / tag
        place.mkdir(parents=True)
        manifest = {"schemaVersion": 2, "config": config, "layers": listed}
        (place / "manifest.json").write_text(json.dumps(manifest))
    found = take_inventory(Cache(tmp_path))
    urls = {one.tag.tag: [layer.urls for layer in layers(one)] for one in found.apps}
    both = ("https://example.com/a", "https://example.com/b")
    assert urls == {"a": [()], "b": [(), both], "c": [both]}


@pytest.mark.parametrize("place", [0, 1, 2])
def test_manifest_that_gives_a_digest_two_sizes_is_damaged_and_no_other(tmp_path: Path, place: int) -> None:
    tree, name = pulled(web()), f"{folder(web())}/manifest.json"
    manifest = json.loads(tree[name])
    again = manifest["layers"][place]
    manifest["layers"].append({**again, "size": again["size"] + 1})
    other = pulled(web(repository="org/other"))
    inventory = taken(tmp_path, {**other, **tree, name: compact(manifest)})
    (found,) = [problem for problem in inventory.problems if problem.path == name]
    assert (found.kind, found.reference) == ("damaged manifest", WEB_V1)
    assert f"one size for {again['digest']}" in found.detail
    assert {problem.reference for problem in inventory.problems} == {WEB_V1}


@pytest.mark.parametrize("instead", [{}, {"manifests": []}], ids=["nothing", "an index"])
@pytest.mark.parametrize("part", ["config", "layers"])
def test_manifest_that_lacks_a_part_is_damaged(tmp_path: Path, part: str, instead: dict[str, object]) -> None:
    tree, name = pulled(web()), f"{folder(web())}/manifest.json"
    manifest = {key: value for key, value in json.loads(tree[name]).items() if key != part} | instead
    inventory = taken(tmp_path, {**tree, name: compact(manifest)})
    (found,) = [problem for problem in inventory.problems if problem.path == name]
    assert (found.kind, found.reference) == ("damaged manifest", WEB_V1)

"""Archive layers and their members. Expectations are written by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from spincache_nb.core.settings import ArchiveLimits
from spincache_nb.inventory import InventoryLimits, take_inventory
from tests.inventory.reading import SITE_V1, app, laid_out, layers, missing, problems, standings, taken, vias
from tests.support import archives, caches, odd_artifacts
from tests.support.artifact import ARCHIVE, WASM, filler, sha256, wasm_module
from tests.support.artifacts import Component
from tests.support.caches import PAGES, TINY, WEB, blob, folder, pulled, without
from tests.support.trees import union, write_tree


def test_missing_members_are_one_problem_each(tmp_path: Path) -> None:
    inventory = taken(tmp_path, caches.members_missing("page-1.html", "page-3.html"))
    lost = sorted([blob("data", PAGES["page-1.html"]), blob("data", PAGES["page-3.html"])])
    assert problems(inventory) == [(path, "missing archive member", SITE_V1) for path in lost]
    assert {lost.via for lost in missing(inventory)} == {"archive member"}
    assert all(layer.stored for layer in layers(app(inventory, SITE_V1)))


def test_missing_archive_explains_its_members(tmp_path: Path) -> None:
    archive = blob("data", caches.archive_layer())
    members = [blob("data", data) for data in PAGES.values()]
    inventory = taken(tmp_path, without(pulled(caches.archive_mode()), archive, *members))
    assert problems(inventory) == [(archive, "missing blob", SITE_V1)]
    assert len(missing(inventory)) == 5


def test_archive_whose_members_are_there_is_one_problem(tmp_path: Path) -> None:
    archive = blob("data", caches.archive_layer())
    inventory = taken(tmp_path, without(pulled(caches.archive_mode()), archive))
    assert problems(inventory) == [(archive, "missing blob", SITE_V1)]
    assert [layer.stored for layer in layers(app(inventory, SITE_V1))] == [True, False, True]


def test_members_that_nobody_names_are_found_in_the_archive(tmp_path: Path) -> None:
    inventory = taken(tmp_path, pulled(caches.unnamed_members()))
    members = {path: via for path, via in vias(inventory, "ghcr.io/org/unnamed:v1").items() if via != "layer"}
    assert members == {blob("data", data): "archive member" for data in PAGES.values()}
    assert set(standings(inventory).values()) == {"referenced"}
    assert problems(inventory) == []


def test_archives_are_opened_only_for_what_remains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    from spincache_nb.inventory import stored as module

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
    assert inventory.members.of(sha256(caches.archive_layer())).keys() >= set(map(sha256, PAGES.values()))
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
    kind = "cut archive" if damage == "cut off" else "damaged archive"
    assert problems(inventory) == [(blob("data", layers[damage]), kind, "ghcr.io/org/bad:v1")]


@pytest.mark.parametrize("whole", [True, False])
def test_file_that_the_archive_lacks_was_not_pushed(tmp_path: Path, whole: bool) -> None:
    """What the archive holds can be unpacked again; what it does not hold, nobody can bring back."""
    pages = PAGES if whole else {name: data for name, data in PAGES.items() if name != "page-1.html"}
    component = Component("site", WEB, dict(PAGES))
    layers = [(WASM, WEB), (ARCHIVE, archives.mount_archive(pages))]
    artifact = odd_artifacts.with_layers("org/site", component, layers)
    lost = blob("data", PAGES["page-1.html"])
    tree = pulled(artifact) | {blob("data", data): data for data in PAGES.values()}
    kind = "missing archive member" if whole else "file not pushed"
    assert problems(taken(tmp_path, without(tree, lost))) == [(lost, kind, SITE_V1)]


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


def test_missing_member_that_is_inlined_too_is_no_problem(tmp_path: Path) -> None:
    inventory = taken(tmp_path, without(pulled(caches.archive_mode()), blob("data", TINY)))
    assert (problems(inventory), missing(inventory)) == ([], [])


def test_archive_in_wasm_only_is_one_problem(tmp_path: Path) -> None:
    archive = caches.archive_layer()
    members = [blob("data", data) for data in PAGES.values()]
    tree = without(pulled(caches.archive_mode()), blob("data", archive), *members)
    inventory = taken(tmp_path, {**tree, blob("wasm", archive): archive})
    assert problems(inventory) == [(blob("data", archive), "blob in the wrong area", SITE_V1)]

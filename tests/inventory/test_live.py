"""Taking an inventory while others write."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from spincache_nb.core.cache import Cache
from spincache_nb.inventory import Inventory, documents, take_inventory
from tests.inventory.reading import WEB_CONFIG, blobs, each_use, layers, pairs
from tests.support import caches
from tests.support.caches import INDEX, WEB, blob, folder, pulled, web, without
from tests.support.trees import write_tree


def after_the_walk(monkeypatch: pytest.MonkeyPatch, cache: Cache, change: Callable[[], object]) -> Inventory:
    """Take an inventory with a change between its first walk and everything else."""
    original = Cache.scan
    changes = [change]

    def scan_then_change(self: Cache) -> Any:
        found = original(self)
        if changes:
            changes.pop()()
        return found

    monkeypatch.setattr(Cache, "scan", scan_then_change)
    return take_inventory(cache)


def test_blob_that_arrives_meanwhile_is_not_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = pulled(web())
    write_tree(tmp_path / "registry", without(tree, blob("wasm", WEB), blob("data", INDEX)))
    cache = Cache(tmp_path)
    inventory = after_the_walk(monkeypatch, cache, lambda: write_tree(cache.path, tree))
    assert pairs(inventory) == []
    assert all(layer.stored for layer in layers(inventory.apps[0]))
    assert {one.standing for one in blobs(inventory)} == {"referenced"}
    assert {file.path for file in inventory.files} == set(tree)


def test_blob_that_is_finished_meanwhile_is_not_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = pulled(web())
    write_tree(tmp_path / "registry", {**tree, blob("wasm", WEB): WEB[:10], blob("data", INDEX): b""})
    cache = Cache(tmp_path)
    inventory = after_the_walk(monkeypatch, cache, lambda: write_tree(cache.path, tree))
    assert pairs(inventory) == []
    assert all(layer.stored for layer in layers(inventory.apps[0]))
    assert sorted(use.stored_bytes for use in each_use(inventory)) == sorted([len(INDEX), len(WEB)])
    assert {file.path: file.stored_bytes for file in inventory.files} == {
        path: len(data) for path, data in tree.items()
    }


def test_blob_that_nobody_needs_yet_and_is_filled_meanwhile_is_not_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stray = blob("data", b"stray")
    write_tree(tmp_path / "registry", {stray: b""})
    cache = Cache(tmp_path)
    assert pairs(after_the_walk(monkeypatch, cache, lambda: write_tree(cache.path, {stray: b"stray"}))) == []


def test_download_that_ends_meanwhile_is_no_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = {caches.temporary_name(): WEB[:10], f"{folder(web())}/.spincache-1-2": b"{", **pulled(web())}
    write_tree(tmp_path / "registry", tree)
    cache = Cache(tmp_path)

    def end() -> None:
        (cache.path / caches.temporary_name()).unlink()
        (cache.path / folder(web()) / ".spincache-1-2").unlink()

    inventory = after_the_walk(monkeypatch, cache, end)
    assert pairs(inventory) == []
    assert {one.standing for one in blobs(inventory)} == {"referenced"}


def test_tag_that_is_filled_meanwhile_is_not_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "registry" / folder(web())).mkdir(parents=True)
    cache = Cache(tmp_path)
    assert pairs(after_the_walk(monkeypatch, cache, lambda: write_tree(cache.path, pulled(web())))) == []


def test_app_that_is_removed_meanwhile_is_no_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = Cache(tmp_path)
    write_tree(cache.path, pulled(web()))
    inventory = after_the_walk(monkeypatch, cache, lambda: shutil.rmtree(cache.path / folder(web())))
    assert (inventory.apps, inventory.problems) == ((), ())


def test_cache_that_is_cleared_meanwhile_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = Cache(tmp_path)
    write_tree(cache.path, pulled(caches.unnamed_members()))
    after_the_walk(monkeypatch, cache, lambda: shutil.rmtree(cache.path))


def test_document_that_is_written_meanwhile_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Spin truncates, then writes: a reader can see half of a document."""
    cache = Cache(tmp_path)
    tree = pulled(web())
    write_tree(cache.path, {**tree, WEB_CONFIG: tree[WEB_CONFIG][:100]})
    original = documents.read_stated
    reads: list[str] = []

    def read_then_finish(path: Path, *, limit: int) -> tuple[bytes, os.stat_result]:
        content = original(path, limit=limit)
        reads.append(Path(path).name)
        if Path(path).name == "config.json":
            write_tree(cache.path, {WEB_CONFIG: tree[WEB_CONFIG]})
        return content

    monkeypatch.setattr(documents, "read_stated", read_then_finish)
    assert pairs(take_inventory(cache)) == []
    assert reads[:4] == ["manifest.json", "config.json"] * 2


def test_document_that_stays_damaged_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = Cache(tmp_path)
    write_tree(cache.path, {**pulled(web()), WEB_CONFIG: b"{"})
    original = documents.read_stated
    reads: list[str] = []

    def counted(path: Path, *, limit: int) -> tuple[bytes, os.stat_result]:
        reads.append(Path(path).name)
        return original(path, limit=limit)

    monkeypatch.setattr(documents, "read_stated", counted)
    assert pairs(take_inventory(cache)) == [(WEB_CONFIG, "damaged locked app")]
    assert reads == ["manifest.json", "config.json"]


def test_cache_that_changes_all_the_time_is_walked_three_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = Cache(tmp_path)
    write_tree(cache.path, pulled(web()))
    wasm = cache.path / blob("wasm", WEB)
    original = Cache.scan
    walks = []

    def scan_without_blob(self: Cache) -> Any:
        wasm.unlink(missing_ok=True)
        walks.append(original(self))
        wasm.write_bytes(WEB)
        return walks[-1]

    monkeypatch.setattr(Cache, "scan", scan_without_blob)
    assert pairs(take_inventory(cache)) == [(blob("wasm", WEB), "missing blob")]
    assert len(walks) == 3

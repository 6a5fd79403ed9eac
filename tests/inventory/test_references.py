"""Which app a cached tag is, and which manifest. Expectations are written by hand."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from spincache_nb.core.cache import Cache
from spincache_nb.core.journal import History, HistoryWarning, PullRecord
from spincache_nb.inventory import take_inventory
from tests.inventory.reading import (
    WEB_MANIFEST,
    WEB_V1,
    app,
    laid_out,
    problems,
    standings,
    taken,
    uses,
)
from tests.support import caches
from tests.support.caches import INDEX, WEB, blob, folder, pulled, web
from tests.support.trees import union


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
    there = take_inventory(Cache(cache.path.parent, windows_names=True))
    assert [app.tag.path.parts[-4] for app in there.apps] == ["localhost_5000"]
    assert ("manifests/localhost:5000/org/web/v1", "second copy", "localhost:5000/org/web:v1") in problems(
        there
    )

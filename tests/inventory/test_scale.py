"""Taking an inventory of large caches."""

from __future__ import annotations

import json
import time
from pathlib import Path

from spincache_nb.core.cache import Cache
from spincache_nb.inventory import take_inventory
from tests.inventory.reading import blobs
from tests.support import archives, artifacts
from tests.support.artifact import (
    APPLICATION,
    ARCHIVE,
    DATA,
    IMAGE_CONFIG,
    WASM,
    compact,
    descriptor,
    sha256,
    wasm_module,
)
from tests.support.caches import blob, pulled, web
from tests.support.trees import write_tree


def seconds(cache: Cache) -> float:
    start = time.process_time()
    take_inventory(cache)
    return time.process_time() - start


def many_apps(root: Path, apps: int, layers: int) -> Cache:
    """Lay out apps that share all but one of their layers."""
    shared = [b"shared %d" % number for number in range(layers - 1)]
    files = [{"path": f"{number}", "digest": sha256(data)} for number, data in enumerate(shared)]
    tree = {blob("data", data): data for data in shared}
    descriptors = [descriptor(DATA, data) for data in shared]
    for number in range(apps):
        wasm = b"\0asm %d" % number
        locked = compact(
            {
                "spin_lock_version": 0,
                "metadata": {"name": f"app {number}"},
                "triggers": [],
                "components": [{"id": "a", "source": {"digest": sha256(wasm)}, "files": files}],
            }
        )
        manifest = {
            "schemaVersion": 2,
            "config": descriptor(IMAGE_CONFIG, b"{}"),
            "layers": [descriptor(WASM, wasm), *descriptors, descriptor(APPLICATION, locked)],
        }
        path = f"manifests/ghcr.io/org/app-{number}/v1"
        tree |= {
            f"{path}/manifest.json": compact(manifest),
            f"{path}/config.json": locked,
            blob("wasm", wasm): wasm,
        }
    write_tree(root / "registry", tree)
    return Cache(root)


def test_take_inventory_grows_linearly_with_apps(tmp_path: Path) -> None:
    small = many_apps(tmp_path / "small", 10, 499)
    large = many_apps(tmp_path / "large", 80, 499)
    seconds(small)
    assert seconds(large) < 8 * 3 * max(seconds(small), 0.02)
    inventory = take_inventory(large)
    assert (len(inventory.apps), len(inventory.problems)) == (80, 0)
    assert len(inventory.contents.uses.users) == 80 * 499


def archive_app(root: Path, members: int) -> Cache:
    """Lay out an app with one archive, half of whose members the locked app does not name."""
    files = {f"{number}": b"member %d" % number for number in range(members)}
    archive = archives.mount_archive(files)
    named = [{"path": name, "digest": sha256(files[name])} for name in list(files)[: members // 2]]
    wasm = wasm_module("archive", 100)
    locked = compact(
        {
            "spin_lock_version": 0,
            "triggers": [],
            "components": [{"id": "a", "source": {"digest": sha256(wasm)}, "files": named}],
        }
    )
    manifest = artifacts.assemble(
        (IMAGE_CONFIG, b"{}"), [(WASM, wasm), (ARCHIVE, archive), (APPLICATION, locked)]
    )
    path = "manifests/ghcr.io/org/archive/v1"
    tree = {blob("data", data): data for data in [archive, *files.values()]}
    tree |= {f"{path}/manifest.json": json.dumps(manifest).encode(), f"{path}/config.json": locked}
    write_tree(root / "registry", {**tree, blob("wasm", wasm): wasm})
    return Cache(root)


def test_take_inventory_grows_linearly_with_members(tmp_path: Path) -> None:
    small, large = archive_app(tmp_path / "small", 1000), archive_app(tmp_path / "large", 8000)
    seconds(small)
    assert seconds(large) < 8 * 3 * max(seconds(small), 0.02)
    inventory = take_inventory(large)
    assert len(inventory.contents.uses.users) == 8002
    assert {one.standing for one in blobs(inventory)} == {"referenced"}


def test_take_inventory_makes_no_log_or_state(tmp_path: Path, isolated_home: Path) -> None:
    write_tree(tmp_path / "registry", pulled(web()))
    take_inventory(Cache(tmp_path))
    assert list(isolated_home.iterdir()) == []

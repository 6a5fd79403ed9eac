"""Taking an inventory while others write, without rights, of hostile trees, and of large caches."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spincache_nb.core.cache import Cache, Problem
from spincache_nb.core.inventory import Inventory, documents, take_inventory
from tests.support import archives, artifacts, caches
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
from tests.support.caches import INDEX, WEB, blob, folder, pulled, web, without
from tests.support.procs import call, open_folder
from tests.support.trees import Tree, write_tree

WEB_V1 = "ghcr.io/org/web:v1"
WEB_CONFIG = f"{folder(web())}/config.json"


def pairs(inventory: Inventory) -> list[tuple[str, str]]:
    return [(problem.path, problem.kind) for problem in inventory.problems]


# Others write -----------------------------------------------------------------------------------


def after_the_walk(monkeypatch: pytest.MonkeyPatch, cache: Cache, change: Callable[[], object]) -> Inventory:
    """Take an inventory with a change between the walk and everything else."""
    original = Cache.scan

    def scan_then_change(self: Cache) -> Any:
        found = original(self)
        change()
        return found

    monkeypatch.setattr(Cache, "scan", scan_then_change)
    return take_inventory(cache)


def test_blob_that_arrives_meanwhile_is_not_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = pulled(web())
    write_tree(tmp_path / "registry", without(tree, blob("wasm", WEB), blob("data", INDEX)))
    cache = Cache(tmp_path)
    inventory = after_the_walk(monkeypatch, cache, lambda: write_tree(cache.path, tree))
    assert pairs(inventory) == []
    assert all(layer.stored for layer in inventory.apps[0].layers)
    assert {one.standing for one in inventory.blobs} == {"referenced"}
    assert {file.path for file in inventory.files} == set(tree)


def test_blob_that_is_finished_meanwhile_is_not_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = pulled(web())
    write_tree(tmp_path / "registry", {**tree, blob("wasm", WEB): WEB[:10], blob("data", INDEX): b""})
    cache = Cache(tmp_path)
    inventory = after_the_walk(monkeypatch, cache, lambda: write_tree(cache.path, tree))
    assert pairs(inventory) == []
    assert all(layer.stored for layer in inventory.apps[0].layers)
    assert sorted(use.stored_bytes for use in inventory.apps[0].uses) == sorted([len(INDEX), len(WEB)])
    assert {file.path: file.stored_bytes for file in inventory.files} == {
        path: len(data) for path, data in tree.items()
    }


def test_download_that_ends_meanwhile_is_no_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = {caches.temporary_name(): WEB[:10], f"{folder(web())}/.spincache-1-2": b"{", **pulled(web())}
    write_tree(tmp_path / "registry", tree)
    cache = Cache(tmp_path)

    def end() -> None:
        (cache.path / caches.temporary_name()).unlink()
        (cache.path / folder(web()) / ".spincache-1-2").unlink()

    inventory = after_the_walk(monkeypatch, cache, end)
    assert pairs(inventory) == []
    assert {one.standing for one in inventory.blobs} == {"referenced"}


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
    original = documents.read_bounded
    reads: list[str] = []

    def read_then_finish(path: Path, *, limit: int) -> bytes:
        content = original(path, limit=limit)
        reads.append(path.name)
        write_tree(cache.path, {WEB_CONFIG: tree[WEB_CONFIG]})
        return content

    monkeypatch.setattr(documents, "read_bounded", read_then_finish)
    assert pairs(take_inventory(cache)) == []
    assert reads == ["manifest.json", "config.json"]


def test_document_that_stays_damaged_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = Cache(tmp_path)
    write_tree(cache.path, {**pulled(web()), WEB_CONFIG: b"{"})
    original = documents.read_bounded
    reads: list[str] = []

    def counted(path: Path, *, limit: int) -> bytes:
        reads.append(path.name)
        return original(path, limit=limit)

    monkeypatch.setattr(documents, "read_bounded", counted)
    assert pairs(take_inventory(cache)) == [(WEB_CONFIG, "damaged locked app")]
    assert reads == ["manifest.json", "config.json"]


# Without rights ---------------------------------------------------------------------------------


def found_by_nobody(root: str) -> list[list[str | None]]:
    from spincache_nb.core.cache import Cache
    from spincache_nb.core.inventory import take_inventory

    inventory = take_inventory(Cache(root))
    return [[problem.path, problem.kind, problem.reference] for problem in inventory.problems]


@pytest.mark.parametrize(
    ("path", "kind", "reference"),
    [
        (blob("wasm", WEB), "unreadable file", WEB_V1),
        (f"{folder(web())}/manifest.json", "unreadable file", WEB_V1),
        (WEB_CONFIG, "unreadable file", WEB_V1),
        ("wasm", "unreadable folder", WEB_V1),
        ("data", "unreadable folder", WEB_V1),
        ("manifests", "unreadable folder", None),
        (folder(web()), "unreadable folder", None),
    ],
)
def test_what_may_not_be_read_is_one_problem(path: str, kind: str, reference: str | None) -> None:
    with open_folder(owner=0) as root:
        write_tree(root / "registry", pulled(web()))
        (root / "registry" / path).chmod(0)
        outcome = call(found_by_nobody, str(root), unprivileged=True)
        assert outcome.error is None
        assert outcome.value == [[path, kind, reference]]


def test_cache_that_may_not_be_read_at_all_is_one_problem() -> None:
    with open_folder(owner=0) as root:
        write_tree(root / "registry", pulled(web()))
        (root / "registry").chmod(0)
        assert call(found_by_nobody, str(root), unprivileged=True).value == [[".", "unreadable folder", None]]


def test_download_with_mode_0600_of_the_same_user_is_readable() -> None:
    """Web sources keep the mode of the temporary file they were downloaded to (crates/loader/src/http.rs)."""
    with open_folder() as root:
        write_tree(root / "registry", pulled(web()))
        path = root / "registry" / blob("wasm", WEB)
        path.chmod(0o600)
        if os.geteuid() == 0:
            os.chown(path, 65534, 65534)
        assert call(found_by_nobody, str(root), unprivileged=True).value == []


# Trees nobody expects ---------------------------------------------------------------------------

NAMES = st.sampled_from(
    [
        "wasm",
        "data",
        "manifests",
        "ghcr.io",
        "localhost_5000",
        "a",
        "b",
        "latest",
        "manifest.json",
        "config.json",
        sha256(WEB),
        sha256(INDEX),
        sha256(b"").replace(":", "_"),
        ".spincache-x",
    ]
)
MANIFEST = st.fixed_dictionaries(
    {
        "schemaVersion": st.sampled_from([2, 2, 2, 1, "2"]),
        "config": st.sampled_from(
            [descriptor(IMAGE_CONFIG, b"{}"), descriptor(APPLICATION, b"{}"), {"digest": "../../x"}, None]
        ),
        "layers": st.lists(
            st.sampled_from(
                [
                    descriptor(WASM, WEB),
                    descriptor(DATA, INDEX),
                    descriptor(DATA, WEB),
                    descriptor(ARCHIVE, INDEX),
                    descriptor(APPLICATION, INDEX),
                    descriptor("x/y", WEB, size=3),
                ]
            )
        ),
    }
)
LOCKED_APP = st.fixed_dictionaries(
    {
        "spin_lock_version": st.sampled_from([0, 1, 7, "0"]),
        "components": st.lists(
            st.fixed_dictionaries(
                {
                    "id": st.sampled_from(["a", "b", 3]),
                    "source": st.sampled_from([{"digest": sha256(WEB)}, {"digest": "x"}, None, {}]),
                    "files": st.lists(
                        st.sampled_from(
                            [
                                {"path": "a", "digest": sha256(INDEX)},
                                {"path": "../b", "digest": sha256(b""), "inline": ""},
                                {"path": "\\c", "inline": "!"},
                                [],
                            ]
                        )
                    ),
                }
            ),
            max_size=3,
        ),
    }
)
CONTENT = st.one_of(
    st.sampled_from([WEB, INDEX, b"", b"{}", WEB[:9]]),
    st.binary(max_size=20),
    st.builds(compact, MANIFEST),
    st.builds(compact, LOCKED_APP),
)
PATHS = st.lists(NAMES, min_size=1, max_size=6).map("/".join)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tree=st.dictionaries(PATHS, CONTENT, max_size=12))
def test_take_inventory_agrees_with_itself_on_any_tree(
    tmp_path_factory: pytest.TempPathFactory, tree: Tree
) -> None:
    root = tmp_path_factory.mktemp("any")
    for path, data in tree.items():
        target = root / "registry" / path
        if not any(parent.is_file() for parent in target.parents) and not target.is_dir():
            write_tree(root / "registry", {path: data})
    before = {path: path.lstat().st_mtime_ns for path in root.rglob("*")}
    inventory = take_inventory(Cache(root))
    assert {path: path.lstat().st_mtime_ns for path in root.rglob("*")} == before
    files = {path.relative_to(root / "registry").as_posix(): path for path in before if path.is_file()}
    assert [file.path for file in inventory.files] == sorted(files)
    stored = {f"{one.blob.area}/{one.blob.name}": one for one in inventory.blobs}
    used = {f"{use.area}/{use.blob.name}" for use in inventory.uses()}
    assert used == {path for path, one in stored.items() if one.standing == "referenced"}
    assert all((one.digest is None) == (one.standing in ("temporary", "misnamed")) for one in stored.values())
    keys = [(use.user, use.digest, use.area) for use in inventory.uses()]
    assert len(keys) == len(set(keys))
    assert len({app.reference for app in inventory.apps}) == len(inventory.apps)
    assert all(isinstance(problem, Problem) and problem.remedy for problem in inventory.problems)


# Large caches -----------------------------------------------------------------------------------


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
    assert sum(len(app.uses) for app in inventory.apps) == 80 * 499


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
    assert len(inventory.apps[0].uses) == 8002
    assert {one.standing for one in inventory.blobs} == {"referenced"}


def test_take_inventory_makes_no_log_or_state(tmp_path: Path, isolated_home: Path) -> None:
    write_tree(tmp_path / "registry", pulled(web()))
    take_inventory(Cache(tmp_path))
    assert list(isolated_home.iterdir()) == []

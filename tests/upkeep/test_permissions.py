"""A user without rights: refusals are told, nothing is half-done, nobody else's files are touched."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.caches import INDEX, WEB, blob, pulled, web
from tests.support.procs import NOBODY, call
from tests.support.trees import read_tree, union, write_tree
from tests.upkeep.worlds import make_older

STRAY = {blob("data", b"stray"): b"stray"}
TREE = union(pulled(web()), STRAY)


def laid_out(folder: Path, *, owner: int = NOBODY) -> Path:
    """Write a cache that the unprivileged user owns, all of it two hours old."""
    root = write_tree(folder / "cache" / "registry", TREE)
    make_older(root, 7200)
    for path in [folder / "cache", root, *root.rglob("*")]:
        if os.geteuid() == 0:
            os.chown(path, owner, owner)
    return root


def plan_and_execute(folder: str, kind: str) -> list[object]:
    """Runs in a subprocess."""
    import spincache_nb as sc

    cache = sc.Cache(folder)
    if kind == "remove":
        plan = sc.plan_remove(cache, "ghcr.io/org/web:v1")
    else:
        plan = sc.plan_prune(cache) if kind == "prune" else sc.plan_clear(cache)
    result = plan.execute()
    failed = [(one.item.path, one.reason) for one in result.failed]
    return [len(plan.items), len(result.removed), result.freed_bytes, failed]


def verify_rows(folder: str) -> list[list[str]]:
    """Runs in a subprocess."""
    import spincache_nb as sc

    return [[row.path, row.kind, row.detail] for row in sc.verify(sc.Cache(folder)).itertuples()]


@pytest.mark.parametrize("kind", ["remove", "prune", "clear"])
def test_the_owner_may_do_it_all(nobodys_folder: Path, kind: str) -> None:
    root = laid_out(nobodys_folder)
    outcome = call(plan_and_execute, str(root.parent), kind, unprivileged=True)
    assert outcome.error is None
    planned, removed, freed, failed = outcome.value
    assert (planned, failed) == (removed, [])
    assert freed > 0


@pytest.mark.parametrize("kind", ["remove", "prune", "clear"])
def test_removals_of_somebody_elses_cache_fail_and_change_nothing(nobodys_folder: Path, kind: str) -> None:
    root = laid_out(nobodys_folder, owner=0)
    if os.geteuid() != 0:
        for path in [root, *root.rglob("*")]:
            path.chmod(path.stat().st_mode & ~0o222)
    os.chown(nobodys_folder, os.geteuid(), os.getegid())
    outcome = call(plan_and_execute, str(root.parent), kind, unprivileged=True)
    assert outcome.error is None
    _, removed, freed, failed = outcome.value
    assert (removed, freed) == (0, 0)
    assert failed
    assert all("denied" in reason for _, reason in failed)
    assert read_tree(root) == TREE


def test_remove_keeps_the_blobs_of_an_app_whose_manifest_cannot_go(nobodys_folder: Path) -> None:
    root = laid_out(nobodys_folder)
    (root / "manifests/ghcr.io/org/web/v1").chmod(0o555)
    outcome = call(plan_and_execute, str(root.parent), "remove", unprivileged=True)
    assert outcome.error is None
    assert outcome.value[1] == 0
    assert [path for path, _ in outcome.value[3]] == ["manifests/ghcr.io/org/web/v1/manifest.json"]
    assert read_tree(root) == TREE


def test_clear_empties_a_cache_whose_parent_cannot_be_written(nobodys_folder: Path) -> None:
    """As on a mount point: the directory itself stays."""
    root = laid_out(nobodys_folder)
    os.chown(root.parent, 0, 0)
    if os.geteuid() != 0:
        root.parent.chmod(0o555)
    outcome = call(plan_and_execute, str(root.parent), "clear", unprivileged=True)
    assert outcome.error is None
    assert outcome.value[2] == sum(map(len, TREE.values()))
    assert outcome.value[3] == []
    assert root.is_dir()
    assert list(root.iterdir()) == []


@pytest.mark.parametrize("kind", ["remove", "prune"])
@pytest.mark.parametrize(
    "hide",
    [
        lambda root: (root / "manifests" / "ghcr.io").chmod(0),
        lambda root: (root / "manifests/ghcr.io/org/other/v1/manifest.json").chmod(0),
        lambda root: (root / "manifests/ghcr.io/org/other/v1/config.json").chmod(0),
    ],
    ids=["folder", "manifest", "locked app"],
)
def test_removals_refuse_while_an_app_cannot_be_read(
    nobodys_folder: Path, kind: str, hide: Callable[[Path], None]
) -> None:
    other = pulled(web(repository="org/other"))
    write_tree(nobodys_folder / "cache" / "registry", other)
    root = laid_out(nobodys_folder)
    before = read_tree(root)
    hide(root)
    outcome = call(plan_and_execute, str(root.parent), kind, unprivileged=True)
    expected = ["NotInCacheError", "CacheError"] if "folder" in str(hide) else ["CacheError"]
    assert set(outcome.error_types) & set(expected)
    assert read_tree(root) == before


def test_clear_refuses_what_it_cannot_look_into(nobodys_folder: Path) -> None:
    root = laid_out(nobodys_folder)
    (root / "manifests" / "ghcr.io").chmod(0)
    outcome = call(plan_and_execute, str(root.parent), "clear", unprivileged=True)
    assert "CacheError" in outcome.error_types
    assert read_tree(root) == TREE


def test_verify_reports_a_blob_that_cannot_be_read(nobodys_folder: Path) -> None:
    root = laid_out(nobodys_folder)
    (root / blob("data", INDEX)).chmod(0)
    outcome = call(verify_rows, str(root.parent), unprivileged=True)
    assert outcome.error is None
    assert [row[:2] for row in outcome.value] == [[blob("data", INDEX), "unreadable file"]]
    assert (root / blob("wasm", WEB)).exists()

"""A user without rights: refusals are told, nothing is half-done, nobody else's files are touched."""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

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


def by_nobody(function: Callable[..., Any], root: Path, *arguments: str) -> Any:
    """What a function gives for a cache when a user without rights calls it."""
    outcome = call(function, str(root.parent), *arguments, unprivileged=True)
    assert outcome.error is None
    return outcome.value


@pytest.mark.parametrize("kind", ["remove", "prune", "clear"])
def test_the_owner_may_do_it_all(nobodys_folder, kind):
    planned, removed, freed, failed = by_nobody(plan_and_execute, laid_out(nobodys_folder), kind)
    assert (planned, failed) == (removed, [])
    assert freed > 0


@pytest.mark.parametrize("kind", ["remove", "prune", "clear"])
def test_removals_of_somebody_elses_cache_fail_and_change_nothing(nobodys_folder, kind):
    root = laid_out(nobodys_folder, owner=0)
    if os.geteuid() != 0:
        for path in [root, *root.rglob("*")]:
            path.chmod(path.stat().st_mode & ~0o222)
    os.chown(nobodys_folder, os.geteuid(), os.getegid())
    _, removed, freed, failed = by_nobody(plan_and_execute, root, kind)
    assert (removed, freed) == (0, 0)
    assert failed
    assert all("denied" in reason for _, reason in failed)
    assert read_tree(root) == TREE


def test_remove_keeps_the_blobs_of_an_app_whose_manifest_cannot_go(nobodys_folder):
    root = laid_out(nobodys_folder)
    (root / "manifests/ghcr.io/org/web/v1").chmod(0o555)
    _, removed, _, failed = by_nobody(plan_and_execute, root, "remove")
    assert removed == 0
    assert [path for path, _ in failed] == ["manifests/ghcr.io/org/web/v1/manifest.json"]
    assert read_tree(root) == TREE


def test_clear_empties_a_cache_whose_parent_cannot_be_written(nobodys_folder):
    """As on a mount point: the directory itself stays."""
    root = laid_out(nobodys_folder)
    os.chown(root.parent, 0, 0)
    if os.geteuid() != 0:
        root.parent.chmod(0o555)
    _, _, freed, failed = by_nobody(plan_and_execute, root, "clear")
    assert (freed, failed) == (sum(map(len, TREE.values())), [])
    assert root.is_dir()
    assert list(root.iterdir()) == []


FOLDER, OTHER = "manifests/ghcr.io", "manifests/ghcr.io/org/other/v1"


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        *product(["remove", "prune"], [FOLDER, f"{OTHER}/manifest.json", f"{OTHER}/config.json"]),
        ("clear", FOLDER),  # which needs no document
    ],
)
def test_removals_refuse_while_an_app_cannot_be_read(nobodys_folder, kind, path):
    other = pulled(web(repository="org/other"))
    write_tree(nobodys_folder / "cache" / "registry", other)
    root = laid_out(nobodys_folder)
    before = read_tree(root)
    (root / path).chmod(0)
    outcome = call(plan_and_execute, str(root.parent), kind, unprivileged=True)
    assert "CacheError" in outcome.error_types
    assert read_tree(root) == before


def test_verify_reports_a_blob_that_cannot_be_read(nobodys_folder):
    root = laid_out(nobodys_folder)
    (root / blob("data", INDEX)).chmod(0)
    found = by_nobody(verify_rows, root)
    assert [row[:2] for row in found] == [[blob("data", INDEX), "unreadable file"]]
    assert (root / blob("wasm", WEB)).exists()

"""Caches laid out for the tests of upkeep: files old enough to be pruned unless a test says otherwise."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path

from spincache_nb.core.cache import Cache
from spincache_nb.upkeep import RemovalPlan, RemovalResult
from tests.support.trees import read_tree, write_tree

OLD = 7200.0
"""Age in seconds of everything laid out: twice the grace period."""


def laid_out(tmp_path: Path, tree: Mapping[str, bytes], *, age: float = OLD) -> Cache:
    """Write a tree as a cache whose files and folders have an age."""
    root = write_tree(tmp_path / "cache" / "registry", tree)
    root.mkdir(parents=True, exist_ok=True)
    make_older(root, age)
    return Cache(tmp_path / "cache")


def make_older(path: Path, seconds: float) -> None:
    """Set the times of a file, or of a folder and all that is in it, some seconds back from now."""
    then = time.time() - seconds
    for one in [*path.rglob("*"), path]:
        os.utime(one, (then, then), follow_symlinks=False)


def disk_bytes(cache: Cache) -> int:
    """Sum of the sizes of all files under ``registry``, each hard-linked file once; by a walk of its own."""
    sizes = {}
    for folder, _, files in os.walk(cache.path):
        for name in files:
            info = Path(folder, name).lstat()
            sizes[info.st_dev, info.st_ino] = info.st_size
    return sum(sizes.values())


def execute_exactly(plan: RemovalPlan, *, stays: bool = False) -> RemovalResult:
    """Carry a plan out and check that it frees just what it said; folders may stay if told so."""
    before = disk_bytes(plan.cache)
    result = plan.execute()
    assert result.failed == ()
    assert stays or result.skipped == ()
    assert result.freed_bytes == plan.freed_bytes == before - disk_bytes(plan.cache)
    return result


def paths(plan: RemovalPlan) -> list[str]:
    """Paths of what a plan would take."""
    return [item.path for item in plan.items]


def left(cache: Cache) -> set[str]:
    """Paths of all files in a cache."""
    return set(read_tree(cache.path)) if cache.path.exists() else set()


def folders(cache: Cache) -> set[str]:
    """Paths of all folders in a cache."""
    return {path.relative_to(cache.path).as_posix() for path in cache.path.rglob("*") if path.is_dir()}

"""Odd disks and clocks under removals, pulls and repairs: nothing that an app needs is lost."""

import errno
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from spincache_nb import Cache, History, plan_clear, plan_prune, plan_remove, pull, repair
from spincache_nb.errors import SpinCacheError
from tests.faults import judge
from tests.faults.places import small_app
from tests.faults.table import record
from tests.support.hostile import HostileServer
from tests.support.trees import read_tree

OFF = History(enabled=False)


@pytest.fixture
def two(hostile: HostileServer, tmp_path: Path) -> tuple[Cache, list[str]]:
    """A cache with two versions of an app that share blobs, two hours old."""
    hostile.serve(small_app(1), small_app(2))
    references = [small_app(number).reference(hostile.name) for number in (1, 2)]
    cache = Cache(tmp_path / "cache")
    pull(cache, references, history=OFF)
    shift(cache, -7200)
    return cache, references


def shift(cache: Cache, seconds: float) -> None:
    then = time.time() + seconds
    for path in [*cache.path.rglob("*"), cache.path]:
        os.utime(path, (then, then), follow_symlinks=False)


def test_clock_that_is_set_back(two: tuple[Cache, list[str]], tmp_path: Path) -> None:
    """Everything is dated in the future: nothing of it is taken for old, and all goes on."""
    cache, references = two
    plan_remove(cache, references[1]).execute()
    (cache.path / "data" / f"sha256:{'0' * 64}").write_bytes(b"damaged, and needed by nobody")
    (cache.path / "data/.spincache-1-ab").write_bytes(b"somebody still writes it, perhaps")
    shift(cache, 86400)
    before = read_tree(cache.path)
    assert plan_prune(cache, grace_seconds=0).execute().removed == ()
    assert cache.remove_stale() == 0
    assert read_tree(cache.path) == before
    pull(cache, references[1], history=OFF)
    assert plan_remove(cache, references[1]).execute().failed == ()
    assert judge.faults_of(tmp_path / "cache") == [
        f"data/sha256:{'0' * 64} is not what its name says",
    ]
    record("a clock that was set back by a day", "nothing counts as old; pulls and removals go on")


def after_doing(function: Callable[..., Any], number: int, at: int) -> Callable[..., Any]:
    """Do it, and say at the n-th time that it failed: as a lost answer of an NFS server does."""
    count = []

    def wrapped(*arguments: Any, **options: Any) -> None:
        function(*arguments, **options)
        count.append(1)
        if len(count) == at:
            raise OSError(number, os.strerror(number))

    return wrapped


@pytest.mark.parametrize("number", [errno.ENOENT, errno.ESTALE, errno.EIO], ids=errno.errorcode.__getitem__)
@pytest.mark.parametrize("what", ["pull", "remove"])
def test_rename_that_is_said_to_fail_as_on_nfs(
    two: tuple[Cache, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, what: str
) -> None:
    cache, references = two
    if what == "pull":
        plan_remove(cache, references[1]).execute()
        shift(cache, -7200)
    whole = tmp_path / "whole"
    shutil.copytree(cache.path, whole)
    one = read_tree(cache.path / "manifests").keys()
    for at in range(1, 9):
        shutil.rmtree(cache.path)
        shutil.copytree(whole, cache.path)
        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", after_doing(os.replace, number, at))
            try:
                if what == "pull":
                    pull(cache, references[1], jobs=1, history=OFF)
                else:
                    plan_remove(cache, references[1]).execute()
            except SpinCacheError:
                pass
        kept = {path for path in read_tree(cache.path / "manifests") if "/v1/" in f"/{path}"}
        assert kept == {path for path in one if "/v1/" in f"/{path}"}
        pull(cache, references[0], history=OFF)
        assert judge.faults_of(tmp_path / "cache") == []
    record(
        f"{errno.errorcode[number]} from a rename that was done, as on NFS, at each rename of a {what}",
        "an error or a blob less; the next pull and prune go on",
        8,
    )


@pytest.mark.parametrize("what", ["remove", "clear", "repair"])
def test_file_that_nobody_may_change(
    two: tuple[Cache, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """As one that is immutable (`chattr +i`): it stays and is told, the others go."""
    cache, references = two
    only = {item.path for item in plan_remove(cache, references[1]).items if item.what == "blob"}
    held = sorted(only)[0]
    name = held.partition("/")[2]

    def refused(function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(first: Any, *arguments: Any, **options: Any) -> Any:
            paths = [one for one in (first, *arguments[:1]) if isinstance(one, str | Path)]
            names = {Path(one).name for one in paths}
            if name in names:
                raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
            return function(first, *arguments, **options)

        return wrapped

    if what == "repair":
        (cache.path / held).write_bytes(b"damaged")
    for function in ("unlink", "replace", "rename", "utime"):
        monkeypatch.setattr(os, function, refused(getattr(os, function)))
    if what == "remove":
        result = plan_remove(cache, references[1]).execute()
        assert [one.item.path for one in result.failed] == [held]
        assert (cache.path / held).exists()
        assert not any((cache.path / path).exists() for path in only - {held})
    elif what == "clear":
        result = plan_clear(cache).execute()
        assert len(result.failed) == 1
        assert held in result.failed[0].item.path
    else:
        assert [row.path for row in repair(cache).damaged] == [held]
    monkeypatch.undo()
    if what != "clear":
        repair(cache)
        pull(cache, references, history=OFF)
        assert judge.faults_of(tmp_path / "cache") == []
    record(f"EPERM on one file (immutable) in a {what}", "that file is named and stays; the others go on")


def test_hard_linked_copy_of_a_cache(two: tuple[Cache, list[str]], tmp_path: Path) -> None:
    """As `cp -al` makes it: whatever is done in one, the other stays as it is."""
    cache, references = two
    twin = tmp_path / "twin"
    shutil.copytree(cache.path, twin, copy_function=os.link)
    before = read_tree(twin)
    plan = plan_remove(cache, references[1])
    assert plan.freed_bytes == 0
    assert all(item.linked_files and not item.stored_bytes for item in plan.items)
    assert "free nothing" in str(plan)
    assert "free nothing" in plan._repr_html_()
    result = plan.execute()
    assert (result.freed_bytes, result.failed, result.skipped) == (0, (), ())
    assert "free nothing" in str(result)
    pull(cache, references[1], history=OFF)
    path = next(path for path in judge.files(cache.path / "wasm") if path.stat().st_nlink == 2)
    path.write_bytes(b"damaged, and so is the other")
    damaged = {name: data for name, data in before.items() if name != f"wasm/{path.name}"}
    assert repair(cache).damaged == ()
    assert judge.faults_of(tmp_path / "cache") == []
    assert {name: data for name, data in read_tree(twin).items() if name in damaged} == damaged
    assert plan_clear(cache).execute().failed == ()
    assert not cache.path.exists()
    assert {name: data for name, data in read_tree(twin).items() if name in damaged} == damaged
    record(
        "hard-linked copies of a cache (`cp -al`): remove, pull, repair and clear in one",
        "the other stays as it is; nothing is said to be freed",
    )

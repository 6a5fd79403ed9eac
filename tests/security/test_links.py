"""Symbolic links in the cache, the state and at an export are never followed for writing or deleting."""

import contextlib
import hashlib
import itertools
import os
import shutil
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from spincache_nb import Cache, History, export, plan_clear, plan_prune, plan_remove, pull, repair
from spincache_nb.core.digest import Digest
from spincache_nb.core.files import FileState
from spincache_nb.core.journal import HistoryWarning
from spincache_nb.core.reference import Reference
from spincache_nb.errors import SpinCacheError
from tests.faults import judge
from tests.faults.places import small_app
from tests.support.hostile import HostileServer
from tests.support.trees import read_tree, write_tree

OFF = History(enabled=False)


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder outside the cache with things in it that nobody may change."""
    folder = tmp_path / "outside"
    (folder / "sub").mkdir(parents=True)
    (folder / "precious").write_bytes(b"precious")
    (folder / "sub/manifest.json").write_bytes(b"precious too")
    return folder


@pytest.fixture
def reference(hostile: HostileServer) -> str:
    hostile.serve(small_app(1), small_app(2))
    return small_app(1).reference(hostile.name)


def untouched(folder: Path) -> bool:
    return read_tree(folder) == {"precious": b"precious", "sub/manifest.json": b"precious too"}


def tag_folder(root: Path, reference: str) -> Path:
    return root / "registry/manifests" / reference.replace(":v1", "/v1")


FOLDERS: dict[str, Callable[[Path, str], Path]] = {
    "wasm": lambda root, reference: root / "registry/wasm",
    "data": lambda root, reference: root / "registry/data",
    "manifests": lambda root, reference: root / "registry/manifests",
    "registry's folder": lambda root, reference: tag_folder(root, reference).parents[2],
    "repository": lambda root, reference: tag_folder(root, reference).parent,
    "tag": tag_folder,
}


@pytest.mark.parametrize("place", FOLDERS)
@pytest.mark.parametrize("full", [False, True], ids=["new cache", "cached app"])
def test_pull_does_not_write_through_a_linked_folder(
    tmp_path: Path, outside: Path, reference: str, place: str, full: bool
) -> None:
    root = tmp_path / "cache"
    if full:
        pull(Cache(root), reference, history=OFF)
    link = FOLDERS[place](root, reference)
    shutil.rmtree(link, ignore_errors=True)
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(outside)
    with pytest.raises(SpinCacheError):
        pull(Cache(root), reference, history=OFF)
    assert untouched(outside)
    assert link.is_symlink()
    assert judge.leftovers(root) == []


@pytest.mark.parametrize("target", ["precious", "nothing", "sub"])
def test_pull_replaces_a_link_in_a_files_place(
    tmp_path: Path, outside: Path, reference: str, target: str
) -> None:
    """Every file of a cached app in turn is a link to something outside."""
    root = tmp_path / "cache"
    pull(Cache(root), reference, history=OFF)
    for path in judge.files(root / "registry"):
        path.unlink()
        path.symlink_to(outside / target)
        pull(Cache(root), reference, history=OFF)
        assert path.is_file()
        assert not path.is_symlink()
        assert untouched(outside)
        assert judge.faults_of(root) == []


def test_sweep_of_leftovers_removes_links_themselves(tmp_path: Path, outside: Path, reference: str) -> None:
    root = tmp_path / "cache"
    pull(Cache(root), reference, history=OFF)
    links = [root / "registry/data/.spincache-1-a", tag_folder(root, reference) / ".spincache-1-b"]
    for link in links:
        link.symlink_to(outside / "precious")
        os.utime(link, (0, 0), follow_symlinks=False)
    pull(Cache(root), reference, history=OFF)
    assert not any(os.path.lexists(link) for link in links)
    assert untouched(outside)


UPKEEP: dict[str, Callable[[Cache, str], object]] = {
    "remove": lambda cache, reference: plan_remove(cache, [reference]).execute(),
    "prune": lambda cache, _: plan_prune(cache, grace_seconds=0, keep_bytes=0).execute(),
    "clear": lambda cache, _: plan_clear(cache).execute(),
    "repair": lambda cache, _: repair(cache),
}


@pytest.mark.parametrize("place", FOLDERS)
@pytest.mark.parametrize("what", UPKEEP)
def test_upkeep_does_not_reach_through_a_linked_folder(
    tmp_path: Path, outside: Path, reference: str, place: str, what: str
) -> None:
    """The content of the folder was moved outside: as a target of deletion it would look right."""
    root = tmp_path / "cache"
    cache = Cache(root)
    pull(cache, reference, history=OFF)
    link = FOLDERS[place](root, reference)
    moved = outside / "moved"
    link.rename(moved)
    link.symlink_to(moved)
    for path in moved.rglob("*"):
        os.utime(path, (0, 0))
    before = read_tree(outside)
    try:
        UPKEEP[what](cache, reference)
    except SpinCacheError:
        assert link.is_symlink()
    assert read_tree(outside) == before


@pytest.mark.parametrize("what", ["remove", "prune", "clear"])
def test_upkeep_removes_links_in_files_places_themselves(
    tmp_path: Path, outside: Path, reference: str, what: str
) -> None:
    root = tmp_path / "cache"
    cache = Cache(root)
    pull(cache, reference, history=OFF)
    for path in judge.files(root / "registry"):
        if path.parent.name in ("wasm", "data"):
            path.unlink()
            path.symlink_to(outside / "precious")
            os.utime(path, (0, 0), follow_symlinks=False)
    with contextlib.suppress(SpinCacheError):
        UPKEEP[what](cache, reference)
    assert untouched(outside)


@pytest.mark.parametrize("suffix", ["", ".lock"])
@pytest.mark.parametrize("target", ["precious", "new"])
def test_history_is_not_written_through_a_link(
    tmp_path: Path, outside: Path, reference: str, suffix: str, target: str
) -> None:
    history = tmp_path / "state/history.jsonl"
    history.parent.mkdir()
    (tmp_path / f"state/history.jsonl{suffix}").symlink_to(outside / target)
    with pytest.warns(HistoryWarning):
        pull(Cache(tmp_path / "cache"), reference, history=History(history))
    assert untouched(outside)


def test_history_replaces_a_link_in_the_older_files_place(
    tmp_path: Path, outside: Path, reference: str
) -> None:
    history = tmp_path / "state/history.jsonl"
    history.parent.mkdir()
    (tmp_path / "state/history.jsonl.1").symlink_to(outside / "precious")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(4):
            pull(Cache(tmp_path / "cache"), reference, history=History(history, max_bytes=700))
    assert untouched(outside)


def test_history_that_is_a_pipe_does_not_hang(tmp_path: Path, reference: str) -> None:
    history = tmp_path / "state/history.jsonl"
    history.parent.mkdir()
    os.mkfifo(history)
    with pytest.warns(HistoryWarning):
        pull(Cache(tmp_path / "cache"), reference, history=History(history))


def test_export_replaces_a_link_and_not_what_it_points_to(
    tmp_path: Path, outside: Path, reference: str
) -> None:
    cache = Cache(tmp_path / "cache")
    history = History(tmp_path / "state/h")
    pull(cache, reference, history=history)
    target = tmp_path / "app.tar"
    target.symlink_to(outside / "precious")
    export(cache, reference, target, history=history)
    assert untouched(outside)
    assert not target.is_symlink()


def test_export_reads_no_blob_through_a_link(tmp_path: Path, outside: Path, reference: str) -> None:
    """A link in a blob's place could lead to a file that was never meant to leave."""
    cache = Cache(tmp_path / "cache")
    history = History(tmp_path / "state/h")
    pull(cache, reference, history=history)
    for path in judge.files(tmp_path / "cache/registry/wasm"):
        (outside / path.name).write_bytes(path.read_bytes())
        path.unlink()
        path.symlink_to(outside / path.name)
    with pytest.raises(SpinCacheError):
        export(cache, reference, tmp_path / "app.tar", history=history)
    assert not (tmp_path / "app.tar").exists()


SWAPPER = """
import contextlib, itertools, os, sys
folder, target, counter = sys.argv[1:]
file = open(counter, "ab", buffering=0)
for count in itertools.count(1):
    with contextlib.suppress(OSError):
        os.rename(folder, f"{folder}.aside{count}")
    with contextlib.suppress(OSError):
        os.symlink(target, folder)
        os.unlink(folder)
    with contextlib.suppress(OSError):
        os.rename(f"{folder}.aside{count}", folder)
    file.write(b".")
"""
"""Swaps a folder for a link to another one and back, as fast as it can; a byte of the counter is a swap."""


@contextlib.contextmanager
def swapping(folder: Path, target: Path, counter: Path) -> Iterator[Callable[[], int]]:
    """Swap a folder as long as the block runs; what it is given tells the number of swaps so far."""
    counter.touch()
    command = [sys.executable, "-c", SWAPPER, str(folder), str(target), str(counter)]
    with subprocess.Popen(command) as process:
        try:
            yield lambda: counter.stat().st_size
        finally:
            process.kill()


def write_everything(cache: Cache, number: int) -> None:
    content = f"content {number}".encode()
    digest = Digest.of(content)
    reference = Reference.parse("ghcr.io/org/app:v1")
    steps: list[Callable[[], object]] = [
        lambda: cache.write_tag(reference, locked_app=content, manifest=content),
        lambda: cache.write_locked_app(cache.cached_tag(reference), content),
        lambda: cache.put_blob("data", digest, [content]),
        lambda: cache.put_unnamed([content + b"!"]),
        lambda: cache.touch_blobs([digest], ["data"]),
        lambda: cache.remove_stale(reference, older_than=0),
    ]
    for step in steps:
        with contextlib.suppress(SpinCacheError):
            step()


@pytest.mark.parametrize("place", ["data", "manifests/ghcr.io/org/app/v1", "manifests/ghcr.io"])
def test_writes_never_leave_through_a_folder_that_is_swapped_for_a_link(tmp_path: Path, place: str) -> None:
    """Whoever may write in a shared cache must not make others write outside of it."""
    cache = Cache(tmp_path / "cache")
    cache.write_tag(Reference.parse("ghcr.io/org/app:v1"), locked_app=b"{}", manifest=b"{}")
    cache.put_unnamed([b"one"])
    names = [f"sha256:{hashlib.sha256(f'content {n}'.encode()).hexdigest()}" for n in range(150)]
    names += ["config.json", "manifest.json", "org/app/v1/config.json", ".spincache-1-old"]
    outside = write_tree(tmp_path / "outside", dict.fromkeys(names, b"theirs"))
    for path in outside.rglob("*"):
        os.utime(path, (1000, 1000))
    before = states(outside)
    deadline = time.monotonic() + 120
    with swapping(cache.path / place, outside, tmp_path / "swaps") as swaps:
        for number in itertools.count():
            write_everything(cache, number % 150)
            if (number >= 150 and swaps() >= 200) or time.monotonic() > deadline:
                break
        assert swaps() >= 200
    assert states(outside) == before
    assert set(read_tree(outside).values()) == {b"theirs"}


def states(folder: Path) -> dict[Path, FileState | None]:
    return {path: FileState.at(path) for path in [folder, *folder.rglob("*")]}

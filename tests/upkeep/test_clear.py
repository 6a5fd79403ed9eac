"""Clearing the whole directory: renamed first, and never anything that is not a cache."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections import Counter
from pathlib import Path

import pytest

from spincache_nb.core.cache import Cache
from spincache_nb.core.files import FileState
from spincache_nb.errors import CacheError, NotACacheError
from spincache_nb.upkeep import check_cache, is_damage, plan_clear, plan_prune, plan_remove
from tests.support.caches import WEB, archive_mode, bare_hex_name, blob, folder, pulled, temporary_name, web
from tests.support.trees import read_tree, union, write_tree
from tests.upkeep.worlds import disk_bytes, execute_exactly, laid_out, left, paths

TREE = union(pulled(web()), pulled(archive_mode()))
PLANS = (plan_prune, lambda cache: plan_remove(cache, "ghcr.io/org/web:v1"), plan_clear)


def test_plan_clear_takes_everything(tmp_path):
    extras = {temporary_name(): b"half", bare_hex_name(b"x"): b"x", "wasm/sha256": b""}
    cache = laid_out(tmp_path, union(TREE, extras))
    plan = plan_clear(cache)
    assert plan.freed_bytes == disk_bytes(cache)
    assert [item.path for item in plan.items] == ["manifests", "wasm", "data", "."]
    counts = Counter(path.partition("/")[0] for path in read_tree(cache.path))
    told = [f"the cache is to be cleared: {counts[part]} files" for part in ("manifests", "wasm", "data")]
    assert [item.reason for item in plan.items] == [*told, "the cache is to be cleared"]
    assert "2 apps" in plan.notes[0]
    assert "the one operation on the cache that Spin documents" in str(plan)
    result = execute_exactly(plan)
    assert result.freed_bytes == plan.freed_bytes
    assert not cache.path.exists()
    assert list(cache.path.parent.iterdir()) == []


LEFT_FILES = [
    *(".DS_Store", "._index", ".fuse_hidden0001", ".localized", ".nfs000000000001", ".nobackup"),
    *("CACHEDIR.TAG", "Thumbs.db", "desktop.ini", ".stfolder"),
]
LEFT_FOLDERS = [
    *(".Trash-0", ".Trash-1000", ".fseventsd", ".stfolder", ".stversions", "@eaDir", "lost+found"),
    *(
        "#recycle",
        "$RECYCLE.BIN",
        ".DocumentRevisions-V100",
        ".Spotlight-V100",
        ".TemporaryItems",
        ".Trashes",
    ),
    *("System Volume Information", "#snapshot", ".snap", ".snapshot", ".snapshots", ".zfs"),
]


@pytest.mark.parametrize("place", ["", "wasm", "data", "manifests", "manifests/ghcr.io", "TAG"])
@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_systems_leave_is_told_and_never_touched_and_blocks_nothing(tmp_path, place, kind):
    place = place.replace("TAG", folder(web()))
    names = [f"{place}/{name}".lstrip("/") for name in (LEFT_FILES if kind == "file" else LEFT_FOLDERS)]
    cache = laid_out(tmp_path, {**TREE, blob("data", b"stray"): b"stray"})
    for name in names:
        path = cache.path / name
        if kind == "file":
            path.write_bytes(b"left")
        else:
            path.mkdir()
            (path / "manifest.json").write_bytes(b"left, too")
            (path / "empty").mkdir(mode=0)
    before = {path: FileState.at(path) for name in names for path in [*(cache.path / name).rglob("*")]}
    told = [row for row in check_cache(cache) if row.kind == "system file"]
    assert {row.path for row in told} == set(names)
    assert not any(is_damage(row.kind) for row in check_cache(cache))
    for plan in PLANS:
        execute_exactly(plan(cache), stays=True)
        assert all((cache.path / name).exists() for name in names)
        assert {path: FileState.at(path) for path in before} == before
    kept = {name.partition("/")[0] for name in names}
    assert {path.name for path in cache.path.iterdir()} == kept
    assert len(left(cache)) == len(names)


def test_tags_may_be_called_as_files_that_systems_leave(tmp_path):
    artifact = web(tag="CACHEDIR.TAG")
    cache = laid_out(tmp_path, pulled(artifact))
    assert [tag.tag for tag in cache.scan().tags] == ["CACHEDIR.TAG"]
    assert paths(plan_prune(cache)) == []


# What is refused --------------------------------------------------------------------------------


def refusals(cache: Cache) -> NotACacheError:
    """Try all three removals; each must refuse with the same error."""
    caught = []
    for plan in PLANS:
        with pytest.raises(NotACacheError) as refused:
            plan(cache)
        caught.append(str(refused.value))
    assert len(set(caught)) == 1
    assert "nothing was touched" in caught[0]
    return refused.value


@pytest.mark.parametrize("name", ["photos/holiday.jpg", "letter.txt", "docker/registry/v2/x"])
def test_removals_refuse_a_directory_with_foreign_files(tmp_path, name):
    cache = laid_out(tmp_path, {**TREE, name: b"mine"})
    assert name.partition("/")[0] in refusals(cache).found
    assert read_tree(cache.path) == {**TREE, name: b"mine"}


@pytest.mark.parametrize("content", [b"mine", b""])
@pytest.mark.parametrize(
    "name", ["wasm/notes.txt", "wasm/@eaDir", "data/folder/file", "manifests/ghcr.io/notes.txt"]
)
def test_plan_clear_refuses_foreign_files_deep_inside(tmp_path, name, content):
    cache = laid_out(tmp_path, {**TREE, name: content})
    with pytest.raises(NotACacheError) as refused:
        plan_clear(cache)
    assert name.split("/")[1] in refused.value.found
    assert read_tree(cache.path) == {**TREE, name: content}


def test_removals_refuse_a_registry_that_is_a_link(tmp_path):
    target = write_tree(tmp_path / "target", TREE)
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "registry").symlink_to(target)
    error = refusals(Cache(tmp_path / "cache"))
    assert "link" in error.found
    assert read_tree(target) == TREE


@pytest.mark.parametrize("part", ["wasm", "data", "manifests"])
def test_removals_refuse_a_link_in_a_folders_place(tmp_path, part):
    cache = laid_out(tmp_path, TREE)
    (cache.path / part).rename(tmp_path / "target")
    before = read_tree(tmp_path / "target")
    (cache.path / part).symlink_to(tmp_path / "target")
    assert "link" in refusals(cache).found
    assert read_tree(tmp_path / "target") == before


def test_removals_refuse_a_home_directory(tmp_path, monkeypatch):
    cache = laid_out(tmp_path, TREE)
    for home in (cache.path, cache.path / "manifests" / "ghcr.io"):
        monkeypatch.setenv("HOME", str(home))
        assert "home" in refusals(cache).found


@pytest.mark.parametrize("path", ["/", "/usr", "~"])
def test_removals_refuse_paths_that_are_no_registry(path):
    cache = Cache("/nonexistent")
    cache._path = Path(path).expanduser()
    refusals(cache)


def test_removals_refuse_a_file(tmp_path):
    (tmp_path / "registry").write_bytes(b"a file")
    refusals(Cache(tmp_path))
    assert (tmp_path / "registry").read_bytes() == b"a file"


def test_execute_refuses_another_directory_in_its_place(tmp_path):
    cache = laid_out(tmp_path, TREE)
    plan = plan_clear(cache)
    cache.path.rename(tmp_path / "kept")
    write_tree(cache.path, pulled(web()))
    with pytest.raises(CacheError) as caught:
        plan.execute()
    assert caught.value.found == "another"
    assert read_tree(cache.path) == pulled(web())
    assert read_tree(tmp_path / "kept") == TREE


def test_execute_never_follows_links_inside(tmp_path):
    victim = write_tree(tmp_path / "victim", {"a/b": b"precious", "c": b"precious, too"})
    cache = laid_out(tmp_path, TREE)
    (cache.path / "manifests" / "ghcr.io" / "evil").symlink_to(victim)
    (cache.path / "wasm" / f"sha256:{'0' * 64}").symlink_to(victim / "c")
    plan_clear(cache).execute()
    assert not cache.path.exists()
    assert read_tree(victim) == {"a/b": b"precious", "c": b"precious, too"}


# How it goes ------------------------------------------------------------------------------------


def test_execute_leaves_no_moment_with_half_a_cache(tmp_path, monkeypatch):
    cache = laid_out(tmp_path, TREE)
    seen = []
    unlink = os.unlink

    def watched(name: str, *, dir_fd: int | None = None) -> None:
        seen.append(cache.path.exists())
        unlink(name, dir_fd=dir_fd)

    monkeypatch.setattr(os, "unlink", watched)
    plan_clear(cache).execute()
    assert set(seen) == {False}
    assert len(seen) == len(TREE)


def test_execute_removes_manifests_first_where_it_cannot_rename(tmp_path, monkeypatch):
    cache = laid_out(tmp_path, TREE)

    def refuse(self: Path, target: Path) -> Path:
        raise OSError(16, "Device or resource busy")

    monkeypatch.setattr(Path, "rename", refuse)
    removed = []
    unlink = os.unlink

    def watched(name: str, *, dir_fd: int | None = None) -> None:
        removed.append(Path(f"/proc/self/fd/{dir_fd}").readlink() / name)
        unlink(name, dir_fd=dir_fd)

    monkeypatch.setattr(os, "unlink", watched)
    result = plan_clear(cache).execute()
    order = [path.relative_to(cache.path).parts[0] for path in removed]
    assert order == sorted(order, key=["manifests", "wasm", "data"].index)
    documents = [path.name for path in removed if path.name.endswith(".json")]
    assert documents == ["manifest.json", "config.json"] * 2
    assert left(cache) == set()
    assert result.freed_bytes == sum(len(data) for data in TREE.values())
    assert result.skipped == ()


def test_plan_clear_takes_what_a_killed_clear_left(tmp_path):
    cache = laid_out(tmp_path, TREE)
    code = f"""
        import os
        from spincache_nb.core.cache import Cache
        from spincache_nb.upkeep import plan_clear
        plan = plan_clear(Cache({str(cache.path.parent)!r}))
        count = 0
        unlink = os.unlink
        def dying(name, *, dir_fd=None):
            global count
            count += 1
            if count == 5:
                os.kill(os.getpid(), 9)
            unlink(name, dir_fd=dir_fd)
        os.unlink = dying
        plan.execute()
    """
    run = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=False)
    assert run.returncode == -9
    assert not cache.path.exists()
    (leftover,) = cache.path.parent.iterdir()
    size = sum(path.lstat().st_size for path in leftover.rglob("*") if path.is_file())
    plan = plan_clear(cache)
    assert [(item.path, item.what, item.stored_bytes) for item in plan.items] == [
        (f"../{leftover.name}", "leftover", size)
    ]
    result = plan.execute()
    assert (result.removed, result.failed, result.freed_bytes) == (plan.items, (), size)
    assert list(cache.path.parent.iterdir()) == []


def test_clear_says_of_what_cannot_be_removed_why_and_that_nothing_is_freed(tmp_path, monkeypatch):
    cache = laid_out(tmp_path, TREE)
    leftover = f".spincache-registry-1-{'0' * 16}"
    write_tree(cache.path.parent / leftover, {blob("data", b"one"): b"one"})
    plan = plan_clear(cache)

    def refuse(name: str, *, dir_fd: int | None = None) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "unlink", refuse)
    result = plan.execute()
    assert {one.reason for one in result.failed} == {"Operation not permitted"}
    sizes = {one.item.path: one.item.stored_bytes for one in result.failed}
    assert sizes.pop(f"../{leftover}") == 3
    assert set(sizes.values()) == {0}
    assert result.freed_bytes == 0


def test_plan_clear_leaves_alone_what_only_looks_like_a_leftover(tmp_path):
    cache = laid_out(tmp_path, TREE)
    name = f".spincache-registry-1-{'0' * 16}"
    write_tree(cache.path.parent / name, {"mine.txt": b"mine"})
    (cache.path.parent / f".spincache-registry-2-{'0' * 16}").symlink_to(tmp_path)
    execute_exactly(plan_clear(cache))
    assert (cache.path.parent / name / "mine.txt").read_bytes() == b"mine"


def test_clear_leaves_a_leftover_to_which_something_foreign_has_come(tmp_path):
    cache = laid_out(tmp_path, TREE)
    leftover = cache.path.parent / f".spincache-registry-1-{'0' * 16}"
    write_tree(leftover, {blob("data", b"one"): b"one"})
    plan = plan_clear(cache)
    write_tree(leftover, {"mine.txt": b"mine"})
    (failed,) = plan.execute().failed
    assert "mine.txt" in failed.reason
    assert read_tree(leftover) == {blob("data", b"one"): b"one", "mine.txt": b"mine"}


def test_removals_refuse_a_foreign_folder_even_if_it_is_empty(tmp_path):
    cache = laid_out(tmp_path, TREE)
    (cache.path / "empty").mkdir()
    assert "empty" in refusals(cache).found


@pytest.fixture
def mount_point(tmp_path):
    """A file system of its own in the place of ``registry``; only root can make one."""
    point = tmp_path / "cache" / "registry"
    point.mkdir(parents=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(point)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("this user cannot mount a file system")
    yield point
    subprocess.run(["umount", str(point)], check=True)


def test_execute_empties_a_mount_point(mount_point):
    write_tree(mount_point, TREE)
    (mount_point / "lost+found").mkdir()
    result = plan_clear(Cache(mount_point.parent)).execute()
    assert result.failed == ()
    assert result.freed_bytes == sum(len(data) for data in TREE.values())
    assert [path.name for path in mount_point.iterdir()] == ["lost+found"]


@pytest.mark.parametrize("plan_for", PLANS[1:], ids=["remove", "clear"])
def test_removals_free_nothing_of_what_is_linked_from_elsewhere(tmp_path, plan_for):
    cache = laid_out(tmp_path / "here", pulled(web()))
    linked = cache.path / blob("wasm", WEB)
    os.link(linked, tmp_path / "kept.wasm")
    size = linked.stat().st_size
    plan = plan_for(cache)
    assert plan.freed_bytes == disk_bytes(cache) - size
    assert "1 file of these free nothing" in str(plan)
    result = plan.execute()
    assert result.freed_bytes == plan.freed_bytes
    assert "1 file of these free nothing" in str(result)
    assert (tmp_path / "kept.wasm").stat().st_size == size
    assert left(cache) == set()

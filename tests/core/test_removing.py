"""Opening folders of a cache, and taking files and folders out of it: by handle and by path."""

import os
import re
from pathlib import Path

import pytest

from spincache_nb.core import files
from spincache_nb.core.files import FileState, Folder
from spincache_nb.core.removing import put_back, remove_below, remove_empty_folders, set_aside, unlink
from spincache_nb.errors import CacheError, NotInCacheError
from tests.support.trees import read_tree, write_tree


@pytest.fixture(params=["handles", "paths"], autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways of naming a file: relative to a handle, and by its whole path as Windows needs it."""
    monkeypatch.setattr(files, "HAS_HANDLES", request.param == "handles")
    return str(request.param)


def state(path: Path) -> FileState:
    found = FileState.at(path)
    assert found is not None
    return found


def test_file_state_tells_what_is_there_and_follows_no_link(tmp_path: Path) -> None:
    write_tree(tmp_path, {"file": b"12"})
    (tmp_path / "link").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    names = ("file", "link", "pipe", ".", "nothing", "file/below", "\0")
    states = [FileState.at(tmp_path / name) for name in names]
    assert [state and state.kind for state in states] == ["file", "link", "other", "folder", None, None, None]
    assert state(tmp_path / "file").size == 2


@pytest.mark.parametrize("parts", [("a",), ("a", "b")])
def test_folder_follows_no_link(tmp_path: Path, parts: tuple[str, ...]) -> None:
    write_tree(tmp_path, {"target/b/file": b"x"})
    (tmp_path / "a").symlink_to(tmp_path / "target")
    with pytest.raises(CacheError) as caught:
        Folder(tmp_path, parts)
    assert "link" in caught.value.found
    assert caught.value.where == str(tmp_path / "a")


def test_folder_refuses_a_root_that_is_a_link(tmp_path: Path) -> None:
    write_tree(tmp_path, {"target/file": b"x"})
    (tmp_path / "registry").symlink_to(tmp_path / "target")
    with pytest.raises(CacheError):
        Folder(tmp_path / "registry")


def test_folder_takes_links_above_its_root(tmp_path: Path) -> None:
    write_tree(tmp_path, {"target/registry/file": b"x"})
    (tmp_path / "home").symlink_to(tmp_path / "target")
    with Folder(tmp_path / "home" / "registry") as folder:
        assert folder.names() == ([], ["file"])


def test_folder_says_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NotInCacheError):
        Folder(tmp_path, ("nothing",))
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(CacheError):
        Folder(tmp_path, ("file",))


@pytest.mark.parametrize("name", ["..", ".", "", "a/b", "/etc"])
def test_folder_refuses_names_that_are_paths(tmp_path: Path, name: str) -> None:
    write_tree(tmp_path, {"a/b": b"x"})
    with pytest.raises(CacheError):
        Folder(tmp_path, (name,))
    with Folder(tmp_path) as folder, pytest.raises(CacheError):
        unlink(folder, name)
    assert read_tree(tmp_path) == {"a/b": b"x"}


def test_unlink_removes_a_link_and_not_its_target(tmp_path: Path) -> None:
    write_tree(tmp_path, {"victim": b"precious"})
    (tmp_path / "registry").mkdir()
    (tmp_path / "registry" / "link").symlink_to(tmp_path / "victim")
    with Folder(tmp_path / "registry") as folder:
        unlink(folder, "link")
        unlink(folder, "nothing")
    assert read_tree(tmp_path) == {"victim": b"precious"}


def test_set_aside_and_put_back(tmp_path: Path) -> None:
    write_tree(tmp_path, {"blob": b"content"})
    os.utime(tmp_path / "blob", (1000, 1000))
    with Folder(tmp_path) as folder:
        aside = set_aside(folder, "blob", state(tmp_path / "blob"))
        assert aside is not None
        assert aside.startswith(".spincache-")
        assert read_tree(tmp_path) == {aside: b"content"}
        assert (tmp_path / aside).stat().st_mtime > 1000  # young: nobody cleans it up
        put_back(folder, aside, "blob")
    assert read_tree(tmp_path) == {"blob": b"content"}


def test_set_aside_leaves_another_file_where_it_is(tmp_path: Path) -> None:
    write_tree(tmp_path, {"blob": b"content", "other": b"content"})
    with Folder(tmp_path) as folder:
        assert set_aside(folder, "blob", state(tmp_path / "other")) is None
        meant = state(tmp_path / "blob")
        os.utime(tmp_path / "blob")
        assert set_aside(folder, "blob", meant) is None
        assert set_aside(folder, "nothing", meant) is None
    assert read_tree(tmp_path) == {"blob": b"content", "other": b"content"}


def test_set_aside_notices_a_file_that_was_replaced_at_that_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tree(tmp_path, {"blob": b"old", "new": b"new"})
    meant = state(tmp_path / "blob")
    rename = os.replace

    def late(source: object, target: object, **options: object) -> None:
        monkeypatch.setattr(os, "replace", rename)
        (tmp_path / "new").replace(tmp_path / "blob")
        rename(source, target, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "replace", late)
    with Folder(tmp_path) as folder:
        assert set_aside(folder, "blob", meant) is None
    assert read_tree(tmp_path) == {"blob": b"new"}


def test_put_back_leaves_what_has_the_name_by_now(tmp_path: Path) -> None:
    write_tree(tmp_path, {"blob": b"content"})
    with Folder(tmp_path) as folder:
        aside = set_aside(folder, "blob", state(tmp_path / "blob"))
        (tmp_path / "blob").write_bytes(b"theirs")
        put_back(folder, str(aside), "blob")
    assert read_tree(tmp_path) == {"blob": b"theirs"}


def test_put_back_works_where_there_are_no_hard_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    write_tree(tmp_path, {"blob": b"content", "other": b"mine"})
    with Folder(tmp_path) as folder:
        aside = set_aside(folder, "blob", state(tmp_path / "blob"))
        put_back(folder, str(aside), "blob")
        other = set_aside(folder, "other", state(tmp_path / "other"))
        (tmp_path / "other").write_bytes(b"theirs")
        put_back(folder, str(other), "other")
    assert read_tree(tmp_path) == {"blob": b"content", "other": b"theirs"}


def test_remove_empty_folders_stops_at_the_first_that_is_not(tmp_path: Path) -> None:
    (tmp_path / "manifests" / "host" / "org" / "app" / "v1").mkdir(parents=True)
    write_tree(tmp_path, {"manifests/host/org/other/v1/manifest.json": b"{}"})
    assert remove_empty_folders(tmp_path, ("manifests", "host", "org", "app", "v1"), above=1) == 2
    assert not (tmp_path / "manifests/host/org/app").exists()
    assert (tmp_path / "manifests/host/org/other/v1").exists()


def test_remove_empty_folders_keeps_the_outermost(tmp_path: Path) -> None:
    (tmp_path / "manifests" / "host" / "app").mkdir(parents=True)
    assert remove_empty_folders(tmp_path, ("manifests", "host", "app"), above=1) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["manifests"]


def test_remove_below_never_follows_links(tmp_path: Path) -> None:
    write_tree(tmp_path, {"victim/file": b"precious", "registry/a/b/c": b"x", "registry/d": b"y"})
    (tmp_path / "registry" / "a" / "link").symlink_to(tmp_path / "victim")
    (tmp_path / "registry" / "a" / "file").symlink_to(tmp_path / "victim" / "file")
    assert remove_below(tmp_path / "registry", ()) == []
    assert list((tmp_path / "registry").iterdir()) == []
    assert read_tree(tmp_path / "victim") == {"file": b"precious"}


def test_remove_below_manages_deep_folders(tmp_path: Path, way: str) -> None:
    path = tmp_path / "registry"
    path.mkdir()
    depth = 400 if way == "handles" else 100
    descriptors = [os.open(path, os.O_RDONLY)]
    for _ in range(depth):
        os.mkdir("d", dir_fd=descriptors[-1])
        descriptors.append(os.open("d", os.O_RDONLY, dir_fd=descriptors[-1]))
        os.close(descriptors.pop(0))
    os.close(descriptors.pop())
    assert remove_below(path, ()) == []
    assert list(path.iterdir()) == []


def test_remove_below_of_nothing(tmp_path: Path) -> None:
    assert remove_below(tmp_path, ("nothing",)) == []


def test_nothing_else_deletes_in_a_cache() -> None:
    """The history lies outside of the cache and looks after its own files."""
    package = Path(files.__file__).parents[1]
    deleting = re.compile(r"(?<!removing)\.(unlink|rmdir|rmtree|removedirs)\(|\bos\.remove\(")
    found = {
        path.name
        for room in ("core", "inventory", "upkeep", "frames")
        for path in (package / room).rglob("*.py")
        if deleting.search(path.read_text(encoding="utf-8"))
    }
    assert found == {"removing.py", "journal.py"}

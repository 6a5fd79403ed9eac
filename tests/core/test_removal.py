"""Taking single files out of a cache through directory handles."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from spincache_nb.core.cache import removal
from spincache_nb.core.cache.removal import FileState, Folder, file_state
from spincache_nb.errors import CacheError, NotInCacheError
from tests.support.trees import read_tree, write_tree


@pytest.fixture(params=["handles", "paths"], autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways of naming a file: relative to a handle, and by its whole path as Windows needs it."""
    monkeypatch.setattr(removal, "_HAS_HANDLES", request.param == "handles")
    return str(request.param)


def state(path: Path) -> FileState:
    found = file_state(path)
    assert found is not None
    return found


def test_file_state_is_none_for_what_is_no_regular_file(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    assert file_state(tmp_path) is None
    assert file_state(tmp_path / "link") is None
    assert file_state(tmp_path / "nothing") is None


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
        folder.unlink(name)
    assert read_tree(tmp_path) == {"a/b": b"x"}


def test_unlink_removes_a_link_and_not_its_target(tmp_path: Path) -> None:
    write_tree(tmp_path, {"victim": b"precious"})
    (tmp_path / "registry").mkdir()
    (tmp_path / "registry" / "link").symlink_to(tmp_path / "victim")
    with Folder(tmp_path / "registry") as folder:
        folder.unlink("link")
        folder.unlink("nothing")
    assert read_tree(tmp_path) == {"victim": b"precious"}


def test_set_aside_and_put_back(tmp_path: Path) -> None:
    write_tree(tmp_path, {"blob": b"content"})
    os.utime(tmp_path / "blob", (1000, 1000))
    with Folder(tmp_path) as folder:
        aside = folder.set_aside("blob", state(tmp_path / "blob"))
        assert aside is not None
        assert aside.startswith(".spincache-")
        assert read_tree(tmp_path) == {aside: b"content"}
        assert (tmp_path / aside).stat().st_mtime > 1000  # young: nobody cleans it up
        folder.put_back(aside, "blob")
    assert read_tree(tmp_path) == {"blob": b"content"}


def test_set_aside_leaves_another_file_where_it_is(tmp_path: Path) -> None:
    write_tree(tmp_path, {"blob": b"content", "other": b"content"})
    with Folder(tmp_path) as folder:
        assert folder.set_aside("blob", state(tmp_path / "other")) is None
        meant = state(tmp_path / "blob")
        os.utime(tmp_path / "blob")
        assert folder.set_aside("blob", meant) is None
        assert folder.set_aside("nothing", meant) is None
    assert read_tree(tmp_path) == {"blob": b"content", "other": b"content"}


def test_set_aside_notices_a_file_that_was_replaced_at_that_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tree(tmp_path, {"blob": b"old", "new": b"new"})
    meant = state(tmp_path / "blob")
    rename = os.rename

    def late(source: object, target: object, **options: object) -> None:
        monkeypatch.setattr(os, "rename", rename)
        (tmp_path / "new").replace(tmp_path / "blob")
        rename(source, target, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "rename", late)
    with Folder(tmp_path) as folder:
        assert folder.set_aside("blob", meant) is None
    assert read_tree(tmp_path) == {"blob": b"new"}


def test_put_back_leaves_what_has_the_name_by_now(tmp_path: Path) -> None:
    write_tree(tmp_path, {"blob": b"content"})
    with Folder(tmp_path) as folder:
        aside = folder.set_aside("blob", state(tmp_path / "blob"))
        (tmp_path / "blob").write_bytes(b"theirs")
        folder.put_back(str(aside), "blob")
    assert read_tree(tmp_path) == {"blob": b"theirs"}


def test_put_back_works_where_there_are_no_hard_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    write_tree(tmp_path, {"blob": b"content", "other": b"mine"})
    with Folder(tmp_path) as folder:
        aside = folder.set_aside("blob", state(tmp_path / "blob"))
        folder.put_back(str(aside), "blob")
        other = folder.set_aside("other", state(tmp_path / "other"))
        (tmp_path / "other").write_bytes(b"theirs")
        folder.put_back(str(other), "other")
    assert read_tree(tmp_path) == {"blob": b"content", "other": b"theirs"}

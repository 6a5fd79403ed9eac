"""Emptying folders of a cache, by handle and by path."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from spincache_nb.core.cache import removal
from spincache_nb.core.cache.emptying import remove_below, remove_empty_folders
from tests.support.trees import read_tree, write_tree


@pytest.fixture(params=["handles", "paths"], autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways of naming a file: relative to a handle, and by its whole path as Windows needs it."""
    monkeypatch.setattr(removal, "_HAS_HANDLES", request.param == "handles")
    return str(request.param)


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

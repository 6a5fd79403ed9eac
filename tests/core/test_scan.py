"""The walk over a cache: what it finds, and that it follows and raises nothing."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from spincache_nb.core.cache import Cache, Scan

HEX = "0123456789abcdef" * 4


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "cache" / "registry"
    path.mkdir(parents=True)
    return path


def put(path: Path, content: bytes = b"{}") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def scan(root: Path) -> Scan:
    return Cache(root.parent).scan()


def kinds(root: Path) -> list[tuple[str, str]]:
    return sorted((problem.path, problem.kind) for problem in scan(root).problems)


def test_scan_of_no_cache_is_empty(tmp_path: Path) -> None:
    assert Cache(tmp_path / "none").scan() == Scan((), (), (), ())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "form"),
    [
        (f"sha256:{HEX}", "digest"),
        (f"sha256_{HEX}", "digest"),
        (f"sha512:{HEX}{HEX}", "digest"),
        (f"sha512:{HEX}", "other"),
        (f"sha256:{HEX.upper()}", "other"),
        (HEX, "bare hex"),
        (f"download-sha256-{HEX}aB3xYz", "temporary"),
        (f"download-sha256-{HEX}", "other"),
        (".spincache-12-ab", "temporary"),
        ("sha256", "other"),
    ],
)
def test_scan_reads_blob_names(root: Path, name: str, form: str) -> None:
    put(root / "wasm" / name, b"12345")
    (blob,) = scan(root).blobs
    assert (blob.name, blob.area, blob.stored_bytes, blob.form) == (name, "wasm", 5, form)
    assert (blob.digest is not None) == (form == "digest")


def test_scan_shows_names_that_are_not_utf8(root: Path) -> None:
    (root / "data").mkdir()
    os.close(os.open(os.fsencode(root / "data") + b"/caf\xe9", os.O_CREAT | os.O_WRONLY))
    assert [blob.name for blob in scan(root).blobs] == ["caf\\xe9"]


def test_scan_tells_nested_repositories_and_tags_apart(root: Path) -> None:
    for folder in ("a.b/a/b", "a.b/a/b/latest", "a.b/a/manifest.json/manifest.json"):
        put(root / "manifests" / folder / "manifest.json")
    assert [tag.reference for tag in scan(root).tags] == [
        "a.b/a/b:latest",
        "a.b/a/manifest.json:manifest.json",
        "a.b/a:b",
    ]
    assert kinds(root) == []


@pytest.mark.parametrize("registry", ["localhost:5000", "localhost_5000"])
def test_scan_reads_a_port_in_either_spelling(root: Path, registry: str) -> None:
    put(root / "manifests" / registry / "a" / "1" / "config.json")
    (tag,) = scan(root).tags
    assert tag.reference == "localhost:5000/a:1"
    assert tag.modified_ns is None


def test_scan_reads_a_digest_folder(root: Path) -> None:
    put(root / "manifests" / "a.b" / "c" / f"sha256_{HEX}" / "manifest.json")
    (tag,) = scan(root).tags
    assert tag.reference == f"a.b/c@sha256:{HEX}"
    assert tag.tag is None


def test_scan_follows_no_link(root: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    put(outside / "secret", b"secret")
    put(outside / "a.b" / "c" / "d" / "manifest.json")
    (root / "wasm").mkdir()
    (root / "wasm" / f"sha256:{HEX}").symlink_to(outside / "secret")
    (root / "wasm" / "folder").symlink_to(outside)
    (root / "data").symlink_to(outside)
    (root / "manifests").symlink_to(outside)
    assert kinds(root) == [
        ("data", "link"),
        ("manifests", "link"),
        ("wasm/folder", "link"),
        (f"wasm/sha256:{HEX}", "link"),
    ]
    assert scan(root).blobs == scan(root).tags == scan(root).files == ()


def test_scan_counts_every_file_once(root: Path) -> None:
    put(root / "wasm" / f"sha256:{HEX}", b"1234")
    os.link(root / "wasm" / f"sha256:{HEX}", root / "wasm" / HEX)
    put(root / "data" / "folder" / "inner", b"123")
    put(root / "manifests" / "a.b" / "c" / "d" / "manifest.json", b"12")
    put(root / "manifests" / "a.b" / "notes.txt", b"12345")
    put(root / "foreign", b"1")
    put(root / ".DS_Store", b"123456")
    found = {file.path: (file.area, file.stored_bytes) for file in scan(root).files}
    assert found == {
        f"wasm/{HEX}": ("wasm", 4),
        f"wasm/sha256:{HEX}": ("wasm", 0),
        "data/folder/inner": ("other", 3),
        "manifests/a.b/c/d/manifest.json": ("manifests", 2),
        "manifests/a.b/notes.txt": ("other", 5),
        "foreign": ("other", 1),
        ".DS_Store": ("other", 6),
    }
    assert kinds(root) == [
        ("data/folder", "folder in a file's place"),
        ("foreign", "foreign"),
        ("manifests/a.b/notes.txt", "foreign"),
    ]


def test_scan_reports_what_is_in_a_wrong_place(root: Path) -> None:
    put(root / "manifests" / "a.b" / "manifest.json")
    (root / "manifests" / "a.b" / "c" / "d").mkdir(parents=True)
    put(root / "manifests" / "a.b" / "e" / "f" / ".spincache-1-00")
    os.mkfifo(root / "wasm-pipe")
    put(root / "wasm", b"a file")
    assert kinds(root) == [
        ("manifests/a.b", "misplaced manifest"),
        ("manifests/a.b/c/d", "empty tag folder"),
        ("manifests/a.b/e/f/.spincache-1-00", "temporary file"),
        ("wasm", "file in a folder's place"),
        ("wasm-pipe", "foreign"),
    ]


def test_scan_does_not_recurse(root: Path) -> None:
    top = root / "manifests"
    top.mkdir()
    current = os.open(top, os.O_RDONLY)
    for _ in range(1200):
        os.mkdir("x", dir_fd=current)
        inner = os.open("x", os.O_RDONLY, dir_fd=current)
        os.close(current)
        current = inner
    os.close(current)
    try:
        assert scan(root).tags == ()
    finally:
        subprocess.run(["rm", "-rf", top], check=True)  # pytest's own clean-up recurses

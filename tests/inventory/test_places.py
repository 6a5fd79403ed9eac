"""Odd names, and things in wrong places. Expectations are written by hand."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from spincache_nb.inventory import take_inventory
from tests.inventory.reading import (
    WEB_CONFIG,
    WEB_V1,
    app,
    blobs,
    laid_out,
    layers,
    problems,
    standings,
    taken,
)
from tests.support import artifacts, caches
from tests.support.artifact import filler
from tests.support.caches import INDEX, WEB, blob, folder, pulled, web, without
from tests.support.trees import union


@pytest.mark.parametrize(
    ("path", "kind", "standing"),
    [
        (caches.temporary_name(), "temporary file", "temporary"),
        ("data/.spincache-4711-0123456789abcdef", "temporary file", "temporary"),
        (caches.bare_hex_name(), "name of an old Spin", "misnamed"),
        ("wasm/sha256", "misnamed file", "misnamed"),
        ("data/notes.txt", "misnamed file", "misnamed"),
        ("data/@eaDir", "misnamed file", "misnamed"),  # which systems leave as a folder only
        ("wasm/sha256:" + "AB" * 32, "misnamed file", "misnamed"),
        ("wasm/sha256:" + "ab" * 31, "misnamed file", "misnamed"),
        ("wasm/md5:" + "ab" * 16, "misnamed file", "misnamed"),
        ("wasm/download-sha256-" + "ab" * 32, "misnamed file", "misnamed"),
    ],
)
def test_odd_name_is_one_problem(tmp_path: Path, path: str, kind: str, standing: str) -> None:
    inventory = taken(tmp_path, {path: b"bytes"})
    assert problems(inventory) == [(path, kind, None)]
    assert standings(inventory) == {path: standing}
    assert blobs(inventory)[0].digest is None


def test_environment_blob_is_no_problem(tmp_path: Path) -> None:
    inventory = taken(tmp_path, caches.environment_blob())
    assert problems(inventory) == []
    assert list(standings(inventory).values()) == ["unreferenced"]


def test_unreferenced_blob_is_no_problem(tmp_path: Path) -> None:
    moved = artifacts.new_style("org/web", "v1", components=[artifacts.Component("web", filler("new", 300))])
    inventory = taken(tmp_path, union(pulled(web()), pulled(moved)))
    assert problems(inventory) == []
    assert standings(inventory)[blob("wasm", WEB)] == "unreferenced"


def test_what_systems_leave_is_told_once(tmp_path: Path) -> None:
    left = ["Thumbs.db", "manifests/desktop.ini", "wasm/.DS_Store"]
    inventory = taken(tmp_path, dict.fromkeys(left, b"x"))
    assert problems(inventory) == [(path, "system file", None) for path in left]
    assert standings(inventory) == {"wasm/.DS_Store": "misnamed"}


def test_empty_tag_folder_is_one_problem(tmp_path: Path) -> None:
    cache = laid_out(tmp_path, pulled(web()))
    (cache.path / "manifests/ghcr.io/org/web/v2").mkdir()
    assert problems(take_inventory(cache)) == [("manifests/ghcr.io/org/web/v2", "empty tag folder", None)]


@pytest.mark.parametrize(
    ("document", "kind"), [("manifest.json", "missing manifest"), ("config.json", "missing locked app")]
)
def test_empty_folder_in_a_documents_place_does_not_hide_that_the_document_is_missing(
    tmp_path: Path, document: str, kind: str
) -> None:
    cache = laid_out(tmp_path, without(pulled(web()), f"{folder(web())}/{document}"))
    place = f"{folder(web())}/{document}"
    (cache.path / place).mkdir()
    assert problems(take_inventory(cache)) == [
        (place, "empty tag folder", WEB_V1),
        (place, kind, WEB_V1),
    ]


def test_temporary_file_in_a_tag_concerns_the_app(tmp_path: Path) -> None:
    inventory = taken(tmp_path, {**pulled(web()), f"{folder(web())}/.spincache-1-0": b"{"})
    assert problems(inventory) == [(f"{folder(web())}/.spincache-1-0", "temporary file", WEB_V1)]


def test_link_in_a_blobs_place_is_one_problem(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes(WEB)
    cache = laid_out(tmp_path, without(pulled(web()), blob("wasm", WEB)))
    (cache.path / "wasm").mkdir()
    (cache.path / blob("wasm", WEB)).symlink_to(outside)
    inventory = take_inventory(cache)
    assert problems(inventory) == [(blob("wasm", WEB), "link", WEB_V1)]
    assert layers(app(inventory, WEB_V1))[0].stored is False
    assert blob("wasm", WEB) not in standings(inventory)


@pytest.mark.parametrize("document", ["manifest.json", "config.json"])
def test_link_in_a_documents_place_is_one_problem(tmp_path: Path, document: str) -> None:
    path = f"{folder(web())}/{document}"
    outside = tmp_path / "outside.json"
    outside.write_bytes(pulled(web())[path])
    cache = laid_out(tmp_path, without(pulled(web()), path))
    (cache.path / path).symlink_to(outside)
    assert problems(take_inventory(cache)) == [(path, "link", WEB_V1)]


@pytest.mark.parametrize("area", ["wasm", "data", "manifests"])
def test_link_in_a_folders_place_is_one_problem(tmp_path: Path, area: str) -> None:
    cache = laid_out(tmp_path, pulled(web()))
    (cache.path / area).rename(tmp_path / "outside")
    (cache.path / area).symlink_to(tmp_path / "outside")
    inventory = take_inventory(cache)
    expected = None if area == "manifests" else WEB_V1
    assert problems(inventory) == [(area, "link", expected)]
    assert not any(file.path.startswith(area) for file in inventory.files)


def test_folder_in_a_blobs_place_is_one_problem(tmp_path: Path) -> None:
    cache = laid_out(tmp_path, without(pulled(web()), blob("data", INDEX)))
    (cache.path / blob("data", INDEX)).mkdir(parents=True)
    assert problems(take_inventory(cache)) == [(blob("data", INDEX), "folder in a file's place", WEB_V1)]


def test_file_in_a_folders_place_is_one_problem(tmp_path: Path) -> None:
    inventory = taken(tmp_path, {"data": b"a file", "manifests": b"another"})
    assert problems(inventory) == [
        ("data", "file in a folder's place", None),
        ("manifests", "file in a folder's place", None),
    ]
    assert [(file.path, file.area) for file in inventory.files] == [("data", "other"), ("manifests", "other")]


def test_pipe_in_a_files_place_is_one_problem(tmp_path: Path) -> None:
    cache = laid_out(tmp_path, without(pulled(web()), WEB_CONFIG))
    os.mkfifo(cache.path / WEB_CONFIG)
    os.mkfifo(cache.path / "stray")
    assert problems(take_inventory(cache)) == [
        (WEB_CONFIG, "not a file", WEB_V1),
        ("stray", "foreign", None),
    ]


def test_names_that_are_not_utf8_are_one_problem_each(tmp_path: Path) -> None:
    cache = laid_out(tmp_path, pulled(web()))
    root = os.fsencode(cache.path)
    for name in (b"wasm/\xff\xfe", b"data/caf\xe9"):
        with open(root + b"/" + name, "wb") as file:  # noqa: PTH123 - a name that is no text
            file.write(b"x")
    odd = root + b"/manifests/ghcr.io/org/web/v\xff"
    os.mkdir(odd)  # noqa: PTH102
    with open(odd + b"/manifest.json", "wb") as file:  # noqa: PTH123
        file.write(b"")
    inventory = take_inventory(cache)
    assert problems(inventory) == [
        ("data/caf\\xe9", "misnamed file", None),
        ("manifests/ghcr.io/org/web/v\\xff/config.json", "missing locked app", "ghcr.io/org/web:v\\xff"),
        ("manifests/ghcr.io/org/web/v\\xff/manifest.json", "damaged manifest", "ghcr.io/org/web:v\\xff"),
        ("wasm/\\xff\\xfe", "misnamed file", None),
    ]


def test_names_that_are_shown_alike_are_both_counted(tmp_path: Path) -> None:
    cache = laid_out(tmp_path, {"wasm/\\xff": b"12345"})
    with open(os.fsencode(cache.path) + b"/wasm/\xff", "wb") as file:  # noqa: PTH123
        file.write(b"x")
    inventory = take_inventory(cache)
    assert sorted((one.blob.name, one.blob.stored_bytes) for one in blobs(inventory)) == [
        ("\\xff", 1),
        ("\\xff", 5),
    ]
    assert sum(file.stored_bytes for file in inventory.files) == 6


def test_names_with_control_characters_are_shown_escaped(tmp_path: Path) -> None:
    tree = {path.replace("/v1/", "/v\n1/"): data for path, data in pulled(web()).items()}
    inventory = taken(tmp_path, {**tree, "wasm/two\nlines\x1b[31m": b"x"})
    assert inventory.apps[0].reference == "ghcr.io/org/web:v\\n1"
    assert problems(inventory) == [("wasm/two\\nlines\\x1b[31m", "misnamed file", None)]

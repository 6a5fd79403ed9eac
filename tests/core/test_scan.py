"""The walk over a cache, and a first look at it: what they find, and that they follow and raise nothing."""

import os
import subprocess
from array import array
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from IPython.lib.pretty import pretty

from spincache_nb.core.cache import Cache
from spincache_nb.core.documents import Area
from spincache_nb.core.scan import PlainBlobs, Scan, _Walk, glance
from spincache_nb.errors import CacheError
from tests.support.caches import pulled, web
from tests.support.procs import call, open_folder
from tests.support.trees import write_tree

HEX = "0123456789abcdef" * 4
NOTHING = Scan((), (), (), (), ())


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


def look_at_nothing(walk: _Walk, area: Area) -> tuple[PlainBlobs, set[str]]:
    """Take every file for an odd one."""
    directory = walk.root / area
    return PlainBlobs(area, str(directory), [], array("q"), array("q")), {
        path.name for path in directory.iterdir()
    }


def kinds(root: Path) -> list[tuple[str, str]]:
    return sorted((problem.path, problem.kind) for problem in scan(root).problems)


def test_scan_of_no_cache_is_empty(tmp_path: Path) -> None:
    assert Cache(tmp_path / "none").scan() == NOTHING
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


@pytest.mark.parametrize(
    ("folder", "reference", "named"),
    [
        ("localhost:5000/a/1", "localhost:5000/a:1", "1"),
        ("localhost_5000/a/1", "localhost:5000/a:1", "1"),
        (f"a.b/c/sha256_{HEX}", f"a.b/c@sha256:{HEX}", None),
    ],
)
def test_scan_reads_ports_and_digests_in_either_spelling(
    root: Path, folder: str, reference: str, named: str | None
) -> None:
    put(root / "manifests" / folder / "config.json")
    (tag,) = scan(root).tags
    assert (tag.reference, tag.tag, tag.modified_ns) == (reference, named, None)


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
    assert (scan(root).blobs, scan(root).tags, scan(root).files) == ([], (), [])


def test_scan_counts_every_file_once(root: Path) -> None:
    put(root / "wasm" / f"sha256:{HEX}", b"1234")
    os.link(root / "wasm" / f"sha256:{HEX}", root / "wasm" / HEX)
    (root / "wasm" / HEX).chmod(0o600)
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
        (".DS_Store", "system file"),
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


def test_scan_looks_at_plain_files_as_closely_as_at_odd_ones(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"sha256{sign}{letter * 64}" for sign in ":_" for letter in "a0f"]
    names += [f"sha512:{'b' * 128}", "sha256:short", "odd\nname", HEX]
    for place, name in enumerate(names):
        for area in ("wasm", "data"):
            os.utime(put(root / area / name, b"x" * place), ns=(place, 10**18 + place))
    (root / "data" / names[1]).chmod(0o600)
    (root / "data" / f"sha256:{'c' * 64}").symlink_to("nowhere")
    (root / "data" / f"sha256:{'d' * 64}").mkdir()
    os.link(root / "data" / names[0], root / "data" / f"sha256:{'e' * 64}")
    fast = scan(root)
    monkeypatch.setattr(_Walk, "look_at_blobs", look_at_nothing)
    slow = scan(root)
    assert len(fast.odd) < len(slow.odd)
    assert fast.blobs == slow.blobs
    assert [blob.location for blob in fast.blobs[:10]] == sorted(str(root / "wasm" / name) for name in names)
    assert sorted(fast.files) == sorted(slow.files)
    assert fast.problems == slow.problems


def test_scan_of_a_hard_linked_cache_is_all_columns(root: Path, tmp_path: Path) -> None:
    """As `cp -al` leaves it: every file has a second name outside; and as a private umask does."""
    names = [f"sha256:{number:064x}" for number in range(5)]
    for name in names:
        os.link(put(root / "data" / name), tmp_path / name)
        (root / "data" / name).chmod(0o600)
    found = scan(root)
    assert found.odd == ()
    assert [file.stored_bytes for file in found.files] == [2] * 5


def test_scan_leaves_out_what_vanishes_while_it_looks(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(root / "data" / f"sha256:{HEX}").unlink()
    nothing = PlainBlobs("data", "", [], array("q"), array("q"))
    monkeypatch.setattr(_Walk, "look_at_blobs", lambda *_: (nothing, {f"sha256:{HEX}"}))
    found = scan(root)
    assert (found.blobs, found.files, found.problems) == ([], [], ())


ODD_NAMES = [
    f"sha256:{HEX.upper()}",
    f"sha256:{HEX[:-1]}",
    f"sha256:{HEX}0",
    f"sha256:{HEX[:-3]}sh:",
    f"sh:{HEX}2560",
    f"{HEX}sha256:",
    f"sha256:{HEX[:-1]}\udce9",
    f"sha256:{HEX[:-1]}\u0660",
    f"sha256 {HEX}",
    f"sha512:{HEX}{HEX}",
    "a" * 71,
    "x",
]


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example({f"sha256:{HEX}"}, {f"sha256:{HEX[:-3]}sh:", "a" * 71})  # as much is left of them as of two digests
@given(
    st.sets(st.builds("sha256{}{:064x}".format, st.sampled_from("::::_"), st.integers(0, (1 << 256) - 1))),
    st.sets(st.sampled_from(ODD_NAMES), max_size=3),
)
def test_look_at_blobs_tells_digests_of_one_spelling_from_other_names(
    tmp_path_factory: pytest.TempPathFactory, digests: set[str], others: set[str]
) -> None:
    root = tmp_path_factory.mktemp("root")
    (root / "data").mkdir()
    for name in digests | others:
        put(root / "data" / name)
    plain, odd = _Walk(root).look_at_blobs("data")
    assert set(plain.names) | odd == digests | others
    assert len(plain.names) + len(odd) == len(digests | others)
    assert not others & set(plain.names)
    assert len({name[6] for name in plain.names}) <= 1
    assert bool(plain.names) == bool(digests)
    assert plain.digests == [str(blob.digest) for blob in plain]


@pytest.mark.parametrize("links", [1, 2])
def test_scan_keeps_times_that_no_column_can_hold(root: Path, tmp_path: Path, links: int) -> None:
    blob = put(root / "data" / f"sha256:{HEX}")
    if links == 2:
        os.link(blob, tmp_path / "other")
    beyond = 10_000_000_000  # seconds: the year 2286
    os.utime(blob, (beyond, beyond))
    if blob.stat().st_mtime != beyond:
        pytest.skip("this file system keeps no such time")
    (found,) = scan(root).blobs
    assert found.modified_ns == beyond * 10**9


def test_look_at_blobs_follows_no_link(root: Path) -> None:
    put(root / "elsewhere" / f"sha256:{HEX}")
    (root / "data").symlink_to(root / "elsewhere")
    with pytest.raises(CacheError, match="data"):
        _Walk(root).look_at_blobs("data")


def test_look_at_blobs_leaves_nothing_open(root: Path) -> None:
    put(root / "data" / f"sha256:{HEX}")
    before = os.open(root, os.O_RDONLY)
    os.close(before)
    _Walk(root).look_at_blobs("data")
    after = os.open(root, os.O_RDONLY)
    os.close(after)
    assert before == after


def test_glance_at_no_cache(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    assert pretty(cache) == f"Spin cache at {tmp_path}/registry: nothing there yet"
    assert "nothing there yet" in cache._repr_html_()
    assert list(tmp_path.iterdir()) == []


def test_glance_counts_apps_and_blobs(tmp_path: Path) -> None:
    tree = pulled(web())
    write_tree(tmp_path / "registry", tree)
    found = Cache(tmp_path).glance()
    assert (found.exists, found.apps, found.more) == (True, 1, False)
    assert found.blobs == sum(path.startswith(("wasm/", "data/")) for path in tree)


def test_glance_at_a_large_cache_stops_counting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "registry"
    write_tree(root, {f"manifests/ghcr.io/org/app-{n}/v1/manifest.json": b"{}" for n in range(30)})
    write_tree(root, {f"wasm/{n}": b"" for n in range(7)} | {f"data/{n}": b"" for n in range(50)})
    found = glance(root, most=10)
    assert (found.apps, found.blobs, found.more) == (10, 17, True)
    assert found.summary() == "at least 10 apps, at least 17 blobs"
    assert glance(root, most=50).summary() == "30 apps, 57 blobs"
    monkeypatch.setattr("spincache_nb.core.scan._FOLDERS_READ", 10)
    assert glance(root).more


def seen_by_nobody(root: str) -> str:
    from spincache_nb.core.cache import Cache

    return str(Cache(root).glance())


@pytest.mark.parametrize("mode", [0, 0o744])
def test_glance_at_a_closed_cache(mode: int) -> None:
    with open_folder(owner=0) as root:
        write_tree(root / "registry", pulled(web()))
        (root / "registry").chmod(mode)
        outcome = call(seen_by_nobody, str(root), unprivileged=True)
        assert outcome.error is None
        assert outcome.value == f"Spin cache at {root}/registry: 0 apps, 0 blobs"


def test_glance_follows_no_link_and_lets_no_mark_up_in(tmp_path: Path) -> None:
    write_tree(tmp_path / "elsewhere", {"a": b"", "b": b""})
    folder = tmp_path / "<b>"
    (folder / "registry").mkdir(parents=True)
    (folder / "registry" / "wasm").symlink_to(tmp_path / "elsewhere")
    cache = Cache(folder)
    assert cache.glance().blobs == 0
    assert "<b>/" not in cache._repr_html_()


def test_repr_stays_the_expression_that_makes_the_cache(tmp_path: Path) -> None:
    assert eval(repr(Cache(tmp_path))) == Cache(tmp_path)

"""Checking a cache: hand-damaged caches in, rows out; what is no fault stays silent."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from spincache_nb.core.cache import Cache
from spincache_nb.core.journal import History
from spincache_nb.core.progress import ProgressEvent
from spincache_nb.core.pull import pull
from spincache_nb.core.scan import CachedTag, Problem
from spincache_nb.errors import PullCancelled
from spincache_nb.upkeep import check_cache, is_damage, verify
from spincache_nb.upkeep.verify import is_interface, is_whole_binary
from tests.support import caches
from tests.support.artifact import APPLICATION, WASM, sha256, sha512, wasm_module
from tests.support.artifacts import Component, locked_app
from tests.support.caches import INDEX, PAGES, WEB, archive_mode, blob, pulled, sha512_app, web
from tests.support.odd_artifacts import altered, with_layers
from tests.support.projects import write_project
from tests.support.trees import read_tree, union, write_tree
from tests.upkeep.worlds import laid_out

V1 = "ghcr.io/org/web:v1"
ARCHIVE = caches.archive_layer()
CODE = b"\x01\x04\x01\x60\0\0" + b"\x03\x02\x01\0" + b"\x0a\x04\x01\x02\0\x0b"  # one function, empty
COMPONENT = b"\0asm\x0d\0\x01\0" + b"\x01" + bytes([8 + len(CODE)]) + b"\0asm\x01\0\0\0" + CODE


def flipped(content: bytes) -> bytes:
    return content[:-1] + bytes([content[-1] ^ 1])


def rows(problems: tuple[Problem, ...]) -> list[tuple[str, str, str | None]]:
    for problem in problems:
        assert problem.detail
        assert problem.remedy
    return [(problem.path, problem.kind, problem.reference) for problem in problems]


def checked(tmp_path: Path, tree: Mapping[str, bytes]) -> list[tuple[str, str, str | None]]:
    """What is wrong with a cache that is a tree; looking changes nothing."""
    cache = laid_out(tmp_path, tree)
    found = rows(check_cache(cache))
    assert read_tree(cache.path) == tree
    return found


# What is no fault -------------------------------------------------------------------------------

SOUND = {
    **caches.sound(),
    "nothing": {},
    "unreferenced": {blob("data", b"stray"): b"stray"},
    "the digest of nothing": {blob("data", b""): b""},
}


@pytest.mark.parametrize("name", sorted(SOUND))
def test_check_cache_finds_no_fault_with_what_spin_leaves(tmp_path, name):
    assert checked(tmp_path, SOUND[name]) == []


def test_check_cache_of_no_cache_makes_none(tmp_path):
    assert check_cache(Cache(tmp_path / "none")) == ()
    assert list(tmp_path.iterdir()) == []


HARMLESS = {
    "a name of an old Spin": ({caches.bare_hex_name(b"old"): b"old"}, "name of an old Spin"),
    "a killed download": ({caches.temporary_name(): b"half"}, "temporary file"),
    "a target environment": (caches.environment_blob(), "content of another digest"),
    "a foreign file": ({"letter.txt": b"mine"}, "foreign"),
    "a stray name": ({"wasm/sha256": b""}, "misnamed file"),
}


@pytest.mark.parametrize("name", sorted(HARMLESS))
def test_check_cache_lists_what_is_untidy_but_no_damage(tmp_path, name):
    tree, kind = HARMLESS[name]
    assert checked(tmp_path, tree) == [(next(iter(tree)), kind, None)]
    assert not is_damage(kind)


@pytest.mark.parametrize("content", [caches.INTERFACES, WEB])
def test_check_cache_knows_from_an_environment_lock_what_a_manifests_digest_names(tmp_path, content):
    digest = caches.environment().digest
    cache = laid_out(tmp_path, {f"wasm/{digest}": content})
    assert check_cache(cache, projects=[write_project(tmp_path / "project", environment=digest)]) == ()


def test_check_cache_finds_a_truncated_blob_of_an_environment(tmp_path):
    digest = caches.environment().digest
    cache = laid_out(tmp_path, {f"wasm/{digest}": caches.INTERFACES[:-1]})
    (row,) = check_cache(cache, projects=[write_project(tmp_path / "project", environment=digest)])
    assert row.kind == "damaged blob"


def test_check_cache_knows_from_a_cached_manifest_what_its_digest_names(tmp_path):
    artifact = caches.environment()
    place = caches.folder(artifact)
    tree = {f"{place}/manifest.json": artifact.manifest, f"{place}/config.json": b"{}"}
    tree |= {blob("wasm", caches.INTERFACES): caches.INTERFACES} | caches.environment_blob()
    assert check_cache(laid_out(tmp_path, tree)) == ()
    wrong = {f"wasm/{artifact.digest}": flipped(WEB)}
    assert checked(tmp_path / "again", {**tree, **wrong}) == [(*wrong, "damaged blob", None)]


def test_check_cache_reads_each_manifest_once_however_many_blobs_are_wrong(tmp_path, monkeypatch):
    artifact = caches.environment()
    tree = caches.environment_blob() | {blob("wasm", caches.INTERFACES): caches.INTERFACES}
    for number in range(3):
        place = f"{caches.folder(artifact)}{number}"
        tree |= {f"{place}/manifest.json": artifact.manifest, f"{place}/config.json": b"{}"}
    tree |= {f"wasm/sha256:{number:064x}": caches.INTERFACES for number in range(8)}
    cache = laid_out(tmp_path, tree)
    read: list[Path] = []
    original = CachedTag.read_manifest

    def read_manifest(tag: CachedTag) -> bytes:
        read.append(tag.path)
        return original(tag)

    monkeypatch.setattr(CachedTag, "read_manifest", read_manifest)
    assert len(check_cache(cache)) == 8
    assert sorted(read) == sorted(set(read))


# What is damage ---------------------------------------------------------------------------------


def test_check_cache_finds_a_flipped_bit_in_an_asset(tmp_path):
    (problem,) = check_cache(laid_out(tmp_path, {**pulled(web()), blob("data", INDEX): flipped(INDEX)}))
    assert rows((problem,)) == [(blob("data", INDEX), "damaged blob", V1)]
    assert sha256(flipped(INDEX)) in problem.detail
    assert "300 bytes" in problem.detail
    assert "repair" in problem.remedy


DAMAGED = {
    "a truncated layer": (caches.truncated_blob(), [(blob("data", INDEX), "damaged blob", V1)]),
    "an empty layer": (caches.empty_blob(), [(blob("wasm", WEB), "damaged blob", V1)]),
    "missing layers": (
        caches.lost_layers(),
        [(blob("data", INDEX), "missing blob", V1), (blob("wasm", WEB), "missing blob", V1)],
    ),
    "a missing member": (
        caches.members_missing("page-1.html"),
        [(blob("data", PAGES["page-1.html"]), "missing archive member", "ghcr.io/org/site:v1")],
    ),
    "a damaged member": (
        {**pulled(archive_mode()), blob("data", PAGES["page-2.html"]): b"x" * 202},
        [(blob("data", PAGES["page-2.html"]), "damaged blob", "ghcr.io/org/site:v1")],
    ),
    "a damaged archive, of which nothing else is told": (
        {**pulled(archive_mode()), blob("data", ARCHIVE): flipped(ARCHIVE), blob("data", b"stray"): b"stray"},
        [(blob("data", ARCHIVE), "damaged blob", "ghcr.io/org/site:v1")],
    ),
    "a damaged sha512 layer": (
        {**pulled(sha512_app()), f"data/{sha512(INDEX)}": flipped(INDEX)},
        [(f"data/{sha512(INDEX)}", "damaged blob", "ghcr.io/org/long:v1")],
    ),
    "a damaged name of an old Spin": (
        {caches.bare_hex_name(b"old"): b"other"},
        [
            (caches.bare_hex_name(b"old"), "damaged blob", None),
            (caches.bare_hex_name(b"old"), "name of an old Spin", None),
        ],
    ),
    "a damaged asset that nobody needs": (
        {blob("data", b"stray"): b"strap"},
        [(blob("data", b"stray"), "damaged blob", None)],
    ),
    "a flipped bit in a module that nobody needs": (
        {blob("wasm", WEB): flipped(WEB)},
        [(blob("wasm", WEB), "damaged blob", None)],
    ),
    "a flipped bit in a component that nobody needs": (
        {blob("wasm", COMPONENT): flipped(COMPONENT)},
        [(blob("wasm", COMPONENT), "damaged blob", None)],
    ),
    "interfaces under the name of an old Spin": (
        {caches.bare_hex_name(b"old"): caches.INTERFACES},
        [
            (caches.bare_hex_name(b"old"), "damaged blob", None),
            (caches.bare_hex_name(b"old"), "name of an old Spin", None),
        ],
    ),
    "interfaces in data": (
        {blob("data", b"old"): caches.INTERFACES},
        [(blob("data", b"old"), "damaged blob", None)],
    ),
    "a truncated module that nobody needs": (
        {blob("wasm", WEB): WEB[:-40]},
        [(blob("wasm", WEB), "damaged blob", None)],
    ),
    "a stale locked app": (
        caches.two_versions(),
        [("manifests/ghcr.io/org/web/v1/config.json", "stale locked app", V1)],
    ),
}


@pytest.mark.parametrize("name", sorted(DAMAGED))
def test_check_cache_finds_damage(tmp_path, name):
    tree, expected = DAMAGED[name]
    assert checked(tmp_path, tree) == expected
    harmless = [kind for _, kind, reference in expected if not is_damage(kind, reference)]
    assert set(harmless) <= {"name of an old Spin"}


def test_check_cache_says_how_many_apps_share_a_damaged_blob(tmp_path):
    tree = union(
        pulled(web()), pulled(web(tag="v2", version="2.0.0")), pulled(web(tag="v3", version="3.0.0"))
    )
    (problem,) = check_cache(laid_out(tmp_path, {**tree, blob("data", INDEX): flipped(INDEX)}))
    assert problem.reference == V1
    assert "it concerns 2 more apps" in problem.detail


def test_check_cache_calls_a_source_of_a_project_damaged(tmp_path):
    """A blob that a spin.toml names by URL and digest has no app; Spin fetches it again once it is gone."""
    cache = laid_out(tmp_path, {blob("wasm", WEB): WEB[:-1]})
    project = write_project(tmp_path / "project", WEB)
    (problem,) = check_cache(cache, projects=[project])
    assert (problem.path, problem.kind, problem.reference) == (blob("wasm", WEB), "damaged blob", None)
    assert str(project) in problem.remedy


@pytest.mark.parametrize("algorithm", ["sha256", "sha384", "sha512"])
def test_check_cache_knows_every_algorithm(tmp_path, algorithm):
    name = f"data/{algorithm}:{hashlib.new(algorithm, b'content').hexdigest()}"
    assert checked(tmp_path / "good", {name: b"content"}) == []
    assert checked(tmp_path / "bad", {name: b"c0ntent"}) == [(name, "damaged blob", None)]


# Live writers -----------------------------------------------------------------------------------


def between(monkeypatch: pytest.MonkeyPatch, write: Callable[[int], object]) -> None:
    """Do something after each time that files were hashed."""
    original = verify.hash_blobs
    count = []

    def hash_blobs(*arguments: object, **options: object) -> object:
        found = original(*arguments, **options)  # type: ignore[arg-type]
        count.append(found)
        write(len(count))
        return found

    monkeypatch.setattr(verify, "hash_blobs", hash_blobs)


def test_check_cache_believes_a_blob_that_was_just_being_written(tmp_path, monkeypatch):
    cache = laid_out(tmp_path, {blob("data", b"content"): b"cont"})
    between(monkeypatch, lambda _: (cache.path / blob("data", b"content")).write_bytes(b"content"))
    assert check_cache(cache) == ()


def test_check_cache_waits_for_the_second_document_of_a_tag(tmp_path, monkeypatch):
    tree = pulled(web())
    (name,) = (path for path in tree if path.endswith("manifest.json"))
    cache = laid_out(tmp_path, {path: content for path, content in tree.items() if path != name}, age=0)
    original = verify._pause

    def write_then_pause(cancel: threading.Event | None) -> None:
        (cache.path / name).write_bytes(tree[name])
        original(cancel)

    monkeypatch.setattr(verify, "_pause", write_then_pause)
    assert check_cache(cache) == ()
    monkeypatch.setattr(verify, "_pause", original)
    (cache.path / name).unlink()
    assert [row.kind for row in check_cache(cache) if is_damage(row.kind)] == ["missing manifest"]


def test_check_cache_says_that_a_blob_keeps_changing(tmp_path, monkeypatch):
    monkeypatch.setattr(verify, "_PAUSE_SECONDS", 0.01)
    cache = laid_out(tmp_path, {blob("data", b"content"): b""})
    between(monkeypatch, lambda n: (cache.path / blob("data", b"content")).write_bytes(b"c" * n))
    problems = check_cache(cache)
    assert (blob("data", b"content"), "file being written", None) in rows(problems)
    assert not is_damage("file being written")


def test_check_cache_forgets_a_damaged_blob_that_is_gone(tmp_path, monkeypatch):
    cache = laid_out(tmp_path, {blob("data", b"content"): b"other"})
    between(monkeypatch, lambda count: (cache.path / blob("data", b"content")).unlink(missing_ok=True))
    assert check_cache(cache) == ()


def test_check_cache_reports_a_blob_that_the_disk_does_not_give(tmp_path, monkeypatch):
    def refuse(path: Path) -> None:
        raise OSError(errno.EIO, "Input/output error", str(path))

    monkeypatch.setattr(verify, "open_regular", refuse)
    cache = laid_out(tmp_path, {blob("data", b"content"): b"content"})
    (row,) = check_cache(cache)
    assert (row.path, row.kind) == (blob("data", b"content"), "unreadable file")
    assert "Input/output error" in row.detail


def test_check_cache_waits_for_a_slow_writer(tmp_path):
    """A writer that streams onto the final name, as Spin does for registry packages."""
    content = os.urandom(1 << 20)
    cache = laid_out(tmp_path, {blob("wasm", content): content[:1000]})
    path = cache.path / blob("wasm", content)

    begun = threading.Event()

    def stream() -> None:
        with path.open("wb") as file:
            for start in range(0, len(content), 1 << 17):
                file.write(content[start : start + (1 << 17)])
                file.flush()
                begun.set()
                time.sleep(0.02)

    writer = threading.Thread(target=stream)
    writer.start()
    assert begun.wait(10)
    problems = rows(check_cache(cache))
    writer.join()
    assert [row for row in problems if is_damage(row[1])] == []
    assert check_cache(cache) == ()


# Progress and cancel ----------------------------------------------------------------------------


def test_check_cache_tells_every_byte(tmp_path):
    contents = [os.urandom(size) for size in (0, 1, 5 << 20, 9 << 20)]
    cache = laid_out(tmp_path, {blob("data", content): content for content in contents})
    events: list[ProgressEvent] = []
    check_cache(cache, progress=events.append)
    total = sum(map(len, contents))
    assert [event.total for event in events if event.kind == "plan"] == [total]
    assert sum(event.count for event in events if event.kind == "bytes") == total
    assert {event.digest for event in events if event.count} == {
        sha256(content) for content in contents if content
    }


def test_check_cache_shows_plain_lines_where_nobody_looks(tmp_path, capsys):
    check_cache(laid_out(tmp_path, {blob("data", b"content"): b"content"}), progress=True)
    assert capsys.readouterr().err == "to check: 7 bytes\n"


def test_check_cache_stops_when_it_is_cancelled(tmp_path):
    content = os.urandom(32 << 20)
    cache = laid_out(tmp_path, {blob("data", content): content})
    cancel = threading.Event()
    told: list[int] = []

    def stop(event: ProgressEvent) -> None:
        told.append(event.count)
        if event.kind == "bytes":
            cancel.set()

    with pytest.raises(PullCancelled):
        check_cache(cache, progress=stop, cancel=cancel)
    assert sum(told) < len(content)


def test_check_cache_hashes_at_once(tmp_path, monkeypatch):
    contents = [os.urandom(1000 + number) for number in range(8)]
    cache = laid_out(tmp_path, {blob("data", content): content for content in contents})
    together = threading.Barrier(4, timeout=20)

    original = verify._hash

    def hash_one(*arguments: object) -> object:
        together.wait()
        return original(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(verify, "_hash", hash_one)
    assert check_cache(cache, jobs=4, progress=lambda event: None) == ()


# Whole binaries; the walker has its own tests ---------------------------------------------------

NESTED = b"\0asm\x0d\0\x01\0" + b"\x04" + bytes([len(COMPONENT)]) + COMPONENT


@pytest.mark.parametrize(
    ("content", "whole", "interface"),
    [
        (wasm_module("m", 100), True, False),
        (wasm_module("m", 100)[:-1], False, False),
        (wasm_module("m", 100) + b"\0", False, False),
        (caches.INTERFACES, True, True),
        (caches.INTERFACES[:-1], False, False),
        (b"\0asm\x0d\0\x01\0" + b"\x0a\x00", True, True),
        (COMPONENT, True, False),
        (NESTED, True, False),
        (b"\0asm\x01\0\0\0", True, False),
        (b"(module)", False, False),
        (b"", False, False),
    ],
)
def test_is_whole_binary_or_interface(tmp_path, content, whole, interface):
    (tmp_path / "file").write_bytes(content)
    assert (is_whole_binary(tmp_path / "file"), is_interface(tmp_path / "file")) == (whole, interface)


def test_is_interface_is_not_lost_in_depths(tmp_path):
    content = b"\0asm\x0d\0\x01\0"
    while len(content) < 100_000:
        size = bytes([len(content) & 127 | 128, len(content) >> 7 & 127 | 128, len(content) >> 14])
        content = b"\0asm\x0d\0\x01\0" + b"\x04" + size + content
    (tmp_path / "file").write_bytes(content)
    assert is_interface(tmp_path / "file")


def test_is_whole_binary_is_false_for_what_cannot_be_read(tmp_path):
    assert not is_interface(tmp_path / "nothing")
    assert not is_whole_binary(tmp_path / "nothing")
    (tmp_path / "link").symlink_to(tmp_path / "nothing")
    assert not is_whole_binary(tmp_path / "link")


def test_the_last_of_two_application_layers_wins(plain_registry, tmp_path):
    component = Component("web", WEB)
    locked = [locked_app([component], {"name": "twice", "version": version}) for version in ("1", "2")]
    artifact = with_layers(
        "demo/twice", component, [(APPLICATION, locked[1]), (WASM, WEB), (APPLICATION, locked[0])]
    )
    artifact = altered(artifact, lambda document: document["layers"].pop())
    plain_registry.push(artifact)
    cache = Cache(tmp_path)
    result = pull(cache, plain_registry.reference(artifact), history=History(enabled=False))
    assert cache.cached_tag(str(result.reference)).read_locked_app() == locked[0]
    assert check_cache(cache) == ()


def test_check_cache_says_what_to_do_with_what_only_an_environment_lock_names(tmp_path):
    digest = sha256(b"interfaces")
    cache = laid_out(tmp_path, {f"wasm/{digest}": b"something else"})
    lock = {"h": {"package": {"a:b@1.0.0": digest}}}
    project = write_tree(tmp_path / "project", {".spin/target-environments.lock": json.dumps(lock).encode()})
    (row,) = check_cache(cache, projects=[project])
    assert (row.kind, row.remedy) == (
        "damaged blob",
        f"remove it, then build {project} again: Spin fetches it",
    )

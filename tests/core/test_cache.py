"""The cache on disk: places, lookups and writes. Expected names and bytes are written by hand."""

import hashlib
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from spincache_nb.core.cache import Cache
from spincache_nb.core.digest import Digest
from spincache_nb.core.reference import Reference
from spincache_nb.errors import (
    CacheWriteError,
    DigestMismatchError,
    NotACacheError,
    NotInCacheError,
    SizeMismatchError,
)
from tests.support import procs
from tests.support.trees import read_tree

WASM = b"\0asm\x01\0\0\0"
WASM_HEX = "93a44bbb96c751218e4c00d479e4c14358122a389acca16205b1e4d0dc5f9476"
WASM_DIGEST = Digest("sha256", WASM_HEX)


def test_cache_appends_registry_as_spin_does(tmp_path: Path) -> None:
    assert Cache(tmp_path).path == tmp_path / "registry"
    assert list(tmp_path.iterdir()) == []


def test_cache_without_root_is_spins_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "c"))
    monkeypatch.setattr("sys.platform", "linux")
    assert Cache().path == tmp_path / "c" / "spin" / "registry"


@pytest.mark.parametrize("part", ["wasm", "data", "manifests"])
def test_cache_given_the_registry_folder_says_what_was_meant(tmp_path: Path, part: str) -> None:
    (tmp_path / "registry" / part).mkdir(parents=True)
    with pytest.raises(NotACacheError) as caught:
        Cache(tmp_path / "registry")
    assert str(tmp_path) in caught.value.remedy
    assert Cache(tmp_path).path == tmp_path / "registry"


def test_put_blob_writes_the_bytes_under_the_digest(cache: Cache) -> None:
    assert cache.put_blob("wasm", WASM_DIGEST, [WASM[:3], WASM[3:]], size=8) == 8
    assert read_tree(cache.path) == {f"wasm/sha256:{WASM_HEX}": WASM}
    mode = stat.S_IMODE((cache.path / "wasm" / f"sha256:{WASM_HEX}").stat().st_mode)
    umask = os.umask(0)
    os.umask(umask)
    assert mode == 0o666 & ~umask


@pytest.mark.parametrize("algorithm", ["sha384", "sha512"])
def test_put_blob_takes_longer_digests(cache: Cache, algorithm: str) -> None:
    name = hashlib.new(algorithm, WASM).hexdigest()
    cache.put_blob("data", Digest(algorithm, name), [WASM])
    assert read_tree(cache.path) == {f"data/{algorithm}:{name}": WASM}


def test_put_blob_rejects_bytes_of_another_digest(cache: Cache, tmp_path: Path) -> None:
    with pytest.raises(DigestMismatchError) as caught:
        cache.put_blob("wasm", WASM_DIGEST, [b"other"], where="here")
    assert caught.value.where == "here"
    assert caught.value.expected == f"sha256:{WASM_HEX}"
    assert not list(tmp_path.rglob("*.*"))
    assert read_tree(cache.path) == {}
    assert not (cache.path / "wasm").exists()


@pytest.mark.parametrize(("chunks", "size"), [([WASM], 7), ([WASM], 9), ([WASM, b"x"], 8)])
def test_put_blob_rejects_another_size(cache: Cache, chunks: list[bytes], size: int) -> None:
    with pytest.raises(SizeMismatchError):
        cache.put_blob("wasm", WASM_DIGEST, chunks, size=size)
    assert read_tree(cache.path) == {}


def test_put_blob_stops_reading_at_the_first_byte_too_many(cache: Cache) -> None:
    def endless():
        while True:
            yield b"x" * 1000

    with pytest.raises(SizeMismatchError):
        cache.put_blob("wasm", WASM_DIGEST, endless(), size=5000)


def test_put_blob_keeps_the_old_blob_when_the_source_fails(cache: Cache) -> None:
    cache.put_blob("wasm", WASM_DIGEST, [WASM])

    def broken():
        yield WASM[:2]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache.put_blob("wasm", WASM_DIGEST, broken())
    assert read_tree(cache.path) == {f"wasm/sha256:{WASM_HEX}": WASM}


def test_put_blob_replaces_a_truncated_blob(cache: Cache) -> None:
    path = cache.path / "wasm" / f"sha256:{WASM_HEX}"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"")
    cache.put_blob("wasm", WASM_DIGEST, [WASM], size=8)
    assert path.read_bytes() == WASM


def test_put_blob_reports_a_folder_in_the_way(cache: Cache) -> None:
    (cache.path / "wasm" / f"sha256:{WASM_HEX}").mkdir(parents=True)
    with pytest.raises(CacheWriteError):
        cache.put_blob("wasm", WASM_DIGEST, [WASM])
    assert read_tree(cache.path) == {}


def test_put_blob_reports_a_folder_that_was_moved_away(cache: Cache) -> None:
    def chunks() -> Iterator[bytes]:
        yield WASM
        (cache.path / "wasm").rename(cache.path / "away")

    with pytest.raises(CacheWriteError, match="moved or replaced"):
        cache.put_blob("wasm", WASM_DIGEST, chunks())
    assert cache.find_blob(WASM_DIGEST) is None


def test_what_was_made_for_a_blob_that_is_refused_vanishes_behind_a_linked_registry(cache: Cache) -> None:
    (target := cache.path.parent / "elsewhere").mkdir(parents=True)
    cache.path.symlink_to(target)
    with pytest.raises(DigestMismatchError):
        cache.put_blob("wasm", WASM_DIGEST, [b"12345678"])
    assert list(target.iterdir()) == []


def test_put_unnamed_finds_the_name_and_writes_once(cache: Cache) -> None:
    assert cache.put_unnamed([WASM]) == (WASM_DIGEST, 8)
    path = cache.path / "data" / f"sha256:{WASM_HEX}"
    first = path.stat().st_ino
    os.utime(path, (1000, 1000))
    assert cache.put_unnamed([WASM[:4], WASM[4:]]) == (WASM_DIGEST, 8)
    assert path.stat().st_ino == first
    assert path.stat().st_mtime > 1000  # young again, so that a prune leaves it to the pull that needs it
    assert read_tree(cache.path) == {f"data/sha256:{WASM_HEX}": WASM}


def test_put_unnamed_streams_what_is_large(cache: Cache) -> None:
    big = bytes(range(256)) * 20_000
    digest, size = cache.put_unnamed(big[i : i + 100_000] for i in range(0, len(big), 100_000))
    assert (digest.encoded, size) == (hashlib.sha256(big).hexdigest(), len(big))
    assert read_tree(cache.path) == {f"data/{digest}": big}
    cache.put_unnamed([big])
    assert read_tree(cache.path) == {f"data/{digest}": big}


def test_find_blob_prefers_wasm_and_falls_back_to_data(cache: Cache) -> None:
    assert cache.find_blob(WASM_DIGEST) is None
    cache.put_blob("data", WASM_DIGEST, [WASM])
    assert cache.find_blob(WASM_DIGEST) == cache.path / "data" / f"sha256:{WASM_HEX}"
    cache.copy_blob(WASM_DIGEST, source="data", target="wasm", size=8)
    assert cache.find_blob(WASM_DIGEST) == cache.path / "wasm" / f"sha256:{WASM_HEX}"


def test_find_blob_reads_the_other_systems_spelling(tmp_path: Path) -> None:
    Cache(tmp_path, windows_names=True).put_blob("wasm", WASM_DIGEST, [WASM])
    with Cache(tmp_path, windows_names=False).open_blob(WASM_DIGEST) as stream:
        assert stream.read() == WASM


def test_copy_blob_refuses_damaged_bytes(cache: Cache) -> None:
    cache.put_blob("data", WASM_DIGEST, [WASM])
    (cache.path / "data" / f"sha256:{WASM_HEX}").write_bytes(b"\0asm\x02\0\0\0")
    with pytest.raises(DigestMismatchError):
        cache.copy_blob(WASM_DIGEST, source="data", target="wasm", size=8)
    assert cache.blob_size("wasm", WASM_DIGEST) is None


def test_open_blob_without_the_blob_says_so_and_makes_nothing(cache: Cache) -> None:
    with pytest.raises(NotInCacheError):
        cache.open_blob(WASM_DIGEST)
    assert not cache.path.exists()


def test_open_blob_does_not_hang_on_a_pipe(cache: Cache) -> None:
    (cache.path / "wasm").mkdir(parents=True)
    os.mkfifo(cache.path / "wasm" / f"sha256:{WASM_HEX}")
    with pytest.raises(NotInCacheError):
        cache.open_blob(WASM_DIGEST)


def test_write_tag_writes_the_manifest_last(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    order = []
    original = os.replace

    def replace(old: str, new: str, **folders: int) -> None:
        order.append(Path(new).name)
        original(old, new, **folders)

    monkeypatch.setattr(os, "replace", replace)
    cache.write_tag(Reference.parse("a.b/c:d"), locked_app=b"{}", manifest=b"[]")
    assert order == ["config.json", "manifest.json"]


def test_write_tag_that_fails_leaves_no_folders(cache: Cache) -> None:
    (cache.path / "manifests" / "a.b").mkdir(parents=True)
    (cache.path / "manifests" / "a.b" / "c").write_text("a file in the way")
    with pytest.raises(CacheWriteError):
        cache.write_tag(Reference.parse("a.b/c:d"), locked_app=b"{}", manifest=b"[]")
    assert read_tree(cache.path) == {"manifests/a.b/c": b"a file in the way"}


def test_cached_tag_that_is_not_there(cache: Cache) -> None:
    with pytest.raises(NotInCacheError) as caught:
        cache.cached_tag("ghcr.io/o/app:v1")
    assert caught.value.where == "ghcr.io/o/app:v1"


def test_remove_stale_takes_only_our_own_old_files(cache: Cache) -> None:
    wasm = cache.path / "wasm"
    tag = cache.path / "manifests" / "a.b" / "c" / "d"
    wasm.mkdir(parents=True)
    tag.mkdir(parents=True)
    spins = wasm / f"download-sha256-{WASM_HEX}abc123"
    old, young, in_tag = wasm / ".spincache-1-00", wasm / ".spincache-1-01", tag / ".spincache-1-02"
    for path in (spins, old, young, in_tag):
        path.write_bytes(b"part")
    for path in (spins, old, in_tag):
        os.utime(path, (time.time() - 7200,) * 2)
    assert cache.remove_stale(Reference.parse("a.b/c:d")) == 2
    assert sorted(path for path in (spins, old, young, in_tag) if path.exists()) == sorted([spins, young])


def test_is_whole_tells_damaged_blobs(cache: Cache) -> None:
    cache.put_blob("data", WASM_DIGEST, [WASM])
    assert cache.is_whole(WASM_DIGEST)
    assert cache.is_whole(WASM_DIGEST, "data")
    assert not cache.is_whole(WASM_DIGEST, "wasm")
    cache.blob_path("data", WASM_DIGEST).write_bytes(WASM[:-1] + b"?")
    assert not cache.is_whole(WASM_DIGEST)
    assert not cache.is_whole(Digest.of(b"absent"))


def test_path_cannot_be_set(cache: Cache) -> None:
    with pytest.raises(AttributeError):
        cache.path = Path("elsewhere")  # type: ignore[misc]


def test_durable_writes_reach_the_disk_before_and_after_the_rename(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every file that is written is synced, a copy between areas too; and so are the folders that name it."""
    steps: list[tuple[str, str]] = []
    honest_sync, honest_replace = os.fsync, os.replace

    def sync(handle: int) -> None:
        steps.append(("sync", Path(f"/proc/self/fd/{handle}").readlink().name))
        honest_sync(handle)

    def replace(old: str, new: str, **folders: int) -> None:
        steps.append((old, new))
        honest_replace(old, new, **folders)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(os, "replace", replace)
    cache.put_blob("data", WASM_DIGEST, [WASM], durable=True)
    cache.put_unnamed([b"member"], durable=True)
    cache.copy_blob(WASM_DIGEST, source="data", target="wasm", size=8, durable=True)
    cache.write_tag(Reference.parse("a.b/c:d"), locked_app=b"{}", manifest=b"[]", durable=True)
    tag = cache.cached_tag("a.b/c:d")
    cache.write_locked_app(tag, b"{ }", durable=True)
    renames = [place for place, step in enumerate(steps) if step[0] != "sync"]
    assert len(renames) == 6
    for place in renames:
        old, _ = steps[place]
        assert steps[place - 1] == ("sync", old)
        assert steps[place + 1][0] == "sync"
    synced = {name for step, name in steps if step == "sync"}
    assert {"registry", "data", "wasm", "manifests", "a.b", "c", "d"} <= synced
    assert tag.read_locked_app() == b"{ }"


def test_free_bytes_of_a_cache_that_does_not_exist_yet(cache: Cache) -> None:
    assert cache.free_bytes() > 0
    assert not cache.path.exists()


def test_cache_in_a_closed_folder_is_one_clear_error(nobodys_folder: Path) -> None:
    def name_it(folder: str) -> str:
        from pathlib import Path

        from spincache_nb.core.cache import Cache

        closed = Path(folder) / "closed"
        closed.mkdir(mode=0o000)
        return str(Cache(closed / "inner").path)

    outcome = procs.call(name_it, str(nobodys_folder), unprivileged=True)
    assert "CacheError" in outcome.error_types
    assert str(nobodys_folder / "closed" / "inner") in outcome.error

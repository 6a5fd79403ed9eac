"""What a bad disk does to a pull: one clear error, a whole cache, and the next pull goes well."""

import errno
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from spincache_nb import Cache, History, plan_pull, pull
from spincache_nb.core.progress import ProgressEvent
from spincache_nb.errors import CacheWriteError, NoSpaceError, SpinCacheError
from tests.faults import judge
from tests.faults.places import large_app, make_read_only, small_app, small_disk
from tests.faults.syscalls import WRITES, Calls, Happening
from tests.faults.table import record
from tests.support.hostile import HostileServer
from tests.support.procs import call

OFF = History(enabled=False)


@pytest.fixture
def older(hostile: HostileServer, tmp_path: Path) -> Path:
    """A cache that has version 1 of the small app; the registry has version 2 as well."""
    hostile.serve(small_app(1), small_app(2))
    folder = tmp_path / "older"
    pull(Cache(folder), small_app(1).reference(hostile.name), history=OFF)
    return folder


def fail_with(number: int) -> Happening:
    def happening(name: str) -> None:
        raise OSError(number, os.strerror(number))

    return happening


def interrupt(name: str) -> None:
    """Ctrl-C: the signal goes to the main thread, wherever this call is made."""
    main = threading.main_thread()
    signal.pthread_kill(main.ident or 0, signal.SIGINT)
    if threading.current_thread() is not main:
        time.sleep(0.003)


def try_at_each_call(
    older: Path, work: Path, reference: str, happening: Happening, names: frozenset[str] | None = None
) -> tuple[int, int, int, dict[str, int]]:
    """Update a cache once for each call to the system, with one of them failing each time."""
    survived = lost = 0
    raised: dict[str, int] = {}
    at = 0
    while True:
        at += 1
        shutil.rmtree(work, ignore_errors=True)
        shutil.copytree(older, work)
        before = judge.whole_blobs(work)
        calls = Calls(work, at, happening, names)
        outcome = "none"
        with calls.counting():
            try:
                pull(Cache(work), reference, jobs=1, history=OFF)
                if calls.fired:
                    time.sleep(0.005)  # a Ctrl-C that came last arrives here
            except (SpinCacheError, KeyboardInterrupt) as exc:
                outcome = type(exc).__name__
        if not calls.fired:
            return at - 1, survived, lost, raised
        raised[outcome] = raised.get(outcome, 0) + 1
        failed = calls.seen[at - 1]
        where = f"call {at} ({failed})"
        assert judge.faults_of(work) == [], where
        assert not judge.leftovers(work) or failed == "unlink", where
        lost += judge.bytes_lost(before, judge.whole_blobs(work))
        pull(Cache(work), reference, jobs=1, history=OFF)
        assert judge.faults_of(work) == [], where
        assert (work / "registry/manifests").joinpath(*reference.replace(":v2", "/v2").split("/")).is_dir()
        survived += 1


def test_eio_at_each_system_call_damages_nothing(older: Path, hostile: HostileServer, tmp_path: Path) -> None:
    reference = small_app(2).reference(hostile.name)
    tried, survived, lost, raised = try_at_each_call(older, tmp_path / "w", reference, fail_with(errno.EIO))
    print(f"\n{tried} calls: {raised}")
    assert tried > 60
    assert raised["CacheWriteError"] > 20
    assert set(raised) <= {"CacheWriteError", "CacheError", "NotInCacheError", "none"}
    record(
        "EIO at one system call of a pull, for each of them",
        "one `CacheWriteError` or, where the call does not matter, none",
        tried,
        survived,
        lost,
    )


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT], ids=errno.errorcode.__getitem__)
def test_full_disk_at_each_write_damages_nothing(
    older: Path, hostile: HostileServer, tmp_path: Path, number: int
) -> None:
    reference = small_app(2).reference(hostile.name)
    tried, survived, lost, raised = try_at_each_call(
        older, tmp_path / "w", reference, fail_with(number), WRITES - {"open"}
    )
    assert tried > 10
    assert set(raised) == {"NoSpaceError"}
    name = "ENOSPC" if number == errno.ENOSPC else "EDQUOT (quota)"
    record(
        f"{name} at one write of a pull, for each of them",
        "one `NoSpaceError`",
        tried,
        survived,
        lost,
    )


def test_interrupt_at_each_system_call_damages_nothing(
    older: Path, hostile: HostileServer, tmp_path: Path
) -> None:
    reference = small_app(2).reference(hostile.name)
    tried, survived, lost, raised = try_at_each_call(older, tmp_path / "w", reference, interrupt)
    assert tried > 60
    assert raised == {"KeyboardInterrupt": tried}
    record(
        "Ctrl-C at one system call of a pull, for each of them",
        "`KeyboardInterrupt`; no half-written file",
        tried,
        survived,
        lost,
    )


def test_short_writes_are_completed(
    older: Path, hostile: HostileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A system may write less than it was given; the rest must follow."""
    honest = os.write
    monkeypatch.setattr(
        os, "write", lambda handle, data: honest(handle, bytes(data[: max(1, len(data) // 3)]))
    )
    pull(Cache(older), small_app(2).reference(hostile.name), history=OFF)
    assert judge.faults_of(older) == []


def fails_then_goes_well(
    disk: Path, reference: str, hog: Path | None, progress: Callable[[ProgressEvent], None] | None = None
) -> str:
    """Pull into a disk that is too small, make room, pull again; what the first pull said."""
    with pytest.raises(NoSpaceError) as caught:
        pull(Cache(disk / "cache"), reference, history=OFF, progress=progress)
    judge.assert_whole(disk / "cache")
    assert not list((disk / "cache").rglob("manifest.json"))
    if hog is not None:
        hog.unlink()
        pull(Cache(disk / "cache"), reference, history=OFF)
        assert judge.faults_of(disk / "cache") == []
    return str(caught.value)


def test_pull_into_a_full_disk_asks_for_nothing(hostile: HostileServer, tmp_path: Path) -> None:
    app = large_app(900_000)
    hostile.serve(app)
    with small_disk(tmp_path / "disk", "size=1m") as disk:
        hog = disk / "hog"
        hog.write_bytes(bytes(500_000))
        message = fails_then_goes_well(disk, app.reference(hostile.name), hog)
        assert "free on the disk" in message
    first = [request.path for request in hostile.requests][:2]
    assert "/blobs/" not in first[0]
    record("a disk without room", "`NoSpaceError` before a blob is asked for")


def test_disk_that_fills_in_the_middle_of_a_download(hostile: HostileServer, tmp_path: Path) -> None:
    app = large_app(2_500_000)
    hostile.serve(app)
    with small_disk(tmp_path / "disk", "size=4m") as disk:
        hog = disk / "hog"

        def fill(event: ProgressEvent) -> None:
            if event.kind == "start" and not hog.exists():
                hog.write_bytes(bytes(2_000_000))

        fails_then_goes_well(disk, app.reference(hostile.name), hog, fill)
    record("a disk (tmpfs) that fills in the middle of a download", "one `NoSpaceError`; the part is gone")


def test_disk_that_fills_while_an_archive_is_unpacked(hostile: HostileServer, tmp_path: Path) -> None:
    app = large_app(1_500_000, packed=True)
    hostile.serve(app)
    with small_disk(tmp_path / "disk", "size=2m") as disk:
        hog = disk / "hog"
        hog.write_bytes(bytes(1_000_000))
        fails_then_goes_well(disk, app.reference(hostile.name), hog)
    record("a disk (tmpfs) that fills while an archive is unpacked", "one `NoSpaceError`; whole members stay")


def test_disk_without_room_for_another_file(hostile: HostileServer, tmp_path: Path) -> None:
    hostile.serve(small_app(1))
    tried = 0
    with small_disk(tmp_path / "disk", "size=4m,nr_inodes=40") as disk:
        for spare in range(2, 16):
            for number in range(60):  # leave `spare` files and folders to be made
                try:
                    (disk / f"hog-{number}").mkdir()
                except OSError:
                    break
            for path in sorted(disk.iterdir())[:spare]:
                path.rmdir()
            try:
                pull(Cache(disk / "cache"), small_app(1).reference(hostile.name), history=OFF)
            except NoSpaceError:
                tried += 1
            judge.assert_whole(disk / "cache")
            shutil.rmtree(disk / "cache", ignore_errors=True)
            for path in disk.iterdir():
                path.rmdir()
        pull(Cache(disk / "cache"), small_app(1).reference(hostile.name), history=OFF)
        assert judge.faults_of(disk / "cache") == []
    assert tried > 5
    record(
        "a disk (tmpfs) without room for another file, at each file",
        "one `NoSpaceError`",
        tried,
    )


def test_disk_that_is_read_only(hostile: HostileServer, tmp_path: Path) -> None:
    hostile.serve(small_app(1), small_app(2))
    old, new = (small_app(n).reference(hostile.name) for n in (1, 2))
    with small_disk(tmp_path / "disk", "size=2m") as disk:
        cache = Cache(disk / "cache")
        pull(cache, old, history=OFF)
        before = judge.whole_blobs(disk / "cache")
        make_read_only(disk)
        assert plan_pull(cache, old).fetch_bytes == 0
        with pytest.raises(CacheWriteError, match=r"(?i)read-only"):
            pull(cache, new, history=OFF)
        assert judge.whole_blobs(disk / "cache") == before
    record("EROFS: a disk that is read-only", "one `CacheWriteError`; plans and frames work")


def pull_elsewhere(folder: str, reference: str, limit: int) -> int:
    """Pull in another process, whose files may be no larger than a limit; the number of bytes fetched."""
    import resource

    import spincache_nb as sc

    if limit:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    return sc.pull(sc.Cache(folder), reference, history=sc.History(enabled=False)).fetch_bytes


def test_limit_on_the_size_of_files(hostile: HostileServer, nobodys_folder: Path) -> None:
    app = large_app(300_000)
    hostile.serve(app)
    reference = app.reference(hostile.name)
    outcome = call(pull_elsewhere, str(nobodys_folder), reference, 100_000, unprivileged=True)
    assert outcome.error_types[0] == "CacheWriteError"
    assert "large" in (outcome.error or "").lower()
    judge.assert_whole(nobodys_folder)
    again = call(pull_elsewhere, str(nobodys_folder), reference, 0, unprivileged=True)
    assert app.content_bytes - 1000 < again.value <= app.content_bytes  # whole blobs of the first were kept
    record("EFBIG: a limit on the size of files (RLIMIT_FSIZE)", "one `CacheWriteError`")


FOLDERS = ("", "registry", "registry/wasm", "registry/data", "registry/manifests", "TAG", "TAG/..")


@pytest.mark.parametrize("mode", [0o555, 0o000, 0o444], ids=oct)
def test_folder_without_rights(hostile: HostileServer, nobodys_folder: Path, mode: int) -> None:
    """Whichever folder it is: a clear error, or none where it does not matter; never a traceback."""
    hostile.serve(small_app(1), small_app(2))
    old, new = (small_app(n).reference(hostile.name) for n in (1, 2))
    tag = "registry/manifests/" + old.replace(":v1", "/v1")
    assert call(pull_elsewhere, str(nobodys_folder), old, 0, unprivileged=True).error is None
    for name in FOLDERS:
        folder = nobodys_folder / name.replace("TAG", tag)
        before = judge.whole_blobs(nobodys_folder)
        reference = old if name == "TAG" else new
        usual = folder.stat().st_mode
        folder.chmod(mode)
        try:
            outcome = call(pull_elsewhere, str(nobodys_folder), reference, 0, unprivileged=True)
            assert outcome.error is None or "CacheError" in outcome.error_types, (name, outcome)
            assert outcome.error is None or "ermission" in outcome.error, (name, outcome)
        finally:
            folder.chmod(usual)
        judge.assert_whole(nobodys_folder)
        assert judge.bytes_lost(before, judge.whole_blobs(nobodys_folder)) == 0
        assert call(pull_elsewhere, str(nobodys_folder), new, 0, unprivileged=True).error is None, name
        shutil.rmtree(nobodys_folder / "registry/manifests" / new.replace(":v2", "/v2"))
    record(
        "EACCES: a folder of the cache without rights, for each folder",
        "one `CacheWriteError` or `CacheError` that names it",
        len(FOLDERS),
    )


def test_blob_that_cannot_be_read(hostile: HostileServer, nobodys_folder: Path) -> None:
    """A blob is there, of the right size, but may not be read: nothing depends on reading it."""
    hostile.serve(small_app(1))
    reference = small_app(1).reference(hostile.name)
    assert call(pull_elsewhere, str(nobodys_folder), reference, 0, unprivileged=True).error is None
    for path in judge.files(nobodys_folder / "registry"):
        usual = path.stat().st_mode
        path.chmod(0)
        outcome = call(pull_elsewhere, str(nobodys_folder), reference, 0, unprivileged=True)
        path.chmod(usual)
        assert outcome.error is None or "CacheError" in outcome.error_types, (path, outcome)
        assert judge.faults_of(nobodys_folder) == []

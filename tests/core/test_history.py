"""The history of pulls: what is written, that it stays bounded and legible, and never in the way."""

import json
import os
import stat
import subprocess
import sys
import warnings
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spincache_nb.core.journal import (
    History,
    HistoryScan,
    HistoryWarning,
    LineFile,
    PullRecord,
)
from tests.support.procs import call

A = "sha256:" + "a" * 64
B = "sha256:" + "b" * 64
LINE = (
    b'{"at":"2026-08-21T08:42:43.500000Z","cache":"/home/ann/.cache/spin/registry",'
    b'"reference":"ghcr.io/o/app:v1","manifest_digest":"' + A.encode() + b'",'
    b'"index_digest":null,"fetch_bytes":30,"reused_bytes":70,"wire_bytes":41,"seconds":1.25}\n'
)
RECORD = PullRecord(
    at=datetime(2026, 8, 21, 8, 42, 43, 500_000, tzinfo=UTC),
    cache="/home/ann/.cache/spin/registry",
    reference="ghcr.io/o/app:v1",
    manifest_digest=A,
    index_digest=None,
    fetch_bytes=30,
    reused_bytes=70,
    wire_bytes=41,
    seconds=1.25,
)


def numbered(number: int, cache: str = "/c") -> PullRecord:
    at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=number)
    return PullRecord(at, cache, "r.io/app:v1", A, B, number, 0, number, 0.5)


def numbers(history: History) -> list[int]:
    return [record.fetch_bytes for record in history.read()]


def test_read_gives_back_the_lines_of_json_that_append_wrote(tmp_path: Path) -> None:
    history = History(tmp_path / "history.jsonl")
    history.append(RECORD)
    assert (tmp_path / "history.jsonl").read_bytes() == LINE
    history.append(numbered(7))
    assert history.read() == (RECORD, numbered(7))
    assert history.scan() == HistoryScan((RECORD, numbered(7)), 0)


def test_read_before_the_first_pull_is_empty_and_creates_nothing(tmp_path: Path) -> None:
    history = History(tmp_path / "state" / "history.jsonl")
    assert history.read() == ()
    assert list(tmp_path.iterdir()) == []


def test_history_is_in_the_state_directory(
    isolated_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    History().append(RECORD)
    state = isolated_home / ".local" / "state" / "spincache-nb"
    assert (state / "history.jsonl").read_bytes() == LINE
    assert not (isolated_home / ".cache").exists()
    monkeypatch.setenv("SPINCACHE_STATE_DIR", str(tmp_path / "own"))
    History().append(RECORD)
    assert (tmp_path / "own" / "history.jsonl").read_bytes() == LINE


def test_append_makes_files_for_this_user_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        path = tmp_path / "state" / "history.jsonl"
        History(path, max_bytes=10).append(RECORD)
        History(path, max_bytes=10).append(RECORD)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert modes == dict.fromkeys(["history.jsonl", "history.jsonl.1", "history.jsonl.lock"], 0o600)


@pytest.mark.parametrize("value", ["off", "OFF", " off ", "0", "no", "false"])
def test_history_is_switched_off_by_the_variable(
    value: str, isolated_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPINCACHE_HISTORY", value)
    History().append(RECORD)
    assert History().read() == ()
    assert list(isolated_home.iterdir()) == []
    told = History(tmp_path / "h", enabled=True)  # the argument goes before the variable
    told.append(RECORD)
    assert told.read() == (RECORD,)
    assert History(tmp_path / "h", enabled=False).read() == ()


@pytest.mark.parametrize("value", ["", "on", "1", "yes"])
def test_history_is_on_otherwise(value: str) -> None:
    assert History(environ={"SPINCACHE_HISTORY": value}).enabled


def test_append_without_a_home_warns_and_goes_on() -> None:
    history = History(environ={})
    assert history.read() == ()
    with pytest.warns(HistoryWarning, match="no home directory"):
        history.append(RECORD)


def in_a_file(folder: Path) -> Path:
    (folder / "file").write_text("not a folder")
    return folder / "file" / "history.jsonl"


def full_disk(folder: Path) -> Path:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    (folder / "history.jsonl").symlink_to("/dev/full")
    return folder / "history.jsonl"


@pytest.mark.parametrize("place", [in_a_file, full_disk])
def test_append_that_fails_is_one_warning_of_one_line(place: Callable[[Path], Path], tmp_path: Path) -> None:
    path = place(tmp_path)
    with pytest.warns(HistoryWarning) as caught:
        History(path).append(RECORD)
    assert len(caught) == 1
    message = str(caught[0].message)
    assert str(path) in message
    assert "\n" not in message
    assert Path(caught[0].filename) == Path(__file__)


def use_history(path: str, what: str) -> tuple[list[str], int]:
    """Append or read in another process; what it warns of, and how many records it read."""
    import warnings
    from datetime import UTC, datetime

    from spincache_nb.core.journal import History, PullRecord

    record = PullRecord(datetime.now(UTC), "/c", "r", "sha256:" + "a" * 64, None, 0, 0, 0, 0.0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = History(path).read() if what == "read" else History(path).append(record)
    return [f"{warning.category.__name__}: {warning.message}" for warning in caught], len(found or ())


def test_append_to_a_folder_without_permission_is_a_warning(roots_folder: Path) -> None:
    path = str(roots_folder / "history.jsonl")
    (message,), _ = call(use_history, path, "append", unprivileged=True).value
    assert message.startswith("HistoryWarning: the pull is not recorded: ")
    assert message.endswith("Permission denied")
    assert list(roots_folder.iterdir()) == []


def test_read_of_a_file_without_permission_is_a_warning(nobodys_folder: Path) -> None:
    path = nobodys_folder / "history.jsonl"
    path.write_bytes(LINE)
    assert call(use_history, str(path), "read", unprivileged=True).value == [[], 1]
    path.chmod(0o000)
    (message,), count = call(use_history, str(path), "read", unprivileged=True).value
    assert message == f"HistoryWarning: the history of pulls is not read: {path}: Permission denied"
    assert count == 0


def test_what_cannot_be_written_is_a_warning(tmp_path: Path) -> None:
    endless = PullRecord(RECORD.at, "/c", "r", A, None, 0, 0, 0, float("inf"))
    with pytest.warns(HistoryWarning):
        History(tmp_path / "h").append(endless)
    history = History("a\0b")
    with pytest.warns(HistoryWarning):
        history.append(RECORD)
    with pytest.warns(HistoryWarning):
        assert history.read() == ()


def handles() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def a_pipe(path: Path) -> None:
    os.mkfifo(path)


def a_link(path: Path) -> None:
    path.with_name("elsewhere").write_bytes(LINE)
    path.symlink_to("elsewhere")


def a_device(path: Path) -> None:
    if os.geteuid():
        pytest.skip("only root makes devices")
    try:
        os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 5))  # /dev/zero, which never ends
    except OSError:
        pytest.skip("no devices here")


def a_huge_file(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 40)


@pytest.mark.parametrize("odd", [Path.mkdir, a_pipe, a_link, a_device, a_huge_file])
@pytest.mark.parametrize(
    ("name", "other"), [("history.jsonl", "history.jsonl.1"), ("history.jsonl.1", "history.jsonl")]
)
def test_read_passes_over_what_is_no_file_of_ours_with_a_warning(
    tmp_path: Path, odd: Callable[[Path], None], name: str, other: str
) -> None:
    odd(tmp_path / name)
    (tmp_path / other).write_bytes(LINE)
    before = handles()
    with pytest.warns(HistoryWarning, match="the history of pulls is not read") as caught:
        assert History(tmp_path / "history.jsonl").read() == (RECORD,)
    assert len(caught) == 1
    assert handles() <= before


@pytest.mark.parametrize("name", ["history.jsonl", "history.jsonl.lock"])
@pytest.mark.parametrize("odd", [Path.mkdir, a_pipe, a_link])
def test_append_in_place_of_what_is_no_file_is_a_warning(
    tmp_path: Path, odd: Callable[[Path], None], name: str
) -> None:
    odd(tmp_path / name)
    with pytest.warns(HistoryWarning, match="the pull is not recorded"):
        History(tmp_path / "history.jsonl").append(RECORD)


@pytest.mark.parametrize("link", [os.link, os.symlink])
def test_two_names_of_one_file_neither_loop_nor_stop_the_limit(
    tmp_path: Path, link: Callable[..., None]
) -> None:
    path = tmp_path / "history.jsonl"
    history = History(path, max_bytes=1000)
    history.append(numbered(0))
    link(path, f"{path}.1")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore" if link is os.symlink else "error")
        assert numbers(history) == [0]
        for number in range(1, 10):
            history.append(numbered(number))
        assert numbers(history)[-1] == 9
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) <= 1000


DAMAGED = [
    b"{",
    b"[]",
    b"null",
    b"1",
    b'"text"',
    b"{}",
    b"\xff\xfe",
    LINE[:-20],
    LINE.replace(b"2026-08-21T08:42:43.500000Z", b"2026-08-21T08:42:43"),  # no time zone
    LINE.replace(b"2026-08-21T08:42:43.500000Z", b"yesterday"),
    LINE.replace(b'"2026-08-21T08:42:43.500000Z"', b"1755765763"),
    LINE.replace(b"2026-08-21T08:42:43.500000Z", b"0001-01-01T00:00:00+23:00"),  # before year 1 in UTC
    LINE.replace(A.encode(), b"sha256:../../x"),
    LINE.replace(b'"index_digest":null', b'"index_digest":""'),
    LINE.replace(b'"fetch_bytes":30', b'"fetch_bytes":-1'),
    LINE.replace(b'"fetch_bytes":30', b'"fetch_bytes":1.5'),
    LINE.replace(b'"fetch_bytes":30', b'"fetch_bytes":true'),
    LINE.replace(b'"fetch_bytes":30', b'"fetch_bytes":"30"'),
    LINE.replace(b'"fetch_bytes":30', b'"fetch_bytes":9223372036854775808'),
    LINE.replace(b'"fetch_bytes":30', b'"other":30'),
    LINE.replace(b"1.25", b"NaN"),
    LINE.replace(b"1.25", b"1e999"),
    LINE.replace(b"1.25", b"-1"),
    LINE.replace(b"1.25", b"null"),
    LINE.replace(b"1.25", b"1" + b"0" * 400),
    LINE.replace(b'"ghcr.io/o/app:v1"', b"null"),
    LINE.replace(b'"/home/ann/.cache/spin/registry"', b"7"),
    b"[" * 60_000,
    b"x" * 200_000,
]


@pytest.mark.parametrize("damage", DAMAGED, ids=range(len(DAMAGED)))
def test_scan_skips_and_counts_what_is_damaged(damage: bytes, tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    path.write_bytes(LINE + damage.rstrip(b"\n") + b"\n" + LINE)
    scan = History(path).scan()
    assert scan.records == (RECORD, RECORD)
    assert scan.damaged == 1 + len(damage) // 65536


def test_scan_passes_over_blank_lines_and_keys_of_a_later_version(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    later = LINE.replace(b"{", b'{"new":{"a":[1]},', 1)
    path.write_bytes(b"\n\n" + later + b"  \r\n" + LINE.rstrip(b"\n") + b"\r\n")
    assert History(path).scan() == HistoryScan((RECORD, RECORD), 0)


def test_append_starts_afresh_after_a_torn_line(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    path.write_bytes(LINE + LINE[:50])
    history = History(path)
    history.append(RECORD)
    assert history.scan() == HistoryScan((RECORD, RECORD), 1)
    assert path.read_bytes() == LINE + LINE[:50] + b"\n" + LINE


def test_history_keeps_the_newest_within_its_limit(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    history = History(path, max_bytes=4000)
    for number in range(100):
        history.append(numbered(number))
        assert sum(file.stat().st_size for file in tmp_path.iterdir()) <= 4000
        kept = numbers(history)
        assert kept == list(range(number + 1 - len(kept), number + 1))
        size = len(numbered(100).to_line())
        assert len(kept) >= min(number + 1, 2000 // size)
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "history.jsonl",
        "history.jsonl.1",
        "history.jsonl.lock",
    ]


def test_read_sees_no_record_twice_while_the_file_is_renamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between opening the newer and the older file, another process renames the newer."""
    path = tmp_path / "history.jsonl"
    path.write_bytes(LINE)
    opened = os.open
    times: list[int] = []

    def open_and_rename(name: Any, *args: Any, **kwargs: Any) -> int:
        fd = opened(name, *args, **kwargs)
        if not times and name == path:
            times.append(1)
            path.replace(tmp_path / "history.jsonl.1")
        return fd

    monkeypatch.setattr("spincache_nb.core.journal.os.open", open_and_rename)
    assert History(path).read() == (RECORD,)
    assert times


WRITER = """
import sys
from spincache_nb.core.journal import History
from tests.core.test_history import numbered
path, name, limit = sys.argv[1:]
history = History(path, max_bytes=int(limit))
for number in range(150):
    history.append(numbered(number, cache=name))
"""


@pytest.mark.parametrize("limit", [10_000_000, 200_000])
def test_append_by_several_processes_loses_and_mixes_nothing(limit: int, tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    root = Path(__file__).parent.parent.parent
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(path), f"/{name}", str(limit)], cwd=root)
        for name in range(4)
    ]
    assert [writer.wait() for writer in writers] == [0, 0, 0, 0]
    scan = History(path).scan()
    assert scan.damaged == 0
    assert len(numbered(1).to_line()) * 600 < 200_000 * 2
    for name in range(4):
        mine = [record.fetch_bytes for record in scan.records if record.cache == f"/{name}"]
        assert mine == list(range(150 - len(mine), 150))
        assert len(mine) == 150 or limit == 200_000


def test_append_does_not_wait_for_ever_for_the_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fcntl = pytest.importorskip("fcntl")
    monkeypatch.setattr("spincache_nb.core.settings.HISTORY_LOCK_SECONDS", 0.05)
    path = tmp_path / "history.jsonl"
    with (tmp_path / "history.jsonl.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        history = History(path, max_bytes=10)
        history.append(numbered(1))
        history.append(numbered(2))
    assert numbers(history) == [1, 2]
    assert not (tmp_path / "history.jsonl.1").exists()


def test_append_works_where_there_are_no_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(fd: int) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("spincache_nb.core.journal._try_lock", refuse)
    LineFile(tmp_path / "lines", max_bytes=100).append(b"one\n")
    assert LineFile(tmp_path / "lines", max_bytes=100).read("x") == [b"one\n"]


@pytest.mark.parametrize("busy", [0, 3])
def test_append_locks_the_windows_way_where_that_is_the_way(
    busy: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows itself is not at hand: this shows what is asked of it, not what it does."""
    asked: list[tuple[int, int]] = []

    def locking(fd: int, mode: int, count: int) -> None:
        asked.append((mode, count))
        if len(asked) <= busy:
            raise PermissionError(13, "Permission denied")

    monkeypatch.setitem(sys.modules, "fcntl", None)
    monkeypatch.setitem(sys.modules, "msvcrt", SimpleNamespace(LK_NBLCK=2, locking=locking))
    history = History(tmp_path / "history.jsonl")
    history.append(RECORD)
    assert asked == [(2, 1)] * (busy + 1)
    assert history.read() == (RECORD,)


def test_record_is_kept_in_utc_and_needs_a_time_zone() -> None:
    local = datetime(2026, 8, 21, 10, 42, 43, 500_000, tzinfo=timezone(timedelta(hours=2)))
    record = PullRecord(local, RECORD.cache, RECORD.reference, A, None, 30, 70, 41, 1.25)
    assert record == RECORD
    assert record.to_line() == LINE
    with pytest.raises(ValueError, match="time zone"):
        PullRecord(datetime(2026, 1, 1), "/c", "r", A, None, 0, 0, 0, 0.0)


counts = st.integers(0, 2**63 - 1)
records = st.builds(
    PullRecord,
    at=st.datetimes(timezones=st.just(UTC)),
    cache=st.text() | st.binary().map(os.fsdecode),
    reference=st.text(),
    manifest_digest=st.sampled_from([A, B]),
    index_digest=st.sampled_from([None, A, B]),
    fetch_bytes=counts,
    reused_bytes=counts,
    wire_bytes=counts,
    seconds=st.floats(0, 1e9),
)


@given(records)
def test_line_and_record_are_inverse(record: PullRecord) -> None:
    line = record.to_line()
    assert line.isascii()
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert PullRecord.parse(line) == record
    assert set(json.loads(line)) == set(PullRecord.__struct_fields__)

"""Files that are being written: made anew or not at all, through no link, for no more people than meant."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from spincache_nb import Cache, History, export, pull
from tests.faults import judge
from tests.faults.places import small_app
from tests.support.hostile import HostileServer


@pytest.fixture
def reference(hostile: HostileServer) -> str:
    hostile.serve(small_app(1))
    return small_app(1).reference(hostile.name)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Name and flags of every file that was opened to be made."""
    found: list[tuple[str, int]] = []
    honest = os.open

    def noted(path: object, flags: int, *arguments: object, **options: object) -> int:
        if flags & os.O_CREAT:
            folder = f"/proc/self/fd/{options['dir_fd']}" if options.get("dir_fd") is not None else ""
            found.append((str(Path(folder).resolve() / os.fsdecode(path)), flags))  # type: ignore[arg-type]
        return honest(path, flags, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", noted)
    return found


@pytest.fixture(params=[0o022, 0o077, 0o000, 0o027], ids=lambda mask: f"umask {mask:03o}")
def mask(request: pytest.FixtureRequest) -> Iterator[int]:
    """The rights that the user withholds from new files."""
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def test_every_file_of_a_pull_is_made_exclusively_under_a_name_that_cannot_be_guessed(
    tmp_path: Path, reference: str, made: list[tuple[str, int]]
) -> None:
    history = History(tmp_path / "state/h")
    pull(Cache(tmp_path / "cache"), reference, history=history)
    export(Cache(tmp_path / "cache"), reference, tmp_path / "out.tar", history=history)
    below = [
        (name, flags) for name, flags in made if name.startswith(str(tmp_path)) and "/state/" not in name
    ]
    assert len(below) > 6
    for name, flags in below:
        assert Path(name).name.startswith(".spincache-")
        assert flags & os.O_EXCL, name
        assert flags & os.O_NOFOLLOW, name
        assert flags & os.O_CLOEXEC, name
    parts = [Path(name).name.rpartition("-")[2] for name, _ in below]
    assert all(len(part) == 16 and int(part, 16) >= 0 for part in parts)
    assert len(set(parts)) == len(parts)
    state = [flags for name, flags in made if "/state/" in name]
    assert all(flags & os.O_NOFOLLOW for flags in state)


def test_modes_are_those_of_ordinary_new_files(tmp_path: Path, reference: str, mask: int) -> None:
    """As Spin's own writes: what the umask leaves of 0666, never executable."""
    pull(Cache(tmp_path / "cache"), reference, history=History(tmp_path / "state/h"))
    for path in judge.files(tmp_path / "cache"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~mask, path
    for path in (tmp_path / "cache").rglob("*"):
        if path.is_dir():
            assert stat.S_IMODE(path.stat().st_mode) == 0o777 & ~mask, path
    for path in (tmp_path / "state").rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_temporary_file_that_is_there_already_is_not_touched(
    tmp_path: Path, reference: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even a name that somebody did guess leads nowhere."""
    from spincache_nb.core import removing
    from spincache_nb.errors import CacheWriteError

    monkeypatch.setattr(removing.secrets, "token_hex", lambda count: "00" * count)
    trap = tmp_path / "cache/registry/data" / f".spincache-{os.getpid()}-{'00' * 8}"
    other = tmp_path / "other"
    other.write_bytes(b"mine")
    trap.parent.mkdir(parents=True)
    trap.symlink_to(other)
    with pytest.raises(CacheWriteError):
        Cache(tmp_path / "cache").put_unnamed([b"x"])
    assert other.read_bytes() == b"mine"

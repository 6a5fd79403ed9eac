"""A file of lines that only grows at its end, never beyond a limit, and may have many writers."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

LONGEST_LINE = 64 << 10
"""Bytes after which a line is cut when read; none that is written here comes near."""

_LOCK_SECONDS = 2.0
_WRITE_FLAGS = (
    os.O_RDWR
    | os.O_CREAT
    | getattr(os, "O_NOFOLLOW", 0)  # a link in the file's place is nobody's history
    | getattr(os, "O_NONBLOCK", 0)  # nor is a pipe
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)


class LineFile:
    """Lines in two files: the newer one grows; when it is full it takes the older one's place."""

    def __init__(self, path: Path, *, max_bytes: int) -> None:
        self.path = path
        self.older = path.with_name(path.name + ".1")
        self.max_bytes = max_bytes

    def append(self, line: bytes) -> None:
        """Add one line, made of one write, so that lines of several processes never mix."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _locked(self.path.with_name(self.path.name + ".lock")) as alone:
            if alone:  # else another writer is at work, and makes room when it must
                self._make_room(len(line))
            _write_at_end(self.path, line)

    def read(self) -> list[bytes]:
        """All lines, oldest first, blank ones left out."""
        while True:
            with ExitStack() as stack:
                found = [_open_if_there(path) for path in (self.path, self.older)]
                files = [stack.enter_context(file) for file in found if file is not None]
                if len({_identity(file) for file in files}) < len(files):
                    continue  # renamed between the two: the same file twice
                return [line for file in reversed(files) for line in _lines(file)]

    def _make_room(self, count: int) -> None:
        with suppress(FileNotFoundError):
            if self.path.stat().st_size + count > self.max_bytes // 2:
                self.path.replace(self.older)


def _write_at_end(path: Path, line: bytes) -> None:
    fd = os.open(path, _WRITE_FLAGS | os.O_APPEND, 0o600)
    try:
        if os.lseek(fd, 0, os.SEEK_END) > 0:  # keep apart from a line that a full disk tore
            os.lseek(fd, -1, os.SEEK_END)
            line = line if os.read(fd, 1) == b"\n" else b"\n" + line
        if os.write(fd, line) != len(line):
            raise OSError("the disk is full")
    finally:
        os.close(fd)


@contextmanager
def _locked(path: Path) -> Iterator[bool]:
    """Be the only writer, if that can be had soon; yields whether it could."""
    fd = os.open(path, _WRITE_FLAGS, 0o600)
    try:
        yield _acquire(fd, time.monotonic() + _LOCK_SECONDS)
    finally:
        os.close(fd)  # gives the lock back


def _acquire(fd: int, deadline: float) -> bool:
    while True:
        try:
            _try_lock(fd)
        except (BlockingIOError, PermissionError):  # in use, as flock and as Windows say it
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.01)
        except OSError:  # a file system without locks
            return False
        else:
            return True


def _try_lock(fd: int) -> None:
    try:
        import fcntl
    except ImportError:
        import msvcrt

        windows: Any = msvcrt  # whose functions type checkers know on Windows only
        windows.locking(fd, windows.LK_NBLCK, 1)
    else:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _open_if_there(path: Path) -> BinaryIO | None:
    try:
        return path.open("rb")
    except FileNotFoundError:
        return None


def _identity(file: BinaryIO) -> tuple[int, int]:
    status = os.fstat(file.fileno())
    return status.st_dev, status.st_ino


def _lines(file: BinaryIO) -> Iterator[bytes]:
    while line := file.readline(LONGEST_LINE):
        if line.strip():
            yield line

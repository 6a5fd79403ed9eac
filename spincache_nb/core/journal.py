"""This toolkit's own record of pulls: which digest a tag meant when, and what it cost.

Spin records none of it. The record is a file of JSON lines in this toolkit's state directory, never
in Spin's cache. It holds no credentials: a reference and a cache's path are all that names anything.
"""

from __future__ import annotations

import errno
import json
import math
import os
import stat
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from spincache_nb.core import settings
from spincache_nb.core.digest import Digest
from spincache_nb.core.paths import state_dir
from spincache_nb.errors import FormatError

HISTORY_VARIABLE = "SPINCACHE_HISTORY"
"""Environment variable that switches the history off (``off``, ``0``, ``no`` or ``false``)."""

_OFF = frozenset({"off", "0", "no", "false"})
_MAX_COUNT = (1 << 63) - 1
_FLAGS = (
    getattr(os, "O_NOFOLLOW", 0)  # a link in the file's place is nobody's history
    | getattr(os, "O_NONBLOCK", 0)  # opening a pipe must not wait for its other end
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)


class HistoryWarning(UserWarning):
    """A pull was done but could not be recorded, or the record could not be read."""


class PullRecord(msgspec.Struct, frozen=True):
    """One pull: when it ended (UTC), into which cache, what the reference meant, and what it cost."""

    at: datetime
    cache: str
    reference: str
    manifest_digest: str
    index_digest: str | None
    fetch_bytes: int
    reused_bytes: int
    wire_bytes: int
    seconds: float

    def __post_init__(self) -> None:
        if self.at.tzinfo is None:
            raise ValueError("a pull is recorded in UTC: `at` needs a time zone")
        msgspec.structs.force_setattr(self, "at", self.at.astimezone(UTC))

    def to_line(self) -> bytes:
        """The pull as one line of ASCII, with the line's end."""
        document = msgspec.structs.asdict(self)
        document["at"] = self.at.isoformat(timespec="microseconds").replace("+00:00", "Z")
        return json.dumps(document, separators=(",", ":"), allow_nan=False).encode("ascii") + b"\n"

    @classmethod
    def parse(cls, line: bytes) -> PullRecord | None:
        """Read a line back; None where it is not a pull. Unknown keys are passed over."""
        try:
            document = json.loads(line)
            index = document.get("index_digest")
            return cls(
                at=datetime.fromisoformat(document["at"]),
                cache=_text(document["cache"]),
                reference=_text(document["reference"]),
                manifest_digest=str(Digest.parse(document["manifest_digest"])),
                index_digest=str(Digest.parse(index)) if index is not None else None,
                fetch_bytes=_count(document["fetch_bytes"]),
                reused_bytes=_count(document["reused_bytes"]),
                wire_bytes=_count(document["wire_bytes"]),
                seconds=_duration(document["seconds"]),
            )
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError, FormatError):
            return None


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("not text")
    return value


def _count(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _MAX_COUNT:
        raise ValueError("not a number of bytes")
    return value


def _duration(value: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise TypeError("not a number")
    seconds = float(value)
    if not math.isfinite(seconds) or seconds < 0:
        raise ValueError("not a duration")
    return seconds


class HistoryScan(msgspec.Struct, frozen=True):
    """What the record holds: the legible pulls, oldest first, and how many lines are damaged."""

    records: tuple[PullRecord, ...]
    damaged: int


class History:
    """The record of pulls on this machine.

    Parameters
    ----------
    path
        File of JSON lines; ``history.jsonl`` in the state directory by default. The files beside it
        with ``.1`` and ``.lock`` at the end of their names belong to it.
    enabled
        Whether to write and read at all; by default unless ``SPINCACHE_HISTORY`` says off.
    max_bytes
        Limit of the whole record in bytes; the oldest pulls go first.
    environ
        Variables to go by; those of the process by default.

    Notes
    -----
    Making one touches nothing. `append` makes the file, for this user alone (mode 0600).

    Examples
    --------
    >>> History(enabled=False).read()
    ()
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        enabled: bool | None = None,
        *,
        max_bytes: int = settings.HISTORY_BYTES,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.enabled = switched_on(environ) if enabled is None else enabled
        if path is None and self.enabled:
            folder = state_dir(environ=environ)
            path = folder / "history.jsonl" if folder is not None else None
        self.path = Path(path) if path is not None else None
        self.max_bytes = max_bytes

    def append(self, record: PullRecord) -> None:
        """Add one pull; a record that cannot be written is a `HistoryWarning`."""
        if not self.enabled:
            return
        if self.path is None:
            _warn("the pull is not recorded: there is no home directory to record it in")
            return
        try:
            LineFile(self.path, max_bytes=self.max_bytes).append(record.to_line())
        except (OSError, ValueError) as exc:
            _warn(f"the pull is not recorded: {_reason(exc, self.path)}")

    def read(self) -> tuple[PullRecord, ...]:
        """Read all pulls that are legible, oldest first; a file that cannot be read is a `HistoryWarning`."""
        return self.scan().records

    def scan(self) -> HistoryScan:
        """Read all pulls that are legible, and count the lines that are not."""
        if not self.enabled or self.path is None:
            return HistoryScan((), 0)
        lines = LineFile(self.path, max_bytes=self.max_bytes).read("the history of pulls")
        rows = [PullRecord.parse(line) for line in lines]
        records = tuple(row for row in rows if row is not None)
        return HistoryScan(records, len(rows) - len(records))

    def manifest_digests(self, cache: os.PathLike[str]) -> dict[str, list[Digest]]:
        """Digests that manifests had when they were pulled into a cache, latest first, by reference."""
        places = {os.fspath(cache), os.fspath(Path(cache).absolute())}
        known: dict[str, dict[Digest, None]] = {}
        for record in reversed(self.read()):
            if record.cache in places:
                known.setdefault(record.reference, {})[Digest.parse(record.manifest_digest)] = None
        return {reference: list(digests) for reference, digests in known.items()}


def switched_on(environ: Mapping[str, str] | None = None) -> bool:
    """Whether ``SPINCACHE_HISTORY`` lets this toolkit keep records."""
    variables = os.environ if environ is None else environ
    return variables.get(HISTORY_VARIABLE, "").strip().lower() not in _OFF


def _reason(exc: Exception, path: Path) -> str:
    return f"{path}: {getattr(exc, 'strerror', None) or exc}"


def _warn(message: str, *, stacklevel: int = 3) -> None:
    warnings.warn(message, HistoryWarning, stacklevel=stacklevel)


class LineFile:
    """Lines in two files: the newer one grows at its end; when full, it takes the older one's place.

    Many processes may write at once. Nothing but a regular file is written or read.
    """

    def __init__(self, path: Path, *, max_bytes: int) -> None:
        self.path = path
        self.older = path.with_name(path.name + ".1")
        self.max_bytes = max_bytes

    def append(self, line: bytes) -> None:
        """Add one pull; a record that cannot be written is a `HistoryWarning`."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _locked(self.path.with_name(self.path.name + ".lock")) as alone:
            if alone:  # else another writer is at work, and makes room when it must
                self._make_room(len(line))
            _write_at_end(self.path, line)

    def read(self, what: str) -> list[bytes]:
        """Read all pulls that are legible, oldest first; a file that cannot be read is a `HistoryWarning`."""
        found: list[list[bytes]] = []
        seen: set[tuple[int, int]] = set()
        for path in (self.path, self.older):  # newer first: a rename in between shows one file twice
            try:
                found.append(_read_lines(path, seen))
            except FileNotFoundError:
                continue
            except (OSError, ValueError) as exc:
                _warn(f"{what} is not read: {_reason(exc, path)}", stacklevel=4)
        return [line for lines in reversed(found) for line in lines]

    def _make_room(self, count: int) -> None:
        with suppress(FileNotFoundError):
            newer = self.path.lstat()
            if newer.st_size + count <= self.max_bytes // 2:
                return
            with suppress(FileNotFoundError):
                if os.path.samestat(newer, self.older.lstat()):
                    self.path.unlink()  # two names of one file, which no rename would part
                    return
            self.path.replace(self.older)


def _read_lines(path: Path, seen: set[tuple[int, int]]) -> list[bytes]:
    """Lines of a file, no more of it than there is now; none of one that was seen already."""
    fd = _open_regular(path, os.O_RDONLY)
    with open(fd, "rb") as file:  # noqa: PTH123 - a descriptor, not a path
        status = os.fstat(fd)
        left = status.st_size
        if left > settings.HISTORY_READ_BYTES:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
        if (status.st_dev, status.st_ino) in seen:
            return []
        seen.add((status.st_dev, status.st_ino))
        lines = []
        while left and (line := file.readline(min(left, settings.HISTORY_LINE_BYTES))):
            left -= len(line)
            lines.append(line)
        return [line for line in lines if line.strip()]


def _open_regular(path: Path, flags: int) -> int:
    fd = os.open(path, flags | _FLAGS, 0o600)
    if stat.S_ISREG(os.fstat(fd).st_mode):
        return fd
    os.close(fd)
    raise OSError(errno.EINVAL, "not a regular file")


def _write_at_end(path: Path, line: bytes) -> None:
    fd = _open_regular(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
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
    fd = _open_regular(path, os.O_RDWR | os.O_CREAT)
    try:
        yield _acquire(fd, time.monotonic() + settings.HISTORY_LOCK_SECONDS)
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

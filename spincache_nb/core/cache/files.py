"""Opening and replacing single files, so that no link is followed and nothing is half-written."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from spincache_nb.core.cache.layout import TEMPORARY_PREFIX, shown
from spincache_nb.core.digest import CHUNK_BYTES
from spincache_nb.errors import CacheError, CacheWriteError, LimitError, NoSpaceError, NotInCacheError

_READ_FLAGS = (
    os.O_RDONLY
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)  # a pipe in a blob's place must not hang us
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)
_CREATE_FLAGS = (
    os.O_WRONLY
    | os.O_CREAT
    | os.O_EXCL
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)


_ATTEMPTS = 20
_FURTHER_BYTES = 64 << 10


def open_regular(path: str | Path) -> BinaryIO:
    """Open a regular file for reading, and nothing else."""
    descriptor, _ = _opened(path)
    return os.fdopen(descriptor, "rb", buffering=0)


def _opened(path: str | Path) -> tuple[int, os.stat_result]:
    """Open a regular file: its descriptor, and what the system says of it."""
    try:
        descriptor = os.open(path, _READ_FLAGS)
    except OSError as exc:
        if exc.errno in (errno.ENOENT, errno.ENOTDIR):
            raise NotInCacheError(shown(str(path)), "a file", "nothing", "pull the app again") from exc
        if exc.errno == errno.ELOOP:
            raise NotInCacheError(
                shown(str(path)), "a regular file", "a symbolic link", "remove the link"
            ) from exc
        raise CacheError(
            shown(str(path)), "a readable file", exc.strerror or str(exc), "check its permissions"
        ) from exc
    try:
        info = os.fstat(descriptor)
    except BaseException as exc:
        os.close(descriptor)
        if isinstance(exc, OSError):
            raise _refused(path, exc) from exc
        raise
    if not stat.S_ISREG(info.st_mode):
        os.close(descriptor)
        raise NotInCacheError(shown(str(path)), "a regular file", "something else", "remove what is there")
    return descriptor, info


@contextlib.contextmanager
def explained_reads(path: str | Path) -> Iterator[None]:
    """Turn the system's refusal to read into one of our errors."""
    try:
        yield
    except OSError as exc:
        raise _refused(path, exc) from exc


def _refused(path: str | Path, error: OSError) -> CacheError:
    return CacheError(shown(str(path)), "a readable file", error.strerror or str(error), "check the disk")


def read_chunks(stream: BinaryIO, path: Path) -> Iterator[bytes]:
    """Read a stream to its end in chunks of 1 MiB."""
    while True:
        with explained_reads(path):
            chunk = stream.read(CHUNK_BYTES)
        if not chunk:
            return
        yield chunk


def read_bounded(path: str | Path, *, limit: int) -> bytes:
    """Read a whole small file."""
    descriptor, info = _opened(path)
    try:
        size = info.st_size
        if size > limit:
            raise LimitError(
                shown(str(path)), f"at most {limit} bytes", f"{size}", "it is not a document Spin wrote"
            )
        parts = []
        left = limit + 1
        wanted = size + 1  # a buffer of the limit for each of many small files costs more than reading them
        while left and (chunk := os.read(descriptor, min(left, wanted))):
            parts.append(chunk)
            left -= len(chunk)
            wanted = _FURTHER_BYTES
        return b"".join(parts)
    except OSError as exc:
        raise _refused(path, exc) from exc
    finally:
        os.close(descriptor)


def regular_size(path: str | Path) -> int | None:
    """Size in bytes of a regular file, or None where there is none (a link does not count)."""
    try:
        info = os.lstat(path)
    except (OSError, ValueError):
        return None
    return info.st_size if stat.S_ISREG(info.st_mode) else None


def is_folder(path: Path) -> bool:
    """Whether a path is a directory, or a link to one; what cannot be looked at is none."""
    try:
        return path.is_dir()
    except OSError:
        return False


def is_gone(path: Path) -> bool:
    """Whether there is nothing of that name; what cannot be looked at may be there."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


def is_link(path: str | Path) -> bool:
    """Whether a path is a symbolic link; what cannot be looked at is none."""
    return os.path.islink(path)  # noqa: PTH114 - on text, since a pull asks often


def make_directory(path: Path, *, root: Path) -> list[Path]:
    """Create a directory below the cache's root, following no link below it."""
    with contextlib.suppress(OSError):
        if path.parent == root and _is_directory(path, follow=False):
            return []  # as for nearly every blob
    for attempt in range(_ATTEMPTS):
        try:
            return _make_chain(path, root)
        except CacheWriteError as exc:  # somebody removes empty directories at this moment
            if not isinstance(exc.__cause__, FileNotFoundError) or attempt + 1 == _ATTEMPTS:
                raise
    return []


def new_file_in(path: Path, *, root: Path, durable: bool = False) -> tuple[NewFile, list[Path]]:
    """Create a directory, as `make_directory`, and a temporary file in it before anybody removes it."""
    created: list[Path] = []
    for _ in range(_ATTEMPTS - 1):
        created += make_directory(path, root=root)
        try:
            return NewFile(path, durable=durable), created
        except CacheWriteError as exc:
            if not isinstance(exc.__cause__, FileNotFoundError):
                remove_if_empty(created)
                raise
    created += make_directory(path, root=root)
    return NewFile(path, durable=durable), created


def _make_chain(path: Path, root: Path) -> list[Path]:
    created: list[Path] = []
    chain = [root, *reversed([p for p in [path, *path.parents] if root in p.parents])]
    with refused_writes(path):
        for step in chain:
            if _is_directory(step, follow=step == root):
                continue
            if step == root:
                step.mkdir(parents=True, exist_ok=True)
            else:
                with contextlib.suppress(FileExistsError):
                    step.mkdir()
                    created.append(step)
            if not _is_directory(step, follow=step == root):
                if not step.exists() and not is_link(step):
                    raise FileNotFoundError(errno.ENOENT, "the folder was removed again")
                raise CacheWriteError(
                    shown(str(step)), "a directory", "something else", "remove what is there"
                )
    return created


def remove_if_empty(directories: list[Path]) -> None:
    """Remove directories that this process made and then had no use for, innermost first."""
    for directory in reversed(directories):
        with contextlib.suppress(OSError):
            directory.rmdir()


@contextlib.contextmanager
def refused_writes(path: str | Path) -> Iterator[None]:
    """Turn the system's refusal to write into one of our errors."""
    try:
        yield
    except OSError as exc:
        if exc.errno in (errno.ENOSPC, errno.EDQUOT):
            raise NoSpaceError(
                shown(str(path)),
                "room on the disk",
                exc.strerror or str(exc),
                "free some space, then pull again: what was stored completely is kept",
            ) from exc
        raise CacheWriteError(
            shown(str(path)),
            "to write in the cache",
            exc.strerror or str(exc),
            "check permissions and the disk, or name another directory with Cache(dir)",
        ) from exc


class NewFile:
    """A uniquely named temporary file that replaces its target in one step, or vanishes."""

    def __init__(self, directory: Path, *, durable: bool = False) -> None:
        self.directory = directory
        self.durable = durable
        name = f"{TEMPORARY_PREFIX}{os.getpid()}-{secrets.token_hex(8)}"
        self._location = os.path.join(directory, name)  # noqa: PTH118 - text, since a pull makes many
        with refused_writes(self._location):
            self._descriptor = os.open(self._location, _CREATE_FLAGS, 0o666)
        self._open = True

    def write(self, chunk: bytes | memoryview) -> None:
        """Write all of a chunk."""
        with refused_writes(self._location):
            written = os.write(self._descriptor, chunk)
            while written < len(chunk):
                written += os.write(self._descriptor, memoryview(chunk)[written:])

    def stream(self) -> BinaryIO:
        """Another handle on the file, for code that writes to a stream; the caller closes it."""
        return os.fdopen(os.dup(self._descriptor), "wb")

    def replace(self, target: str | Path) -> None:
        """Give the file its final name, in place of whatever file has it."""
        try:
            with refused_writes(target):
                if self.durable:
                    os.fsync(self._descriptor)
                self._close()
                os.replace(self._location, target)  # noqa: PTH105
                if self.durable and os.name != "nt":
                    _sync_directory(self.directory)
        except BaseException:
            self.discard()
            raise

    def discard(self) -> None:
        """Remove the file, if it still has its temporary name."""
        self._close()
        with contextlib.suppress(OSError):
            os.unlink(self._location)  # noqa: PTH108

    def _close(self) -> None:
        if self._open:
            self._open = False
            os.close(self._descriptor)


def _is_directory(path: Path, *, follow: bool) -> bool:
    try:
        info = os.stat(path, follow_symlinks=follow)  # noqa: PTH116
    except FileNotFoundError:
        return False
    return stat.S_ISDIR(info.st_mode)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

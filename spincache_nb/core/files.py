"""Looking at files and folders, and opening them, so that no link is followed below ``registry``.

A folder is opened step by step from ``registry`` down, and its files are named relative to that handle: a
folder that is swapped for a link meanwhile leads nowhere else. Where the system has none (Windows),
every step is looked at again before each use.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Literal, Self

import msgspec

from spincache_nb.core.digest import CHUNK_BYTES
from spincache_nb.core.layout import shown
from spincache_nb.errors import CacheError, CacheWriteError, LimitError, NoSpaceError, NotInCacheError

Parts = tuple[str, ...]
"""Names from the ``registry`` directory down to a file or folder."""

_BY_HANDLE = {os.open, os.stat, os.access, os.unlink, os.rename, os.link, os.rmdir, os.mkdir, os.utime}
HAS_HANDLES = os.supports_dir_fd >= _BY_HANDLE and os.scandir in os.supports_fd

_CAN_TOUCH_LINKS = os.utime in os.supports_follow_symlinks
_COMMON_FLAGS = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
_READ_FLAGS = (
    os.O_RDONLY
    | _COMMON_FLAGS
    | getattr(os, "O_NONBLOCK", 0)  # a pipe in a blob's place must not hang us
    | getattr(os, "O_BINARY", 0)
)
_CREATE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _COMMON_FLAGS | getattr(os, "O_BINARY", 0)
_LIST_FLAGS = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | _COMMON_FLAGS
_STEP_FLAGS = _LIST_FLAGS | getattr(os, "O_PATH", 0)  # needs no right to list a folder on the way

_ATTEMPTS = 20
_FURTHER_BYTES = 64 << 10
Kind = Literal["file", "folder", "link", "other", "hidden"]

_KINDS: dict[int, Kind] = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "folder",
    stat.S_IFLNK: "link",
}
_LINK_TAGS = (0xA000000C, 0xA0000003)
"""Reparse tags of symbolic links and junctions (Windows)."""


class FileState(msgspec.Struct, frozen=True):
    """What tells a file from another that took its place, or from itself after it was touched."""

    device: int
    inode: int
    size: int
    modified_ns: int
    kind: Kind
    links: int = 1

    def _identity(self) -> tuple[object, ...]:
        return self.device, self.inode, self.size, self.modified_ns, self.kind

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FileState) and self._identity() == other._identity()

    def __hash__(self) -> int:
        return hash(self._identity())

    @classmethod
    def of(cls, info: os.stat_result) -> FileState:
        """Take it from what the system says."""
        is_link = getattr(info, "st_reparse_tag", 0) in _LINK_TAGS
        kind: Kind = "link" if is_link else _KINDS.get(stat.S_IFMT(info.st_mode), "other")
        return cls(info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns, kind, info.st_nlink)

    @classmethod
    def at(cls, path: str | Path) -> FileState | None:
        """Look at a path itself, not at what a link leads to; None if there is nothing of that name."""
        try:
            return cls.of(os.lstat(path))
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return None
        except OSError:
            return cls(0, 0, 0, 0, "hidden")  # there may be something; the system does not let us look

    @property
    def is_file(self) -> bool:
        """Whether it is a regular file."""
        return self.kind == "file"

    @property
    def is_folder(self) -> bool:
        """Whether it is a directory, and not a link to one."""
        return self.kind == "folder"


def open_regular(path: str | Path, *, folder: Folder | None = None) -> BinaryIO:
    """Open a regular file for reading, and nothing else; by its name if its folder is given."""
    descriptor, _ = _opened(path, folder)
    return os.fdopen(descriptor, "rb", buffering=0)


def read_bounded(path: str | Path, *, limit: int) -> bytes:
    """Read a whole small file."""
    return read_stated(path, limit=limit)[0]


def read_stated(path: str | Path, *, limit: int) -> tuple[bytes, os.stat_result]:
    """Read a whole small file; also give what the system said of it before."""
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
        return b"".join(parts), info
    except OSError as exc:
        raise _unreadable(path, exc, "check the disk") from exc
    finally:
        os.close(descriptor)


def read_chunks(stream: BinaryIO, path: str | Path) -> Iterator[bytes]:
    """Read a stream to its end in chunks of 1 MiB."""
    while True:
        with explained_reads(path):
            chunk = stream.read(CHUNK_BYTES)
        if not chunk:
            return
        yield chunk


def _opened(path: str | Path, folder: Folder | None = None) -> tuple[int, os.stat_result]:
    """Open a regular file: its descriptor, and what the system says of it."""
    where = path if folder is None else folder.path / path
    try:
        if folder is None:
            descriptor = os.open(path, _READ_FLAGS)
        else:
            descriptor = os.open(folder.name(str(path)), _READ_FLAGS, dir_fd=folder.handle)
    except OSError as exc:
        if exc.errno in (errno.ENOENT, errno.ENOTDIR):
            raise NotInCacheError(shown(str(where)), "a file", "nothing", "pull the app again") from exc
        if exc.errno == errno.ELOOP:
            found = "a symbolic link"
            raise NotInCacheError(shown(str(where)), "a regular file", found, "remove the link") from exc
        raise _unreadable(where, exc, "check its permissions") from exc
    try:
        info = os.fstat(descriptor)
    except BaseException as exc:
        os.close(descriptor)
        if isinstance(exc, OSError):
            raise _unreadable(where, exc, "check the disk") from exc
        raise
    if not stat.S_ISREG(info.st_mode):
        os.close(descriptor)
        raise NotInCacheError(shown(str(where)), "a regular file", "something else", "remove what is there")
    return descriptor, info


@contextlib.contextmanager
def explained_reads(path: str | Path) -> Iterator[None]:
    """Turn the system's refusal to read into one of our errors."""
    try:
        yield
    except OSError as exc:
        raise _unreadable(path, exc, "check the disk") from exc


class RefusedWrites:
    """Turns the system's refusal to write a path, or a name in it, into one of our errors.

    A class, since a pull enters it several times for each blob, and a generator costs twice as much.
    """

    __slots__ = ("_name", "_path")

    def __init__(self, path: str | Path, name: str = "") -> None:
        self._path = path
        self._name = name

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, exc: BaseException | None, _trace: object) -> None:
        if not isinstance(exc, OSError):
            return
        where, found = shown(str(Path(self._path, self._name))), exc.strerror or str(exc)
        if exc.errno in (errno.ENOSPC, errno.EDQUOT):
            remedy = "free some space, then pull again: what was stored completely is kept"
            raise NoSpaceError(where, "room on the disk", found, remedy) from exc
        remedy = "check permissions and the disk, or name another directory with Cache(dir)"
        raise CacheWriteError(where, "to write in the cache", found, remedy) from exc


def _unreadable(path: str | Path, error: OSError, remedy: str) -> CacheError:
    return CacheError(shown(str(path)), "a readable file", error.strerror or str(error), remedy)


class Folder:
    """A folder of the cache that is held open: what is done in it is done nowhere else; a context manager.

    With `linked_root` the root may be a link to a folder, as a ``registry`` moved to another disk is.
    """

    def __init__(self, root: Path, parts: Parts = (), *, linked_root: bool = False) -> None:
        for part in parts:
            _refuse_path(part, "the name of a folder")
        self.root = root
        self.parts = tuple(parts)
        self.handle: int | None = None
        self._linked_root = linked_root
        if HAS_HANDLES:
            self.handle = self._open()
        else:
            self._look()

    @functools.cached_property
    def path(self) -> Path:
        """Where it is, for an error or for a system without handles."""
        return self.root.joinpath(*self.parts)

    @classmethod
    def made(cls, root: Path, parts: Parts = ()) -> tuple[Folder, list[Parts]]:
        """Open a folder and make what is missing of it; also says what was made, outermost first."""
        made: list[Parts] = []
        for _ in range(_ATTEMPTS):
            try:
                return cls(root, parts, linked_root=True), made
            except NotInCacheError:
                pass  # not there yet; or somebody removes empty folders at this moment
            except CacheError as exc:
                remedy = "remove what is there, or check its permissions"
                raise CacheWriteError(exc.where, "a folder to write in", exc.found, remedy) from exc
            cls._make(root, parts, made)
        raise CacheWriteError(shown(str(root.joinpath(*parts))), "a folder", "it is removed again and again")

    @classmethod
    def _make(cls, root: Path, parts: Parts, made: list[Parts]) -> None:
        if FileState.at(root) is None:
            with RefusedWrites(root):
                root.mkdir(parents=True, exist_ok=True)
        for place, part in enumerate(parts):
            try:
                with cls(root, parts[:place], linked_root=True) as folder, RefusedWrites(folder.path, part):
                    os.mkdir(folder.name(part), dir_fd=folder.handle)
                    made.append(parts[: place + 1])
            except NotInCacheError:
                return
            except CacheWriteError as exc:
                if not isinstance(exc.__cause__, FileExistsError | FileNotFoundError):
                    raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the folder."""
        if self.handle is not None:
            handle, self.handle = self.handle, None
            _let_go(handle)

    def _open(self) -> int:
        flags = _STEP_FLAGS & ~getattr(os, "O_NOFOLLOW", 0) if self._linked_root else _STEP_FLAGS
        handle, depth = -1, 0
        try:
            handle = os.open(self.root, flags)
            for part in self.parts:
                depth += 1
                outer, handle = handle, os.open(part, _STEP_FLAGS, dir_fd=handle)
                _let_go(outer)
        except BaseException as exc:
            if handle != -1:
                _let_go(handle)
            if isinstance(exc, OSError):
                raise self._unopened(depth, exc) from exc
            raise
        return handle

    def _look(self) -> None:
        for depth in range(len(self.parts) + 1):
            where = self.root.joinpath(*self.parts[:depth])
            with self._explained(depth):
                info = where.stat() if not depth and self._linked_root else where.lstat()
                if not FileState.of(info).is_folder:
                    raise NotADirectoryError(errno.ENOTDIR, "not a directory")

    @contextlib.contextmanager
    def _explained(self, depth: int) -> Iterator[None]:
        try:
            yield
        except OSError as exc:
            raise self._unopened(depth, exc) from exc

    def _unopened(self, depth: int, exc: OSError) -> CacheError:
        where = shown(str(self.root.joinpath(*self.parts[:depth])))
        if isinstance(exc, FileNotFoundError):
            return NotInCacheError(where, "a folder", "nothing", "it is gone already")
        linked = exc.errno in (errno.ELOOP, errno.ENOTDIR)
        found = "a link or a file" if linked else exc.strerror or str(exc)
        return CacheError(where, "a folder", found, "links are not followed; look at what it is")

    def name(self, name: str) -> str | Path:
        """What the system is given, along with `handle`, for a name in this folder."""
        _refuse_path(name, "a file's name")
        if self.handle is not None:
            return name
        self._look()
        return self.path / name

    def state(self, name: str) -> FileState | None:
        """State of what has a name here; None if nothing has."""
        try:
            return FileState.of(os.stat(self.name(name), dir_fd=self.handle, follow_symlinks=False))
        except OSError:
            return None

    def names(self) -> tuple[list[str], list[str]]:
        """Names of the folders in it, and of everything else."""
        found: dict[bool, list[str]] = {True: [], False: []}
        with self.listable() as place, os.scandir(place) as entries:
            for entry in entries:
                found[entry.is_dir(follow_symlinks=False)].append(entry.name)
        return sorted(found[True]), sorted(found[False])

    @contextlib.contextmanager
    def listable(self) -> Iterator[int | Path]:
        """What `os.scandir` takes for this folder."""
        with self._explained(len(self.parts)):
            if self.handle is None:
                yield self.path
                return
            handle = os.open(".", _LIST_FLAGS, dir_fd=self.handle)
            try:
                yield handle
            finally:
                _let_go(handle)

    def create(self, name: str) -> int:
        """Make a new file for writing: its descriptor."""
        with RefusedWrites(self.path, name):
            return os.open(self.name(name), _CREATE_FLAGS, 0o666, dir_fd=self.handle)

    def rename(self, old: str, new: str) -> None:
        """Rename a file in this folder, over whatever file has the name."""
        os.replace(self.name(old), self.name(new), src_dir_fd=self.handle, dst_dir_fd=self.handle)

    def touch(self, name: str) -> None:
        """Make a file young; another user's may not be touched, which is no fault."""
        with contextlib.suppress(OSError):
            os.utime(self.name(name), dir_fd=self.handle, follow_symlinks=not _CAN_TOUCH_LINKS)

    def sync(self) -> None:
        """Return when the disk has the names in this folder."""
        if os.name == "nt":
            return
        with RefusedWrites(self.path):
            handle = os.open("." if self.handle is not None else self.path, _LIST_FLAGS, dir_fd=self.handle)
            try:
                os.fsync(handle)
            finally:
                _let_go(handle)

    def is_in_place(self) -> bool:
        """Whether its path still leads here, so that what was written is where it was meant to be."""
        if self.handle is None:
            return True
        try:
            return os.path.samestat(os.fstat(self.handle), self.path.stat())
        except OSError:
            return False


def _let_go(handle: int) -> None:
    with contextlib.suppress(OSError):  # nothing was written through it
        os.close(handle)


def _refuse_path(name: str, expected: str) -> None:
    if name in ("", ".", "..") or "/" in name or os.sep in name:
        raise CacheError(shown(name), expected, "a path", "nothing was touched")

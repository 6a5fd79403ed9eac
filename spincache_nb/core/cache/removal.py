"""Taking files out of the cache: through directory handles, following no link, and only what was meant.

Directories are opened one below the other without following links, and files are named relative to
the handle, so that a directory swapped for a link meanwhile leads nowhere else. Where the system has
no such handles (Windows), every directory on the way is looked at before each step.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from spincache_nb.core.cache.files import refused_writes
from spincache_nb.core.cache.layout import TEMPORARY_PREFIX, shown
from spincache_nb.errors import CacheError, NotInCacheError

_HAS_HANDLES = {os.open, os.stat, os.unlink, os.rename, os.rmdir, os.utime} <= os.supports_dir_fd
_CAN_TOUCH_LINKS = os.utime in os.supports_follow_symlinks
_FOLDER_FLAGS = (
    os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
)

Parts = tuple[str, ...]
"""Names from the ``registry`` directory down to a file or folder."""


@dataclass(frozen=True, slots=True)
class FileState:
    """What tells a file from another that took its place, or from itself after it was touched."""

    inode: int
    size: int
    modified_ns: int

    @classmethod
    def of(cls, info: os.stat_result) -> FileState:
        """Take it from what the system says of a file."""
        return cls(info.st_ino, info.st_size, info.st_mtime_ns)


def file_state(path: Path) -> FileState | None:
    """State of a regular file, or None where there is none (a link does not count)."""
    try:
        info = path.lstat()
    except (OSError, ValueError):
        return None
    return FileState.of(info) if stat.S_ISREG(info.st_mode) else None


class Folder:
    """A directory in the cache, opened so that no link is followed on the way; a context manager."""

    def __init__(self, root: Path, parts: Sequence[str] = ()) -> None:
        for part in parts:
            if part in ("", ".", "..") or "/" in part or os.sep in part:
                raise CacheError(shown(part), "the name of a folder", "a path", "nothing was touched")
        self.root = root
        self.parts = tuple(parts)
        self.path = root.joinpath(*parts)
        self._handle: int | None = None
        if _HAS_HANDLES:
            self._handle = self._open()
        else:
            self._look()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def _open(self) -> int:
        where = self.root
        with self._explained(where):
            handle = os.open(where, _FOLDER_FLAGS)
        for part in self.parts:
            where /= part
            try:
                with self._explained(where):
                    inner = os.open(part, _FOLDER_FLAGS, dir_fd=handle)
            finally:
                os.close(handle)
            handle = inner
        return handle

    def _look(self) -> None:
        where = self.root
        for part in ("", *self.parts):
            where = where / part
            with self._explained(where):
                if not stat.S_ISDIR(where.lstat().st_mode):
                    raise NotADirectoryError(errno.ENOTDIR, "not a directory")

    @contextlib.contextmanager
    def _explained(self, where: Path) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as exc:
            raise NotInCacheError(shown(str(where)), "a folder", "nothing", "it is gone already") from exc
        except OSError as exc:
            linked = exc.errno in (errno.ELOOP, errno.ENOTDIR)
            found = "a link or a file" if linked else exc.strerror or str(exc)
            raise CacheError(
                shown(str(where)), "a folder", found, "links are not followed; look at what it is"
            ) from exc

    def _name(self, name: str) -> str | Path:
        """What the system is given for a name in this directory."""
        if os.sep in name or "/" in name or name in ("", ".", ".."):
            raise CacheError(shown(name), "a file's name", "a path", "nothing was touched")
        if self._handle is not None:
            return name
        self._look()
        return self.path / name

    def state(self, name: str) -> FileState | None:
        """State of the regular file of a name, or None."""
        try:
            info = os.stat(self._name(name), dir_fd=self._handle, follow_symlinks=False)
        except OSError:
            return None
        return FileState.of(info) if stat.S_ISREG(info.st_mode) else None

    def unlink(self, name: str) -> None:
        """Remove a file, or a link itself."""
        with refused_writes(self.path / name), contextlib.suppress(FileNotFoundError):
            os.unlink(self._name(name), dir_fd=self._handle)

    def remove_folder(self, name: str) -> bool:
        """Remove a directory if it is empty; says whether it did."""
        try:
            os.rmdir(self._name(name), dir_fd=self._handle)
        except OSError:
            return False
        return True

    def names(self) -> tuple[list[str], list[str]]:
        """Names of the directories in it, and of everything else."""
        folders: list[str] = []
        others: list[str] = []
        with (
            self._explained(self.path),
            os.scandir(self.path if self._handle is None else self._handle) as entries,
        ):
            for entry in entries:
                (folders if entry.is_dir(follow_symlinks=False) else others).append(entry.name)
        return sorted(folders), sorted(others)

    def set_aside(self, name: str, expected: FileState) -> str | None:
        """Rename a file to a temporary name, if it is the one that was meant."""
        if self.state(name) != expected:
            return None
        aside = f"{TEMPORARY_PREFIX}{os.getpid()}-{secrets.token_hex(8)}"
        with refused_writes(self.path / name):
            try:
                os.rename(
                    self._name(name), self._name(aside), src_dir_fd=self._handle, dst_dir_fd=self._handle
                )
            except FileNotFoundError:
                return None
        if self.state(aside) != expected:
            self.put_back(aside, name)
            return None
        self._touch(aside)
        return aside

    def _touch(self, aside: str) -> None:
        """Make a file young; not one with several names, which would make the others young, too."""
        with contextlib.suppress(OSError):
            name = self._name(aside)
            if os.stat(name, dir_fd=self._handle, follow_symlinks=False).st_nlink == 1:
                os.utime(name, dir_fd=self._handle, follow_symlinks=not _CAN_TOUCH_LINKS)

    def put_back(self, aside: str, name: str) -> None:
        """Give a file that was set aside its name again, unless the name is taken by now."""
        with refused_writes(self.path / name):
            try:
                os.link(
                    self._name(aside),
                    self._name(name),
                    src_dir_fd=self._handle,
                    dst_dir_fd=self._handle,
                    follow_symlinks=False,
                )
            except FileExistsError:
                pass  # somebody stored it again meanwhile; theirs is as good
            except (OSError, NotImplementedError):
                if self.state(name) is None:  # a file system without hard links
                    os.rename(
                        self._name(aside), self._name(name), src_dir_fd=self._handle, dst_dir_fd=self._handle
                    )
                    return
            self.unlink(aside)

"""Writing files whole or not at all: a temporary file in the same folder, then a rename onto the name."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from spincache_nb.core import removing
from spincache_nb.core.files import Folder, Parts, RefusedWrites
from spincache_nb.core.layout import shown
from spincache_nb.errors import CacheError, CacheWriteError, NoSpaceError

_ATTEMPTS = 20


class NewFile:
    """A uniquely named temporary file that replaces its target in one step, or vanishes; a context manager.

    Folders that are missing are made, and vanish again if the block raises and nobody else uses them.
    """

    def __init__(self, root: Path, parts: Parts = (), *, durable: bool = False) -> None:
        self.durable = durable
        self.root = root
        self.name = removing.temporary_name()
        self.made: list[Parts] = []
        self._kept = False
        for attempt in range(_ATTEMPTS):
            self.folder, made = Folder.made(root, parts)
            self.made += made
            try:
                self._descriptor: int | None = self.folder.create(self.name)
                return
            except BaseException as exc:
                self.folder.close()
                is_gone = isinstance(exc.__cause__, FileNotFoundError)  # somebody removed the empty folder
                if not is_gone or attempt + 1 == _ATTEMPTS:
                    removing.remove_made(root, self.made)
                    raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if not self._kept:
                self._close()
                with contextlib.suppress(CacheError):
                    removing.unlink(self.folder, self.name)
        finally:
            self.folder.close()
            if kind is not None:
                removing.remove_made(self.root, self.made)

    def write(self, chunk: bytes | memoryview) -> None:
        """Write all of a chunk."""
        assert self._descriptor is not None
        with RefusedWrites(self.folder.path, self.name):
            written = os.write(self._descriptor, chunk)
            while written < len(chunk):
                written += os.write(self._descriptor, memoryview(chunk)[written:])

    def stream(self) -> BinaryIO:
        """Another handle on the file, for code that writes to a stream; the caller closes it."""
        assert self._descriptor is not None
        return os.fdopen(os.dup(self._descriptor), "wb")

    def replace(self, name: str) -> None:
        """Give the file its final name, in place of whatever file has it."""
        with RefusedWrites(self.folder.path, name):
            if self.durable and self._descriptor is not None:
                os.fsync(self._descriptor)
            self._close()
            self.folder.rename(self.name, name)
            self._kept = True
            if self.durable:
                self._sync_folders()
        if not self.folder.is_in_place():
            raise CacheWriteError(
                str(self.folder.path / name),
                "to write in the cache",
                "the folder was moved or replaced meanwhile",
                "pull again",
            )

    def _sync_folders(self) -> None:
        self.folder.sync()
        for parts in self.made:
            with Folder(self.root, parts[:-1], linked_root=True) as around:
                around.sync()

    def _close(self) -> None:
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            os.close(descriptor)


@contextlib.contextmanager
def replacing(path: Path, *, durable: bool = False) -> Iterator[NewFile]:
    """Write a file anywhere: it gets its name at the end of the block, unless the block raises."""
    try:
        with RefusedWrites(path), NewFile(path.parent, durable=durable) as new:
            yield new
            new.replace(path.name)
    except NoSpaceError as exc:
        remedy = "free some space, then try again; a file that was there is as it was"
        raise NoSpaceError(shown(str(path)), "room on the disk", exc.found, remedy) from exc.__cause__
    except CacheWriteError as exc:
        remedy = "check permissions and the disk, or name another file"
        raise CacheWriteError(shown(str(path)), "to write the file", exc.found, remedy) from exc.__cause__

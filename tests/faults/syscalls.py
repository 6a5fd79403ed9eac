"""Every call to the system below one folder, counted; at the n-th something happens instead, or as well.

The package reaches files through `os` (pathlib does too), so replacing the functions there is enough;
what is read comes through `os.fdopen`, whose file gets a ``read`` of ours.
"""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

BY_PATH = (
    *("mkdir", "replace", "rename", "rmdir", "unlink", "utime"),
    *("stat", "lstat", "scandir", "open", "link"),
)
BY_HANDLE = ("write", "fsync", "fstat", "close")
WRITES = frozenset({"mkdir", "replace", "rename", "open", "link", "write", "fsync", "close"})
"""Calls that a full disk makes fail."""

Happening = Callable[[str], None]


class Calls:
    """Counts the calls below a folder."""

    def __init__(
        self, folder: Path, at: int, happening: Happening, names: frozenset[str] | None = None
    ) -> None:
        self.folder, self.at, self.happening, self.names = str(folder), at, happening, names
        self.seen: list[str] = []
        self._handles: set[int] = set()
        self._folders: set[int] = set()  # to close a folder, which was only read, needs no room
        self._lock = threading.Lock()

    @property
    def fired(self) -> bool:
        return 0 < self.at <= len(self.seen)

    def note(self, name: str) -> None:
        if self.names is not None and name not in self.names:
            return
        with self._lock:
            self.seen.append(name)
            due = len(self.seen) == self.at
        if due:
            self.happening(name)

    def is_below(self, target: Any, options: dict[str, Any]) -> bool:
        """Whether a call is about something below the folder."""
        if isinstance(target, int):
            return target in self._handles
        if {options.get("dir_fd"), options.get("src_dir_fd")} & self._handles:
            return True
        text = os.fsdecode(target) if isinstance(target, str | bytes | os.PathLike) else ""
        return text == self.folder or text.startswith(self.folder + os.sep)

    @contextmanager
    def counting(self) -> Iterator[Calls]:
        with pytest.MonkeyPatch.context() as patch:
            for name in (*BY_PATH, *BY_HANDLE):
                patch.setattr(os, name, self._around(name, getattr(os, name)))
            patch.setattr(os, "fdopen", self._fdopen(os.fdopen))
            yield self

    def _around(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def inner(target: Any = ".", *arguments: Any, **options: Any) -> Any:
            if not self.is_below(target, options):
                return function(target, *arguments, **options)
            if name == "close":
                self._handles.discard(target)
                function(target)
                return self.note("let go" if target in self._folders else name)
            self.note(name)
            outcome = function(target, *arguments, **options)
            if name == "open":
                self._handles.add(outcome)
                (self._folders.add if arguments[0] & os.O_DIRECTORY else self._folders.discard)(outcome)
            return outcome

        return inner

    def _fdopen(self, function: Callable[..., Any]) -> Callable[..., Any]:
        calls = self

        class Noted(io.FileIO):
            def read(self, size: int | None = -1, /) -> bytes:
                calls.note("read")
                return super().read(-1 if size is None else size)

            def close(self) -> None:
                if not self.closed:
                    calls._handles.discard(self.fileno())
                super().close()

        def inner(handle: int, *arguments: Any, **options: Any) -> Any:
            if handle in self._handles and arguments[:1] == ("rb",):
                return Noted(handle, "rb")
            return function(handle, *arguments, **options)

        return inner

"""A folder that fsspec can reach, local or in an object store."""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spincache_nb.fleet.extras import load

_LOCAL = ("file", "local")
_LEVELS = 3
_SECRET = re.compile(r"//[^/@]*@")


class Place:
    """Where a dataset is."""

    def __init__(
        self, target: str | os.PathLike[str], storage_options: Mapping[str, Any] | None = None
    ) -> None:
        core = load("fsspec.core")
        self._address = os.fspath(target)
        self._options = dict(storage_options or {})
        self.fs, root = core.url_to_fs(self._address, **self._options)
        protocol = self.fs.protocol
        self.protocol: str = protocol if isinstance(protocol, str) else protocol[0]
        self.root = root.rstrip("/") or root

    @property
    def local(self) -> bool:
        """Whether the folder is in this machine's file system."""
        return self.protocol in _LOCAL

    def __repr__(self) -> str:
        return f"Place({_SECRET.sub('//', self._address)!r})"

    def __str__(self) -> str:
        return _SECRET.sub("//", self._address)

    def __reduce__(self) -> tuple[Any, ...]:
        return Place, (self._address, self._options)

    def path(self, *names: str) -> str:
        """Path below the folder, as the file system takes it."""
        return "/".join((self.root, *names))

    def address(self, *names: str) -> str:
        """The same for DuckDB: a path, or a path with its protocol."""
        path = self.path(*names)
        return path if self.local else f"{self.protocol}://{path}"

    def files(self) -> dict[str, int | None]:
        """Every file that a dataset may have, by its path below the folder, with its size if known."""
        depth = {"maxdepth": _LEVELS} if self.local else {}
        try:
            found = self.fs.find(self.root, detail=True, **depth)
        except (FileNotFoundError, NotADirectoryError):
            return {}
        start = len(self.root.rstrip("/")) + 1
        return {path[start:]: entry.get("size") for path, entry in found.items() if path[start:]}

    def folder(self, *names: str) -> dict[str, int]:
        """The files of one folder, by name, with their sizes; none if it is not there."""
        try:
            found = self.fs.ls(self.path(*names), detail=True)
        except FileNotFoundError:
            return {}
        return {
            entry["name"].rpartition("/")[2]: int(entry.get("size") or 0)
            for entry in found
            if entry["type"] == "file"
        }

    def read(self, *names: str) -> bytes:
        """A small file, whole."""
        content: bytes = self.fs.cat_file(self.path(*names))
        return content

    def write(self, content: bytes, *names: str) -> None:
        """Write a file that nobody reads yet."""
        self._make_folder(names)
        self.fs.pipe_file(self.path(*names), content)

    def replace(self, content: bytes, *names: str) -> None:
        """Write a file that others may be reading: they see the old one or the new one, never a part."""
        self._make_folder(names)
        if not self.local:
            self.fs.pipe_file(self.path(*names), content)
            return
        path = Path(self.path(*names))
        temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
        try:
            temporary.write_bytes(content)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)

    def remove(self, *names: str) -> None:
        """Remove a file; it may be gone."""
        try:
            self.fs.rm_file(self.path(*names))
        except FileNotFoundError:
            return

    def _make_folder(self, names: tuple[str, ...]) -> None:
        self.fs.makedirs(self.path(*names[:-1]), exist_ok=True)

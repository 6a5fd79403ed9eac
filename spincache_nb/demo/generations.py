"""Caches as the generations of Spin leave them, whole and damaged, to read and to try things on.

They are fixtures, made from the rules of Spin's code release by release; no Spin ran for them. What
is in each, and what the frames say of it, is in ``data-fixtures/README.md``.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from spincache_nb.core.cache import Cache
from spincache_nb.core.journal import History
from spincache_nb.demo.shipped import data_fixtures

GENERATIONS = ("v0.8", "v1.5", "v2.0", "v2.4", "v3.x", "v3.x-windows", "main")
"""Names of the recorded caches, oldest first."""


@dataclass(frozen=True)
class RecordedFile:
    """A file of a recorded cache: its path below ``registry``, bytes, time in UTC and mode on Unix."""

    path: str
    data: bytes = field(repr=False)
    modified: datetime
    mode: int


@dataclass(frozen=True, repr=False)
class RecordedCache:
    """The cache of one generation of Spin: the releases that leave it, and what is particular to it."""

    name: str
    spin: str
    shows: tuple[str, ...]
    windows_names: bool
    folders: tuple[str, ...]
    files: tuple[RecordedFile, ...]
    projects: Mapping[str, str]

    def lay_out(self, folder: str | os.PathLike[str], *, windows_names: bool | None = None) -> Cache:
        """Write the cache into a folder, and its projects beside it."""
        if windows_names is None:
            windows_names = self.windows_names or os.name == "nt"
        root = Path(folder)
        cache = Cache(
            root / "cache",
            windows_names=windows_names,
            history=History(root / "history.jsonl", enabled=True),
        )
        cache.path.mkdir(parents=True)
        for name in self.folders:
            (cache.path / name).mkdir()
        for file in self.files:
            _write(cache.path / (file.path.replace(":", "_") if windows_names else file.path), file)
        for name, text in self.projects.items():
            path = root / "projects" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8", newline="\n")
        return cache

    def project_folders(self, folder: str | os.PathLike[str]) -> list[Path]:
        """List the projects that use it, as ``projects=`` of the frames takes them."""
        names = sorted({name.partition("/")[0] for name in self.projects})
        return [Path(folder) / "projects" / name for name in names]

    def __repr__(self) -> str:
        return f"RecordedCache({self.name!r}: Spin {self.spin}, {len(self.files)} files)"


def recorded_caches() -> tuple[RecordedCache, ...]:
    """Read the recorded caches: one for each generation of Spin, oldest first.

    >>> [one.spin for one in recorded_caches()][-3:]
    ['v3.0 to v4.0', 'v3.0 to v4.0, on Windows', 'main, after v4.0.2']
    """
    return tuple(_load(name) for name in GENERATIONS)


@contextlib.contextmanager
def recorded(name: str) -> Iterator[Cache]:
    """Lay out a recorded cache in a temporary folder for the length of a block.

    Parameters
    ----------
    name
        One of `GENERATIONS`.

    Yields
    ------
    Cache
        Its projects, if there are any, are in ``projects`` beside the folder of the cache.

    Examples
    --------
    >>> from spincache_nb import frames
    >>> with recorded("v1.5") as cache:
    ...     frames.apps(cache)["reference"].tolist()[-1]
    'ghcr.io/example/photos:1.0.0'
    """
    if name not in GENERATIONS:
        raise ValueError(f"there is no recorded cache {name!r}; there are {', '.join(GENERATIONS)}")
    recording = _load(name)
    with tempfile.TemporaryDirectory(prefix="spincache-recorded-") as folder:
        yield recording.lay_out(folder)


def _load(name: str) -> RecordedCache:
    text = (data_fixtures() / "caches" / f"{name}.json").read_text(encoding="utf-8")
    document: dict[str, Any] = json.loads(text)
    return RecordedCache(
        name=name,
        spin=document["spin"],
        shows=tuple(document["shows"]),
        windows_names=document["naming"] == "windows",
        folders=tuple(document["folders"]),
        files=tuple(_file(path, said) for path, said in document["files"].items()),
        projects=document["projects"],
    )


def _file(path: str, said: Mapping[str, str]) -> RecordedFile:
    data = base64.b64decode(said["base64"]) if "base64" in said else said["text"].encode()
    modified = datetime.fromisoformat(said["modified"])
    return RecordedFile(path, data, modified, int(said.get("mode", "644"), 8))


def _write(path: Path, file: RecordedFile) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(file.data)
    path.chmod(file.mode)
    seconds = int(file.modified.timestamp())
    os.utime(path, (seconds, seconds))

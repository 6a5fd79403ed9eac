"""A first look at a cache: whether it is there and roughly how much is in it, however large it is."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from spincache_nb.core.cache.layout import AREAS, LOCKED_APP_FILE, MANIFEST_FILE, MANIFESTS
from spincache_nb.errors import printable
from spincache_nb.show import block, count_text, escaped

MOST_COUNTED = 1000
"""Apps, and files of each area, that a glance counts; of more it says that there are more."""

_FOLDERS_READ = 5000


@dataclass(frozen=True, slots=True)
class Glance:
    """What a first look shows."""

    path: Path
    exists: bool
    apps: int = 0
    blobs: int = 0
    more: bool = False

    def __str__(self) -> str:
        return f"Spin cache at {printable(str(self.path))}: {self.summary()}"

    def html(self) -> str:
        """The same as HTML, escaped."""
        return block("Spin cache", self.summary(), f"<code>{escaped(str(self.path))}</code>")

    def summary(self) -> str:
        """What is in it, in a few words."""
        if not self.exists:
            return "nothing there yet"
        least = "at least " if self.more else ""
        return f"{least}{count_text(self.apps, 'app')}, {least}{count_text(self.blobs, 'blob')}"


def glance(root: Path, *, most: int = MOST_COUNTED) -> Glance:
    """Take a first look at a cache; no file is opened, and no more than some thousand names are read."""
    if not os.path.isdir(root):  # noqa: PTH112  # a closed folder makes the methods of Path raise
        return Glance(root, exists=False)
    counts = [sum(1 for _ in islice(_entries(root / area), most + 1)) for area in AREAS]
    apps = read = 0
    for folder in islice(_folders(root / MANIFESTS), _FOLDERS_READ + 1):
        read += 1
        apps += _is_tag(folder)
        if apps > most:
            break
    more = read > _FOLDERS_READ or any(count > most for count in (apps, *counts))
    return Glance(root, True, min(apps, most), sum(min(count, most) for count in counts), more)


def _entries(folder: str | os.PathLike[str]) -> Iterator[os.DirEntry[str]]:
    """Entries of a folder, none where it cannot be listed or is a link."""
    if os.path.islink(folder):  # noqa: PTH114  # as above
        return
    try:
        with os.scandir(folder) as found:
            yield from found
    except OSError:
        return


def _folders(folder: str | os.PathLike[str]) -> Iterator[str]:
    """All folders below a folder, that one not included; each before those beside it."""
    waiting = [_entries(folder)]
    while waiting:
        entry = next(waiting[-1], None)
        if entry is None:
            waiting.pop()
        elif _is_folder(entry):
            waiting.append(_entries(entry.path))
            yield entry.path


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:
        return False


def _is_tag(folder: str) -> bool:
    return any(os.path.lexists(f"{folder}/{name}") for name in (MANIFEST_FILE, LOCKED_APP_FILE))

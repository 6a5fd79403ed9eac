"""Looking at all files of an area: the one place that is run for each of very many files.

Nearly all are plain: readable by all, not empty, with one name, which is a SHA-256 digest in the spelling of
the area's others. Each of those costs one look from within its folder, in the order in which the system
lists them, and adds to three columns. The others are only named here.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from array import array
from collections.abc import Iterator, Sequence
from itertools import compress, repeat
from pathlib import Path
from typing import Literal

from spincache_nb.core.cache.blobs import PlainBlobs

EVERYBODY = stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH
"""Mode of a file that all may read."""

_KIND_AND_READABLE = stat.S_IFMT(0o177777) | EVERYBODY
_PLAIN = stat.S_IFREG | EVERYBODY
_DIGEST_NAME = re.compile(r"sha256[:_][0-9a-f]{64}")
_STARTS = ("sha256:", "sha256_")
_SIGN = len("sha256")
_LEFT = len("sh:")
_BY_DESCRIPTOR = os.scandir in os.supports_fd
_FOLDER_FLAGS = (
    os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
)


def look_at_blobs(directory: Path, area: Literal["wasm", "data"]) -> tuple[PlainBlobs, set[str]]:
    """Give the plain files of an area, and the names of all else."""
    names: list[str] = []
    sizes, times = array("q"), array("q")
    odd: set[str] = set()
    with _opened(directory) as place, os.scandir(place) as found:
        for entry in found:
            try:
                info = entry.stat(follow_symlinks=False)
                size = info.st_size
                if info.st_mode & _KIND_AND_READABLE == _PLAIN and info.st_nlink == 1 and size:
                    times.append(info.st_mtime_ns)  # the first, since it may not fit
                    sizes.append(size)
                    names.append(entry.name)
                    continue
            except (OSError, OverflowError):
                pass
            odd.add(entry.name)
    if not _are_digests(names):
        signs = [name[_SIGN] if _DIGEST_NAME.fullmatch(name) else None for name in names]
        usual = next(filter(None, signs), "")
        alike = [sign == usual for sign in signs]
        odd.update(name for name, plain in zip(names, alike, strict=True) if not plain)
        names = list(compress(names, alike))
        sizes, times = (array("q", compress(column, alike)) for column in (sizes, times))
    return PlainBlobs(os.fspath(directory), area, names, sizes, times), odd


def _are_digests(names: Sequence[str]) -> bool:
    """Whether all names are SHA-256 digests in one spelling; asked of all at once, which is far quicker."""
    start = names[0][: _SIGN + 1] if names else ""
    if start not in _STARTS or set(map(len, names)) != {len(start) + 64}:
        return not names
    left = "".join([start, *names]).encode("utf-8", "replace").translate(None, b"0123456789abcdef")
    return left == left[:_LEFT] * (len(names) + 1) and all(map(str.startswith, names, repeat(start)))


@contextlib.contextmanager
def _opened(directory: Path) -> Iterator[int | Path]:
    """Open a folder, so that its files are looked at from within it; its path where that cannot be."""
    if not _BY_DESCRIPTOR:
        yield directory
        return
    descriptor = os.open(directory, _FOLDER_FLAGS)
    try:
        yield descriptor
    finally:
        os.close(descriptor)

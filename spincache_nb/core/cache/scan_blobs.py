"""Looking at all files of an area: the one place that is run for each of very many files.

Nearly all are plain: readable by all, with one name, which is a SHA-256 digest. Each of those costs one
look from within its folder, in the order in which the system lists them, and what is known of all of them
is then made column by column, which runs no Python code for each. The others are only named here.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Iterator
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import Literal

from spincache_nb.core.cache.found import StoredBlob
from spincache_nb.core.digest import Digest

EVERYBODY = stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH
"""Mode of a file that all may read."""

_KIND_AND_READABLE = stat.S_IFMT(0o177777) | EVERYBODY
_PLAIN = stat.S_IFREG | EVERYBODY
_PLAIN_NAME = re.compile(r"sha256[:_][0-9a-f]{64}")
_DIGITS = len("sha256:")
_BY_DESCRIPTOR = os.scandir in os.supports_fd
_FOLDER_FLAGS = (
    os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
)


def look_at_blobs(directory: Path, area: Literal["wasm", "data"]) -> tuple[list[StoredBlob], set[str]]:
    """Give the plain files of an area, and the names of all else.

    Parameters
    ----------
    directory
        The area; if it is a link it is not followed.
    area
        Which it is.

    Returns
    -------
    tuple of list of StoredBlob and set of str
        In no order.

    Raises
    ------
    OSError
        If the system does not list it.
    """
    names: list[str] = []
    sizes: list[int] = []
    times: list[int] = []
    odd: set[str] = set()
    is_plain = _PLAIN_NAME.fullmatch
    with _opened(directory) as place, os.scandir(place) as found:
        for entry in found:
            name = entry.name
            if is_plain(name):
                try:
                    info = entry.stat(follow_symlinks=False)
                except OSError:
                    odd.add(name)
                    continue
                if info.st_mode & _KIND_AND_READABLE == _PLAIN and info.st_nlink == 1:
                    names.append(name)
                    sizes.append(info.st_size)
                    times.append(info.st_mtime_ns)
                    continue
            odd.add(name)
    digests = map(partial(tuple.__new__, Digest), zip(repeat("sha256"), [name[_DIGITS:] for name in names]))
    before = os.path.join(directory, "")  # noqa: PTH118 - text, as `StoredBlob.location` is
    columns = zip(
        names, [before + name for name in names], repeat(area), sizes, times, repeat("digest"), digests
    )
    return list(map(partial(tuple.__new__, StoredBlob), columns)), odd


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

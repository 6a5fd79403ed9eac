"""Copies of the notebooks to work on, which a later copy never overwrites once they were changed."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from spincache_nb.demo.shipped import notebooks
from spincache_nb.errors import SpinCacheError

RECORD = ".spincache-notebooks.json"
"""File beside the copies that says what each was when it was made."""

_LEFT_OUT = {".ipynb_checkpoints", "__pycache__"}


@dataclass(frozen=True, slots=True)
class CopiedFile:
    """A notebook or a picture of one, and what became of it.

    Parameters
    ----------
    path
        The copy.
    what
        ``new``; ``same`` as the one that comes with the package; ``updated``, since nobody had changed
        the older copy; or ``kept``, since somebody had.
    """

    path: Path
    what: Literal["new", "same", "updated", "kept"]


def copy_notebooks(folder: str | os.PathLike[str]) -> tuple[CopiedFile, ...]:
    """Copy the notebooks that come with the package, with their pictures.

    Parameters
    ----------
    folder
        Where to; it is made if it is not there. A file that is there already and is not exactly what an
        earlier call put there stays as it is.

    Returns
    -------
    tuple of CopiedFile
        Every file, by name.

    Raises
    ------
    SpinCacheError
        If the package comes without notebooks, or one of them cannot be written.
    """
    source, target = notebooks(), Path(folder)
    known = _read_record(target)
    try:
        done = tuple(_copy(source / name, target / name, known.get(name)) for name in _names(source))
        made = {
            name: _digest((source / name).read_bytes())
            for name, one in zip(_names(source), done, strict=True)
            if one.what != "kept"
        }
        _write(target / RECORD, json.dumps(known | made, indent=1, sort_keys=True).encode())
    except OSError as exc:
        raise SpinCacheError(
            str(exc.filename or target),
            "a place to write to",
            str(exc.strerror or exc),
            "name another folder",
        ) from exc
    return done


def _names(source: Path) -> Iterator[str]:
    for path in sorted(source.rglob("*")):
        relative = path.relative_to(source)
        if path.is_file() and _LEFT_OUT.isdisjoint(relative.parts):
            yield relative.as_posix()


def _copy(source: Path, target: Path, known: str | None) -> CopiedFile:
    content = source.read_bytes()
    if not os.path.lexists(target):
        _write(target, content)
        return CopiedFile(target, "new")
    there = target.read_bytes() if target.is_file() and not target.is_symlink() else None
    if there == content:
        return CopiedFile(target, "same")
    if there is None or _digest(there) != known:
        return CopiedFile(target, "kept")
    _write(target, content)
    return CopiedFile(target, "updated")


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    unfinished.write_bytes(content)
    unfinished.replace(path)


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _read_record(folder: Path) -> dict[str, str]:
    try:
        record = json.loads((folder / RECORD).read_bytes())
    except (OSError, ValueError):
        return {}
    return {str(name): str(digest) for name, digest in record.items()} if isinstance(record, dict) else {}

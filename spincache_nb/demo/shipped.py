"""The fixtures and the notebooks that come with the package, and copies of these to work on.

A wheel holds them inside the package, under ``_shipped``; in a checkout, and so in an editable
install, they lie beside the package.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from spincache_nb.errors import SpinCacheError

_PACKAGE = Path(__file__).resolve().parents[1]
_RECORD = ".spincache-notebooks.json"
"""File beside the copies that says what each was when it was made."""

_LEFT_OUT = {".ipynb_checkpoints", "__pycache__"}


def data_fixtures() -> Path:
    """Find the directory with the payloads and assets of the demo apps."""
    return _find("data-fixtures", package=_PACKAGE)


def notebooks() -> Path:
    """Find the directory with the notebooks, which may be one that cannot be written: copy before working."""
    return _find("notebooks", package=_PACKAGE)


def _find(name: str, *, package: Path) -> Path:
    """Find a directory inside an installed package or beside it in a checkout."""
    inside = package / "_shipped" / name
    if inside.is_dir():
        return inside
    checkout = package.parent
    beside = checkout / name
    # site-packages may hold a stranger's directory of that name: only a checkout has pyproject.toml.
    if beside.is_dir() and (checkout / "pyproject.toml").is_file():
        return beside
    raise SpinCacheError(
        str(inside),
        expected=f"the directory {name} that comes with the package (in a checkout: {beside})",
        found="nothing",
        remedy="install spincache-nb again from its wheel, or work in a complete checkout",
    )


@dataclass(frozen=True, slots=True)
class CopiedFile:
    """A notebook or a picture of one: ``new``, ``same`` as the shipped one, ``updated``, or ``kept`` since
    somebody changed it.
    """

    path: Path
    what: Literal["new", "same", "updated", "kept"]


def copy_notebooks(folder: str | os.PathLike[str]) -> tuple[CopiedFile, ...]:
    """Copy the notebooks that come with the package, with their pictures.

    A file that is there already and is not exactly what an earlier call put there stays as it is.
    """
    source, target = notebooks(), Path(folder)
    known = _read_record(target)
    try:
        done = tuple(_copy(source / name, target / name, known.get(name)) for name in _notebook_names(source))
        made = {
            name: _digest((source / name).read_bytes())
            for name, one in zip(_notebook_names(source), done, strict=True)
            if one.what != "kept"
        }
        _write_copy(target / _RECORD, json.dumps(known | made, indent=1, sort_keys=True).encode())
    except OSError as exc:
        raise SpinCacheError(
            str(exc.filename or target),
            "a place to write to",
            str(exc.strerror or exc),
            "name another folder",
        ) from exc
    return done


def _notebook_names(source: Path) -> Iterator[str]:
    for path in sorted(source.rglob("*")):
        relative = path.relative_to(source)
        if path.is_file() and _LEFT_OUT.isdisjoint(relative.parts):
            yield relative.as_posix()


def _copy(source: Path, target: Path, known: str | None) -> CopiedFile:
    content = source.read_bytes()
    if not os.path.lexists(target):
        _write_copy(target, content)
        return CopiedFile(target, "new")
    there = target.read_bytes() if target.is_file() and not target.is_symlink() else None
    if there == content:
        return CopiedFile(target, "same")
    if there is None or _digest(there) != known:
        return CopiedFile(target, "kept")
    _write_copy(target, content)
    return CopiedFile(target, "updated")


def _write_copy(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    unfinished.write_bytes(content)
    unfinished.replace(path)


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _read_record(folder: Path) -> dict[str, str]:
    try:
        record = json.loads((folder / _RECORD).read_bytes())
    except (OSError, ValueError):
        return {}
    return {str(name): str(digest) for name, digest in record.items()} if isinstance(record, dict) else {}

"""What somebody typed into the reference field: references, or a project."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from spincache_nb.core.reference import Reference
from spincache_nb.errors import InvalidReferenceError, printable
from spincache_nb.show import count_text, more_text

HINT = "A reference such as ghcr.io/org/app:v1, several of them, or the path of a spin.toml."

_BETWEEN = re.compile(r"[\s,;]+")
_LIKE_A_PATH = re.compile(r"([/~\\]|\.{1,2}([/\\]|$)|[A-Za-z]:[/\\])")
_MANIFEST = "spin.toml"
_NAMED = 3


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be pulled, or why that cannot be told."""

    references: tuple[Reference, ...] = ()
    project: Path | None = None
    message: str = HINT
    is_wrong: bool = False

    @property
    def is_ready(self) -> bool:
        """Whether there is something to pull."""
        return bool(self.references) or self.project is not None


def read_wanted(text: str) -> Wanted:
    """Read what was typed; as for Spin, a path that exists comes first."""
    typed = text.strip()
    if not typed:
        return Wanted()
    return _read_path(typed) or _read_references(typed)


def _read_path(typed: str) -> Wanted | None:
    """Read a path, or give None for what is none."""
    path = Path(typed)
    try:
        path = path.expanduser()
        found = path / _MANIFEST if path.is_dir() else path
        if found.is_file():
            return Wanted(project=found, message=f"a project: {printable(str(found))}")
    except (OSError, ValueError, RuntimeError):
        found = path
    if typed.endswith(".toml") or _LIKE_A_PATH.match(typed):
        return Wanted(message=f"there is no file {printable(str(found))}", is_wrong=True)
    return None


def _read_references(typed: str) -> Wanted:
    found: dict[Reference, None] = {}
    for word in filter(None, _BETWEEN.split(typed)):
        try:
            found[Reference.parse(word)] = None
        except InvalidReferenceError as exc:
            return Wanted(message=str(exc), is_wrong=True)
    if not found:
        return Wanted()
    names = ", ".join(str(one) for one in list(found)[:_NAMED])
    more = more_text(len(found), _NAMED)
    text = f"{count_text(len(found), 'reference')}: {names}{f' {more}' if more else ''}"
    return Wanted(tuple(found), message=text)

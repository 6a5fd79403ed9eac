"""What is wrong with a cache, in plain words: each fault once."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from operator import itemgetter
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from spincache_nb.core.layout import AREAS, shown
from spincache_nb.core.scan import Problem
from spincache_nb.errors import printable

MOST_FAULTS = 100
"""Faults reported of one document; what is beyond them is counted."""

_PULL = "pull the app again"
_PULL_HERE = f"{_PULL} with this toolkit"

WORDS: Mapping[str, tuple[str, str, str]] = MappingProxyType(
    {
        "layer": ("missing blob", "the app needs it, and it is not stored", _PULL),
        "content ref": (
            "missing blob",
            "the locked app names it, no layer of the manifest is it, and it is not stored",
            f"{_PULL}; if that does not help, push it again",
        ),
        "archive member": (
            "missing archive member",
            "the archive layer is stored, this file of it is not: unpacking it was interrupted",
            f"{_PULL_HERE}, which unpacks the archive again; Spin does not",
        ),
        "elsewhere": (
            "blob in the wrong area",
            "Spin looks for it in {wanted}/ only, and it is stored as {other}",
            f"{_PULL_HERE}, which stores both; Spin takes it for fetched",
        ),
        "shorter": (
            "damaged blob",
            "expected {expected} bytes, found {found}: it is truncated, and Spin uses it all the same",
            f"{_PULL_HERE}, which replaces it",
        ),
        "longer": (
            "damaged blob",
            "expected {expected} bytes, found {found}: it is not what it was declared to be, and Spin uses "
            "it all the same",
            f"{_PULL_HERE}, which replaces it",
        ),
        "other than in the archive": (
            "damaged blob",
            "expected {expected} bytes, as in the archive, found {found}",
            f"remove it, then {_PULL_HERE}, which unpacks the archive again",
        ),
        "empty and needed": (
            "damaged blob",
            "it is empty, and its name is the digest of something",
            f"{_PULL_HERE}, which replaces it",
        ),
        "empty": ("damaged blob", "it is empty, and its name is the digest of something", "prune it"),
        "bad archive": (
            "damaged archive",
            "its members cannot be listed: expected {expected}, found {found}",
            _PULL_HERE,
        ),
        "cut archive": (
            "cut archive",
            "its gzip stream breaks off, as Spin's main pushes archives since August 2026; what is whole in "
            "it is used here, and Spin's first pull of it fails",
            "whoever published the app pushes it again, with Spin v4.0.2 or one that ends the stream",
        ),
        "not pushed": (
            "file not pushed",
            "the locked app names it, and no layer or archive of the app holds it: it was pushed without it",
            "whoever published the app pushes it again",
        ),
        "impossible": (
            "impossible sizes",
            "its layers are declared to be {total} bytes in all, more than any disk holds",
            "whoever published the app must push it again; nothing here counts its declared size",
        ),
        "same app": (
            "second copy",
            "{chosen} is the same app, and the one that is shown",
            "remove it; it came from another system",
        ),
        "same blob": (
            "second copy",
            "{chosen} is the same blob, and the one that is used here",
            "remove it or prune; it came from another system",
        ),
        "temporary": (
            "temporary file",
            "a download that goes on or was killed; it is no blob",
            "if nothing is downloading, remove it or prune",
        ),
        "bare hex": (
            "name of an old Spin",
            "Spin v0.9 to v1.x kept a web source under this name; Spin v2.0 and later never finds it",
            "remove it or prune, unless an old Spin uses this cache",
        ),
        "other": (
            "misnamed file",
            "its name is no digest, so nothing finds it",
            "look at what it is, then move or remove it; prune leaves it",
        ),
    }
)
"""Kind, detail and remedy of what can be wrong with blobs and apps."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Something wrong with one of the documents."""

    path: str
    kind: str
    detail: str
    remedy: str = _PULL


class _Found(NamedTuple):
    """A problem on its way, and the numbers of the apps that are concerned."""

    problem: tuple[str, str, str, str]
    users: list[Sequence[int]]


class Faults:
    """Collects problems, one for each fault; apps are numbered in the order of their names."""

    def __init__(self, root: Path, scanned: tuple[Problem, ...] = ()) -> None:
        self._prefix = len(os.path.join(root, ""))  # noqa: PTH118 - text, since there may be many
        self._scanned = {
            one.path: _Found((one.path, one.kind, one.detail, one.remedy), []) for one in scanned
        }
        self._found: dict[tuple[str, ...], _Found] = {}
        self._steps: list[Callable[[], object]] = []
        self._problems: tuple[Problem, ...] | None = None

    def later(self, step: Callable[[], object]) -> None:
        """Do something when the problems are asked for, in the order in which it was said."""
        self._steps.append(step)

    def add(
        self,
        path: Path | str,
        kind: str,
        detail: str,
        remedy: str,
        *,
        users: Sequence[int] = (),
        one_of_many: bool = False,
    ) -> None:
        """Report a fault."""
        place = path if isinstance(path, str) else self.relative(path)
        step = partial(self._add, place, kind, detail, remedy, users, one_of_many)
        if self._steps:
            self.later(step)
        else:
            step()

    def _add(
        self, place: str, kind: str, detail: str, remedy: str, users: Sequence[int], one_of_many: bool
    ) -> None:
        found = self._scanned.get(place) or self._of_area(place) if self._scanned else None
        if found is None or found.problem[1] == "empty tag folder":  # that explains no lack of a document
            key = (place, kind, detail) if one_of_many else (place, kind)
            found = self._found.get(key)
            if found is None:
                found = self._found[key] = _Found((place, kind, printable(detail), remedy), [])
        if len(users):
            found.users.append(users)

    def _of_area(self, place: str) -> _Found | None:
        """What the walk found with the whole folder, which explains what is wrong in it."""
        area, slash, _ = place.partition("/")
        return self._scanned.get(area) if slash and area in AREAS else None

    def blame(self, path: str, users: Sequence[int]) -> None:
        """Say whom a problem of the walk concerns."""
        if path in self._scanned and len(users):
            self.later(lambda: self._scanned[path].users.append(users))

    def scanned_paths(self) -> set[str]:
        """Paths with which the walk found fault."""
        return set(self._scanned)

    def forget(self, path: str) -> None:
        """Drop what the walk found at a path, since it is gone by now."""
        self.later(lambda: self._scanned.pop(path, None))

    def relative(self, path: Path | str) -> str:
        """Path below the root, with ``/``, printable."""
        return shown(os.fspath(path)[self._prefix :].replace(os.sep, "/"))

    def problems(self, names: Sequence[str]) -> tuple[Problem, ...]:
        """All problems, sorted by path and kind."""
        if self._problems is None:
            steps, self._steps = self._steps, []
            for step in steps:
                step()
            found = sorted((*self._scanned.values(), *self._found.values()), key=itemgetter(0))
            self._problems = tuple(_with_users(one, names) for one in found)
        return self._problems

    def say(self, what: str, path: Path | str, *, users: Sequence[int] = (), **facts: object) -> None:
        """Report one of the faults for which there are words."""
        kind, detail, remedy = WORDS[what]
        self.add(path, kind, detail.format(**facts), remedy, users=users)

    def sentences(
        self, path: Path | str, kind: str, faults: Iterable[str], remedy: str, *, users: Sequence[int] = ()
    ) -> None:
        """Faults inside a document, one row each, up to a limit."""
        distinct = list(dict.fromkeys(faults))
        rest = len(distinct) - MOST_FAULTS
        if rest > 0:
            distinct[MOST_FAULTS:] = [f"and {rest} more faults"]
        for fault in distinct:
            self.add(path, kind, fault, remedy, users=users, one_of_many=True)


def _with_users(found: _Found, names: Sequence[str]) -> Problem:
    if not found.users:
        return Problem(*found.problem)
    path, kind, detail, remedy = found.problem
    users = {*found.users[0]} if len(found.users) == 1 else {user for some in found.users for user in some}
    others = len(users) - 1
    also = f"; it concerns {others} more {'app' if others == 1 else 'apps'}" if others else ""
    return Problem(path, kind, detail + also, remedy, names[min(users)])

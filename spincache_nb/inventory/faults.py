"""Problems in plain words: each fault once, with what to do about it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from spincache_nb.core.layout import AREAS, shown
from spincache_nb.core.scan import Problem
from spincache_nb.errors import SpinCacheError, printable

MOST_FAULTS = 100
"""Faults reported of one document; what is beyond them is counted."""

_PULL = "pull the app again"


@dataclass(slots=True)
class _Found:
    """A problem on its way: who is concerned is only known in the end."""

    problem: Problem
    users: set[str] = field(default_factory=set)


class Faults:
    """Collects problems, one for each fault."""

    def __init__(self, root: Path, scanned: tuple[Problem, ...] = ()) -> None:
        self._prefix = len(os.path.join(root, ""))  # noqa: PTH118 - text, since there may be many
        self._scanned = {problem.path: _Found(problem) for problem in scanned}
        self._found: dict[tuple[str, ...], _Found] = {}

    def add(
        self,
        path: Path | str,
        kind: str,
        detail: str,
        remedy: str,
        *,
        reference: str | None = None,
        one_of_many: bool = False,
    ) -> None:
        """Report a fault."""
        place = path if isinstance(path, str) else self.relative(path)
        found = self._scanned.get(place) or self._of_area(place)
        if found is None or found.problem.kind == "empty tag folder":  # that explains no lack of a document
            key = (place, kind, detail) if one_of_many else (place, kind)
            found = self._found.setdefault(key, _Found(Problem(place, kind, printable(detail), remedy)))
        if reference is not None:
            found.users.add(reference)

    def _of_area(self, place: str) -> _Found | None:
        """What the walk found with the whole folder, which explains what is wrong in it."""
        area, slash, _ = place.partition("/")
        return self._scanned.get(area) if slash and area in AREAS else None

    def blame(self, path: str, reference: str) -> None:
        """Say whom a problem of the walk concerns."""
        if path in self._scanned:
            self._scanned[path].users.add(reference)

    def scanned_paths(self) -> list[str]:
        """Paths with which the walk found fault."""
        return list(self._scanned)

    def forget(self, path: str) -> None:
        """Drop what the walk found at a path, since it is gone by now."""
        self._scanned.pop(path, None)

    def relative(self, path: Path) -> str:
        """Path below the root, with ``/``, printable."""
        return shown(os.fspath(path)[self._prefix :].replace(os.sep, "/"))

    def problems(self) -> tuple[Problem, ...]:
        """All problems, sorted by path and kind."""
        rows = [_with_users(found) for found in (*self._scanned.values(), *self._found.values())]
        return tuple(sorted(rows, key=lambda row: (row.path, row.kind, row.detail)))

    # What can be wrong -----------------------------------------------------------------------

    def lost(self, path: str, *, reference: str) -> None:
        """A blob is not there."""
        self.add(path, "missing blob", "the app needs it, and it is not stored", _PULL, reference=reference)

    def lost_content(self, path: str, *, reference: str) -> None:
        """Content is not there, and the manifest has no layer that would bring it."""
        detail = "the locked app names it, no layer of the manifest is it, and it is not stored"
        self.add(
            path,
            "missing blob",
            detail,
            f"{_PULL}; if that does not help, push it again",
            reference=reference,
        )

    def lost_member(self, path: str, *, reference: str) -> None:
        """A member of a stored archive is not there."""
        detail = "the archive layer is stored, this file of it is not: unpacking it was interrupted"
        remedy = f"{_PULL} with this toolkit, which unpacks the archive again; Spin does not"
        self.add(path, "missing archive member", detail, remedy, reference=reference)

    def elsewhere(self, path: str, *, reference: str) -> None:
        """A blob is in the other area only, where Spin does not look for it."""
        wanted, _, name = path.partition("/")
        other = "data" if wanted == "wasm" else "wasm"
        detail = f"Spin looks for it in {wanted}/ only, and it is stored as {other}/{name}"
        remedy = f"{_PULL} with this toolkit, which stores both; Spin takes it for fetched"
        self.add(path, "blob in the wrong area", detail, remedy, reference=reference)

    def wrong_size(self, path: str, *, expected: int, found: int, reference: str) -> None:
        """A blob is shorter or longer than its descriptor says."""
        what = "it is truncated" if found < expected else "it is not what it was declared to be"
        detail = f"expected {expected} bytes, found {found}: {what}, and Spin uses it all the same"
        self.add(
            path, "damaged blob", detail, f"{_PULL} with this toolkit, which replaces it", reference=reference
        )

    def damaged_member(self, path: str, *, expected: int, found: int, reference: str) -> None:
        """A member of an archive is shorter or longer than in the archive."""
        detail = f"expected {expected} bytes, as in the archive, found {found}"
        remedy = "remove it, then pull the app again with this toolkit, which unpacks the archive again"
        self.add(path, "damaged blob", detail, remedy, reference=reference)

    def empty(self, path: str, *, users: Iterable[str]) -> None:
        """A blob is empty, and its name is not the digest of nothing."""
        detail = "it is empty, and its name is the digest of something"
        needed: list[str | None] = [*users]
        remedy = f"{_PULL} with this toolkit, which replaces it" if needed else "prune it"
        for reference in needed or [None]:
            self.add(path, "damaged blob", detail, remedy, reference=reference)

    def bad_archive(self, path: str, *, error: SpinCacheError, reference: str) -> None:
        """An archive cannot be listed."""
        detail = f"its members cannot be listed: expected {error.expected}, found {error.found}"
        self.add(path, "damaged archive", detail, f"{_PULL} with this toolkit", reference=reference)

    def sentences(
        self, path: Path | str, kind: str, faults: Iterable[str], remedy: str, *, reference: str | None = None
    ) -> None:
        """Faults inside a document, one row each, up to a limit."""
        distinct = list(dict.fromkeys(faults))
        rest = len(distinct) - MOST_FAULTS
        if rest > 0:
            distinct[MOST_FAULTS:] = [f"and {rest} more faults"]
        for fault in distinct:
            self.add(path, kind, fault, remedy, reference=reference, one_of_many=True)


def _with_users(found: _Found) -> Problem:
    users = sorted(found.users)
    if not users:
        return found.problem
    others = len(users) - 1
    also = f"; it concerns {others} more {'app' if others == 1 else 'apps'}" if others else ""
    return replace(found.problem, reference=users[0], detail=found.problem.detail + also)

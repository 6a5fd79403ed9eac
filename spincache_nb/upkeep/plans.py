"""What a removal would take, what it leaves and why: frozen values, shown as tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from spincache_nb.core.cache import Cache
from spincache_nb.core.documents import Area
from spincache_nb.core.files import FileState, Parts
from spincache_nb.errors import printable
from spincache_nb.show import Column, Table, block, count_text, more_text, size_text

PlanKind = Literal["remove", "prune", "clear"]
What = Literal["manifest", "locked app", "blob", "temporary file", "empty folder", "folder", "leftover"]

_SELECTIVE_NOTICE = (
    "This goes beyond what Spin promises: it documents only the deletion of the whole registry directory."
)
_CLEAR_NOTICE = (
    "This is the one operation on the cache that Spin documents; Spin fetches again what it needs."
)
_ROWS_SHOWN = 10
_USERS_SHOWN = 3
_FILE = (Column("path", "path", "code"), Column("stored_bytes", "size", "size"), Column("reason", "why"))
_GOING = (Column("what", "what"), *_FILE)
_KEPT = (Column("path", "kept", "code"), *_FILE[1:])
_LEFT = (Column("path", "left", "code"), *_FILE[1:])


@dataclass(frozen=True, slots=True)
class RemovalItem:
    """A file or folder that is to go."""

    path: str
    what: What
    stored_bytes: int
    reason: str
    digest: str | None = None
    reference: str | None = None
    parts: Parts = field(default=(), repr=False, compare=False)
    state: FileState | None = field(default=None, repr=False, compare=False)
    linked_files: int = 0
    """Files of it with names outside of the cache too (hard links): removing them frees nothing."""

    @property
    def area(self) -> Area:
        """Where a blob lies."""
        return "wasm" if self.parts[:1] == ("wasm",) else "data"


@dataclass(frozen=True, slots=True)
class KeptBlob:
    """A blob that stays although an app that needs it goes, or although nothing is known to need it."""

    path: str
    area: Area
    digest: str | None
    stored_bytes: int
    users: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True, repr=False)
class RemovalPlan:
    """What a removal would take from a cache; nothing is touched before `execute`.

    Parameters
    ----------
    cache
        The cache.
    kind
        ``remove``, ``prune`` or ``clear``.
    items
        What goes, in the order in which it goes.
    kept
        What stays, and for whom.
    references
        Apps that are removed as such.
    notes
        What else is to be known, one sentence each.
    projects, grace_seconds, even_if_unknown
        As they were given.
    documents
        State of what said who needs what, when the plan was made.
    carry_out
        What `execute` does.
    """

    cache: Cache
    kind: PlanKind
    items: tuple[RemovalItem, ...]
    kept: tuple[KeptBlob, ...] = ()
    references: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    projects: tuple[str, ...] = ()
    grace_seconds: float = 0
    even_if_unknown: bool = False
    documents: Mapping[Path, FileState | None] = field(default_factory=dict, repr=False, compare=False)
    carry_out: Callable[[RemovalPlan], RemovalResult] | None = field(default=None, repr=False, compare=False)

    @property
    def freed_bytes(self) -> int:
        """Bytes that the disk gets back: nothing for a file that is linked from elsewhere too."""
        return sum(item.stored_bytes for item in self.items)

    @property
    def notice(self) -> str:
        """How what is planned relates to what Spin promises about its cache."""
        return _CLEAR_NOTICE if self.kind == "clear" else _SELECTIVE_NOTICE

    def execute(self) -> RemovalResult:
        """Carry the plan out, after looking at everything once more.

        Returns
        -------
        RemovalResult
            What went, what was left because something changed since the plan was made, and what the
            system refused to remove.

        Raises
        ------
        NotACacheError
            If the directory is no Spin registry cache (any more); nothing is touched then.
        CacheError
            If it cannot be told who needs what; no blob is touched then.

        Notes
        -----
        Removing apps or pruning goes beyond what Spin promises; it documents only the deletion of the
        whole ``registry`` directory. Therefore: an app's manifest goes before its blobs; a file that was
        written, touched or replaced since the plan stays; each blob is renamed first, and gets its name
        back if an app that needs it has appeared by then; links are never followed.
        """
        return self.carry_out(self) if self.carry_out is not None else RemovalResult(self, ())

    def __str__(self) -> str:
        lines = [self.summary(), *table_lines(self._going(_ROWS_SHOWN))]
        if self.kept:
            size = size_text(sum(blob.stored_bytes for blob in self.kept))
            lines.append(f"kept: {count_text(len(self.kept), 'file')}, {size}")
            lines += table_lines(self._staying(_ROWS_SHOWN // 2))
        return "\n".join([*lines, *self._said()])

    def summary(self) -> str:
        """The plan in one line."""
        where = printable(str(self.cache.path))
        if not self.items:
            return f"{self.kind}: nothing to do in {where}"
        what = count_text(len(self.items), "item")
        return f"{self.kind}: {what}, {size_text(self.freed_bytes)} to free in {where}"

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.summary()}>"

    def html(self, *, most: int = _ROWS_SHOWN) -> str:
        """The plan as HTML, escaped; at most so many items are listed, and half as many that stay."""
        tables = (self._going(most).html(), self._staying(most // 2).html())
        return block("", self.summary(), *tables, notes=self._said())

    def _repr_html_(self) -> str:
        return self.html()

    def _going(self, most: int) -> Table:
        return Table([(i.what, i.path, i.stored_bytes, i.reason) for i in self.items], _GOING, most=most)

    def _staying(self, most: int) -> Table:
        rows = [
            (
                one.path,
                one.stored_bytes,
                f"{one.reason}: {users_text(one.users)}" if one.users else one.reason,
            )
            for one in self.kept
        ]
        return Table(rows, _KEPT, most=most)

    def _said(self) -> list[str]:
        return [*_linked_notes(self.items), *self.notes, self.notice]


@dataclass(frozen=True, slots=True)
class Skipped:
    """Something that was to go and did not."""

    item: RemovalItem
    reason: str


@dataclass(frozen=True, slots=True, repr=False)
class RemovalResult:
    """What a removal took.

    Parameters
    ----------
    plan
        What was carried out.
    removed
        What is gone.
    skipped
        What stayed because something changed since the plan: it was touched, or somebody needs it now.
    failed
        What the system refused to remove.
    """

    plan: RemovalPlan
    removed: tuple[RemovalItem, ...]
    skipped: tuple[Skipped, ...] = ()
    failed: tuple[Skipped, ...] = ()

    @property
    def kind(self) -> PlanKind:
        """``remove``, ``prune`` or ``clear``."""
        return self.plan.kind

    @property
    def freed_bytes(self) -> int:
        """Bytes that are gone."""
        return sum(item.stored_bytes for item in self.removed)

    def __str__(self) -> str:
        return "\n".join([self.summary(), *table_lines(self._left()), *_linked_notes(self.removed)])

    def summary(self) -> str:
        """The result in one line."""
        gone, left, failed = (
            count_text(len(items), "item") for items in (self.removed, self.skipped, self.failed)
        )
        text = f"{self.kind}: removed {gone}, freed {size_text(self.freed_bytes)}"
        text += f"; {left} left, as things changed" if self.skipped else ""
        return text + (f"; {failed} could not be removed" if self.failed else "")

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.summary()}>"

    def _repr_html_(self) -> str:
        return block("", self.summary(), self._left().html(), notes=_linked_notes(self.removed))

    def _left(self) -> Table:
        rows = [(one.item.path, one.item.stored_bytes, one.reason) for one in (*self.failed, *self.skipped)]
        return Table(rows, _LEFT, most=_ROWS_SHOWN)


def table_lines(table: Table) -> list[str]:
    """A table as indented lines of text, and how many rows it leaves out."""
    more = [more_text(table.more, 0)] if table.more else []
    return [f"  {line}" for line in (*table.text(), *more)] if table.rows else []


def users_text(users: Sequence[Any]) -> str:
    """Name who needs something: up to three, and how many more."""
    more = more_text(len(users), _USERS_SHOWN)
    return ", ".join(users[:_USERS_SHOWN]) + (f" {more}" if more else "")


def _linked_notes(items: Iterable[RemovalItem]) -> list[str]:
    count = sum(item.linked_files for item in items)
    what = count_text(count, "file")
    note = f"{what} of these free nothing: names outside of the cache (hard links) keep their bytes."
    return [note] if count else []

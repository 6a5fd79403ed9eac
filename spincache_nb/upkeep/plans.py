"""What a removal would take, what it leaves and why: frozen values with a text and an HTML form."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from spincache_nb.core.cache import Cache
from spincache_nb.core.documents import Area
from spincache_nb.core.files import FileState, Parts
from spincache_nb.errors import printable
from spincache_nb.show import Cell, block, count_text, more_text, size_cell, size_text, table

PlanKind = Literal["remove", "prune", "clear"]
What = Literal["manifest", "locked app", "blob", "temporary file", "empty folder", "folder", "leftover"]

SELECTIVE_NOTICE = (
    "This goes beyond what Spin promises: it documents only the deletion of the whole registry directory."
)
"""Said with every plan to remove or prune (Spin's page on its internal data layout)."""

CLEAR_NOTICE = "This is the one operation on the cache that Spin documents; Spin fetches again what it needs."
"""Said with every plan to clear."""

_ROWS_SHOWN = 10
_KEPT_SHOWN = 5
_USERS_SHOWN = 3


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
    projects
        spin.toml files or folders whose needs count, too.
    grace_seconds
        Age in seconds below which files stay.
    documents
        State of what said who needs what, when the plan was made.
    """

    cache: Cache
    kind: PlanKind
    items: tuple[RemovalItem, ...]
    kept: tuple[KeptBlob, ...] = ()
    references: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    projects: tuple[str, ...] = ()
    grace_seconds: float = 0
    documents: Mapping[Path, FileState | None] = field(default_factory=dict, repr=False, compare=False)

    @property
    def freed_bytes(self) -> int:
        """Bytes that go: how much smaller the sum of all file sizes under ``registry`` becomes."""
        return sum(item.stored_bytes for item in self.items)

    @property
    def kept_bytes(self) -> int:
        """Bytes of what stays."""
        return sum(blob.stored_bytes for blob in self.kept)

    @property
    def notice(self) -> str:
        """How what is planned relates to what Spin promises about its cache."""
        return CLEAR_NOTICE if self.kind == "clear" else SELECTIVE_NOTICE

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
        from spincache_nb.upkeep.execution import execute

        return execute(self)

    def __str__(self) -> str:
        lines = [self.summary()]
        lines += [f"  {_item_line(item)}" for item in self.items[:_ROWS_SHOWN]]
        lines += _more(self.items, _ROWS_SHOWN, "  ")
        if self.kept:
            lines.append(f"kept: {count_text(len(self.kept), 'file')}, {size_text(self.kept_bytes)}")
            lines += [f"  {_kept_line(blob)}" for blob in self.kept[:_KEPT_SHOWN]]
            lines += _more(self.kept, _KEPT_SHOWN, "  ")
        return "\n".join([*lines, *self.notes, self.notice])

    def summary(self) -> str:
        """The plan in one line."""
        if not self.items:
            return f"{self.kind}: nothing to do in {printable(str(self.cache.path))}"
        what = count_text(len(self.items), "item")
        freed = size_text(self.freed_bytes)
        return f"{self.kind}: {what}, {freed} to free in {printable(str(self.cache.path))}"

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.summary()}>"

    def html(self, *, most: int = _ROWS_SHOWN) -> str:
        """The plan as HTML, escaped.

        Parameters
        ----------
        most
            Items to list at most, and half as many of what is kept.
        """
        going = [(i.what, i.path, i.stored_bytes, i.reason) for i in self.items[:most]]
        staying = [("kept", one.path, one.stored_bytes, _kept_reason(one)) for one in self.kept[: most // 2]]
        more = [more_text(len(self.items), most)]
        more += [f"kept: {line}" for line in _more(self.kept, most // 2, "")]
        rows = [*going, *staying]
        return _html(self.summary(), rows, len(rows), [*more, *self.notes, self.notice])

    def _repr_html_(self) -> str:
        return self.html()


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
        lines = [self.summary()]
        for skipped in (*self.failed, *self.skipped)[:_ROWS_SHOWN]:
            lines.append(f"  {skipped.item.path}: {printable(skipped.reason)}")
        return "\n".join([*lines, *_more((*self.failed, *self.skipped), _ROWS_SHOWN, "  ")])

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
        left = [(s.item.path, s.item.stored_bytes, s.reason) for s in (*self.failed, *self.skipped)]
        return _html(self.summary(), [("left", *row) for row in left], _ROWS_SHOWN, ())


def users_text(users: Sequence[str]) -> str:
    """Name who needs something: up to three, and how many more."""
    shown = ", ".join(users[:_USERS_SHOWN])
    return shown + (f" and {len(users) - _USERS_SHOWN} more" if len(users) > _USERS_SHOWN else "")


def _more(things: Sequence[object], shown: int, indent: str) -> list[str]:
    more = more_text(len(things), shown)
    return [f"{indent}{more}"] if more else []


def _item_line(item: RemovalItem) -> str:
    return printable(f"{item.what} {item.path} ({size_text(item.stored_bytes)}): {item.reason}")


def _kept_reason(blob: KeptBlob) -> str:
    return f"{blob.reason}: {users_text(blob.users)}" if blob.users else blob.reason


def _kept_line(blob: KeptBlob) -> str:
    return printable(f"{blob.path} ({size_text(blob.stored_bytes)}): {_kept_reason(blob)}")


def _html(summary: str, rows: Sequence[tuple[str, str, int, str]], most: int, notes: Iterable[str]) -> str:
    cells = [
        (Cell(what), Cell(path, "code"), size_cell(size), Cell(reason)) for what, path, size, reason in rows
    ]
    return block("", summary, table(("", "path", "size", "why"), cells, most=most), notes=notes)

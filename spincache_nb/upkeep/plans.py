"""What a removal would take, what it leaves and why: frozen values, shown as tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from spincache_nb.core.cache import Cache
from spincache_nb.core.documents import Area
from spincache_nb.core.files import FileState, Parts
from spincache_nb.core.layout import shown
from spincache_nb.core.scan import DiskFile
from spincache_nb.errors import printable
from spincache_nb.show import Column, Table, block, count_text, more_text, size_text

PlanKind = Literal["remove", "prune", "clear"]
What = Literal["manifest", "locked app", "blob", "temporary file", "empty folder", "folder", "leftover"]

DOCUMENTS = ("manifest", "locked app")
GONE = "it is gone already"

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


class Shown:
    """A value that shows itself: in one line, as text, and as HTML."""

    __slots__ = ()

    def summary(self) -> str:
        """All of it in one line."""
        raise NotImplementedError

    def _tables(self, most: int) -> Iterable[Table]:
        raise NotImplementedError

    def _notes(self) -> list[str]:
        return []

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.summary()}>"

    def __str__(self) -> str:
        lines = [self.summary()]
        for table in self._tables(_ROWS_SHOWN):
            more = [more_text(table.more, 0)] if table.more else []
            lines += [f"  {line}" for line in (*table.text(), *more)] if table.rows else []
        return "\n".join([*lines, *self._notes()])

    def html(self, *, most: int = _ROWS_SHOWN) -> str:
        """The value as HTML, escaped; its first table has at most so many rows."""
        return block("", self.summary(), *(table.html() for table in self._tables(most)), notes=self._notes())

    def _repr_html_(self) -> str:
        return self.html()


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

    @classmethod
    def at(cls, root: Path, path: Path, what: What, reason: str, **more: Any) -> RemovalItem | None:
        """Make an item of a file as it is now, or of a folder; None if none is there."""
        state = FileState.at(path)
        is_folder = what in ("folder", "empty folder")
        if state is None or not (state.is_folder if is_folder else state.is_file):
            return None
        parts: Parts = path.relative_to(root).parts
        more = {"stored_bytes": 0 if is_folder else state.size, **more}
        return cls(shown("/".join(parts)) or ".", what, reason=reason, parts=parts, state=state, **more)

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


class Freed:
    """What the disk gets back for each of several files as they go: of one with many names, for the last."""

    def __init__(self, files: Iterable[DiskFile]) -> None:
        self.first_names = {file.path: file.same_as or file.path for file in files}
        self.names = Counter(self.first_names.values())
        self.left = self.names.copy()

    def of(self, path: str, state: FileState) -> tuple[int, bool]:
        """Bytes, and whether there are none because of names outside of the cache."""
        first = self.first_names.get(path)
        if state.links <= 1 or first is None:
            return state.size, False
        self.left[first] -= 1
        is_linked = state.links > self.names[first]
        return (0 if self.left[first] or is_linked else state.size), is_linked


@dataclass(frozen=True, slots=True, repr=False)
class RemovalPlan(Shown):
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

    def summary(self) -> str:
        """The plan in one line."""
        where = printable(str(self.cache.path))
        if not self.items:
            return f"{self.kind}: nothing to do in {where}"
        what = count_text(len(self.items), "item")
        return f"{self.kind}: {what}, {size_text(self.freed_bytes)} to free in {where}"

    def _tables(self, most: int) -> Iterable[Table]:
        yield Table([(i.what, i.path, i.stored_bytes, i.reason) for i in self.items], _GOING, most=most)
        rows = [(one.path, one.stored_bytes, _why_kept(one)) for one in self.kept]
        yield Table(rows, _KEPT, most=most // 2)

    def _notes(self) -> list[str]:
        size = size_text(sum(blob.stored_bytes for blob in self.kept))
        kept = [f"kept: {count_text(len(self.kept), 'file')}, {size}"] if self.kept else []
        return [*kept, *_linked_notes(self.items), *self.notes, self.notice]


@dataclass(frozen=True, slots=True)
class Skipped:
    """Something that was to go and did not."""

    item: RemovalItem
    reason: str


@dataclass(frozen=True, slots=True, repr=False)
class RemovalResult(Shown):
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

    def summary(self) -> str:
        """The result in one line."""
        gone, left, failed = (
            count_text(len(items), "item") for items in (self.removed, self.skipped, self.failed)
        )
        text = f"{self.kind}: removed {gone}, freed {size_text(self.freed_bytes)}"
        text += f"; {left} left, as things changed" if self.skipped else ""
        return text + (f"; {failed} could not be removed" if self.failed else "")

    def _tables(self, most: int) -> Iterable[Table]:
        rows = [(one.item.path, one.item.stored_bytes, one.reason) for one in (*self.failed, *self.skipped)]
        yield Table(rows, _LEFT, most=most)

    def _notes(self) -> list[str]:
        return _linked_notes(self.removed)


class Removing:
    """A plan that is being carried out: what has become of its items so far."""

    def __init__(self, plan: RemovalPlan) -> None:
        self.plan = plan
        self.root = plan.cache.path
        self.removed: list[RemovalItem] = []
        self.skipped: list[Skipped] = []
        self.failed: list[Skipped] = []

    def skip(self, items: Iterable[RemovalItem], reason: str) -> None:
        """Leave items, as something has changed."""
        self.skipped += [Skipped(item, reason) for item in items]

    def result(self) -> RemovalResult:
        """What became of everything."""
        return RemovalResult(self.plan, tuple(self.removed), tuple(self.skipped), tuple(self.failed))


def users_text(users: Sequence[str]) -> str:
    """Name who needs something: up to three, and how many more."""
    more = more_text(len(users), _USERS_SHOWN)
    return ", ".join(users[:_USERS_SHOWN]) + (f" {more}" if more else "")


def _why_kept(blob: KeptBlob) -> str:
    return f"{blob.reason}: {users_text(blob.users)}" if blob.users else blob.reason


def _linked_notes(items: Iterable[RemovalItem]) -> list[str]:
    count = sum(item.linked_files for item in items)
    what = count_text(count, "file")
    note = f"{what} of these free nothing: names outside of the cache (hard links) keep their bytes."
    return [note] if count else []

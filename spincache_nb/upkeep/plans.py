"""What a removal would take, what it leaves and why: frozen values with a text and an HTML form."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from spincache_nb.core.cache import Cache
from spincache_nb.core.documents import Area
from spincache_nb.core.files import FileState, Parts
from spincache_nb.core.layout import shown
from spincache_nb.core.scan import CachedTag, DiskFile, StoredBlob
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
    projects
        spin.toml files or folders whose needs count, too.
    grace_seconds
        Age in seconds below which files stay.
    even_if_unknown
        Whether blobs may go although nobody says who needs them.
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
        return self.carry_out(self) if self.carry_out is not None else RemovalResult(self, ())

    def __str__(self) -> str:
        lines = [self.summary()]
        lines += [f"  {_item_line(item)}" for item in self.items[:_ROWS_SHOWN]]
        lines += _more(self.items, _ROWS_SHOWN, "  ")
        if self.kept:
            lines.append(f"kept: {count_text(len(self.kept), 'file')}, {size_text(self.kept_bytes)}")
            lines += [f"  {_kept_line(blob)}" for blob in self.kept[:_KEPT_SHOWN]]
            lines += _more(self.kept, _KEPT_SHOWN, "  ")
        return "\n".join([*lines, *_linked_notes(self.items), *self.notes, self.notice])

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
        return _html(
            self.summary(), rows, len(rows), [*more, *_linked_notes(self.items), *self.notes, self.notice]
        )

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
        lines += _more((*self.failed, *self.skipped), _ROWS_SHOWN, "  ")
        return "\n".join([*lines, *_linked_notes(self.removed)])

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
        return _html(
            self.summary(), [("left", *row) for row in left], _ROWS_SHOWN, _linked_notes(self.removed)
        )


# Making items ----------------------------------------------------------------------------------


def file_item(
    root: Path,
    path: Path,
    what: What,
    reason: str,
    *,
    digest: str | None = None,
    reference: str | None = None,
) -> RemovalItem | None:
    """Make an item of a file as it is now; None if it is gone, or no regular file."""
    state = FileState.at(path)
    if state is None or not state.is_file:
        return None
    parts = path.relative_to(root).parts
    return RemovalItem(shown("/".join(parts)), what, state.size, reason, digest, reference, parts, state)


def folder_item(root: Path, parts: Parts, what: What, reason: str, size: int = 0) -> RemovalItem | None:
    """Make an item of a folder as it is now; None if there is none."""
    state = FileState.at(root.joinpath(*parts))
    if state is None or not state.is_folder:
        return None
    return RemovalItem(shown("/".join(parts)) or ".", what, size, reason, parts=parts, state=state)


def blob_item(root: Path, blob: StoredBlob, reason: str) -> RemovalItem | None:
    """Make an item of a blob, if it still is as the inventory found it."""
    digest = str(blob.digest) if blob.digest is not None else None
    what: What = "temporary file" if blob.form == "temporary" else "blob"
    item = file_item(root, blob.path, what, reason, digest=digest)
    if item is None or item.state is None or item.state.modified_ns != blob.modified_ns:
        return None
    return item


def tag_items(root: Path, tags: Iterable[CachedTag], reason: str) -> Iterator[RemovalItem]:
    """Make items of the documents of cached tags: each manifest before its locked app."""
    for tag in tags:
        for item in (
            file_item(root, tag.manifest_path, "manifest", reason, reference=tag.reference),
            file_item(root, tag.locked_app_path, "locked app", reason, reference=tag.reference),
        ):
            if item is not None:
                yield item


def kept_blob(blob: StoredBlob, users: Sequence[str], reason: str) -> KeptBlob:
    """Say of a blob that it stays."""
    digest = str(blob.digest) if blob.digest is not None else None
    return KeptBlob(f"{blob.area}/{blob.name}", blob.area, digest, blob.stored_bytes, tuple(users), reason)


def with_freed_bytes(items: Sequence[RemovalItem], files: Iterable[DiskFile]) -> tuple[RemovalItem, ...]:
    """Say what each item frees where files have several names: the last of them frees the bytes."""
    if not any(item.state is not None and item.state.links > 1 for item in items):
        return tuple(items)
    first_names = {file.path: file.same_as or file.path for file in files}
    names = Counter(first_names.values())
    left = names.copy()
    counted = []
    for item in items:
        state, first = item.state, first_names.get(item.path)
        if state is not None and state.links > 1 and first is not None:
            left[first] -= 1
            is_linked = state.links > names[first]
            size = 0 if left[first] or is_linked else state.size
            item = replace(item, stored_bytes=size, linked_files=int(is_linked))
        counted.append(item)
    return tuple(counted)


# Text ------------------------------------------------------------------------------------------


def users_text(users: Sequence[str]) -> str:
    """Name who needs something: up to three, and how many more."""
    names = ", ".join(users[:_USERS_SHOWN])
    return names + (f" and {len(users) - _USERS_SHOWN} more" if len(users) > _USERS_SHOWN else "")


def _more(things: Sequence[object], most: int, indent: str) -> list[str]:
    more = more_text(len(things), most)
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


def _linked_notes(items: Iterable[RemovalItem]) -> list[str]:
    count = sum(item.linked_files for item in items)
    if not count:
        return []
    files = count_text(count, "file")
    return [f"{files} of these free nothing: names outside of the cache (hard links) keep their bytes."]

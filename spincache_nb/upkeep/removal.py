"""Planning removals: of apps and what only they need, of what nothing needs, of the whole directory."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from spincache_nb.core.cache import Cache
from spincache_nb.core.files import FileState, Parts
from spincache_nb.core.layout import AREAS, MANIFESTS, shown
from spincache_nb.core.reference import Reference
from spincache_nb.core.scan import CachedTag, StoredBlob, scan, scan_tags
from spincache_nb.errors import CacheError, NotInCacheError
from spincache_nb.inventory import CachedApp, Inventory, Standing, unnamed_members
from spincache_nb.inventory.columns import REFERENCED, STANDINGS
from spincache_nb.inventory.documents import locked_apps_beside
from spincache_nb.show import size_text
from spincache_nb.upkeep.execution import (
    ASIDE_NAME,
    CLEARED,
    States,
    document_states,
    execute,
    going,
    inventory_of,
    refuse_foreign_below,
    refuse_foreign_top,
    refuse_unless_cache,
    refuse_unless_known,
    sizes_below,
)
from spincache_nb.upkeep.plans import KeptBlob, PlanKind, RemovalItem, RemovalPlan, What, users_text

References = str | Reference | Iterable[str | Reference]
Projects = Sequence[str | os.PathLike[str]]

GRACE_SECONDS = 3600.0
"""Files younger than this stay: a pull that goes on may need them."""

_WASM_NOTE = (
    "A spin.toml or environment lock of a project that was not given may use blobs in wasm/; "
    "Spin would fetch them again."
)


# Single items ----------------------------------------------------------------------------------


def _item(root: Path, parts: Parts, what: What, reason: str, **more: Any) -> RemovalItem | None:
    """Make an item of a file as it is now, or of a folder; None if none is there."""
    state = FileState.at(root.joinpath(*parts))
    is_folder = what in ("folder", "empty folder")
    if state is None or not (state.is_folder if is_folder else state.is_file):
        return None
    more = {"stored_bytes": 0 if is_folder else state.size, **more}
    return RemovalItem(shown("/".join(parts)) or ".", what, reason=reason, parts=parts, state=state, **more)


def _blob_item(root: Path, blob: StoredBlob, reason: str) -> RemovalItem | None:
    """Make an item of a blob, if it still is as the inventory found it."""
    what: What = "temporary file" if blob.form == "temporary" else "blob"
    digest = str(blob.digest) if blob.digest is not None else None
    item = _item(root, blob.path.relative_to(root).parts, what, reason, digest=digest)
    is_same = item is not None and item.state is not None and item.state.modified_ns == blob.modified_ns
    return item if is_same else None


def _tag_items(root: Path, tags: Iterable[CachedTag], reason: str) -> Iterator[RemovalItem]:
    """Make items of the documents of cached tags: each manifest before its locked app."""
    for tag in tags:
        documents: tuple[tuple[What, Path], ...] = (
            ("manifest", tag.manifest_path),
            ("locked app", tag.locked_app_path),
        )
        for what, path in documents:
            item = _item(root, path.relative_to(root).parts, what, reason, reference=tag.reference)
            if item is not None:
                yield item


def _kept(blob: StoredBlob, users: Sequence[str], reason: str) -> KeptBlob:
    digest = str(blob.digest) if blob.digest is not None else None
    return KeptBlob(f"{blob.area}/{blob.name}", blob.area, digest, blob.stored_bytes, tuple(users), reason)


def _with_freed_bytes(items: Sequence[RemovalItem], inventory: Inventory) -> tuple[RemovalItem, ...]:
    """Say what each item frees where files have several names: the last of them frees the bytes."""
    if not any(item.state is not None and item.state.links > 1 for item in items):
        return tuple(items)
    first_names = {file.path: file.same_as or file.path for file in inventory.files}
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


# What a plan is made from ----------------------------------------------------------------------


class _Ground(NamedTuple):
    """A cache from which something is to be removed, and who needs each blob, by its row."""

    inventory: Inventory
    documents: States
    projects: tuple[str, ...]
    users: dict[int, list[str]]

    def plan(self, kind: PlanKind, items: Sequence[RemovalItem], **more: Any) -> RemovalPlan:
        return RemovalPlan(
            cache=self.inventory.cache,
            kind=kind,
            items=_with_freed_bytes(items, self.inventory),
            projects=self.projects,
            documents=self.documents,
            carry_out=execute,
            **more,
        )


def _survey(cache: Cache, projects: Projects) -> _Ground:
    """Look at a cache; refuses what is none."""
    refuse_unless_cache(cache.path)
    names = [os.fspath(project) for project in projects]
    if not scan_tags(cache.path):
        names += [one for one in locked_apps_beside(cache.path) if one not in names]
    documents = document_states(cache, names)  # before the inventory, so that a later change is noticed
    inventory = inventory_of(cache, names)
    users: dict[int, list[str]] = {}
    uses, named = inventory.contents.uses, inventory.contents.users
    for user, row in zip(uses.users.tolist(), uses.blobs.tolist(), strict=True):
        users.setdefault(row, []).append(named[user])
    return _Ground(inventory, documents, tuple(names), {row: sorted(some) for row, some in users.items()})


def _app_items(
    ground: _Ground, chosen: Collection[str], reason: str
) -> tuple[list[RemovalItem], list[RemovalItem], list[KeptBlob]]:
    """The documents of some apps; of their blobs those that nobody else needs, and those that stay."""
    inventory, names = ground.inventory, frozenset(chosen)
    root, blobs = inventory.cache.path, inventory.blobs
    tags = [tag for tag in inventory.stored.scan.tags if tag.reference in names]
    kept: list[KeptBlob] = []
    exclusive: list[tuple[StoredBlob, list[str]]] = []
    for row, users in sorted(ground.users.items()):
        others = [user for user in users if user not in names]
        if len(others) == len(users):
            continue
        if others:
            kept.append(_kept(blobs.blob(row), others, "others need it"))
        else:
            exclusive.append((blobs.blob(row), users))
    wanted = {blob.digest for blob, _ in exclusive if blob.area == "data" and blob.digest is not None}
    holders: dict[Any, str] = {}
    for user, digest in unnamed_members(inventory, wanted=wanted):
        if user not in names:
            holders.setdefault(digest, user)
    items = []
    for blob, users in exclusive:
        item = _blob_item(root, blob, f"only needed by {users_text(users)}")
        if blob.area == "data" and blob.digest in holders:
            why = "a stored archive holds it, which Spin unpacks only once"
            kept.append(_kept(blob, [holders[blob.digest]], why))
        elif item is None:
            kept.append(_kept(blob, (), "it was written or touched just now"))
        else:
            items.append(item)
    return list(_tag_items(root, tags, reason)), items, kept


# Removing apps ---------------------------------------------------------------------------------


def plan_remove(
    cache: Cache, references: References, *, projects: Projects = (), even_if_unknown: bool = False
) -> RemovalPlan:
    """Say what removing apps would take, and which of their blobs stay because others need them.

    Parameters
    ----------
    cache
        The cache.
    references
        The apps, all at once: a blob that only two of them need goes with both.
    projects
        ``spin.toml`` files or folders of projects that use this cache too, or a container's ``spin.json``.
    even_if_unknown
        Whether to go on where an app that stays has two empty documents, so that nobody knows what it needs.

    Returns
    -------
    RemovalPlan
        Its ``freed_bytes`` are exactly what goes; ``kept`` names each blob that stays, and for whom: also
        one that an archive of another app holds without that app naming it.

    Raises
    ------
    InvalidReferenceError, NotInCacheError
        If a text is no reference, or the cache has no such app.
    NotACacheError
        If the directory is not a Spin registry cache.
    CacheError, SpinManifestError
        If a cached app or a project cannot be read or is not there, so that it is not known what it needs.

    Notes
    -----
    This goes beyond what Spin promises. Its documentation describes the cache for diagnosis only, and
    names one safe operation: deleting the whole ``registry`` directory (`plan_clear`). Removing single
    apps works with the layout of Spin v0.8 to v4.0, and an app that is removed is simply pulled again.
    """
    ground = _survey(cache, projects)
    given = [references] if isinstance(references, str | Reference) else references
    known = {app.reference for app in ground.inventory.apps}
    chosen = list(dict.fromkeys(_resolved(reference, known) for reference in given))
    refuse_unless_known(ground.inventory, leaving=chosen, even_if_unknown=even_if_unknown)
    documents, blobs, kept = _app_items(ground, chosen, "the app is to be removed")
    more = {"kept": tuple(kept), "references": tuple(chosen), "even_if_unknown": even_if_unknown}
    return ground.plan("remove", [*documents, *blobs], **more)


def _resolved(reference: str | Reference, known: Collection[str]) -> str:
    """Name of a cached app, short forms included."""
    if str(reference) in known:
        return str(reference)
    name = Reference.parse(reference).cached_name
    if name not in known:
        raise NotInCacheError(name, "an app in the cache", "none of that name", "see frames.apps(cache)")
    return name


# Pruning ---------------------------------------------------------------------------------------


def plan_prune(
    cache: Cache,
    *,
    projects: Projects = (),
    grace_seconds: float = GRACE_SECONDS,
    keep_bytes: int | None = None,
    keep_newest: int | None = None,
    even_if_unknown: bool = False,
) -> RemovalPlan:
    """Say what could go because nothing needs it, and why each file is thought unneeded.

    Parameters
    ----------
    cache
        The cache.
    projects
        ``spin.toml`` files or folders of projects that use this cache too: what they and their
        environment locks name by digest is needed. So is what a locked app names: give the ``spin.json``
        of a container that containerd-shim-spin filled; one beside the cache is found.
    grace_seconds
        Files younger than this stay (seconds since they were last written or touched): a pull that
        goes on may need them. With 0 the unfinished files of such a pull go, too, and it fails.
    keep_bytes
        Size budget in bytes. If what is left under ``registry`` is still larger, apps are removed too,
        the least recently pulled first, until it is not.
    keep_newest
        Number of most recently pulled apps that a budget never removes. Without `keep_bytes`: all but
        these are removed.
    even_if_unknown
        Whether to go on where nobody says who needs what: blobs without any manifest or project, or an app
        with two empty documents.

    Returns
    -------
    RemovalPlan
        Each item has a ``reason``.

    Raises
    ------
    ValueError
        If a number is negative.
    NotACacheError
        If the directory is not a Spin registry cache.
    CacheError, SpinManifestError
        If a cached app or a project cannot be read, or none is there, so that it is not known what is needed.

    Notes
    -----
    This goes beyond what Spin promises; see `plan_remove`. A blob is needed if a manifest, a locked app, an
    archive layer, a given ``spin.toml`` or its environment lock says so. Files of other names than Spin and
    this toolkit give stay.
    """
    numbers = {"grace_seconds": grace_seconds, "keep_bytes": keep_bytes, "keep_newest": keep_newest}
    for name, value in numbers.items():
        if value is not None and not value >= 0:
            raise ValueError(f"{name} must not be negative, got {value!r}")
    ground = _survey(cache, projects)
    refuse_unless_known(ground.inventory, even_if_unknown=even_if_unknown)
    plan = _Pruning(ground, grace_seconds).plan(keep_bytes, keep_newest)
    return replace(plan, even_if_unknown=even_if_unknown, grace_seconds=grace_seconds)


class _Pruning:
    def __init__(self, ground: _Ground, grace_seconds: float) -> None:
        self.ground = ground
        self.inventory = ground.inventory
        self.cache = ground.inventory.cache
        self.root = self.cache.path
        self.grace_seconds = grace_seconds
        self.now = time.time()
        self.kept: list[KeptBlob] = []

    def plan(self, keep_bytes: int | None, keep_newest: int | None) -> RemovalPlan:
        unneeded = [*self.blobs(), *self.unfinished_documents()]
        folders = list(self.empty_folders())
        stored = sum(self.inventory.files.sizes) - sum(item.stored_bytes for item in unneeded)
        references, notes = self.chosen_apps(stored, keep_bytes, keep_newest)
        items = [*self.apps(references), *unneeded, *folders]
        if any(item.what == "blob" and item.area == "wasm" for item in items):
            notes.append(_WASM_NOTE)
        found = {"kept": tuple(self.kept), "references": tuple(references), "notes": tuple(notes)}
        return self.ground.plan("prune", items, **found)

    def is_young(self, modified_ns: int) -> bool:
        """Whether something was written within the grace period, or is dated in the future."""
        return self.now - modified_ns / 1e9 < self.grace_seconds

    def since(self, modified_ns: int) -> str:
        return f"last written or touched {_ago(self.now - modified_ns / 1e9)}"

    # What nothing needs ----------------------------------------------------------------------

    def blobs(self) -> Iterator[RemovalItem]:
        blobs = self.inventory.blobs
        for row in (blobs.standings != REFERENCED).nonzero()[0].tolist():
            blob = blobs.blob(row)
            reason = self.reason(blob, STANDINGS[blobs.standings[row]])
            if reason is None:
                continue
            since = self.since(blob.modified_ns)
            if self.is_young(blob.modified_ns):
                self.kept.append(_kept(blob, (), f"nothing needs it, but it is young: {since}"))
                continue
            item = _blob_item(self.root, blob, f"{reason}; {since}")
            if item is not None:
                yield item

    def reason(self, blob: StoredBlob, standing: Standing) -> str | None:
        """Why a file in ``wasm/`` or ``data/`` is thought unneeded; None if it is not."""
        form = blob.form
        if form == "temporary":
            return "a download that was killed: it is no blob, and nobody goes on with it"
        if form == "bare hex":
            return "Spin v0.9 to v1.x kept a web source under this name; Spin v2.0 and later never finds it"
        if form == "digest" and standing == "misnamed":
            return (
                "the same blob is stored under the name that this system uses" if self.is_twin(blob) else None
            )
        if standing != "unreferenced":
            return None
        if blob.area == "data":
            return "no manifest, locked app or archive in the cache needs it"
        return "no manifest or locked app in the cache and no given project needs it"

    def is_twin(self, blob: StoredBlob) -> bool:
        """Whether the first spelling of a name that is stored twice is whole."""
        try:
            return blob.digest is not None and self.cache.is_whole(blob.digest, blob.area)
        except CacheError:
            return False

    def unfinished_documents(self) -> Iterator[RemovalItem]:
        """Temporary files that killed pulls left in tag folders."""
        yield from self.old_problems("temporary file", "temporary file", "left by a pull that was killed")

    def empty_folders(self) -> Iterator[RemovalItem]:
        for item in self.old_problems("empty tag folder", "empty folder", "no app is in it"):
            assert item.state is not None
            yield replace(item, reason=f"{item.reason}; {self.since(item.state.modified_ns)}")

    def old_problems(self, kind: str, what: What, reason: str) -> Iterator[RemovalItem]:
        for problem in self.inventory.problems:
            if problem.kind == kind and problem.path.startswith(f"{MANIFESTS}/") and "\\" not in problem.path:
                item = _item(self.root, tuple(problem.path.split("/")), what, reason)
                if item is not None and item.state is not None and not self.is_young(item.state.modified_ns):
                    yield item

    # What is beyond a budget -----------------------------------------------------------------

    def apps(self, references: Collection[str]) -> Iterator[RemovalItem]:
        reason = "least recently pulled, beyond what is to be kept"
        documents, blobs, kept = _app_items(self.ground, references, reason) if references else ([], [], [])
        yield from documents
        self.kept += kept
        for item in blobs:
            if item.state is not None and self.is_young(item.state.modified_ns):
                why = f"it is young: {self.since(item.state.modified_ns)}"
                self.kept.append(KeptBlob(item.path, item.area, item.digest, item.stored_bytes, (), why))
            else:
                yield item

    def chosen_apps(
        self, stored: int, keep_bytes: int | None, keep_newest: int | None
    ) -> tuple[list[str], list[str]]:
        """Apps to remove of those that are stored in so many bytes, and what is to be said."""
        if keep_bytes is None and keep_newest is None:
            return [], []
        freed_by = self.counting()
        newest_first = sorted(self.inventory.apps, key=lambda app: (-_pulled_ns(app), app.reference))
        chosen: list[str] = []
        for app in reversed(newest_first[keep_newest or 0 :]):
            if keep_bytes is not None and stored <= keep_bytes:
                break
            if not self.is_young(_pulled_ns(app)):
                stored -= freed_by(app)
                chosen.append(app.reference)
        if keep_bytes is None or stored <= keep_bytes:
            return chosen, []
        over = size_text(stored - keep_bytes)
        why = "the apps that need them are among the newest, or were pulled within the grace period"
        return chosen, [f"The budget is not kept: {over} more than keep_bytes stay, as {why}."]

    def counting(self) -> Callable[[CachedApp], int]:
        """What says how much goes with an app, given those before it."""
        blobs, files = self.inventory.blobs, self.inventory.files
        holders: dict[str, set[str]] = {}
        for user, digest in unnamed_members(self.inventory):
            holders.setdefault(str(digest), set()).add(user)
        counted = dict(zip(files.paths, files.sizes, strict=True))
        needed_by: dict[str, list[int]] = {}
        left: dict[int, int] = {}
        sizes: dict[int, int] = {}
        for row, users in self.ground.users.items():
            blob = blobs.blob(row)
            if not self.is_young(blob.modified_ns):
                held = holders.get(str(blob.digest), set()) if blob.area == "data" else set()
                for user in (everybody := held.union(users)):
                    needed_by.setdefault(user, []).append(row)
                left[row] = len(everybody)
                sizes[row] = counted.get(f"{blob.area}/{blob.name}", blob.stored_bytes)

        def freed_by(app: CachedApp) -> int:
            freed = sum(state.size for state in _documents(app))
            for row in needed_by.get(app.reference, []):
                left[row] -= 1
                freed += 0 if left[row] else sizes[row]
            return freed

        return freed_by


def _pulled_ns(app: CachedApp) -> int:
    """When an app was last pulled, as far as its files tell (nanoseconds since 1970)."""
    if app.tag.modified_ns is not None:
        return app.tag.modified_ns
    return max((state.modified_ns for state in _documents(app)), default=0)


def _documents(app: CachedApp) -> list[FileState]:
    states = (FileState.at(path) for path in (app.tag.manifest_path, app.tag.locked_app_path))
    return [state for state in states if state is not None and state.is_file]


def _ago(seconds: float) -> str:
    if seconds < 0:
        return "in the future"
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= 2 * length:
            return f"{int(seconds // length)} {unit}s ago"
    return f"{int(seconds)} seconds ago"


# Clearing --------------------------------------------------------------------------------------


def plan_clear(cache: Cache) -> RemovalPlan:
    """Say what deleting the whole ``registry`` directory would take.

    Parameters
    ----------
    cache
        The cache; none at all makes an empty plan.

    Returns
    -------
    RemovalPlan
        Nothing is touched before ``execute()``.

    Raises
    ------
    NotACacheError
        If the directory is not a Spin registry cache: a home directory, ``/``, a link, or one that
        holds files that are not Spin's (what systems leave in any folder is no reason).
    CacheError
        If a part of it cannot be looked into.

    Notes
    -----
    This is the one operation that Spin documents as safe; Spin downloads again what it needs. The
    directory is renamed first, so that a Spin that starts at that moment sees either the old cache or
    none. Where that cannot be (a mount point, a file that is open on Windows), or where something lies that
    a system or a tool left (``.DS_Store``, ``lost+found``, ``.nfs...``), manifests go first, then blobs; what
    was left stays, and so do the folders that hold it.
    """
    items: list[RemovalItem] = []
    notes: tuple[str, ...] = ()
    if refuse_unless_cache(cache.path):
        found = scan(cache.path)
        refuse_foreign_below(cache.path, found)
        sizes, linked = sizes_below(cache.path, found)
        counts = Counter(folder for folder, _ in going(found))
        for name in (MANIFESTS, *AREAS, "."):
            why = CLEARED if name == "." else f"{CLEARED}: {counts[name]} files"
            more = {"stored_bytes": sizes[name], "linked_files": linked[name] if name != "." else 0}
            item = _item(cache.path, () if name == "." else (name,), "folder", why, **more)
            items += [item] if item is not None else []
        notes = (f"It holds {len(found.tags)} apps and {len(found.blobs)} blobs.",)
    items += _leftovers(cache.path)
    return RemovalPlan(cache=cache, kind="clear", items=tuple(items), notes=notes, carry_out=execute)


def _leftovers(root: Path) -> Iterator[RemovalItem]:
    """Directories that a clear renamed and was killed before it had removed."""
    try:
        names = sorted(filter(ASIDE_NAME.fullmatch, os.listdir(root.parent)))  # noqa: PTH208
    except OSError:
        return
    for name in names:
        path = root.parent / name
        state = FileState.at(path)
        try:
            if state is None or not state.is_folder:
                continue
            refuse_foreign_top(path)
        except CacheError:
            continue
        size = sizes_below(path, scan(path))[0].total()
        reason = "left by a clear that was killed"
        yield RemovalItem(f"../{name}", "leftover", size, reason, parts=("..", name), state=state)

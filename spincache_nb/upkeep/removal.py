"""Planning removals: of apps and what only they need, of what nothing needs, of the whole directory."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from spincache_nb.core.cache import Cache
from spincache_nb.core.files import FileState, Parts
from spincache_nb.core.layout import AREAS, MANIFESTS, shown
from spincache_nb.core.reference import Reference
from spincache_nb.core.scan import StoredBlob, scan, scan_tags
from spincache_nb.errors import CacheError, NotInCacheError
from spincache_nb.inventory import CachedApp, Standing, unnamed_members
from spincache_nb.inventory.columns import REFERENCED, STANDINGS
from spincache_nb.inventory.documents import locked_apps_beside
from spincache_nb.show import size_text
from spincache_nb.upkeep.execution import ASIDE_NAME, CLEARED, execute
from spincache_nb.upkeep.guards import (
    document_states,
    inventory_of,
    refuse_foreign_top,
    refuse_unless_cache,
    refuse_unless_known,
    scan_whole,
    weigh,
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
    choosing = _Choosing(cache, projects)
    given = [references] if isinstance(references, str | Reference) else references
    known = {app.reference for app in choosing.inventory.apps}
    chosen = list(dict.fromkeys(_resolved(reference, known) for reference in given))
    refuse_unless_known(choosing.inventory, leaving=chosen, even_if_unknown=even_if_unknown)
    items = list(choosing.apps(chosen, "the app is to be removed"))
    return choosing.plan("remove", items, references=tuple(chosen), even_if_unknown=even_if_unknown)


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
    choosing = _Choosing(cache, projects, grace_seconds)
    refuse_unless_known(choosing.inventory, even_if_unknown=even_if_unknown)
    plan = choosing.prune(keep_bytes, keep_newest)
    return replace(plan, grace_seconds=grace_seconds, even_if_unknown=even_if_unknown)


class _Choosing:
    """A cache from which something is to be removed, who needs what of it, and what stays."""

    def __init__(self, cache: Cache, projects: Projects, grace_seconds: float | None = None) -> None:
        refuse_unless_cache(cache.path)
        self.cache = cache
        self.root = cache.path
        self.grace_seconds = grace_seconds
        self.now = time.time()
        self.kept: list[KeptBlob] = []
        self.projects = [os.fspath(project) for project in projects]
        if not scan_tags(cache.path):
            self.projects += [one for one in locked_apps_beside(self.root) if one not in self.projects]
        self.documents = document_states(cache, self.projects)  # first, so that a later change is noticed
        self.inventory = inventory_of(cache, self.projects)
        self.users: dict[int, list[str]] = {}
        uses, names = self.inventory.contents.uses, self.inventory.contents.users
        for user, row in zip(uses.users.tolist(), uses.blobs.tolist(), strict=True):
            self.users.setdefault(row, []).append(names[user])

    def plan(self, kind: PlanKind, items: Sequence[RemovalItem], **more: Any) -> RemovalPlan:
        return RemovalPlan(
            cache=self.cache,
            kind=kind,
            items=self.with_freed_bytes(items),
            kept=tuple(self.kept),
            projects=tuple(self.projects),
            documents=self.documents,
            carry_out=execute,
            **more,
        )

    def with_freed_bytes(self, items: Sequence[RemovalItem]) -> tuple[RemovalItem, ...]:
        """Say what each item frees where files have several names: the last of them frees the bytes."""
        if not any(item.state is not None and item.state.links > 1 for item in items):
            return tuple(items)
        first_names = {file.path: file.same_as or file.path for file in self.inventory.files}
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

    def is_young(self, modified_ns: int) -> bool:
        """Whether something was written within the grace period, or is dated in the future."""
        return self.grace_seconds is not None and self.now - modified_ns / 1e9 < self.grace_seconds

    def since(self, modified_ns: int) -> str:
        return f"last written or touched {_ago(self.now - modified_ns / 1e9)}"

    def keep(self, blob: StoredBlob, users: Iterable[str], reason: str) -> None:
        digest = str(blob.digest) if blob.digest is not None else None
        path = f"{blob.area}/{blob.name}"
        self.kept.append(KeptBlob(path, blob.area, digest, blob.stored_bytes, tuple(users), reason))

    def blob_item(self, blob: StoredBlob, reason: str) -> RemovalItem | None:
        """Make an item of a blob, if it still is as the inventory found it."""
        what: What = "temporary file" if blob.form == "temporary" else "blob"
        digest = str(blob.digest) if blob.digest is not None else None
        item = _item(self.root, blob.path, what, reason, digest=digest)
        is_same = item is not None and item.state is not None and item.state.modified_ns == blob.modified_ns
        return item if is_same else None

    def prune(self, keep_bytes: int | None, keep_newest: int | None) -> RemovalPlan:
        """Plan to remove what nothing needs, and apps that are beyond a budget before it."""
        unneeded = [*self.unneeded_blobs(), *self.old("temporary file", "left by a pull that was killed")]
        stored = sum(file.stored_bytes for file in self.inventory.files)
        stored -= sum(item.stored_bytes for item in unneeded)
        chosen, notes = self.beyond(stored, keep_bytes, keep_newest)
        apps = self.apps(chosen, "least recently pulled, beyond what is to be kept") if chosen else ()
        items = [*apps, *unneeded, *self.old("empty tag folder", "no app is in it")]
        if any(item.what == "blob" and item.area == "wasm" for item in items):
            notes.append(_WASM_NOTE)
        return self.plan("prune", items, references=tuple(chosen), notes=tuple(notes))

    # Apps ------------------------------------------------------------------------------------

    def apps(self, chosen: Collection[str], reason: str) -> Iterator[RemovalItem]:
        """The documents of some apps, each manifest before its locked app, and blobs that only they need."""
        names = frozenset(chosen)
        for tag in (tag for tag in self.inventory.blobs.scan.tags if tag.reference in names):
            documents: list[tuple[What, Path]]
            documents = [("manifest", tag.manifest_path), ("locked app", tag.locked_app_path)]
            for what, path in documents:
                item = _item(self.root, path, what, reason, reference=tag.reference)
                if item is not None:
                    yield item
        only: list[tuple[StoredBlob, list[str]]] = []
        for row, users in sorted(self.users.items()):
            others = sorted(user for user in users if user not in names)
            if not others:
                only.append((self.inventory.blobs.blob(row), sorted(users)))
            elif len(others) < len(users):
                self.keep(self.inventory.blobs.blob(row), others, "others need it")
        wanted = {blob.digest for blob, _ in only if blob.area == "data" and blob.digest is not None}
        holders: dict[Any, str] = {}
        for user, digest in unnamed_members(self.inventory, wanted=wanted):
            if user not in names:
                holders.setdefault(digest, user)
        for blob, users in only:
            item = self.blob_item(blob, f"only needed by {users_text(users)}")
            if blob.area == "data" and blob.digest in holders:
                why = "a stored archive holds it, which Spin unpacks only once"
                self.keep(blob, [holders[blob.digest]], why)
            elif item is None:
                self.keep(blob, (), "it was written or touched just now")
            elif self.is_young(blob.modified_ns):
                self.keep(blob, (), f"it is young: {self.since(blob.modified_ns)}")
            else:
                yield item

    def beyond(
        self, stored: int, keep_bytes: int | None, keep_newest: int | None
    ) -> tuple[list[str], list[str]]:
        """Apps to remove of those that are stored in so many bytes, and what is to be said."""
        if keep_bytes is None and keep_newest is None:
            return [], []
        needed_by = self.needs()
        newest_first = sorted(self.inventory.apps, key=lambda app: (-_pulled_ns(app), app.reference))
        chosen: list[str] = []
        for app in reversed(newest_first[keep_newest or 0 :]):
            if keep_bytes is not None and stored <= keep_bytes:
                break
            if self.is_young(_pulled_ns(app)):
                continue
            chosen.append(app.reference)
            stored -= sum(state.size for state in _documents(app))
            for users, size in needed_by.get(app.reference, []):
                users.discard(app.reference)
                stored -= 0 if users else size
        if keep_bytes is None or stored <= keep_bytes:
            return chosen, []
        over = size_text(stored - keep_bytes)
        why = "the apps that need them are among the newest, or were pulled within the grace period"
        return chosen, [f"The budget is not kept: {over} more than keep_bytes stay, as {why}."]

    def needs(self) -> dict[str, list[tuple[set[str], int]]]:
        """Of each user the blobs that are old enough to go: who needs each too, and what it frees."""
        blobs = self.inventory.blobs
        holders: dict[str, list[str]] = {}
        for user, digest in unnamed_members(self.inventory):
            holders.setdefault(str(digest), []).append(user)
        counted = {file.path: file.stored_bytes for file in self.inventory.files}
        found: dict[str, list[tuple[set[str], int]]] = {}
        for row, named in self.users.items():
            blob = blobs.blob(row)
            if not self.is_young(blob.modified_ns):
                users = {*named, *(holders.get(str(blob.digest), ()) if blob.area == "data" else ())}
                size = counted.get(f"{blob.area}/{blob.name}", blob.stored_bytes)
                for user in users:
                    found.setdefault(user, []).append((users, size))
        return found

    # What nothing needs ----------------------------------------------------------------------

    def unneeded_blobs(self) -> Iterator[RemovalItem]:
        blobs = self.inventory.blobs
        for row in (blobs.standings != REFERENCED).nonzero()[0].tolist():
            blob = blobs.blob(row)
            reason = self.reason(blob, STANDINGS[blobs.standings[row]])
            since = self.since(blob.modified_ns)
            if reason is not None and self.is_young(blob.modified_ns):
                self.keep(blob, (), f"nothing needs it, but it is young: {since}")
            elif reason is not None and (item := self.blob_item(blob, f"{reason}; {since}")) is not None:
                yield item

    def reason(self, blob: StoredBlob, standing: Standing) -> str | None:
        """Why a file in ``wasm/`` or ``data/`` is thought unneeded; None if it is not."""
        if blob.form == "temporary":
            return "a download that was killed: it is no blob, and nobody goes on with it"
        if blob.form == "bare hex":
            return "Spin v0.9 to v1.x kept a web source under this name; Spin v2.0 and later never finds it"
        if blob.form == "digest" and standing == "misnamed":
            is_twin = self.has_twin(blob)
            return "the same blob is stored under the name that this system uses" if is_twin else None
        if standing != "unreferenced":
            return None
        if blob.area == "data":
            return "no manifest, locked app or archive in the cache needs it"
        return "no manifest or locked app in the cache and no given project needs it"

    def has_twin(self, blob: StoredBlob) -> bool:
        """Whether the first spelling of a name that is stored twice is whole."""
        return blob.digest is not None and self.cache.has_good(blob.digest, blob.area)

    def old(self, kind: str, reason: str) -> Iterator[RemovalItem]:
        """Temporary files that killed pulls left in tag folders, or empty folders."""
        for problem in self.inventory.problems:
            if problem.kind == kind and problem.path.startswith(f"{MANIFESTS}/") and "\\" not in problem.path:
                what: What = "temporary file" if kind == "temporary file" else "empty folder"
                item = _item(self.root, self.root / problem.path, what, reason)
                if item is not None and item.state is not None and not self.is_young(item.state.modified_ns):
                    since = self.since(item.state.modified_ns)
                    yield replace(item, reason=f"{reason}; {since}") if what == "empty folder" else item


def _item(root: Path, path: Path, what: What, reason: str, **more: Any) -> RemovalItem | None:
    """Make an item of a file as it is now, or of a folder; None if none is there."""
    state = FileState.at(path)
    is_folder = what in ("folder", "empty folder")
    if state is None or not (state.is_folder if is_folder else state.is_file):
        return None
    parts: Parts = path.relative_to(root).parts
    more = {"stored_bytes": 0 if is_folder else state.size, **more}
    return RemovalItem(shown("/".join(parts)) or ".", what, reason=reason, parts=parts, state=state, **more)


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
    found = scan_whole(cache.path)
    if found is not None:
        files, freed, linked = weigh(cache.path, found)
        for name in (MANIFESTS, *AREAS, "."):
            why = CLEARED if name == "." else f"{CLEARED}: {files[name]} files"
            more = {"stored_bytes": freed[name], "linked_files": linked[name] if name != "." else 0}
            item = _item(cache.path, cache.path / name, "folder", why, **more)
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
        size = weigh(path, scan(path)).freed.total()
        reason = "left by a clear that was killed"
        yield RemovalItem(f"../{name}", "leftover", size, reason, parts=("..", name), state=state)

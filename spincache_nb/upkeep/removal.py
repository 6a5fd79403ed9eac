"""Removing apps and what only they need, and pruning what nothing needs: planned first, then carried out."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from spincache_nb.core import removing
from spincache_nb.core.cache import Cache
from spincache_nb.core.files import FileState, Folder, Parts
from spincache_nb.core.layout import AREAS, MANIFESTS
from spincache_nb.core.reference import Reference
from spincache_nb.core.scan import StoredBlob, scan_tags
from spincache_nb.errors import CacheError, NotInCacheError
from spincache_nb.inventory import CachedApp, Standing, unnamed_members
from spincache_nb.inventory.columns import DATA, REFERENCED, STANDINGS, no_collections
from spincache_nb.inventory.documents import locked_apps_beside
from spincache_nb.show import size_text
from spincache_nb.upkeep.guards import (
    NewNeeds,
    document_states,
    inventory_of,
    refuse_unless_cache,
    refuse_unless_known,
)
from spincache_nb.upkeep.plans import (
    DOCUMENTS,
    GONE,
    Freed,
    KeptBlob,
    PlanKind,
    RemovalItem,
    RemovalPlan,
    RemovalResult,
    Removing,
    Skipped,
    What,
    users_text,
)

References = str | Reference | Iterable[str | Reference]
Projects = Sequence[str | os.PathLike[str]]

GRACE_SECONDS = 3600.0
"""Files younger than this stay: a pull that goes on may need them."""

_BATCH = 256
_CHANGED = "it was written, touched or replaced since the plan was made"
_WASM_NOTE = (
    "A spin.toml or environment lock of a project that was not given may use blobs in wasm/; "
    "Spin would fetch them again."
)


# Removing apps ---------------------------------------------------------------------------------


@no_collections()
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


@no_collections()
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
        """Who needs each stored blob that anybody needs, by its row."""
        uses, names = self.inventory.contents.uses, self.inventory.contents.users
        for user, row in zip(uses.users.tolist(), uses.blobs.tolist(), strict=True):
            self.users.setdefault(row, []).append(names[user])

    @cached_property
    def holders(self) -> dict[int, list[str]]:
        """Whose archives hold a stored blob that they do not name: Spin would not unpack it again."""
        found: dict[int, list[str]] = {}
        for user, digest in unnamed_members(self.inventory):
            found.setdefault(self.inventory.blobs.found[DATA][str(digest)], []).append(user)
        return found

    def plan(self, kind: PlanKind, items: Iterable[RemovalItem], **more: Any) -> RemovalPlan:
        return RemovalPlan(
            cache=self.cache,
            kind=kind,
            items=self.with_freed_bytes(list(items)),
            kept=tuple(self.kept),
            projects=tuple(self.projects),
            documents=self.documents,
            carry_out=_execute,
            **more,
        )

    def with_freed_bytes(self, items: list[RemovalItem]) -> tuple[RemovalItem, ...]:
        """Say what each item frees where files have several names."""
        states = {at: item.state for at, item in enumerate(items) if item.state is not None}
        linked = {at: state for at, state in states.items() if state.is_file and state.links > 1}
        freed = Freed(self.inventory.files if linked else ())
        for at, state in linked.items():
            size, is_linked = freed.of(items[at].path, state)
            items[at] = replace(items[at], stored_bytes=size, linked_files=int(is_linked))
        return tuple(items)

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
        item = RemovalItem.at(self.root, blob.path, what, reason, digest=digest)
        is_same = item is not None and item.state is not None and item.state.modified_ns == blob.modified_ns
        return item if is_same else None

    def prune(self, keep_bytes: int | None, keep_newest: int | None) -> RemovalPlan:
        """Plan to remove what nothing needs, and apps that are beyond a budget before it."""
        unneeded = [
            *self.unneeded_blobs(),
            *self.old("temporary file", "temporary file", "left by a pull that was killed"),
        ]
        stored = sum(file.stored_bytes for file in self.inventory.files)
        stored -= sum(item.stored_bytes for item in unneeded)
        chosen, notes = self.beyond(stored, keep_bytes, keep_newest)
        apps = self.apps(chosen, "least recently pulled, beyond what is to be kept") if chosen else ()
        items = [*apps, *unneeded, *self.old("empty tag folder", "empty folder", "no app is in it")]
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
                item = RemovalItem.at(self.root, path, what, reason, reference=tag.reference)
                if item is not None:
                    yield item
        for row, users in sorted(self.users.items()):
            others = sorted(user for user in users if user not in names)
            if len(others) == len(users):
                continue
            blob = self.inventory.blobs.blob(row)
            if others:
                self.keep(blob, others, "others need it")
                continue
            item = self.blob_item(blob, f"only needed by {users_text(sorted(users))}")
            holder = next((user for user in self.holders.get(row, ()) if user not in names), None)
            if holder is not None:
                self.keep(blob, (holder,), "a stored archive holds it, which Spin unpacks only once")
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
        counted = {file.path: file.stored_bytes for file in self.inventory.files}
        found: dict[str, list[tuple[set[str], int]]] = {}
        for row, named in self.users.items():
            blob = self.inventory.blobs.blob(row)
            if not self.is_young(blob.modified_ns):
                users = {*named, *self.holders.get(row, ())}
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

    def old(self, kind: str, what: What, reason: str) -> Iterator[RemovalItem]:
        """Old things in tag folders: files that killed pulls left, or empty folders."""
        for problem in self.inventory.problems:
            if problem.kind == kind and problem.path.startswith(f"{MANIFESTS}/") and "\\" not in problem.path:
                item = RemovalItem.at(self.root, self.root / problem.path, what, reason)
                if item is not None and item.state is not None and not self.is_young(item.state.modified_ns):
                    yield replace(item, reason=f"{reason}; {self.since(item.state.modified_ns)}")


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


# Carrying it out -------------------------------------------------------------------------------


def _execute(plan: RemovalPlan) -> RemovalResult:
    """Remove apps, blobs and leftovers, in this order.

    A blob is renamed, then the documents are looked at again, and only then it is removed. Whoever pulls
    beside this writes the manifest before it asks which blobs are stored (Spin), or touches a blob and asks
    again before it writes the manifest (this toolkit). So either the manifest is seen here and the blob gets
    its name back, or the puller sees that the blob is not there and fetches it.
    """
    running = _Execution(plan)
    if not plan.items or not refuse_unless_cache(plan.cache.path):
        running.skip(plan.items, GONE)
        return running.result()
    running.needs.refuse_unless_known()
    running.in_folders([item for item in plan.items if item.what in DOCUMENTS], running.take_app)
    files = [item for item in plan.items if item.what in ("temporary file", "blob")]
    needed = running.needs.of(files)
    for item, user in needed.items():
        running.skip([item], f"{user} needs it now")
    running.in_folders([item for item in files if item not in needed], running.take)
    for item in (item for item in plan.items if item.what == "empty folder"):
        running.take_folder(item)
    return running.result()


class _Execution(Removing):
    def __init__(self, plan: RemovalPlan) -> None:
        super().__init__(plan)
        self.needs = NewNeeds(plan)

    def in_folders(
        self, items: Iterable[RemovalItem], take: Callable[[Folder, list[RemovalItem]], object]
    ) -> None:
        """Take the items of each folder, batch by batch; what cannot be opened stays."""
        folders: dict[Parts, list[RemovalItem]] = {}
        for item in items:
            folders.setdefault(item.parts[:-1], []).append(item)
        for parts, inside in folders.items():
            before = len(self.removed)
            for start in range(0, len(inside), _BATCH):
                batch = inside[start : start + _BATCH]
                try:
                    folder = Folder(self.root, parts)
                except NotInCacheError:
                    self.skip(batch, GONE)
                except CacheError as exc:
                    self.failed += [Skipped(item, f"{exc.where}: {exc.found}") for item in batch]
                else:
                    with folder:
                        take(folder, batch)
            if parts[0] not in AREAS and len(self.removed) > before:
                removing.remove_empty_folders(self.root, parts, above=1)

    def take_app(self, folder: Folder, documents: list[RemovalItem]) -> None:
        """Remove the documents of an app, the manifest first, unless one of them is another by now."""
        if any(folder.state(item.parts[-1]) != item.state for item in documents):
            self.skip(documents, "the app was pulled again, or removed")
            return
        for number, item in enumerate(documents, start=1):
            if not self.take(folder, [item]):
                self.skip(documents[number:], "the manifest beside it stays")
                break

    def take_folder(self, item: RemovalItem) -> None:
        state = FileState.at(self.root.joinpath(*item.parts))
        if state is None:
            self.skip([item], GONE)
        elif time.time() - state.modified_ns / 1e9 < self.plan.grace_seconds:
            self.skip([item], _CHANGED)
        elif removing.remove_empty_folders(self.root, item.parts, above=1):
            self.removed.append(item)
        else:
            self.skip([item], "it is not empty any more, or the system refused")

    def take(self, folder: Folder, items: Collection[RemovalItem]) -> bool:
        """Set files aside, look who needs them by now, and remove the others; whether all went."""
        before = len(self.removed)
        asides: dict[RemovalItem, str] = {}
        try:
            for item in items:
                if (aside := self.set_aside(folder, item)) is not None:
                    asides[item] = aside
            needed = self.needs.of(asides)
        except BaseException:
            for item, aside in asides.items():
                self.put_back(folder, item, aside, "who needs it could not be told")
            raise
        for item, user in needed.items():
            self.put_back(folder, item, asides.pop(item), f"{user} needs it now")
        for item, aside in asides.items():
            try:
                removing.unlink(folder, aside)
            except CacheError as exc:
                self.put_back(folder, item, aside, exc.found, failed=True)
            else:
                self.removed.append(item)
        return len(self.removed) - before == len(items)

    def set_aside(self, folder: Folder, item: RemovalItem) -> str | None:
        """Rename a file, if it is the one that was meant; its new name."""
        name = item.parts[-1]
        try:
            aside = None if item.state is None else removing.set_aside(folder, name, item.state)
        except CacheError as exc:
            self.failed.append(Skipped(item, exc.found))
            return None
        if aside is None:
            self.skip([item], GONE if folder.state(name) is None else _CHANGED)
        return aside

    def put_back(
        self, folder: Folder, item: RemovalItem, aside: str, reason: str, *, failed: bool = False
    ) -> None:
        try:
            removing.put_back(folder, aside, item.parts[-1])
        except CacheError as exc:
            failed, reason = True, f"{reason}; it is now called {aside}: {exc.found}"
        (self.failed if failed else self.skipped).append(Skipped(item, reason))

"""Removals as they are carried out.

Documents go first, then blobs: a blob is renamed, then the documents are looked at again, and only then it is
removed. Whoever pulls beside this writes the manifest before it asks which blobs are stored (Spin), or
touches a blob and asks again before it writes the manifest (this toolkit). So either the manifest is seen
here and the blob gets its name back, or the puller sees that the blob is not there and fetches it.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path

from spincache_nb.core import removing
from spincache_nb.core.archive import list_members
from spincache_nb.core.cache import Cache
from spincache_nb.core.documents import Area
from spincache_nb.core.files import FileState, Folder, Parts
from spincache_nb.core.layout import AREAS, MANIFESTS, REGISTRY, TEMPORARY_PREFIX, shown
from spincache_nb.core.scan import scan
from spincache_nb.errors import CacheError, NotInCacheError, SpinCacheError
from spincache_nb.inventory import CachedApp
from spincache_nb.upkeep.guards import (
    States,
    document_states,
    inventory_of,
    refuse_foreign_top,
    refuse_unless_cache,
    refuse_unless_known,
    scan_whole,
    weigh,
)
from spincache_nb.upkeep.plans import RemovalItem, RemovalPlan, RemovalResult, Skipped

ASIDE_NAME = re.compile(re.escape(f"{TEMPORARY_PREFIX}{REGISTRY}-") + r"[0-9]+-[0-9a-f]{16}")
"""What a clear renames the whole directory to."""
CLEARED = "the cache is to be cleared"

_BATCH = 256
_DOCUMENTS = ("manifest", "locked app")
_CHANGED = "it was written, touched or replaced since the plan was made"
_GONE = "it is gone already"
_STAYS = "the folder stays: it is a mount point, or holds what the system left there"
_Users = dict[str, str]
"""Who needs a file, by its path."""


class _NewUsers:
    """Tells who has come to need a blob since a plan was made."""

    def __init__(self, plan: RemovalPlan) -> None:
        self.cache = plan.cache
        self.projects = plan.projects
        self.expected = _expected_states(plan)
        self.seen: States | None = None
        self.users: dict[tuple[Area, str], list[str]] = {}
        self.lacked: dict[str, str] = {}
        self.changed: list[CachedApp] = []

    def of(self, items: Collection[RemovalItem]) -> _Users:
        """Say which of some blobs somebody needs by now, and who."""
        states = document_states(self.cache, self.projects)
        if states == self.expected:
            return {}
        if states != self.seen:
            self.look_again(states)
        found: _Users = {}
        for item in items:
            digest = item.digest or ""
            if (item.area, digest) in self.users:
                found[item.path] = self.users[item.area, digest][0]
            elif digest in self.lacked:
                found[item.path] = self.lacked[digest]
        for app in self.changed:
            members = _archive_members(self.cache, app) if _is_legible(app) else None
            for item in items:
                if members is None or item.digest in members:
                    found.setdefault(item.path, app.reference)
        return found

    def look_again(self, states: States) -> None:
        inventory = inventory_of(self.cache, self.projects)
        refuse_unless_known(inventory, even_if_unknown=True)
        self.seen, self.users = states, inventory.users_of()
        lost = inventory.missing
        lacked = zip(lost.digests.tolist(), lost.users.tolist(), strict=True)
        self.lacked = {lost.digest_texts[digest]: lost.names[user] for digest, user in lacked}
        self.changed = [
            app
            for app in inventory.apps
            for path in (app.tag.manifest_path, app.tag.locked_app_path)
            if self.expected.get(path) != states.get(path)
        ]


def _expected_states(plan: RemovalPlan) -> States:
    """State of the documents as the plan found them, without those that were to go."""
    gone = {plan.cache.path.joinpath(*item.parts) for item in plan.items if item.what in _DOCUMENTS}
    return {path: state for path, state in plan.documents.items() if path not in gone}


def _is_legible(app: CachedApp) -> bool:
    return app.manifest is not None and (app.locked_app is not None or app.config_kind != "damaged")


def _archive_members(cache: Cache, app: CachedApp) -> set[str]:
    """Digests of the members of stored archive layers of an app."""
    found: set[str] = set()
    layers = app.manifest.layers if app.manifest is not None else ()
    for layer in (layer for layer in layers if layer.role == "archive"):
        with contextlib.suppress(SpinCacheError), cache.open_blob(layer.digest) as stream:
            found.update(str(one.digest) for one in list_members(stream, where=str(layer.digest)).members)
    return found


# Carrying a plan out ---------------------------------------------------------------------------


def execute(plan: RemovalPlan) -> RemovalResult:
    """Carry a plan out; see `RemovalPlan.execute`."""
    running = _Execution(plan)
    if plan.kind == "clear":
        running.clear()
    elif plan.items and refuse_unless_cache(plan.cache.path):
        running.remove()
    else:
        running.skip(plan.items, _GONE)
    return RemovalResult(plan, tuple(running.removed), tuple(running.skipped), tuple(running.failed))


def _nobody(items: Collection[RemovalItem]) -> _Users:
    """Who needs what no document can name."""
    del items
    return {}


class _Execution:
    def __init__(self, plan: RemovalPlan) -> None:
        self.plan = plan
        self.cache = plan.cache
        self.root = plan.cache.path
        self.removed: list[RemovalItem] = []
        self.skipped: list[Skipped] = []
        self.failed: list[Skipped] = []

    def skip(self, items: Iterable[RemovalItem], reason: str) -> None:
        self.skipped += [Skipped(item, reason) for item in items]

    def remove(self) -> None:
        """Remove apps, blobs and leftovers, in this order."""
        plan = self.plan
        if document_states(self.cache, plan.projects) != dict(plan.documents):
            inventory = inventory_of(self.cache, plan.projects)
            refuse_unless_known(inventory, leaving=plan.references, even_if_unknown=plan.even_if_unknown)
        self.in_folders([item for item in plan.items if item.what in _DOCUMENTS], self.remove_app)
        files = [item for item in plan.items if item.what in ("temporary file", "blob")]
        blobs = [item for area in AREAS for item in files if item.digest is not None and item.area == area]
        if blobs:
            new_users = _NewUsers(plan)
            users = new_users.of(blobs)
            self.skipped += [
                Skipped(item, f"{users[item.path]} needs it now") for item in blobs if item.path in users
            ]
            unneeded = [item for item in blobs if item.path not in users]
            self.in_folders(unneeded, partial(self.take, look=new_users.of))
        self.in_folders([item for item in files if item.digest is None], self.take)
        for item in (item for item in plan.items if item.what == "empty folder"):
            self.remove_folder(item)

    def in_folders(
        self, items: Iterable[RemovalItem], work: Callable[[Folder, list[RemovalItem]], object]
    ) -> None:
        """Do something with the items of each folder, batch by batch; what cannot be opened stays."""
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
                    self.skip(batch, _GONE)
                except CacheError as exc:
                    self.failed += [Skipped(item, f"{exc.where}: {exc.found}") for item in batch]
                else:
                    with folder:
                        work(folder, batch)
            if parts[0] not in AREAS and len(self.removed) > before:
                removing.remove_empty_folders(self.root, parts, above=1)

    def remove_app(self, folder: Folder, documents: list[RemovalItem]) -> None:
        """Remove the documents of an app, the manifest first, unless one of them is another by now."""
        if any(folder.state(item.parts[-1]) != item.state for item in documents):
            self.skip(documents, "the app was pulled again, or removed")
            return
        for item in documents:
            if not self.take(folder, [item]):
                break

    def remove_folder(self, item: RemovalItem) -> None:
        state = FileState.at(self.root.joinpath(*item.parts))
        if state is None:
            self.skip([item], _GONE)
        elif time.time() - state.modified_ns / 1e9 < self.plan.grace_seconds:
            self.skip([item], _CHANGED)
        elif removing.remove_empty_folders(self.root, item.parts, above=1):
            self.removed.append(item)
        else:
            self.skip([item], "it is not empty any more, or the system refused")

    # Files -----------------------------------------------------------------------------------

    def take(
        self,
        folder: Folder,
        items: Collection[RemovalItem],
        look: Callable[[Collection[RemovalItem]], _Users] = _nobody,
    ) -> bool:
        """Set files aside, look who needs them by now, and remove the others; whether all went."""
        before = len(self.removed)
        asides: dict[str, tuple[RemovalItem, str]] = {}
        try:
            for item in items:
                aside = self.set_aside(folder, item)
                if aside is not None:
                    asides[item.path] = item, aside
            users = look([item for item, _ in asides.values()])
        except BaseException:
            for item, aside in asides.values():
                self.put_back(folder, item, aside, "who needs it could not be told")
            raise
        for path in users:
            self.put_back(folder, *asides.pop(path), f"{users[path]} needs it now")
        for item, aside in asides.values():
            self.finish(folder, item, aside)
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
            self.skip([item], _GONE if folder.state(name) is None else _CHANGED)
        return aside

    def finish(self, folder: Folder, item: RemovalItem, aside: str) -> None:
        try:
            removing.unlink(folder, aside)
        except CacheError as exc:
            self.put_back(folder, item, aside, exc.found, failed=True)
        else:
            self.removed.append(item)

    def put_back(
        self, folder: Folder, item: RemovalItem, aside: str, reason: str, *, failed: bool = False
    ) -> None:
        try:
            removing.put_back(folder, aside, item.parts[-1])
        except CacheError as exc:
            failed, reason = True, f"{reason}; it is now called {aside}: {exc.found}"
        (self.failed if failed else self.skipped).append(Skipped(item, reason))

    # The whole directory ---------------------------------------------------------------------

    def clear(self) -> None:
        """Remove the whole directory, and what clears that were killed have left of it."""
        inside = [item for item in self.plan.items if item.what == "folder"]
        found = scan_whole(self.root) if inside else None
        if found is not None:
            self.remove_everything(inside, keeps=any(one.kind == "system file" for one in found.problems))
        else:
            self.skip(inside, _GONE)
        for item in self.plan.items:
            if item.what == "leftover" and ASIDE_NAME.fullmatch(item.parts[-1]):
                self.remove_leftover(item)

    def remove_everything(self, items: list[RemovalItem], *, keeps: bool) -> None:
        """Remove all folders, the whole renamed first unless something in it stays or the system refuses."""
        where, state = self.root, items[-1].state
        if state is not None and not keeps:
            name = f"{TEMPORARY_PREFIX}{REGISTRY}-{os.getpid()}-{secrets.token_hex(8)}"
            where = removing.move_away(self.root, state, name) or self.root
        parts: list[Parts] = [()] if where != self.root else [(part,) for part in (MANIFESTS, *AREAS)]
        failures = [failure for part in parts for failure in removing.remove_below(where, part)]
        removing.remove_root(where)  # a mount point stays, and so does what systems leave in it
        self.tell_by_looking(items, where, is_partly=bool(failures))
        beside = () if where == self.root else ("..", where.name)
        for part, why in failures:
            path = shown("/".join((*beside, *part))) or "."
            self.failed.append(Skipped(RemovalItem(path, "folder", 0, CLEARED, parts=part), why))

    def tell_by_looking(self, items: Iterable[RemovalItem], where: Path, *, is_partly: bool) -> None:
        """Say what is gone and what is not."""
        left = weigh(where, scan(where)).freed if where.exists() else Counter[str]()
        for item in items:
            freed = item.stored_bytes - min(item.stored_bytes, left[item.path])
            state = FileState.at(where.joinpath(*item.parts))
            if freed or state is None or not state.is_folder:
                self.removed.append(replace(item, stored_bytes=freed))
            elif not is_partly:
                self.skip([item], _STAYS)

    def remove_leftover(self, item: RemovalItem) -> None:
        path, reason = self.root.parent / item.parts[-1], ""
        try:
            refuse_foreign_top(path)
            failures = removing.remove_below(path, ())
            if failures or not removing.remove_root(path):
                reason = failures[0][1] if failures else "it could not be removed"
        except CacheError as exc:
            reason = exc.found
        if reason:
            self.failed.append(Skipped(item, reason))
        else:
            self.removed.append(item)

"""Clearing: the whole ``registry`` directory goes, as Spin documents it; renamed first, then emptied."""

from __future__ import annotations

import os
import re
import secrets
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

from spincache_nb.core import removing
from spincache_nb.core.cache import Cache
from spincache_nb.core.digest import ENCODED_LENGTH
from spincache_nb.core.files import FileState
from spincache_nb.core.layout import AREAS, MANIFESTS, REGISTRY, TEMPORARY_PREFIX, is_left_by_system, shown
from spincache_nb.core.scan import Scan, scan
from spincache_nb.errors import CacheError
from spincache_nb.inventory.columns import no_collections
from spincache_nb.upkeep.guards import refuse_foreign, refuse_foreign_top, refuse_unless_cache, unreadable
from spincache_nb.upkeep.plans import (
    GONE,
    Freed,
    RemovalItem,
    RemovalPlan,
    RemovalResult,
    Removing,
    Skipped,
)

_PARTS = (MANIFESTS, *AREAS)
_ASIDE = f"{TEMPORARY_PREFIX}{REGISTRY}-"
"""What the whole directory is renamed to, before a process and a random number."""
_ASIDE_NAME = re.compile(re.escape(_ASIDE) + r"[0-9]+-[0-9a-f]{16}")
_FOREIGN_KINDS = frozenset({"foreign", "folder in a file's place", "file in a folder's place", "not a file"})
_CLEARED = "the cache is to be cleared"
_STAYS = "the folder stays: it is a mount point, or holds what the system left there"


@no_collections()
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
    root = cache.path
    items: list[RemovalItem] = []
    notes: tuple[str, ...] = ()
    found = _scan_whole(root)
    if found is not None:
        weights = _weigh(root, found)
        for name in (*_PARTS, "."):
            why = _CLEARED if name == "." else f"{_CLEARED}: {weights.files[name]} files"
            size, linked = weights.freed[name], weights.linked[name]
            item = RemovalItem.at(root, root / name, "folder", why, stored_bytes=size, linked_files=linked)
            items += [item] if item is not None else []
        notes = (f"It holds {len(found.tags)} apps and {len(found.blobs)} blobs.",)
    items += _leftovers(root)
    return RemovalPlan(cache, "clear", tuple(items), notes=notes, carry_out=_execute)


def _scan_whole(root: Path) -> Scan | None:
    """Walk a cache of which everything is to go; refuses if anything in it is not Spin's."""
    if not refuse_unless_cache(root):
        return None
    found = scan(root)
    for problem in found.problems:
        if problem.kind == "unreadable folder":
            raise unreadable(root / problem.path, problem.detail)
    foreign = [problem.path for problem in found.problems if problem.kind in _FOREIGN_KINDS]
    for blob in found.odd:
        stray = blob.name in ENCODED_LENGTH and not blob.stored_bytes  # `sha256:...` on a Windows disk
        if blob.form == "other" and not is_left_by_system(blob.name, folder=False) and not stray:
            foreign.append(f"{blob.area}/{blob.name}")
    refuse_foreign(root, foreign)
    return found


class _Weights(NamedTuple):
    """What goes with each of Spin's three directories, and beside them under ``.``."""

    files: Counter[str]
    freed: Counter[str]
    """Bytes that the disk gets back."""
    linked: Counter[str]
    """Files that free none, since they have names outside of the cache too."""


def _weigh(root: Path, found: Scan) -> _Weights:
    """Say what goes with a whole cache: all files but what systems left."""
    weights = _Weights(Counter(), Counter(), Counter())
    freed = Freed(found.files)
    staying = {problem.path for problem in found.problems if problem.kind == "system file"}
    for file in reversed(found.files):  # of several names in the cache the first is the last to go
        if staying and not staying.isdisjoint(accumulate(file.path.split("/"), "{}/{}".format)):
            continue
        state = FileState.at(root / file.path)
        if state is None:
            continue
        top, slash, _ = file.path.partition("/")
        folder = top if slash and top in _PARTS else "."
        size, is_linked = freed.of(file.path, state)
        weights.files[folder] += 1
        weights.freed[folder] += size
        weights.linked[folder] += is_linked
    return weights


def _leftovers(root: Path) -> Iterator[RemovalItem]:
    """Directories that a clear renamed and was killed before it had removed."""
    try:
        names = sorted(filter(_ASIDE_NAME.fullmatch, os.listdir(root.parent)))  # noqa: PTH208
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
        size = _weigh(path, scan(path)).freed.total()
        reason = "left by a clear that was killed"
        yield RemovalItem(f"../{name}", "leftover", size, reason, parts=("..", name), state=state)


# Carrying it out -------------------------------------------------------------------------------


def _execute(plan: RemovalPlan) -> RemovalResult:
    """Remove the whole directory, and what clears that were killed have left of it."""
    clearing = _Clearing(plan)
    inside = [item for item in plan.items if item.what == "folder"]
    found = _scan_whole(clearing.root) if inside else None
    if found is not None:
        keeps = any(problem.kind == "system file" for problem in found.problems)
        clearing.remove_everything(inside, keeps=keeps)
    else:
        clearing.skip(inside, GONE)
    for item in plan.items:
        if item.what == "leftover" and _ASIDE_NAME.fullmatch(item.parts[-1]):
            clearing.remove_leftover(item)
    return clearing.result()


class _Clearing(Removing):
    def remove_everything(self, items: list[RemovalItem], *, keeps: bool) -> None:
        """Remove all folders, the whole renamed first unless something in it stays or the system refuses."""
        where, state = self.root, items[-1].state
        if state is not None and not keeps:
            name = f"{_ASIDE}{os.getpid()}-{secrets.token_hex(8)}"
            where = removing.move_away(self.root, state, name) or self.root
        parts = [()] if where != self.root else [(part,) for part in _PARTS]
        failures = [failure for part in parts for failure in removing.remove_below(where, part)]
        removing.remove_root(where)  # a mount point stays, and so does what systems leave in it
        left = _weigh(where, scan(where)).freed if where.exists() else Counter[str]()
        for item in items:
            freed = item.stored_bytes - min(item.stored_bytes, left[item.path])
            state = FileState.at(where.joinpath(*item.parts))
            if freed or state is None or not state.is_folder:
                self.removed.append(replace(item, stored_bytes=freed))
            elif not failures:
                self.skip([item], _STAYS)
        beside = () if where == self.root else ("..", where.name)
        for part, why in failures:
            path = shown("/".join((*beside, *part))) or "."
            self.failed.append(Skipped(RemovalItem(path, "folder", 0, _CLEARED, parts=part), why))

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

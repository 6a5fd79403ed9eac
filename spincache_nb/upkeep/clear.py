"""Clearing: the whole ``registry`` directory, the one operation on the cache that Spin documents."""

from __future__ import annotations

import os
import re
import secrets
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from spincache_nb.core import removing
from spincache_nb.core.cache import Cache
from spincache_nb.core.files import FileState, Parts
from spincache_nb.core.layout import AREAS, MANIFESTS, REGISTRY, TEMPORARY_PREFIX, shown
from spincache_nb.core.scan import DiskFile, Scan, scan
from spincache_nb.errors import CacheError
from spincache_nb.upkeep.needs import refuse_foreign_below, refuse_foreign_top, refuse_unless_cache
from spincache_nb.upkeep.plans import RemovalItem, RemovalPlan, RemovalResult, Skipped, folder_item

_ASIDE = f"{TEMPORARY_PREFIX}{REGISTRY}-"
_ASIDE_NAME = re.compile(re.escape(_ASIDE) + r"[0-9]+-[0-9a-f]{16}")
_REASON = "the cache is to be cleared"
_STAYS = "the folder stays: it is a mount point, or holds what the system left there"


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
    notes = []
    if refuse_unless_cache(cache.path):
        found = scan(cache.path)
        refuse_foreign_below(cache.path, found)
        items += _folders(cache.path, found)
        notes = [f"It holds {len(found.tags)} apps and {len(found.blobs)} blobs."]
    items += _leftovers(cache.path)
    return RemovalPlan(cache=cache, kind="clear", items=tuple(items), notes=tuple(notes), carry_out=_execute)


def _folders(root: Path, found: Scan) -> Iterator[RemovalItem]:
    sizes, linked = _sizes(root, found)
    counts = Counter(file.path.partition("/")[0] for file in _going(found) if "/" in file.path)
    for name in (MANIFESTS, *AREAS):
        item = folder_item(root, (name,), "folder", f"{_REASON}: {counts[name]} files", sizes[name])
        if item is not None:
            yield replace(item, linked_files=linked[name])
    item = folder_item(root, (), "folder", _REASON, sizes["."])
    if item is not None:
        yield item


def _sizes(root: Path, found: Scan) -> tuple[Counter[str], Counter[str]]:
    """What goes with each of Spin's three directories, and beside them: bytes that are freed, and files that
    free none, since they have names outside of the cache too."""
    names = Counter(file.same_as or file.path for file in found.files)
    sizes: Counter[str] = Counter()
    linked: Counter[str] = Counter()
    for file in _going(found):
        top = file.path.partition("/")[0]
        key = top if top in (MANIFESTS, *AREAS) and "/" in file.path else "."
        state = FileState.at(root / file.path) if file.same_as is None else None
        if state is not None and state.links > names[file.path]:
            linked[key] += 1
        else:
            sizes[key] += file.stored_bytes
    return sizes, linked


def _going(found: Scan) -> Iterator[DiskFile]:
    """Files that go: all but what systems and tools left there."""
    staying = {problem.path for problem in found.problems if problem.kind == "system file"}
    for file in found.files:
        parts = file.path.split("/") if staying else ()
        if not any("/".join(parts[:count]) in staying for count in range(1, len(parts) + 1)):
            yield file


def _leftovers(root: Path) -> Iterator[RemovalItem]:
    """Directories that a clear renamed and was killed before it had removed."""
    try:
        names = sorted(filter(_ASIDE_NAME.fullmatch, os.listdir(root.parent)))  # noqa: PTH208
    except OSError:
        return
    for name in names:
        state = FileState.at(root.parent / name)
        try:
            if state is None or not state.is_folder:
                continue
            refuse_foreign_top(root.parent / name)
        except CacheError:
            continue
        size = _sizes(root.parent / name, scan(root.parent / name))[0].total()
        reason = "left by a clear that was killed"
        yield RemovalItem(f"../{name}", "leftover", size, reason, parts=("..", name), state=state)


# Carrying it out -------------------------------------------------------------------------------


def _execute(plan: RemovalPlan) -> RemovalResult:
    root = plan.cache.path
    result = RemovalResult(plan, ())
    inside = [item for item in plan.items if item.what == "folder"]
    if inside and refuse_unless_cache(root):
        found = scan(root)
        refuse_foreign_below(root, found)
        result = _clear(plan, inside, keeps=any(one.kind == "system file" for one in found.problems))
    elif inside:
        result = replace(result, skipped=tuple(Skipped(item, "it is gone already") for item in inside))
    for item in plan.items:
        if item.what == "leftover" and _ASIDE_NAME.fullmatch(item.parts[-1]):
            reason = _remove_leftover(root.parent / item.parts[-1])
            if reason:
                result = replace(result, failed=(*result.failed, Skipped(item, reason)))
            else:
                result = replace(result, removed=(*result.removed, item))
    return result


def _clear(plan: RemovalPlan, items: list[RemovalItem], *, keeps: bool) -> RemovalResult:
    root, state = plan.cache.path, items[-1].state
    aside = None
    if state is not None and not keeps:
        aside = removing.move_away(root, state, f"{_ASIDE}{os.getpid()}-{secrets.token_hex(8)}")
    if aside is not None:
        failures = removing.remove_below(aside, ())
        if not failures and removing.remove_root(aside):
            return RemovalResult(plan, tuple(items))
        return _partly(plan, items, aside, failures)
    failures = [failure for part in (MANIFESTS, *AREAS) for failure in removing.remove_below(root, (part,))]
    removing.remove_root(root)  # a mount point stays, and so does what systems leave in it
    return _partly(plan, items, root, failures)


def _remove_leftover(path: Path) -> str:
    """Remove what a killed clear left; why it stays, if it does."""
    try:
        refuse_foreign_top(path)
        failures = removing.remove_below(path, ())
    except CacheError as exc:
        return exc.found
    if failures or not removing.remove_root(path):
        return failures[0][1] if failures else "it could not be removed"
    return ""


def _partly(
    plan: RemovalPlan, items: list[RemovalItem], where: Path, failures: list[tuple[Parts, str]]
) -> RemovalResult:
    """Say what is gone and what is not, by looking."""
    left = _sizes(where, scan(where))[0] if where.exists() else Counter()
    removed: list[RemovalItem] = []
    skipped: list[Skipped] = []
    for item in items:
        freed = item.stored_bytes - min(item.stored_bytes, left[item.path])
        state = FileState.at(where.joinpath(*item.parts))
        if freed or state is None or not state.is_folder:
            removed.append(replace(item, stored_bytes=freed))
        elif not failures:
            skipped.append(Skipped(item, _STAYS))
    beside = () if where == plan.cache.path else ("..", where.name)
    failed = [
        Skipped(
            RemovalItem(shown("/".join((*beside, *parts))) or ".", "folder", 0, _REASON, parts=parts), why
        )
        for parts, why in failures
    ]
    return RemovalResult(plan, tuple(removed), tuple(skipped), tuple(failed))

"""Clearing: the whole ``registry`` directory, the one operation on the cache that Spin documents."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from spincache_nb.core.cache import Cache
from spincache_nb.core.files import Parts
from spincache_nb.core.layout import AREAS, MANIFESTS, REGISTRY, TEMPORARY_PREFIX, shown
from spincache_nb.core.removing import remove_below
from spincache_nb.core.scan import Scan
from spincache_nb.core.scan import scan as walk
from spincache_nb.errors import CacheError
from spincache_nb.upkeep.guard import refuse_foreign_below, refuse_foreign_top, refuse_unless_cache
from spincache_nb.upkeep.pieces import folder_state
from spincache_nb.upkeep.plans import RemovalItem, RemovalPlan, RemovalResult, Skipped

_ASIDE = f"{TEMPORARY_PREFIX}{REGISTRY}-"
_ASIDE_NAME = re.compile(re.escape(_ASIDE) + r"[0-9]+-[0-9a-f]{16}")
_REASON = "the cache is to be cleared"
_STAYS = "the directory itself stays: it is a mount point, or the system keeps it"
_LEFTOVER_REASON = "left by a clear that was killed"
_Sizes = Mapping[str, int]


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
        holds files that are not Spin's (a ``.DS_Store`` or ``lost+found`` is no reason to refuse).
    CacheError
        If a part of it cannot be looked into.

    Notes
    -----
    This is the one operation that Spin documents as safe; Spin downloads again what it needs. The
    directory is renamed first, so that a Spin that starts at that moment sees either the old cache or
    none. Where that cannot be (a mount point, a file that is open on Windows), manifests go first,
    then blobs, and the directory itself may stay.
    """
    items: list[RemovalItem] = []
    notes = []
    if refuse_unless_cache(cache.path):
        found = walk(cache.path)
        refuse_foreign_below(cache.path, found)
        items += _folders(cache.path, found)
        notes = [f"It holds {len(found.tags)} apps and {len(found.blobs)} blobs."]
    items += _leftovers(cache.path)
    return RemovalPlan(cache=cache, kind="clear", items=tuple(items), notes=tuple(notes))


def _folders(root: Path, found: Scan) -> Iterator[RemovalItem]:
    sizes = _sizes(found)
    for name in (MANIFESTS, *AREAS):
        state = folder_state(root / name)
        if state is not None:
            count = sum(file.path.startswith(f"{name}/") for file in found.files)
            reason = f"{_REASON}: {count} files"
            yield RemovalItem(name, "folder", sizes.get(name, 0), reason, parts=(name,), state=state)
    state = folder_state(root)
    if state is not None:
        yield RemovalItem(".", "folder", sizes.get(".", 0), _REASON, state=state)


def _sizes(found: Scan) -> _Sizes:
    """Bytes below each of Spin's three directories, and beside them."""
    sizes: dict[str, int] = {}
    for file in found.files:
        top = file.path.partition("/")[0]
        key = top if top in (MANIFESTS, *AREAS) and "/" in file.path else "."
        sizes[key] = sizes.get(key, 0) + file.stored_bytes
    return sizes


def _leftovers(root: Path) -> Iterator[RemovalItem]:
    """Directories that a clear renamed and was killed before it had removed."""
    try:
        with os.scandir(root.parent) as entries:
            names = sorted(e.name for e in entries if _ASIDE_NAME.fullmatch(e.name))
    except OSError:
        return
    for name in names:
        state = folder_state(root.parent / name)
        if state is None:
            continue
        try:
            refuse_foreign_top(root.parent / name)
        except CacheError:
            continue
        size = sum(file.stored_bytes for file in walk(root.parent / name).files)
        yield RemovalItem(f"../{name}", "leftover", size, _LEFTOVER_REASON, parts=("..", name), state=state)


def execute_clear(plan: RemovalPlan) -> RemovalResult:
    """Carry a plan to clear out; see `RemovalPlan.execute`."""
    root = plan.cache.path
    result = RemovalResult(plan, ())
    inside = [item for item in plan.items if item.what == "folder"]
    if inside and refuse_unless_cache(root):
        refuse_foreign_below(root, walk(root))
        result = _clear(plan, inside)
    elif inside:
        result = replace(result, skipped=tuple(Skipped(item, "it is gone already") for item in inside))
    for item in plan.items:
        if item.what == "leftover" and _ASIDE_NAME.fullmatch(item.parts[-1]):
            result = _remove_leftover(result, item, root.parent / item.parts[-1])
    return result


def _clear(plan: RemovalPlan, items: list[RemovalItem]) -> RemovalResult:
    root = plan.cache.path
    aside = _move_away(root, items[-1])
    if aside is not None:
        failures = remove_below(aside, ())
        if not failures and _remove_folder(aside):
            return RemovalResult(plan, tuple(items))
        return _partly(plan, items, aside, failures)
    failures = [failure for part in (MANIFESTS, *AREAS) for failure in remove_below(root, (part,))]
    _remove_folder(root)  # a mount point stays, and so does what systems leave in it
    return _partly(plan, items, root, failures)


def _move_away(root: Path, item: RemovalItem) -> Path | None:
    """Rename the directory, if the system lets us; None if not."""
    aside = root.parent / f"{_ASIDE}{os.getpid()}-{secrets.token_hex(8)}"
    try:
        root.rename(aside)
    except OSError:
        return None
    state = folder_state(aside)
    if state is not None and item.state is not None and state.inode == item.state.inode:
        return aside
    with contextlib.suppress(OSError):
        aside.rename(root)
    raise CacheError(shown(str(root)), "the directory that the plan was made for", "another", "plan again")


def _remove_folder(path: Path) -> bool:
    try:
        path.rmdir()
    except OSError:
        return False
    return True


def _partly(
    plan: RemovalPlan, items: list[RemovalItem], where: Path, failures: list[tuple[Parts, str]]
) -> RemovalResult:
    """Say what is gone and what is not, by looking."""
    left = _sizes(walk(where)) if where.exists() else {}
    removed: list[RemovalItem] = []
    skipped: list[Skipped] = []
    for item in items:
        freed = item.stored_bytes - min(item.stored_bytes, left.get(item.path, 0))
        if freed or folder_state(where.joinpath(*item.parts)) is None:
            removed.append(replace(item, stored_bytes=freed))
        elif item.path == "." and not failures:
            skipped.append(Skipped(item, _STAYS))
    failed = [
        Skipped(RemovalItem(_shown_path(plan, where, parts), "folder", 0, _REASON, parts=parts), reason)
        for parts, reason in failures
    ]
    return RemovalResult(plan, tuple(removed), tuple(skipped), tuple(failed))


def _shown_path(plan: RemovalPlan, where: Path, parts: Parts) -> str:
    beside = () if where == plan.cache.path else ("..", where.name)
    return shown("/".join((*beside, *parts))) or "."


def _remove_leftover(result: RemovalResult, item: RemovalItem, path: Path) -> RemovalResult:
    try:
        refuse_foreign_top(path)
        failures = remove_below(path, ())
    except CacheError as exc:
        return replace(result, failed=(*result.failed, Skipped(item, exc.found)))
    if failures or not _remove_folder(path):
        reason = failures[0][1] if failures else "it could not be removed"
        return replace(result, failed=(*result.failed, Skipped(item, reason)))
    return replace(result, removed=(*result.removed, item))

"""Files as pieces of a plan: what each is, in which state it is, and what its removal frees."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from spincache_nb.core.documents import Area
from spincache_nb.core.files import FileState, Parts, file_state
from spincache_nb.core.layout import shown
from spincache_nb.core.scan import CachedTag, StoredBlob
from spincache_nb.inventory import InventoriedBlob
from spincache_nb.upkeep.plans import KeptBlob, RemovalItem, What


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
    state = file_state(path)
    if state is None:
        return None
    parts = path.relative_to(root).parts
    return RemovalItem(shown("/".join(parts)), what, state.size, reason, digest, reference, parts, state)


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
        for path, what in ((tag.manifest_path, "manifest"), (tag.locked_app_path, "locked app")):
            document: What = "manifest" if what == "manifest" else "locked app"
            item = file_item(root, path, document, reason, reference=tag.reference)
            if item is not None:
                yield item


def kept_blob(blob: InventoriedBlob, users: Sequence[str], reason: str) -> KeptBlob:
    """Say of a blob that it stays."""
    stored = blob.blob
    digest = str(stored.digest) if stored.digest is not None else None
    path = f"{stored.area}/{stored.name}"
    return KeptBlob(path, stored.area, digest, stored.stored_bytes, tuple(users), reason)


def kept_item(item: RemovalItem, reason: str) -> KeptBlob:
    """Say of a blob that was to go that it stays."""
    area: Area = "wasm" if item.parts[0] == "wasm" else "data"
    return KeptBlob(item.path, area, item.digest, item.stored_bytes, (), reason)


def with_freed_bytes(root: Path, items: Sequence[RemovalItem]) -> tuple[RemovalItem, ...]:
    """Say what each item frees, where files have several names (hard links)."""
    linked = {item.parts for item in items if _link_count(root.joinpath(*item.parts)) > 1}
    if not linked:
        return tuple(items)
    left = _names_by_inode(root)
    counted = []
    for item in items:
        state = item.state
        if item.parts in linked and state is not None and state.inode in left:
            left[state.inode] -= 1
            counted.append(replace(item, stored_bytes=0 if left[state.inode] else state.size))
        else:
            counted.append(item)
    return tuple(counted)


def relative_parts(root: Path, path: Path) -> Parts:
    """Names from the ``registry`` directory down to a path."""
    return path.relative_to(root).parts


def folder_state(path: Path) -> FileState | None:
    """State of a directory, or None where there is none."""
    try:
        info = path.lstat()
    except OSError:
        return None
    return FileState.of(info) if stat.S_ISDIR(info.st_mode) else None


def _link_count(path: Path) -> int:
    try:
        info = path.lstat()
    except OSError:
        return 0
    return info.st_nlink if stat.S_ISREG(info.st_mode) else 0


def _names_by_inode(root: Path) -> dict[int, int]:
    """How many names each file with several of them has under a directory."""
    names: dict[int, int] = {}
    for folder, _, files in os.walk(root):
        for name in files:
            path = Path(folder, name)
            if _link_count(path) > 1:
                inode = path.lstat().st_ino
                names[inode] = names.get(inode, 0) + 1
    return names

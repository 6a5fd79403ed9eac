"""The only code that deletes in a cache: by folder handles, through no link, and only what was meant."""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from collections.abc import Sequence
from pathlib import Path

from spincache_nb.core.files import FileState, Folder, Parts, RefusedWrites
from spincache_nb.core.layout import LOCKED_APP_FILE, MANIFEST_FILE, TEMPORARY_PREFIX, is_left_by_system
from spincache_nb.errors import CacheError, NotInCacheError


def temporary_name() -> str:
    """A name that nobody else has or guesses; the next pull sweeps such files once they are old."""
    return f"{TEMPORARY_PREFIX}{os.getpid()}-{secrets.token_hex(8)}"


def unlink(folder: Folder, name: str) -> None:
    """Remove a file, or a link itself."""
    with RefusedWrites(folder.path, name), contextlib.suppress(FileNotFoundError):
        os.unlink(folder.name(name), dir_fd=folder.handle)


def set_aside(folder: Folder, name: str, expected: FileState) -> str | None:
    """Rename a file to a temporary name, if it is the one that was meant; that name."""
    if folder.state(name) != expected:
        return None
    aside = temporary_name()
    with RefusedWrites(folder.path, name):
        try:
            folder.rename(name, aside)
        except FileNotFoundError:
            return None
    state = folder.state(aside)
    if state != expected:
        put_back(folder, aside, name)
        return None
    if state.links == 1:  # to touch one of several names would make the others young, too
        folder.touch(aside)
    return aside


def put_back(folder: Folder, aside: str, name: str) -> None:
    """Give a file that was set aside its name again, unless the name is taken by now."""
    with RefusedWrites(folder.path, name):
        try:
            os.link(
                folder.name(aside),
                folder.name(name),
                src_dir_fd=folder.handle,
                dst_dir_fd=folder.handle,
                follow_symlinks=False,
            )
        except FileExistsError:
            pass  # somebody stored it again meanwhile; theirs is as good
        except (OSError, NotImplementedError):  # a file system without hard links
            if folder.state(name) is None:
                folder.rename(aside, name)
                return
        unlink(folder, aside)


def sweep(root: Path, parts: Parts, *, older_than: float) -> int:
    """Remove unfinished files of ours from a folder, if they are older than some seconds; how many."""
    oldest_ns = (time.time() - older_than) * 1e9
    removed = 0
    try:
        with Folder(root, parts, linked_root=True) as folder:
            for name in folder.names()[1]:
                if not name.startswith(TEMPORARY_PREFIX):
                    continue
                state = folder.state(name)
                if state is not None and state.modified_ns < oldest_ns:
                    unlink(folder, name)
                    removed += 1
    except CacheError:
        pass  # a leftover that cannot be removed harms nobody
    return removed


def remove_folder(folder: Folder, name: str) -> bool:
    """Remove a folder if it is empty; says whether it did."""
    try:
        os.rmdir(folder.name(name), dir_fd=folder.handle)
    except OSError:
        return False
    return True


def remove_root(root: Path) -> bool:
    """Remove the outermost folder of a cache if it is empty, and no link; says whether it did."""
    try:
        root.rmdir()
    except OSError:
        return False
    return True


def remove_empty_folders(root: Path, parts: Parts, *, above: int, linked_root: bool = False) -> int:
    """Remove a folder and those around it, as far as they are empty, innermost first; how many."""
    removed = 0
    for length in range(len(parts), above, -1):
        try:
            with Folder(root, parts[: length - 1], linked_root=linked_root) as folder:
                if not remove_folder(folder, parts[length - 1]):
                    return removed
        except CacheError:
            return removed
        removed += 1
    return removed


def remove_made(root: Path, made: Sequence[Parts]) -> None:
    """Remove folders that this process made and then had no use for."""
    for parts in reversed(made):
        remove_empty_folders(root, parts, above=len(parts) - 1, linked_root=True)


def move_away(root: Path, expected: FileState, name: str) -> Path | None:
    """Rename the folder of a whole cache, if it is the one that was meant; None if the system refuses.

    Raises CacheError if it is another one; it has its name again then.
    """
    aside = root.with_name(name)
    try:
        root.rename(aside)
    except OSError:
        return None
    state = FileState.at(aside)
    if state is not None and (state.device, state.inode) == (expected.device, expected.inode):
        return aside
    with contextlib.suppress(OSError):
        aside.rename(root)
    raise CacheError(str(root), "the folder that the plan was made for", "another", "plan again")


def remove_below(root: Path, parts: Parts) -> list[tuple[Parts, str]]:
    """Remove a folder and all below it that is not the system's; links go, what they lead to stays.

    Gives what failed, and why."""
    failures: list[tuple[Parts, str]] = []
    for folder_parts in reversed(_folders_below(root, parts, failures)):
        try:
            with Folder(root, folder_parts) as folder:
                for name in sorted(folder.names()[1], key=_documents_first):
                    if is_left_by_system(name, folder=False):
                        continue
                    try:
                        unlink(folder, name)
                    except CacheError as exc:
                        failures.append(((*folder_parts, name), exc.found))
        except NotInCacheError:
            continue
        except CacheError as exc:
            failures.append((folder_parts, exc.found))
        if folder_parts:
            remove_empty_folders(root, folder_parts, above=len(folder_parts) - 1)
    return failures


def _folders_below(root: Path, parts: Parts, failures: list[tuple[Parts, str]]) -> list[Parts]:
    """A folder and all below it, each before what is in it."""
    found = [parts]
    for folder_parts in found:  # it grows while it is walked
        try:
            with Folder(root, folder_parts) as folder:
                inside = (name for name in folder.names()[0] if not is_left_by_system(name, folder=True))
                found.extend((*folder_parts, name) for name in inside)
        except NotInCacheError:
            continue
        except CacheError as exc:
            failures.append((folder_parts, exc.found))
    return found


def _documents_first(name: str) -> tuple[int, str]:
    """A manifest goes before its locked app, and both before anything else."""
    return {MANIFEST_FILE: 0, LOCKED_APP_FILE: 1}.get(name, 2), name

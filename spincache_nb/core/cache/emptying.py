"""Emptying folders of the cache, link by link and file by file, without following any."""

from __future__ import annotations

from pathlib import Path

from spincache_nb.core.cache.layout import LOCKED_APP_FILE, MANIFEST_FILE
from spincache_nb.core.cache.removal import Folder, Parts
from spincache_nb.errors import CacheError, NotInCacheError


def remove_empty_folders(root: Path, parts: Parts, *, above: int) -> int:
    """Remove a directory and those around it, as far as they are empty, innermost first."""
    removed = 0
    for length in range(len(parts), above, -1):
        try:
            with Folder(root, parts[: length - 1]) as folder:
                if not folder.remove_folder(parts[length - 1]):
                    return removed
        except CacheError:
            return removed
        removed += 1
    return removed


def remove_below(root: Path, parts: Parts) -> list[tuple[Parts, str]]:
    """Remove everything below a directory, and the directory; links go, what they lead to stays."""
    failures: list[tuple[Parts, str]] = []
    for folder_parts in reversed(_folders_below(root, parts, failures)):
        try:
            with Folder(root, folder_parts) as folder:
                for name in _documents_first(folder.names()[1]):
                    try:
                        folder.unlink(name)
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
    """A directory and all below it, each before what is in it."""
    found = [parts]
    for folder_parts in found:  # it grows while it is walked
        try:
            with Folder(root, folder_parts) as folder:
                found.extend((*folder_parts, name) for name in folder.names()[0])
        except NotInCacheError:
            continue
        except CacheError as exc:
            failures.append((folder_parts, exc.found))
    return found


def _documents_first(names: list[str]) -> list[str]:
    """A manifest goes before its locked app, and both before anything else."""
    order = {MANIFEST_FILE: 0, LOCKED_APP_FILE: 1}
    return sorted(names, key=lambda name: (order.get(name, 2), name))

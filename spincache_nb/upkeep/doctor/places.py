"""Where the cache is, why there, and whether it can be read and written."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

from spincache_nb.core import paths
from spincache_nb.core.cache import Cache
from spincache_nb.core.layout import AREAS
from spincache_nb.errors import CacheError
from spincache_nb.upkeep.doctor.finding import Finding

LEAST_FREE_BYTES = 100 << 20
"""Less room on the disk than this wants attention: single apps are tens of MiB."""

_PERMISSIONS = "check its owner and permissions, or name another directory with Cache(dir)"


def look_at_cache(cache: Cache) -> Iterator[Finding]:
    """Look at the cache's place and at the disk, not at what is stored."""
    yield Finding("cache", "path", str(cache.path))
    yield _chosen_by(cache)
    yield from _existence(cache)
    yield _free(cache)


def _chosen_by(cache: Cache) -> Finding:
    try:
        own = paths.cache_root()
    except CacheError:
        own = None
    if cache.path != own:
        return Finding("cache", "chosen by", "the directory that was named; not this user's Spin cache")
    variable = os.environ.get("XDG_CACHE_HOME")
    if sys.platform in ("win32", "darwin") or not variable:
        return Finding("cache", "chosen by", "this system's default, the same as Spin's")
    if Path(variable).is_absolute():
        return Finding("cache", "chosen by", "XDG_CACHE_HOME, as Spin does")
    return Finding(
        "cache",
        "chosen by",
        "this system's default, the same as Spin's: XDG_CACHE_HOME is relative, so both ignore it",
        "note",
        "set XDG_CACHE_HOME to an absolute path, or unset it",
    )


def _existence(cache: Cache) -> Iterator[Finding]:
    if not os.path.lexists(cache.path):
        folder = _nearest(cache.path)
        if not os.access(folder, os.X_OK):
            yield Finding("cache", "exists", f"hidden: {folder} is closed", "attention", _PERMISSIONS)
            return
        yield Finding("cache", "exists", False, "note", "the first pull makes it")
        yield _writable([folder], "no: {} does not let this user make it")
        return
    if not _is_directory(cache.path):
        yield Finding("cache", "exists", False, "attention", "remove the file or link that is in its place")
        return
    yield Finding("cache", "exists", True)
    parts = [cache.path, *(cache.path / name for name in (*AREAS, "manifests"))]
    parts = [part for part in parts if _is_directory(part)]
    closed = [part for part in parts if not os.access(part, os.R_OK | os.X_OK)]
    if closed:
        yield Finding("cache", "readable", f"no: {closed[0]}", "attention", _PERMISSIONS)
    yield _writable(parts, "no: {}")
    files = cache.scan().files
    yield Finding("cache", "files", len(files))
    yield Finding("cache", "disk_bytes", sum(file.stored_bytes for file in files))


def _writable(folders: list[Path], refusal: str) -> Finding:
    """As far as the system tells without being asked to write."""
    for folder in folders:
        if not os.access(folder, os.W_OK | os.X_OK):
            return Finding("cache", "writable", refusal.format(folder), "attention", _PERMISSIONS)
    return Finding("cache", "writable", True)


def _nearest(path: Path) -> Path:
    """The innermost folder above a path that is there."""
    return next((folder for folder in path.parents if _is_directory(folder)), Path(path.anchor))


def _is_directory(path: Path) -> bool:
    """Whether a folder is there; what may not be looked at counts as none."""
    try:
        return path.is_dir()
    except OSError:
        return False


def _free(cache: Cache) -> Finding:
    try:
        free = cache.free_bytes()
    except OSError as exc:
        return Finding("cache", "free_bytes", None, "attention", f"the system says: {exc.strerror}")
    if free < LEAST_FREE_BYTES:
        return Finding("cache", "free_bytes", free, "attention", "free some space on this disk")
    return Finding("cache", "free_bytes", free)

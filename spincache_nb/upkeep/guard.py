"""What must hold before anything is removed: it is a Spin registry cache, and its users are known."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path

from spincache_nb.core.digest import ENCODED_LENGTH
from spincache_nb.core.layout import AREAS, HARMLESS_NAMES, MANIFESTS, REGISTRY, TEMPORARY_PREFIX, shown
from spincache_nb.core.scan import Problem, Scan
from spincache_nb.errors import CacheError, NotACacheError
from spincache_nb.inventory import Inventory

_EXPECTED = "a Spin registry cache"
_UNTOUCHED = "nothing was touched"
_FOREIGN_KINDS = frozenset({"foreign", "folder in a file's place", "file in a folder's place", "not a file"})
_UNKNOWN_KINDS = frozenset({"link", "unreadable folder", "unreadable file"})
_LINK_TAGS = (0xA000000C, 0xA0000003)
"""Reparse tags of symbolic links and junctions (Windows)."""
_NAMED = 3


def refuse_unless_cache(path: Path) -> bool:
    """Make sure that a directory is a Spin registry cache, and nobody's home."""
    _refuse_precious(path)
    try:
        info = path.lstat()
    except FileNotFoundError:
        return False
    except OSError as exc:
        raise _unreadable(path, exc) from exc
    if _is_link(info):
        raise _not_a_cache(path, "a link", "name the directory that it leads to")
    if not stat.S_ISDIR(info.st_mode):
        raise _not_a_cache(path, "something that is no folder")
    refuse_foreign_top(path)
    return True


def refuse_foreign_top(path: Path) -> None:
    """Refuse a directory that holds anything but what a cache holds at its top."""
    foreign = []
    try:
        with os.scandir(path) as entries:
            for entry in entries:
                if entry.name in (MANIFESTS, *AREAS):
                    info = entry.stat(follow_symlinks=False)
                    if _is_link(info):
                        raise _not_a_cache(path / entry.name, "a link in a folder's place", "remove the link")
                    if not stat.S_ISDIR(info.st_mode):
                        foreign.append(entry.name)
                elif entry.name not in HARMLESS_NAMES and not entry.name.startswith(TEMPORARY_PREFIX):
                    foreign.append(entry.name)
    except OSError as exc:
        raise _unreadable(path, exc) from exc
    if foreign:
        raise _foreign(path, foreign)


def refuse_foreign_below(path: Path, scan: Scan) -> None:
    """Refuse to remove a whole cache if anything in it is not Spin's."""
    hidden = [problem for problem in scan.problems if problem.kind == "unreadable folder"]
    if hidden:
        raise CacheError(shown(str(path / hidden[0].path)), "a readable folder", hidden[0].detail, _UNTOUCHED)
    foreign = [problem.path for problem in scan.problems if problem.kind in _FOREIGN_KINDS]
    for blob in scan.blobs:
        stray = blob.name in ENCODED_LENGTH and not blob.stored_bytes  # `sha256:...` on a Windows disk
        if blob.form == "other" and blob.name not in HARMLESS_NAMES and not stray:
            foreign.append(f"{blob.area}/{blob.name}")
    if foreign:
        raise _foreign(path, foreign)


def refuse_unless_known(inventory: Inventory) -> None:
    """Make sure that everybody who may need a blob could be asked."""
    for problem in inventory.problems:
        if problem.kind in _UNKNOWN_KINDS and _is_in_manifests(problem):
            raise CacheError(
                shown(str(inventory.cache.path / problem.path)),
                "to read every cached app, since it may need any blob",
                f"{problem.kind} ({problem.detail})",
                f"{problem.remedy}; no blob was touched",
            )
    for project in inventory.projects:
        if not project.complete:
            raise CacheError(
                project.name,
                "a project that can be read whole, since it may need any blob",
                "one that cannot",
                "correct the project, or leave it out; no blob was touched",
            )


def _is_in_manifests(problem: Problem) -> bool:
    return problem.path in (".", MANIFESTS) or problem.path.startswith(f"{MANIFESTS}/")


def _refuse_precious(path: Path) -> None:
    """Refuse a home directory, the root of a file system, and all that is above them."""
    resolved = Path(os.path.realpath(path))
    homes = {Path(os.path.realpath(home)) for home in _homes()}
    if resolved == Path(resolved.anchor):
        raise _not_a_cache(path, "the root of the file system")
    if any(resolved == home or resolved in home.parents for home in homes):
        raise _not_a_cache(path, "a home directory, or one that holds it")
    if path.name != REGISTRY:
        raise _not_a_cache(path, f"a directory that is not called {REGISTRY!r}")


def _homes() -> Iterable[str]:
    yield os.path.expanduser("~")  # noqa: PTH111 - gives the text back where there is no home
    yield from (home for name in ("HOME", "USERPROFILE") if (home := os.environ.get(name)))


def _is_link(info: os.stat_result) -> bool:
    """Whether it is a link, or what Windows has for one (a junction)."""
    return stat.S_ISLNK(info.st_mode) or getattr(info, "st_reparse_tag", 0) in _LINK_TAGS


def _foreign(path: Path, names: list[str]) -> NotACacheError:
    shown_names = ", ".join(repr(shown(name)) for name in sorted(names)[:_NAMED])
    rest = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return _not_a_cache(path, f"foreign files: {shown_names}{rest}", "move them elsewhere")


def _not_a_cache(path: Path, found: str, remedy: str = "") -> NotACacheError:
    remedy = f"{remedy}; {_UNTOUCHED}" if remedy else _UNTOUCHED
    return NotACacheError(shown(str(path)), _EXPECTED, found, remedy)


def _unreadable(path: Path, exc: OSError) -> CacheError:
    found = exc.strerror or str(exc)
    remedy = f"check its permissions; {_UNTOUCHED}"
    return CacheError(shown(str(path)), "a folder that can be read", found, remedy)

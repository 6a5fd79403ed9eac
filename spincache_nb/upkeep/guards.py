"""What must hold before anything is removed: it is a Spin registry cache, and it is known who needs what."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from spincache_nb.core.cache import Cache
from spincache_nb.core.digest import ENCODED_LENGTH
from spincache_nb.core.files import FileState
from spincache_nb.core.journal import History
from spincache_nb.core.layout import AREAS, MANIFESTS, REGISTRY, TEMPORARY_PREFIX, is_left_by_system, shown
from spincache_nb.core.scan import DiskFile, Scan, scan, scan_tags
from spincache_nb.errors import CacheError, NotACacheError
from spincache_nb.inventory import Inventory, take_inventory
from spincache_nb.project.spin_toml import find_project
from spincache_nb.show import more_text

States = dict[Path, FileState | None]
"""Documents that say who needs what, and the state of each."""

_UNTOUCHED = "nothing was touched"
_FOREIGN_KINDS = frozenset({"foreign", "folder in a file's place", "file in a folder's place", "not a file"})
_UNKNOWN_KINDS = frozenset({"link", "unreadable folder", "unreadable file"})
_NAMED = 3


# Is it a cache? --------------------------------------------------------------------------------


def refuse_unless_cache(path: Path) -> bool:
    """Make sure that a directory is a Spin registry cache, and nobody's home; False if there is nothing."""
    resolved = Path(os.path.realpath(path))
    if resolved == Path(resolved.anchor):
        raise _not_a_cache(path, "the root of the file system")
    named = [os.environ.get(name) for name in ("HOME", "USERPROFILE")]
    for home in (os.path.expanduser("~"), *filter(None, named)):  # noqa: PTH111 - text where there is no home
        if Path(os.path.realpath(home)).is_relative_to(resolved):
            raise _not_a_cache(path, "a home directory, or one that holds it")
    if path.name != REGISTRY:
        raise _not_a_cache(path, f"a directory that is not called {REGISTRY!r}")
    state = FileState.at(path)
    if state is None:
        return False
    if state.kind == "hidden":
        raise _unreadable(path, "it may not be looked at")
    if state.kind == "link":
        raise _not_a_cache(path, "a link", "name the directory that it leads to")
    if not state.is_folder:
        raise _not_a_cache(path, "something that is no folder")
    refuse_foreign_top(path)
    return True


def refuse_foreign_top(path: Path) -> None:
    """Refuse a directory that holds anything but what a cache holds at its top."""
    try:
        names = os.listdir(path)  # noqa: PTH208
    except OSError as exc:
        raise _unreadable(path, exc.strerror or str(exc)) from exc
    foreign = []
    for name in names:
        if name in (MANIFESTS, *AREAS):
            state = FileState.at(path / name)
            if state is not None and state.kind == "link":
                raise _not_a_cache(path / name, "a link in a folder's place", "remove the link")
            if state is not None and not state.is_folder:
                foreign.append(name)
        elif not is_left_by_system(name) and not name.startswith(TEMPORARY_PREFIX):
            foreign.append(name)
    _refuse_foreign(path, foreign)


def scan_whole(path: Path) -> Scan | None:
    """Walk a cache of which everything is to go; refuses if anything in it is not Spin's."""
    if not refuse_unless_cache(path):
        return None
    found = scan(path)
    for problem in found.problems:
        if problem.kind == "unreadable folder":
            raise _unreadable(path / problem.path, problem.detail)
    foreign = [problem.path for problem in found.problems if problem.kind in _FOREIGN_KINDS]
    for blob in found.odd:
        stray = blob.name in ENCODED_LENGTH and not blob.stored_bytes  # `sha256:...` on a Windows disk
        if blob.form == "other" and not is_left_by_system(blob.name) and not stray:
            foreign.append(f"{blob.area}/{blob.name}")
    _refuse_foreign(path, foreign)
    return found


def _refuse_foreign(path: Path, names: list[str]) -> None:
    if names:
        more = more_text(len(names), _NAMED)
        told = ", ".join(repr(shown(name)) for name in sorted(names)[:_NAMED]) + (f" {more}" if more else "")
        raise _not_a_cache(path, f"foreign files: {told}", "move them elsewhere")


def _not_a_cache(path: Path, found: str, remedy: str = "") -> NotACacheError:
    remedy = f"{remedy}; {_UNTOUCHED}" if remedy else _UNTOUCHED
    return NotACacheError(shown(str(path)), "a Spin registry cache", found, remedy)


def _unreadable(path: Path, reason: str) -> CacheError:
    remedy = f"check its permissions; {_UNTOUCHED}"
    return CacheError(shown(str(path)), "a folder that can be read", reason, remedy)


class Weights(NamedTuple):
    """What goes with each of Spin's three directories, and beside them under ``.``."""

    files: Counter[str]
    freed: Counter[str]
    """Bytes that the disk gets back."""
    linked: Counter[str]
    """Files that free none, since they have names outside of the cache too."""


def weigh(root: Path, found: Scan) -> Weights:
    """Say what goes with a whole cache: all files but what systems left."""
    names = Counter(file.same_as or file.path for file in found.files)
    weights = Weights(Counter(), Counter(), Counter())
    for folder, file in _going(found):
        weights.files[folder] += 1
        state = FileState.at(root / file.path) if file.same_as is None else None
        if state is not None and state.links > names[file.path]:
            weights.linked[folder] += 1
        else:
            weights.freed[folder] += file.stored_bytes
    return weights


def _going(found: Scan) -> Iterator[tuple[str, DiskFile]]:
    staying = {problem.path for problem in found.problems if problem.kind == "system file"}
    for file in found.files:
        top, slash, _ = file.path.partition("/")
        parts = file.path.split("/") if staying else ()
        if not any("/".join(parts[:count]) in staying for count in range(1, len(parts) + 1)):
            yield (top if slash and top in (MANIFESTS, *AREAS) else "."), file


# Who needs what? -------------------------------------------------------------------------------


def inventory_of(cache: Cache, projects: Sequence[str]) -> Inventory:
    """Take an inventory without asking the history of pulls."""
    return take_inventory(cache, projects=projects, history=History(enabled=False))


def document_states(cache: Cache, projects: Iterable[str] = ()) -> States:
    """Say what state the documents are in that tell who needs what."""
    paths = [path for tag in scan_tags(cache.path) for path in (tag.manifest_path, tag.locked_app_path)]
    for project in map(find_project, projects):
        paths += [project.manifest, project.lock]
    return {path: FileState.at(path) for path in paths}


def refuse_unless_known(
    inventory: Inventory, *, leaving: Collection[str] = (), even_if_unknown: bool = False
) -> None:
    """Make sure that everybody who may need a blob, but for apps that are to go, could be asked."""
    if not even_if_unknown:
        _refuse_if_nobody_tells(inventory, leaving)
    for problem in inventory.problems:
        in_manifests = problem.path in (".", MANIFESTS) or problem.path.startswith(f"{MANIFESTS}/")
        if problem.kind in _UNKNOWN_KINDS and in_manifests:
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


def _refuse_if_nobody_tells(inventory: Inventory, leaving: Collection[str]) -> None:
    remedy = "give the projects that use it, or say that it may go all the same (even_if_unknown=True, "
    remedy += "--even-if-unknown); no blob was touched"
    stored = sum(digest is not None for digest in inventory.blobs.digests)
    if stored and not inventory.apps and not inventory.projects:
        raise CacheError(
            shown(str(inventory.cache.path / MANIFESTS)),
            "manifests that say who needs what",
            f"none, and {stored} blobs, as in a container that containerd-shim-spin filled",
            remedy,
        )
    for app in inventory.apps:
        states = [FileState.at(path) for path in (app.tag.manifest_path, app.tag.locked_app_path)]
        if app.reference not in leaving and not any(state is None or state.size for state in states):
            raise CacheError(
                shown(str(app.tag.path)),
                "documents that say what the app needs",
                "two empty ones, as a disk leaves them that lost power",
                f"pull {app.reference} again or remove it, or {remedy}",
            )

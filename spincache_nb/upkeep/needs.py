"""What must hold before anything is removed: it is a Spin registry cache, and it is known who needs what."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from spincache_nb.core.archive import list_members
from spincache_nb.core.cache import Cache
from spincache_nb.core.digest import ENCODED_LENGTH, Digest
from spincache_nb.core.documents import Area
from spincache_nb.core.files import FileState
from spincache_nb.core.journal import History
from spincache_nb.core.layout import AREAS, MANIFESTS, REGISTRY, TEMPORARY_PREFIX, is_left_by_system, shown
from spincache_nb.core.scan import Scan, scan_tags
from spincache_nb.errors import CacheError, NotACacheError, SpinCacheError
from spincache_nb.inventory import CachedApp, Inventory, take_inventory
from spincache_nb.project.places import LOCK, SPIN_TOML

States = dict[Path, FileState | None]
"""Documents that say who needs what, and the state of each."""

_UNTOUCHED = "nothing was touched"
_FOREIGN_KINDS = frozenset({"foreign", "folder in a file's place", "file in a folder's place", "not a file"})
_UNKNOWN_KINDS = frozenset({"link", "unreadable folder", "unreadable file"})
_NAMED = 3


# Is it a cache? --------------------------------------------------------------------------------


def refuse_unless_cache(path: Path) -> bool:
    """Make sure that a directory is a Spin registry cache, and nobody's home; False if there is nothing."""
    _refuse_precious(path)
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
    if foreign:
        raise _foreign(path, foreign)


def refuse_foreign_below(path: Path, scan: Scan) -> None:
    """Refuse to remove a whole cache if anything in it is not Spin's."""
    for problem in scan.problems:
        if problem.kind == "unreadable folder":
            raise _unreadable(path / problem.path, problem.detail)
    foreign = [problem.path for problem in scan.problems if problem.kind in _FOREIGN_KINDS]
    for blob in scan.odd:
        stray = blob.name in ENCODED_LENGTH and not blob.stored_bytes  # `sha256:...` on a Windows disk
        if blob.form == "other" and not is_left_by_system(blob.name) and not stray:
            foreign.append(f"{blob.area}/{blob.name}")
    if foreign:
        raise _foreign(path, foreign)


def _refuse_precious(path: Path) -> None:
    """Refuse a home directory, the root of a file system, and all that is above them."""
    resolved = Path(os.path.realpath(path))
    named = [os.environ.get(name) for name in ("HOME", "USERPROFILE")]
    homes = [os.path.expanduser("~"), *filter(None, named)]  # noqa: PTH111 - text where there is no home
    if resolved == Path(resolved.anchor):
        raise _not_a_cache(path, "the root of the file system")
    for home in (Path(os.path.realpath(home)) for home in homes):
        if resolved == home or resolved in home.parents:
            raise _not_a_cache(path, "a home directory, or one that holds it")
    if path.name != REGISTRY:
        raise _not_a_cache(path, f"a directory that is not called {REGISTRY!r}")


def _foreign(path: Path, names: list[str]) -> NotACacheError:
    shown_names = ", ".join(repr(shown(name)) for name in sorted(names)[:_NAMED])
    rest = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return _not_a_cache(path, f"foreign files: {shown_names}{rest}", "move them elsewhere")


def _not_a_cache(path: Path, found: str, remedy: str = "") -> NotACacheError:
    remedy = f"{remedy}; {_UNTOUCHED}" if remedy else _UNTOUCHED
    return NotACacheError(shown(str(path)), "a Spin registry cache", found, remedy)


def _unreadable(path: Path, reason: str) -> CacheError:
    remedy = f"check its permissions; {_UNTOUCHED}"
    return CacheError(shown(str(path)), "a folder that can be read", reason, remedy)


# Who needs what? -------------------------------------------------------------------------------


def inventory_of(cache: Cache, projects: Sequence[str]) -> Inventory:
    """Take an inventory without asking the history of pulls."""
    return take_inventory(cache, projects=projects, history=History(enabled=False))


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


def document_states(cache: Cache, projects: Iterable[str] = ()) -> States:
    """Say what state the documents are in that tell who needs what."""
    paths = [path for tag in scan_tags(cache.path) for path in (tag.manifest_path, tag.locked_app_path)]
    for project in map(Path, projects):
        folder = project if project.is_dir() else project.parent
        paths += [(project / SPIN_TOML if project.is_dir() else project).resolve(), (folder / LOCK).resolve()]
    return {path: FileState.at(path) for path in paths}


class Needs:
    """What apps and projects need, by an inventory."""

    def __init__(self, inventory: Inventory) -> None:
        users: dict[tuple[Area, Digest], set[str]] = {}
        for use in inventory.uses():
            users.setdefault((use.area, use.digest), set()).add(use.user)
        self._users = {blob: tuple(sorted(names)) for blob, names in users.items()}
        self._lacked = {lost.digest: lost.user for lost in inventory.missing}

    def users_of(self, area: Area, digest: Digest | None) -> tuple[str, ...]:
        """Who needs a stored blob."""
        return self._users.get((area, digest), ()) if digest is not None else ()

    def user(self, area: Area, digest: Digest) -> str | None:
        """Somebody who needs a blob, also if it is not stored just now."""
        return next(iter(self.users_of(area, digest)), self._lacked.get(digest))


class NewUsers:
    """Tells who has come to need a blob since a plan was made."""

    def __init__(self, cache: Cache, projects: Sequence[str], expected: States) -> None:
        self.cache = cache
        self.projects = projects
        self.expected = expected
        self._seen: States | None = None
        self._needs: Needs | None = None
        self._changed: list[CachedApp] = []

    def of(self, blobs: Collection[tuple[Area, Digest]]) -> dict[tuple[Area, Digest], str]:
        """Say which of some blobs somebody needs by now, and who."""
        states = document_states(self.cache, self.projects)
        if states == self.expected:
            return {}
        needs = self._ask(states)
        found = {blob: user for blob in blobs if (user := needs.user(*blob)) is not None}
        digests = {digest for _, digest in blobs}
        for app in self._changed:
            needed = _archive_members(self.cache, app, digests) if _is_legible(app) else digests
            for blob in blobs:
                if blob[1] in needed:
                    found.setdefault(blob, app.reference)
        return found

    def _ask(self, states: States) -> Needs:
        if self._needs is None or states != self._seen:
            inventory = inventory_of(self.cache, self.projects)
            refuse_unless_known(inventory, even_if_unknown=True)
            self._needs, self._seen = Needs(inventory), states
            self._changed = [
                app
                for app in inventory.apps
                for path in (app.tag.manifest_path, app.tag.locked_app_path)
                if self.expected.get(path) != states.get(path)
            ]
        return self._needs


def _is_legible(app: CachedApp) -> bool:
    return app.manifest is not None and (app.locked_app is not None or app.config_kind != "damaged")


def _archive_members(cache: Cache, app: CachedApp, wanted: Collection[Digest]) -> set[Digest]:
    """Which of some digests are members of stored archive layers of an app."""
    found: set[Digest] = set()
    for layer in app.layers:
        if layer.descriptor.role == "archive":
            try:
                with cache.open_blob(layer.descriptor.digest) as stream:
                    members = list_members(stream, where=str(layer.descriptor.digest)).members
            except SpinCacheError:
                continue
            found.update(member.digest for member in members)
    return found & set(wanted)

"""What must hold before anything is removed: it is a Spin registry cache, and it is known who needs what."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from spincache_nb.core.archive import list_members
from spincache_nb.core.cache import Cache
from spincache_nb.core.documents import Area
from spincache_nb.core.files import FileState
from spincache_nb.core.journal import History
from spincache_nb.core.layout import AREAS, MANIFESTS, REGISTRY, TEMPORARY_PREFIX, is_left_by_system, shown
from spincache_nb.core.scan import scan_tags
from spincache_nb.errors import CacheError, NotACacheError, SpinCacheError
from spincache_nb.inventory import CachedApp, Inventory, take_inventory
from spincache_nb.project.spin_toml import find_project
from spincache_nb.show import more_text
from spincache_nb.upkeep.plans import DOCUMENTS, RemovalItem, RemovalPlan

States = dict[Path, FileState | None]
"""Documents that say who needs what, and the state of each."""

_UNTOUCHED = "nothing was touched"
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
        raise unreadable(path, "it may not be looked at")
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
        raise unreadable(path, exc.strerror or str(exc)) from exc
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
    refuse_foreign(path, foreign)


def refuse_foreign(path: Path, names: list[str]) -> None:
    """Refuse a directory in which files of these names lie."""
    if names:
        more = more_text(len(names), _NAMED)
        told = ", ".join(repr(shown(name)) for name in sorted(names)[:_NAMED]) + (f" {more}" if more else "")
        raise _not_a_cache(path, f"foreign files: {told}", "move them elsewhere")


def _not_a_cache(path: Path, found: str, remedy: str = "") -> NotACacheError:
    remedy = f"{remedy}; {_UNTOUCHED}" if remedy else _UNTOUCHED
    return NotACacheError(shown(str(path)), "a Spin registry cache", found, remedy)


def unreadable(path: Path, reason: str) -> CacheError:
    """The error that says that a folder cannot be looked into."""
    remedy = f"check its permissions; {_UNTOUCHED}"
    return CacheError(shown(str(path)), "a folder that can be read", reason, remedy)


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


class NewNeeds:
    """Tells who has come to need a blob since a plan was made."""

    def __init__(self, plan: RemovalPlan) -> None:
        self.plan = plan
        gone = {plan.cache.path.joinpath(*item.parts) for item in plan.items if item.what in DOCUMENTS}
        self.expected = {path: state for path, state in plan.documents.items() if path not in gone}
        """State of the documents as the plan found them, without those that are to go."""
        self.seen: States | None = None
        self.users: dict[tuple[Area, str], str] = {}
        self.lacked: dict[str, str] = {}
        self.changed: list[CachedApp] = []

    def refuse_unless_known(self) -> None:
        """Make sure, before anything goes, that nobody came or changed who cannot be asked."""
        plan = self.plan
        if document_states(plan.cache, plan.projects) != plan.documents:
            inventory = inventory_of(plan.cache, plan.projects)
            refuse_unless_known(inventory, leaving=plan.references, even_if_unknown=plan.even_if_unknown)

    def of(self, items: Collection[RemovalItem]) -> dict[RemovalItem, str]:
        """Say which of some blobs somebody needs by now, and who; of other files no document can say that."""
        blobs = {item: item.digest for item in items if item.digest is not None}
        states = document_states(self.plan.cache, self.plan.projects) if blobs else self.expected
        if states == self.expected:
            return {}
        if states != self.seen:
            self._look_again(states)
        found: dict[RemovalItem, str] = {}
        for item, digest in blobs.items():
            user = self.users.get((item.area, digest), self.lacked.get(digest))
            if user is not None:
                found[item] = user
        for app in self.changed:
            members = _archive_members(self.plan.cache, app)
            for item, digest in blobs.items():
                if members is None or digest in members:
                    found.setdefault(item, app.reference)
        return found

    def _look_again(self, states: States) -> None:
        inventory = inventory_of(self.plan.cache, self.plan.projects)
        refuse_unless_known(inventory, even_if_unknown=True)
        self.seen = states
        self.users = {blob: users[0] for blob, users in inventory.users_of().items()}
        lost = inventory.missing
        lacked = zip(lost.digests.tolist(), lost.users.tolist(), strict=True)
        self.lacked = {lost.digest_texts[digest]: lost.names[user] for digest, user in lacked}
        self.changed = [
            app
            for app in inventory.apps
            for path in (app.tag.manifest_path, app.tag.locked_app_path)
            if self.expected.get(path) != states.get(path)
        ]


def _archive_members(cache: Cache, app: CachedApp) -> set[str] | None:
    """Digests of the members of stored archive layers of an app; None if nobody knows what it needs."""
    manifest = app.manifest
    if manifest is None or (app.locked_app is None and app.config_kind == "damaged"):
        return None
    found: set[str] = set()
    for layer in (layer for layer in manifest.layers if layer.role == "archive"):
        with contextlib.suppress(SpinCacheError), cache.open_blob(layer.digest) as stream:
            found.update(str(one.digest) for one in list_members(stream, where=str(layer.digest)).members)
    return found

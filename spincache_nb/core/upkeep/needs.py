"""Who needs what, for removals: users of each blob, and whether that may have changed since."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from spincache_nb.core.archive import list_members
from spincache_nb.core.cache import Cache, open_regular
from spincache_nb.core.cache.removal import FileState, file_state
from spincache_nb.core.cache.scan import scan_tags
from spincache_nb.core.digest import Digest
from spincache_nb.core.history import History
from spincache_nb.core.inventory import CachedApp, Inventory, take_inventory
from spincache_nb.core.inventory.projects import LOCK, SPIN_TOML
from spincache_nb.core.manifest import Area
from spincache_nb.errors import SpinCacheError

States = dict[Path, FileState | None]
"""Documents that say who needs what, and the state of each."""


class Needs:
    """What apps and projects need, by an inventory.

    Parameters
    ----------
    inventory
        Of the cache, with all projects that count.

    Attributes
    ----------
    users : dict
        By area and digest of a stored blob: who needs it, sorted.
    """

    def __init__(self, inventory: Inventory) -> None:
        users: dict[tuple[Area, Digest], set[str]] = {}
        for use in inventory.uses():
            users.setdefault((use.area, use.digest), set()).add(use.user)
        self.users = {blob: tuple(sorted(names)) for blob, names in users.items()}
        self._lacked = {lost.digest: lost.user for lost in inventory.missing}

    def users_of(self, area: Area, digest: Digest) -> tuple[str, ...]:
        """Who needs a stored blob."""
        return self.users.get((area, digest), ())

    def user(self, area: Area, digest: Digest) -> str | None:
        """Somebody who needs a blob, also if it is not stored just now."""
        users = self.users_of(area, digest)
        return users[0] if users else self._lacked.get(digest)


def inventory_of(cache: Cache, projects: Sequence[str]) -> Inventory:
    """Take an inventory without asking the history of pulls."""
    return take_inventory(cache, projects=projects, history=History(enabled=False))


def document_states(cache: Cache, projects: Iterable[str] = ()) -> States:
    """Say what state the documents are in that tell who needs what.

    Parameters
    ----------
    cache
        The cache: manifests and locked apps of all its tags.
    projects
        ``spin.toml`` files or folders; each with its environment lock.

    Returns
    -------
    dict
        By path. If it is the same later on, nobody has come to need anything else.
    """
    paths = [path for tag in scan_tags(cache.path) for path in (tag.manifest_path, tag.locked_app_path)]
    for project in map(Path, projects):
        folder = project if project.is_dir() else project.parent
        paths += [(project / SPIN_TOML if project.is_dir() else project).resolve(), (folder / LOCK).resolve()]
    return {path: file_state(path) for path in paths}


def changed_apps(inventory: Inventory, before: States, after: States) -> list[CachedApp]:
    """Apps whose documents are new, or others than before."""
    return [
        app
        for app in inventory.apps
        if any(
            before.get(path) != after.get(path) for path in (app.tag.manifest_path, app.tag.locked_app_path)
        )
    ]


def is_legible(app: CachedApp) -> bool:
    """Whether an app's documents tell what it needs; not while somebody writes them in place."""
    return app.manifest is not None and (app.locked_app is not None or app.config_kind != "damaged")


def archive_members(cache: Cache, apps: Iterable[CachedApp], wanted: Collection[Digest]) -> set[Digest]:
    """Which of some digests are members of stored archive layers of some apps.

    A Spin that unpacks an archive skips members that are stored, before the locked app names them.
    """
    found: set[Digest] = set()
    for app in apps:
        for layer in app.layers:
            path = cache.find_blob(layer.descriptor.digest)
            if layer.descriptor.role != "archive" or path is None:
                continue
            try:
                with open_regular(path) as stream:
                    members = list_members(stream, where=os.fspath(path)).members
            except SpinCacheError:
                continue
            found.update(member.digest for member in members)
    return found & set(wanted)

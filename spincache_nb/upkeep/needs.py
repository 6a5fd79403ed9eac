"""Who needs what, for removals: users of each blob, and whether that may have changed since."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from spincache_nb.core.archive import list_members
from spincache_nb.core.cache import Cache
from spincache_nb.core.digest import Digest
from spincache_nb.core.documents import Area
from spincache_nb.core.files import FileState, file_state, open_regular
from spincache_nb.core.journal import History
from spincache_nb.core.scan import scan_tags
from spincache_nb.errors import SpinCacheError
from spincache_nb.inventory import CachedApp, Inventory, take_inventory
from spincache_nb.project.places import LOCK, SPIN_TOML
from spincache_nb.upkeep.guard import refuse_unless_known

States = dict[Path, FileState | None]
"""Documents that say who needs what, and the state of each."""


class Needs:
    """What apps and projects need, by an inventory."""

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
    """Say what state the documents are in that tell who needs what."""
    paths = [path for tag in scan_tags(cache.path) for path in (tag.manifest_path, tag.locked_app_path)]
    for project in map(Path, projects):
        folder = project if project.is_dir() else project.parent
        paths += [(project / SPIN_TOML if project.is_dir() else project).resolve(), (folder / LOCK).resolve()]
    return {path: file_state(path) for path in paths}


def archive_members(cache: Cache, apps: Iterable[CachedApp], wanted: Collection[Digest]) -> set[Digest]:
    """Which of some digests are members of stored archive layers of some apps."""
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


class Newcomers:
    """Tells who has come to need a blob since a plan was made."""

    def __init__(self, cache: Cache, projects: Sequence[str], expected: States) -> None:
        self.cache = cache
        self.projects = projects
        self.expected = expected
        self._seen: States | None = None
        self._needs: Needs | None = None
        self._changed: list[CachedApp] = []

    def users(self, blobs: Collection[tuple[Area, Digest]]) -> dict[tuple[Area, Digest], str]:
        """Say which of some blobs somebody needs by now, and who."""
        states = document_states(self.cache, self.projects)
        if states == self.expected:
            return {}
        needs = self._ask(states)
        found: dict[tuple[Area, Digest], str] = {}
        for area, digest in blobs:
            user = needs.user(area, digest)
            if user is not None:
                found[area, digest] = user
        for app in self._changed:
            digests = {digest for _, digest in blobs}
            needed = archive_members(self.cache, [app], digests) if _is_legible(app) else digests
            for blob in blobs:
                if blob[1] in needed:
                    found.setdefault(blob, app.reference)
        return found

    def _ask(self, states: States) -> Needs:
        if self._needs is None or states != self._seen:
            inventory = inventory_of(self.cache, self.projects)
            refuse_unless_known(inventory)
            self._needs, self._seen = Needs(inventory), states
            self._changed = [app for app in inventory.apps if self._is_changed(app, states)]
        return self._needs

    def _is_changed(self, app: CachedApp, states: States) -> bool:
        documents = (app.tag.manifest_path, app.tag.locked_app_path)
        return any(self.expected.get(path) != states.get(path) for path in documents)


def _is_legible(app: CachedApp) -> bool:
    return app.manifest is not None and (app.locked_app is not None or app.config_kind != "damaged")

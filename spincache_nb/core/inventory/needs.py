"""Who needs which blob, over all apps and projects."""

from __future__ import annotations

from collections.abc import Iterable

from spincache_nb.core.cache import AREAS, StoredBlob
from spincache_nb.core.digest import Digest
from spincache_nb.core.inventory.model import CachedApp, Project
from spincache_nb.core.inventory.rows import BlobTable, LayerUses
from spincache_nb.core.manifest import Area


def blobs_needed(users: Iterable[CachedApp | Project]) -> dict[Area, set[Digest]]:
    """Digests of all stored blobs that somebody needs, by area.

    Parameters
    ----------
    users
        Apps and projects.
    """
    needed: dict[Area, set[Digest]] = {area: set() for area in AREAS}
    numbers: dict[int, set[int]] = {}
    tables: dict[int, BlobTable] = {}
    for user in users:
        uses = user.uses
        if isinstance(uses, LayerUses):
            tables[id(uses.table)] = uses.table
            numbers.setdefault(id(uses.table), set()).update(uses.numbers)
        else:
            for use in uses:
                needed[use.area].add(use.digest)
    for which, table in tables.items():
        for number in numbers[which]:
            blob = table.blobs[number]
            if blob.digest is not None:
                needed[blob.area].add(blob.digest)
    return needed


def apps_needing(
    blobs: Iterable[StoredBlob], users: Iterable[CachedApp | Project]
) -> dict[tuple[Area, str], list[str]]:
    """References of the apps that need certain files, by area and name of the file.

    Parameters
    ----------
    blobs
        The files; there should be few.
    users
        Apps, and projects, which are passed over.
    """
    names: dict[tuple[Area, str], list[str]] = {(blob.area, blob.name): [] for blob in blobs}
    for user in users if names else ():
        if isinstance(user, CachedApp):
            uses = user.uses
            needed = uses.blobs() if isinstance(uses, LayerUses) else (use.blob for use in uses)
            for blob in needed:
                if (blob.area, blob.name) in names:
                    names[blob.area, blob.name].append(user.reference)
    return names

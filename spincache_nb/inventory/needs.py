"""Who needs which blob, over all apps and projects."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from spincache_nb.core.layout import AREAS
from spincache_nb.core.manifest import Area
from spincache_nb.core.scan import StoredBlob
from spincache_nb.inventory.model import CachedApp, Project
from spincache_nb.inventory.plain import PlacedLayers
from spincache_nb.inventory.rows import LayerUses, Use


def blobs_needed(users: Iterable[Sequence[Use]]) -> dict[Area, set[str]]:
    """Digests of all stored blobs that somebody needs, by area."""
    needed: dict[Area, set[str]] = {area: set() for area in AREAS}
    layers: dict[int, tuple[PlacedLayers, set[int]]] = {}
    for uses in users:
        if isinstance(uses, LayerUses):
            layers.setdefault(id(uses.placed), (uses.placed, set()))[1].update(uses.layers)
        else:
            for use in uses:
                needed[use.area].add(str(use.digest))
    for placed, numbers in layers.values():
        digests, first_wasm = placed.table.digests, placed.table.first_wasm
        for number in placed.distinct(numbers):
            needed["wasm" if number >= first_wasm else "data"].add(digests[number])
    return needed


def apps_needing(
    blobs: Iterable[StoredBlob], users: Iterable[CachedApp | Project]
) -> dict[tuple[Area, str], list[str]]:
    """References of the apps that need certain files, by area and name of the file."""
    names: dict[tuple[Area, str], list[str]] = {(blob.area, blob.name): [] for blob in blobs}
    for user in users if names else ():
        if isinstance(user, CachedApp):
            uses = user.uses
            needed = uses.blobs() if isinstance(uses, LayerUses) else (use.blob for use in uses)
            for blob in needed:
                if (blob.area, blob.name) in names:
                    names[blob.area, blob.name].append(user.reference)
    return names

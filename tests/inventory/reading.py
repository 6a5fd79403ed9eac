"""Laying caches out, and reading inventories for comparison with rows written by hand."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from spincache_nb import frames
from spincache_nb.core.cache import Cache
from spincache_nb.core.documents import role_of
from spincache_nb.core.scan import StoredBlob
from spincache_nb.inventory import CachedApp, Inventory, take_inventory
from spincache_nb.inventory.columns import AREAS_IN_ORDER, STANDINGS, VIAS
from tests.support.trees import write_tree

WEB_V1 = "ghcr.io/org/web:v1"
WEB_MANIFEST = "manifests/ghcr.io/org/web/v1/manifest.json"
WEB_CONFIG = "manifests/ghcr.io/org/web/v1/config.json"
SITE_V1 = "ghcr.io/org/site:v1"


def laid_out(tmp_path: Path, tree: Mapping[str, bytes]) -> Cache:
    write_tree(tmp_path / "cache" / "registry", tree)
    return Cache(tmp_path / "cache")


def taken(tmp_path: Path, tree: Mapping[str, bytes]) -> Inventory:
    return take_inventory(laid_out(tmp_path, tree))


def problems(inventory: Inventory) -> list[tuple[str, str, str | None]]:
    for problem in inventory.problems:
        assert problem.detail
        assert problem.remedy
        assert f"``{problem.kind}``" in (frames.problems.__doc__ or "")
    return [(problem.path, problem.kind, problem.reference) for problem in inventory.problems]


def app(inventory: Inventory, reference: str) -> CachedApp:
    (found,) = [app for app in inventory.apps if app.reference == reference]
    return found


class Layer(NamedTuple):
    """A layer of an app, by the inventory's columns."""

    position: int
    role: str
    stored: bool
    urls: tuple[str, ...]


def layers(found: CachedApp) -> list[Layer]:
    columns = found.contents.layers
    rows = range(*columns.starts[found.number : found.number + 2].tolist())
    return [
        Layer(place, role_of(columns.media_types[columns.types[row]]), bool(columns.stored[row]),
              columns.urls.get(row, ()))
        for place, row in enumerate(rows)
    ]  # fmt: skip


class Blob(NamedTuple):
    """A file in ``wasm/`` or ``data/``, by the inventory's columns."""

    blob: StoredBlob
    digest: str | None
    standing: str


def blobs(inventory: Inventory) -> list[Blob]:
    columns = inventory.blobs
    return [
        Blob(columns.blob(row), columns.digests[row], STANDINGS[columns.standings[row]])
        for row in range(len(columns))
    ]


class Lost(NamedTuple):
    """A row of what apps need and the cache lacks."""

    user: str
    digest: str
    area: str
    via: str
    elsewhere: bool


def missing(inventory: Inventory) -> list[Lost]:
    lost = inventory.missing
    columns = (lost.users, lost.digests, lost.areas, lost.vias, lost.elsewhere)
    return [
        Lost(lost.names[user], lost.digest_texts[digest], AREAS_IN_ORDER[area], VIAS[via], elsewhere)
        for user, digest, area, via, elsewhere in zip(*(one.tolist() for one in columns), strict=True)
    ]


class Use(NamedTuple):
    """A row of an inventory's uses."""

    user: str
    digest: str
    area: str
    stored_bytes: int
    via: str


def each_use(inventory: Inventory) -> list[Use]:
    contents, stored = inventory.contents, inventory.blobs
    uses = contents.uses
    return [
        Use(contents.users[user], contents.digests[code], AREAS_IN_ORDER[stored.areas[at]],
            int(stored.sizes[at]), VIAS[via])
        for user, code, at, via in zip(uses.users, uses.digests, uses.blobs, uses.vias, strict=True)
    ]  # fmt: skip


def uses(inventory: Inventory) -> set[tuple[str, str, str, int, str]]:
    rows = [(u.user, f"{u.area}/{u.digest}", u.area, u.stored_bytes, u.via) for u in each_use(inventory)]
    assert len(rows) == len(set(rows))
    return set(rows)


def vias(inventory: Inventory, user: str) -> dict[str, str]:
    return {f"{use.area}/{use.digest}": use.via for use in each_use(inventory) if use.user == user}


def standings(inventory: Inventory) -> dict[str, str]:
    return {f"{one.blob.area}/{one.blob.name}": one.standing for one in blobs(inventory)}


def pairs(inventory: Inventory) -> list[tuple[str, str]]:
    return [(path, kind) for path, kind, _ in problems(inventory)]

"""Inventories of one cache or of several: what every frame of this package is made of."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter
from typing import Any, NamedTuple, TypeAlias

import pandas as pd

from spincache_nb.core.cache import Cache
from spincache_nb.core.layout import shown
from spincache_nb.frames.long import LayerColumns, LayerRanks, UseColumns
from spincache_nb.frames.schemas import CACHE, Picked, Schema, from_columns, several
from spincache_nb.inventory import CachedApp, Inventory, Use, take_inventory

Caches: TypeAlias = Cache | Iterable[Cache]
"""One cache, or several: then ``cache`` is the first column."""

Projects: TypeAlias = Sequence[str | os.PathLike[str]]
"""``spin.toml`` files, or folders that hold one."""


class User(NamedTuple):
    """An app, or a project, and the stored blobs that it needs."""

    cache: str
    name: str
    uses: Sequence[Use]
    is_app: bool


@dataclass(frozen=True)
class Found:
    """Inventories, and whether frames of them say which cache a row is of."""

    inventories: tuple[Inventory, ...]
    names: tuple[str, ...]
    several: bool

    def __iter__(self) -> Iterator[tuple[str, Inventory]]:
        return zip(self.names, self.inventories, strict=True)

    def apps(self) -> Iterator[tuple[str, CachedApp]]:
        """All apps, each with the name of its cache."""
        for name, inventory in self:
            for app in inventory.apps:
                yield name, app

    @cached_property
    def layers(self) -> LayerColumns:
        """The layers of all apps; made once, for several frames."""
        return LayerColumns([app.layers for _, app in self.apps()], self._ranks)

    @cached_property
    def users(self) -> list[User]:
        """Apps and projects, cache by cache and sorted by name, as apps are in themselves."""
        found: list[User] = []
        for name, inventory in self:
            apps = [User(name, app.reference, app.uses, True) for app in inventory.apps]
            projects = [User(name, project.name, project.uses, False) for project in inventory.projects]
            found += sorted([*apps, *projects], key=attrgetter("name"))
        return found

    @cached_property
    def uses(self) -> UseColumns:
        """What all `users` need; made once, for several frames."""
        return UseColumns([user.uses for user in self.users], self._ranks)

    @cached_property
    def _ranks(self) -> LayerRanks:
        return LayerRanks()

    def frame(
        self, schema: Schema, caches: Iterable[str] | Picked, columns: Mapping[str, Iterable[Any]]
    ) -> pd.DataFrame:
        """Make a frame; `caches` becomes its first column if there are several."""
        if self.several:
            return from_columns(several(schema), {CACHE: caches, **columns})
        return from_columns(schema, columns)


def find(caches: Caches, projects: Projects = ()) -> Found:
    """Take the inventory of one cache, or of several."""
    if isinstance(caches, Cache):
        return Found((take_inventory(caches, projects=projects),), (_name(caches),), False)
    each = tuple(caches)
    inventories = tuple(take_inventory(cache, projects=projects) for cache in each)
    return Found(inventories, tuple(_name(cache) for cache in each), True)


def _name(cache: Cache) -> str:
    return shown(os.fspath(cache.path))

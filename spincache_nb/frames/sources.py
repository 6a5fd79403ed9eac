"""What is taken where a cache belongs, and the inventories that every frame is made of."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, TypeAlias

import pandas as pd

from spincache_nb.core.cache import Cache
from spincache_nb.core.layout import shown
from spincache_nb.frames.schemas import CACHE, Picked, Schema, build, from_columns, several
from spincache_nb.inventory import CachedApp, Inventory, take_inventory
from spincache_nb.inventory.columns import no_collections

OneCache: TypeAlias = Cache | str | os.PathLike[str]
Caches: TypeAlias = OneCache | Iterable[OneCache] | None
"""A cache or its path, or several of them: then ``cache`` is the first column. None is this user's own."""

Projects: TypeAlias = Sequence[str | os.PathLike[str]]
"""``spin.toml`` files, or folders that hold one."""


def caches_of(cache: Caches) -> tuple[tuple[Cache, ...], bool]:
    """Give the caches that somebody means, each directory once, and whether several were asked for."""
    if cache is None:
        return (Cache(),), False
    if isinstance(cache, Cache | str | os.PathLike):
        return (_one(cache),), False
    if isinstance(cache, Sequence | Set | Iterator) and not isinstance(cache, bytes | bytearray | memoryview):
        found = map(_one, cache)
        return tuple({os.path.realpath(one.path): one for one in reversed([*found])}.values())[::-1], True
    raise _not_a_cache(cache)


def _one(cache: Any) -> Cache:
    if isinstance(cache, Cache):
        return cache
    if isinstance(cache, str | os.PathLike):
        return Cache(os.fsdecode(cache))
    raise _not_a_cache(cache)


def _not_a_cache(value: object) -> TypeError:
    return TypeError(
        f"expected a Cache, the path of one, or several of these, got {type(value).__name__}; "
        "for example sc.Cache(), or the directory that holds `registry`"
    )


@dataclass(frozen=True, slots=True)
class Found:
    """Inventories, and whether frames of them say which cache a row is of."""

    inventories: tuple[Inventory, ...]
    names: tuple[str, ...]
    several: bool

    def __iter__(self) -> Iterator[tuple[str, Inventory]]:
        return zip(self.names, self.inventories, strict=True)

    def apps(self) -> Iterator[tuple[str, Inventory, CachedApp]]:
        """All apps, each with its cache."""
        for name, inventory in self:
            for app in inventory.apps:
                yield name, inventory, app

    def frame(
        self, schema: Schema, caches: Iterable[str] | Picked, columns: Mapping[str, Iterable[Any]]
    ) -> pd.DataFrame:
        """Make a frame; `caches` becomes its first column if there are several."""
        if self.several:
            return from_columns(several(schema), {CACHE: caches, **columns})
        return from_columns(schema, columns)

    def of_rows(self, schema: Schema, rows: Iterable[Sequence[Any]]) -> pd.DataFrame:
        """Make a frame of rows: the name of a cache, then a value for each column."""
        if self.several:
            return build(several(schema), rows)
        return build(schema, (row[1:] for row in rows))


def find(cache: Caches, projects: Projects = ()) -> Found:
    """Take the inventory of one cache, or of several."""
    each, many = caches_of(cache)
    inventories = tuple(take_inventory(one, projects=projects) for one in each)
    return Found(inventories, tuple(map(cache_name, each)), many)


@no_collections()
def made(make: Callable[[Found], pd.DataFrame], cache: Caches, projects: Projects = ()) -> pd.DataFrame:
    """What is made of the inventory of one cache, or of several."""
    return make(find(cache, projects))


def cache_name(cache: Cache) -> str:
    """What a cache is called in frames."""
    return shown(os.fspath(cache.path))

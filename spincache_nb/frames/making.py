"""Frames from the columns of inventories; no value is made for any row of layers, uses or blobs.

Languages and tools that made stored WebAssembly binaries are read from the producers sections (WebAssembly
tool conventions, ProducersSection.md). Only section headers and those sections are read, a page at a time:
not by a memory map, since a program that truncates a mapped file ends the process that reads it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple, cast, overload

import numpy as np
import numpy.typing as npt
import pandas as pd

from spincache_nb.core.digest import Digest
from spincache_nb.core.documents import role_of
from spincache_nb.core.files import open_regular
from spincache_nb.core.locked_app import Component
from spincache_nb.core.scan import Problem
from spincache_nb.errors import LimitError, SpinCacheError, printable
from spincache_nb.frames.schemas import (
    APPS_SCHEMA,
    BLOBS_SCHEMA,
    COMPONENTS_SCHEMA,
    DEPENDENCIES_SCHEMA,
    DISK_SCHEMA,
    FILES_SCHEMA,
    LAYERS_SCHEMA,
    PROBLEMS_SCHEMA,
    UNNAMED_SCHEMA,
    USES_SCHEMA,
    Picked,
)
from spincache_nb.frames.sources import Found
from spincache_nb.inventory import CachedApp, Inventory, unnamed_members
from spincache_nb.inventory.columns import (
    AREAS_IN_ORDER,
    DATA,
    STANDINGS,
    VIAS,
    WASM,
    Integers,
    UseColumns,
    distinct,
    is_among,
)
from spincache_nb.inventory.stored import StoredBlobs
from spincache_nb.wasm.naming import Producers, Tool, producers_of
from spincache_nb.wasm.walker import Limits, walk

_ID, _PATH = attrgetter("id"), attrgetter("path")
_PAGE_BYTES: Final = 4096
_LONGEST_NAME: Final = 64 << 10
_MOST_PRODUCERS: Final = 1 << 20
_MOST_NAMED: Final = 20
_LIMITS: Final = Limits(sections=20_000)
"""Compilers and composers emit hundreds; what has more is not worth a listing's time."""


class Made(NamedTuple):
    """What a binary says about how it was made, each missing if it says nothing."""

    languages: str | None = None
    toolchains: str | None = None


class Pages:
    """A file as the walker reads bytes: by index and by slice, one page in memory."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._size = os.fstat(stream.fileno()).st_size
        self._page = b""
        self._start = 0

    def __len__(self) -> int:
        return self._size

    @overload
    def __getitem__(self, at: int) -> int: ...
    @overload
    def __getitem__(self, at: slice) -> bytes: ...

    def __getitem__(self, at: int | slice) -> int | bytes:
        if isinstance(at, slice):
            start, stop, _ = at.indices(self._size)
            return self._slice(start, stop)
        place = at - self._start
        if not 0 <= place < len(self._page):
            self._start = at - at % _PAGE_BYTES
            self._page = self._read(self._start, _PAGE_BYTES)
            place = at - self._start
        return self._page[place]

    def _slice(self, start: int, stop: int) -> bytes:
        if stop - start > _LONGEST_NAME:
            raise LimitError("a name", f"at most {_LONGEST_NAME} bytes", f"{stop - start}", "leave it out")
        place = start - self._start
        if 0 <= place <= place + stop - start <= len(self._page):
            return self._page[place : place + stop - start]
        return self._read(start, max(0, stop - start))

    def _read(self, start: int, size: int) -> bytes:
        self._stream.seek(start)
        return self._stream.read(size)


def how_made(path: Path) -> Made:
    """Say how a stored binary was made."""
    try:
        with open_regular(path) as stream:
            return _made(_producers(Pages(stream)))
    except (SpinCacheError, OSError, IndexError):  # the last: it became shorter meanwhile
        return Made()


def _producers(pages: Pages) -> Producers:
    data = cast(memoryview, pages)  # has all that the walker asks of one
    walked = walk(data, limits=_LIMITS)
    size = sum(section.end - section.body for section in walked.sections if section.name == "producers")
    return producers_of(data, walked) if size <= _MOST_PRODUCERS else Producers()


def _made(producers: Producers) -> Made:
    return Made(_listed_tools(producers.languages), _listed_tools(producers.toolchains))


def _listed_tools(tools: Iterable[Tool]) -> str | None:
    """Put names together; text from outside is escaped and cut, and holds no comma."""
    names = {printable(str(tool)).replace(",", ";").strip() for tool in tools} - {""}
    listed = sorted(names, key=lambda name: (name.casefold(), name))
    if len(listed) > _MOST_NAMED:
        listed[_MOST_NAMED:] = [f"and {len(listed) - _MOST_NAMED} more"]
    return ", ".join(listed) or None


# Columns ----------------------------------------------------------------------------------------


def picked(parts: Iterable[tuple[Sequence[Any], npt.NDArray[Any]]], *, in_order: bool = False) -> Picked:
    """One long column of the parts of several caches: values, and of each row the place of its value."""
    all_values: list[Any] = []
    places = [np.empty(0, np.intp)]
    count = 0
    for values, codes in parts:
        count += 1
        places.append(codes.astype(np.intp) + len(all_values) if all_values else codes)
        all_values += values
    joined = places[1] if count == 1 else np.concatenate(places)
    used = np.zeros(len(all_values), bool)
    used[joined] = True
    if used.all():
        return Picked(all_values, joined, in_order and count == 1)
    some = [all_values[place] for place in np.flatnonzero(used).tolist()]
    return Picked(some, (np.cumsum(used) - 1)[joined], in_order and count == 1)


def _joined(parts: Iterable[npt.NDArray[Any]], dtype: Any = np.int64) -> npt.NDArray[Any]:
    """The rows of several caches, one after the other."""
    some = list(parts)
    return some[0] if len(some) == 1 else np.concatenate([np.empty(0, dtype), *some])


def _each(found: Found, counts: Iterable[int]) -> Picked:
    """The column that says of which cache each row is."""
    names = list(found.names)
    return picked([(names, np.repeat(np.arange(len(names)), list(counts)))])


def _sums(owners: Integers, sizes: Integers, count: int) -> list[int]:
    """Sums for each owner, of whom the rows are in order; of any size, since sizes are what somebody says."""
    fit = int(sizes.max(initial=0)) * len(sizes) < 1 << 63
    added = np.append(0, np.cumsum(sizes if fit else sizes.astype(object)))
    sums: list[int] = np.diff(added[np.searchsorted(owners, np.arange(count + 1))]).tolist()
    return sums


# Apps and layers --------------------------------------------------------------------------------


def apps_of(found: Found) -> pd.DataFrame:
    """Make the frame of apps."""
    listed = list(found.apps())
    rows = [app for _, _, app in listed]
    return found.frame(
        APPS_SCHEMA,
        (name for name, _, _ in listed),
        {
            "reference": (app.reference for app in rows),
            "registry": (app.tag.registry for app in rows),
            "repository": (app.tag.repository for app in rows),
            "tag": (app.tag.tag for app in rows),
            "kind": (app.kind for app in rows),
            "name": (_said(app, "name", "title") for app in rows),
            "version": (_said(app, "version", "version") for app in rows),
            "description": (_said(app, "description", "description") for app in rows),
            "created_at": (_annotation(app, "created") for app in rows),
            "pulled_at": (app.tag.modified_ns for app in rows),
            "manifest_digest": (_text(app.manifest_digest) for app in rows),
            "config_digest": (_text(app.config.digest) if app.config else None for app in rows),
            "config_bytes": (app.config.size if app.config else None for app in rows),
            "layer_count": (app.layer_count if app.config else None for app in rows),
            "component_count": (len(app.locked_app.components) if app.locked_app else None for app in rows),
            "declared_bytes": [size for _, inventory in found for size in _declared(inventory)],
            "stored_bytes": [size for _, inventory in found for size in _needed(inventory)],
        },
    )


def _said(app: CachedApp, field: str, annotation: str) -> str | None:
    value: str | None = getattr(app.locked_app, field, None)
    return value if value is not None else _annotation(app, annotation)


def _annotation(app: CachedApp, name: str) -> str | None:
    return app.facts.annotations.get(f"org.opencontainers.image.{name}") if app.facts is not None else None


def _text(digest: Digest | None) -> str | None:
    return str(digest) if digest is not None else None


def _declared(inventory: Inventory) -> Iterator[int | None]:
    """What config and layers of each app take, each digest once."""
    layers, apps = inventory.contents.layers, inventory.apps
    digests = inventory.contents.digests
    count = len(digests)
    keys = layers.owners() * count + layers.digests
    size_of = np.zeros(count, np.int64)
    size_of[layers.digests] = layers.sizes
    if np.array_equal(size_of[layers.digests], layers.sizes):  # as in all manifests that nobody altered
        keys = distinct(keys)
        sizes = size_of[keys % max(count, 1)]
    else:
        keys, first = np.unique(keys, return_index=True)
        sizes = layers.sizes[first]
    sums = _sums(keys // max(count, 1), sizes, len(apps))
    configs = {str(app.config.digest) for app in apps if app.config}
    number = {text: place for place, text in enumerate(digests) if text in configs}
    own = [number.get(str(app.config.digest), -1) if app.config else -1 for app in apps]
    is_layer = is_among(np.arange(len(apps)) * count + np.asarray(own, np.int64), keys).tolist()
    for app, total, code, among in zip(apps, sums, own, is_layer, strict=True):
        if app.config is None:
            yield None
        else:
            yield total if among and code >= 0 else total + app.config.size


def _needed(inventory: Inventory) -> list[int]:
    """Bytes of the stored blobs that each app needs."""
    uses = inventory.contents.uses
    return _sums(uses.users.astype(np.int64), inventory.blobs.sizes[uses.blobs], len(inventory.apps))


def layers_of(found: Found) -> pd.DataFrame:
    """Make the frame of layers."""
    columns = [inventory.contents.layers for inventory in found.inventories]
    owners = [one.owners() for one in columns]
    names = [[app.reference for app in inventory.apps] for inventory in found.inventories]
    first = [np.repeat(one.starts[:-1], np.diff(one.starts)) for one in columns]
    roles = [[role_of(media_type) for media_type in one.media_types] for one in columns]
    return found.frame(
        LAYERS_SCHEMA,
        _each(found, map(len, owners)),
        {
            "reference": picked(zip(names, owners, strict=True)),
            "position": _joined(np.arange(len(one)) - one for one in first),
            "digest": picked(
                (
                    (inventory.contents.digests, inventory.contents.layers.digests)
                    for inventory in found.inventories
                ),
                in_order=True,
            ),
            "media_type": picked((one.media_types, one.types) for one in columns),
            "role": picked((some, one.types) for some, one in zip(roles, columns, strict=True)),
            "declared_bytes": _joined(one.sizes for one in columns),
            "stored": _joined((one.stored for one in columns), bool),
        },
    )


# Components and files ---------------------------------------------------------------------------


def _components(found: Found) -> Iterator[tuple[str, StoredBlobs, str, Component]]:
    """The components of all apps by ``id``, each with its cache, the blobs stored there, and its app."""
    for name, inventory, app in found.apps():
        for component in sorted(app.locked_app.components if app.locked_app else (), key=_ID):
            yield name, inventory.blobs, app.reference, component


def _mounted(component: Component, stored: StoredBlobs) -> Iterator[tuple[str, str | None, bool, int | None]]:
    """The files of a component by path: digest, whether they are inline, and size as far as it is known."""
    rows, sizes = stored.found[DATA], stored.sizes
    for file in sorted(component.files, key=_PATH):
        digest, size = _text(file.content.digest), file.content.inline_bytes
        row = rows.get(digest) if size is None and digest is not None else None
        yield file.path, digest, size is not None, size if row is None else int(sizes[row])


def components_of(found: Found, *, toolchains: bool = True) -> pd.DataFrame:
    """Make the frame of components, and unless told otherwise look into each binary once."""
    rows: list[tuple[Any, ...]] = []
    known: dict[str, Made] = {"": Made()}
    for cache, stored, reference, component in _components(found):
        digest = str(component.source.digest)
        row = stored.found[WASM].get(digest, stored.found[DATA].get(digest))
        place = stored.location(row) if toolchains and row is not None else ""
        if place not in known:
            known[place] = how_made(Path(place))
        sizes = [size for *_, size in _mounted(component, stored)]
        rows.append(
            (
                cache,
                reference,
                component.id,
                _text(component.source.digest),
                int(stored.sizes[row]) if row is not None else None,
                len(sizes),
                None if None in sizes else sum(sizes),
                len(component.dependencies),
                *known[place],
            )
        )
    return found.of_rows(COMPONENTS_SCHEMA, rows)


def files_of(found: Found) -> pd.DataFrame:
    """Make the frame of mounted files."""
    return found.of_rows(
        FILES_SCHEMA,
        [
            (cache, reference, component.id, *file)
            for cache, stored, reference, component in _components(found)
            for file in _mounted(component, stored)
        ],
    )


def dependencies_of(found: Found) -> pd.DataFrame:
    """Make the frame of what components and triggers depend on."""
    rows = ((name, app.reference, *row) for name, _, app in found.apps() for row in _dependencies(app))
    return found.of_rows(DEPENDENCIES_SCHEMA, rows)


def _dependencies(app: CachedApp) -> Iterator[tuple[str | None, str | None, str, str | None]]:
    """Component or trigger that has it, its name, and its digest."""
    if app.locked_app is None:
        return
    for component in sorted(app.locked_app.components, key=_ID):
        for dependency in component.dependencies:
            yield component.id, None, dependency.name, _text(dependency.source.digest)
    for trigger, dependency in app.locked_app.trigger_dependencies:
        yield None, trigger, dependency.name, _text(dependency.source.digest)


# What is on the disk ----------------------------------------------------------------------------


def uses_of(found: Found) -> pd.DataFrame:
    """Make the frame of uses; the rows of users in the order of their names."""
    columns = [_uses_by_name(inventory) for inventory in found.inventories]
    blobs = [inventory.blobs for inventory in found.inventories]
    contents = [inventory.contents for inventory in found.inventories]
    both = list(zip(contents, columns, strict=True))
    stored = list(zip(blobs, columns, strict=True))
    return found.frame(
        USES_SCHEMA,
        _each(found, (len(uses.users) for uses in columns)),
        {
            "user": picked((one.users, uses.users) for one, uses in both),
            "digest": picked(((one.digests, uses.digests) for one, uses in both), in_order=True),
            "area": picked((AREAS_IN_ORDER, one.areas[uses.blobs]) for one, uses in stored),
            "stored_bytes": _joined(one.sizes[uses.blobs] for one, uses in stored),
            "via": picked((VIAS, uses.vias) for uses in columns),
        },
    )


def _uses_by_name(inventory: Inventory) -> UseColumns:
    names, uses = inventory.contents.users, inventory.contents.uses
    if not inventory.projects:  # apps are in order
        return uses
    rank = np.empty(len(names), np.intp)
    rank[sorted(range(len(names)), key=names.__getitem__)] = np.arange(len(names))
    order = np.argsort(rank[uses.users], kind="stable")
    return UseColumns(uses.users[order], uses.digests[order], uses.blobs[order], uses.vias[order])


def blobs_of(found: Found) -> pd.DataFrame:
    """Make the frame of blobs."""
    columns = [inventory.blobs for inventory in found.inventories]
    return found.frame(
        BLOBS_SCHEMA,
        _each(found, map(len, columns)),
        {
            "name": [name for one in columns for name in one.names],
            "digest": [digest for one in columns for digest in one.digests],
            "area": picked((AREAS_IN_ORDER, one.areas) for one in columns),
            "stored_bytes": _joined(one.sizes for one in columns),
            "modified_at": _joined(one.times for one in columns),
            "standing": picked((STANDINGS, one.standings) for one in columns),
        },
    )


def problems_of(found: Found) -> pd.DataFrame:
    """Make the frame of problems."""
    return problem_rows(found, [inventory.problems for inventory in found.inventories])


def problem_rows(found: Found, problems: Iterable[Sequence[Problem]]) -> pd.DataFrame:
    """Make a frame of problems of each cache."""
    row = attrgetter(*PROBLEMS_SCHEMA)
    rows = ((name, *row(one)) for name, some in zip(found.names, problems, strict=True) for one in some)
    return found.of_rows(PROBLEMS_SCHEMA, rows)


def disk_of(found: Found) -> pd.DataFrame:
    """Make the frame of all files."""
    row = attrgetter(*DISK_SCHEMA)
    rows = ((name, *row(file)) for name, inventory in found for file in inventory.files)
    return found.of_rows(DISK_SCHEMA, rows)


def unnamed_of(found: Found) -> pd.DataFrame:
    """Make the frame of archive members that no app names; it reads the archives of the caches."""
    rows = (
        (name, user, str(digest)) for name, inventory in found for user, digest in unnamed_members(inventory)
    )
    return found.of_rows(UNNAMED_SCHEMA, rows)

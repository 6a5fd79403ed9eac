"""What is in a cache, as values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np

from spincache_nb.core.cache import Cache
from spincache_nb.core.digest import Digest
from spincache_nb.core.documents import Area, Descriptor, Kind, Manifest
from spincache_nb.core.locked_app import LockedApp
from spincache_nb.core.scan import CachedTag, Problem
from spincache_nb.core.settings import LOCKED_APP_BYTES, STORED_MANIFEST_BYTES, ArchiveLimits
from spincache_nb.inventory.columns import (
    AREAS_IN_ORDER,
    VIAS,
    BlobColumns,
    CachedLayer,
    FileColumns,
    Integers,
    LayerColumns,
    MissingColumns,
    Needed,
    Use,
    UseColumns,
    parsed,
)
from spincache_nb.inventory.problems import Faults
from spincache_nb.inventory.stored import StoredBlobs
from spincache_nb.project.spin_toml import EnvironmentLock, SpinManifest

ConfigKind = Literal[
    "locked app", "image config", "package config", "other JSON", "damaged", "unreadable", "missing"
]


@dataclass(frozen=True, slots=True)
class InventoryLimits:
    """How much is read of one document or archive."""

    manifest_bytes: int = STORED_MANIFEST_BYTES
    locked_app_bytes: int = LOCKED_APP_BYTES
    project_bytes: int = 4 << 20
    archive: ArchiveLimits = field(default_factory=ArchiveLimits)


@dataclass(frozen=True, eq=False)
class Contents:
    """Columns of an inventory, and what they number: users (apps, then projects), and digests in order."""

    users: Sequence[str]
    digests: Sequence[str]
    layers: LayerColumns
    blobs: BlobColumns
    rows: Integers
    needed: Needed

    @cached_property
    def uses(self) -> UseColumns:
        """Who needs which stored blob; not every frame has to know, and to sort them takes a while."""
        needed = self.needed.first_of_each()
        blobs = self.rows[needed.places]
        users, places, vias = needed.only(blobs >= 0)
        codes = (places >> 1).astype(np.int32)
        return UseColumns(
            users.astype(np.int32), codes, blobs[blobs >= 0].astype(np.int32), vias.astype(np.int8)
        )

    def layers_of(self, app: int) -> list[CachedLayer]:
        """The layers of one app, as values."""
        columns = self.layers
        rows = slice(columns.starts[app], columns.starts[app + 1])
        codes = columns.digests[rows].tolist()
        digests = {code: parsed(self.digests[code]) for code in set(codes)}
        each = (columns.types[rows].tolist(), columns.sizes[rows].tolist(), columns.stored[rows].tolist())
        urls = [columns.urls.get(row, ()) for row in range(rows.start, rows.stop)]
        return [
            CachedLayer(place, Descriptor(columns.media_types[kind], digests[code], size, urls=more), stored)
            for place, (code, kind, size, stored, more) in enumerate(zip(codes, *each, urls, strict=True))
        ]

    def uses_of(self, user: int) -> list[Use]:
        """What one user needs, as values."""
        return [self.use(row) for row in range(*self.uses.of(user).indices(len(self.uses.users)))]

    def use(self, row: int) -> Use:
        """One row of uses as a value."""
        at = int(self.uses.blobs[row])
        digest = parsed(self.digests[self.uses.digests[row]])
        return Use(self.users[self.uses.users[row]], self.blobs.blob(at), digest, VIAS[self.uses.vias[row]])


@dataclass(frozen=True, slots=True, eq=False)
class CachedApp:
    """A cached tag; its layers and uses are rows of the inventory's columns."""

    tag: CachedTag
    kind: Kind
    config: Descriptor | None
    annotations: Mapping[str, str]
    media_type: str | None
    artifact_type: str | None
    manifest_digest: Digest | None
    locked_app: LockedApp | None
    config_kind: ConfigKind
    number: int
    contents: Contents = field(repr=False)

    @property
    def reference(self) -> str:
        """``registry/repository:tag``, or ``registry/repository@digest``."""
        return self.tag.reference

    @property
    def layer_count(self) -> int:
        """Layers of the manifest."""
        starts = self.contents.layers.starts
        return int(starts[self.number + 1] - starts[self.number])

    @property
    def layers(self) -> list[CachedLayer]:
        """The manifest's layers, and which are stored; made at each access."""
        return self.contents.layers_of(self.number)

    @property
    def manifest(self) -> Manifest | None:
        """The manifest, without annotations of its layers; made at each access, None if it is not legible."""
        if self.config is None:
            return None
        layers = tuple(layer.descriptor for layer in self.layers)
        return Manifest(self.config, layers, self.annotations, self.media_type, self.artifact_type)

    @property
    def uses(self) -> list[Use]:
        """The stored blobs that it needs; made at each access."""
        return self.contents.uses_of(self.number)

    @property
    def stored_bytes(self) -> int:
        """Bytes of its distinct blobs, archives and their members included."""
        rows = self.contents.uses.blobs[self.contents.uses.of(self.number)]
        return sum(self.contents.blobs.sizes[rows].tolist())


@dataclass(frozen=True, slots=True, eq=False)
class Project:
    """A project that may use blobs of the cache."""

    name: str
    path: Path
    manifest: SpinManifest | None
    lock: EnvironmentLock | None
    complete: bool
    number: int
    contents: Contents = field(repr=False)

    @property
    def uses(self) -> list[Use]:
        """The stored blobs that it needs; made at each access."""
        return self.contents.uses_of(self.number)


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Inventory:
    """Everything in a cache, at one moment."""

    cache: Cache
    apps: tuple[CachedApp, ...]
    projects: tuple[Project, ...]
    contents: Contents
    stored: StoredBlobs
    missing: MissingColumns
    faults: Faults = field(repr=False)

    @property
    def blobs(self) -> BlobColumns:
        """The files in ``wasm/`` and ``data/``."""
        return self.contents.blobs

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Everything that is wrong, sorted by path and kind; put into words when it is first asked for."""
        return self.faults.problems(self.contents.users)

    @property
    def files(self) -> FileColumns:
        """Every regular file under ``registry``; sorted at each access."""
        return self.stored.files()

    def uses(self) -> Iterator[Use]:
        """All uses as values, apps before projects; for very many, take the columns."""
        return map(self.contents.use, range(len(self.contents.uses.users)))

    def users_of(self) -> dict[tuple[Area, str], list[str]]:
        """Who needs each stored blob, by area and digest."""
        found: dict[tuple[Area, str], list[str]] = {}
        blobs, names = self.blobs, self.contents.users
        keys = [
            (AREAS_IN_ORDER[a], d or "") for a, d in zip(blobs.areas.tolist(), blobs.digests, strict=True)
        ]
        columns = self.contents.uses
        for user, blob in zip(columns.users.tolist(), columns.blobs.tolist(), strict=True):
            found.setdefault(keys[blob], []).append(names[user])
        return found

    def __repr__(self) -> str:
        return (
            f"Inventory({self.cache!r}: {len(self.apps)} apps, {len(self.blobs)} blobs, "
            f"{len(self.problems)} problems)"
        )

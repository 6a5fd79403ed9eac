"""What is in a cache, as values."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from spincache_nb.core.cache import Cache
from spincache_nb.core.digest import Digest
from spincache_nb.core.documents import Area, Descriptor, Kind, Manifest
from spincache_nb.core.locked_app import LockedApp
from spincache_nb.core.scan import CachedTag, DiskFile, Problem
from spincache_nb.core.settings import LOCKED_APP_BYTES, STORED_MANIFEST_BYTES, ArchiveLimits
from spincache_nb.inventory.columns import (
    AREAS_IN_ORDER,
    Integers,
    LayerColumns,
    MissingColumns,
    Needed,
    Packed,
    UseColumns,
    parsed,
)
from spincache_nb.inventory.faults import Fault, Faults
from spincache_nb.inventory.stored import Members, StoredBlobs
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
    blobs: StoredBlobs
    rows: Integers
    needed: Needed

    @cached_property
    def uses(self) -> UseColumns:
        """Who needs which stored blob; not every frame has to know, and to sort them takes a while."""
        users, places, vias = self.needed.first_of_each()
        blobs, digests = self.rows[places], places >> 1
        return UseColumns(users.astype(np.int32), digests.astype(np.int32), blobs.astype(np.int32), vias)


class ListedLayers(NamedTuple):
    """The layers of a manifest, as columns; their types by number."""

    digests: Packed
    types: array[int]
    sizes: array[int]
    urls: Mapping[int, tuple[str, ...]]
    """Further addresses of layers, by position; hardly any layer has some."""


@dataclass(frozen=True, slots=True)
class ManifestFacts:
    """What a manifest says, but for its layers."""

    config: Descriptor
    application: Descriptor | None
    kind: Kind
    annotations: Mapping[str, str]
    media_type: str | None
    artifact_type: str | None

    @property
    def tag_document(self) -> Descriptor:
        """Descriptor of what belongs into ``config.json``."""
        return self.application or self.config


@dataclass(slots=True, eq=False)
class CachedApp:
    """A cached tag and what its documents say; its layers and uses are rows of the inventory's columns."""

    tag: CachedTag
    gone: bool = False
    facts: ManifestFacts | None = None
    listed: ListedLayers | None = field(default=None, repr=False)  # until they are rows of the columns
    manifest_digest: Digest | None = None
    locked_app: LockedApp | None = None
    config_kind: ConfigKind = "missing"
    current: bool = False
    recovered: int | None = None
    faults: list[Fault] = field(default_factory=list)
    number: int = field(default=-1, repr=False)
    contents: Contents = field(init=False, repr=False)

    @property
    def kind(self) -> Kind:
        """Spin tells an app by its ``config.json``, a package by being none."""
        if self.locked_app is not None or self.config_kind == "locked app":
            return "app"
        return self.facts.kind if self.facts is not None else "unknown"

    @property
    def is_stale(self) -> bool:
        """Whether the locked app is not the one of this manifest, which is a fault of its own."""
        return self.config_kind == "locked app" and self.facts is not None and not self.current

    @property
    def config(self) -> Descriptor | None:
        """The manifest's config."""
        return self.facts.config if self.facts is not None else None

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
    def manifest(self) -> Manifest | None:
        """The manifest, without annotations of its layers; made at each access, None if it is not legible."""
        if self.facts is None:
            return None
        columns, texts = self.contents.layers, self.contents.digests
        start, end = columns.starts[self.number : self.number + 2].tolist()
        layers = tuple(
            Descriptor(
                columns.media_types[columns.types[row]],
                parsed(texts[columns.digests[row]]),
                int(columns.sizes[row]),
                urls=columns.urls.get(row, ()),
            )
            for row in range(start, end)
        )
        facts = self.facts
        return Manifest(facts.config, layers, facts.annotations, facts.media_type, facts.artifact_type)

    @property
    def stored_bytes(self) -> int:
        """Bytes of its distinct blobs, archives and their members included."""
        rows = self.contents.uses.blobs[self.contents.uses.of(self.number)]
        return sum(self.contents.blobs.sizes[rows].tolist())


@dataclass(frozen=True, slots=True, eq=False)
class Project:
    """A project that may use blobs of the cache, and those that it names: area, digest, number of `VIAS`."""

    name: str
    path: Path
    manifest: SpinManifest | None
    lock: EnvironmentLock | None
    complete: bool
    uses: tuple[tuple[int, str, int], ...] = field(repr=False)


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Inventory:
    """Everything in a cache, at one moment."""

    cache: Cache
    apps: tuple[CachedApp, ...]
    projects: tuple[Project, ...]
    contents: Contents
    members: Members
    missing: MissingColumns
    faults: Faults = field(repr=False)

    @property
    def blobs(self) -> StoredBlobs:
        """The files in ``wasm/`` and ``data/``."""
        return self.contents.blobs

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Everything that is wrong, sorted by path and kind; put into words when it is first asked for."""
        return self.faults.problems(self.contents.users)

    @property
    def files(self) -> list[DiskFile]:
        """Every regular file under ``registry``; sorted at each access."""
        return self.blobs.files()

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

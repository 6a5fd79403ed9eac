"""What is in a cache, as values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from spincache_nb.core.archive import ArchiveLimits
from spincache_nb.core.cache import Cache
from spincache_nb.core.digest import Digest
from spincache_nb.core.locked_app import LockedApp
from spincache_nb.core.manifest import Area, Kind, Manifest
from spincache_nb.core.scan import CachedTag, DiskFile, Problem
from spincache_nb.inventory.rows import CachedLayer, LayerUses, Use, Via
from spincache_nb.inventory.standings import InventoriedBlob
from spincache_nb.project.spin_toml import EnvironmentLock, SpinManifest

ConfigKind = Literal[
    "locked app", "image config", "package config", "other JSON", "damaged", "unreadable", "missing"
]


@dataclass(frozen=True, slots=True)
class InventoryLimits:
    """How much is read of one document or archive."""

    manifest_bytes: int = 4 << 20
    locked_app_bytes: int = 64 << 20
    project_bytes: int = 4 << 20
    archive: ArchiveLimits = field(default_factory=ArchiveLimits)


@dataclass(frozen=True, slots=True)
class Missing:
    """A blob that an app needs and that is not where Spin looks for it."""

    user: str
    digest: Digest
    area: Area
    via: Via
    elsewhere: bool = False


@dataclass(frozen=True, slots=True)
class CachedApp:
    """A cached tag and what it needs."""

    tag: CachedTag
    kind: Kind
    manifest: Manifest | None
    manifest_digest: Digest | None
    locked_app: LockedApp | None
    config_kind: ConfigKind
    layers: Sequence[CachedLayer]
    uses: Sequence[Use]

    @property
    def reference(self) -> str:
        """``registry/repository:tag``, or ``registry/repository@digest``."""
        return self.tag.reference

    @property
    def stored_bytes(self) -> int:
        """Bytes of its distinct blobs, archives and their members included."""
        if isinstance(self.uses, LayerUses):
            return self.uses.stored_bytes
        return sum(use.blob.stored_bytes for use in self.uses)


@dataclass(frozen=True, slots=True)
class Project:
    """A project that may use blobs of the cache."""

    name: str
    path: Path
    manifest: SpinManifest | None
    lock: EnvironmentLock | None
    complete: bool
    uses: tuple[Use, ...]


@dataclass(frozen=True, slots=True, repr=False)
class Inventory:
    """Everything in a cache, at one moment."""

    cache: Cache
    apps: tuple[CachedApp, ...]
    projects: tuple[Project, ...]
    blobs: Sequence[InventoriedBlob]
    files: Sequence[DiskFile]
    missing: tuple[Missing, ...]
    problems: tuple[Problem, ...]

    def uses(self) -> Iterator[Use]:
        """All uses, apps before projects."""
        for app in self.apps:
            yield from app.uses
        for project in self.projects:
            yield from project.uses

    def __repr__(self) -> str:
        return (
            f"Inventory({self.cache!r}: {len(self.apps)} apps, {len(self.blobs)} blobs, "
            f"{len(self.problems)} problems)"
        )

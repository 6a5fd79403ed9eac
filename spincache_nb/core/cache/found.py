"""What a walk over a cache finds, as values.

What there are very many of are named tuples: they are made, compared and hashed several times faster
than frozen data classes, and a walk makes one of each for every file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from spincache_nb.core.cache.blobs import FoundBlobs
from spincache_nb.core.cache.files import read_bounded
from spincache_nb.core.cache.layout import LOCKED_APP_FILE, MANIFEST_FILE
from spincache_nb.core.digest import Digest

DiskArea = Literal["wasm", "data", "manifests", "other"]


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a cache, in plain words."""

    path: str
    kind: str
    detail: str
    remedy: str
    reference: str | None = None


class DiskFile(NamedTuple):
    """A regular file under ``registry``; a hard link counts its bytes under its first name only."""

    path: str
    area: DiskArea
    stored_bytes: int
    same_as: str | None = None


@dataclass(frozen=True, slots=True)
class CachedTag:
    """A directory with a manifest, a locked app, or both."""

    registry: str
    repository: str
    tag: str | None
    digest: Digest | None
    path: Path
    modified_ns: int | None

    @property
    def reference(self) -> str:
        """``registry/repository:tag``, or ``registry/repository@digest``."""
        filed = f"@{self.digest}" if self.digest is not None else f":{self.tag}"
        return f"{self.registry}/{self.repository}{filed}"

    @property
    def manifest_path(self) -> Path:
        """Where its ``manifest.json`` is, or would be."""
        return self.path / MANIFEST_FILE

    @property
    def locked_app_path(self) -> Path:
        """Where its locked app is: ``config.json``, whatever the name suggests."""
        return self.path / LOCKED_APP_FILE

    def read_manifest(self, *, limit: int = 4 << 20) -> bytes:
        """Read ``manifest.json``, of at most `limit` bytes."""
        return read_bounded(self.manifest_path, limit=limit)

    def read_locked_app(self, *, limit: int = 64 << 20) -> bytes:
        """Read ``config.json``, of at most `limit` bytes."""
        return read_bounded(self.locked_app_path, limit=limit)


@dataclass(frozen=True, slots=True)
class Scan:
    """What a walk found."""

    blobs: FoundBlobs
    tags: tuple[CachedTag, ...]
    files: Sequence[DiskFile]
    problems: tuple[Problem, ...]

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
    """One thing wrong with a cache, in plain words.

    Parameters
    ----------
    path
        Relative to ``registry``, with ``/``; printable.
    kind
        Few words that name the kind of fault, the same for every fault of that kind.
    detail
        What was expected and what was found.
    remedy
        What to do about it.
    reference
        The app it concerns, or None.
    """

    path: str
    kind: str
    detail: str
    remedy: str
    reference: str | None = None


class DiskFile(NamedTuple):
    """A regular file under ``registry``; a hard link counts its bytes under its first name only.

    Parameters
    ----------
    path
        Relative to ``registry``, with ``/``; printable.
    area
        Which part of the cache it is in.
    stored_bytes
        Its size; 0 for further names of a file that has several.
    same_as
        The name that counts the bytes, for such a further name; else None.
    """

    path: str
    area: DiskArea
    stored_bytes: int
    same_as: str | None = None


@dataclass(frozen=True, slots=True)
class CachedTag:
    """A directory with a manifest, a locked app, or both.

    Parameters
    ----------
    registry, repository, tag
        As the directories spell them; ``tag`` is None where the directory is a digest.
    digest
        The digest that the directory is named after, or None.
    path
        The directory.
    modified_ns
        Modification time of ``manifest.json`` in nanoseconds since 1970, or None without one.
    """

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
        """Read ``manifest.json``, of at most `limit` bytes.

        Raises
        ------
        NotInCacheError
            If it is not there, or not a regular file.
        LimitError
            If it is larger than `limit`.
        CacheError
            If it cannot be read.
        """
        return read_bounded(self.manifest_path, limit=limit)

    def read_locked_app(self, *, limit: int = 64 << 20) -> bytes:
        """Read ``config.json``, of at most `limit` bytes.

        Raises
        ------
        NotInCacheError
            If it is not there, or not a regular file.
        LimitError
            If it is larger than `limit`.
        CacheError
            If it cannot be read.
        """
        return read_bounded(self.locked_app_path, limit=limit)


@dataclass(frozen=True, slots=True)
class Scan:
    """What a walk found.

    Parameters
    ----------
    blobs
        Files in ``wasm/`` and ``data/``, whatever their names; each is made when it is looked at.
    tags
        Cached tags, sorted by reference.
    files
        Every regular file under ``registry``, the blobs included; made when it is looked at.
    problems
        Links, folders and other things in wrong places; what cannot be read.
    """

    blobs: FoundBlobs
    tags: tuple[CachedTag, ...]
    files: Sequence[DiskFile]
    problems: tuple[Problem, ...]

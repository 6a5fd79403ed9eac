"""Projects whose ``spin.toml`` or environment lock names blobs of a cache (Spin main, crates/loader)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from spincache_nb.core.cache import read_bounded
from spincache_nb.core.cache.layout import shown
from spincache_nb.core.digest import Digest
from spincache_nb.core.inventory.faults import Faults
from spincache_nb.core.inventory.model import Project, Use, Via, by_name
from spincache_nb.core.inventory.stored import StoredBlobs
from spincache_nb.core.spin_manifest import (
    EnvironmentLock,
    SpinManifest,
    parse_environment_lock,
    parse_spin_manifest,
)
from spincache_nb.errors import SpinCacheError, SpinManifestError

SPIN_TOML = "spin.toml"
LOCK = Path(".spin", "target-environments.lock")

_Document = TypeVar("_Document", SpinManifest, EnvironmentLock)


@dataclass(frozen=True, slots=True)
class _Place:
    """A project: how it was named, and where its two files are."""

    name: str
    manifest: Path
    lock: Path


def read_projects(
    projects: Sequence[str | os.PathLike[str]], stored: StoredBlobs, faults: Faults, *, limit: int
) -> tuple[Project, ...]:
    """Read projects and find the blobs that they name by digest.

    Parameters
    ----------
    projects
        ``spin.toml`` files or folders that hold one; the same one is read once.
    stored
        The blobs of the cache.
    faults
        Where to report what cannot be read.
    limit
        Largest size of a file, in bytes.

    Raises
    ------
    SpinManifestError
        If there is no project at a path.
    """
    places: dict[Path, _Place] = {}
    for project in projects:
        place = _find(Path(project))
        places.setdefault(place.manifest, place)
    return tuple(_Reader(place, stored, faults, limit).read() for place in places.values())


def _find(path: Path) -> _Place:
    folder = path if path.is_dir() else path.parent
    manifest = path / SPIN_TOML if path.is_dir() else path
    place = _Place(shown(os.fspath(path)), manifest.resolve(), (folder / LOCK).resolve())
    if not place.manifest.exists() and not (path.is_dir() and place.lock.exists()):
        raise SpinManifestError(
            place.name, f"a project: a {SPIN_TOML}, or a folder with one", "none", "name the project's folder"
        )
    return place


class _Reader:
    """Reads one project."""

    def __init__(self, place: _Place, stored: StoredBlobs, faults: Faults, limit: int) -> None:
        self.place = place
        self.stored = stored
        self.faults = faults
        self.limit = limit
        self.complete = True

    def read(self) -> Project:
        manifest = self.parse(self.place.manifest, parse_spin_manifest)
        lock = self.parse(self.place.lock, parse_environment_lock)
        uses: dict[tuple[str, Digest], Use] = {}
        for digest, via in _named(manifest, lock):
            blob = self.stored.find_wasm(digest)
            if blob is not None:
                uses.setdefault((blob.area, digest), Use(self.place.name, blob, digest, via))
        return Project(
            self.place.name,
            self.place.manifest,
            manifest,
            lock,
            self.complete,
            tuple(sorted(uses.values(), key=by_name)),
        )

    def parse(self, path: Path, parser: Callable[..., _Document]) -> _Document | None:
        """Read one of the files; none at all is no fault."""
        if not path.exists():
            return None
        try:
            document = parser(read_bounded(path, limit=self.limit), where=path.name)
        except SpinCacheError as exc:
            self.complete = False
            self.report(path, f"expected {exc.expected}, found {exc.found}")
            return None
        for fault in document.faults:
            self.complete = False
            self.report(path, fault)
        return document

    def report(self, path: Path, detail: str) -> None:
        self.faults.add(
            shown(os.fspath(path)),
            "project not understood",
            detail,
            "correct the file; until then blobs that it needs may count as unreferenced",
            one_of_many=True,
        )


def _named(manifest: SpinManifest | None, lock: EnvironmentLock | None) -> Iterator[tuple[Digest, Via]]:
    for source in manifest.web_sources if manifest is not None else ():
        yield source.digest, "spin.toml"
    for environment in lock.environments if lock is not None else ():
        yield environment.digest, "environment lock"

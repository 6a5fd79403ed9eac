"""Projects whose ``spin.toml`` or environment lock names blobs of a cache (Spin main, crates/loader)."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from spincache_nb.core.digest import Digest
from spincache_nb.core.layout import shown
from spincache_nb.errors import SpinCacheError
from spincache_nb.inventory.faults import Faults
from spincache_nb.inventory.model import Project
from spincache_nb.inventory.rows import Use, by_name
from spincache_nb.inventory.stored import StoredBlobs
from spincache_nb.project.package_record import PackageKey, PackageLog
from spincache_nb.project.places import LOCK as LOCK
from spincache_nb.project.places import SPIN_TOML as SPIN_TOML
from spincache_nb.project.places import ProjectFiles, find_project, named_digests
from spincache_nb.project.spin_toml import EnvironmentLock, SpinManifest

_Document = TypeVar("_Document", SpinManifest, EnvironmentLock)


def read_projects(
    projects: Sequence[str | os.PathLike[str]], stored: StoredBlobs, faults: Faults, *, limit: int
) -> tuple[Project, ...]:
    """Read projects and find the blobs that they name by digest."""
    places: dict[Path, ProjectFiles] = {}
    for project in projects:
        place = find_project(project)
        places.setdefault(place.manifest, place)
    packages = PackageLog().known() if places else {}
    return tuple(_Reader(place, stored, faults, packages, limit).read() for place in places.values())


class _Reader:
    """Reads one project."""

    def __init__(
        self,
        place: ProjectFiles,
        stored: StoredBlobs,
        faults: Faults,
        packages: Mapping[PackageKey, Digest],
        limit: int,
    ) -> None:
        self.place = place
        self.stored = stored
        self.faults = faults
        self.packages = packages
        self.limit = limit
        self.complete = True

    def read(self) -> Project:
        manifest = self.parse(self.place.manifest, self.place.read_manifest)
        lock = self.parse(self.place.lock, self.place.read_lock)
        uses: dict[tuple[str, Digest], Use] = {}
        for digest, via in named_digests(manifest, lock, self.packages):
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

    def parse(self, path: Path, read: Callable[..., _Document | None]) -> _Document | None:
        """Read one of the files; none at all is no fault."""
        try:
            document = read(limit=self.limit)
        except SpinCacheError as exc:
            self.complete = False
            self.report(path, f"expected {exc.expected}, found {exc.found}")
            return None
        if document is None:
            return None
        for fault in document.faults:
            self.complete = False
            self.report(path, str(fault))
        return document

    def report(self, path: Path, detail: str) -> None:
        self.faults.add(
            shown(os.fspath(path)),
            "project not understood",
            detail,
            "correct the file; until then blobs that it needs may count as unreferenced",
            one_of_many=True,
        )

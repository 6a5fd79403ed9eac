"""Projects whose ``spin.toml`` or environment lock names blobs of a cache (Spin main, crates/loader)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from spincache_nb.core.layout import shown
from spincache_nb.errors import SpinCacheError
from spincache_nb.inventory.columns import VIAS
from spincache_nb.inventory.problems import Faults
from spincache_nb.inventory.stored import StoredBlobs
from spincache_nb.project.package_record import PackageLog
from spincache_nb.project.places import ProjectFiles, find_project, named_digests
from spincache_nb.project.spin_toml import EnvironmentLock, SpinManifest

_Document = TypeVar("_Document", SpinManifest, EnvironmentLock)


@dataclass(frozen=True, slots=True)
class ProjectNeeds:
    """What a project says, and the blobs that it names: area, digest and number of `VIAS`."""

    place: ProjectFiles
    manifest: SpinManifest | None
    lock: EnvironmentLock | None
    complete: bool
    uses: tuple[tuple[int, str, int], ...]


def read_projects(
    projects: Sequence[str | os.PathLike[str]], stored: StoredBlobs, faults: Faults, *, limit: int
) -> Iterator[ProjectNeeds]:
    """Read projects, each once, and find the blobs that they name by digest."""
    places: dict[Path, ProjectFiles] = {}
    for project in projects:
        place = find_project(project)
        places.setdefault(place.manifest, place)
    packages = PackageLog().known() if places else {}
    for place in places.values():
        manifest, whole = _parsed(place.manifest, place.read_manifest, faults, limit)
        lock, whole_lock = _parsed(place.lock, place.read_lock, faults, limit)
        uses: dict[tuple[int, str], int] = {}
        for digest, via in named_digests(manifest, lock, packages):
            row = stored.find_wasm(str(digest))
            if row is not None:
                uses.setdefault((stored.areas[row], str(digest)), VIAS.index(via))
        listed = tuple((area, digest, via) for (area, digest), via in uses.items())
        yield ProjectNeeds(place, manifest, lock, whole and whole_lock, listed)


def _parsed(
    path: Path, read: Callable[..., _Document | None], faults: Faults, limit: int
) -> tuple[_Document | None, bool]:
    """Read one of the files, and say whether it was understood; none at all is no fault."""
    try:
        document = read(limit=limit)
    except SpinCacheError as exc:
        _report(faults, path, f"expected {exc.expected}, found {exc.found}")
        return None, False
    for fault in document.faults if document is not None else ():
        _report(faults, path, str(fault))
    return document, document is None or not document.faults


def _report(faults: Faults, path: Path, detail: str) -> None:
    faults.add(
        shown(os.fspath(path)),
        "project not understood",
        detail,
        "correct the file; until then blobs that it needs may count as unreferenced",
        one_of_many=True,
    )

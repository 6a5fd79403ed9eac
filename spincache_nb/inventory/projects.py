"""Projects whose ``spin.toml`` or environment lock names blobs of a cache (Spin main, crates/loader).

So does a locked app that lies outside of a cache: containerd-shim-spin fills ``registry/wasm`` and
``registry/data`` of a container, writes no manifests, and puts the locked app into ``/spin.json``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from spincache_nb.core.files import FileState, read_bounded
from spincache_nb.core.layout import shown
from spincache_nb.core.locked_app import parse_locked_app
from spincache_nb.core.settings import LOCKED_APP_BYTES
from spincache_nb.errors import SpinCacheError
from spincache_nb.inventory.columns import DATA, VIAS
from spincache_nb.inventory.problems import Faults
from spincache_nb.inventory.stored import StoredBlobs
from spincache_nb.project.package_config import PackageLog
from spincache_nb.project.spin_toml import (
    EnvironmentLock,
    ProjectFiles,
    SpinManifest,
    find_project,
    named_digests,
)

SPIN_JSON = "spin.json"
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
        if place.manifest.suffix == ".json":
            yield _read_locked_app(place, stored, faults)
            continue
        manifest, whole = _parsed(place.manifest, place.read_manifest, faults, limit)
        lock, whole_lock = _parsed(place.lock, place.read_lock, faults, limit)
        uses: dict[tuple[int, str], int] = {}
        for digest, via in named_digests(manifest, lock, packages):
            row = stored.find_wasm(str(digest))
            if row is not None:
                uses.setdefault((stored.areas[row], str(digest)), VIAS.index(via))
        listed = tuple((area, digest, via) for (area, digest), via in uses.items())
        yield ProjectNeeds(place, manifest, lock, whole and whole_lock, listed)


def locked_apps_beside(registry: Path) -> list[str]:
    """Locked apps that containerd-shim-spin put beside a cache, or beside the folder that holds it."""
    folders = [registry.parent, registry.parent.parent]
    return [os.fspath(folder / SPIN_JSON) for folder in folders if _is_file(folder / SPIN_JSON)]


def _is_file(path: Path) -> bool:
    state = FileState.at(path)
    return state is not None and state.is_file


def _read_locked_app(place: ProjectFiles, stored: StoredBlobs, faults: Faults) -> ProjectNeeds:
    """Find the blobs that a locked app names."""
    uses: dict[tuple[int, str], int] = {}
    complete = False
    try:
        app = parse_locked_app(read_bounded(place.manifest, limit=LOCKED_APP_BYTES), where=place.name)
    except SpinCacheError as exc:
        _report(faults, place.manifest, f"expected {exc.expected}, found {exc.found}")
    else:
        for fault in app.faults:
            _report(faults, place.manifest, fault)
        complete = not app.faults
        for digest in (str(ref.digest) for ref in app.binaries() if ref.digest is not None):
            row = stored.find_wasm(digest)
            if row is not None:
                uses.setdefault((stored.areas[row], digest), VIAS.index("content ref"))
        for component in app.components:
            for file in component.files:
                if (
                    file.content.digest is not None
                    and stored.find(DATA, str(file.content.digest)) is not None
                ):
                    uses.setdefault((DATA, str(file.content.digest)), VIAS.index("content ref"))
    listed = tuple((area, digest, via) for (area, digest), via in uses.items())
    return ProjectNeeds(place, None, None, complete, listed)


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

"""A project on disk: its ``spin.toml``, its environment lock, and the digests that both name."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from spincache_nb.core.digest import Digest
from spincache_nb.core.files import read_bounded
from spincache_nb.core.layout import shown
from spincache_nb.errors import SpinCacheError, SpinManifestError
from spincache_nb.project.package_record import PackageKey
from spincache_nb.project.spin_toml import (
    EnvironmentLock,
    SpinManifest,
    WebSource,
    parse_environment_lock,
    parse_spin_manifest,
)

SPIN_TOML = "spin.toml"
LOCK = Path(".spin", "target-environments.lock")
PROJECT_BYTES = 4 << 20
"""A larger file is none that a person or Spin wrote."""

Naming = Literal["spin.toml", "environment lock"]
_Document = TypeVar("_Document", SpinManifest, EnvironmentLock)


@dataclass(frozen=True, slots=True)
class ProjectFiles:
    """A project: how it was named, and where its two files are."""

    name: str
    manifest: Path
    lock: Path

    def read_manifest(self, *, limit: int = PROJECT_BYTES) -> SpinManifest | None:
        """Read the ``spin.toml``; None where there is none."""
        return _read(self.manifest, parse_spin_manifest, self.name, limit)

    def read_lock(self, *, limit: int = PROJECT_BYTES) -> EnvironmentLock | None:
        """Read the environment lock; None where there is none."""
        where = f"{self.name}, {LOCK.name}"
        return _read(self.lock, parse_environment_lock, where, limit)


def find_project(path: str | os.PathLike[str]) -> ProjectFiles:
    """Find the files of a project."""
    given = Path(path)
    is_folder = given.is_dir()
    folder = given if is_folder else given.parent
    manifest = given / SPIN_TOML if is_folder else given
    found = ProjectFiles(shown(os.fspath(path)), manifest.resolve(), (folder / LOCK).resolve())
    if not found.manifest.exists() and not (is_folder and found.lock.exists()):
        raise SpinManifestError(
            found.name, f"a project: a {SPIN_TOML}, or a folder with one", "none", "name the project's folder"
        )
    return found


def named_digests(
    manifest: SpinManifest | None,
    lock: EnvironmentLock | None,
    packages: Mapping[PackageKey, Digest],
) -> Iterator[tuple[Digest, Naming]]:
    """Digests that the two files of a project name, in their order, with what names them."""
    for source in manifest.sources if manifest is not None else ():
        if isinstance(source, WebSource):
            yield source.digest, "spin.toml"
        elif (digest := packages.get(source.key)) is not None:
            yield digest, "spin.toml"
    for environment in lock.environments if lock is not None else ():
        yield environment.digest, "environment lock"


def _read(path: Path, parser: Callable[..., _Document], where: str, limit: int) -> _Document | None:
    if not path.exists():
        return None
    try:
        content = read_bounded(path, limit=limit)
    except SpinCacheError as exc:
        raise type(exc)(where, exc.expected, exc.found, "check the file and its permissions") from exc
    return parser(content, where=where)

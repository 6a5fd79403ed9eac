"""Packages in a directory, ``<root>/<namespace>/<name>/<version>.wasm`` (wasm-pkg-client 0.11, local.rs)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from spincache_nb.core.digest import CHUNK_BYTES, Digest, hash_stream
from spincache_nb.errors import InvalidVersionError, PackageError
from spincache_nb.project.versions import Version

_SUFFIX = ".wasm"


class LocalPackages:
    """A directory of packages, which only this user's own configuration can name."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def versions(self, package: str) -> list[Version]:
        """Versions of a package; other files are passed over."""
        folder = self._folder(package)
        try:
            names = [path.name for path in folder.iterdir()]
        except OSError as exc:
            raise PackageError(
                str(folder), f"a directory of package {package}", exc.strerror or str(exc), "check the path"
            ) from exc
        found = []
        for name in names:
            try:
                found.append(Version.parse(name.removesuffix(_SUFFIX)) if name.endswith(_SUFFIX) else None)
            except InvalidVersionError:
                continue
        return [version for version in found if version is not None]

    def path(self, package: str, version: Version) -> Path:
        """File of one version."""
        return self._folder(package) / f"{version}{_SUFFIX}"

    def describe(self, package: str) -> str:
        """Where a package is, for an error."""
        return str(self._folder(package))

    def _folder(self, package: str) -> Path:
        namespace, _, name = package.partition(":")
        return self.root / namespace / name


def hash_file(path: Path) -> tuple[Digest, int]:
    """Digest and size of a file."""
    try:
        with path.open("rb") as file:
            return hash_stream(file)
    except OSError as exc:
        raise _unreadable(path, exc) from exc


def read_file(path: Path) -> Iterator[bytes]:
    """Bytes of a file in pieces."""
    try:
        with path.open("rb") as file:
            while piece := file.read(CHUNK_BYTES):
                yield piece
    except OSError as exc:
        raise _unreadable(path, exc) from exc


def _unreadable(path: Path, exc: OSError) -> PackageError:
    return PackageError(
        str(path), "a file that can be read", exc.strerror or str(exc), "check its permissions"
    )

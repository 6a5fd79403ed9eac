"""What comes with the package: the fixtures, the demo apps among them, and the notebooks, to be copied.

A wheel holds them inside the package, under ``_shipped``; in a checkout, and so in an editable
install, they lie beside the package. The demo apps are the OCI image layout in ``data-fixtures/registry``:

========== ============================================================== =======================
repository what it is                                                     versions
========== ============================================================== =======================
hello      a component app                                                1.0.0, 1.0.1, 1.1.0
site       a static site: file server, Bootstrap, one inlined file        1.0.0, 1.1.0, 1.2.0
docs       over 500 files, so pushed as an archive layer                  1.0.0, 1.1.0, 1.2.0
playground shares a wasm with ``hello``; two components that talk         0.1.0, 0.2.0, 0.3.0
greet      a package pushed by wkg: the component that ``hello`` runs     1.0.0, 1.0.1, 1.1.0
redact     an old-style app whose config is the locked app                0.1.0, 0.2.0, 0.2.1
========== ============================================================== =======================

They are there to be stored, moved and compared, not to be run: a grammar stands in for the file server.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Literal

from spincache_nb.errors import SpinCacheError

CANARY = "spincache-demo-canary-not-a-secret"
"""How every made-up secret in the demo apps begins, so that a test can look where it must not be."""

_NAME = "org.opencontainers.image.ref.name"
_PACKAGE = Path(__file__).resolve().parents[1]
_RECORD = ".spincache-notebooks.json"
"""File beside the copies that says what each was when it was made."""

_LEFT_OUT = {".ipynb_checkpoints", "__pycache__"}


def data_fixtures() -> Path:
    """Find the directory with the payloads and assets of the demo apps."""
    return _find("data-fixtures", package=_PACKAGE)


def notebooks() -> Path:
    """Find the directory with the notebooks, which may be one that cannot be written: copy before working."""
    return _find("notebooks", package=_PACKAGE)


def _find(name: str, *, package: Path) -> Path:
    """Find a directory inside an installed package or beside it in a checkout."""
    inside = package / "_shipped" / name
    if inside.is_dir():
        return inside
    checkout = package.parent
    beside = checkout / name
    # site-packages may hold a stranger's directory of that name: only a checkout has pyproject.toml.
    if beside.is_dir() and (checkout / "pyproject.toml").is_file():
        return beside
    raise SpinCacheError(
        str(inside),
        expected=f"the directory {name} that comes with the package (in a checkout: {beside})",
        found="nothing",
        remedy="install spincache-nb again from its wheel, or work in a complete checkout",
    )


@dataclass(frozen=True)
class Blob:
    """Bytes with the media type that their descriptor gives them."""

    media_type: str
    data: bytes = field(repr=False)

    @cached_property
    def digest(self) -> str:
        """``sha256:`` and the hash of the bytes."""
        return _digest(self.data)

    @property
    def size(self) -> int:
        """Number of bytes."""
        return len(self.data)


@dataclass(frozen=True)
class Artifact:
    """One tag of a repository: everything a registry holds for it, as it was pushed."""

    repository: str
    tag: str
    manifest: bytes = field(repr=False)
    config: Blob
    layers: tuple[Blob, ...] = field(repr=False)
    manifest_media_type: str = "application/vnd.oci.image.manifest.v1+json"

    @cached_property
    def digest(self) -> str:
        """The manifest's digest."""
        return _digest(self.manifest)

    @property
    def blobs(self) -> dict[str, bytes]:
        """Bytes of config and layers by digest, each digest once."""
        return {blob.digest: blob.data for blob in (self.config, *self.layers)}

    def reference(self, host: str) -> str:
        """Name it in a registry."""
        return f"{host}/{self.repository}:{self.tag}"


@cache
def artifacts() -> tuple[Artifact, ...]:
    """Read the demo artifacts, exactly as Spin and wkg pushed them, each repository's oldest first.

    >>> [artifact.tag for artifact in artifacts() if artifact.repository == "demo/hello"]
    ['1.0.0', '1.0.1', '1.1.0']
    """
    index = json.loads((data_fixtures() / "registry" / "index.json").read_bytes())
    read: dict[str, bytes] = {}
    return tuple(_artifact(entry, read) for entry in index["manifests"])


def _artifact(entry: dict[str, Any], read: dict[str, bytes]) -> Artifact:
    def blob(descriptor: dict[str, Any]) -> Blob:
        digest = descriptor["digest"]
        if digest not in read:
            read[digest] = _path(digest).read_bytes()
        return Blob(descriptor["mediaType"], read[digest])

    repository, _, tag = entry["annotations"][_NAME].rpartition(":")
    content = blob(entry).data
    manifest = json.loads(content)
    layers = tuple(blob(layer) for layer in manifest["layers"])
    return Artifact(repository, tag, content, blob(manifest["config"]), layers, entry["mediaType"])


def _path(digest: str) -> Path:
    return data_fixtures() / "registry" / "blobs" / "sha256" / digest.removeprefix("sha256:")


def payload(name: str) -> Path:
    """Find a file that the demo apps were made of, such as ``hello-js/1.0.0.wasm``; see SHA256SUMS."""
    folder = data_fixtures() / "payloads"
    if name in _sums(folder):
        source = folder / name
        return source if source.is_file() else _path(_sums(folder)[name])
    raise SpinCacheError(
        f"payload {name!r}", "a name in payloads/SHA256SUMS", "none", "see the file for all names"
    )


@cache
def _sums(folder: Path) -> dict[str, str]:
    lines = (folder / "SHA256SUMS").read_text(encoding="ascii").splitlines()
    return {name: encoded for encoded, name in (line.split("  ", 1) for line in lines)}


@dataclass(frozen=True, slots=True)
class CopiedFile:
    """A notebook or a picture of one: ``new``, ``same`` as the shipped one, ``updated``, or ``kept`` since
    somebody changed it.
    """

    path: Path
    what: Literal["new", "same", "updated", "kept"]


def copy_notebooks(folder: str | os.PathLike[str]) -> tuple[CopiedFile, ...]:
    """Copy the notebooks that come with the package, with their pictures.

    A file that is there already and is not exactly what an earlier call put there stays as it is.
    """
    source, target = notebooks(), Path(folder)
    known = _read_record(target)
    try:
        done = tuple(_copy(source / name, target / name, known.get(name)) for name in _notebook_names(source))
        made = {
            name: _digest((source / name).read_bytes())
            for name, one in zip(_notebook_names(source), done, strict=True)
            if one.what != "kept"
        }
        _write_copy(target / _RECORD, json.dumps(known | made, indent=1, sort_keys=True).encode())
    except OSError as exc:
        raise SpinCacheError(
            str(exc.filename or target),
            "a place to write to",
            str(exc.strerror or exc),
            "name another folder",
        ) from exc
    return done


def _notebook_names(source: Path) -> Iterator[str]:
    for path in sorted(source.rglob("*")):
        relative = path.relative_to(source)
        if path.is_file() and _LEFT_OUT.isdisjoint(relative.parts):
            yield relative.as_posix()


def _copy(source: Path, target: Path, known: str | None) -> CopiedFile:
    content = source.read_bytes()
    if not os.path.lexists(target):
        _write_copy(target, content)
        return CopiedFile(target, "new")
    there = target.read_bytes() if target.is_file() and not target.is_symlink() else None
    if there == content:
        return CopiedFile(target, "same")
    if there is None or _digest(there) != known:
        return CopiedFile(target, "kept")
    _write_copy(target, content)
    return CopiedFile(target, "updated")


def _write_copy(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    unfinished.write_bytes(content)
    unfinished.replace(path)


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _read_record(folder: Path) -> dict[str, str]:
    try:
        record = json.loads((folder / _RECORD).read_bytes())
    except (OSError, ValueError):
        return {}
    return {str(name): str(digest) for name, digest in record.items()} if isinstance(record, dict) else {}

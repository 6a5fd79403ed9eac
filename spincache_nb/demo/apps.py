"""The demo apps, as a registry holds them: the OCI image layout in ``data-fixtures/registry``.

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
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from spincache_nb.demo.shipped import data_fixtures
from spincache_nb.errors import SpinCacheError

CANARY = "spincache-demo-canary-not-a-secret"
"""How every made-up secret in the demo apps begins, so that a test can look where it must not be."""

_NAME = "org.opencontainers.image.ref.name"


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


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


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

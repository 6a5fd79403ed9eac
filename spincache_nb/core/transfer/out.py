"""Writing cached apps as one OCI image layout (OCI image spec, Image Layout)."""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from spincache_nb.core.cache import Cache, CachedTag, NewFile, refused_writes
from spincache_nb.core.digest import CHUNK_BYTES, Digest
from spincache_nb.core.history import History
from spincache_nb.core.documents import IMAGE_CONFIG, OCI_MANIFEST, Descriptor, Manifest, parse_manifest
from spincache_nb.core.reference import Reference
from spincache_nb.errors import CacheWriteError, DigestMismatchError, ManifestError, NotInCacheError
from spincache_nb.inventory import known_digests

REF_NAME = "org.opencontainers.image.ref.name"
IMAGE_NAME = "io.containerd.image.name"


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written."""

    path: Path
    references: Mapping[str, str]
    rewritten: tuple[str, ...]
    stored_bytes: int

    def __str__(self) -> str:
        note = f"; manifest as Spin rewrote it: {', '.join(self.rewritten)}" if self.rewritten else ""
        return f"{self.path}: {len(self.references)} apps, {self.stored_bytes} bytes{note}"


@dataclass(frozen=True, slots=True)
class _Packed:
    """One app on its way out: its manifest's bytes, documents by digest, blobs by digest."""

    tag: CachedTag
    manifest: bytes
    digest: Digest
    exact: bool
    documents: Mapping[Digest, bytes]
    blobs: Mapping[Digest, Descriptor]


def export(
    cache: Cache,
    references: str | Reference | Sequence[str | Reference],
    target: str | os.PathLike[str],
    *,
    rewritten: bool = False,
    history: History | None = None,
) -> Exported:
    """Write cached apps to one tar file, an OCI image layout that skopeo and oras read.

    Parameters
    ----------
    cache
        Where the apps are.
    references
        One or several, as in ``frames.apps``.
    target
        The tar file; it appears when it is complete, and replaces one of that name.
    rewritten
        Also take apps whose ``manifest.json`` Spin may have written anew, so that its digest is
        perhaps not the registry's. The bytes are exported as they are stored; none are invented.
    history
        Record of pulls that proves manifests; this user's unless given.

    Returns
    -------
    Exported
        What is in the file.

    Raises
    ------
    NotInCacheError
        If an app or one of its blobs is not in the cache, or its image config, which Spin stores
        nowhere, cannot be made out from its digest.
    ManifestError
        If a manifest is damaged; or, unless `rewritten`, cannot be shown to be the registry's.
    DigestMismatchError
        If a stored blob is damaged; nothing is written then.
    CacheWriteError
        If the file cannot be written.
    """
    texts = [references] if isinstance(references, str | Reference) else list(references)
    known = known_digests(history if history is not None else cache.history, cache)
    packed = [_pack(cache, text, rewritten, known) for text in texts]
    path = Path(target).expanduser().absolute()
    with refused_writes(path):
        found = "a folder" if path.is_dir() else "" if path.parent.exists() else f"no folder {path.parent}"
    if found:
        raise CacheWriteError(str(path), "a file to write the apps to", found, "name another file")
    new = NewFile(path.parent)
    try:
        with (
            refused_writes(path),
            new.stream() as stream,
            tarfile.open(fileobj=stream, mode="w", format=tarfile.GNU_FORMAT) as tar,
        ):
            _write(tar, cache, packed)
        new.replace(path)
    finally:
        new.discard()
    return Exported(
        path,
        {one.tag.reference: str(one.digest) for one in packed},
        tuple(one.tag.reference for one in packed if not one.exact),
        path.stat().st_size,
    )


def _pack(
    cache: Cache, text: str | Reference, rewritten: bool, known: Mapping[str, Sequence[Digest]]
) -> _Packed:
    tag = cache.cached_tag(text)
    content = tag.read_manifest()
    digest = Digest.of(content, tag.digest.algorithm if tag.digest else "sha256")
    exact = digest == tag.digest or digest in known.get(tag.reference, ())
    if not exact and not rewritten:
        raise ManifestError(
            tag.reference,
            "a manifest known to be the registry's own bytes",
            "one that Spin may have written anew",
            "pull it with this toolkit, or export it as it is with rewritten=True",
        )
    manifest = parse_manifest(content, where=tag.reference)
    if not isinstance(manifest, Manifest):
        raise ManifestError(tag.reference, "a manifest", "an index", "pull the app again")
    return _Packed(
        tag,
        content,
        digest,
        exact,
        _documents(tag, manifest),
        {layer.digest: layer for layer in manifest.content_layers},
    )


def _documents(tag: CachedTag, manifest: Manifest) -> dict[Digest, bytes]:
    """Locked app and config of a manifest, each proven by its digest."""
    stored = tag.read_locked_app()
    document = manifest.tag_document.digest
    if Digest.of(stored, document.algorithm) != document:
        raise DigestMismatchError(
            f"{tag.reference}, config.json", str(document), "other bytes", "pull the app again"
        )
    documents = {document: stored}
    if manifest.config.digest not in documents:
        documents[manifest.config.digest] = _image_config(tag.reference, manifest)
    return documents


def _image_config(reference: str, manifest: Manifest) -> bytes:
    """The image config that Spin pushed: a handful of forms, the right one proven by its digest."""
    wanted = manifest.config.digest
    for content in _pushed_image_configs(manifest.application):
        if Digest.of(content, wanted.algorithm) == wanted:
            return content
    raise NotInCacheError(
        f"{reference}, config {wanted}",
        f"the {manifest.config.media_type}",
        "none: Spin stores an image config nowhere",
        "copy this app from its registry instead"
        if manifest.config.media_type == IMAGE_CONFIG
        else "pull the app again",
    )


def _pushed_image_configs(application: Descriptor | None) -> Iterator[bytes]:
    """Image configs as Spin pushes them (crates/oci/src/client.rs; oci-spec-rs, image/config.rs)."""
    labels = {"com.fermyon.spin.lockedAppDigest": str(application.digest)} if application else {}
    configs: tuple[dict[str, object], ...] = ({"config": {"Labels": labels}}, {"config": {}}, {})
    rootfs = {"rootfs": {"type": "layers", "diff_ids": []}}
    histories: tuple[dict[str, list[str]], ...] = ({}, {"history": []})
    for system in ("wasip1", "Wasip1"):
        for config in configs:
            for history in histories:
                document = {"architecture": "wasm", "os": system, **config, **rootfs, **history}
                yield json.dumps(document, separators=(",", ":")).encode()


def _write(tar: tarfile.TarFile, cache: Cache, packed: Sequence[_Packed]) -> None:
    _add(tar, "oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
    index = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [
            {
                "mediaType": OCI_MANIFEST,
                "digest": str(one.digest),
                "size": len(one.manifest),
                "annotations": {REF_NAME: one.tag.reference, IMAGE_NAME: one.tag.reference},
            }
            for one in packed
        ],
    }
    _add(tar, "index.json", json.dumps(index, separators=(",", ":")).encode())
    written: set[Digest] = set()
    for one in packed:
        for digest, content in ((one.digest, one.manifest), *one.documents.items()):
            if digest not in written:
                written.add(digest)
                _add(tar, _blob_name(digest), content)
    for one in packed:
        for digest, descriptor in one.blobs.items():
            if digest not in written:
                written.add(digest)
                _add_blob(tar, cache, one.tag.reference, descriptor)


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    tar.addfile(_entry(name, len(content)), io.BytesIO(content))


def _add_blob(tar: tarfile.TarFile, cache: Cache, reference: str, descriptor: Descriptor) -> None:
    where = f"{reference}, layer {descriptor.digest}"
    path = cache.find_blob(descriptor.digest)
    found = None if path is None else path.stat().st_size
    if found != descriptor.size:
        raise NotInCacheError(
            where,
            f"{descriptor.size} stored bytes",
            "none" if found is None else f"{found}",
            "repair the cache, or pull the app again",
        )
    with cache.open_blob(descriptor.digest) as stream:
        hashed = _Hashed(stream, descriptor.digest)
        tar.addfile(_entry(_blob_name(descriptor.digest), descriptor.size), hashed)
    descriptor.digest.check(hashed.hasher.hexdigest(), where=where)


class _Hashed:
    """A stream that hashes what is read of it."""

    def __init__(self, stream: BinaryIO, digest: Digest) -> None:
        self.stream = stream
        self.hasher = digest.hasher()

    def read(self, size: int = -1) -> bytes:
        parts = list(self._parts(size))
        return b"".join(parts)

    def _parts(self, size: int) -> Iterator[bytes]:
        left = size if size >= 0 else 1 << 62
        while left and (chunk := self.stream.read(min(left, CHUNK_BYTES))):
            self.hasher.update(chunk)
            left -= len(chunk)
            yield chunk


def _blob_name(digest: Digest) -> str:
    return f"blobs/{digest.algorithm}/{digest.encoded}"


def _entry(name: str, size: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size = size
    info.mode = 0o644
    return info

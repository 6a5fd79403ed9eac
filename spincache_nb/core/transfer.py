"""Carrying apps across an air gap: out to an OCI image layout and in from one.

One tar file (or folder) holds all apps, each blob once; skopeo and oras read it and write such files.
"""

from __future__ import annotations

import io
import json
import os
import tarfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from spincache_nb.core import settings
from spincache_nb.core.archive import TarReader
from spincache_nb.core.cache import Cache
from spincache_nb.core.digest import CHUNK_BYTES, Digest
from spincache_nb.core.documents import (
    IMAGE_CONFIG,
    OCI_MANIFEST,
    Descriptor,
    Manifest,
    parse_manifest,
    parse_object,
)
from spincache_nb.core.fetching import Options
from spincache_nb.core.files import FileState, RefusedWrites, open_regular, read_bounded
from spincache_nb.core.journal import History
from spincache_nb.core.plans import PullResult, Served
from spincache_nb.core.progress import Progress
from spincache_nb.core.pull import pull_from
from spincache_nb.core.reference import Reference
from spincache_nb.core.scan import CachedTag
from spincache_nb.core.settings import ArchiveLimits
from spincache_nb.core.writing import replacing
from spincache_nb.errors import (
    ArchiveError,
    CacheWriteError,
    DigestMismatchError,
    InvalidReferenceError,
    LimitError,
    ManifestError,
    NotInCacheError,
    SizeMismatchError,
    quoted,
)

__all__ = ["Exported", "Layout", "export", "import_"]

_REF_NAME = "org.opencontainers.image.ref.name"
_IMAGE_NAME = "io.containerd.image.name"
_LAYOUT_TAR = "the uncompressed tar of an OCI image layout"
_REMEDY = "write it with spincache-nb export, or skopeo copy ... oci-archive:FILE"


def import_(
    cache: Cache,
    path: str | os.PathLike[str],
    *,
    names: Mapping[str, str] | None = None,
    progress: Progress = None,
    cancel: threading.Event | None = None,
    durable: bool = False,
    archive_limits: ArchiveLimits | None = None,
    history: History | None = None,
) -> list[PullResult]:
    """Store the apps of an OCI image layout as a pull from a registry would.

    Parameters
    ----------
    cache
        The cache to store them in.
    path
        An uncompressed tar file or a folder, from ``export``, skopeo (``oci-archive:``) or oras.
    names
        Reference for each name in the layout that is not one itself, such as a bare tag.
    progress, cancel, durable, archive_limits, history
        As for `spincache_nb.pull`.

    Returns
    -------
    list of PullResult
        One per app, in the layout's order; nothing came over a wire.

    Raises
    ------
    ArchiveError
        If it is not an OCI image layout.
    InvalidReferenceError
        If neither the layout nor `names` says what an app is called.
    DigestMismatchError, SizeMismatchError, NotInCacheError
        If something in it is damaged or missing; no app of it is then in the cache half-way.
    LimitError
        If it has more entries, or larger documents, than any layout needs.
    NoSpaceError, CacheWriteError
        If it cannot be stored.
    """
    layout = Layout(path, names=names)
    options = Options(
        progress=progress, cancel=cancel, durable=durable, archive_limits=archive_limits, history=history
    )
    return pull_from(cache, layout, layout.references, options)


class Layout:
    """An OCI image layout, a tar file or a folder; it is read as a registry's client is."""

    wire_bytes = 0

    def __init__(self, path: str | os.PathLike[str], *, names: Mapping[str, str] | None = None) -> None:
        self.path = _real_path(path)
        self._places = _places_in_tar(self.path) if not self.path.is_dir() else None
        index = parse_object(
            self._read("index.json", settings.LAYOUT_DOCUMENT_BYTES),
            where=f"{self.path}, index.json",
            error=ArchiveError,
            what="the index of an OCI image layout",
        )
        self._wanted = self._named(index.get("manifests"), names or {})

    @property
    def references(self) -> list[Reference]:
        """What the layout holds, in its index's order."""
        return list(self._wanted)

    def close(self) -> None:
        """Nothing is held open between calls."""

    def fetch_manifest(self, reference: Reference, digest: Digest | None = None) -> Served:
        """Give a manifest or index, checked against its digest."""
        wanted = digest or self._wanted.get(reference)
        if wanted is None:
            raise NotInCacheError(f"{self.path}, {reference}", "a manifest", "none", "see Layout.references")
        content = self._read(_blob_name(wanted), settings.STORED_MANIFEST_BYTES)
        wanted.check(Digest.of(content, wanted.algorithm).encoded, where=f"{self.path}, {wanted}")
        return Served(content, wanted)

    def fetch_document(
        self, reference: Reference, descriptor: Descriptor, *, limit: int | None = None
    ) -> bytes:
        """Give a small blob whole, checked against its descriptor."""
        where = f"{self.path}, {reference}, {descriptor.digest}"
        content = self._read(_blob_name(descriptor.digest), limit or settings.LAYOUT_DOCUMENT_BYTES)
        if len(content) != descriptor.size:
            raise SizeMismatchError(where, f"{descriptor.size} bytes", f"{len(content)}", _REMEDY)
        descriptor.digest.check(Digest.of(content, descriptor.digest.algorithm).encoded, where=where)
        return content

    def stream_blob(self, reference: Reference, descriptor: Descriptor) -> Iterator[bytes]:
        """Give a blob in pieces of 1 MiB; whoever takes them checks the digest."""
        del reference
        yield from self._pieces(_blob_name(descriptor.digest))

    def _named(self, entries: Any, names: Mapping[str, str]) -> dict[Reference, Digest]:
        if not isinstance(entries, list):
            raise ArchiveError(str(self.path), "an index with manifests", "none", _REMEDY)
        wanted: dict[Reference, Digest] = {}
        for entry in entries:
            if not isinstance(entry, dict):
                raise ArchiveError(f"{self.path}, index.json", "a descriptor", quoted(entry), _REMEDY)
            annotations = entry.get("annotations")
            annotations = annotations if isinstance(annotations, dict) else {}
            digest = Digest.parse(entry.get("digest", ""), where=f"{self.path}, index.json")
            wanted[self._reference(annotations, digest, names)] = digest
        return wanted

    def _reference(
        self, annotations: Mapping[str, Any], digest: Digest, names: Mapping[str, str]
    ) -> Reference:
        offered = [text for key in (_IMAGE_NAME, _REF_NAME) if isinstance(text := annotations.get(key), str)]
        for text in (*offered, str(digest)):
            if text in names:
                return Reference.parse(names[text])
        for text in offered:
            host, slash, _ = text.partition("/")
            if slash and ("." in host or ":" in host or host == "localhost"):
                return Reference.parse(text)  # a bare tag does not say where an app belongs
        shown = offered[0] if offered else str(digest)
        raise InvalidReferenceError(
            f"{self.path}, index.json",
            "a full reference for each manifest",
            repr(shown),
            f"say what it is: names={{{shown!r}: 'registry/repository:tag'}}",
        )

    def _read(self, name: str, limit: int) -> bytes:
        if self._places is None:
            return read_bounded(self.path / name, limit=limit)
        size = self._place(name)[1]
        if size > limit:
            raise LimitError(f"{self.path}, {name}", f"at most {limit} bytes", f"{size}", _REMEDY)
        return b"".join(self._pieces(name))

    def _pieces(self, name: str) -> Iterator[bytes]:
        if self._places is None:
            path = self.path / name
            state = FileState.at(path)
            offset, left = 0, state.size if state is not None else 0
        else:
            path = self.path
            offset, left = self._place(name)
        with open_regular(path) as stream:
            stream.seek(offset)
            while left and (chunk := stream.read(min(left, CHUNK_BYTES))):
                left -= len(chunk)
                yield chunk

    def _place(self, name: str) -> tuple[int, int]:
        places = self._places or {}
        if name not in places:
            raise NotInCacheError(f"{self.path}, {name}", "a file of an OCI image layout", "none", _REMEDY)
        return places[name]


def _real_path(path: str | os.PathLike[str]) -> Path:
    """Where a layout is, once it is clear that something of it is there; the caller's link is followed."""
    given = Path(path).expanduser()
    real = os.path.realpath(given)
    if not os.path.exists(real):  # noqa: PTH110  # which says no where it may not look
        raise NotInCacheError(str(given), "an OCI image layout", "nothing", "check the path")
    if os.path.isdir(real) and not os.path.isfile(os.path.join(real, "index.json")):  # noqa: PTH112, PTH113, PTH118
        raise NotInCacheError(str(given), "an OCI image layout", "a folder without index.json", _REMEDY)
    return Path(real)


def _places_in_tar(path: Path) -> dict[str, tuple[int, int]]:
    """Offset and size of every regular file in an uncompressed tar."""
    places: dict[str, tuple[int, int]] = {}
    try:
        with open_regular(path) as stream:
            end = os.fstat(stream.fileno()).st_size
            for count, entry in enumerate(TarReader(stream, where=str(path))):
                if count == settings.LAYOUT_ENTRIES:
                    raise LimitError(str(path), f"at most {count} entries", "more", _REMEDY)
                if entry.offset + entry.size > end:  # a size that no seek takes may stand here
                    raise ArchiveError(
                        str(path), "", f"an entry of {entry.size} bytes, beyond the file's end"
                    )
                if entry.is_file and entry.pieces is None:
                    places[entry.name.removeprefix("./")] = (entry.offset, entry.size)
    except ArchiveError as exc:
        raise ArchiveError(str(path), _LAYOUT_TAR, exc.found, _REMEDY) from exc
    except (OSError, OverflowError) as exc:
        raise ArchiveError(str(path), _LAYOUT_TAR, getattr(exc, "strerror", "") or str(exc), _REMEDY) from exc
    return places


@dataclass(frozen=True, slots=True)
class Exported:
    """What `export` wrote.

    Parameters
    ----------
    path
        The tar file.
    references
        Manifest digest of each app in it, by reference.
    rewritten
        References whose manifest Spin may have written anew.
    stored_bytes
        Size of the file.
    """

    path: Path
    references: Mapping[str, str]
    rewritten: tuple[str, ...]
    stored_bytes: int

    def __str__(self) -> str:
        note = f"; manifest as Spin rewrote it: {', '.join(self.rewritten)}" if self.rewritten else ""
        return f"{self.path}: {len(self.references)} apps, {self.stored_bytes} bytes{note}"


class _Packed(NamedTuple):
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
    known = (history if history is not None else cache.history).manifest_digests(cache.path)
    packed = [_pack(cache, text, rewritten, known) for text in texts]
    path = Path(target).expanduser().absolute()
    with RefusedWrites(path):
        found = "a folder" if path.is_dir() else "" if path.parent.exists() else f"no folder {path.parent}"
    if found:
        raise CacheWriteError(str(path), "a file to write the apps to", found, "name another file")
    with replacing(path) as new, new.stream() as stream, _tar(stream) as tar:
        _write(tar, cache, packed)
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
    blobs = {layer.digest: layer for layer in manifest.content_layers}
    return _Packed(tag, content, digest, exact, _documents(tag, manifest), blobs)


def _documents(tag: CachedTag, manifest: Manifest) -> dict[Digest, bytes]:
    """Locked app and config of a manifest, each proven by its digest."""
    stored = tag.read_locked_app()
    document = manifest.tag_document.digest
    if not document.matches(stored):
        raise DigestMismatchError(
            f"{tag.reference}, config.json", str(document), "other bytes", "pull the app again"
        )
    documents = {document: stored}
    if manifest.config.digest not in documents:
        documents[manifest.config.digest] = _image_config(tag.reference, manifest)
    return documents


def _image_config(reference: str, manifest: Manifest) -> bytes:
    """The image config that Spin pushed: one of a handful of forms, proven by its digest."""
    wanted = manifest.config.digest
    for content in _pushed_image_configs(manifest.application):
        if wanted.matches(content):
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


def _tar(stream: BinaryIO) -> tarfile.TarFile:
    return tarfile.open(fileobj=stream, mode="w", format=tarfile.GNU_FORMAT)


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
                "annotations": {_REF_NAME: one.tag.reference, _IMAGE_NAME: one.tag.reference},
            }
            for one in packed
        ],
    }
    _add(tar, "index.json", json.dumps(index, separators=(",", ":")).encode())
    documents = {
        digest: content
        for one in packed
        for digest, content in ((one.digest, one.manifest), *one.documents.items())
    }
    for digest, content in documents.items():
        _add(tar, _blob_name(digest), content)
    written = set(documents)
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
        chunk = self.stream.read(size)
        self.hasher.update(chunk)
        return chunk


def _blob_name(digest: Digest) -> str:
    return f"blobs/{digest.algorithm}/{digest.encoded}"


def _entry(name: str, size: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size = size
    info.mode = 0o644
    return info

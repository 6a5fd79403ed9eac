"""Reading an OCI image layout, in an uncompressed tar or a folder, as a registry's client is read."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spincache_nb.core.archive import TarReader
from spincache_nb.core.cache import open_regular, read_bounded, regular_size
from spincache_nb.core.digest import CHUNK_BYTES, Digest
from spincache_nb.core.documents import Descriptor
from spincache_nb.core.reference import Reference
from spincache_nb.core.documents import parse_object
from spincache_nb.errors import (
    ArchiveError,
    InvalidReferenceError,
    LimitError,
    NotInCacheError,
    SizeMismatchError,
    quoted,
)

_DOCUMENT_LIMIT = 64 << 20
_ENTRY_LIMIT = 1_000_000
_NAMES = ("io.containerd.image.name", "org.opencontainers.image.ref.name")
_LAYOUT_TAR = "the uncompressed tar of an OCI image layout"
_REMEDY = "write it with spincache-nb export, or skopeo copy ... oci-archive:FILE"


@dataclass(frozen=True, slots=True)
class LayoutManifest:
    """A manifest as the layout holds it."""

    content: bytes
    digest: Digest


class Layout:
    """An OCI image layout, opened for reading."""

    wire_bytes = 0

    def __init__(self, path: str | os.PathLike[str], *, names: Mapping[str, str] | None = None) -> None:
        self.path = _real_path(path)
        self._places = _places_in_tar(self.path) if not self.path.is_dir() else None
        index = parse_object(
            self._read("index.json", _DOCUMENT_LIMIT),
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

    def fetch_manifest(self, reference: Reference, digest: Digest | None = None) -> LayoutManifest:
        """Give a manifest or index, checked against its digest."""
        wanted = digest or self._wanted.get(reference)
        if wanted is None:
            raise NotInCacheError(f"{self.path}, {reference}", "a manifest", "none", "see Layout.references")
        content = self._read(_blob_name(wanted), 4 << 20)
        wanted.check(Digest.of(content, wanted.algorithm).encoded, where=f"{self.path}, {wanted}")
        return LayoutManifest(content, wanted)

    def fetch_document(
        self, reference: Reference, descriptor: Descriptor, *, limit: int | None = None
    ) -> bytes:
        """Give a small blob whole, checked against its descriptor."""
        where = f"{self.path}, {reference}, {descriptor.digest}"
        content = self._read(_blob_name(descriptor.digest), limit or _DOCUMENT_LIMIT)
        if len(content) != descriptor.size:
            raise SizeMismatchError(where, f"{descriptor.size} bytes", f"{len(content)}", _REMEDY)
        descriptor.digest.check(Digest.of(content, descriptor.digest.algorithm).encoded, where=where)
        return content

    def stream_blob(self, reference: Reference, descriptor: Descriptor) -> Iterator[bytes]:
        """Give a blob in pieces of 1 MiB; who takes them checks the digest."""
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
        offered = [text for key in _NAMES if isinstance(text := annotations.get(key), str)]
        for text in (*offered, str(digest)):
            if text in names:
                return Reference.parse(names[text])
        for text in offered:
            if _names_a_registry(text):  # a bare tag does not say where an app belongs
                return Reference.parse(text)
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
            offset, left = 0, regular_size(path) or 0
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


def _places_in_tar(path: Path) -> dict[str, tuple[int, int]]:
    """Offset and size of every regular file in an uncompressed tar."""
    places: dict[str, tuple[int, int]] = {}
    try:
        with open_regular(path) as stream:
            for count, entry in enumerate(TarReader(stream, where=str(path))):
                if count == _ENTRY_LIMIT:
                    raise LimitError(str(path), f"at most {_ENTRY_LIMIT} entries", "more", _REMEDY)
                if entry.is_file and entry.pieces is None:
                    places[entry.name.removeprefix("./")] = (entry.offset, entry.size)
    except ArchiveError as exc:
        raise ArchiveError(str(path), _LAYOUT_TAR, exc.found, _REMEDY) from exc
    except OSError as exc:
        raise ArchiveError(str(path), _LAYOUT_TAR, exc.strerror or str(exc), _REMEDY) from exc
    return places


def _real_path(path: str | os.PathLike[str]) -> Path:
    """Where a layout is, once it is clear that something of it is there; the caller's link is followed."""
    given = Path(path).expanduser()
    real = os.path.realpath(given)
    if not os.path.exists(real):  # noqa: PTH110  # which says no where it may not look
        raise NotInCacheError(str(given), "an OCI image layout", "nothing", "check the path")
    if os.path.isdir(real) and not os.path.isfile(os.path.join(real, "index.json")):  # noqa: PTH112, PTH113, PTH118
        raise NotInCacheError(str(given), "an OCI image layout", "a folder without index.json", _REMEDY)
    return Path(real)


def _names_a_registry(text: str) -> bool:
    host, slash, _ = text.partition("/")
    return bool(slash) and ("." in host or ":" in host or host == "localhost")


def _blob_name(digest: Digest) -> str:
    return f"blobs/{digest.algorithm}/{digest.encoded}"

"""Spin apps in an image store: containerd's content store, or any OCI image layout; it is only read."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from spincache_nb.core.digest import Digest
from spincache_nb.core.documents import Descriptor, Index, Manifest, parse_manifest
from spincache_nb.core.files import FileState, read_bounded
from spincache_nb.core.reference import Reference
from spincache_nb.core.settings import MIB, Limits
from spincache_nb.errors import FormatError, InvalidDigestError, InvalidReferenceError, SpinCacheError
from spincache_nb.fleet.dataset import Snapshot
from spincache_nb.fleet.place import Place
from spincache_nb.fleet.snapshots import host_name, publish
from spincache_nb.fleet.table import NEED, Buffer, made_with, rows_of, whole

_CONTENT = "io.containerd.content.v1.content"
_METADATA = "io.containerd.metadata.v1.bolt/meta.db"
_NAME = "org.opencontainers.image.ref.name"
_FULL_NAME = "io.containerd.image.name"
_LARGEST_DATABASE = 512 * MIB
_BRANCH, _LEAF = 1, 2


def snapshot_images(
    folder: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    names: Mapping[str, str] | None = None,
    host: str | None = None,
    salt: str | bytes | None = None,
    at: datetime | None = None,
    textfile: str | os.PathLike[str] | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> Snapshot:
    """Write which Spin apps an image store holds, as `snapshot` writes what a cache holds.

    Parameters
    ----------
    folder
        An OCI image layout (``index.json`` and ``blobs/``), or containerd's folder, ``/var/lib/containerd``,
        or its content store. It is only read; containerd need not run.
    target
        As for `snapshot`.
    names
        What manifests are called: references, each with the digest of its manifest or index. Unless given,
        what containerd's image store or the layout's index says.
    host, salt, at, textfile, storage_options
        As for `snapshot`.

    Returns
    -------
    Snapshot
        What was written. Images that are no Spin apps are left out; blobs whose size is not the one that
        their manifest tells count as missing.

    Raises
    ------
    SpinCacheError
        If the folder is no image store, or the target cannot be written.
    InvalidReferenceError, InvalidDigestError
        If a name or its digest is none.
    """
    store = _Store(Path(folder))
    moment = (at or datetime.now(UTC)).astimezone(UTC)
    place = Place(target, storage_options)
    told = host_name(store.root, host, salt)
    buffer = Buffer(store.area_of)
    for name, digest in sorted((names if names is not None else store.names()).items()):
        store.take_in(name, Digest.parse(digest), buffer, strict=names is not None)
    records = [made_with(), *buffer.records(), _blobs(buffer)]
    table = whole(records, source="cache", host=told, day=moment.date(), moment=moment)
    return publish(place, table, textfile)


def _blobs(buffer: Buffer) -> Any:
    """Stored blobs, and how many need each."""
    needs = pd.DataFrame(buffer.needs, columns=list(NEED), dtype=object)
    stored = needs[needs["area"].notna()].groupby(["digest", "area"], as_index=False, sort=False)
    found = stored.agg(
        stored_bytes=("stored_bytes", "last"), use_count=("role", "size"), role=("role", "last")
    )
    name = found["role"].where(found["role"] == "config", found["role"] + " layer")
    blobs = found.assign(app_count=found["use_count"], name=name, standing="referenced").drop(columns="role")
    return rows_of("blob", {str(name): blobs[name] for name in blobs}, len(blobs))


class _Store:
    """Blobs by digest below ``blobs/sha256``, and what images are called."""

    def __init__(self, folder: Path) -> None:
        for root in (folder, folder / _CONTENT):
            if (root / "blobs").is_dir():
                self.root = root
                return
        raise SpinCacheError(
            str(folder), "an image store with a folder blobs", "none", "name containerd's folder or a layout"
        )

    def names(self) -> dict[str, str]:
        """References and the digests they mean: of the layout's index, or of containerd's image store."""
        found = dict(self._index_names())
        database = self.root.parent / _METADATA
        if not found and database.is_file():
            found = dict(Bolt(read_bounded(database, limit=_LARGEST_DATABASE)).images())
        return found

    def _index_names(self) -> Iterator[tuple[str, str]]:
        path = self.root / "index.json"
        if path.is_file():
            index = parse_manifest(read_bounded(path, limit=Limits().manifest_bytes), where=str(path))
            for one in index.manifests if isinstance(index, Index) else ():
                name = one.annotations.get(_FULL_NAME) or one.annotations.get(_NAME)
                if name:
                    yield name, str(one.digest)

    def take_in(self, name: str, digest: Digest, buffer: Buffer, *, strict: bool) -> None:
        """Give a manifest, or those of an index that are here, to the buffer."""
        try:
            reference = Reference.parse(name)
        except InvalidReferenceError:
            if strict:
                raise
            return  # containerd names images by their digests too
        try:
            found = self._manifest(digest)
        except (SpinCacheError, OSError):
            buffer.problems.append(("missing manifest", reference.cached_name))
            return
        if isinstance(found, Index):
            here = (one.digest for one in found.manifests if self._size(one.digest) == one.size)
            manifests = [(child, self._manifest(child)) for child in here]
        else:
            manifests = [(digest, found)]
        for child, manifest in manifests:
            if isinstance(manifest, Manifest) and manifest.kind != "unknown":
                buffer.add(reference, manifest, str(child))
                self._note_missing(reference, manifest, buffer)
                return

    def _note_missing(self, reference: Reference, manifest: Manifest, buffer: Buffer) -> None:
        missing = [one for one in (manifest.config, *manifest.layers) if self._size(one.digest) != one.size]
        buffer.problems += [("missing blob", reference.cached_name)] * len(missing)

    def _manifest(self, digest: Digest) -> Manifest | Index:
        path = self._path(digest)
        content = read_bounded(path, limit=Limits().manifest_bytes)
        if Digest.of(content) != digest:
            raise FormatError(str(path), f"bytes of {digest}", "others", "pull the image again")
        return parse_manifest(content, where=str(path))

    def area_of(self, one: Descriptor) -> str | None:
        """Area in which Spin's cache would have a stored blob, so that hosts of both kinds compare."""
        stored = self._size(one.digest) == one.size
        return ("wasm" if one.role == "wasm" else "data") if stored else None

    def _path(self, digest: Digest) -> Path:
        return self.root / "blobs" / digest.algorithm / digest.encoded

    def _size(self, digest: Digest) -> int | None:
        found = FileState.at(self._path(digest))
        return found.size if found is not None and found.is_file else None


class Bolt:
    """The buckets of a bolt database, in whose bucket ``v1`` containerd keeps what images are called.

    Read as bytes and without its lock: whatever makes no sense, since it is just being written, ends a walk.
    """

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._pages_left = len(content) // 512 + 1

    @cached_property
    def _page_size(self) -> int:
        return int.from_bytes(self._content[24:28], "little") or 4096

    def _root(self) -> int:
        """Page of the root bucket, by the newer of the two meta pages."""
        metas = []
        for start in (16, self._page_size + 16):
            magic, _, _, _, root, _, _, _, turn = struct.unpack_from("<IIIIQQQQQ", self._content, start)
            if magic == 0xED0CDAED:
                metas.append((turn, root))
        return int(max(metas)[1])

    def images(self) -> Iterator[tuple[str, str]]:
        """Names of images, and the digests of their targets, in all namespaces."""
        try:
            top = self._bucket(self._items(self._root() * self._page_size), b"v1")
            for namespace, held in top.items():
                for name, image in self._bucket(self._entries(held), b"images").items() if namespace else ():
                    target = self._bucket(self._entries(image), b"target")
                    digest = target.get(b"digest", b"").decode("ascii")
                    Digest.parse(digest)
                    yield name.decode("utf-8"), digest
        except (struct.error, ValueError, IndexError, OverflowError, RecursionError, InvalidDigestError):
            return

    def _bucket(self, items: Iterable[tuple[bytes, bytes]], name: bytes) -> dict[bytes, bytes]:
        """The items of a bucket that is in another."""
        held = dict(items).get(name)
        return dict(self._entries(held)) if held is not None else {}

    def _entries(self, bucket: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Items of a bucket, whose value is a page number or, if it is small, its page itself."""
        (root,) = struct.unpack_from("<Q", bucket)
        if root:
            yield from self._items(root * self._page_size)
        else:
            yield from Bolt(bucket[16:])._items(0)

    def _items(self, start: int) -> Iterator[tuple[bytes, bytes]]:
        """Keys and values of a page, and of those below it."""
        self._pages_left -= 1
        if self._pages_left < 0:
            raise ValueError("the pages go in circles")
        _, flags, count, _ = struct.unpack_from("<QHHI", self._content, start)
        for number in range(count):
            at = start + 16 + 16 * number
            if flags & _LEAF:
                _, place, key_size, size = struct.unpack_from("<IIII", self._content, at)
                key = at + place
                yield (
                    self._content[key : key + key_size],
                    self._content[key + key_size : key + key_size + size],
                )
            elif flags & _BRANCH:
                _, _, page = struct.unpack_from("<IIQ", self._content, at)
                yield from self._items(page * self._page_size)

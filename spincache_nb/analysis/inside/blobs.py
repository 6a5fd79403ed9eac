"""Open what an analysis of bytes is given: bytes, a path, or a digest in a cache."""

from __future__ import annotations

import contextlib
import hashlib
import mmap
import os
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final, TypeAlias, Union

from spincache_nb.core.cache import Cache
from spincache_nb.core.digest import Digest
from spincache_nb.errors import InvalidDigestError, NotInCacheError, printable
from spincache_nb.wasm import Walk, WasmGrain, cuts, is_wasm, walk

_MAPPED_FROM_BYTES: Final = 64 << 20
_GZIP: Final = b"\x1f\x8b"

BlobSource: TypeAlias = Union[bytes, bytearray, memoryview, str, "os.PathLike[str]", Digest]
"""Bytes, the path of a file, or a digest (with a cache to find it in)."""


@dataclass(frozen=True, eq=False)
class OpenBlob:
    """Bytes that are open for reading, and what to call them in an error."""

    view: memoryview
    where: str

    @cached_property
    def walked(self) -> Walk | None:
        """Its structure, or None if it is not WebAssembly."""
        return walk(self.view, where=self.where) if is_wasm(self.view) else None

    @cached_property
    def digest(self) -> bytes:
        """The sha256 of all bytes."""
        return hashlib.sha256(self.view).digest()

    @property
    def is_archive(self) -> bool:
        """Whether it may be an archive layer: gzip, by its first bytes."""
        return bytes(self.view[:2]) == _GZIP

    @property
    def whole(self) -> array[int]:
        """The offsets of one piece that is everything; of none, if there are no bytes."""
        return array("Q", [0, len(self.view)] if len(self.view) else [0])

    def cuts(self, grain: WasmGrain) -> array[int]:
        """Give the offsets where it is cut at a grain; what is not WebAssembly is one piece."""
        return self.whole if self.walked is None else cuts(self.view, self.walked, grain)

    def same_as(self, other: OpenBlob) -> bool:
        """Say whether another blob holds the same bytes."""
        return len(self.view) == len(other.view) and self.digest == other.digest


@contextlib.contextmanager
def opened(source: BlobSource, *, cache: Cache | None = None) -> Iterator[OpenBlob]:
    """Open a blob; files are read whole, large ones mapped into memory."""
    if isinstance(source, bytes | bytearray | memoryview):
        with memoryview(source).cast("B") as view:
            yield OpenBlob(view, "bytes")
        return
    path, where = _locate(source, cache)
    with path.open("rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        if size < _MAPPED_FROM_BYTES:
            yield OpenBlob(memoryview(stream.read()), where)
            return
        mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        view = memoryview(mapped)
        try:
            yield OpenBlob(view, where)
        finally:
            with contextlib.suppress(BufferError):  # a slice in a traceback; freed with it
                view.release()
                mapped.close()


def _locate(source: str | os.PathLike[str] | Digest, cache: Cache | None) -> tuple[Path, str]:
    digest = source if isinstance(source, Digest) else None
    if isinstance(source, str) and cache is not None:
        with contextlib.suppress(InvalidDigestError):
            digest = Digest.parse(source)
    if digest is None:
        path = Path(os.fspath(source))  # type: ignore[arg-type]  # no digest, so a path
        return path, printable(str(path))
    if cache is None:
        raise ValueError(f"{digest} is a digest: say in which cache, with cache=")
    found = cache.find_blob(digest)
    if found is None:
        raise NotInCacheError(str(digest), "a stored blob", "none", "pull the app that needs it")
    return found, str(digest)

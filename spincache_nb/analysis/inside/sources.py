"""Open what an analysis of bytes is given: bytes, a path, or a digest in a cache."""

from __future__ import annotations

import contextlib
import mmap
import os
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final, Protocol, TypeAlias, Union

from spincache_nb.core.digest import Digest
from spincache_nb.errors import InvalidDigestError, NotInCacheError, printable
from spincache_nb.wasm import Walk, WasmGrain, cuts, is_wasm, walk

_MAPPED_FROM_BYTES: Final = 64 << 20

BlobSource: TypeAlias = Union[bytes, bytearray, memoryview, str, "os.PathLike[str]", Digest]
"""Bytes, the path of a file, or a digest (with a cache to find it in)."""


class BlobFinder(Protocol):
    """What can say where a blob is: a `Cache`."""

    def find_blob(self, digest: Digest) -> Path | None:
        """Path of a blob in either area, or None."""


@dataclass(frozen=True, eq=False)
class OpenBlob:
    """Bytes that are open for reading."""

    view: memoryview
    where: str

    @cached_property
    def walked(self) -> Walk | None:
        """Its structure, or None if it is not WebAssembly."""
        return walk(self.view, where=self.where) if is_wasm(self.view) else None

    def cuts(self, grain: WasmGrain) -> array[int]:
        """Give the offsets where it is cut at a grain; what is not WebAssembly is one piece."""
        return self.whole if self.walked is None else cuts(self.view, self.walked, grain)

    @property
    def whole(self) -> array[int]:
        """The offsets of one piece that is everything; of none, if there are no bytes."""
        return array("Q", [0, len(self.view)] if len(self.view) else [0])


@contextlib.contextmanager
def opened(source: BlobSource, *, cache: BlobFinder | None = None) -> Iterator[OpenBlob]:
    """Open a blob and close it at the end of the block."""
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


def _locate(source: str | os.PathLike[str] | Digest, cache: BlobFinder | None) -> tuple[Path, str]:
    digest = _as_digest(source, cache)
    if digest is None:
        path = Path(os.fspath(source))  # type: ignore[arg-type]  # no digest, so a path
        return path, printable(str(path))
    if cache is None:
        raise ValueError(f"{digest} is a digest: say in which cache, with cache=")
    found = cache.find_blob(digest)
    if found is None:
        raise NotInCacheError(str(digest), "a stored blob", "none", "pull the app that needs it")
    return found, str(digest)


def _as_digest(source: str | os.PathLike[str] | Digest, cache: BlobFinder | None) -> Digest | None:
    if isinstance(source, Digest):
        return source
    if isinstance(source, str) and cache is not None:
        with contextlib.suppress(InvalidDigestError):
            return Digest.parse(source)
    return None

"""Spin's registry cache on disk: the only code that knows its directories, and that writes there."""

from spincache_nb.core.cache.blobs import StoredBlob
from spincache_nb.core.cache.files import (
    NewFile,
    explained_reads,
    is_gone,
    make_directory,
    open_regular,
    read_bounded,
    refused_writes,
    regular_size,
)
from spincache_nb.core.cache.found import CachedTag, DiskFile, Problem, Scan
from spincache_nb.core.cache.layout import AREAS
from spincache_nb.core.cache.store import Cache

__all__ = [
    "AREAS",
    "Cache",
    "CachedTag",
    "DiskFile",
    "NewFile",
    "Problem",
    "Scan",
    "StoredBlob",
    "explained_reads",
    "is_gone",
    "make_directory",
    "open_regular",
    "read_bounded",
    "refused_writes",
    "regular_size",
]

"""Archive layers: a gzip-compressed tar whose regular files are stored as blobs of their own."""

from spincache_nb.core.archive.tar import TarEntry, TarReader
from spincache_nb.core.archive.unpacking import (
    ArchiveLimits,
    Member,
    Unpacked,
    check_stored,
    list_members,
    unpack,
)

__all__ = [
    "ArchiveLimits",
    "Member",
    "TarEntry",
    "TarReader",
    "Unpacked",
    "check_stored",
    "list_members",
    "unpack",
]

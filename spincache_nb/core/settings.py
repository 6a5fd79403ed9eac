"""What a caller may turn: limits, timeouts, retries. All sizes in bytes, all times in seconds."""

from __future__ import annotations

import msgspec

MIB = 1 << 20

JOBS = 16
"""Downloads at a time, as in Spin since v1.2 (``MAX_PARALLEL_PULL``, ``MAX_FILE_LOADING_CONCURRENCY``)."""

PACKAGE_RECORD_BYTES = MIB
"""Limit of the whole record of packages; room for some 3,000."""

STORED_MANIFEST_BYTES = 64 * MIB
"""A cached manifest is read up to this size, since a pull's own limit may have been raised."""

LOCKED_APP_BYTES = 64 * MIB
"""A locked app names each mounted file, in some 150 bytes; pull, import and repair take the same."""

HISTORY_BYTES = 4 * MIB
"""Limit of the whole history of pulls; room for some 10,000."""
HISTORY_READ_BYTES = 64 * MIB
"""A file of records that is larger than this is not ours and is not read."""
HISTORY_LINE_BYTES = 64 << 10
"""Where a line of the history is cut when read; none that is written comes near."""
HISTORY_LOCK_SECONDS = 2.0

LAYOUT_DOCUMENT_BYTES = 64 * MIB
"""Limit of a JSON document in an OCI image layout."""
LAYOUT_ENTRIES = 1_000_000
"""Limit of the entries of an OCI image layout in a tar file."""

STALE_SECONDS = 3600
"""Age from which an unfinished file of ours is taken for the leftover of a killed pull."""
MEMBER_BUFFER_BYTES = MIB
"""Archive members up to this size are hashed before anything is written."""


class Limits(msgspec.Struct, frozen=True):
    """How much an answer may hold before it is refused."""

    manifest_bytes: int = 8 * MIB
    document_bytes: int = 8 * MIB
    token_bytes: int = MIB
    error_bytes: int = 64 << 10
    tag_page_bytes: int = 4 * MIB
    tag_pages: int = 1000
    redirects: int = 10


class ArchiveLimits(msgspec.Struct, frozen=True):
    """How much an archive layer may unpack to."""

    entries: int = 200_000
    member_bytes: int = 2 << 30
    total_bytes: int = 16 << 30
    ratio: int = 200


class Timeouts(msgspec.Struct, frozen=True):
    """How long to wait for a server."""

    connect: float = 10.0
    read: float = 30.0
    stall: float = 60.0
    stall_bytes: int = 64 << 10

    def for_httpx(self) -> dict[str, float | None]:
        """As httpx hands them to a transport; there is no pool to wait for."""
        return {"connect": self.connect, "read": self.read, "write": self.read, "pool": None}


class RetryPolicy(msgspec.Struct, frozen=True):
    """How often and how long something that failed in passing is tried again."""

    attempts: int = 6
    connect_attempts: int = 3
    total: float = 180.0
    first_wait: float = 0.25
    longest_wait: float = 10.0
    longest_retry_after: float = 60.0
    breaks: int = 100


HELPER_SECONDS = 15.0
"""How long a credential helper may take, unless told otherwise."""

MAX_STORE_BYTES = 4 * MIB
"""A credential store larger than this is not read."""

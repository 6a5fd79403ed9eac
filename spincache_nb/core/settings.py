"""What a caller may turn: limits, timeouts, retries. All sizes in bytes, all times in seconds."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1 << 20

JOBS = 16
"""Downloads at a time, as in Spin since v1.2 (``MAX_PARALLEL_PULL``, ``MAX_FILE_LOADING_CONCURRENCY``)."""

LOCKED_APP_BYTES = 64 * MIB
"""A locked app names each mounted file, in some 150 bytes; pull, import and repair take the same."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much an answer may hold before it is refused."""

    manifest_bytes: int = 4 * MIB
    document_bytes: int = 4 * MIB
    token_bytes: int = MIB
    error_bytes: int = 64 << 10
    tag_page_bytes: int = 4 * MIB
    tag_pages: int = 1000
    redirects: int = 8


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long to wait for a server."""

    connect: float = 10.0
    read: float = 30.0
    stall: float = 60.0
    stall_bytes: int = 64 << 10

    def for_httpx(self) -> dict[str, float | None]:
        """As httpx hands them to a transport; there is no pool to wait for."""
        return {"connect": self.connect, "read": self.read, "write": self.read, "pool": None}


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how long something that failed in passing is tried again."""

    attempts: int = 6
    connect_attempts: int = 3
    total: float = 180.0
    first_wait: float = 0.25
    longest_wait: float = 10.0
    longest_retry_after: float = 60.0
    breaks: int = 100

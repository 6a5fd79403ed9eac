"""What a caller may turn: limits, timeouts, retries. All sizes in bytes, all times in seconds."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Limits:
    """How much an answer may hold before it is refused.

    Parameters
    ----------
    manifest_bytes
        Largest manifest or index (OCI distribution spec, Pushing manifests: 4 MiB is what a registry
        should take at least, and what clients commonly accept).
    document_bytes
        Largest config or locked app.
    token_bytes
        Largest answer of a token service.
    error_bytes
        How much of an error page is read.
    tag_page_bytes, tag_pages
        Largest page of a list of tags, and how many pages.
    redirects
        How often one request may be sent elsewhere.
    """

    manifest_bytes: int = 4 * MIB
    document_bytes: int = 4 * MIB
    token_bytes: int = MIB
    error_bytes: int = 64 << 10
    tag_page_bytes: int = 4 * MIB
    tag_pages: int = 1000
    redirects: int = 8


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long to wait for a server.

    Parameters
    ----------
    connect
        For a connection, its TLS handshake included.
    read
        For the whole head of an answer, and for each next piece of its body.
    stall
        A body that brings fewer than `stall_bytes` in this time counts as broken off.
    stall_bytes
        See `stall`.
    """

    connect: float = 10.0
    read: float = 30.0
    stall: float = 60.0
    stall_bytes: int = 64 << 10

    def for_httpx(self) -> dict[str, float | None]:
        """As httpx hands them to a transport; there is no pool to wait for."""
        return {"connect": self.connect, "read": self.read, "write": self.read, "pool": None}


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how long something that failed in passing is tried again.

    Parameters
    ----------
    attempts
        Attempts in all, for answers 429 and 5xx, timeouts and broken connections. A piece of a blob
        that arrived starts the count anew.
    connect_attempts
        Attempts in all where no connection comes about, or where an answer was too short.
    total
        No attempt starts later than this after the first failure.
    first_wait, longest_wait
        The wait doubles from the one to the other, and a random part of up to a half is taken off.
    longest_retry_after
        A ``Retry-After`` header is obeyed up to this.
    breaks
        How often one blob may break off in all.
    """

    attempts: int = 6
    connect_attempts: int = 3
    total: float = 180.0
    first_wait: float = 0.25
    longest_wait: float = 10.0
    longest_retry_after: float = 60.0
    breaks: int = 100

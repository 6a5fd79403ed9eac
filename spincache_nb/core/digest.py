"""Digests: the names of exact bytes (OCI image spec, Descriptor, Digests)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from spincache_nb.errors import DigestMismatchError, InvalidDigestError, quoted, without_user

if TYPE_CHECKING:
    from hashlib import _Hash

ENCODED_LENGTH = {"sha256": 64, "sha384": 96, "sha512": 128}
"""Algorithms that Spin's OCI client accepts, with the number of hex digits of each."""

CHUNK_BYTES = 1 << 20

_HEX_DIGITS = b"0123456789abcdef"
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha384:[0-9a-f]{96}|sha512:[0-9a-f]{128}")


class Digest(NamedTuple):
    """Name of exact bytes, ``algorithm:encoded``.

    Parameters
    ----------
    algorithm
        ``sha256``, ``sha384`` or ``sha512``.
    encoded
        Lower-case hex digits, as many as the algorithm gives.

    Examples
    --------
    >>> digest = Digest.of(b"wasm")
    >>> str(digest) == f"sha256:{digest.encoded}"
    True
    >>> Digest.parse(str(digest)) == digest
    True
    """  # a named tuple: digests are keys nearly everywhere, and it is hashed without running Python code

    algorithm: str
    encoded: str

    def __str__(self) -> str:
        return ":".join(self)

    @classmethod
    def parse(cls, text: str, *, where: str = "digest") -> Digest:
        """Read a digest, refusing whatever is not exactly one: no such text may become part of a path."""
        if not isinstance(text, str) or _DIGEST.fullmatch(text) is None:
            raise InvalidDigestError(
                where,
                "a digest such as sha256:<64 lower-case hex digits>",
                quoted(without_user(text) if isinstance(text, str) else text),
                "check where the digest comes from",
            )
        algorithm, encoded = text.split(":")
        return cls(algorithm, encoded)

    @classmethod
    def of(cls, content: bytes, algorithm: str = "sha256") -> Digest:
        """Compute the digest of bytes."""
        return cls(algorithm, hashlib.new(algorithm, content).hexdigest())

    @property
    def short(self) -> str:
        """First 12 hex digits, for people; not unambiguous."""
        return self.encoded[:12]

    def hasher(self) -> _Hash:
        """Start a hash of this digest's algorithm."""
        return hashlib.new(self.algorithm)

    def matches(self, content: bytes) -> bool:
        """Whether these are the bytes that the digest names."""
        return Digest.of(content, self.algorithm) == self

    def check(self, computed: str, *, where: str) -> None:
        """Raise if the hex digits that some bytes hash to are others than these."""
        if computed != self.encoded:
            raise DigestMismatchError(
                where,
                str(self),
                f"{self.algorithm}:{computed}",
                "the bytes are truncated or altered; nothing was kept, pull again",
            )


def joined_digests(texts: Sequence[str], *, start: str = "sha256:") -> bytes | None:
    """Texts one after the other if each is a SHA-256 digest, else None; far quicker than to ask each."""
    count, length = len(texts), len(start) + ENCODED_LENGTH["sha256"]
    if not {*map(len, texts)} <= {length}:
        return None
    joined = "".join(texts).encode("ascii", "replace")
    begin_alike = all(joined[place::length] == start[place].encode() * count for place in range(len(start)))
    others = joined.translate(None, _HEX_DIGITS)
    return joined if begin_alike and others == start.encode().translate(None, _HEX_DIGITS) * count else None


def hash_stream(stream: BinaryIO, algorithm: str = "sha256") -> tuple[Digest, int]:
    """Hash a stream to its end."""
    hasher = hashlib.new(algorithm)
    count = 0
    while chunk := stream.read(CHUNK_BYTES):
        hasher.update(chunk)
        count += len(chunk)
    return Digest(algorithm, hasher.hexdigest()), count

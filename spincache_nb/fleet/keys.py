"""Digests as bytes, and 8-byte keys that stand for them.

In Parquet a digest is its raw bytes: 32 for SHA-256, 48 and 64 for its longer relatives, so that the
length names the algorithm. Rows carry a key instead, a signed 64-bit integer: the first 8 bytes of
the digest, unless another digest of the same part begins with the same 8 bytes. Somebody can make such
a pair on purpose (about 2**32 tries), so nothing relies on keys before `find_clashes` in
`spincache_nb.fleet.catalog` has looked at every digest of the data.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from spincache_nb.core.digest import ENCODED_LENGTH, Digest

_SPAN = 1 << 64
_ALGORITHMS = {length // 2: name for name, length in ENCODED_LENGTH.items()}


def raw(digest: str | Digest) -> bytes:
    """Bytes of a digest."""
    text = digest.encoded if isinstance(digest, Digest) else digest.partition(":")[2]
    return bytes.fromhex(text)


def text(content: bytes) -> str:
    """Digest whose bytes these are."""
    return f"{_ALGORITHMS[len(content)]}:{content.hex()}"


def prefix(content: bytes) -> int:
    """First 8 bytes of a digest as a signed integer."""
    return int.from_bytes(content[:8], "big", signed=True)


def assign(digests: Iterable[bytes]) -> dict[bytes, int]:
    """Give every digest of one part a key of its own."""
    found: dict[bytes, int] = {}
    taken: set[int] = set()
    late: list[bytes] = []
    for digest in sorted(set(digests)):
        key = prefix(digest)
        if key in taken:
            late.append(digest)
            continue
        taken.add(key)
        found[digest] = key
    for digest in late:
        key = next(key for key in _numbers_after(prefix(digest)) if key not in taken)
        taken.add(key)
        found[digest] = key
    return found


def _numbers_after(key: int) -> Iterator[int]:
    """The signed 64-bit numbers after one, round the end."""
    for step in range(1, _SPAN):
        yield (key + step + (_SPAN >> 1)) % _SPAN - (_SPAN >> 1)

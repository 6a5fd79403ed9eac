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
    """Bytes of a digest.

    Examples
    --------
    >>> len(raw(Digest.of(b"wasm")))
    32
    """
    text = digest.encoded if isinstance(digest, Digest) else digest.partition(":")[2]
    return bytes.fromhex(text)


def text(content: bytes) -> str:
    """Digest whose bytes these are.

    Examples
    --------
    >>> text(raw(Digest.of(b"wasm"))) == str(Digest.of(b"wasm"))
    True
    """
    return f"{_ALGORITHMS[len(content)]}:{content.hex()}"


def prefix(content: bytes) -> int:
    """First 8 bytes of a digest as a signed integer.

    Examples
    --------
    >>> prefix(b"\\x00" * 7 + b"\\x05" + b"\\xff" * 24), prefix(b"\\xff" * 32)
    (5, -1)
    """
    return int.from_bytes(content[:8], "big", signed=True)


def assign(digests: Iterable[bytes]) -> dict[bytes, int]:
    """Give every digest of one part a key of its own.

    Parameters
    ----------
    digests
        Raw digests.

    Returns
    -------
    dict of bytes to int
        Each with its prefix; of several that begin alike, the first in order has it, and the others
        have the next numbers that are free.

    Examples
    --------
    >>> alike = [bytes(31) + b"b", bytes(31) + b"a"]
    >>> [assign(alike)[digest] for digest in alike]
    [1, 0]
    """
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

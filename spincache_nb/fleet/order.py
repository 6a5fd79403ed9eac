"""The order of versions as bytes that sort like it, so that an engine can sort without Python.

The order is that of `spincache_nb.analysis.versions.in_order`: semantic versions by precedence, then
the other tags; ties by time of creation, those without one last; then by tag and reference.
"""

from __future__ import annotations

import pandas as pd

from spincache_nb.analysis.versions import version_key

_END = b"\x00"


def sort_key(reference: str, tag: str | None, created_at: pd.Timestamp | None) -> bytes:
    """Make the bytes by which a version is sorted among those of its repository."""
    key = version_key(tag) if tag is not None else None
    if key is None:
        version = b"\x01"
    else:
        *numbers, release, identifiers = key
        version = b"\x00" + b"".join(map(_number, numbers)) + bytes([release])
        version += b"".join(map(_identifier, identifiers)) + _END
    time = b"\x01" if created_at is None else b"\x00" + (created_at.value + (1 << 63)).to_bytes(8, "big")
    return version + time + (tag or "").encode() + _END + reference.encode()


def _number(value: int) -> bytes:
    """A whole number of any size: longer ones are larger."""
    content = value.to_bytes((value.bit_length() + 7) // 8, "big")
    return len(content).to_bytes(2, "big") + content


def _identifier(identifier: tuple[int, int, str]) -> bytes:
    """One identifier of a pre-release: numbers before words, and all of them after the end of the list."""
    is_word, number, word = identifier
    return b"\x02" + word.encode() + _END if is_word else b"\x01" + _number(number)

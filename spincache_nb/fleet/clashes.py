"""Keys that two digests share: proof that there are none, or other keys for those there are."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable
from typing import NamedTuple

from spincache_nb.fleet.keys import prefix


class Fix(NamedTuple):
    """In one unit, a key that stands for a digest has to be another."""

    unit: int
    key: int
    digest: bytes
    new_key: int


def fixes_for(
    rows: Iterable[tuple[int, int, bytes]], taken: Callable[[Collection[int]], set[int]]
) -> list[Fix]:
    """Give the digests that are in trouble keys of their own, the same in all units."""
    given = list(rows)
    chosen: dict[bytes, int] = {}
    left = sorted({digest for *_, digest in given})
    attempt = 0
    while left:
        wanted = {
            digest: prefix(hashlib.sha256(attempt.to_bytes(8, "big") + digest).digest()) for digest in left
        }
        used = taken(wanted.values()) | set(chosen.values())
        for digest, key in wanted.items():
            if key not in used:
                chosen[digest] = key
                used.add(key)
        left = [digest for digest in left if digest not in chosen]
        attempt += 1
    return [Fix(unit, key, digest, chosen[digest]) for unit, key, digest in given]

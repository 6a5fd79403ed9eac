"""Very many digests as columns: 32 bytes each, told apart and put in order all at once.

A dictionary of a million texts asks for memory all over the place; to sort eight bytes of each does not. The
few digests that are not SHA-256 stand beside the column as texts.
"""

from __future__ import annotations

import binascii
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from spincache_nb.core.digest import Digest
from spincache_nb.inventory.columns import Flags, Integers

_START = b"sha256:"
_TEXT, _BYTES = len(_START) + 64, 32


Words = npt.NDArray[np.uint64]


class Packed(NamedTuple):
    """Digests, 32 bytes each; those of other algorithms as zeros, and as texts by their places."""

    content: bytes = b""
    others: Mapping[int, str] = {}

    @classmethod
    def of(cls, texts: Sequence[str]) -> Packed:
        """Pack texts; one that is no digest raises `InvalidDigestError`."""
        if set(map(len, texts)) == {_TEXT}:
            rows = np.frombuffer("".join(texts).encode("utf-8", "replace"), np.uint8)
            if len(rows) == _TEXT * len(texts):
                rows = rows.reshape(-1, _TEXT)
                encoded = rows[:, len(_START) :].tobytes()
                with suppress(binascii.Error):
                    content = binascii.unhexlify(encoded)
                    if rows[:, : len(_START)].tobytes() == _START * len(texts) and encoded.lower() == encoded:
                        return cls(content)
        return cls._one_by_one(list(map(Digest.parse, texts)))

    @classmethod
    def _one_by_one(cls, digests: Sequence[Digest]) -> Packed:
        others = {place: str(one) for place, one in enumerate(digests) if one.algorithm != "sha256"}
        content = (
            bytes(_BYTES) if place in others else bytes.fromhex(one.encoded)
            for place, one in enumerate(digests)
        )
        return cls(b"".join(content), others)

    @classmethod
    def joined(cls, parts: Iterable[Packed]) -> Packed:
        """The digests of several, one after the other."""
        some = list(parts)
        others: dict[int, str] = {}
        start = 0
        for part in some:
            if part.others:
                others.update((start + place, text) for place, text in part.others.items())
            start += len(part)
        return cls(b"".join([part.content for part in some]), others)

    def __len__(self) -> int:
        return len(self.content) // _BYTES


def numbered(columns: Sequence[Packed]) -> tuple[list[str], list[Integers]]:
    """All different digests as texts in order, and for each column the number of each of its digests."""
    every = Packed.joined(columns)
    words = np.frombuffer(every.content, ">u8").reshape(-1, 4)
    distinct, codes = _sorted(words)
    encoded = distinct.tobytes().hex()
    texts = [f"sha256:{encoded[start : start + 64]}" for start in range(0, len(encoded), 64)]
    more = sorted(set(every.others.values()))  # after those of SHA-256 by their names, too
    number = dict(zip(more, range(len(texts), len(texts) + len(more)), strict=True))
    for place, text in every.others.items():
        codes[place] = number[text]
    ends = np.cumsum([len(column) for column in columns])[:-1]
    return texts + more, np.split(codes, ends)


def _sorted(words: Words) -> tuple[Words, Integers]:
    """Different rows of four words in order, and the number of each row; mostly the first word tells."""
    first = words[:, 0].astype(np.uint64)
    order = np.argsort(first)
    alike = first[order][1:] == first[order][:-1]
    distinct, codes = _numbered(words, order, alike)
    if not np.array_equal(distinct[codes], words):  # made so on purpose
        order = np.lexsort([words[:, column] for column in (3, 2, 1, 0)])
        alike = (words[order][1:] == words[order][:-1]).all(axis=1)
        distinct, codes = _numbered(words, order, alike)
    return distinct, codes


def _numbered(words: Words, order: Integers, alike: Flags) -> tuple[Words, Integers]:
    is_new = np.append(True, ~alike)[: len(words)]
    codes = np.empty(len(words), np.int64)
    codes[order] = np.cumsum(is_new) - 1
    return words[order[is_new]], codes

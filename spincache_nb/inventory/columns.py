"""What an inventory holds very many of, as columns; a row becomes a value only when somebody asks for it.

Digests are 32 bytes each, told apart and put in order all at once: a dictionary of a million texts asks for
memory all over the place, to sort eight bytes of each does not. The few that are not SHA-256 stand beside
them as texts.
"""

from __future__ import annotations

import binascii
import gc
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from spincache_nb.core.digest import Digest, joined_digests
from spincache_nb.core.documents import Area

Integers = npt.NDArray[np.int64]
Codes = npt.NDArray[np.int32]
Flags = npt.NDArray[np.bool_]
Vias = npt.NDArray[np.int8]
Via = Literal["layer", "archive member", "content ref", "spin.toml", "environment lock"]
Standing = Literal["referenced", "unreferenced", "temporary", "misnamed"]

AREAS_IN_ORDER: tuple[Area, ...] = ("data", "wasm")
"""Areas by number, in the order in which rows are sorted."""
DATA, WASM = range(2)
VIAS: tuple[Via, ...] = ("layer", "archive member", "content ref", "spin.toml", "environment lock")
STANDINGS: tuple[Standing, ...] = ("misnamed", "referenced", "temporary", "unreferenced")
MISNAMED, REFERENCED, TEMPORARY, UNREFERENCED = range(4)


class Numbers(dict[str, int]):
    """Texts by number, each numbered when it is first looked up."""

    def __missing__(self, text: str) -> int:
        self[text] = len(self)
        return self[text]


class Needed(NamedTuple):
    """Who needs what: rows of an app (or another user), a place, and a number of `VIAS`."""

    users: Integers
    places: Integers
    vias: Vias

    def first_of_each(self) -> Needed:
        """The first row of each user and place, sorted by these."""
        width = int(self.places.max(initial=0)) + 1
        keys = self.users * width + self.places
        order = np.argsort(keys, kind="stable")
        return self.only(order[np.append(True, np.diff(keys[order]) != 0)[: len(order)]])

    def only(self, chosen: Flags | Integers) -> Needed:
        """Some of the rows."""
        return Needed(self.users[chosen], self.places[chosen], self.vias[chosen])

    def and_then(self, more: Needed) -> Needed:
        """These rows, and others after them."""
        users, places = (
            np.concatenate(both) for both in ((self.users, more.users), (self.places, more.places))
        )
        return Needed(users, places, np.concatenate([self.vias, more.vias]))


@dataclass(frozen=True, slots=True, eq=False)
class LayerColumns:
    """Layers of all manifests, digests and types by number; app ``i`` has those from ``starts[i]`` on."""

    starts: Integers
    digests: Integers
    types: Codes
    sizes: Integers
    stored: Flags
    media_types: Sequence[str]
    urls: Mapping[int, tuple[str, ...]]
    """Further addresses, of the few rows that have any."""

    def owners(self) -> Integers:
        """Number of the app of each row."""
        return np.repeat(np.arange(len(self.starts) - 1), np.diff(self.starts))


@dataclass(frozen=True, slots=True, eq=False)
class UseColumns:
    """Who needs which stored blob, sorted by user, digest and area; rows of a user are together."""

    users: Codes
    digests: Codes
    blobs: Codes
    vias: Vias

    def of(self, user: int) -> slice:
        """Rows of one user."""
        return slice(*np.searchsorted(self.users, [user, user + 1]).tolist())


@dataclass(frozen=True, slots=True, eq=False)
class MissingColumns:
    """Blobs that apps need and that are not where Spin looks for them; `elsewhere`: in the other area."""

    users: Integers
    digests: Integers
    areas: Integers
    vias: Vias
    elsewhere: Flags
    names: Sequence[str]
    digest_texts: Sequence[str]

    def __len__(self) -> int:
        return len(self.users)


@contextmanager
def no_collections() -> Iterator[None]:
    """Pause the garbage collector, which would walk millions of new values again and again, all in use.

    Work on large caches grows with the number of values then, and not faster; nothing here makes cycles.
    """
    is_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if is_enabled:
            gc.enable()


def parsed(text: str) -> Digest:
    """The digest of a text that is known to be one."""
    return Digest(text[:6], text[7:])


def numbers_of(values: Sequence[Any]) -> Integers:
    """A column of integers."""
    return np.fromiter(values, np.int64, len(values))


def distinct(numbers: Integers) -> Integers:
    """Different numbers in order; `numpy.unique` hashes them, which can take a hundred times as long."""
    in_order = np.sort(numbers)
    found: Integers = in_order[np.append(True, np.diff(in_order) != 0)[: len(in_order)]]
    return found


def is_among(numbers: Integers, others: Integers) -> Flags:
    """Whether each of some numbers, none below 0, is one of others; not `numpy.isin`, which hashes too."""
    in_order = np.append(np.sort(others), -1)
    found: Flags = in_order[np.searchsorted(in_order[:-1], numbers)] == numbers
    return found


_ROW, _DIGITS, _BYTES = len("sha256:") + 64, len("sha256:"), 32
Words = npt.NDArray[np.uint64]


class Packed(NamedTuple):
    """Digests, 32 bytes each; those of other algorithms as zeros, and as texts by their places."""

    content: bytes = b""
    others: Mapping[int, str] = {}

    @classmethod
    def of(cls, texts: Sequence[str]) -> Packed:
        """Pack texts; one that is no digest raises `InvalidDigestError`."""
        joined = joined_digests(texts)
        if joined is None:
            return cls.of_digests(list(map(Digest.parse, texts)))
        digits = np.frombuffer(joined, np.uint8).reshape(-1, _ROW)[:, _DIGITS:]
        return cls(binascii.unhexlify(digits.tobytes()))

    @classmethod
    def of_digests(cls, digests: Sequence[Digest]) -> Packed:
        """Pack digests."""
        joined = "".join([one.encoded for one in digests])
        if len(joined) == 2 * _BYTES * len(digests):  # as long as SHA-256; all others are longer
            return cls(bytes.fromhex(joined))
        encoded = [one.encoded if one.algorithm == "sha256" else "00" * _BYTES for one in digests]
        others = {place: str(one) for place, one in enumerate(digests) if one.algorithm != "sha256"}
        return cls(bytes.fromhex("".join(encoded)), others)

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

    def at(self, places: Integers) -> Packed:
        """The digests at some places, all of SHA-256."""
        return Packed(np.frombuffer(self.content, f"V{_BYTES}")[places].tobytes())

    def __len__(self) -> int:
        return len(self.content) // _BYTES


def numbered(columns: Sequence[Packed]) -> tuple[list[str], list[Integers]]:
    """All different digests as texts in order, and for each column the number of each of its digests."""
    every = Packed.joined(columns)
    distinct, codes = _sorted(np.frombuffer(every.content, np.uint64).reshape(-1, 4))
    encoded = distinct.tobytes().hex()
    texts = [f"sha256:{encoded[start : start + 64]}" for start in range(0, len(encoded), 64)]
    more = sorted(set(every.others.values()))  # after those of SHA-256 by their names, too
    number = dict(zip(more, range(len(texts), len(texts) + len(more)), strict=True))
    for place, text in every.others.items():
        codes[place] = number[text]
    ends = np.cumsum([len(column) for column in columns])[:-1]
    return texts + more, np.split(codes, ends)


def in_order(digests: Packed) -> Integers:
    """The places of different SHA-256 digests in their order."""
    _, codes = _sorted(np.frombuffer(digests.content, np.uint64).reshape(-1, 4))
    return np.argsort(codes)


def _sorted(words: Words) -> tuple[Words, Integers]:
    """Different rows of four words in order, and the number of each row; mostly the first word tells."""
    first = words[:, 0] if sys.byteorder == "big" else words[:, 0].byteswap()
    order = first.argsort()
    ordered = first[order]
    distinct, codes = _numbered(words, order, ordered[1:] != ordered[:-1])
    if not np.array_equal(distinct.take(codes, axis=0), words):  # of one first word, which somebody made so
        swapped = words if sys.byteorder == "big" else words.byteswap()
        order = np.lexsort([swapped[:, word] for word in (3, 2, 1, 0)])
        differ = (words[order][1:] != words[order][:-1]).any(axis=1)
        distinct, codes = _numbered(words, order, differ)
    return distinct, codes


def _numbered(words: Words, order: Integers, differ: Flags) -> tuple[Words, Integers]:
    """The first of each group of rows, and the number of each row's group, as rows in an order differ."""
    is_new = np.append(True, differ)[: len(words)]
    codes = np.empty(len(words), np.int64)
    codes[order] = np.cumsum(is_new) - 1
    return words[order[is_new]], codes

"""Pair the parts of two versions: by their bytes, by name, by what is around them, by order."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Final, NamedTuple, TypeAlias

CONTAINERS: Final = frozenset({"module", "component"})

_LARGEST_GROUP: Final = 10_000
_RUST_HASH: Final = re.compile(r"17h[0-9a-f]{16}E$")  # at the end of a mangled name, new in each build


class Part(NamedTuple):
    """A part of a binary that may differ; `near` is the place of the last counterpart of one before it."""

    kind: str
    name: str
    size: int
    place: int
    near: int
    named: bool = True


Pair: TypeAlias = tuple[Part | None, Part | None]
_Key: TypeAlias = Callable[[Part], Hashable]


def match_equal(old: Sequence[bytes], new: Sequence[bytes]) -> tuple[dict[int, int], dict[int, int]]:
    """Match siblings with equal digests, first with first, and give what is left."""
    places: dict[bytes, deque[int]] = {}
    for place, digest in enumerate(old):
        places.setdefault(digest, deque()).append(place)
    matched: set[int] = set()
    right: dict[int, int] = {}
    near = -1
    for place, digest in enumerate(new):
        waiting = places.get(digest)
        if waiting:
            near = waiting.popleft()
            matched.add(near)
        else:
            right[place] = near
    left: dict[int, int] = {}
    near = -1
    for place in range(len(old)):
        if place in matched:
            near = place
        else:
            left[place] = near
    return left, right


def match_differing(old: Iterable[Part], new: Iterable[Part]) -> list[Pair]:
    """Pair parts that differ."""
    left = {part.place: part for part in old}
    right = {part.place: part for part in new}
    found: dict[int, Part] = {}
    for key in (_name_and_place, _name, _place, _kind):
        olds, news = _grouped(left.values(), key), _grouped(right.values(), key)
        for value, group in news.items():
            for before, after in _pair_group(olds.get(value, []), group):
                found[after.place] = left.pop(before.place)
                del right[after.place]
        if not left:
            break
    pairs: list[Pair] = [(found.get(part.place), part) for part in new]
    return pairs + [(part, None) for part in left.values()]


def _name_and_place(part: Part) -> Hashable:
    return (*_own_name(part), part.near) if part.named else None


def _name(part: Part) -> Hashable:
    return _own_name(part) if part.named else None


def _place(part: Part) -> Hashable:
    return None if part.named else (part.kind, part.near)


def _kind(part: Part) -> Hashable:
    """Match the rest by order, except what has a name of its own and is not merely a container."""
    return None if part.named and part.kind not in CONTAINERS else part.kind


def _own_name(part: Part) -> tuple[str, str]:
    return part.kind, _RUST_HASH.sub("E", part.name) if part.kind == "function" else part.name


def _grouped(parts: Iterable[Part], key: _Key) -> dict[Hashable, list[Part]]:
    groups: dict[Hashable, list[Part]] = {}
    for part in parts:
        value = key(part)
        if value is not None:
            groups.setdefault(value, []).append(part)
    return groups


def _pair_group(old: list[Part], new: list[Part]) -> list[tuple[Part, Part]]:
    """Pair by order where the counts agree or are large, else those closest in size first."""
    if len(old) == len(new) or len(old) * len(new) > _LARGEST_GROUP:
        return list(zip(old, new, strict=False))
    pairs: list[tuple[Part, Part]] = []
    taken: set[tuple[str, int]] = set()
    candidates = ((abs(a.size - b.size), a.place, b.place, a, b) for a in old for b in new)
    for _, _, _, before, after in sorted(candidates):
        keys = {("old", before.place), ("new", after.place)}
        if not taken & keys:
            taken |= keys
            pairs.append((before, after))
    return pairs

"""Why a binary differs between two versions: which modules, sections, functions and data do.

Parts are paired by their bytes, then by name, by what is around them, and by order.
"""

from __future__ import annotations

import hashlib
import re
from array import array
from collections import deque
from collections.abc import Callable, Container, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple, TypeAlias

import pandas as pd

from spincache_nb.analysis.modules import label
from spincache_nb.analysis.pieces import BlobSource, OpenBlob, hashed, opened
from spincache_nb.analysis.schemas import CHANGES_SCHEMA
from spincache_nb.core.cache import Cache
from spincache_nb.frames.schemas import build
from spincache_nb.wasm.naming import ModuleNames, read_names
from spincache_nb.wasm.walker import PREAMBLE_BYTES, Section, Walk, body_ends, segment_address, segment_ends

CONTAINERS: Final = frozenset({"module", "component"})

_LARGEST_GROUP: Final = 10_000
_RUST_HASH: Final = re.compile(r"17h[0-9a-f]{16}E$")  # at the end of a mangled name, new in each build
_SPLITTERS: Final = {"code": body_ends, "data": segment_ends}

_Row: TypeAlias = tuple[object, ...]
_Kept: TypeAlias = list[tuple[bytes, bool]]
"""Digests of sections that both versions have, in order, each with whether it is a custom section."""


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


@CHANGES_SCHEMA.describes
def why_changed(old: BlobSource, new: BlobSource, *, cache: Cache | None = None) -> pd.DataFrame:
    """Find what differs between two versions of a module or component.

    Parts are matched by their bytes first, wherever they are; what remains by name (data segments by
    address), and what has no name by what is around it and its size. So a function that moved is no
    difference, and one whose code names another function by a number that shifted is one.

    Parameters
    ----------
    old, new, cache
        As for `grains`.

    Returns
    -------
    pandas.DataFrame
        One row per difference, what holds a difference before what is in it; no rows for the same
        bytes. Two blobs of which one is not WebAssembly give one row of kind ``blob``.

        {columns}

    Raises
    ------
    WasmFormatError, LimitError, NotInCacheError, ValueError, OSError
        As for `grains`.

    Examples
    --------
    >>> module = bytes.fromhex("0061736d01000000" "0003026869")
    >>> frame = why_changed(module, module[:-1] + b"o")
    >>> frame[["kind", "name", "change"]].values.tolist()
    [['custom section', 'ho', 'added'], ['custom section', 'hi', 'removed']]
    """
    with opened(old, cache=cache) as before, opened(new, cache=cache) as after:
        return build(CHANGES_SCHEMA, _rows(before, after))


def _rows(old: OpenBlob, new: OpenBlob) -> list[_Row]:
    if old.same_as(new):
        return []
    if old.walked and new.walked and old.walked.binaries[0].layer == new.walked.binaries[0].layer:
        return list(_differences(_Side(old.view, old.walked), _Side(new.view, new.walked)))
    return [("", "blob", None, "changed", len(old.view), len(new.view))]


def _differences(old: _Side, new: _Side) -> Iterator[_Row]:
    """Yield what differs, going into pairs of nested modules and components from a stack."""
    waiting = [(0, 0)]
    while waiting:
        before, after = waiting.pop()
        path = new.labels.paths[after]
        left, right = match_equal(old.digests[before], new.digests[after])
        pairs = match_differing(old.sections(before, left), new.sections(after, right))
        if name := _layout(old.kept(before, left), new.kept(after, right), bool(pairs)):
            sides = old.walked.binaries[before], new.walked.binaries[after]
            yield path, "layout", name, "changed", *(side.end - side.start for side in sides)
        deeper: list[tuple[int, int]] = []
        for pair in pairs:
            yield _row(path, pair)
            if pair[0] is None or pair[1] is None:
                continue
            sections = old.section(before, pair[0].place), new.section(after, pair[1].place)
            if sections[0].nested >= 0:
                deeper.append((sections[0].nested, sections[1].nested))
            elif new.is_split(sections[1]):
                yield from (_row(path, inner) for inner in _inner_pairs(old, new, *sections))
        waiting.extend(reversed(deeper))


def _layout(old: _Kept, new: _Kept, explained: bool) -> str | None:
    """Name what differs between two binaries beside their parts, given those that both have."""
    if [digest for digest, custom in old if not custom] != [digest for digest, custom in new if not custom]:
        return "order of sections"
    if old != new:
        return "order of custom sections"
    return None if explained else "encoding"


def _inner_pairs(old: _Side, new: _Side, before: Section, after: Section) -> list[Pair]:
    """Pair the function bodies or data segments that differ."""
    old_ends, old_digests = old.inner_digests(before)
    new_ends, new_digests = new.inner_digests(after)
    left, right = match_equal(old_digests, new_digests)
    return match_differing(old.inner(before, old_ends, left), new.inner(after, new_ends, right))


def _row(path: str, pair: Pair) -> _Row:
    old, new = pair
    part = new or old
    assert part is not None
    change = "removed" if new is None else "added" if old is None else "changed"
    return path, part.kind, part.name or None, change, old and old.size, new and new.size


class _Side:
    """One of two versions, taken apart as far as the comparison asks."""

    def __init__(self, view: memoryview, walked: Walk) -> None:
        self.view = view
        self.walked = walked
        self.labels = label(view, walked)
        self.digests: list[list[bytes]] = [[] for _ in walked.binaries]  # of each binary's sections, in order
        for section, digest in zip(walked.sections, _section_digests(view, walked), strict=True):
            self.digests[section.binary].append(digest)

    def kept(self, binary: int, unmatched: Container[int]) -> _Kept:
        """Give the digests of a binary's sections except some, given by place."""
        sections = zip(self.digests[binary], self.walked.by_binary[binary], strict=True)
        return [
            (digest, section.kind == "custom")
            for place, (digest, section) in enumerate(sections)
            if place not in unmatched
        ]

    def section(self, binary: int, place: int) -> Section:
        """Give a section by its place."""
        return self.walked.by_binary[binary][place]

    def sections(self, binary: int, near: Mapping[int, int]) -> list[Part]:
        """Make parts of some sections, given by place and `Part.near`."""
        return [self._section_part(self.section(binary, place), place, near[place]) for place in near]

    def is_split(self, section: Section) -> bool:
        """Say whether a section consists of function bodies or data segments."""
        return section.kind in _SPLITTERS and self.walked.binaries[section.binary].layer == "module"

    def inner_digests(self, section: Section) -> tuple[array[int], list[bytes]]:
        """Cut a code or data section: where bodies or segments end, and their digests."""
        limit = self.walked.limits.pieces
        ends = _SPLITTERS[section.kind](self.view, section, where=self.walked.where, limit=limit)
        return ends, hashed(self.view, ends)[0]

    def inner(self, section: Section, ends: array[int], near: Mapping[int, int]) -> list[Part]:
        """Make parts of some function bodies or data segments, given by place and `Part.near`."""
        if section.kind == "data":
            return [self._segment_part(section, ends, place, near[place]) for place in near]
        names = read_names(self.view, self.walked, section.binary) if near else ModuleNames()
        return [self._function_part(names, ends, place, near[place]) for place in near]

    @staticmethod
    def _function_part(names: ModuleNames, ends: array[int], place: int, near: int) -> Part:
        size, is_named = ends[place + 1] - ends[place], names.imported + place in names.functions
        return Part("function", names.function(place), size, place, near, is_named)

    def _segment_part(self, section: Section, ends: array[int], place: int, near: int) -> Part:
        start, end = ends[place], ends[place + 1]
        address = segment_address(self.view, start, section.end)
        name = f"data[{place}]" if address is None else f"data at {address & 0xFFFF_FFFF:#x}"
        return Part("data segment", name, end - start, place, near, named=address is not None)

    def _section_part(self, section: Section, place: int, near: int) -> Part:
        size = section.end - section.start
        if section.nested >= 0:
            name = self.labels.names[section.nested]
            layer = self.walked.binaries[section.nested].layer
            return Part(layer, name, size, place, near, named=bool(name))
        if section.kind == "custom":
            return Part("custom section", section.name, size, place, near)
        return Part("section", section.kind, size, place, near)


def _section_digests(view: memoryview, walked: Walk) -> list[bytes]:
    """Hash every section, a nested module or component by the hashes of what is in it: one pass."""
    children: dict[int, list[bytes]] = {}
    digests = [b""] * len(walked.sections)
    for place in range(len(walked.sections) - 1, -1, -1):  # what is nested comes after what holds it
        section = walked.sections[place]
        if section.nested < 0:
            digest = hashlib.sha256(view[section.start : section.end]).digest()
        else:
            inner = children.pop(section.nested, [])
            head = bytes(view[section.start : section.body + PREAMBLE_BYTES])  # a size may be padded
            digest = hashlib.sha256(b"%d:%b" % (len(head), head) + b"".join(reversed(inner))).digest()
        digests[place] = digest
        children.setdefault(section.binary, []).append(digest)
    return digests

"""Why the digest of a new version differs: which modules, sections, functions and data do."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Container, Iterator, Mapping
from typing import Final, TypeAlias

import pandas as pd

from spincache_nb.analysis.inside.blobs import BlobSource, OpenBlob, opened
from spincache_nb.analysis.inside.matching import Pair, Part, match_differing, match_equal
from spincache_nb.analysis.inside.modules import label
from spincache_nb.analysis.inside.pieces import hashed
from spincache_nb.analysis.schemas import CHANGES_SCHEMA
from spincache_nb.core.cache import Cache
from spincache_nb.frames.schemas import build
from spincache_nb.wasm import (
    PREAMBLE_BYTES,
    ModuleNames,
    Section,
    Walk,
    body_ends,
    read_names,
    segment_address,
    segment_ends,
)

_SPLITTERS: Final = {"code": body_ends, "data": segment_ends}

_Row: TypeAlias = tuple[object, ...]
_Kept: TypeAlias = list[tuple[bytes, bool]]
"""Digests of sections that both versions have, in order, each with whether it is a custom section."""


@CHANGES_SCHEMA.describes
def why_changed(old: BlobSource, new: BlobSource, *, cache: Cache | None = None) -> pd.DataFrame:
    """Find what differs between two versions of a module or component.

    Parts are matched by their bytes first, wherever they are; what remains by name (data segments by
    address), and what has no name by what is around it and its size. So a function that moved is no
    difference, and one whose code names another function by a number that shifted is one.

    Parameters
    ----------
    old, new
        Each bytes, a path, or a digest (with `cache`).
    cache
        Where to look digests up.

    Returns
    -------
    pandas.DataFrame
        One row per difference, what holds a difference before what is in it; no rows for the same
        bytes. Two blobs of which one is not WebAssembly give one row of kind ``blob``.

        {columns}

    Raises
    ------
    WasmFormatError
        If a version claims to be WebAssembly and is malformed.
    LimitError
        If a version has more structure than is reasonable.
    NotInCacheError, ValueError, OSError
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
            yield path, "layout", name, "changed", old.size(before), new.size(after)
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

    def size(self, binary: int) -> int:
        """Give the bytes of a module or component."""
        return self.walked.binaries[binary].end - self.walked.binaries[binary].start

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
        return [
            Part(
                "function",
                names.function(place),
                ends[place + 1] - ends[place],
                place,
                near[place],
                named=names.imported + place in names.functions,
            )
            for place in near
        ]

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

"""One of two versions that are compared, taken apart as far as the comparison asks."""

from __future__ import annotations

from array import array
from collections.abc import Container, Mapping
from typing import Final, TypeAlias

from spincache_nb.analysis.inside.matching import CUSTOM_SECTION, Part
from spincache_nb.analysis.inside.pieces import hashed
from spincache_nb.analysis.inside.trees import label, section_digests
from spincache_nb.wasm import (
    ModuleNames,
    Section,
    Walk,
    body_ends,
    read_names,
    segment_address,
    segment_ends,
)

Kept: TypeAlias = list[tuple[bytes, bool]]
"""Digests of sections that both versions have, in order, each with whether it is a custom section."""

_SPLITTERS: Final = {"code": body_ends, "data": segment_ends}


class Side:
    """A version of a module or component."""

    def __init__(self, view: memoryview, walked: Walk) -> None:
        self.view = view
        self.walked = walked
        self.labels = label(view, walked)
        self._digests: list[list[bytes]] = [[] for _ in walked.binaries]
        for section, digest in zip(walked.sections, section_digests(view, walked), strict=True):
            self._digests[section.binary].append(digest)

    def digests(self, binary: int) -> list[bytes]:
        """Give the digests of a module's or component's sections, in order."""
        return self._digests[binary]

    def kept(self, binary: int, unmatched: Container[int]) -> Kept:
        """Give the digests of a module's or component's sections except some, given by place."""
        return [
            (digest, section.kind == "custom")
            for place, (digest, section) in enumerate(
                zip(self._digests[binary], self.walked.by_binary[binary], strict=True)
            )
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
            return Part(CUSTOM_SECTION, section.name, size, place, near)
        return Part("section", section.kind, size, place, near)

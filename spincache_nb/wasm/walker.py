"""Walk a WebAssembly binary: every module, component and section in it, in the order of its bytes.

The walk keeps its own stack, so nesting of any depth costs no recursion, and time and memory are
linear in the number of sections. It is a splitter, not a validator: it checks what decides where a
piece starts and ends (preambles, ids, sizes), not types or the order of sections.

Sources: WebAssembly Core Specification, Binary Format, Modules; Component Model, design/mvp/Binary.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from spincache_nb.errors import LimitError
from spincache_nb.wasm.faults import DEFAULT_WHERE, Buffer, malformed
from spincache_nb.wasm.leb128 import read_name, read_u32
from spincache_nb.wasm.sections import (
    CUSTOM,
    DEFAULT_LIMITS,
    PREAMBLE_BYTES,
    Layer,
    Limits,
    nested_layer,
    read_preamble,
    section_count,
    section_name,
)


class Binary(NamedTuple):
    """A core module or component: the whole input, or one nested in it."""

    number: int
    parent: int
    layer: Layer
    start: int
    end: int
    depth: int


class Section(NamedTuple):
    """A section of a module or component."""

    binary: int
    id: int
    kind: str
    start: int
    body: int
    end: int
    name: str = ""
    nested: int = -1


@dataclass(frozen=True)
class Walk:
    """What a walk found."""

    binaries: tuple[Binary, ...]
    sections: tuple[Section, ...]
    where: str
    limits: Limits

    @property
    def size(self) -> int:
        """Size of the whole input in bytes."""
        return self.binaries[0].end

    @cached_property
    def by_binary(self) -> tuple[tuple[Section, ...], ...]:
        """The sections of each module or component, without those of what it holds, by its index."""
        groups: list[list[Section]] = [[] for _ in self.binaries]
        for section in self.sections:
            groups[section.binary].append(section)
        return tuple(map(tuple, groups))


def walk(data: Buffer, *, where: str = DEFAULT_WHERE, limits: Limits = DEFAULT_LIMITS) -> Walk:
    """Find every module, component and section of a binary."""
    top = Binary(0, -1, read_preamble(data, 0, len(data), where), 0, len(data), 0)
    binaries, sections = [top], list[Section]()
    stack = [(top, PREAMBLE_BYTES)]
    while stack:
        binary, pos = stack.pop()
        while pos < binary.end:
            section = _read_section(data, pos, binary, where)
            if len(sections) >= limits.sections:
                raise LimitError(where, f"at most {limits.sections} sections", "more", "raise the limit")
            pos = section.end
            layer = nested_layer(binary.layer, section.id)
            if layer is None:
                sections.append(section)
                continue
            child = _nested(data, section, binary, layer, len(binaries), where)
            binaries.append(child)
            sections.append(section._replace(nested=child.number))
            stack += [(binary, pos), (child, child.start + PREAMBLE_BYTES)]
            break
    return Walk(tuple(binaries), tuple(sections), where, limits)


def _read_section(data: Buffer, pos: int, binary: Binary, where: str) -> Section:
    section_id = data[pos]
    if section_id >= section_count(binary.layer):
        expected = f"a {binary.layer} section id below {section_count(binary.layer)}"
        raise malformed(where, pos, expected, str(section_id))
    kind = section_name(binary.layer, section_id)
    size, body = read_u32(data, pos + 1, binary.end, where)
    if size > binary.end - body:
        expected = f"a {kind} section of at most {binary.end - body} bytes"
        raise malformed(where, pos, expected, f"a size of {size}")
    end = body + size
    name = read_name(data, body, end, where)[0] if section_id == CUSTOM else ""
    return Section(binary.number, section_id, kind, pos, body, end, name)


def _nested(data: Buffer, section: Section, parent: Binary, layer: Layer, number: int, where: str) -> Binary:
    found = read_preamble(data, section.body, section.end, where)
    if found != layer:
        raise malformed(where, section.body, f"the preamble of a {layer}", f"that of a {found}")
    return Binary(number, parent.number, layer, section.body, section.end, parent.depth + 1)

"""Walk a WebAssembly binary: every module, component and section in it, and where to cut it into pieces.

The walk keeps its own stack, so nesting of any depth costs no recursion, and time and memory are
linear in the number of sections. It is a splitter, not a validator: it checks what decides where a
piece starts and ends (preambles, ids, sizes), not types or the order of sections.

Sources: WebAssembly Core Specification, Binary Format, Modules, and Instructions (Expressions); Component
Model, design/mvp/Binary.md; WebAssembly JavaScript Interface, Implementation Limitations, for the order of
magnitude of the limits.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal, NamedTuple, TypeAlias

from spincache_nb.errors import LimitError
from spincache_nb.wasm.encoding import Buffer, malformed, read_name, read_signed, read_u32

Layer: TypeAlias = Literal["module", "component"]
WasmGrain: TypeAlias = Literal["blob", "section", "module", "nested section", "function", "data segment"]

WASM_GRAINS: Final[tuple[WasmGrain, ...]] = (
    "blob", "section", "module", "nested section", "function", "data segment",
)  # fmt: skip
"""From the whole input to the finest. Each cuts wherever the one before it does."""

PREAMBLE_BYTES: Final = 8
"""Magic (4), version (2) and layer (2); core modules read the last four as one version."""

CUSTOM: Final = 0
CORE_IMPORT, CORE_CODE, CORE_DATA = 2, 10, 11
COMPONENT_MODULE, COMPONENT_COMPONENT, COMPONENT_ALIAS, COMPONENT_IMPORT, COMPONENT_EXPORT = 1, 4, 6, 10, 11

_MAGIC: Final = b"\0asm"
_PREAMBLES: Final[dict[bytes, Layer]] = {
    _MAGIC + b"\x01\x00\x00\x00": "module",
    _MAGIC + b"\x0d\x00\x01\x00": "component",
}
_SECTIONS: Final[dict[Layer, tuple[str, ...]]] = {  # names by id
    "module": (
        "custom", "type", "import", "function", "table", "memory", "global", "export",
        "start", "element", "code", "data", "data count", "tag",
    ),
    "component": (
        "custom", "core module", "core instance", "core type", "component", "instance", "alias",
        "type", "canon", "start", "import", "export", "value",
    ),
}  # fmt: skip
_NESTED: Final[dict[tuple[Layer, int], Layer]] = {
    ("component", COMPONENT_MODULE): "module",
    ("component", COMPONENT_COMPONENT): "component",
}


@dataclass(frozen=True)
class Limits:
    """How much structure one binary may have: a few bytes of it could cost a hundred times their size."""

    sections: int = 500_000
    """Sections of the binary and of everything nested in it, together."""
    pieces: int = 2_000_000
    """Function bodies and data segments, together."""


_LIMITS: Final = Limits()


class Binary(NamedTuple):
    """A core module or component: the whole input, which is number 0, or one nested in it."""

    number: int
    parent: int
    layer: Layer
    start: int
    end: int
    depth: int


class Section(NamedTuple):
    """A section: its binary, id, id in words, offsets, name if custom, and what is nested in it, else -1."""

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
    """The binaries, each before what it holds, and their sections in the order of their first byte."""

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
        """The sections of each module or component, without those of what it holds, by its number."""
        groups: list[list[Section]] = [[] for _ in self.binaries]
        for section in self.sections:
            groups[section.binary].append(section)
        return tuple(map(tuple, groups))


def is_wasm(data: Buffer) -> bool:
    """Say whether bytes claim to be WebAssembly, by the magic at their start."""
    return bytes(data[: len(_MAGIC)]) == _MAGIC


def walk(data: Buffer, *, where: str = "WebAssembly binary", limits: Limits = _LIMITS) -> Walk:
    """Find every module, component and section of a binary; nothing is copied from it but names."""
    top = Binary(0, -1, _read_preamble(data, 0, len(data), where), 0, len(data), 0)
    binaries, sections = [top], list[Section]()
    stack = [(top, PREAMBLE_BYTES)]
    while stack:
        binary, pos = stack.pop()
        while pos < binary.end:
            section = _read_section(data, pos, binary, where)
            if len(sections) >= limits.sections:
                raise LimitError(where, f"at most {limits.sections} sections", "more", "raise the limit")
            pos = section.end
            layer = _NESTED.get((binary.layer, section.id))
            if layer is None:
                sections.append(section)
                continue
            child = _nested(data, section, binary, layer, len(binaries), where)
            binaries.append(child)
            sections.append(section._replace(nested=child.number))
            stack += [(binary, pos), (child, child.start + PREAMBLE_BYTES)]
            break
    return Walk(tuple(binaries), tuple(sections), where, limits)


def _read_preamble(data: Buffer, pos: int, end: int, where: str) -> Layer:
    head = bytes(data[pos : min(pos + PREAMBLE_BYTES, end)])
    layer = _PREAMBLES.get(head)
    if layer is None:
        expected = "the preamble of a core module (version 1) or component (version 13)"
        raise malformed(where, pos, expected, head.hex(" ") or "nothing")
    return layer


def _read_section(data: Buffer, pos: int, binary: Binary, where: str) -> Section:
    section_id, kinds = data[pos], _SECTIONS[binary.layer]
    if section_id >= len(kinds):
        raise malformed(where, pos, f"a {binary.layer} section id below {len(kinds)}", str(section_id))
    kind = kinds[section_id]
    size, body = read_u32(data, pos + 1, binary.end, where)
    if size > binary.end - body:
        expected = f"a {kind} section of at most {binary.end - body} bytes"
        raise malformed(where, pos, expected, f"a size of {size}")
    end = body + size
    name = read_name(data, body, end, where)[0] if section_id == CUSTOM else ""
    return Section(binary.number, section_id, kind, pos, body, end, name)


def _nested(data: Buffer, section: Section, parent: Binary, layer: Layer, number: int, where: str) -> Binary:
    found = _read_preamble(data, section.body, section.end, where)
    if found != layer:
        raise malformed(where, section.body, f"the preamble of a {layer}", f"that of a {found}")
    return Binary(number, parent.number, layer, section.body, section.end, parent.depth + 1)


def cuts(data: Buffer, walked: Walk, grain: WasmGrain) -> array[int]:
    """Give the offsets at which a binary is cut: piece number i goes from offset i to offset i + 1.

    Every byte is in one piece: what lies between two (preambles, a section's id and size in front of a
    nested module, the count at the start of a code section) is a piece as well.
    """
    found = array("Q", [0])
    if grain != "blob":
        found.append(PREAMBLE_BYTES)
        for section in walked.sections:
            if section.binary == 0 or (grain != "section" and _is_opened(walked, section.binary, grain)):
                _cut_section(data, walked, section, grain, found)
    if found[-1] != walked.size:
        found.append(walked.size)
    return found


def _is_opened(walked: Walk, binary: int, grain: WasmGrain) -> bool:
    """Say whether a nested module or component is cut into its sections at a grain."""
    return grain != "module" or walked.binaries[binary].layer == "component"


def _cut_section(data: Buffer, walked: Walk, section: Section, grain: WasmGrain, found: array[int]) -> None:
    if section.nested >= 0 and grain != "section":
        found.append(section.body)
        if _is_opened(walked, section.nested, grain):
            found.append(section.body + PREAMBLE_BYTES)
            return  # the sections that follow reach the end of this one
    elif split := _splitter(walked, section, grain):
        limit = walked.limits.pieces - len(found)
        found.extend(split(data, section, where=walked.where, limit=limit))
    if found[-1] < section.end:
        found.append(section.end)


def _splitter(walked: Walk, section: Section, grain: WasmGrain) -> Callable[..., array[int]] | None:
    if walked.binaries[section.binary].layer != "module":
        return None
    if section.id == CORE_CODE and grain in ("function", "data segment"):
        return body_ends
    return segment_ends if section.id == CORE_DATA and grain == "data segment" else None


_END: Final = 0x0B
_GLOBAL_GET: Final = 0x23
_INTEGER_CONST: Final = frozenset({0x41, 0x42})  # i32.const, i64.const
_INTEGER_ARITHMETIC: Final = frozenset({0x6A, 0x6B, 0x6C, 0x7C, 0x7D, 0x7E})  # add, sub, mul
_ACTIVE, _PASSIVE, _ACTIVE_IN_MEMORY = range(3)

# flags 0, i32.const, a signed integer, end: nearly every segment, and a snapshot has thousands
_USUAL_PLACEMENT: Final = re.compile(rb"\x00\x41[\x80-\xff]{0,9}[\x00-\x7f]\x0b")


def body_ends(data: Buffer, section: Section, *, where: str, limit: int) -> array[int]:
    """Find where the pieces of a code section end: the count, then each function body with its size."""
    count, pos = _read_count(data, section, where, limit)
    end = section.end
    ends = array("Q", [pos])
    append = ends.append
    for _ in range(count):
        size = data[pos] if pos < end else 0x80
        pos += 1
        if size >= 0x80:  # nearly all sizes take one or two bytes; this loop is the hot one
            second = data[pos] if pos < end else 0x80
            if second < 0x80:
                size = size & 0x7F | second << 7
                pos += 1
            else:
                size, pos = read_u32(data, pos - 1, end, where)
        if size > end - pos:
            raise malformed(where, pos, f"a function body of at most {end - pos} bytes", f"one of {size}")
        pos += size
        append(pos)
    _check_end(pos, section, where)
    return ends


def segment_ends(data: Buffer, section: Section, *, where: str, limit: int) -> array[int]:
    """Find where the pieces of a data section end: the count, then each data segment."""
    count, pos = _read_count(data, section, where, limit)
    end = section.end
    ends = array("Q", [pos])
    match = _USUAL_PLACEMENT.match
    for _ in range(count):
        usual = match(data, pos, end)
        at = usual.end() if usual else _skip_placement(data, pos, end, where)
        size, pos = read_u32(data, at, end, where)
        if size > end - pos:
            raise malformed(where, at, f"a data segment of at most {end - pos} bytes", f"one of {size}")
        pos += size
        ends.append(pos)
    _check_end(pos, section, where)
    return ends


def segment_address(data: Buffer, pos: int, end: int) -> int | None:
    """Read where in memory 0 a data segment goes; None if that is no constant."""
    if not _USUAL_PLACEMENT.match(data, pos, end):
        return None
    return read_signed(data, pos + 2, end, "data segment")[0]


def _skip_placement(data: Buffer, pos: int, end: int, where: str) -> int:
    """Step over what says where a data segment goes: flags, memory, offset expression."""
    flags, at = read_u32(data, pos, end, where)
    if flags == _PASSIVE:
        return at
    if flags == _ACTIVE_IN_MEMORY:
        _, at = read_u32(data, at, end, where)
    elif flags != _ACTIVE:
        raise malformed(where, pos, "data segment flags 0, 1 or 2", str(flags))
    return _skip_offset(data, at, end, where)


def _skip_offset(data: Buffer, pos: int, end: int, where: str) -> int:
    """Step over a constant expression of type i32 or i64, its end included."""
    while pos < end:
        opcode = data[pos]
        pos += 1
        if opcode == _END:
            return pos
        if opcode in _INTEGER_CONST:
            _, pos = read_signed(data, pos, end, where)
        elif opcode == _GLOBAL_GET:
            _, pos = read_u32(data, pos, end, where)
        elif opcode not in _INTEGER_ARITHMETIC:
            raise malformed(where, pos - 1, "a constant integer expression", f"opcode 0x{opcode:02x}")
    raise malformed(where, pos, "the end of a constant expression", "the end of the section")


def _read_count(data: Buffer, section: Section, where: str, limit: int) -> tuple[int, int]:
    count, pos = read_u32(data, section.body, section.end, where)
    if count > section.end - pos:
        expected = f"at most {section.end - pos} entries, one byte each,"
        raise malformed(where, section.body, expected, str(count))
    if count > limit:
        expected = f"at most {limit} function bodies and data segments"
        raise LimitError(where, expected, str(count), "raise the limit")
    return count, pos


def _check_end(pos: int, section: Section, where: str) -> None:
    if pos != section.end:
        found = f"{section.end - pos} bytes more"
        raise malformed(where, pos, f"the end of the {section.kind} section", found)

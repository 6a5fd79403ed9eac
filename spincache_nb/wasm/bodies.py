"""Where function bodies and data segments start and end inside their sections.

Sources: WebAssembly Core Specification, Binary Format, Modules (Code Section; Data Section),
Instructions (Expressions), and Validation (Constant Expressions).
"""

from __future__ import annotations

import re
from array import array
from typing import Final

from spincache_nb.errors import LimitError
from spincache_nb.wasm.faults import Buffer, malformed
from spincache_nb.wasm.leb128 import read_signed, read_u32
from spincache_nb.wasm.walker import Section

_END: Final = 0x0B
_GLOBAL_GET: Final = 0x23
_INTEGER_CONST: Final = frozenset({0x41, 0x42})  # i32.const, i64.const
_INTEGER_ARITHMETIC: Final = frozenset({0x6A, 0x6B, 0x6C, 0x7C, 0x7D, 0x7E})  # add, sub, mul

_ACTIVE: Final = 0
_PASSIVE: Final = 1
_ACTIVE_IN_MEMORY: Final = 2

# flags 0, i32.const, a signed integer, end: nearly every segment, and a snapshot has thousands
_USUAL_PLACEMENT: Final = re.compile(rb"\x00\x41[\x80-\xff]{0,9}[\x00-\x7f]\x0b")


def body_ends(data: Buffer, section: Section, *, where: str, limit: int) -> array[int]:
    """Find where the pieces of a code section end."""
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
    """Find where the pieces of a data section end."""
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
    """Read where in memory 0 a data segment goes."""
    if not _USUAL_PLACEMENT.match(data, pos, end):
        return None
    return read_signed(data, pos + 2, end, "data segment")[0]


def _skip_placement(data: Buffer, pos: int, end: int, where: str) -> int:
    """Step over what says where a data segment goes: flags, memory, offset expression."""
    flags, at = read_u32(data, pos, end, where)
    if flags == _ACTIVE:
        return _skip_offset(data, at, end, where)
    if flags == _PASSIVE:
        return at
    if flags == _ACTIVE_IN_MEMORY:
        _, at = read_u32(data, at, end, where)
        return _skip_offset(data, at, end, where)
    raise malformed(where, pos, "data segment flags 0, 1 or 2", str(flags))


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
        remedy = "raise the limit"
        raise LimitError(where, f"at most {limit} function bodies and data segments", str(count), remedy)
    return count, pos


def _check_end(pos: int, section: Section, where: str) -> None:
    if pos != section.end:
        found = f"{section.end - pos} bytes more"
        raise malformed(where, pos, f"the end of the {section.kind} section", found)

"""Integers and names, the two encodings that everything else in a WebAssembly binary is made of.

Source: WebAssembly Core Specification, Binary Format, Values (Integers; Names).
"""

from __future__ import annotations

from typing import Final, TypeAlias

from spincache_nb.errors import WasmFormatError

Buffer: TypeAlias = bytes | memoryview
"""What is read: bytes, or a memoryview of unsigned bytes. Never written to."""

LONGEST_NAME: Final = 4096
"""Bytes of a name that are decoded; of a longer one, the rest is left out."""

_U32_BYTES: Final = 5
_S64_BYTES: Final = 10


def malformed(where: str, offset: int, expected: str, found: str) -> WasmFormatError:
    """Build the error for bytes that the binary format does not allow."""
    remedy = "the binary is damaged or not WebAssembly"
    return WasmFormatError(where, f"{expected} at byte {offset}", found, remedy, offset=offset)


def read_u32(data: Buffer, pos: int, end: int, where: str) -> tuple[int, int]:
    """Read an unsigned 32-bit integer; give it and where it ends."""
    if pos < end and data[pos] < 0x80:  # most integers in a binary take one byte
        return data[pos], pos + 1
    value = shift = 0
    for at in range(pos, min(pos + _U32_BYTES, end)):
        byte = data[at]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value > 0xFFFF_FFFF:
                raise malformed(where, pos, "a LEB128 integer below 2**32", str(value))
            return value, at + 1
        shift += 7
    raise _unended(pos, end, where, _U32_BYTES)


def read_signed(data: Buffer, pos: int, end: int, where: str) -> tuple[int, int]:
    """Read a signed integer of up to 64 bits; give it and where it ends."""
    value = shift = 0
    for at in range(pos, min(pos + _S64_BYTES, end)):
        byte = data[at]
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return (value - (1 << shift) if byte & 0x40 else value), at + 1
    raise _unended(pos, end, where, _S64_BYTES)


def _unended(pos: int, end: int, where: str, most: int) -> WasmFormatError:
    if pos + most <= end:
        return malformed(where, pos, f"a LEB128 integer of at most {most} bytes", "a longer one")
    return malformed(where, pos, "a LEB128 integer", "the end of what holds it")


def read_name(data: Buffer, pos: int, end: int, where: str) -> tuple[str, int]:
    """Read a name, a length and that many bytes of UTF-8; give it and where it ends."""
    start, stop = _name_span(data, pos, end, where)
    if stop - start <= LONGEST_NAME:
        return bytes(data[start:stop]).decode("utf-8", "backslashreplace"), stop
    cut = start + LONGEST_NAME
    while data[cut] & 0xC0 == 0x80 and cut > start + LONGEST_NAME - 3:  # not in the middle of a character
        cut -= 1
    return bytes(data[start:cut]).decode("utf-8", "backslashreplace") + "…", stop


def skip_name(data: Buffer, pos: int, end: int, where: str) -> int:
    """Give where a name ends."""
    return _name_span(data, pos, end, where)[1]


def _name_span(data: Buffer, pos: int, end: int, where: str) -> tuple[int, int]:
    length, start = read_u32(data, pos, end, where)
    if length > end - start:
        raise malformed(where, pos, f"a name of at most {end - start} bytes", f"one of {length}")
    return start, start + length

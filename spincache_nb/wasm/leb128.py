"""LEB128 integers and names, the two encodings everything else in a binary is made of.

Source: WebAssembly Core Specification, Binary Format, Values (Integers; Names).
"""

from __future__ import annotations

from spincache_nb.wasm.faults import Buffer, malformed

_U32_BYTES = 5
_S64_BYTES = 10


def read_u32(data: Buffer, pos: int, end: int, where: str) -> tuple[int, int]:
    """Read an unsigned 32-bit LEB128 integer."""
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
    if pos + _U32_BYTES <= end:
        raise malformed(where, pos, "a LEB128 integer of at most 5 bytes", "a longer one")
    raise malformed(where, pos, "a LEB128 integer", "the end of what holds it")


def read_signed(data: Buffer, pos: int, end: int, where: str) -> tuple[int, int]:
    """Read a signed LEB128 integer of up to 64 bits."""
    value = shift = 0
    for at in range(pos, min(pos + _S64_BYTES, end)):
        byte = data[at]
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return (value - (1 << shift) if byte & 0x40 else value), at + 1
    if pos + _S64_BYTES <= end:
        raise malformed(where, pos, "a LEB128 integer of at most 10 bytes", "a longer one")
    raise malformed(where, pos, "a LEB128 integer", "the end of what holds it")


def read_name(data: Buffer, pos: int, end: int, where: str) -> tuple[str, int]:
    """Read a name: a length and that many bytes of UTF-8."""
    length, start = read_u32(data, pos, end, where)
    if length > end - start:
        raise malformed(where, pos, f"a name of at most {end - start} bytes", f"one of {length}")
    stop = start + length
    return bytes(data[start:stop]).decode("utf-8", "backslashreplace"), stop

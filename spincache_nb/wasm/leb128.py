"""LEB128 integers and names, the two encodings everything else in a binary is made of.

Source: WebAssembly Core Specification, Binary Format, Values (Integers; Names).
"""

from __future__ import annotations

from spincache_nb.wasm.faults import Buffer, malformed

_U32_BYTES = 5
_S64_BYTES = 10


def read_u32(data: Buffer, pos: int, end: int, where: str) -> tuple[int, int]:
    """Read an unsigned 32-bit LEB128 integer.

    Redundant trailing zero bits are allowed, as the specification says, within five bytes.

    Parameters
    ----------
    data
        The binary.
    pos
        Offset of the first byte.
    end
        Offset that reading must not reach: the end of the enclosing section or binary.
    where
        What to call the binary in an error.

    Returns
    -------
    tuple of int
        The value, and the offset of the byte after it.

    Raises
    ------
    WasmFormatError
        If the integer is cut off by `end`, longer than five bytes, or above 2**32 - 1.

    Examples
    --------
    >>> read_u32(bytes([0xE5, 0x8E, 0x26]), 0, 3, "demo")
    (624485, 3)
    """
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
    """Read a signed LEB128 integer of up to 64 bits.

    Parameters
    ----------
    data, pos, end, where
        As in `read_u32`.

    Returns
    -------
    tuple of int
        The value, and the offset of the byte after it.

    Raises
    ------
    WasmFormatError
        If the integer is cut off by `end` or longer than ten bytes.

    Examples
    --------
    >>> read_signed(bytes([0xC0, 0xBB, 0x78, 0x0B]), 0, 4, "demo")
    (-123456, 3)
    """
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
    """Read a name: a length and that many bytes of UTF-8.

    Parameters
    ----------
    data, pos, end, where
        As in `read_u32`.

    Returns
    -------
    tuple of (str, int)
        The name, bytes that are not UTF-8 written as backslash escapes, and the offset after it.

    Raises
    ------
    WasmFormatError
        If the length is malformed or reaches past `end`.

    Examples
    --------
    >>> read_name(b"\\x04name", 0, 5, "demo")
    ('name', 5)
    """
    length, start = read_u32(data, pos, end, where)
    if length > end - start:
        raise malformed(where, pos, f"a name of at most {end - start} bytes", f"one of {length}")
    stop = start + length
    return bytes(data[start:stop]).decode("utf-8", "backslashreplace"), stop

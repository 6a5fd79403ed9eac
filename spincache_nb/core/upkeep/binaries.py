"""Telling a whole WebAssembly binary from a broken one by its sections' lengths alone."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from spincache_nb.core.cache import open_regular
from spincache_nb.errors import SpinCacheError

_LAST_SECTION = {b"\0asm\x01\x00\x00\x00": 13, b"\0asm\x0d\x00\x01\x00": 12}
"""Highest section id of a core module, and of a component."""
_HEADER_BYTES = 8
_LONGEST_SIZE = 5


def is_whole_binary(path: Path) -> bool:
    """Whether a file is a WebAssembly module or component whose sections fill it to the last byte.

    Parameters
    ----------
    path
        A file; that it cannot be read makes it none.

    Notes
    -----
    Only the sections' ids and lengths are read (WebAssembly core specification, binary format; component
    model, binary format), so that a truncated file is found out and a flipped bit in a section is not.
    """
    try:
        with open_regular(path) as stream:
            return _is_whole(stream)
    except (SpinCacheError, OSError):
        return False


def _is_whole(stream: BinaryIO) -> bool:
    end = stream.seek(0, 2)
    stream.seek(0)
    last = _LAST_SECTION.get(stream.read(_HEADER_BYTES))
    position = _HEADER_BYTES
    while last is not None and position < end:
        stream.seek(position)
        head = stream.read(1 + _LONGEST_SIZE)
        length, used = _leb128(head[1:])
        if head[0] > last or not used:
            return False
        position += 1 + used + length
    return last is not None and position == end


def _leb128(data: bytes) -> tuple[int, int]:
    """An unsigned LEB128 number and how many bytes it takes; 0 bytes if it is none.

    Examples
    --------
    >>> _leb128(bytes([0xE5, 0x8E, 0x26, 0xFF])), _leb128(bytes([0x80]))
    ((624485, 3), (0, 0))
    """
    value = 0
    for place, byte in enumerate(data):
        value |= (byte & 0x7F) << (7 * place)
        if not byte & 0x80:
            return value, place + 1
    return 0, 0

"""Telling a whole WebAssembly binary from a broken one by its sections' lengths alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from spincache_nb.core.files import open_regular
from spincache_nb.errors import SpinCacheError

_MODULE, _COMPONENT = b"\0asm\x01\x00\x00\x00", b"\0asm\x0d\x00\x01\x00"
_LAST_SECTION = {_MODULE: 13, _COMPONENT: 12}
"""Highest section id of a core module, and of a component."""
_CODE = 10
"""Id of the section of a core module that holds its functions' bodies."""
_NESTED = (1, 4)
"""Ids of the sections of a component that are core modules and components themselves."""
_HEADER_BYTES = 8
_LONGEST_SIZE = 5


class _BrokenError(Exception):
    """It is no binary, or not a whole one."""


class _Section(NamedTuple):
    """A section: what it is a section of (the header), its id, and where its content is."""

    header: bytes
    id: int
    start: int
    end: int


def is_whole_binary(path: Path) -> bool:
    """Whether a file is a WebAssembly module or component whose sections fill it to the last byte."""
    try:
        with open_regular(path) as stream:
            for _ in _sections(stream, 0, stream.seek(0, 2)):
                pass
    except (SpinCacheError, OSError, _BrokenError):
        return False
    return True


def is_interface(path: Path) -> bool:
    """Whether a file is a whole component without any code, which is what WIT packages are encoded as."""
    try:
        with open_regular(path) as stream:
            waiting = [(0, stream.seek(0, 2))]
            while waiting:
                for section in _sections(stream, *waiting.pop()):
                    if section.header == _MODULE and section.id == _CODE:
                        return False
                    if section.header == _COMPONENT and section.id in _NESTED:
                        waiting.append((section.start, section.end))
            stream.seek(0)
            return stream.read(_HEADER_BYTES) == _COMPONENT
    except (SpinCacheError, OSError, _BrokenError):
        return False


def _sections(stream: BinaryIO, start: int, end: int) -> Iterator[_Section]:
    """Go through the sections of the binary between two places of a file; raise if it is not whole."""
    stream.seek(start)
    header = stream.read(_HEADER_BYTES)
    last = _LAST_SECTION.get(header)
    position = start + _HEADER_BYTES
    while last is not None and position < end:
        stream.seek(position)
        head = stream.read(1 + _LONGEST_SIZE)
        length, used = _leb128(head[1:])
        if head[0] > last or not used:
            raise _BrokenError
        position += 1 + used
        yield _Section(header, head[0], position, position + length)
        position += length
    if last is None or position != end:
        raise _BrokenError


def _leb128(data: bytes) -> tuple[int, int]:
    """An unsigned LEB128 number and how many bytes it takes; 0 bytes if it is none."""
    value = 0
    for place, byte in enumerate(data):
        value |= (byte & 0x7F) << (7 * place)
        if not byte & 0x80:
            return value, place + 1
    return 0, 0

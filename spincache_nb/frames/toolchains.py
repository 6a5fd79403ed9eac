"""Languages and tools that made stored WebAssembly binaries, as text for the cells of a frame.

Read from the producers sections (WebAssembly tool conventions, ProducersSection.md). Only section
headers and those sections are read, a page at a time: not by a memory map, since a program that
truncates a mapped file ends the process that reads it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple, cast, overload

from spincache_nb.core.files import open_regular
from spincache_nb.errors import LimitError, SpinCacheError, printable
from spincache_nb.wasm import Limits, Producers, Tool, producers_of, walk

_PAGE_BYTES: Final = 4096
_LONGEST_NAME: Final = 64 << 10
_MOST_PRODUCERS: Final = 1 << 20
_MOST_NAMED: Final = 20
_LIMITS: Final = Limits(sections=20_000)
"""Compilers and composers emit hundreds; what has more is not worth a listing's time."""


class Made(NamedTuple):
    """What a binary says about how it was made, each missing if it says nothing."""

    languages: str | None = None
    toolchains: str | None = None


class Pages:
    """A file as the walker reads bytes: by index and by slice, one page in memory."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._size = os.fstat(stream.fileno()).st_size
        self._page = b""
        self._start = 0

    def __len__(self) -> int:
        return self._size

    @overload
    def __getitem__(self, at: int) -> int: ...
    @overload
    def __getitem__(self, at: slice) -> bytes: ...

    def __getitem__(self, at: int | slice) -> int | bytes:
        if isinstance(at, slice):
            start, stop, _ = at.indices(self._size)
            return self._slice(start, stop)
        place = at - self._start
        if not 0 <= place < len(self._page):
            self._start = at - at % _PAGE_BYTES
            self._page = self._read(self._start, _PAGE_BYTES)
            place = at - self._start
        return self._page[place]

    def _slice(self, start: int, stop: int) -> bytes:
        if stop - start > _LONGEST_NAME:
            raise LimitError("a name", f"at most {_LONGEST_NAME} bytes", f"{stop - start}", "leave it out")
        place = start - self._start
        if 0 <= place <= place + stop - start <= len(self._page):
            return self._page[place : place + stop - start]
        return self._read(start, max(0, stop - start))

    def _read(self, start: int, size: int) -> bytes:
        self._stream.seek(start)
        return self._stream.read(size)


def how_made(path: Path) -> Made:
    """Say how a stored binary was made."""
    try:
        with open_regular(path) as stream:
            return _made(_producers(Pages(stream)))
    except (SpinCacheError, OSError, IndexError):  # the last: it became shorter meanwhile
        return Made()


def _producers(pages: Pages) -> Producers:
    data = cast(memoryview, pages)  # has all that the walker asks of one
    walked = walk(data, limits=_LIMITS)
    size = sum(section.end - section.body for section in walked.sections if section.name == "producers")
    return producers_of(data, walked) if size <= _MOST_PRODUCERS else Producers()


def _made(producers: Producers) -> Made:
    return Made(_joined(producers.languages), _joined(producers.toolchains))


def _joined(tools: Iterable[Tool]) -> str | None:
    """Put names together; text from outside is escaped and cut, and holds no comma."""
    names = {printable(str(tool)).replace(",", ";").strip() for tool in tools} - {""}
    listed = sorted(names, key=lambda name: (name.casefold(), name))
    if len(listed) > _MOST_NAMED:
        listed[_MOST_NAMED:] = [f"and {len(listed) - _MOST_NAMED} more"]
    return ", ".join(listed) or None

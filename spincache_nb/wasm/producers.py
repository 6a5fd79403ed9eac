"""Languages and tools that made a binary, from its producers sections.

Source: WebAssembly tool conventions, ProducersSection.md. Field names known there: ``language``,
``processed-by`` and ``sdk``. Tools write the section into each nested module; here they are put
together for the whole binary.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from spincache_nb.errors import WasmFormatError
from spincache_nb.wasm.faults import DEFAULT_WHERE, Buffer
from spincache_nb.wasm.leb128 import read_name, read_u32
from spincache_nb.wasm.sections import CUSTOM, DEFAULT_LIMITS, Limits
from spincache_nb.wasm.walker import Section, Walk, walk

_MOST_ENTRIES: Final = 1000


class Tool(NamedTuple):
    """A language or tool with its version, which may be empty."""

    name: str
    version: str

    def __str__(self) -> str:
        return f"{self.name} {self.version}".rstrip()


@dataclass(frozen=True)
class Producers:
    """Who made a binary and everything nested in it; each entry once, in the order of first mention."""

    languages: tuple[Tool, ...] = ()
    processed_by: tuple[Tool, ...] = ()
    sdks: tuple[Tool, ...] = ()

    @property
    def toolchains(self) -> tuple[Tool, ...]:
        """Kits first, then the tools."""
        return self.sdks + self.processed_by


def read_producers(data: Buffer, *, where: str = DEFAULT_WHERE, limits: Limits = DEFAULT_LIMITS) -> Producers:
    """Read the producers sections of a binary and of everything nested in it."""
    return producers_of(data, walk(data, where=where, limits=limits))


def producers_of(data: Buffer, walked: Walk) -> Producers:
    """Read the producers sections of a binary that was walked already; see `read_producers`."""
    found: dict[str, dict[Tool, None]] = {"language": {}, "processed-by": {}, "sdk": {}}
    for section in walked.sections:
        if section.id == CUSTOM and section.name == "producers":
            try:
                for kind, tool in _entries(data, section):
                    if kind in found and len(found[kind]) < _MOST_ENTRIES:
                        found[kind][tool] = None
            except WasmFormatError:
                continue
    languages, processed_by, sdks = (tuple(tools) for tools in found.values())
    return Producers(languages, processed_by, sdks)


def _entries(data: Buffer, section: Section) -> Iterator[tuple[str, Tool]]:
    where, end = "producers section", section.end
    _, pos = read_name(data, section.body, end, where)
    fields, pos = read_u32(data, pos, end, where)
    for _ in range(fields):
        kind, pos = read_name(data, pos, end, where)
        values, pos = read_u32(data, pos, end, where)
        for _ in range(values):
            name, pos = read_name(data, pos, end, where)
            version, pos = read_name(data, pos, end, where)
            yield kind, Tool(name, version)

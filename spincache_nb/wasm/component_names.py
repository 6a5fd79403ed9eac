"""Names that a component gives the core modules and components nested in it.

Source: Component Model, design/mvp/Binary.md (Index Spaces, Alias Definitions, Import and Export
Definitions, Name Section).

A name belongs to an index, and imports, aliases and exports take indices as well as definitions do.
So those three kinds of section are read too. As with every custom section, a malformed one is
ignored: the names read so far are returned.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, TypeAlias

from spincache_nb.errors import WasmFormatError
from spincache_nb.wasm.faults import Buffer, malformed
from spincache_nb.wasm.leb128 import read_name, read_signed, read_u32
from spincache_nb.wasm.names import name_map, subsections
from spincache_nb.wasm.sections import (
    COMPONENT_ALIAS,
    COMPONENT_COMPONENT,
    COMPONENT_EXPORT,
    COMPONENT_IMPORT,
    COMPONENT_MODULE,
    CUSTOM,
)
from spincache_nb.wasm.walker import Section, Walk

Sort: TypeAlias = tuple[int, int]
"""A component sort, or ``(0, core sort)``."""

_CORE_MODULE: Final[Sort] = (0x00, 0x11)
_COMPONENT: Final[Sort] = (0x04, 0x00)
_SORT_NAMES: Final = 1
_WHERE: Final = "component"


def read_nested_names(data: Buffer, walked: Walk, binary: int) -> dict[int, str]:
    """Read what a component calls the modules and components nested in it."""
    sections = walked.by_binary[binary]
    names = next((s for s in sections if s.id == CUSTOM and s.name == "component-name"), None)
    if names is None:
        return {}
    found: dict[int, str] = {}
    try:
        positions = _definitions(data, sections)
        for sort, index, name in _sort_names(data, names, walked.limits.pieces):
            if (sort, index) in positions:
                found[positions[sort, index]] = name
    except WasmFormatError:
        pass
    return found


def _definitions(data: Buffer, sections: tuple[Section, ...]) -> dict[tuple[Sort, int], int]:
    """Map sort and index to the nested binary that is defined under them."""
    taken = {_CORE_MODULE: 0, _COMPONENT: 0}
    found: dict[tuple[Sort, int], int] = {}
    for section in sections:
        if section.id in (COMPONENT_MODULE, COMPONENT_COMPONENT):
            sort = _CORE_MODULE if section.id == COMPONENT_MODULE else _COMPONENT
            found[sort, taken[sort]] = section.nested
            taken[sort] += 1
        elif section.id in _READERS:
            for sort in _entries(data, section):
                if sort in taken:
                    taken[sort] += 1
    return found


def _sort_names(data: Buffer, section: Section, limit: int) -> Iterator[tuple[Sort, int, str]]:
    for kind, start, end in subsections(data, section):
        if kind == _SORT_NAMES:
            sort, pos = _read_sort(data, start, end)
            for index, name in name_map(data, pos, end, limit):
                yield sort, index, name


def _entries(data: Buffer, section: Section) -> Iterator[Sort]:
    """Yield the sort of each index that an import, alias or export section takes."""
    read = _READERS[section.id]
    count, pos = read_u32(data, section.body, section.end, _WHERE)
    for _ in range(count):
        sort, pos = read(data, pos, section.end)
        yield sort


def _read_sort(data: Buffer, pos: int, end: int) -> tuple[Sort, int]:
    first, pos = read_u32(data, pos, end, _WHERE)
    if first != 0:
        return (first, 0), pos
    core, pos = read_u32(data, pos, end, _WHERE)
    return (0, core), pos


def _read_alias(data: Buffer, pos: int, end: int) -> tuple[Sort, int]:
    sort, pos = _read_sort(data, pos, end)
    target, pos = read_u32(data, pos, end, _WHERE)
    _, pos = read_u32(data, pos, end, _WHERE)
    if target in (0x00, 0x01):  # an export of an instance, of a core instance
        return sort, read_name(data, pos, end, _WHERE)[1]
    if target == 0x02:  # an outer definition: count, then index
        return sort, read_u32(data, pos, end, _WHERE)[1]
    raise malformed(_WHERE, pos, "an alias target from 0 to 2", str(target))


def _read_extern_name(data: Buffer, pos: int, end: int) -> int:
    form, pos = read_u32(data, pos, end, _WHERE)
    _, pos = read_name(data, pos, end, _WHERE)
    if form == 0x02:  # followed by a version suffix
        _, pos = read_name(data, pos, end, _WHERE)
    elif form > 0x02:
        raise malformed(_WHERE, pos, "a name of form 0 to 2", str(form))
    return pos


def _read_extern_type(data: Buffer, pos: int, end: int) -> tuple[Sort, int]:
    sort, pos = _read_sort(data, pos, end)
    if sort[0] not in (0x02, 0x03):  # a type index follows
        return sort, read_u32(data, pos, end, _WHERE)[1]
    bound, pos = read_u32(data, pos, end, _WHERE)
    if bound == 0x00:  # equal to an index
        return sort, read_u32(data, pos, end, _WHERE)[1]
    return sort, read_signed(data, pos, end, _WHERE)[1] if sort[0] == 0x02 else pos


def _read_import(data: Buffer, pos: int, end: int) -> tuple[Sort, int]:
    return _read_extern_type(data, _read_extern_name(data, pos, end), end)


def _read_export(data: Buffer, pos: int, end: int) -> tuple[Sort, int]:
    sort, pos = _read_sort(data, _read_extern_name(data, pos, end), end)
    _, pos = read_u32(data, pos, end, _WHERE)
    ascribed, pos = read_u32(data, pos, end, _WHERE)
    if ascribed:
        _, pos = _read_extern_type(data, pos, end)
    return sort, pos


_READERS: Final = {
    COMPONENT_ALIAS: _read_alias,
    COMPONENT_IMPORT: _read_import,
    COMPONENT_EXPORT: _read_export,
}

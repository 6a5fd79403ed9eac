"""What custom sections say: names of modules and functions, names of what is nested, languages and tools.

Sources: WebAssembly Core Specification, Appendix: Custom Sections (Name Section), and Binary Format,
Modules (Import Section); Component Model, design/mvp/Binary.md (Index Spaces, Alias Definitions, Import
and Export Definitions, Name Section); WebAssembly tool conventions, ProducersSection.md.

The specification tells implementations to ignore a malformed custom section. So these functions
return what they could read and never raise for one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple, TypeAlias

from spincache_nb.errors import WasmFormatError
from spincache_nb.wasm.encoding import Buffer, malformed, read_name, read_signed, read_u32, skip_name
from spincache_nb.wasm.walker import (
    COMPONENT_ALIAS,
    COMPONENT_COMPONENT,
    COMPONENT_EXPORT,
    COMPONENT_IMPORT,
    COMPONENT_MODULE,
    CORE_IMPORT,
    CUSTOM,
    Section,
    Walk,
    walk,
)

_MODULE_NAME, _FUNCTION_NAMES = 0, 1
_SORT_NAMES: Final = 1

_FUNCTION, _TABLE, _MEMORY, _GLOBAL, _TAG = range(5)
_TYPED_REFERENCES: Final = frozenset({0x63, 0x64})  # (ref null ht), (ref ht)
_HAS_MAXIMUM: Final = 0x01
_HAS_PAGE_SIZE: Final = 0x08


@dataclass(frozen=True)
class ModuleNames:
    """What a core module calls itself and its functions; imported functions have the lowest indices."""

    module: str = ""
    functions: dict[int, str] = field(default_factory=dict)
    imported: int = 0

    def function(self, body: int) -> str:
        """Name the function behind a body in the code section."""
        index = self.imported + body
        return self.functions.get(index) or f"func[{index}]"


def read_names(data: Buffer, walked: Walk, binary: int) -> ModuleNames:
    """Read the names of a core module, given by its number, and of its functions."""
    imports = next((s for s in walked.by_binary[binary] if s.id == CORE_IMPORT), None)
    imported = _imported_functions(data, imports) if imports else 0
    if imported is None:
        return ModuleNames()
    functions: dict[int, str] = {}
    with contextlib.suppress(WasmFormatError):
        for start, end in _name_subsections(data, walked, binary, _FUNCTION_NAMES):
            for index, name in _name_map(data, start, end, walked.limits.pieces):
                functions[index] = name
    return ModuleNames(read_module_name(data, walked, binary), functions, imported)


def read_module_name(data: Buffer, walked: Walk, binary: int) -> str:
    """Read what a core module calls itself; empty if it does not."""
    with contextlib.suppress(WasmFormatError):
        for start, end in _name_subsections(data, walked, binary, _MODULE_NAME):
            return read_name(data, start, end, walked.where)[0]
    return ""


def _name_subsections(data: Buffer, walked: Walk, binary: int, wanted: int) -> Iterator[tuple[int, int]]:
    for section in walked.by_binary[binary]:
        if section.id == CUSTOM and section.name == "name":
            yield from ((start, end) for kind, start, end in _subsections(data, section) if kind == wanted)


def _subsections(data: Buffer, section: Section) -> Iterator[tuple[int, int, int]]:
    """Yield the subsections of a name section: id, offset of the first byte, offset of the end."""
    pos = skip_name(data, section.body, section.end, "name section")
    while pos < section.end:
        kind = data[pos]
        size, start = read_u32(data, pos + 1, section.end, "name section")
        pos = start + size
        if pos > section.end:
            raise malformed("name section", start, "a subsection that fits", f"a size of {size}")
        yield kind, start, pos


def _name_map(data: Buffer, pos: int, end: int, limit: int) -> Iterator[tuple[int, str]]:
    """Yield the entries of a name map: index and name, `limit` of them at most."""
    count, pos = read_u32(data, pos, end, "name map")
    for _ in range(min(count, limit)):
        index, pos = read_u32(data, pos, end, "name map")
        name, pos = read_name(data, pos, end, "name map")
        yield index, name


def _imported_functions(data: Buffer, section: Section) -> int | None:
    """Count the imported functions; None if an import is of a form not known here."""
    functions, end, where = 0, section.end, "import section"
    try:
        count, pos = read_u32(data, section.body, end, where)
        for _ in range(count):
            pos = skip_name(data, skip_name(data, pos, end, where), end, where)
            kind, pos = read_u32(data, pos, end, where)
            functions += kind == _FUNCTION
            pos = _skip_import_type(data, kind, pos, end, where)
    except WasmFormatError:
        return None
    return functions


def _skip_import_type(data: Buffer, kind: int, pos: int, end: int, where: str) -> int:
    if kind == _FUNCTION:
        return read_u32(data, pos, end, where)[1]
    if kind == _TABLE:
        return _skip_limits(data, _skip_value_type(data, pos, end, where), end, where)
    if kind == _MEMORY:
        return _skip_limits(data, pos, end, where)
    if kind == _GLOBAL:
        return _skip_value_type(data, pos, end, where) + 1
    if kind == _TAG:
        return read_u32(data, pos + 1, end, where)[1]
    raise malformed(where, pos, "a kind of import from 0 to 4", str(kind))


def _skip_value_type(data: Buffer, pos: int, end: int, where: str) -> int:
    opcode, after = read_u32(data, pos, end, where)
    return read_signed(data, after, end, where)[1] if opcode in _TYPED_REFERENCES else after


def _skip_limits(data: Buffer, pos: int, end: int, where: str) -> int:
    flags, pos = read_u32(data, pos, end, where)
    for present in (True, flags & _HAS_MAXIMUM, flags & _HAS_PAGE_SIZE):
        if present:
            _, pos = read_signed(data, pos, end, where)
    return pos


_Sort: TypeAlias = tuple[int, int]
"""A component sort, or ``(0, core sort)``."""

_CORE_MODULE: Final[_Sort] = (0x00, 0x11)
_COMPONENT: Final[_Sort] = (0x04, 0x00)
_WHERE: Final = "component"


def read_nested_names(data: Buffer, walked: Walk, binary: int) -> dict[int, str]:
    """Read what a component calls the modules and components nested in it, by their number."""
    sections = walked.by_binary[binary]
    names = next((s for s in sections if s.id == CUSTOM and s.name == "component-name"), None)
    found: dict[int, str] = {}
    if names is not None:
        with contextlib.suppress(WasmFormatError):
            positions = _definitions(data, sections)
            for sort, index, name in _sort_names(data, names, walked.limits.pieces):
                if (sort, index) in positions:
                    found[positions[sort, index]] = name
    return found


def _definitions(data: Buffer, sections: tuple[Section, ...]) -> dict[tuple[_Sort, int], int]:
    """Map sort and index to the nested binary under them; imports, aliases and exports take indices too."""
    taken = {_CORE_MODULE: 0, _COMPONENT: 0}
    found: dict[tuple[_Sort, int], int] = {}
    for section in sections:
        if section.id in (COMPONENT_MODULE, COMPONENT_COMPONENT):
            sort = _CORE_MODULE if section.id == COMPONENT_MODULE else _COMPONENT
            found[sort, taken[sort]] = section.nested
            taken[sort] += 1
        elif section.id in _READERS:
            count, pos = read_u32(data, section.body, section.end, _WHERE)
            for _ in range(count):
                sort, pos = _READERS[section.id](data, pos, section.end)
                if sort in taken:
                    taken[sort] += 1
    return found


def _sort_names(data: Buffer, section: Section, limit: int) -> Iterator[tuple[_Sort, int, str]]:
    for kind, start, end in _subsections(data, section):
        if kind == _SORT_NAMES:
            sort, pos = _read_sort(data, start, end)
            for index, name in _name_map(data, pos, end, limit):
                yield sort, index, name


def _read_sort(data: Buffer, pos: int, end: int) -> tuple[_Sort, int]:
    first, pos = read_u32(data, pos, end, _WHERE)
    if first != 0:
        return (first, 0), pos
    core, pos = read_u32(data, pos, end, _WHERE)
    return (0, core), pos


def _read_alias(data: Buffer, pos: int, end: int) -> tuple[_Sort, int]:
    sort, pos = _read_sort(data, pos, end)
    target, pos = read_u32(data, pos, end, _WHERE)
    _, pos = read_u32(data, pos, end, _WHERE)
    if target in (0x00, 0x01):  # an export of an instance, of a core instance
        return sort, skip_name(data, pos, end, _WHERE)
    if target == 0x02:  # an outer definition: count, then index
        return sort, read_u32(data, pos, end, _WHERE)[1]
    raise malformed(_WHERE, pos, "an alias target from 0 to 2", str(target))


def _skip_extern_name(data: Buffer, pos: int, end: int) -> int:
    form, pos = read_u32(data, pos, end, _WHERE)
    pos = skip_name(data, pos, end, _WHERE)
    if form > 0x02:
        raise malformed(_WHERE, pos, "a name of form 0 to 2", str(form))
    return skip_name(data, pos, end, _WHERE) if form == 0x02 else pos  # followed by a version suffix


def _read_extern_type(data: Buffer, pos: int, end: int) -> tuple[_Sort, int]:
    sort, pos = _read_sort(data, pos, end)
    if sort[0] not in (0x02, 0x03):  # a type index follows
        return sort, read_u32(data, pos, end, _WHERE)[1]
    bound, pos = read_u32(data, pos, end, _WHERE)
    if bound == 0x00:  # equal to an index
        return sort, read_u32(data, pos, end, _WHERE)[1]
    return sort, read_signed(data, pos, end, _WHERE)[1] if sort[0] == 0x02 else pos


def _read_import(data: Buffer, pos: int, end: int) -> tuple[_Sort, int]:
    return _read_extern_type(data, _skip_extern_name(data, pos, end), end)


def _read_export(data: Buffer, pos: int, end: int) -> tuple[_Sort, int]:
    sort, pos = _read_sort(data, _skip_extern_name(data, pos, end), end)
    _, pos = read_u32(data, pos, end, _WHERE)
    ascribed, pos = read_u32(data, pos, end, _WHERE)
    return sort, _read_extern_type(data, pos, end)[1] if ascribed else pos


_READERS: Final[dict[int, Callable[[Buffer, int, int], tuple[_Sort, int]]]] = {
    COMPONENT_ALIAS: _read_alias,
    COMPONENT_IMPORT: _read_import,
    COMPONENT_EXPORT: _read_export,
}

_MOST_ENTRIES: Final = 1000


class Tool(NamedTuple):
    """A language or tool with its version, which may be empty."""

    name: str
    version: str

    def __str__(self) -> str:
        return f"{self.name} {self.version}".rstrip()


@dataclass(frozen=True)
class Producers:
    """Who made a binary and everything nested in it: languages, compilers and other tools, development kits.

    Each entry stands once, in the order of first mention.
    """

    languages: tuple[Tool, ...] = ()
    processed_by: tuple[Tool, ...] = ()
    sdks: tuple[Tool, ...] = ()

    @property
    def toolchains(self) -> tuple[Tool, ...]:
        """Kits first, then the tools."""
        return self.sdks + self.processed_by


def read_producers(data: Buffer) -> Producers:
    """Read the producers sections of a binary and of everything nested in it."""
    return producers_of(data, walk(data))


def producers_of(data: Buffer, walked: Walk) -> Producers:
    """Read the producers sections of a binary that was walked already; only they and headers are read."""
    found: dict[str, dict[Tool, None]] = {"language": {}, "processed-by": {}, "sdk": {}}
    for section in walked.sections:
        if section.id == CUSTOM and section.name == "producers":
            with contextlib.suppress(WasmFormatError):
                for kind, tool in _entries(data, section):
                    if kind in found and len(found[kind]) < _MOST_ENTRIES:
                        found[kind][tool] = None
    return Producers(*(tuple(tools) for tools in found.values()))


def _entries(data: Buffer, section: Section) -> Iterator[tuple[str, Tool]]:
    where, end = "producers section", section.end
    pos = skip_name(data, section.body, end, where)
    fields, pos = read_u32(data, pos, end, where)
    for _ in range(fields):
        kind, pos = read_name(data, pos, end, where)
        values, pos = read_u32(data, pos, end, where)
        for _ in range(values):
            name, pos = read_name(data, pos, end, where)
            version, pos = read_name(data, pos, end, where)
            yield kind, Tool(name, version)

"""Names that a core module carries for itself and its functions, from its name section.

Sources: WebAssembly Core Specification, Appendix: Custom Sections (Name Section); Binary Format,
Modules (Import Section), Types.

The specification tells implementations to ignore a malformed custom section. So these functions
return what they could read and never raise for one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from spincache_nb.errors import WasmFormatError
from spincache_nb.wasm.faults import Buffer, malformed
from spincache_nb.wasm.leb128 import read_name, read_signed, read_u32
from spincache_nb.wasm.sections import CORE_IMPORT, CUSTOM
from spincache_nb.wasm.walker import Section, Walk

_MODULE_NAME: Final = 0
_FUNCTION_NAMES: Final = 1

_FUNCTION, _TABLE, _MEMORY, _GLOBAL, _TAG = range(5)
_TYPED_REFERENCES: Final = frozenset({0x63, 0x64})  # (ref null ht), (ref ht)
_HAS_MAXIMUM: Final = 0x01
_HAS_PAGE_SIZE: Final = 0x08


@dataclass(frozen=True)
class ModuleNames:
    """What a core module calls itself and its functions."""

    module: str = ""
    functions: dict[int, str] = field(default_factory=dict)
    imported: int = 0

    def function(self, body: int) -> str:
        """Name the function behind a body in the code section."""
        index = self.imported + body
        return self.functions.get(index) or f"func[{index}]"


def read_names(data: Buffer, walked: Walk, binary: int) -> ModuleNames:
    """Read the names of a core module and of its functions."""
    imports = next((s for s in walked.by_binary[binary] if s.id == CORE_IMPORT), None)
    imported = _imported_functions(data, imports) if imports else 0
    if imported is None:
        return ModuleNames()
    functions: dict[int, str] = {}
    with contextlib.suppress(WasmFormatError):
        for start, end in _name_subsections(data, walked, binary, _FUNCTION_NAMES):
            for index, name in name_map(data, start, end, walked.limits.pieces):
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
            yield from ((start, end) for kind, start, end in subsections(data, section) if kind == wanted)


def subsections(data: Buffer, section: Section) -> Iterator[tuple[int, int, int]]:
    """Yield the subsections of a name section: id, offset of the first byte, offset of the end."""
    _, pos = read_name(data, section.body, section.end, "name section")
    while pos < section.end:
        kind = data[pos]
        size, start = read_u32(data, pos + 1, section.end, "name section")
        pos = start + size
        if pos > section.end:
            raise malformed("name section", start, "a subsection that fits", f"a size of {size}")
        yield kind, start, pos


def name_map(data: Buffer, pos: int, end: int, limit: int) -> Iterator[tuple[int, str]]:
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
            _, pos = read_name(data, pos, end, where)
            _, pos = read_name(data, pos, end, where)
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

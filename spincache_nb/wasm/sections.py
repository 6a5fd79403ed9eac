"""Section ids, preambles and limits of core modules and components.

Sources: WebAssembly Core Specification, Binary Format, Modules (Sections); Component Model,
design/mvp/Binary.md (Component Definitions); WebAssembly JavaScript Interface, Implementation
Limitations, for the order of magnitude of the limits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from spincache_nb.wasm.faults import Buffer, malformed

Layer: TypeAlias = Literal["module", "component"]
"""The two kinds of binary: a core module, or a component."""

MAGIC: Final = b"\0asm"
PREAMBLE_BYTES: Final = 8
"""Magic (4), version (2) and layer (2); core modules read the last four as one version."""

_PREAMBLES: Final[dict[bytes, Layer]] = {
    MAGIC + b"\x01\x00\x00\x00": "module",
    MAGIC + b"\x0d\x00\x01\x00": "component",
}

CORE_SECTIONS: Final = (
    "custom", "type", "import", "function", "table", "memory", "global", "export",
    "start", "element", "code", "data", "data count", "tag",
)  # fmt: skip
"""Names of a core module's sections, by id."""

COMPONENT_SECTIONS: Final = (
    "custom", "core module", "core instance", "core type", "component", "instance", "alias",
    "type", "canon", "start", "import", "export", "value",
)  # fmt: skip
"""Names of a component's sections, by id."""

CUSTOM: Final = 0
CORE_IMPORT: Final = 2
CORE_CODE: Final = 10
CORE_DATA: Final = 11
COMPONENT_MODULE: Final = 1
COMPONENT_COMPONENT: Final = 4
COMPONENT_ALIAS: Final = 6
COMPONENT_IMPORT: Final = 10
COMPONENT_EXPORT: Final = 11

_SECTION_NAMES: Final[dict[Layer, tuple[str, ...]]] = {
    "module": CORE_SECTIONS,
    "component": COMPONENT_SECTIONS,
}
_NESTED: Final[dict[tuple[Layer, int], Layer]] = {
    ("component", COMPONENT_MODULE): "module",
    ("component", COMPONENT_COMPONENT): "component",
}


@dataclass(frozen=True)
class Limits:
    """How much structure one binary may have before the walker refuses it."""

    sections: int = 500_000
    pieces: int = 2_000_000


DEFAULT_LIMITS: Final = Limits()


def is_wasm(data: Buffer) -> bool:
    """Say whether bytes claim to be WebAssembly, by the magic at their start."""
    return bytes(data[: len(MAGIC)]) == MAGIC


def read_preamble(data: Buffer, pos: int, end: int, where: str) -> Layer:
    """Read the eight bytes that every module and component starts with."""
    head = bytes(data[pos : min(pos + PREAMBLE_BYTES, end)])
    layer = _PREAMBLES.get(head)
    if layer is None:
        expected = "the preamble of a core module (version 1) or component (version 13)"
        raise malformed(where, pos, expected, head.hex(" ") or "nothing")
    return layer


def section_name(layer: Layer, section_id: int) -> str:
    """Name a section by the kind of binary it is in and its id."""
    return _SECTION_NAMES[layer][section_id]


def section_count(layer: Layer) -> int:
    """Give the number of section ids that a kind of binary has; ids start at 0."""
    return len(_SECTION_NAMES[layer])


def nested_layer(layer: Layer, section_id: int) -> Layer | None:
    """Say what kind of binary a section holds, if it holds one."""
    return _NESTED.get((layer, section_id))

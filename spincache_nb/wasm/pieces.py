"""Cut a binary into pieces at a chosen grain, so that every byte is in exactly one piece.

What lies between two pieces (preambles, a section's id and size in front of a nested module, the
count at the start of a code section) is a piece as well.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from typing import Final, Literal, TypeAlias

from spincache_nb.wasm.bodies import body_ends, segment_ends
from spincache_nb.wasm.faults import Buffer
from spincache_nb.wasm.sections import CORE_CODE, CORE_DATA, PREAMBLE_BYTES
from spincache_nb.wasm.walker import Section, Walk

WasmGrain: TypeAlias = Literal["blob", "section", "module", "nested section", "function", "data segment"]

WASM_GRAINS: Final[tuple[WasmGrain, ...]] = (
    "blob", "section", "module", "nested section", "function", "data segment",
)  # fmt: skip
"""From the whole input to the finest. Each cuts wherever the one before it does."""


def cuts(data: Buffer, walked: Walk, grain: WasmGrain) -> array[int]:
    """Give the offsets at which a binary is cut."""
    found = array("Q", [0])
    if grain != "blob":
        found.append(PREAMBLE_BYTES)
        for section in walked.sections:
            if _is_split(walked, section, grain):
                _cut_section(data, walked, section, grain, found)
    if found[-1] != walked.size:
        found.append(walked.size)
    return found


def _is_split(walked: Walk, section: Section, grain: WasmGrain) -> bool:
    """Say whether a section is a piece (or several) at a grain, rather than part of one."""
    return section.binary == 0 or (grain != "section" and _is_opened(walked, section.binary, grain))


def _is_opened(walked: Walk, binary: int, grain: WasmGrain) -> bool:
    """Say whether a nested module or component is cut into its sections at a grain."""
    return grain != "module" or walked.binaries[binary].layer == "component"


def _cut_section(data: Buffer, walked: Walk, section: Section, grain: WasmGrain, found: array[int]) -> None:
    if section.nested >= 0 and grain != "section":
        found.append(section.body)
        if _is_opened(walked, section.nested, grain):
            found.append(section.body + PREAMBLE_BYTES)
            return  # the sections that follow reach the end of this one
    elif split := _splitter(walked, section, grain):
        limit = walked.limits.pieces - len(found)
        found.extend(split(data, section, where=walked.where, limit=limit))
    if found[-1] < section.end:
        found.append(section.end)


def _splitter(walked: Walk, section: Section, grain: WasmGrain) -> Callable[..., array[int]] | None:
    if walked.binaries[section.binary].layer != "module":
        return None
    if section.id == CORE_CODE and grain in ("function", "data segment"):
        return body_ends
    if section.id == CORE_DATA and grain == "data segment":
        return segment_ends
    return None

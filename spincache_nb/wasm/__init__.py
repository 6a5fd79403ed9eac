"""A walker of WebAssembly binaries: core modules and components. Pure: bytes in, values out.

`walk` finds every module, component and section; `cuts` splits a binary into pieces at a chosen
grain, every byte in exactly one piece; `read_names`, `read_nested_names` and `read_producers` read
the custom sections that say what a piece is called and who made it.
"""

from __future__ import annotations

from spincache_nb.wasm.encoding import Buffer
from spincache_nb.wasm.naming import (
    ModuleNames,
    Producers,
    Tool,
    producers_of,
    read_module_name,
    read_names,
    read_nested_names,
    read_producers,
)
from spincache_nb.wasm.walker import (
    PREAMBLE_BYTES,
    WASM_GRAINS,
    Binary,
    Limits,
    Section,
    Walk,
    WasmGrain,
    body_ends,
    cuts,
    is_wasm,
    segment_address,
    segment_ends,
    walk,
)

__all__ = [
    "PREAMBLE_BYTES",
    "WASM_GRAINS",
    "Binary",
    "Buffer",
    "Limits",
    "ModuleNames",
    "Producers",
    "Section",
    "Tool",
    "Walk",
    "WasmGrain",
    "body_ends",
    "cuts",
    "is_wasm",
    "producers_of",
    "read_module_name",
    "read_names",
    "read_nested_names",
    "read_producers",
    "segment_address",
    "segment_ends",
    "walk",
]

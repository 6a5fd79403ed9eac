"""A walker of WebAssembly binaries: core modules and components. Pure: bytes in, values out.

`walk` finds every module, component and section; `cuts` splits a binary into pieces at a chosen
grain, every byte in exactly one piece; `read_names`, `read_nested_names` and `read_producers` read
the custom sections that say what a piece is called and who made it.
"""

from __future__ import annotations

from spincache_nb.wasm.bodies import body_ends, segment_address, segment_ends
from spincache_nb.wasm.component_names import read_nested_names
from spincache_nb.wasm.faults import Buffer
from spincache_nb.wasm.names import ModuleNames, read_module_name, read_names
from spincache_nb.wasm.pieces import WASM_GRAINS, WasmGrain, cuts
from spincache_nb.wasm.producers import Producers, Tool, producers_of, read_producers
from spincache_nb.wasm.sections import Layer, Limits, is_wasm
from spincache_nb.wasm.walker import Binary, Section, Walk, walk

__all__ = [
    "WASM_GRAINS",
    "Binary",
    "Buffer",
    "Layer",
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

"""A walker of WebAssembly binaries: core modules and components. Pure: bytes in, values out.

`walk` finds every module, component and section; `cuts` splits a binary into pieces at a chosen
grain, every byte in exactly one piece; `read_names`, `read_nested_names` and `read_producers` read
the custom sections that say what a piece is called and who made it.
"""

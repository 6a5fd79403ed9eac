"""How the walker reports a malformed binary: always with the offset of the fault."""

from __future__ import annotations

from typing import Final, TypeAlias

from spincache_nb.errors import WasmFormatError

Buffer: TypeAlias = bytes | memoryview
"""What the walker reads: bytes, or a memoryview of unsigned bytes. Never written to."""

DEFAULT_WHERE: Final = "WebAssembly binary"


def malformed(where: str, offset: int, expected: str, found: str) -> WasmFormatError:
    """Build the error for bytes that the binary format does not allow.

    Parameters
    ----------
    where
        What to call the binary: a path, or a digest.
    offset
        Offset of the fault, in bytes from the start of the binary.
    expected, found
        What the format asks for at that place, and what is there.

    Returns
    -------
    WasmFormatError
        Ready to raise. Its text names the offset too.

    Examples
    --------
    >>> print(malformed("app.wasm", 9, "a section id below 14", "77"))
    app.wasm: expected a section id below 14 at byte 9, got 77; the binary is damaged or not WebAssembly
    """
    return WasmFormatError(
        where,
        f"{expected} at byte {offset}",
        found,
        "the binary is damaged or not WebAssembly",
        offset=offset,
    )

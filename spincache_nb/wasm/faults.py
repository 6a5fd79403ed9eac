"""How the walker reports a malformed binary: always with the offset of the fault."""

from __future__ import annotations

from typing import Final, TypeAlias

from spincache_nb.errors import WasmFormatError

Buffer: TypeAlias = bytes | memoryview
"""What the walker reads: bytes, or a memoryview of unsigned bytes. Never written to."""

DEFAULT_WHERE: Final = "WebAssembly binary"


def malformed(where: str, offset: int, expected: str, found: str) -> WasmFormatError:
    """Build the error for bytes that the binary format does not allow."""
    return WasmFormatError(
        where,
        f"{expected} at byte {offset}",
        found,
        "the binary is damaged or not WebAssembly",
        offset=offset,
    )

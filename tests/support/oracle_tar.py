"""A small reader of tar+gzip, written from POSIX's ustar and pax descriptions, for the oracle alone.

It is deliberately no user of ``tarfile``, which the package under test may use.
"""

import zlib
from collections.abc import Iterator

BLOCK = 512


def regular_files(archive: bytes) -> dict[str, bytes]:
    """Return path to content of the regular files that unpacking an archive leaves on disk."""
    inflated = zlib.decompressobj(wbits=31).decompress(archive)
    found: dict[str, bytes] = {}
    for name, kind, content in _members(inflated):
        parts = [part for part in name.split("/") if part not in ("", ".")]
        if kind in (b"0", b"\0", b"7") and ".." not in parts and parts:
            found["/".join(parts)] = content
    return found


def _members(data: bytes) -> Iterator[tuple[str, bytes, bytes]]:
    """Yield name, type flag and content of each member; long names of GNU and pax are put in their place."""
    position, long_name = 0, None
    pax: dict[str, str] = {}
    while position + BLOCK <= len(data):
        header = data[position : position + BLOCK]
        if header == bytes(BLOCK):
            return
        size = _number(header[124:136])
        kind = header[156:157]
        if kind not in (b"x", b"g", b"L", b"K"):
            size = int(pax.get("size", size))
        content = data[position + BLOCK : position + BLOCK + size]
        assert len(content) == size, "the archive ends within a member"
        position += BLOCK + -(-size // BLOCK) * BLOCK
        if kind == b"L":
            long_name = _text(content)
        elif kind == b"x":
            pax = _pax_records(content)
        elif kind not in (b"g", b"K"):
            yield pax.get("path") or long_name or _name(header), kind, content
            long_name, pax = None, {}


def _name(header: bytes) -> str:
    """Return the name in a header, with the prefix that POSIX archives (not GNU ones) may have."""
    name, prefix = _text(header[:100]), _text(header[345:500])
    return f"{prefix}/{name}" if header[257:263] == b"ustar\0" and prefix else name


def _pax_records(content: bytes) -> dict[str, str]:
    records = {}
    while content:
        length = int(content[: content.index(b" ")])
        key, _, value = content[:length].split(b" ", 1)[1].rstrip(b"\n").partition(b"=")
        records[key.decode()] = value.decode()
        content = content[length:]
    return records


def _number(octets: bytes) -> int:
    """Return an octal number, or GNU's base 256 for large ones."""
    if octets[0] & 0x80:
        return int.from_bytes(octets, "big") & ~(0x80 << 8 * (len(octets) - 1))
    return int(_text(octets).strip() or "0", 8)


def _text(octets: bytes) -> str:
    return octets.split(b"\0", 1)[0].decode()

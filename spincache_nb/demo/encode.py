"""The encodings that Spin and its libraries use when they push, with nothing left to chance.

All of it is written out here, so that the demo's digests are the same on every machine: a compressor
of another version would give other bytes. Pure functions, standard library only.
"""

from __future__ import annotations

import base64
import hashlib
import json
import struct
import unicodedata
import zlib
from collections.abc import Mapping
from pathlib import PurePosixPath

_BLOCK = 512
_STORED_MAX = 0xFFFF


def sha256_digest(data: bytes) -> str:
    """Name bytes by their SHA-256, as OCI writes it."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def serde_json(value: object) -> bytes:
    """Encode JSON as Rust's ``serde_json::to_vec`` does: compact, keys in the order given, raw UTF-8."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def canonical_json(value: object) -> bytes:
    r"""Encode JSON in the canonical form in which OCI clients written in Rust push manifests."""
    return _canonical(value).encode()


def _canonical(value: object) -> str:
    match value:
        case str():
            text = unicodedata.normalize("NFC", value)
            return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
        case None | bool() | int():
            return json.dumps(value)
        case Mapping():
            pairs = sorted((_canonical(key), _canonical(item)) for key, item in value.items())
            return "{" + ",".join(f"{key}:{item}" for key, item in pairs) + "}"
        case list() | tuple():
            return "[" + ",".join(map(_canonical, value)) + "]"
    raise TypeError(f"canonical JSON has no {type(value).__name__}")


def base64_unpadded(data: bytes) -> str:
    """Encode inline content: standard alphabet, no padding (crates/serde/src/base64.rs)."""
    return base64.b64encode(data).decode("ascii").rstrip("=")


def tar_archive(files: Mapping[str, bytes]) -> bytes:
    """Pack files as Spin's archive layers are packed, with every header field fixed."""
    folders = {str(parent) for name in files for parent in PurePosixPath(name).parents} - {"."}
    parts = [_tar_header("./", size=0, folder=True)]
    for name in sorted(folders | files.keys()):
        if name in folders:
            parts.append(_tar_header(name, size=0, folder=True))
            continue
        data = files[name]
        parts += [_tar_header(name, size=len(data), folder=False), data, b"\0" * (-len(data) % _BLOCK)]
    return b"".join([*parts, b"\0" * (2 * _BLOCK)])


def _tar_header(name: str, *, size: int, folder: bool) -> bytes:
    """One GNU tar header; numbers are octal, padded with zeros, ended by NUL."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not name.isascii() or len(name) > 100:
        raise ValueError(f"{name!r} does not fit in a plain tar header")
    mode, kind = (0o40755, b"5") if folder else (0o100644, b"0")
    owner_and_group, modified = b"%07o\0" % 0 * 2, b"%011o\0" % 0
    before = name.encode("ascii").ljust(100, b"\0")
    before += b"%07o\0" % mode + owner_and_group + b"%011o\0" % size + modified
    after = kind + bytes(100) + b"ustar  \0" + bytes(247)
    checksum = sum(before) + sum(after) + 8 * ord(" ")
    return before + b"%07o\0" % checksum + after


def stored_gzip(data: bytes) -> bytes:
    """Wrap bytes as gzip without compressing them."""
    parts = [b"\x1f\x8b\x08\0\0\0\0\0\0\xff"]
    for start in range(0, max(len(data), 1), _STORED_MAX):
        block = data[start : start + _STORED_MAX]
        last = start + _STORED_MAX >= len(data)
        parts += [struct.pack("<BHH", last, len(block), len(block) ^ 0xFFFF), block]
    return b"".join([*parts, struct.pack("<II", zlib.crc32(data), len(data) & 0xFFFFFFFF)])

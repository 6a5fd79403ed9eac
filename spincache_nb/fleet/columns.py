"""Columns of the tables that snapshots of caches and of registries have in common."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from spincache_nb.fleet import keys, tables

_STORING = frozenset({"wasm", "data", "archive", "other"})
Columns = dict[str, Any]


class Part(NamedTuple):
    """One part of a manifest: a layer, or the config."""

    app: int
    position: int | None
    digest: bytes | None
    role: str
    media_type: str | None
    size: int | None
    stored: bool | None


class Used(NamedTuple):
    """One row of ``uses``."""

    app: int
    digest: bytes
    area: str
    stored_bytes: int
    via: str


def layer_fingerprints(parts: Iterable[Part], app_count: int) -> list[bytes]:
    """Name each app's manifest by its layers: SHA-256 over their positions and digests."""
    lines: list[list[tuple[int, str]]] = [[] for _ in range(app_count)]
    for part in parts:
        if part.position is not None and part.digest is not None:
            lines[part.app].append((part.position, part.digest.hex()))
    return [hashlib.sha256(repr(sorted(found)).encode()).digest() for found in lines]


def totals_and_documents(parts: Iterable[Part]) -> tuple[dict[int, int], dict[int, bytes]]:
    """Sum up each app's parts, each digest once; and say which digest becomes ``config.json``."""
    sizes: dict[int, dict[bytes | None, int]] = defaultdict(dict)
    documents: dict[int, tuple[int, bytes]] = {}
    for part in parts:
        found = sizes[part.app]
        found[part.digest] = max(found.get(part.digest, 0), part.size or 0)
        place = -1 if part.position is None else part.position
        if part.digest is not None and part.role in ("config", "application"):
            documents[part.app] = max(documents.get(part.app, (-2, b"")), (place, part.digest))
    return (
        {app: sum(found.values()) for app, found in sizes.items()},
        {app: digest for app, (_, digest) in documents.items()},
    )


def layers_columns(parts: Sequence[Part], known: Mapping[bytes, int]) -> Columns:
    """Columns of the table ``layers``."""
    _, documents = totals_and_documents(parts)
    bits: dict[tuple[int, bytes | None], int] = defaultdict(int)
    for part in parts:
        bit = tables.STORING if part.role in _STORING else 0
        bit |= tables.CONFIG if part.role == "config" else 0
        bit |= tables.ARCHIVE if part.role == "archive" else 0
        bit |= tables.DOCUMENT if part.digest and documents.get(part.app) == part.digest else 0
        bits[part.app, part.digest] |= bit
    seen: set[tuple[int, bytes | None]] = set()
    flags = []
    for part in parts:
        name = (part.app, part.digest)
        flags.append(bits[name] | (0 if name in seen else tables.COUNTS))
        seen.add(name)
    return {
        "key": [known[part.digest] if part.digest is not None else None for part in parts],
        "app": [part.app for part in parts],
        "position": [part.position for part in parts],
        "media_type": [part.media_type for part in parts],
        "role": [part.role for part in parts],
        "declared_bytes": [part.size for part in parts],
        "stored": [part.stored for part in parts],
        "flags": np.array(flags, dtype=np.uint8),
    }


def uses_columns(uses: Sequence[Used], known: Mapping[bytes, int], manifests: Sequence[int]) -> Columns:
    """Columns of the table ``uses``, with the flags that count things once."""
    key = np.array([known[use.digest] for use in uses], dtype=np.int64)
    app = np.array([use.app for use in uses], dtype=np.int32)
    area = np.array([tables.AREAS[use.area] for use in uses], dtype=np.uint8)
    numbered = np.array([*manifests, -1], dtype=np.int64)
    return {
        "key": key,
        "app": app,
        "stored_bytes": [use.stored_bytes for use in uses],
        "flags": use_flags(key, app, area, numbered[np.where(app >= 0, app, -1)]),
        "via": [use.via for use in uses],
    }


def use_flags(
    key: npt.NDArray[np.int64],
    app: npt.NDArray[np.int32],
    area: npt.NDArray[np.uint8],
    manifest: npt.NDArray[np.int64],
) -> npt.NDArray[np.uint8]:
    """Area bits of rows of ``uses``, with the flags that count things once."""
    frame = pd.DataFrame({"key": key, "app": app, "area": area, "manifest": manifest})
    flags = area
    for columns, bit, counted in (
        (["key", "app"], tables.FIRST_OF_USER, True),
        (["key", "area"], tables.FIRST_OF_AREA, True),
        (["key", "manifest"], tables.FIRST_OF_MANIFEST, app >= 0),
        (["key"], tables.FIRST_OF_DIGEST, True),
    ):
        first = ~frame.duplicated(columns).to_numpy() & counted
        flags = flags | np.where(first, bit, 0).astype(np.uint8)
    return flags


def digests_columns(known: Mapping[bytes, int], names: Mapping[bytes, Iterable[str]]) -> Columns:
    """Columns of the table ``digests``: at least one row per digest."""
    lines: list[tuple[bytes, str | None]] = []
    for digest in known:
        called = sorted(names.get(digest, ()))
        lines += [(digest, name) for name in called] if called else [(digest, None)]
    return {
        "key": np.array([known[digest] for digest, _ in lines], dtype=np.int64),
        "digest": [digest for digest, _ in lines],
        "is_prefix": [known[digest] == keys.prefix(digest) for digest, _ in lines],
        "name": [name for _, name in lines],
    }

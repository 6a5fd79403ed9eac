"""Frames of one cache as the tables of a snapshot."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from spincache_nb.analysis.disk_use import KINDS, disk_files
from spincache_nb.analysis.inputs import Frames, rows
from spincache_nb.analysis.needs import all_needs
from spincache_nb.analysis.savings import manifests_of, members_of
from spincache_nb.analysis.shared import _names as names_of_uses
from spincache_nb.fleet import keys, tables
from spincache_nb.fleet.order import sort_key

_STORING = frozenset({"wasm", "data", "archive", "other"})
_BELOW_REGISTRY = ("wasm/", "data/", "manifests/")
_Columns = dict[str, Any]


class Part(NamedTuple):
    """One part of a manifest: a layer, or the config."""

    app: int
    position: int | None
    digest: bytes | None
    role: str
    media_type: str | None
    size: int | None
    stored: bool | None


def tables_of(frames: Frames) -> dict[str, Any]:
    """Make every table of a snapshot from the frames of one cache.

    Parameters
    ----------
    frames
        All eight, of one moment.

    Returns
    -------
    dict of str to pyarrow.Table
        By name; every table is there. Paths of this machine are left out: projects are numbered,
        problems outside the cache have no path.
    """
    apps = frames.need("apps")
    numbers = {reference: app for app, (reference,) in enumerate(rows(apps, "reference"))}
    parts = _parts(frames, numbers)
    members = [
        (numbers[reference], keys.raw(digest), size)
        for reference, digest, size in rows(
            members_of(frames, list(numbers)), "reference", "digest", "size_bytes"
        )
    ]
    uses = _uses(frames, numbers)
    names = _names(frames)
    used = [keys.raw(digest) for (digest,) in rows(frames.need("uses"), "digest")]
    stored = [keys.raw(digest) for (digest,) in rows(frames.need("blobs"), "digest") if digest is not None]
    known = keys.assign(
        [*used, *stored, *(p.digest for p in parts if p.digest), *(digest for _, digest, _ in members)]
    )
    layers_digests = layer_fingerprints(parts, len(apps))
    columns: dict[str, _Columns] = {
        "apps": _apps(apps, parts, layers_digests),
        "uses": uses_columns(uses, known, manifest_numbers(apps, layers_digests)),
        "layers": layers_columns(parts, known),
        "members": {
            "key": [known[digest] for _, digest, _ in members],
            "app": [app for app, _, _ in members],
            "size_bytes": [size for *_, size in members],
        },
        "blobs": _blobs(frames.need("blobs"), known),
        "digests": digests_columns(known, names),
        "breakdown": _breakdown(frames),
        "problems": _problems(frames.need("problems")),
    }
    return {name: tables.make_table(name, columns[name]) for name in tables.TABLES}


def _parts(frames: Frames, numbers: Mapping[str, int]) -> list[Part]:
    """Give the layers and the config of every app whose manifest could be read."""
    readable = [r for r, count in rows(frames.need("apps"), "reference", "layer_count") if count is not None]
    described = manifests_of(frames, readable)
    columns = ("reference", "position", "digest", "media_type", "role", "declared_bytes", "stored")
    found = [
        Part(numbers[reference], position, keys.raw(digest), role, media_type, size, stored)
        for reference, position, digest, media_type, role, size, stored in rows(
            frames.need("layers"), *columns
        )
    ]
    for reference, digest, role, size in rows(described, "reference", "digest", "role", "declared_bytes"):
        if role == "config":
            content = keys.raw(digest) if digest is not None else None
            found.append(Part(numbers[reference], None, content, role, None, size, None))
    return found


def layer_fingerprints(parts: Iterable[Part], app_count: int) -> list[bytes]:
    """Name each app's manifest by its layers: SHA-256 over their positions and digests."""
    lines: list[list[tuple[int, str]]] = [[] for _ in range(app_count)]
    for part in parts:
        if part.position is not None and part.digest is not None:
            lines[part.app].append((part.position, part.digest.hex()))
    return [hashlib.sha256(repr(sorted(found)).encode()).digest() for found in lines]


def _apps(apps: pd.DataFrame, parts: Sequence[Part], layers_digests: Sequence[bytes]) -> _Columns:
    configs = {part.app: part.digest for part in parts if part.role == "config"}
    totals, documents = totals_and_documents(parts)
    digests = [keys.raw(d) if d is not None else None for (d,) in rows(apps, "manifest_digest")]
    numbered = range(len(apps))
    same = ("reference", "registry", "repository", "tag", "kind", "name", "version", "description")
    counts = ("layer_count", "component_count", "declared_bytes", "stored_bytes")
    return {
        "app": np.arange(len(apps), dtype=np.int32),
        **{name: [value for (value,) in rows(apps, name)] for name in (*same, *counts)},
        **{name: _times(apps[name]) for name in ("created_at", "pulled_at")},
        "manifest_digest": digests,
        "layers_digest": layers_digests,
        "config_digest": [configs.get(app) for app in numbered],
        "document_digest": [documents.get(app) for app in numbered],
        "version_bytes": [totals.get(app) for app in numbered],
        "sort_key": [sort_key(*row) for row in rows(apps, "reference", "tag", "created_at")],
    }


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


def layers_columns(parts: Sequence[Part], known: Mapping[bytes, int]) -> _Columns:
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


class Used(NamedTuple):
    """One row of ``uses``."""

    app: int
    digest: bytes
    area: str
    stored_bytes: int
    via: str


def _uses(frames: Frames, numbers: Mapping[str, int]) -> list[Used]:
    projects: dict[str, int] = {}
    found = []
    for user, digest, area, size, via in rows(
        frames.need("uses"), "user", "digest", "area", "stored_bytes", "via"
    ):
        app = numbers[user] if user in numbers else projects.setdefault(user, -1 - len(projects))
        found.append(Used(app, keys.raw(digest), area, size or 0, via))
    return found


def manifest_numbers(apps: pd.DataFrame, layers_digests: Sequence[bytes]) -> list[int]:
    """Number the manifests of apps: by their digest where it is known, else by their layers."""
    places: dict[object, int] = {}
    return [
        places.setdefault(known if known is not None else layers, len(places))
        for (known,), layers in zip(rows(apps, "manifest_digest"), layers_digests, strict=True)
    ]


def uses_columns(uses: Sequence[Used], known: Mapping[bytes, int], manifests: Sequence[int]) -> _Columns:
    """Columns of the table ``uses``, with the flags that count things once.

    Parameters
    ----------
    uses
        Its rows.
    known
        Keys by digest.
    manifests
        Number of each app's manifest, alike for apps of one manifest.
    """
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


def _names(frames: Frames) -> dict[bytes, set[str]]:
    """Give the names that stored and used digests go by."""
    called = names_of_uses(all_needs(frames))
    found: dict[bytes, set[str]] = defaultdict(set)
    for user, digest in rows(frames.need("uses"), "user", "digest"):
        found[keys.raw(digest)] |= called.get((user, digest), set())
    return found


def digests_columns(known: Mapping[bytes, int], names: Mapping[bytes, Iterable[str]]) -> _Columns:
    """Columns of the table ``digests``: at least one row per digest."""
    lines = [(digest, name) for digest in known for name in (sorted(names.get(digest, ())) or [None])]
    return {
        "key": np.array([known[digest] for digest, _ in lines], dtype=np.int64),
        "digest": [digest for digest, _ in lines],
        "is_prefix": [known[digest] == keys.prefix(digest) for digest, _ in lines],
        "name": [name for _, name in lines],
    }


def _blobs(blobs: pd.DataFrame, known: Mapping[bytes, int]) -> _Columns:
    found = blobs[blobs["digest"].notna()]
    return {
        "key": [known[keys.raw(digest)] for (digest,) in rows(found, "digest")],
        "modified_at": _times(found["modified_at"]),
        **{name: [v for (v,) in rows(found, name)] for name in ("area", "stored_bytes", "standing")},
    }


def _times(column: pd.Series[Any]) -> npt.NDArray[np.datetime64]:
    return column.dt.tz_convert(None).to_numpy(dtype="datetime64[ns]")


def _breakdown(frames: Frames) -> _Columns:
    """Sum up what `analysis.breakdown` tells, which needs no other host."""
    counts: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for file in disk_files(frames):
        counts[file.share.kind] += 1
        sizes[file.share.kind] += file.stored_bytes
    kinds = [kind for kind in KINDS if kind in counts]
    return {
        "kind": kinds,
        "file_count": [counts[kind] for kind in kinds],
        "stored_bytes": [sizes[kind] for kind in kinds],
    }


def _problems(problems: pd.DataFrame) -> _Columns:
    found = list(rows(problems, "kind", "reference", "path"))
    return {
        "kind": [kind for kind, *_ in found],
        "reference": [reference for _, reference, _ in found],
        "path": [path if path and path.startswith(_BELOW_REGISTRY) else None for *_, path in found],
    }

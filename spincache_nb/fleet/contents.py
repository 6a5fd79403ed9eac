"""Frames of one cache as the tables of a snapshot."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from spincache_nb.analysis.disk_use import KINDS, disk_files
from spincache_nb.analysis.inputs import rows
from spincache_nb.analysis.needs import each_need
from spincache_nb.analysis.savings import manifests_of, members_of
from spincache_nb.analysis.shared import names_by_digest
from spincache_nb.fleet import keys, tables
from spincache_nb.fleet.columns import (
    Columns,
    Part,
    Used,
    digests_columns,
    layer_fingerprints,
    layers_columns,
    totals_and_documents,
    uses_columns,
)
from spincache_nb.fleet.order import sort_key
from spincache_nb.frames import Frames

_BELOW_REGISTRY = ("wasm/", "data/", "manifests/")


def tables_of(frames: Frames) -> dict[str, Any]:
    """Make every table of a snapshot from the frames of one cache."""
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
    columns: dict[str, Columns] = {
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


def _apps(apps: pd.DataFrame, parts: Sequence[Part], layers_digests: Sequence[bytes]) -> Columns:
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


def _names(frames: Frames) -> dict[bytes, set[str]]:
    """Give the names that stored and used digests go by."""
    users: dict[str, set[str]] = defaultdict(set)
    for user, digest in rows(frames.need("uses"), "user", "digest"):
        users[digest].add(user)
    called = names_by_digest(each_need(frames), users)
    return {keys.raw(digest): called.get(digest, set()) for digest in users}


def _blobs(blobs: pd.DataFrame, known: Mapping[bytes, int]) -> Columns:
    found = blobs[blobs["digest"].notna()]
    return {
        "key": [known[keys.raw(digest)] for (digest,) in rows(found, "digest")],
        "modified_at": _times(found["modified_at"]),
        **{name: [v for (v,) in rows(found, name)] for name in ("area", "stored_bytes", "standing")},
    }


def _times(column: pd.Series[Any]) -> npt.NDArray[np.datetime64]:
    times: npt.NDArray[np.datetime64] = column.dt.tz_convert(None).to_numpy(dtype="datetime64[ns]")
    return times


def _breakdown(frames: Frames) -> Columns:
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


def _problems(problems: pd.DataFrame) -> Columns:
    found = list(rows(problems, "kind", "reference", "path"))
    return {
        "kind": [kind for kind, *_ in found],
        "reference": [reference for _, reference, _ in found],
        "path": [path if path and path.startswith(_BELOW_REGISTRY) else None for *_, path in found],
    }

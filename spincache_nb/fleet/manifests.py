"""Manifests of a registry as the tables of a snapshot's part: no blob of theirs is ever fetched."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from spincache_nb.core.plans import Resolved
from spincache_nb.fleet import keys, tables
from spincache_nb.fleet.columns import (
    Part,
    Used,
    digests_columns,
    layer_fingerprints,
    layers_columns,
    totals_and_documents,
    uses_columns,
)
from spincache_nb.fleet.order import sort_key
from spincache_nb.frames.times import nanoseconds

_IMAGE = "org.opencontainers.image."


@dataclass(slots=True)
class Buffer:
    """Manifests on their way into one part."""

    seen: set[bytes]
    apps: list[dict[str, Any]] = field(default_factory=list)
    parts: list[Part] = field(default_factory=list)
    problems: list[tuple[str, str]] = field(default_factory=list)

    def add(self, found: Resolved) -> None:
        """Take a manifest in."""
        app = len(self.apps)
        self.apps.append(_app(app, found))
        config = found.manifest.config
        self.parts.append(
            Part(app, None, keys.raw(config.digest), "config", config.media_type, config.size, None)
        )
        self.parts += [
            Part(app, position, keys.raw(layer.digest), layer.role, layer.media_type, layer.size, True)
            for position, layer in enumerate(found.manifest.layers)
        ]

    def add_problem(self, reference: str, kind: str) -> None:
        """Take in that a manifest cannot be had."""
        self.problems.append((kind, reference))

    def __len__(self) -> int:
        return len(self.parts) + len(self.problems)

    def tables(self) -> dict[str, Any]:
        """Make every table of the part; its manifests are then seen."""
        known = keys.assign(part.digest for part in self.parts if part.digest is not None)
        names: dict[bytes, set[str]] = {}
        for part in self.parts:
            called = "config" if part.role == "config" else f"{part.role} layer"
            names.setdefault(part.digest or b"", set()).add(called)
        nothing: dict[str, dict[str, list[Any]]] = {
            name: {column: [] for column in tables.TABLES[name]} for name in ("members", "blobs", "breakdown")
        }
        columns: dict[str, Mapping[str, Any]] = {
            **nothing,
            "apps": self._apps(),
            "uses": self._uses(known),
            "layers": layers_columns(self.parts, known),
            "digests": digests_columns(known, names),
            "problems": {
                "kind": [kind for kind, _ in self.problems],
                "reference": [reference for _, reference in self.problems],
                "path": [None] * len(self.problems),
            },
        }
        self.seen |= {app["manifest_digest"] for app in self.apps}
        return {name: tables.make_table(name, columns[name]) for name in tables.TABLES}

    def _apps(self) -> dict[str, Any]:
        totals, documents = totals_and_documents(self.parts)
        numbered = range(len(self.apps))
        found: dict[str, Any] = {name: [app.get(name) for app in self.apps] for name in tables.TABLES["apps"]}
        sizes = [totals[app] for app in numbered]
        for name in ("created_at", "pulled_at"):
            instants = [np.datetime64("NaT") if ns is None else np.datetime64(ns, "ns") for ns in found[name]]
            found[name] = np.array(instants, dtype="datetime64[ns]")
        return found | {
            "layers_digest": layer_fingerprints(self.parts, len(self.apps)),
            "document_digest": [documents.get(app) for app in numbered],
            **dict.fromkeys(("declared_bytes", "stored_bytes", "version_bytes"), sizes),
        }

    def _uses(self, known: Mapping[bytes, int]) -> dict[str, Any]:
        used = {
            (part.app, part.digest): Used(
                part.app,
                part.digest,
                "registry",
                part.size or 0,
                "config" if part.role == "config" else "layer",
            )
            for part in self.parts
            if part.digest is not None
        }
        places: dict[bytes, int] = {}
        manifests = [places.setdefault(app["manifest_digest"], len(places)) for app in self.apps]
        columns = uses_columns(list(used.values()), known, manifests)
        before = np.array([app["manifest_digest"] in self.seen for app in self.apps], dtype=bool)
        again = before[columns["app"]] if len(before) else np.zeros(0, dtype=bool)
        keep = np.where(again, 0xFF ^ tables.FIRST_OF_MANIFEST, 0xFF).astype(np.uint8)
        return {**columns, "flags": columns["flags"] & keep}


def _app(number: int, found: Resolved) -> dict[str, Any]:
    reference = found.reference
    said = found.manifest.annotations
    created = nanoseconds(said.get(f"{_IMAGE}created"))
    at = None if created is None else pd.Timestamp(created, tz="UTC")
    return {
        "app": number,
        "reference": reference.cached_name,
        "registry": reference.registry,
        "repository": reference.repository,
        "tag": reference.tag,
        "kind": found.manifest.kind,
        "name": said.get(f"{_IMAGE}title"),
        "version": said.get(f"{_IMAGE}version"),
        "description": said.get(f"{_IMAGE}description"),
        "created_at": created,
        "manifest_digest": keys.raw(found.digest),
        "config_digest": keys.raw(found.manifest.config.digest),
        "layer_count": len(found.manifest.layers),
        "sort_key": sort_key(reference.cached_name, reference.tag, at),
    }

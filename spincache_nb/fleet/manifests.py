"""Manifests as the rows of a snapshot, where no Spin cache is: of a registry, or of an image store."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

from spincache_nb.core.documents import Descriptor, Manifest
from spincache_nb.core.reference import Reference
from spincache_nb.fleet.place import load
from spincache_nb.fleet.snapshots import TOO_LARGE, layers_digest
from spincache_nb.fleet.table import MOST_BYTES, rows_of
from spincache_nb.frames.schemas import nanoseconds

_IMAGE = "org.opencontainers.image."


class Buffer:
    """Manifests on their way into one table: columns of its apps, needs and problems.

    ``area_of`` says where a descriptor's bytes are, None for nowhere.
    """

    def __init__(self, area_of: Callable[[Descriptor], str | None] = lambda _: "registry") -> None:
        self._area_of = area_of
        self.apps: dict[str, list[Any]] = defaultdict(list)
        self.needs: dict[str, list[Any]] = defaultdict(list)
        self.problems: list[tuple[str, str]] = []

    def __len__(self) -> int:
        return len(self.needs["digest"]) + len(self.problems)

    def add(self, reference: Reference, manifest: Manifest, digest: str) -> None:
        """Take a manifest in."""
        parts = [manifest.config, *manifest.layers]
        if any(one.size > MOST_BYTES for one in parts):
            self.problems.append((TOO_LARGE, reference.cached_name))
            return
        digests = [str(one.digest) for one in parts]
        last = {name: place for place, name in enumerate(digests)}
        areas = [
            self._area_of(one) if last[name] == n else None
            for n, (one, name) in enumerate(zip(parts, digests, strict=True))
        ]
        roles = ["config", *(one.role for one in manifest.layers)]
        columns = {
            "reference": [reference.cached_name] * len(parts),
            "digest": digests,
            "position": [None, *range(len(manifest.layers))],
            "role": roles,
            "media_type": [one.media_type for one in parts],
            "declared_bytes": [one.size for one in parts],
            "area": areas,
            "stored_bytes": [one.size if area else None for one, area in zip(parts, areas, strict=True)],
            "via": ["layer" if area else None for area in areas],
        }
        if areas[0]:
            columns["via"][0] = "config"
        for name, values in columns.items():
            self.needs[name] += values
        size = sum(parts[place].size for place in last.values())
        stored = sum(one.size for one, area in zip(parts, areas, strict=True) if area)
        self._add_app(
            reference, manifest, digest, digests[1:], {"declared_bytes": size, "stored_bytes": stored}
        )

    def _add_app(
        self, reference: Reference, manifest: Manifest, digest: str, layers: list[str], sizes: dict[str, int]
    ) -> None:
        said = manifest.annotations
        line = {
            "reference": reference.cached_name,
            "registry": reference.registry,
            "repository": reference.repository,
            "tag": reference.tag,
            "kind": manifest.kind,
            "name": said.get(f"{_IMAGE}title"),
            "version": said.get(f"{_IMAGE}version"),
            "created_at": nanoseconds(said.get(f"{_IMAGE}created")),
            "manifest_digest": digest,
            "layers_digest": layers_digest(list(enumerate(layers))),
            "layer_count": len(layers),
            **sizes,
        }
        for column, value in line.items():
            self.apps[column].append(value)

    def records(self) -> list[Any]:
        """The rows."""
        pa = load("pyarrow")
        created = pa.array(self.apps["created_at"], pa.int64())
        micros = load("pyarrow.compute").divide(created, 1000).cast(pa.timestamp("us", "UTC"))
        problems = {
            "kind": [kind for kind, _ in self.problems],
            "reference": [name for _, name in self.problems],
        }
        needs = {**self.needs, "kind": ["app"] * len(self.needs["digest"])}
        return [
            rows_of("app", {**self.apps, "created_at": micros}, len(self.apps["reference"])),
            rows_of("need", needs, len(self.needs["digest"])),
            rows_of("problem", problems, len(self.problems)),
        ]

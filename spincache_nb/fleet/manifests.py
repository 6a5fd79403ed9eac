"""Manifests as rows: what a crawl and an image store have in place of frames, so without pandas."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from spincache_nb.core.documents import Descriptor, Manifest, parse_rfc_3339
from spincache_nb.core.reference import Reference
from spincache_nb.fleet.table import MOST_BYTES, array_of, arrow_types, rows_of

TOO_LARGE = "size out of range"
_IMAGE = "org.opencontainers.image."
_LAST_NS = (1 << 63) - 1
NEED = (
    *("reference", "digest", "position", "role", "media_type", "declared_bytes"),
    *("area", "stored_bytes", "via"),
)
"""What is known of a need from a manifest."""


def layers_digest(layers: list[tuple[int, str]]) -> str:
    """SHA-256 over the positions and digests of layers."""
    text = "\n".join(f"{position} {digest}" for position, digest in sorted(layers))
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


class Buffer:
    """Manifests on their way into one table: lines of its apps, needs and problems.

    ``area_of`` says where a descriptor's bytes are, None for nowhere.
    """

    def __init__(self, area_of: Callable[[Descriptor], str | None] = lambda _: "registry") -> None:
        self._area_of = area_of
        self.apps: list[dict[str, Any]] = []
        self.needs: dict[str, list[Any]] = {name: [] for name in NEED}
        self.problems: list[tuple[str, str]] = []

    def __len__(self) -> int:
        return len(self.needs["digest"]) + len(self.problems)

    def add(self, reference: Reference, manifest: Manifest, digest: str) -> None:
        """Take a manifest in."""
        name, parts = reference.cached_name, (manifest.config, *manifest.layers)
        if any(one.size > MOST_BYTES for one in parts):
            self.problems.append((TOO_LARGE, name))
            return
        digests, sizes = [str(one.digest) for one in parts], [one.size for one in parts]
        last = {text: place for place, text in enumerate(digests)}
        areas = [
            self._area_of(one) if last[text] == place else None
            for place, (one, text) in enumerate(zip(parts, digests, strict=True))
        ]
        stored = [size if area else None for size, area in zip(sizes, areas, strict=True)]
        via = ["config", *["layer"] * len(manifest.layers)]
        lines = {
            "reference": [name] * len(parts),
            "digest": digests,
            "position": [None, *range(len(manifest.layers))],
            "role": ["config", *(one.role for one in manifest.layers)],
            "media_type": [one.media_type for one in parts],
            "declared_bytes": sizes,
            "area": areas,
            "stored_bytes": stored,
            "via": [how if area else None for how, area in zip(via, areas, strict=True)],
        }
        for column, values in lines.items():
            self.needs[column] += values
        said = manifest.annotations
        line = {
            "reference": name,
            "registry": reference.registry,
            "repository": reference.repository,
            "tag": reference.tag,
            "kind": manifest.kind,
            "name": said.get(f"{_IMAGE}title"),
            "version": said.get(f"{_IMAGE}version"),
            "created_at": _created(said.get(f"{_IMAGE}created")),
            "manifest_digest": digest,
            "layers_digest": layers_digest(list(enumerate(digests[1:]))),
            "layer_count": len(manifest.layers),
            "declared_bytes": sum(sizes[place] for place in last.values()),
            "stored_bytes": sum(filter(None, stored)),
        }
        self.apps.append(line)

    def records(self) -> list[Any]:
        """The rows."""
        names = tuple(self.apps[0]) if self.apps else ()
        apps = zip(*(line.values() for line in self.apps), strict=True)
        return [
            _rows("app", names, apps, len(self.apps)),
            _rows("need", NEED, self.needs.values(), len(self.needs["digest"]), kind="app"),
            _rows("problem", ("kind", "reference"), zip(*self.problems, strict=True), len(self.problems)),
        ]


def _rows(
    record: str, names: Sequence[str], columns: Iterable[Sequence[Any]], count: int, **same: str
) -> Any:
    types = arrow_types()
    arrays = {name: array_of(column, types[name]) for name, column in zip(names, columns, strict=False)}
    return rows_of(record, arrays | same, count)


def _created(text: str | None) -> int | None:
    """Microseconds since 1970 of a time that frames can hold."""
    found = parse_rfc_3339(text) if text is not None else None
    return found // 1000 if found is not None and abs(found) <= _LAST_NS else None

"""Manifests as rows: what a crawl and an image store have in place of frames, so without pandas."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from spincache_nb.core.documents import Descriptor, Manifest, parse_rfc_3339
from spincache_nb.core.reference import Reference
from spincache_nb.fleet.place import load
from spincache_nb.fleet.table import MOST_BYTES, rows_of

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
        self.needs: list[tuple[Any, ...]] = []
        self.problems: list[tuple[str, str]] = []

    def __len__(self) -> int:
        return len(self.needs) + len(self.problems)

    def add(self, reference: Reference, manifest: Manifest, digest: str) -> None:
        """Take a manifest in."""
        name, parts = reference.cached_name, (manifest.config, *manifest.layers)
        if any(one.size > MOST_BYTES for one in parts):
            self.problems.append((TOO_LARGE, name))
            return
        digests = [str(one.digest) for one in parts]
        last = {text: place for place, text in enumerate(digests)}
        stored = 0
        for place, (one, text) in enumerate(zip(parts, digests, strict=True)):
            area = self._area_of(one) if last[text] == place else None
            stored += one.size if area else 0
            role, via = (one.role, "layer") if place else ("config", "config")
            use = (area, one.size, via) if area else (None, None, None)
            position = place - 1 if place else None
            self.needs.append((name, text, position, role, one.media_type, one.size, *use))
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
            "declared_bytes": sum(parts[place].size for place in last.values()),
            "stored_bytes": stored,
        }
        self.apps.append(line)

    def records(self) -> list[Any]:
        """The rows."""
        pa = load("pyarrow")
        apps = {name: [line[name] for line in self.apps] for name in (self.apps[0] if self.apps else ())}
        apps["created_at"] = pa.array(apps.get("created_at", []), pa.timestamp("us", "UTC"))
        needs = dict(zip(NEED, zip(*self.needs, strict=True), strict=False)) | {"kind": "app"}
        problems = dict(zip(("kind", "reference"), zip(*self.problems, strict=True), strict=False))
        return [
            rows_of("app", apps, len(self.apps)),
            rows_of("need", needs, len(self.needs)),
            rows_of("problem", problems, len(self.problems)),
        ]


def _created(text: str | None) -> int | None:
    """Microseconds since 1970 of a time that frames can hold."""
    found = parse_rfc_3339(text) if text is not None else None
    return found // 1000 if found is not None and abs(found) <= _LAST_NS else None

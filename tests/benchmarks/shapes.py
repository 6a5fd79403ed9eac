"""Caches as users have them: manifests and locked apps as Spin writes them, in several shapes.

``alike``: versions of a few apps, which share nearly all layers. ``unlike``: layers drawn at random, so that
hardly two manifests have the same ones. ``damaged``: the same, and every stored file has another size than
its descriptors say. ``lost``: the same, and nothing is stored. ``components``: locked apps of two components
and their files, some of them inline. ``archives``: the files of each app in one archive, stored as members.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from spincache_nb.core.cache import Cache
from tests.support import archives
from tests.support.artifact import APPLICATION, ARCHIVE, DATA, IMAGE_CONFIG, OCI_MANIFEST, WASM

Json = dict[str, Any]
_ANNOTATIONS = {"org.opencontainers.image.created": "2026-03-01T10:00:00.123456789+00:00"}


class _Writer:
    """Writes one cache; a digest is that of a name, which mostly is not the content."""

    def __init__(self, root: Path, seed: str) -> None:
        self.registry = root / "registry"
        self.random = random.Random(seed)
        self.stored: dict[str, set[str]] = {"wasm": set(), "data": set()}
        for area in self.stored:
            (self.registry / area).mkdir(parents=True)

    def store(self, media_type: str, name: str, content: bytes = b"xy") -> Json:
        """A descriptor in Spin's order of keys, and its blob."""
        digest = f"sha256:{hashlib.sha256(name.encode()).hexdigest()}"
        area = "wasm" if media_type == WASM else "data"
        if digest not in self.stored[area]:
            self.stored[area].add(digest)
            (self.registry / area / digest).write_bytes(content)
        return {"mediaType": media_type, "digest": digest, "size": len(content)}

    def tag(self, number: int, layers: Sequence[Json], components: Sequence[Json]) -> None:
        """One app in ten versions each, as a pull by Spin leaves it."""
        folder = self.registry / "manifests" / "ghcr.io" / "org" / f"app{number // 10}" / f"v{number % 10}"
        folder.mkdir(parents=True)
        locked = {
            "spin_lock_version": 0,
            "metadata": {"name": f"app{number // 10}", "version": f"1.0.{number % 10}"},
            "triggers": [{"id": f"trigger-{one['id']}", "trigger_type": "http",
                          "trigger_config": {"component": one["id"], "route": "/..."}} for one in components],
            "components": components,
        }  # fmt: skip
        application = json.dumps(locked, separators=(",", ":")).encode()
        named = {
            "mediaType": APPLICATION,
            "digest": f"sha256:{hashlib.sha256(application).hexdigest()}",
            "size": len(application),
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": {"mediaType": IMAGE_CONFIG, "digest": "sha256:" + "0" * 64, "size": 2},
            "layers": [*layers, named],
            "annotations": {**_ANNOTATIONS, "org.opencontainers.image.title": f"app{number // 10}"},
        }
        (folder / "manifest.json").write_text(json.dumps(manifest, separators=(",", ":")))
        (folder / "config.json").write_bytes(application)


def _component(name: str, wasm: Json, files: Sequence[Json]) -> Json:
    return {
        "id": name,
        "metadata": {"description": "", "allowed_outbound_hosts": []},
        "source": {"content_type": "application/wasm", "digest": wasm["digest"]},
        "env": {"LEVEL": "info"},
        "files": [{"digest": file["digest"], "path": f"assets/{n}.css"} for n, file in enumerate(files)],
    }


def _alike(to: _Writer, apps: int, layers: int) -> None:
    shared = [to.store(DATA, f"shared {n}") for n in range(layers - 1)]
    for number in range(apps):
        wasm = to.store(WASM, f"wasm {number}")
        to.tag(number, [wasm, *shared], [_component("web", wasm, shared[:4])])


def _unlike(to: _Writer, apps: int, layers: int) -> None:
    pool = [to.store(DATA, f"file {n}") for n in range(max(layers, apps * layers * 9 // 100))]
    for number in range(apps):
        wasm = to.store(WASM, f"wasm {number}")
        files = [to.random.choice(pool) for _ in range(layers - 1)]
        to.tag(number, [wasm, *files], [_component("web", wasm, files[:4])])


def _damaged(to: _Writer, apps: int, layers: int) -> None:
    _unlike(to, apps, layers)
    for area, digests in to.stored.items():
        for digest in digests:
            (to.registry / area / digest).write_bytes(b"x")


def _lost(to: _Writer, apps: int, layers: int) -> None:
    _unlike(to, apps, layers)
    for area, digests in to.stored.items():
        for digest in digests:
            (to.registry / area / digest).unlink()


def _components(to: _Writer, apps: int, layers: int) -> None:
    each = max(1, layers // 2 - 1)
    for number in range(apps):
        wasm = [to.store(WASM, f"wasm {number // 2} {n}") for n in range(2)]
        files = [[to.store(DATA, f"file {number // 3} {n} {k}") for k in range(each)] for n in range(2)]
        listed = [_component(f"part-{n}", wasm[n], files[n]) for n in range(2)]
        for component in listed:
            component["files"].append(
                {"inline": "aGVsbG8", "digest": to.store(DATA, "hello")["digest"], "path": "b"}
            )
        to.tag(number, [*wasm, *files[0], *files[1]], listed)


def _archives(to: _Writer, apps: int, layers: int) -> None:
    for number in range(apps):
        wasm = to.store(WASM, f"wasm {number}")
        names = [f"member {number // 2} {n}" for n in range(layers - 2)]
        content = {f"{n}.html": name.encode() for n, name in enumerate(names)}  # so that digests are true
        members = [to.store(DATA, name, name.encode()) for name in names]
        archive = to.store(ARCHIVE, f"archive {number // 2}", archives.mount_archive(content))
        to.tag(number, [wasm, archive], [_component("site", wasm, members)])


SHAPES: Mapping[str, Callable[[_Writer, int, int], None]] = MappingProxyType(
    {
        "alike": _alike,
        "unlike": _unlike,
        "damaged": _damaged,
        "lost": _lost,
        "components": _components,
        "archives": _archives,
    }
)


def lay_out(root: Path, shape: str, apps: int, layers: int) -> Cache:
    """Write a cache of so many apps, of about so many layers (or files) each."""
    SHAPES[shape](_Writer(root, f"{shape} {apps} {layers}"), apps, layers)
    return Cache(root)

"""What the frames have to report of the recorded caches, worked out from the raw recordings by other means.

Apps, problems, languages and blobs that no app needs stand in the tables of ``data-fixtures/README.md``.
"""

import base64
import json
from collections.abc import Iterator
from typing import Any

from spincache_nb.demo import data_fixtures
from tests.support.artifact import APPLICATION, ARCHIVE, DATA, WASM, WKG_WASM, sha256
from tests.support.oracle_tar import regular_files
from tests.support.trees import Tree

NAMES = ["v0.8", "v1.5", "v2.0", "v2.4", "v3.x", "v3.x-windows", "main"]
ROLES = {WASM: "wasm", WKG_WASM: "wasm", DATA: "data", ARCHIVE: "archive", APPLICATION: "application"}
Row = tuple[Any, ...]


def raw(name: str) -> Tree:
    """Files of a recording, read without the code under test."""
    document = json.loads((data_fixtures() / "caches" / f"{name}.json").read_text(encoding="utf-8"))
    return {
        path: base64.b64decode(said["base64"]) if "base64" in said else said["text"].encode()
        for path, said in document["files"].items()
    }


def wasm(name: str, seed: str) -> str:
    """Digest of the one stored binary that has a section of this name."""
    binaries = [
        data for path, data in raw(name).items() if data.startswith(b"\0asm") and "download" not in path
    ]
    (only,) = {sha256(data) for data in binaries if bytes([len(seed)]) + seed.encode() in data}
    return only


def environment() -> str:
    """The name in `main` whose bytes hash to another: it is the manifest's digest."""
    binaries = [(path, data) for path, data in raw("main").items() if path.startswith("wasm/sha256:")]
    (odd,) = [path for path, data in binaries if path != f"wasm/{sha256(data)}"]
    return odd.removeprefix("wasm/")


def apps(name: str) -> "list[App]":
    """All apps of a recording, in the order of their references."""
    tree = {path.replace("sha256_", "sha256:"): data for path, data in raw(name).items()}
    folders = {path.rpartition("/")[0] for path in tree if path.startswith("manifests/")}
    return sorted((App(folder, tree) for folder in folders), key=lambda app: app.reference)


class App:
    """The two documents of an app, and what is stored of that which they name."""

    def __init__(self, folder: str, tree: Tree) -> None:
        _, registry, *repository, tag = folder.split("/")
        self.reference = f"{registry.replace('_', ':')}/{'/'.join(repository)}:{tag}"
        self.tree, self.config = tree, tree.get(f"{folder}/config.json", b"")
        self.listed = _document(tree.get(f"{folder}/manifest.json", b"")).get("layers", [])
        self.misplaced = "components" not in _document(self.config)
        """The locked app was left in ``data``."""
        locked = [self.stored(digest, "data") for digest in self._of(APPLICATION)] if self.misplaced else []
        self.made: list[dict[str, Any]] = _document(b"".join(locked) or self.config).get("components", [])

    def _of(self, media_type: str) -> list[str]:
        return [layer["digest"] for layer in self.listed if layer["mediaType"] == media_type]

    def areas(self, digest: str, *areas: str) -> list[str]:
        return [area for area in areas if f"{area}/{digest}" in self.tree]

    def stored(self, digest: str, *areas: str) -> bytes:
        return b"".join(self.tree[f"{area}/{digest}"] for area in self.areas(digest, *areas)[:1])

    def layers(self) -> Iterator[Row]:
        """Reference, role, size and whether it is stored."""
        for layer in self.listed:
            digest, role = layer["digest"], ROLES[layer["mediaType"]]
            sizes = [len(self.stored(digest, area)) for area in ("wasm", "data")]
            whole = layer["size"] in sizes if role != "application" else sha256(self.config) == digest
            yield self.reference, role, layer["size"], whole

    def files(self, component: dict[str, Any]) -> Iterator[Row]:
        """Reference, path, digest, whether it is inline, and size."""
        for file in sorted(component.get("files", []), key=lambda file: file["path"]):
            inline, there = file.get("inline"), self.areas(file["digest"], "data")
            data = self.stored(file["digest"], "data") if inline is None else base64.b64decode(inline + "==")
            size = len(data) if there or inline is not None else None
            yield self.reference, file["path"], file["digest"], inline is not None, size

    def components(self) -> Iterator[Row]:
        """Reference, name, size of the source, count and size of files, count of dependencies."""
        for one in self.made:
            source, sizes = one["source"]["digest"], [row[-1] for row in self.files(one)]
            size = len(self.stored(source, "wasm", "data")) if self.areas(source, "wasm", "data") else None
            total = None if None in sizes else sum(sizes)
            yield self.reference, one["id"], size, len(sizes), total, len(one.get("dependencies", {}))

    def uses(self) -> set[Row]:
        """Reference, digest, area and the first reason that holds, of what is stored."""
        named = [(layer["digest"], "layer", *self._order(layer)) for layer in self.listed]
        for digest in self._of(ARCHIVE):
            members = (
                regular_files(self.stored(digest, "data")).values() if self.areas(digest, "data") else ()
            )
            named += [(sha256(data), "archive member", "data") for data in members]
        for one in self.made:
            named.append((one["source"]["digest"], "content ref", "wasm", "data"))
            named += [(row[2], "content ref", "data") for row in self.files(one) if not row[3]]
        first: dict[tuple[str, str], str] = {}
        for digest, via, *areas in named:
            for area in self.areas(digest, *areas)[:1]:
                first.setdefault((digest, area), via)
        return {(self.reference, *place, via) for place, via in first.items()}

    def _order(self, layer: dict[str, Any]) -> tuple[str, ...]:
        """Where a layer is looked for; a locked app in its place is no blob."""
        if layer["mediaType"] == APPLICATION:
            return ("data",) if self.misplaced else ()
        return ("wasm", "data") if ROLES[layer["mediaType"]] == "wasm" else ("data", "wasm")


def _document(data: bytes) -> dict[str, Any]:
    """JSON, or nothing where there is none."""
    try:
        found: dict[str, Any] = json.loads(data)
    except ValueError:
        return {}
    return found

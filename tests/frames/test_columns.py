"""Frames of any cache say what a plain reading of it says, app by app and layer by layer."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spincache_nb import frames
from spincache_nb.core.cache import Cache
from tests.support import archives
from tests.support.artifact import (
    APPLICATION,
    ARCHIVE,
    DATA,
    IMAGE_CONFIG,
    WASM,
    compact,
    descriptor,
    sha256,
    sha512,
)
from tests.support.trees import Tree, write_tree

BODIES = [b"\0asm one", b"\0asm two", b"one", b"two", b"three", b"", archives.mount_archive({"a": b"one"})]
NAMES = [
    *map(sha256, BODIES),
    sha256(b"one").replace(":", "_"),
    sha512(b"one"),
    "a" * 64,
    ".spincache-1",
    "odd\nname",
]
LAYERS = [
    *(descriptor(media_type, body) for media_type in (WASM, DATA) for body in BODIES[:6]),
    descriptor(ARCHIVE, BODIES[6]),
    descriptor(APPLICATION, b"{}"),
    descriptor("x/y", b"two"),
    {**descriptor(DATA, b"two"), "annotations": {"a": "b"}},
    {**descriptor(DATA, b"one"), "digest": sha512(b"one")},
    descriptor(DATA, b"three", size=4),
]
STORED = st.dictionaries(
    st.tuples(st.sampled_from(["wasm", "data"]), st.sampled_from(NAMES)), st.sampled_from(BODIES), max_size=14
)
MANIFEST = st.builds(
    lambda config, layers, spaced: json.dumps(
        {"schemaVersion": 2, "config": config, "layers": layers},
        separators=None if spaced else (",", ":"),
    ).encode(),
    st.sampled_from(
        [descriptor(IMAGE_CONFIG, b"{}"), descriptor(APPLICATION, b"{}"), descriptor(DATA, b"one")]
    ),
    st.lists(st.sampled_from(LAYERS), max_size=8),
    st.booleans(),
)
LOCKED_APP = st.builds(
    lambda digests: compact(
        {
            "spin_lock_version": 0,
            "triggers": [],
            "components": [
                {
                    "id": "c",
                    "source": {"digest": digests[0]},
                    "files": [{"path": str(n), "digest": digest} for n, digest in enumerate(digests)],
                }
            ],
        }
    ),
    st.lists(st.sampled_from([sha256(body) for body in BODIES]), min_size=1, max_size=4),
)
APPS = st.dictionaries(
    st.sampled_from(
        ["ghcr.io/a/v1", "ghcr.io/a/v2", "ghcr.io/b/v1", "localhost_5000/a/v1", "localhost:5000/a/v1"]
    ),
    st.tuples(MANIFEST, LOCKED_APP),
    max_size=4,
)


@dataclass
class Plain:
    """A cache by the letter of the facts, with no column in it."""

    stored: Mapping[tuple[str, str], bytes]
    layers: list[tuple[Any, ...]] = field(default_factory=list)
    uses: dict[str, dict[tuple[str, str], str]] = field(default_factory=dict)
    sums: dict[str, int | None] = field(default_factory=dict)

    def name_of(self, area: str, digest: str) -> str | None:
        names = (digest, digest.replace(":", "_"))
        return next((name for name in names if (area, name) in self.stored), None)

    def size(self, area: str, digest: str) -> int | None:
        name = self.name_of(area, digest)
        return None if name is None else len(self.stored[area, name])

    def read(self, apps: Mapping[str, tuple[bytes, bytes]]) -> None:
        archived: dict[str, list[str]] = {}
        for path in sorted(apps, key=lambda path: ("localhost:" not in path, path)):  # our own spelling first
            registry, name, tag = path.replace("localhost_", "localhost:").split("/")
            user = f"{registry}/{name}:{tag}"
            manifest, locked_app = map(json.loads, apps[path])
            sizes: dict[str, set[int]] = {}
            for one in [manifest["config"], *manifest["layers"]]:
                sizes.setdefault(one["digest"], set()).add(one["size"])
            damaged = any(len(some) > 1 for some in sizes.values())
            listed = [] if damaged else manifest["layers"]
            if user not in self.sums:
                self.sums[user] = None if damaged else sum(size for (size,) in sizes.values())
                self.layers += self.rows(user, listed)
            for place, via in self.needs(listed, locked_app["components"]):
                self.uses.setdefault(user, {}).setdefault(place, via)
            for layer in listed:
                if layer["mediaType"] == ARCHIVE and self.name_of("data", layer["digest"]):
                    archived.setdefault(layer["digest"], []).append(user)
        used = {digest for some in self.uses.values() for area, digest in some if area == "data"}
        for digest, users in archived.items():
            one = sha256(b"one")
            whole = self.stored["data", self.name_of("data", digest) or ""] == BODIES[6]
            for user in users if whole and one not in used and self.name_of("data", one) else ():
                self.uses[user].setdefault(("data", one), "archive member")

    def rows(self, user: str, listed: list[Any]) -> Iterator[tuple[Any, ...]]:
        roles = {WASM: "wasm", DATA: "data", ARCHIVE: "archive", APPLICATION: "application"}
        for position, layer in enumerate(listed):
            role, size = roles.get(layer["mediaType"], "other"), layer["size"]
            found = [self.size(area, layer["digest"]) for area in ("wasm", "data")]
            is_there = role != "application" and size in found
            yield user, position, layer["digest"], layer["mediaType"], role, size, is_there

    def needs(self, listed: list[Any], components: list[Any]) -> Iterator[tuple[tuple[str, str], str]]:
        for layer in listed:
            digest = layer["digest"]
            wanted = "wasm" if layer["mediaType"] == WASM else "data"
            other = "data" if wanted == "wasm" else "wasm"
            for area in (wanted,) if layer["mediaType"] == APPLICATION else (wanted, other):
                if self.name_of(area, digest):
                    yield (area, digest), "layer"
                    break
        has_archive = any(layer["mediaType"] == ARCHIVE for layer in listed)
        for component in components:
            for area in ("wasm", "data"):
                if self.name_of(area, component["source"]["digest"]):
                    yield (area, component["source"]["digest"]), "content ref"
                    break
        for component in components:
            for file in component["files"]:
                if self.name_of("data", file["digest"]):
                    yield ("data", file["digest"]), "archive member" if has_archive else "content ref"

    def standing(self, area: str, name: str) -> tuple[str, str | None]:
        digest = name.replace("_", ":") if name.startswith("sha") else None
        if digest is None:
            return ("temporary" if name.startswith(".spincache-") else "misnamed"), None
        if self.name_of(area, digest) != name:
            return "misnamed", None
        used = any((area, digest) in some for some in self.uses.values())
        return ("referenced" if used else "unreferenced"), digest


def rows(frame: pd.DataFrame) -> list[tuple[Any, ...]]:
    """Rows with None for missing."""
    return [
        tuple(None if pd.isna(value) else value for value in row)
        for row in frame.astype(object).itertuples(index=False)
    ]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(stored=STORED, apps=APPS)
def test_frames_say_what_a_plain_reading_says(
    tmp_path_factory: pytest.TempPathFactory, stored: dict[tuple[str, str], bytes], apps: dict[str, Any]
) -> None:
    tree: Tree = {f"{area}/{name}": body for (area, name), body in stored.items()}
    for path, (manifest, locked_app) in apps.items():
        tree |= {f"manifests/{path}/manifest.json": manifest, f"manifests/{path}/config.json": locked_app}
    cache = Cache(write_tree(tmp_path_factory.mktemp("any") / "registry", tree).parent, windows_names=False)
    plain = Plain(stored)
    plain.read(apps)
    loaded = frames.load(cache)
    assert rows(loaded.need("layers")) == sorted(plain.layers, key=lambda row: row[:2])
    expected = [
        (user, digest, area, plain.size(area, digest), via)
        for user, some in sorted(plain.uses.items())
        for (area, digest), via in sorted(some.items(), key=lambda one: (one[0][1], one[0][0]))
    ]
    assert rows(loaded.need("uses")) == expected
    columns = ["name", "digest", "area", "stored_bytes", "standing"]
    assert rows(loaded.need("blobs")[columns]) == [
        (
            name.replace("\n", "\\n"),
            plain.standing(area, name)[1],
            area,
            len(body),
            plain.standing(area, name)[0],
        )
        for (area, name), body in sorted(stored.items())
    ]
    stored_bytes = [
        sum(plain.size(area, digest) or 0 for area, digest in plain.uses.get(user, ()))
        for user in sorted(plain.sums)
    ]
    apps_frame = loaded.need("apps")
    assert apps_frame["stored_bytes"].tolist() == stored_bytes
    assert rows(apps_frame[["reference", "declared_bytes"]]) == sorted(plain.sums.items())
    again = frames.load([cache, cache.path.parent])
    for name in ("apps", "layers", "uses", "blobs", "problems"):
        assert rows(again.need(name).drop(columns="cache")) == rows(loaded.need(name))


def test_frames_number_what_several_caches_hold(tmp_path: Path) -> None:
    caches = []
    for number in range(2):
        bodies = [b"one", b"two", b"three"][number:]
        layers = [descriptor(DATA, body) for body in bodies]
        manifest = {"schemaVersion": 2, "config": descriptor(IMAGE_CONFIG, b"{}"), "layers": layers}
        tree = {f"data/{sha256(body)}": body for body in bodies}
        tree["manifests/ghcr.io/a/v1/manifest.json"] = compact(manifest)
        caches.append(Cache(write_tree(tmp_path / str(number) / "registry", tree).parent))
    loaded = [frames.load(caches, "apps", "layers", "uses", "blobs")]
    loaded += [frames.load([cache], "apps", "layers", "uses", "blobs") for cache in caches]
    for name in ("apps", "layers", "uses", "blobs"):
        both, *single = [getattr(one, name) for one in loaded]
        assert rows(both) == [row for frame in single for row in rows(frame)]
        assert both.dtypes.astype(str).to_list() == single[0].dtypes.astype(str).to_list()
    assert loaded[0].apps is not None
    assert loaded[0].apps["declared_bytes"].tolist() == [2 + 11, 2 + 8]


def test_apps_add_up_sizes_that_cannot_be(tmp_path: Path) -> None:
    huge = [{**descriptor(DATA, b"%d" % number), "size": (1 << 60) + number} for number in range(9)]
    manifests = {"few": huge[:3] + huge[:2], "many": huge}
    tree = {
        f"manifests/ghcr.io/{name}/v1/manifest.json": compact(
            {"schemaVersion": 2, "config": {**descriptor(IMAGE_CONFIG, b"{}"), "size": 5}, "layers": layers}
        )
        for name, layers in manifests.items()
    }
    cache = Cache(write_tree(tmp_path / "registry", tree).parent)
    impossible = frames.problems(cache).query("kind == 'impossible sizes'")
    assert impossible["path"].tolist() == ["manifests/ghcr.io/many/v1/manifest.json"]
    apps = frames.apps(cache)
    assert [amount for (amount,) in rows(apps[["declared_bytes"]])] == [3 * (1 << 60) + 3 + 5, None]

"""Random caches as frames, and the facts they were made from.

The frames are laid out here by hand from a `World`; what is expected of the analyses is computed by
the tests from the `World`, by plain loops over sets, never from the frames.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
from hypothesis import settings
from hypothesis import strategies as st

from spincache_nb.frames import Frames, schemas
from tests.support.artifact import APPLICATION, ARCHIVE, DATA, IMAGE_CONFIG, WASM, compact
from tests.support.artifacts import assemble
from tests.support.trees import write_tree

MIB = 2**20
MEDIA_TYPES = {"wasm": WASM, "data": DATA, "archive": ARCHIVE}
Line = tuple[object, ...]
SOME = settings(max_examples=60, deadline=None)
"""How often to try, and no limit of time: the machines of a CI are slow."""


def digest_of(number: int) -> str:
    """A digest that differs from the others in its first hex digits."""
    return f"sha256:{number:04x}" + "0" * 60


@dataclass
class App:
    registry: str
    repository: str
    tag: str
    layers: list[tuple[str, str]]  # digest, role
    members: dict[str, set[str]] = field(default_factory=dict)  # archive -> members
    refs: set[tuple[str, str]] = field(default_factory=set)  # digest, area: named by the locked app
    sources: dict[str, str] = field(default_factory=dict)  # component -> digest
    mounts: list[tuple[str, str, str, bool]] = field(default_factory=list)  # component, path, digest, inline
    created_at: pd.Timestamp | None = None
    config_bytes: int = 0
    manifest: str | None = None
    dependencies: set[tuple[str | None, str | None, str, str]] = field(default_factory=set)
    """component or trigger, name, digest."""

    @property
    def reference(self) -> str:
        mark = "@" if self.tag.startswith("sha256:") else ":"
        return f"{self.registry}/{self.repository}{mark}{self.tag}"

    @property
    def folder(self) -> str:
        return f"manifests/{self.registry}/{self.repository}/{self.tag}"

    def needs(self) -> dict[tuple[str, str], str]:
        """Area and digest of everything it needs, with the first reason that holds."""
        found: dict[tuple[str, str], str] = {}
        for digest, role in self.layers:
            if role != "application":
                found.setdefault((digest, "wasm" if role == "wasm" else "data"), "layer")
        for members in self.members.values():
            for digest in members:
                found.setdefault((digest, "data"), "archive member")
        for blob in self.refs:
            found.setdefault(blob, "content ref")
        return found


@dataclass
class World:
    apps: list[App]
    sizes: dict[str, int]
    stored: set[tuple[str, str]]
    projects: dict[str, dict[str, str]] = field(default_factory=dict)  # path -> digest -> via
    strays: list[tuple[str, str, str | None, str, int]] = field(default_factory=list)
    """name, area, digest, standing, bytes of files in wasm/ and data/ that nothing needs."""
    others: list[tuple[str, str, int]] = field(default_factory=list)  # path, area, bytes
    document_bytes: int = 100
    linked: set[tuple[str, str]] = field(default_factory=set)  # blobs that are second hard links
    unnamed: set[tuple[str, str]] = field(default_factory=set)  # app, digest: held by its archives only

    def users(self, digest: str, area: str) -> set[str]:
        apps = {app.reference for app in self.apps if (digest, area) in app.needs()}
        return apps | {
            path for path, digests in self.projects.items() if area == "wasm" and digest in digests
        }

    def used(self) -> set[tuple[str, str]]:
        return {blob for blob in self.stored if self.users(*blob)}

    def on_disk(self, digest: str, area: str) -> int:
        return 0 if (digest, area) in self.linked else self.sizes[digest]

    def frames(self, *names: str) -> Frames:
        """The named frames of this world; all of them if none is named."""
        lines = {
            "apps": [self._app(app) for app in self.apps],
            "layers": [
                (app.reference, position, digest, f"type/{role}", role, self.sizes[digest], True)
                for app in self.apps
                for position, (digest, role) in enumerate(app.layers)
            ],
            "uses": self._uses(),
            "components": [
                (app.reference, component, digest, self.sizes[digest], None, None, 0, None, None)
                for app in self.apps
                for component, digest in app.sources.items()
            ],
            "files": [
                (app.reference, component, path, digest, inline, self.sizes[digest])
                for app in self.apps
                for component, path, digest, inline in app.mounts
            ],
            "blobs": self._blobs(),
            "problems": [("wasm/x", None, "truncated", "", "")],
            "disk": [(*line, None) for line in self._disk()],
            "unnamed": sorted(self.unnamed),
            "dependencies": [
                (app.reference, *line) for app in self.apps for line in sorted(app.dependencies, key=str)
            ],
        }
        made = {name: (getattr(schemas, f"{name.upper()}_SCHEMA"), lines[name]) for name in names or lines}
        return Frames(**{name: schemas.build(schema, rows) for name, (schema, rows) in made.items()})

    def lay_out(self, root: Path) -> Path:
        """Write it as a cache that a pull left: documents, and holes of the right size for blobs."""
        for app in self.apps:
            listed = [
                {"mediaType": MEDIA_TYPES[role], "digest": digest, "size": self.sizes[digest]}
                for digest, role in app.layers
                if role != "application"
            ]
            files = [
                {"digest": layer["digest"], "path": f"assets/{number}.png"}
                for number, layer in enumerate(listed)
                if layer["mediaType"] == DATA
            ]
            binaries = [layer["digest"] for layer in listed if layer["mediaType"] == WASM]
            components = [
                {"id": f"part-{place}", "source": {"digest": digest}, "files": [] if place else files}
                for place, digest in enumerate(binaries)
            ]
            locked = compact({"spin_lock_version": 0, "triggers": [], "components": components})
            document = assemble((IMAGE_CONFIG, b"{}"), [(APPLICATION, locked)])
            document["layers"] = [*listed, *document["layers"]]
            write_tree(
                root / "registry" / app.folder, {"manifest.json": compact(document), "config.json": locked}
            )
        for digest, area in self.stored:
            path = root / "registry" / area / digest
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as file:
                file.truncate(self.sizes[digest])
        return root

    def _app(self, app: App) -> Line:
        declared = app.config_bytes + sum(self.sizes[d] for d in {d for d, _ in app.layers})
        stored = sum(self.sizes[d] for d, area in app.needs() if (d, area) in self.stored)
        tag = None if app.tag.startswith("sha256:") else app.tag
        named = app.reference, app.registry, app.repository, tag, "app", "n", "1", None
        counts = len(app.layers), len(app.sources), declared, stored
        return *named, app.created_at, None, app.manifest, None, None, *counts

    def _uses(self) -> list[Line]:
        lines: list[Line] = [
            (app.reference, digest, area, self.sizes[digest], via)
            for app in self.apps
            for (digest, area), via in app.needs().items()
            if (digest, area) in self.stored
        ]
        return lines + [
            (path, digest, "wasm", self.sizes[digest], via)
            for path, digests in self.projects.items()
            for digest, via in digests.items()
            if (digest, "wasm") in self.stored
        ]

    def _blobs(self) -> list[Line]:
        needed = {blob for app in self.apps for blob in app.needs()}
        needed |= {(digest, "wasm") for digests in self.projects.values() for digest in digests}
        lines: list[Line] = [
            (digest, digest, area, self.sizes[digest], None, standing)
            for digest, area in sorted(self.stored)
            for standing in ["referenced" if (digest, area) in needed else "unreferenced"]
        ]
        return lines + [
            (name, digest, area, size, None, standing) for name, area, digest, standing, size in self.strays
        ]

    def _disk(self) -> list[Line]:
        lines: list[Line] = [
            (f"{area}/{digest}", area, self.on_disk(digest, area)) for digest, area in sorted(self.stored)
        ]
        lines += [(f"{area}/{name}", area, size) for name, area, _, _, size in self.strays]
        lines += [
            (f"{app.folder}/{name}", "manifests", self.document_bytes)
            for app in self.apps
            for name in ("manifest.json", "config.json")
        ]
        return lines + list(self.others)


def by_grain(frame: pd.DataFrame) -> dict[str, dict[str, object]]:
    """The rows of `grains` and the like."""
    return {row["grain"]: row for row in frame.to_dict("records")}


def frame_of(schema: schemas.Schema, *columns: str, lines: Iterable[tuple[object, ...]]) -> pd.DataFrame:
    """A frame of which some columns are filled."""
    named = (dict(zip(columns, line, strict=True)) for line in lines)
    return schemas.build(schema, [tuple((dict.fromkeys(schema) | line).values()) for line in named])


DIGESTS = [digest_of(number) for number in range(10)]
TAGS = ["1.0.0", "1.1.0", "2.0.0-rc.1", "2.0.0", "latest", "v3"]
REPOSITORIES = [("ghcr.io", "org/web"), ("localhost:5000", "api"), ("ghcr.io", "api")]


@st.composite
def random_app(draw: st.DrawFn, registry: str, repository: str, tag: str) -> App:
    some = st.sampled_from(DIGESTS)
    roles = st.sampled_from(["wasm", "data", "archive", "other", "application"])
    layers = draw(st.lists(st.tuples(some, roles), max_size=6))
    archives = sorted({digest for digest, role in layers if role == "archive"})
    members = {archive: draw(st.sets(some, max_size=4)) for archive in archives}
    stray_refs = draw(st.sets(st.tuples(some, st.just("wasm")), max_size=2))
    components = st.sampled_from(["ui", "api"])
    paths = st.sampled_from(["a.txt", "b/c.css", "d.js"])
    return App(
        registry,
        repository,
        tag,
        layers,
        members,
        stray_refs,
        draw(st.dictionaries(components, some, max_size=2)),
        draw(st.lists(st.tuples(components, paths, some, st.booleans()), max_size=4)),
        draw(st.none() | st.integers(1, 5).map(lambda day: pd.Timestamp(2024, 1, day, tz="UTC"))),
        draw(st.integers(0, 30)),
        draw(st.none() | st.sampled_from([digest_of(0xF0), digest_of(0xF1)])),
    )


@st.composite
def worlds(draw: st.DrawFn) -> World:
    places = draw(
        st.lists(st.tuples(st.sampled_from(REPOSITORIES), st.sampled_from(TAGS)), max_size=5, unique=True)
    )
    apps = [draw(random_app(*place, tag)) for place, tag in places]
    sizes = {digest: draw(st.integers(0, 9) | st.integers(MIB, 3 * MIB)) for digest in DIGESTS}
    every = [(digest, area) for digest in DIGESTS for area in ("wasm", "data")]
    stored = {blob for blob in every if draw(st.integers(0, 3))}
    vias = st.sampled_from(["spin.toml", "environment lock"])
    projects = draw(
        st.dictionaries(
            st.sampled_from(["site/spin.toml", "tool"]),
            st.dictionaries(st.sampled_from(DIGESTS), vias, max_size=3),
            max_size=2,
        )
    )
    strays = [
        (f"download-{draw(st.integers(0, 9))}", "wasm", None, "temporary", 7),
        ("ab" * 32, "wasm", None, "misnamed", 11),
    ]
    others = [
        ("README", "other", 13),
        ("manifests/.DS_Store", "manifests", 17),
        ("manifests/ghcr.io/org/web/1/.spincache-1", "manifests", 23),
        ("wasm/sub/file", "wasm", 19),
    ]
    return World(
        apps,
        sizes,
        stored,
        projects,
        [stray for stray in strays if draw(st.booleans())],
        [other for other in others if draw(st.booleans())],
        draw(st.integers(0, 200)),
        {blob for blob in stored if blob[1] == "data" and draw(st.integers(0, 5)) == 0},
    )


def two_versions() -> World:
    """Two versions of a web app and another app, small enough to reckon by hand.

    Both versions share the wasm (1000 bytes) and one asset (40); each has an asset of its own (7 and
    9) and its own locked app; ``api`` shares the wasm and nothing else.
    """
    wasm, kept, old, new, app1, app2, app3, idle = (digest_of(number) for number in range(1, 9))
    sizes = dict(
        zip((wasm, kept, old, new, app1, app2, app3, idle), (1000, 40, 7, 9, 50, 51, 52, 300), strict=True)
    )

    def web(tag: str, asset: str, locked: str, day: int) -> App:
        return App(
            "ghcr.io",
            "org/web",
            tag,
            [(wasm, "wasm"), (kept, "data"), (asset, "data"), (locked, "application")],
            sources={"ui": wasm},
            mounts=[("ui", "kept.css", kept, False), ("ui", "page.html", asset, False)],
            created_at=pd.Timestamp(2024, 5, day, tz="UTC"),
            config_bytes=20,
        )

    api = App("ghcr.io", "org/api", "1.0.0", [(wasm, "wasm"), (app3, "application")], config_bytes=20)
    api.sources = {"api": wasm}
    stored = {(wasm, "wasm"), (kept, "data"), (old, "data"), (new, "data"), (idle, "data")}
    apps = [web("1.0.0", old, app1, 1), web("1.1.0", new, app2, 2), api]
    return World(apps, sizes, stored)

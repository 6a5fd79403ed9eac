"""Write the recorded caches: one for each generation of Spin, as that generation leaves its cache.

::

    python data-fixtures/caches.py            # write caches/*.json again
    python data-fixtures/caches.py --check    # write nothing; exit status 1 if a byte differs

No Spin ran for this. The rules are those of Spin's own code (``crates/oci/src/client.rs``,
``crates/loader/src/cache.rs`` and ``http.rs``, ``crates/environments``), release by release. Only the
standard library is used, and nothing of the package: a fixture must not depend on the code that it tests.

A ``caches/NAME.json`` holds the files of one cache by path below ``registry``, as ``text`` or ``base64``,
with the time at which each was written. Names in it are those of Unix, or of Windows where it says so.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import io
import json
import struct
import sys
import tarfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Json = dict[str, Any]
Layer = tuple[str, bytes]
"""Media type and bytes."""

ROOT = Path(__file__).resolve().parent
CANARY = "spincache-demo-canary-not-a-secret"
APPLICATION = "application/vnd.fermyon.spin.application.v1+config"
WASM = "application/vnd.wasm.content.layer.v1+wasm"
WKG_WASM = "application/wasm"
DATA = "application/vnd.wasm.content.layer.v1+data"
ARCHIVE = "application/vnd.wasm.content.bundle.v1.tar+gzip"
IMAGE_CONFIG = "application/vnd.oci.image.config.v1+json"
WKG_CONFIG = "application/vnd.wasm.config.v0+json"
INLINE_LIMIT = 128


# Bytes -----------------------------------------------------------------------------------------------


def sha256(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def compact(value: Any) -> bytes:
    """JSON as serde_json writes it, keys in the order given."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def canonical(value: Any) -> bytes:
    """Canonical JSON, which Spin pushes manifests as: their digest is of these bytes."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()


def text(title: str, size: int) -> bytes:
    """A page of readable text of a given size."""
    line = f"<p>{title}: content that stands for more content.</p>\n".encode()
    return (f"<h1>{title}</h1>\n".encode() + line * (size // len(line) + 1))[:size]


def _leb(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def _name(value: str) -> bytes:
    return _leb(len(value.encode())) + value.encode()


def _section(number: int, content: bytes) -> bytes:
    return bytes([number]) + _leb(len(content)) + content


def _producers(said: Mapping[str, Sequence[tuple[str, str]]]) -> bytes:
    fields = [
        _name(kind) + _leb(len(tools)) + b"".join(_name(tool) + _name(version) for tool, version in tools)
        for kind, tools in said.items()
    ]
    return _section(0, _name("producers") + _leb(len(fields)) + b"".join(fields))


def module(seed: str, size: int, **said: Sequence[tuple[str, str]]) -> bytes:
    """A core module that is filling and says who made it; it stands for a real one, 500 times as large."""
    made = {kind.replace("_", "-"): tools for kind, tools in said.items()}
    filling = _section(0, _name("filling") + hashlib.shake_256(seed.encode()).digest(size))
    return b"\0asm\x01\0\0\0" + filling + (_producers(made) if made else b"")


def component(*modules: bytes) -> bytes:
    """A component that holds core modules."""
    return b"\0asm\x0d\0\x01\0" + b"".join(_section(1, one) for one in modules)


def rust(seed: str, size: int, version: str) -> bytes:
    return module(seed, size, language=[("Rust", "")], processed_by=[("rustc", version)])


def archive(files: Mapping[str, bytes]) -> bytes:
    """A tar+gzip of one mount, in stored blocks: what a compressor makes depends on its version."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for path, data in sorted(files.items()):
            info = tarfile.TarInfo(f"./{path}")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    data = out.getvalue()
    blocks = [data[at : at + 0xFFFF] for at in range(0, len(data), 0xFFFF)]
    deflated = b"".join(
        struct.pack("<BHH", block is blocks[-1], len(block), len(block) ^ 0xFFFF) + block for block in blocks
    )
    head = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
    return head + deflated + struct.pack("<II", zlib.crc32(data), len(data))


# Documents -------------------------------------------------------------------------------------------


def descriptor(media_type: str, data: bytes, digest: str | None = None) -> Json:
    return {"mediaType": media_type, "digest": digest or sha256(data), "size": len(data)}


def content_ref(data: bytes, *, inline: bool) -> Json:
    """How a locked app names content; inline is base64 without padding."""
    small = inline and len(data) <= INLINE_LIMIT
    there = {"inline": base64.b64encode(data).decode().rstrip("=")} if small else {}
    return {**there, "digest": sha256(data)}


@dataclass
class Component:
    """A component of an app: its wasm, its mounted files, and what it is composed with."""

    id: str
    wasm: bytes
    files: Mapping[str, bytes] = field(default_factory=dict)
    dependencies: Mapping[str, bytes] = field(default_factory=dict)
    needs: tuple[str, ...] = ()

    def locked(self, *, old: bool, inline: bool) -> Json:
        hosts = "allowed_http_hosts" if old else "allowed_outbound_hosts"
        source = {"content_type": "application/wasm"}
        locked: Json = {"id": self.id, "metadata": {hosts: []}}
        locked["source"] = {**source, **content_ref(self.wasm, inline=inline)}
        locked["env"] = {"SESSION_KEY": f"{CANARY}-env"}
        files = self.files.items()
        if files:
            locked["files"] = [{**content_ref(data, inline=inline), "path": path} for path, data in files]
        if self.dependencies:
            locked["dependencies"] = {
                name: {"source": {**source, **content_ref(data, inline=inline)}, "export": None}
                for name, data in sorted(self.dependencies.items())
            }
        if self.needs:
            locked["host_requirements"] = dict.fromkeys(self.needs, "required")
        return locked


def locked_app(
    name: str, version: str, components: Sequence[Component], *, old: bool = False, inline: bool = True
) -> bytes:
    """The locked app; of version 1 if a component needs something of its host."""
    trigger: Json = {"id": f"trigger--{name}", "trigger_type": "http"}
    trigger["trigger_config"] = {"component": components[0].id, "executor": None, "route": "/..."}
    kind = {"trigger": {"base": "/", "type": "http"}} if old else {"triggers": {"http": {}}}
    needs = any(one.needs for one in components)
    app: Json = {"spin_lock_version": 1 if needs else 0}
    if needs:
        app["must_understand"] = ["component_host_requirements"]
    app["metadata"] = {"description": "" if old else f"The {name}", "name": name, **kind, "version": version}
    app["variables"] = {"api_key": {"default": f"{CANARY}-variable", "secret": True}}
    app["triggers"] = [trigger]
    app["components"] = [one.locked(old=old, inline=inline) for one in components]
    return compact(app)


def image_config(application: bytes | None = None, *, os: str = "wasip1") -> bytes:
    """The config of apps since v2.0; with the label (v2.4 and later) if it is to name the locked app."""
    config: Json = {"architecture": "wasm", "os": os}
    if application is not None:
        config["config"] = {"Labels": {"com.fermyon.spin.lockedAppDigest": sha256(application)}}
    return compact({**config, "rootfs": {"type": "layers", "diff_ids": []}})


def created(name: str, version: str, moment: str) -> dict[str, str]:
    """The annotations that a push makes up since v2.7, sorted."""
    said = {"created": moment, "description": f"The {name}", "title": name, "version": version}
    return {f"org.opencontainers.image.{key}": value for key, value in said.items()}


@dataclass
class Artifact:
    """What a registry serves."""

    config: Layer
    layers: list[Layer]
    annotations: Mapping[str, str] = field(default_factory=dict)
    digests: Mapping[bytes, str] = field(default_factory=dict)

    @property
    def manifest(self) -> Json:
        """The manifest with its fields in the order in which Spin writes ``manifest.json``."""
        layers = [descriptor(kind, data, self.digests.get(data)) for kind, data in self.layers]
        document = {"schemaVersion": 2, "config": descriptor(*self.config), "layers": layers}
        return {**document, "annotations": dict(self.annotations)} if self.annotations else document

    @property
    def digest(self) -> str:
        """The manifest's digest as Spin pushes it."""
        return sha256(canonical(self.manifest))


def old_app(
    name: str, version: str, components: Sequence[Component], *, inline: bool, skip: bool = False
) -> Artifact:
    """An app of v0.8 to v1.5: the locked app is the manifest's config."""
    layers = [layer for one in components for layer in [(WASM, one.wasm), *_files(one, skip=skip)]]
    return Artifact((APPLICATION, locked_app(name, version, components, old=True, inline=inline)), layers)


def new_app(
    name: str,
    version: str,
    components: Sequence[Component],
    *,
    label: bool = True,
    annotations: Mapping[str, str] | None = None,
    archives: bool = False,
    back_slashes: bool = False,
    os: str = "wasip1",
) -> Artifact:
    """An app of v2.0 and later: an image config, and the locked app as the last layer."""
    application = locked_app(name, version, components)
    if back_slashes:
        application = application.replace(b'"path":"pages/', b'"path":"pages\\\\')
    layers: list[Layer] = []
    for one in components:
        layers.append((WASM, one.wasm))
        layers += [(WASM, data) for _, data in sorted(one.dependencies.items())]
        layers += [(ARCHIVE, archive(one.files))] if archives else _files(one, skip=True)
    layers = [*dict.fromkeys(layers), (APPLICATION, application)]
    config = image_config(application if label else None, os=os)
    return Artifact((IMAGE_CONFIG, config), layers, annotations or {})


def package(name: str, version: str, content: bytes) -> Artifact:
    """A package as wkg pushes it."""
    config = {"created": "2026-01-10T09:00:00Z", "architecture": "wasm", "os": "wasip2"}
    config |= {"layerDigests": [sha256(content)], "component": {"exports": [name], "imports": []}}
    title = {"org.opencontainers.image.version": version}
    return Artifact((WKG_CONFIG, compact(config)), [(WKG_WASM, content)], title)


def _files(one: Component, *, skip: bool) -> list[Layer]:
    """One layer per asset; those that the locked app carries are left out if `skip`."""
    return [(DATA, data) for data in one.files.values() if not (skip and len(data) <= INLINE_LIMIT)]


# A cache ---------------------------------------------------------------------------------------------


class Recording:
    """The cache of one generation, and how that generation writes into it."""

    def __init__(self, spin: str, *shows: str, windows: bool = False, eager: bool = False) -> None:
        self.spin = spin
        self.shows = shows
        self.windows = windows
        self.knows_packages = False
        self.folders = ["data", "manifests", "wasm"] if eager else []
        self.files: dict[str, Json] = {}
        self.projects: dict[str, str] = {}
        self.now = ""

    def write(self, path: str, data: bytes, *, mode: str | None = None) -> None:
        self.files[path] = {"modified": self.now, **_encoded(data), **({"mode": mode} if mode else {})}

    def blob(self, area: str, data: bytes, *, digest: str | None = None, mode: str | None = None) -> str:
        """Store bytes unless a file of that name is there, which every Spin then trusts."""
        path = f"{area}/{self._safe(digest or sha256(data))}"
        if path not in self.files:
            self.write(path, data, mode=mode)
        return path

    def pull(self, registry: str, repository: str, tag: str, artifact: Artifact, *, at: str) -> str:
        """Leave what a whole pull leaves; gives the tag's directory."""
        self.now = at
        folder = f"manifests/{self._safe(registry) if self.windows else registry}/{repository}/{tag}"
        self.write(f"{folder}/manifest.json", compact(artifact.manifest))
        self.write(f"{folder}/config.json", artifact.config[1])
        for kind, data in artifact.layers:
            digest = artifact.digests.get(data, sha256(data))
            if kind == APPLICATION:
                self.write(f"{folder}/config.json", data)
            elif kind == WASM or (kind == WKG_WASM and self.knows_packages):
                self._unless_stored("wasm", digest, data)
            else:
                self._unless_stored("data", digest, data)
            if kind == ARCHIVE:
                self._unpack(data)
        return folder

    def _unless_stored(self, area: str, digest: str, data: bytes) -> None:
        """A layer that is in either area is not fetched."""
        if not {f"wasm/{self._safe(digest)}", f"data/{self._safe(digest)}"} & self.files.keys():
            self.blob(area, data, digest=digest)

    def _unpack(self, data: bytes) -> None:
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            for member in tar:
                stream = tar.extractfile(member)
                if stream is not None:
                    self.blob("data", stream.read())

    def lose(self, area: str, *contents: bytes) -> None:
        """What was never written."""
        for data in contents:
            del self.files[f"{area}/{self._safe(sha256(data))}"]

    def replace(self, area: str, data: bytes, by: bytes) -> None:
        """What was written wrongly under a good name."""
        self.write(f"{area}/{self._safe(sha256(data))}", by)

    def _safe(self, name: str) -> str:
        return name.replace(":", "_") if self.windows else name

    def document(self) -> bytes:
        """The recording as it is stored."""
        said: Json = {"spin": self.spin, "shows": self.shows, "naming": "windows" if self.windows else "unix"}
        said |= {
            "folders": self.folders,
            "files": dict(sorted(self.files.items())),
            "projects": self.projects,
        }
        return (json.dumps(said, indent=1, ensure_ascii=False) + "\n").encode()


def _encoded(data: bytes) -> Json:
    if b"\0" in data or not data.isascii():
        return {"base64": base64.b64encode(data).decode()}
    return {"text": data.decode("ascii")}


# The generations -------------------------------------------------------------------------------------

GHCR = "ghcr.io"
BOOK = "example/guestbook"
STYLE = text("style", 90)
BOOK_WASM = {
    number: rust(f"guestbook {number}", 900 + 10 * number, f"1.{64 + number}.0") for number in range(9)
}
INDEX = {number: text(f"Guestbook {number}", 500 + 20 * number) for number in range(9)}
MANUAL = {f"pages/{name}.html": text(name, 300 + 10 * len(name)) for name in ("home", "install", "questions")}
LICENCE = text("licence", 100)
ADDER = component(module("adder", 700, processed_by=[("wit-component", "0.220.0")]))


def guestbook(number: int, *, wasm: int | None = None) -> Component:
    """The guestbook in one of its versions: a page, and a style sheet small enough to be inlined."""
    source = BOOK_WASM[number if wasm is None else wasm]
    return Component("guestbook", source, {"index.html": INDEX[number], "style.css": STYLE})


def v0_8() -> Recording:
    cache = Recording(
        "v0.8.0 to v1.1",
        "The locked app is the manifest's config, and nothing is inlined.",
        "Layers are fetched one after the other: of `guestbook:0.2.0` the pull was killed after the first.",
        "HTTP statuses are not looked at: an error text is stored in place of a component of `redirect`.",
        eager=True,
    )
    first, second = (old_app("guestbook", f"0.{n}.0", [guestbook(n)], inline=False) for n in (1, 2))
    cache.pull(GHCR, BOOK, "0.1.0", first, at="2023-01-16T09:30:00Z")
    cache.pull(GHCR, BOOK, "0.2.0", second, at="2023-02-20T10:00:00Z")
    cache.lose("data", INDEX[2])
    wasm = module("redirect", 650)
    app = old_app("redirect", "1.0.0", [Component("redirect", wasm)], inline=False)
    cache.pull("registry.example.com:5000", "team/redirect", "1", app, at="2023-02-21T08:15:00Z")
    cache.replace("wasm", wasm, b'{"errors":[{"code":"TOOMANYREQUESTS","message":"slow down"}]}\n')
    return cache


def v1_5() -> Recording:
    cache = Recording(
        "v1.2 to v1.5",
        "Content of at most 128 bytes is inlined into the locked app, and a layer all the same; "
        "of `guestbook:0.4.0` not (`SPIN_OCI_SKIP_INLINED_FILES`).",
        "Errors of writing a blob are ignored: the disk was full when `photos` was pulled, so one picture is "
        "empty, and one and the component are not there. Spin reported success.",
        "A source from the web is named by bare hex (v0.9 to v1.x); Spin v2.0 never finds it.",
        eager=True,
    )
    cache.pull(GHCR, BOOK, "0.3.0", old_app("guestbook", "0.3.0", [guestbook(3)], inline=True),
               at="2023-09-01T12:00:00Z")  # fmt: skip
    robots = text("robots", 60)
    skipping = Component("guestbook", BOOK_WASM[3], {"index.html": INDEX[4], "robots.txt": robots})
    cache.pull(GHCR, BOOK, "0.4.0", old_app("guestbook", "0.4.0", [skipping], inline=True, skip=True),
               at="2023-09-12T12:00:00Z")  # fmt: skip
    pictures = {f"picture-{n}.svg": text(f"picture {n}", 400 + n) for n in range(3)}
    photos = Component("photos", module("photos", 800), pictures)
    cache.pull(GHCR, "example/photos", "1.0.0", old_app("photos", "1.0.0", [photos], inline=True),
               at="2023-10-02T07:45:00Z")  # fmt: skip
    cache.lose("wasm", photos.wasm)
    cache.lose("data", pictures["picture-1.svg"])
    cache.replace("data", pictures["picture-2.svg"], b"")
    fetched = module("from the web", 500)
    cache.write("wasm/" + sha256(fetched).removeprefix("sha256:"), fetched)
    return cache


def v2_0() -> Recording:
    cache = Recording(
        "v2.0 to v2.3",
        "The locked app is the last layer; the config is an image config without label, the same for all apps.",
        "Inlined content has no layer. Annotations are in no order in `manifest.json` (sorted since v2.5).",
        "`guestbook:1.1.0`: a crash cut the page off after 300 bytes, and Spin trusts its name forever.",
        "`guestbook:edge`: the manifest is of a new version, the locked app of the one before it.",
        "A package: its wasm is of a type that Spin knows since v3.6 only, so it is in `data/`.",
        "Sources from the web are `sha256:` files, readable by their owner only; one download was killed. "
        "With the project, the whole one is referenced.",
        eager=True,
    )
    said = {"org.opencontainers.image.version": "1.0.0", "org.opencontainers.image.authors": "The example"}
    one = new_app("guestbook", "1.0.0", [guestbook(5)], label=False, annotations=said)
    cache.pull(GHCR, BOOK, "1.0.0", one, at="2023-11-20T16:00:00Z")
    folder = cache.pull(GHCR, BOOK, "edge", one, at="2023-11-21T11:10:00Z")
    two = new_app("guestbook", "1.1.0", [guestbook(6, wasm=5)], label=False)
    cache.pull(GHCR, BOOK, "1.1.0", two, at="2024-01-08T09:20:00Z")
    cache.replace("data", INDEX[6], INDEX[6][:300])
    cache.now = "2024-01-15T18:05:00Z"
    next_one = new_app("guestbook", "1.2.0-edge", [guestbook(7, wasm=5)], label=False)
    cache.write(f"{folder}/manifest.json", compact(next_one.manifest))
    cache.pull(GHCR, "example/adder", "0.1.0", package("example:adder", "0.1.0", ADDER),
               at="2024-01-16T10:00:00Z")  # fmt: skip
    fetched, half = rust("from the web, again", 520, "1.74.0"), rust("half of it came", 900, "1.74.0")
    cache.blob("wasm", fetched, mode="600")
    cache.write(f"wasm/download-{sha256(half).replace(':', '-')}k3Vq8Z", half[:410], mode="600")
    cache.projects["shop/spin.toml"] = (
        'spin_manifest_version = 2\n\n[application]\nname = "shop"\n\n[[trigger.http]]\nroute = "/..."\n'
        'component = "shop"\n\n[component.shop]\n'
        f'source = {{ url = "https://example.com/shop.wasm", digest = "{sha256(fetched)}" }}\n'
    )
    return cache


def v2_4() -> Recording:
    cache = Recording(
        "v2.4 to v2.7",
        "The image config names the locked app by a label; annotations are sorted, and made up since v2.7.",
        "`guestbook:latest` was version 2.1.0. Then 2.0.0 was pulled by digest alone, which Spin files under "
        "`latest` too: what only 2.1.0 needs is unreferenced now.",
        "`feed`: pulled by an older Spin first, which put the locked app into `data/` as a layer of unknown type. "
        "This one skips what is stored, so the image config stays in `config.json`. The frames find the app.",
        "Tag `cli` of `tools` is the same directory as repository `tools/cli`.",
        "`hello` is of Docker Hub. Directories are made when they are needed.",
    )
    moment = "2024-06-03T08:00:00.123456789+00:00"
    one = new_app("guestbook", "2.0.0", [guestbook(7)], annotations=created("guestbook", "2.0.0", moment))
    later = new_app("guestbook", "2.1.0", [guestbook(8)], annotations=created("guestbook", "2.1.0", moment))
    cache.pull(GHCR, BOOK, "latest", later, at="2024-06-10T10:00:00Z")
    cache.pull(GHCR, BOOK, "latest", one, at="2024-06-11T10:00:00Z")
    feed = new_app("feed", "1.0.0", [Component("feed", rust("feed", 700, "1.78.0"))])
    folder = cache.pull(GHCR, "example/feed", "1.0.0", feed, at="2024-06-12T10:00:00Z")
    cache.write(f"{folder}/config.json", feed.config[1])
    cache.blob("data", feed.layers[-1][1])
    shared = text("help", 350)
    for repository, tag, name in [("example/tools", "cli", "tools"), ("example/tools/cli", "latest", "cli")]:
        app = new_app(name, "1.0.0", [Component(name, module(name, 600), {"help.html": shared})])
        cache.pull(GHCR, repository, tag, app, at="2024-07-01T09:00:00Z")
    tiny_go = module("hello", 640, language=[("Go", "1.22")], processed_by=[("TinyGo", "0.31.2")])
    app = new_app("hello", "1.0.0", [Component("hello", tiny_go)])
    cache.pull("docker.io", "library/hello", "1.0.0", app, at="2024-07-02T09:00:00Z")
    return cache


def shop(version: str, *, composed: bool) -> Artifact:
    """An app whose component has dependencies: layers of their own, or composed into it (v3.2 and later)."""
    main = module(
        f"shop {version}", 800, language=[("JavaScript", "")], processed_by=[("componentize-js", "0.16.0")]
    )
    prices = rust("prices", 620, "1.82.0")
    if composed:
        return new_app("shop", version, [Component("shop", component(main, prices))])
    parts = {"example:prices/list@1.0.0": component(prices)}
    return new_app("shop", version, [Component("shop", component(main), dependencies=parts)])


def v3() -> Recording:
    cache = Recording(
        "v3.0 to v4.0",
        "`manual`: files in one archive layer, which is kept beside its members; the small one is inlined too. "
        "Its registry has a port.",
        "`manual:windows` was pushed on Windows, so paths have back slashes; unpacking was interrupted, and "
        "Spin never unpacks again.",
        "`shop`: a dependency is a layer of its own (v3.0 and 3.1; composed since v3.2).",
        "`mirror` mounts its own wasm as a file: Spin stores it once, in `wasm/`, and then cannot mount it.",
        "A package, whose wasm type is known since v3.6.",
        "The interfaces of a target environment (v3.4): only a project's lock names them.",
    )
    cache.knows_packages = True
    pages = Component("manual", rust("file server", 760, "1.80.0"), {**MANUAL, "licence.txt": LICENCE})
    cache.pull("localhost:5000", "example/manual", "1.0.0", new_app("manual", "1.0.0", [pages], archives=True),
               at="2025-01-13T10:00:00Z")  # fmt: skip
    extra = {"pages/prices.html": text("prices", 330), "pages/terms.html": text("terms", 340)}
    windows = Component("manual", pages.wasm, {**MANUAL, **extra})
    app = new_app("manual", "1.1.0", [windows], archives=True, back_slashes=True)
    cache.pull("localhost:5000", "example/manual", "windows", app, at="2025-02-03T10:00:00Z")
    cache.lose("data", extra["pages/terms.html"])
    cache.pull(GHCR, "example/shop", "3.0.0", shop("3.0.0", composed=False), at="2025-03-03T10:00:00Z")
    own = module("mirror", 610)
    app = new_app("mirror", "1.0.0", [Component("mirror", own, {"mirror.wasm": own})])
    cache.pull(GHCR, "example/mirror", "1.0.0", app, at="2025-03-04T10:00:00Z")
    cache.pull(GHCR, "example/adder", "0.2.0", package("example:adder", "0.2.0", ADDER),
               at="2025-11-10T10:00:00Z")  # fmt: skip
    world = component(module("spin-up world", 450))
    cache.blob("wasm", world)
    _lock(cache, "spinframework.dev", "spin:up@3.4.0", sha256(world))
    return cache


def v3_windows() -> Recording:
    cache = Recording(
        "v3.0 to v4.0, on Windows",
        "`_` stands for the colon in digests (v2.1) and in a registry with a port (v3.0); "
        "the frames say what is meant.",
        "An empty file `sha256`: before v2.1 the rest of such a name denoted a stream of that file.",
        "Nothing was ever stored in `data/`, so there is no such directory.",
        windows=True,
    )
    cache.pull(
        "localhost:5000", "example/shop", "3.2.0", shop("3.2.0", composed=True), at="2025-04-07T10:00:00Z"
    )
    cache.write("wasm/sha256", b"")
    return cache


def main_branch() -> Recording:
    cache = Recording(
        "main (after v4.0.2)",
        "Digests are checked, sha384 and sha512 too: `long` has a page under a sha512 name.",
        "`gate`: a middleware made a second component of one source; the locked app says what it needs of "
        "its host (lock version 1).",
        "`gate:next`: the pull goes on or was killed before the locked app came.",
        "Interfaces of a target environment, fetched by reference: named by the digest of the *manifest*, so "
        "that the bytes hash to another. `verify` lists that; with the project it is referenced.",
        "A package.",
    )
    cache.knows_packages = True
    source = component(rust("gate", 780, "1.88.0"))
    parts = [Component("gate", source, needs=("middleware",)), Component("gate-http-0", source)]
    said = created("gate", "4.1.0", "2026-07-06T08:00:00.5+00:00")
    app = new_app("gate", "4.1.0", parts, annotations=said, os="Wasip1")
    cache.pull(GHCR, "example/gate", "4.1.0", app, at="2026-07-07T10:00:00Z")
    next_one = new_app("gate", "4.2.0", [Component("gate", rust("gate 2", 790, "1.89.0"))], os="Wasip1")
    folder = cache.pull(GHCR, "example/gate", "next", next_one, at="2026-08-03T10:00:00Z")
    cache.write(f"{folder}/config.json", next_one.config[1])
    cache.lose("wasm", next_one.layers[0][1])
    page = text("long", 420)
    long = new_app("long", "1.0.0", [Component("long", module("long", 560), {"long.html": page})])
    name = "sha512:" + hashlib.sha512(page).hexdigest()
    application = long.layers[-1][1].replace(sha256(page).encode(), name.encode())
    layers = [*long.layers[:-1], (APPLICATION, application)]
    config = (IMAGE_CONFIG, image_config(application, os="Wasip1"))
    cache.pull(GHCR, "example/long", "1.0.0", Artifact(config, layers, digests={page: name}),
               at="2026-08-04T10:00:00Z")  # fmt: skip
    cache.pull(GHCR, "example/adder", "0.3.0", package("example:adder", "0.3.0", ADDER + _section(0, _name("x"))),
               at="2026-08-05T10:00:00Z")  # fmt: skip
    world = package("spin:up", "4.1.0", component(module("spin-up world, next", 470)))
    cache.blob("wasm", world.layers[0][1], digest=world.digest)
    _lock(cache, "ghcr.io/example/environments/spin-up:4.1.0", "spin:up@4.1.0", world.digest)
    return cache


def _lock(cache: Recording, origin: str, name: str, digest: str) -> None:
    """A project that builds for a target environment."""
    cache.projects["gate/spin.toml"] = (
        'spin_manifest_version = 2\n\n[application]\nname = "gate"\ntargets = ["spin-up:3.4"]\n\n'
        '[[trigger.http]]\nroute = "/..."\ncomponent = "gate"\n\n[component.gate]\nsource = "gate.wasm"\n'
    )
    lock = {origin: {"package": {name: digest}}}
    cache.projects["gate/.spin/target-environments.lock"] = json.dumps(lock, indent=2) + "\n"


GENERATIONS = {
    "v0.8": v0_8,
    "v1.5": v1_5,
    "v2.0": v2_0,
    "v2.4": v2_4,
    "v3.x": v3,
    "v3.x-windows": v3_windows,
    "main": main_branch,
}


# Writing and checking --------------------------------------------------------------------------------


def faults(expected: Mapping[Path, bytes]) -> Iterable[str]:
    """Compare the recorded caches on disk with what they should be."""
    for path, data in sorted(expected.items()):
        name = path.relative_to(ROOT).as_posix()
        if not path.is_file():
            yield f"{name}: missing"
        elif path.read_bytes() != data:
            yield f"{name}: differs from what this script generates"
    for path in sorted(set((ROOT / "caches").glob("*")) - expected.keys()):
        yield f"{path.relative_to(ROOT).as_posix()}: not generated here"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the script; returns its exit status."""
    parser = argparse.ArgumentParser(description="Write the recorded caches in data-fixtures/caches/.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a byte differs")
    check = parser.parse_args(arguments).check
    expected = {ROOT / "caches" / f"{name}.json": make().document() for name, make in GENERATIONS.items()}
    if not check:
        (ROOT / "caches").mkdir(exist_ok=True)
        for path, data in expected.items():
            path.write_bytes(data)
    found = list(faults(expected))
    for fault in found:
        sys.stderr.write(fault + "\n")
    verb = "compared" if check else "written"
    sys.stdout.write(f"{len(expected)} recorded caches {verb}, {len(found)} faults\n")
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())

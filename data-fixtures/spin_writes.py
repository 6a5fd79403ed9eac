"""How each generation of Spin encodes what it pushes, and what it leaves in its cache when it pulls.

Used by ``caches.py`` beside it. Standard library only, nothing of the package.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import struct
import tarfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]
Layer = tuple[str, bytes]
"""Media type and bytes."""

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
    """A core module of one section named `seed`, and who made it; it stands for one 500 times as large."""
    made = {kind.replace("_", "-"): tools for kind, tools in said.items()}
    filling = _section(0, _name(seed) + hashlib.shake_256(seed.encode()).digest(size))
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
    kind: Json = {"trigger": {"base": "/", "type": "http"}} if old else {"triggers": {"http": {}}}
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
    config: Json = {"created": "2026-01-10T09:00:00Z", "architecture": "wasm", "os": "wasip2"}
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

    def pull(self, at: str, reference: str, artifact: Artifact) -> str:
        """Leave what a whole pull leaves, at some time of a day; gives the tag's directory."""
        self.now = f"{at}T10:00:00Z"
        registry, _, rest = reference.partition("/")
        repository, _, tag = rest.rpartition(":")
        folder = f"manifests/{self._safe(registry)}/{repository}/{tag}"
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

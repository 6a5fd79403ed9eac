"""The value ``Artifact``: a manifest, its blobs and where they go; and the encodings of a Spin push."""

import base64
import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

APPLICATION = "application/vnd.fermyon.spin.application.v1+config"
WASM = "application/vnd.wasm.content.layer.v1+wasm"
WKG_WASM = "application/wasm"
DATA = "application/vnd.wasm.content.layer.v1+data"
ARCHIVE = "application/vnd.wasm.content.bundle.v1.tar+gzip"
IMAGE_CONFIG = "application/vnd.oci.image.config.v1+json"
WKG_CONFIG = "application/vnd.wasm.config.v0+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
INLINE_LIMIT = 128
"""Content of at most this many bytes is written into the locked app (Spin v1.5 and later)."""

Json = dict[str, Any]


def sha256(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def sha512(data: bytes) -> str:
    return "sha512:" + hashlib.sha512(data).hexdigest()


def filler(seed: str, size: int) -> bytes:
    """Return ``size`` bytes that do not compress and are the same for the same seed."""
    return hashlib.shake_256(seed.encode()).digest(size)


def text_file(seed: str, size: int) -> bytes:
    """Return ``size`` bytes of readable text that begins with the seed."""
    line = f"{seed}: the quick brown fox jumps over the lazy dog\n".encode()
    return (line * (size // len(line) + 1))[:size]


def leb128(number: int) -> bytes:
    out = bytearray()
    while True:
        number, low = number >> 7, number & 0x7F
        out.append(low | (0x80 if number else 0))
        if not number:
            return bytes(out)


def wasm_module(seed: str, size: int = 3000) -> bytes:
    """Return a valid core module with one custom section, named after the seed, of about ``size`` bytes."""
    name = seed.encode()
    content = leb128(len(name)) + name + filler(seed, size)
    return b"\0asm\x01\0\0\0" + b"\0" + leb128(len(content)) + content


def compact(value: Any) -> bytes:
    """Return JSON as serde_json writes it: no spaces, keys in the order given, UTF-8."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def canonical(value: Any) -> bytes:
    """Return canonical JSON, which a Spin push uses for manifests: sorted keys, no spaces, UTF-8."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Give all places inside a JSON value, each as what holds it and its key there."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in list(pairs):
        yield value, key
        yield from places(inner)


def inline_text(data: bytes) -> str:
    """Return base64 of the standard alphabet without padding, as locked apps hold inline content."""
    return base64.b64encode(data).decode().rstrip("=")


def descriptor(media_type: str, data: bytes, **more: Any) -> Json:
    """Return the descriptor of some bytes; keywords add fields or replace ``digest`` and ``size``."""
    return {"mediaType": media_type, "digest": sha256(data), "size": len(data), **more}


@dataclass(frozen=True)
class Artifact:
    """A manifest (or index), its blobs and the place it is pushed to."""

    repository: str
    tag: str | None
    manifest: bytes
    media_type: str = OCI_MANIFEST
    blobs: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    children: "tuple[Artifact, ...]" = ()

    @property
    def digest(self) -> str:
        return sha256(self.manifest)

    @property
    def document(self) -> Json:
        """The manifest as JSON, parsed anew at each call."""
        document: Json = json.loads(self.manifest)
        return document

    @property
    def layers(self) -> list[Json]:
        layers: list[Json] = self.document.get("layers", [])
        return layers

    @property
    def application(self) -> bytes | None:
        """The bytes of the locked app: the application layer, else the config where that is one."""
        document = self.document
        for one in reversed([document["config"], *document["layers"]]):
            if one["mediaType"] == APPLICATION:
                return self.blobs[one["digest"]]
        return None

    @property
    def content_bytes(self) -> int:
        """Bytes of config and layers as declared, each digest once, without the manifest."""
        document = self.document
        sizes = {one["digest"]: int(one["size"]) for one in [document["config"], *document["layers"]]}
        return sum(sizes.values())

    def reference(self, registry: str, *, tag: bool = True, digest: bool = False) -> str:
        """Return ``registry/repository[:tag][@digest]`` for this artifact."""
        text = f"{registry}/{self.repository}"
        if tag and self.tag is not None:
            text += f":{self.tag}"
        return f"{text}@{self.digest}" if digest or self.tag is None else text

    def located(self, *, repository: str | None = None, tag: str | None = None) -> "Artifact":
        """Return the same artifact for another repository or tag; children move along."""
        target = repository or self.repository
        children = tuple(child.located(repository=target) for child in self.children)
        return dataclasses.replace(self, repository=target, tag=tag or self.tag, children=children)

"""OCI manifests and indexes, as far as Spin reads them (OCI image spec; Spin main, crates/oci)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from types import MappingProxyType
from typing import Any, Literal

from spincache_nb.core.digest import Digest
from spincache_nb.core.strict_json import JsonObject, parse_object
from spincache_nb.errors import InvalidDigestError, ManifestError, quoted

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
ACCEPTED = (OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_LIST)
"""Types that Spin's client asks for; an index is told from a manifest by what it contains."""

LOCKED_APP = "application/vnd.fermyon.spin.application.v1+config"
SPIN_WASM = "application/vnd.wasm.content.layer.v1+wasm"
PACKAGE_WASM = "application/wasm"
DATA = "application/vnd.wasm.content.layer.v1+data"
ARCHIVE = "application/vnd.wasm.content.bundle.v1.tar+gzip"
IMAGE_CONFIG = "application/vnd.oci.image.config.v1+json"
PACKAGE_CONFIG = "application/vnd.wasm.config.v0+json"

Role = Literal["wasm", "data", "archive", "application", "other"]
Area = Literal["wasm", "data"]
Kind = Literal["app", "package", "unknown"]

_ROLES: Mapping[str, Role] = MappingProxyType(
    {
        LOCKED_APP: "application",
        SPIN_WASM: "wasm",
        PACKAGE_WASM: "wasm",
        DATA: "data",
        ARCHIVE: "archive",
    }
)
_MAX_SIZE = (1 << 63) - 1
_MEDIA_TYPE, _DIGEST, _SIZE = map(attrgetter, ("media_type", "digest", "size"))
_REMEDY = "the registry holds something that is not a Spin app or package"


def role_of(media_type: str) -> Role:
    """What Spin does with a layer of a media type (crates/oci, pull)."""
    return _ROLES.get(media_type, "other")


@dataclass(frozen=True, slots=True)
class Platform:
    """Operating system and architecture, in Go's words, as an index spells them."""

    os: str
    architecture: str

    @classmethod
    def of_this_host(cls) -> Platform:
        """Platform that Spin's client would pick from an index on this machine."""
        import platform as host_platform  # only an index wants to know

        system = {"win32": "windows", "darwin": "darwin"}.get(sys.platform, "linux")
        machine = host_platform.machine().lower()
        names = {"x86_64": "amd64", "aarch64": "arm64", "i386": "386", "i686": "386"}
        return cls(system, names.get(machine, machine))


@dataclass(frozen=True, slots=True)
class Descriptor:
    """Media type, digest and size that point at a blob or manifest."""

    media_type: str
    digest: Digest
    size: int
    annotations: Mapping[str, str] = field(default_factory=dict, hash=False)
    platform: Platform | None = None
    urls: tuple[str, ...] = ()

    @property
    def role(self) -> Role:
        """What Spin does with a layer of this media type (crates/oci, pull)."""
        return role_of(self.media_type)

    @property
    def area(self) -> Area:
        """Directory of the cache in which Spin puts a layer of this media type."""
        return "wasm" if self.role == "wasm" else "data"


@dataclass(frozen=True, slots=True)
class Manifest:
    """One app or package: its config and its layers."""

    config: Descriptor
    layers: Sequence[Descriptor]
    annotations: Mapping[str, str] = field(default_factory=dict, hash=False)
    media_type: str | None = None
    artifact_type: str | None = None
    application: Descriptor | None = field(init=False, repr=False, compare=False)
    _total: Callable[[], int] | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        application = self.config if self.config.media_type == LOCKED_APP else None
        if LOCKED_APP in map(_MEDIA_TYPE, self.layers):  # asked for often, of many layers
            application = next(one for one in reversed(self.layers) if one.media_type == LOCKED_APP)
        object.__setattr__(self, "application", application)

    def with_layers(
        self,
        layers: Sequence[Descriptor],
        application: Descriptor | None,
        total: Callable[[], int] | None = None,
    ) -> Manifest:
        """The same manifest with layers instead of none, which may be made when they are looked at."""
        made = object.__new__(Manifest)
        for name in Manifest.__slots__:  # as `copy.copy` does in ten times as long
            object.__setattr__(made, name, getattr(self, name))
        object.__setattr__(made, "layers", layers)
        object.__setattr__(made, "application", application or self.application)
        object.__setattr__(made, "_total", total)
        return made

    @property
    def kind(self) -> Kind:
        """``app``, ``package`` (one wasm layer and no locked app) or ``unknown``."""
        if self.application is not None:
            return "app"
        if self.config.media_type == PACKAGE_CONFIG:
            return "package"
        only_wasm = len(self.layers) == 1 and self.layers[0].role == "wasm"
        return "package" if only_wasm else "unknown"

    @property
    def tag_document(self) -> Descriptor:
        """Descriptor of the bytes that end up as the cached tag's ``config.json``."""
        return self.application or self.config

    @property
    def content_layers(self) -> tuple[Descriptor, ...]:
        """Layers that are stored as blobs: all but application layers, duplicates included."""
        return tuple(layer for layer in self.layers if layer.role != "application")

    @property
    def total_bytes(self) -> int:
        """Declared size of config and layers, each digest once."""
        if self._total is not None:
            return self._total()
        sizes = dict(zip(map(_DIGEST, self.layers), map(_SIZE, self.layers), strict=True))
        sizes[self.config.digest] = self.config.size
        return sum(sizes.values())

    def distinct(self) -> Iterator[Descriptor]:
        """Config and layers, each digest once, in the manifest's order."""
        seen: set[Digest] = set()
        for descriptor in (self.config, *self.layers):
            if descriptor.digest not in seen:
                seen.add(descriptor.digest)
                yield descriptor


@dataclass(frozen=True, slots=True)
class Index:
    """A list of manifests, one per platform."""

    manifests: tuple[Descriptor, ...]
    media_type: str | None = None


def parse_manifest(data: bytes, *, where: str) -> Manifest | Index:
    """Read a manifest, or else an index, as Spin's client does."""
    document = parse_object(data, where=where, error=ManifestError, what="an OCI manifest")
    reader = _Reader(where)
    reader.check_envelope(document)
    media_type = document.get("mediaType")
    if "config" in document and "layers" in document:
        manifest = Manifest(
            config=reader.descriptor(document["config"], "config"),
            layers=reader.descriptors(document, "layers"),
            annotations=reader.annotations(document, "annotations"),
            media_type=media_type,
            artifact_type=reader.optional_text(document, "artifactType"),
        )
        reader.check_sizes(manifest)
        return manifest
    if "manifests" in document:
        return Index(reader.descriptors(document, "manifests"), media_type)
    keys = quoted(", ".join(sorted(document)[:8]))
    raise ManifestError(where, "an OCI manifest (config and layers) or index", f"keys {keys}", _REMEDY)


def choose_manifest(index: Index, platform: Platform | None = None, *, where: str) -> Descriptor:
    """Pick the manifest of an index that Spin would pull."""
    wanted = platform or Platform.of_this_host()
    for entry in index.manifests:
        if entry.platform == wanted:
            return entry
    offered = ", ".join(f"{p.os}/{p.architecture}" for e in index.manifests if (p := e.platform))
    raise ManifestError(
        where,
        f"an entry for {wanted.os}/{wanted.architecture}",
        f"an index for {offered or 'no platform'}",
        "pull the manifest you want by its digest",
    )


class _Reader:
    """Turns JSON values into descriptors; every error names the document and the field."""

    def __init__(self, where: str) -> None:
        self.where = where

    def fail(self, path: str, expected: str, found: object) -> ManifestError:
        return ManifestError(f"{self.where}, {path}", expected, quoted(found), _REMEDY)

    def check_envelope(self, document: JsonObject) -> None:
        version = document.get("schemaVersion")
        if type(version) is not int or version != 2:
            raise self.fail("schemaVersion", "2", version)
        media_type = document.get("mediaType")
        if media_type is not None and media_type not in ACCEPTED:
            raise self.fail("mediaType", "an OCI or Docker manifest or index type", media_type)

    def check_sizes(self, manifest: Manifest) -> None:
        """One digest has one size: two are a lie that would make plan and pull disagree."""
        sizes: dict[Digest, int] = {}
        for descriptor in (manifest.config, *manifest.layers):
            known = sizes.setdefault(descriptor.digest, descriptor.size)
            if known != descriptor.size:
                raise self.fail(
                    "layers", f"one size for {descriptor.digest}", f"{known} and {descriptor.size}"
                )

    def descriptors(self, document: JsonObject, key: str) -> tuple[Descriptor, ...]:
        entries = document[key]
        if not isinstance(entries, list):
            raise self.fail(key, "a list of descriptors", entries)
        return tuple(self.descriptor(entry, f"{key}[{i}]") for i, entry in enumerate(entries))

    def descriptor(self, value: Any, path: str) -> Descriptor:
        if not isinstance(value, dict):
            raise self.fail(path, "a descriptor", value)
        media_type, size = value.get("mediaType"), value.get("size")
        if not isinstance(media_type, str):
            raise self.fail(f"{path}.mediaType", "text", media_type)
        if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= _MAX_SIZE:
            raise self.fail(f"{path}.size", "a number of bytes", size)
        try:
            digest = Digest.parse(value.get("digest", ""), where=f"{self.where}, {path}.digest")
        except InvalidDigestError as exc:
            raise ManifestError(exc.where, exc.expected, exc.found, _REMEDY) from exc
        return Descriptor(
            media_type,
            digest,
            size,
            self.annotations(value, f"{path}.annotations"),
            self.platform(value.get("platform"), f"{path}.platform"),
            self.urls(value.get("urls"), f"{path}.urls"),
        )

    def platform(self, value: Any, path: str) -> Platform | None:
        if value is None:
            return None
        if not isinstance(value, dict):
            raise self.fail(path, "an object", value)
        parts = [value.get(key, "") for key in ("os", "architecture")]
        if not all(isinstance(part, str) for part in parts):
            raise self.fail(path, "os and architecture as text", value)
        return Platform(*parts)

    def urls(self, value: Any, path: str) -> tuple[str, ...]:
        if value is None:
            return ()
        if not isinstance(value, list) or not all(isinstance(url, str) for url in value):
            raise self.fail(path, "a list of addresses", value)
        return tuple(value)

    def annotations(self, document: JsonObject, path: str) -> Mapping[str, str]:
        value = document.get("annotations")
        if value is None:
            return {}
        if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
            raise self.fail(path, "text by key", value)
        return dict(value)

    def optional_text(self, document: JsonObject, key: str) -> str | None:
        value = document.get(key)
        if value is not None and not isinstance(value, str):
            raise self.fail(key, "text", value)
        return value

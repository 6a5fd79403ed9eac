"""OCI manifests and indexes, as far as Spin reads them, and JSON from outside in general.

A manifest is decoded by type: one part of it that is wrong makes Spin refuse all of it. A locked app
(`spincache_nb.core.locked_app`) is not, since what is sound in a damaged one is still to be read.
Sources: OCI image spec; Spin main, crates/oci.
"""

from __future__ import annotations

import base64
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta, timezone
from types import MappingProxyType
from typing import Annotated, Any, Literal, TypeVar

import msgspec

from spincache_nb.core.digest import Digest
from spincache_nb.errors import FormatError, InvalidDigestError, ManifestError, quoted

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

_RFC_3339 = re.compile(
    r"(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ](?P<time>[0-9]{2}:[0-9]{2}):(?P<second>[0-9]{2})"
    r"(?:\.(?P<fraction>[0-9]+))?(?P<zone>[Zz]|[+-][0-9]{2}:[0-9]{2})"
)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MOST_NAMED = 5
Role = Literal["wasm", "data", "archive", "application", "other"]
Area = Literal["wasm", "data"]
Kind = Literal["app", "package", "unknown"]
JsonObject = dict[str, Any]

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
_REMEDY = "the registry holds something that is not a Spin app or package"
_Made = TypeVar("_Made")


def role_of(media_type: str) -> Role:
    """What Spin does with a layer of a media type (crates/oci, pull)."""
    return _ROLES.get(media_type, "other")


def parse_object(data: bytes, *, where: str, error: type[FormatError], what: str) -> JsonObject:
    """Read bytes as one JSON object."""
    document = _decoded(_ANYTHING, data, where=where, error=error, what=what)
    if isinstance(document, dict):
        return document
    raise _other_kind(error, where, what, f"a JSON {type(document).__name__}")


def _decoded(
    decoder: msgspec.json.Decoder[_Made], data: bytes, *, where: str, error: type[FormatError], what: str
) -> _Made:
    try:
        if not data.isascii():
            data.decode("utf-8")  # the decoder does not look into what it skips
        return decoder.decode(data)
    except UnicodeDecodeError as exc:
        expected, found = f"{what} in UTF-8", f"text that is not ({exc.reason})"
    except RecursionError:
        expected, found = what, "JSON nested too deeply"
    except msgspec.ValidationError as exc:
        if decoder is not _ANYTHING:
            raise
        expected, found = what, f"text that is not JSON ({exc})"
    except msgspec.DecodeError as exc:
        expected, found = what, f"text that is not JSON ({exc})"
    # raised out here, since the errors above may carry the text, and secrets in it, along
    raise _other_kind(error, where, expected, found)


def _other_kind(error: type[FormatError], where: str, expected: str, found: str) -> FormatError:
    return error(where, expected, found, "the document is damaged or of another kind")


class Platform(msgspec.Struct, frozen=True):
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


class Descriptor(msgspec.Struct, frozen=True):
    """Media type, digest and size that point at a blob or manifest."""

    media_type: str
    digest: Digest
    size: int
    annotations: Mapping[str, str] = msgspec.field(default_factory=dict)
    platform: Platform | None = None
    urls: tuple[str, ...] = ()
    data: bytes | None = None
    """The bytes themselves, where the descriptor holds them (OCI image spec, Embedded Content); checked."""

    def __repr__(self) -> str:
        return f"Descriptor({self.media_type!r}, {str(self.digest)!r}, {self.size})"

    def _named(self) -> tuple[object, ...]:
        return self.media_type, self.digest, self.size, self.annotations, self.platform, self.urls

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Descriptor) and self._named() == other._named()

    def __hash__(self) -> int:
        return hash((self.media_type, self.digest, self.size))

    @property
    def role(self) -> Role:
        """What Spin does with a layer of this media type (crates/oci, pull)."""
        return role_of(self.media_type)

    @property
    def area(self) -> Area:
        """Directory of the cache in which Spin puts a layer of this media type."""
        return "wasm" if self.role == "wasm" else "data"

    def matches(self, content: bytes) -> bool:
        """Whether these are the bytes that the descriptor names."""
        return len(content) == self.size and self.digest.matches(content)


class Manifest(msgspec.Struct, frozen=True):
    """One app or package: its config and its layers."""

    config: Descriptor
    layers: Sequence[Descriptor]
    annotations: Mapping[str, str] = msgspec.field(default_factory=dict)
    media_type: str | None = None
    artifact_type: str | None = None

    def __hash__(self) -> int:
        return hash((self.config, tuple(self.layers)))

    @property
    def application(self) -> Descriptor | None:
        """The locked app: the last layer of its type, or the config (Spin before v2.0)."""
        for layer in reversed(self.layers):
            if layer.media_type == LOCKED_APP:
                return layer
        return self.config if self.config.media_type == LOCKED_APP else None

    @property
    def kind(self) -> Kind:
        """``app``, ``package`` (one wasm layer and no locked app) or ``unknown``."""
        return kind_of(self.config.media_type, [layer.media_type for layer in self.layers])

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
        return sum(descriptor.size for descriptor in self.distinct())

    def distinct(self) -> Iterator[Descriptor]:
        """Config and layers, each digest once, in the manifest's order."""
        seen: set[Digest] = set()
        for descriptor in (self.config, *self.layers):
            if descriptor.digest not in seen:
                seen.add(descriptor.digest)
                yield descriptor


def kind_of(config: str, layers: Sequence[str]) -> Kind:
    """Tell an app from a package by the media types of config and layers."""
    if config == LOCKED_APP or LOCKED_APP in layers:
        return "app"
    if config == PACKAGE_CONFIG:
        return "package"
    return "package" if len(layers) == 1 and role_of(layers[0]) == "wasm" else "unknown"


class Index(msgspec.Struct, frozen=True):
    """A list of manifests, one per platform."""

    manifests: tuple[Descriptor, ...]
    media_type: str | None = None


def parse_manifest(data: bytes, *, where: str) -> Manifest | Index:
    """Read a manifest, or else an index, as Spin's client does."""
    document = decode_manifest(data, where=where)
    if document.config is None or document.layers is None:
        entries = _entries(document.manifests, data, where)
        found = tuple(_descriptor(entry, where, f"manifests[{i}]") for i, entry in enumerate(entries))
        return Index(found, document.mediaType or None)
    manifest = Manifest(
        config=_descriptor(document.config, where, "config"),
        layers=tuple(_descriptor(entry, where, f"layers[{i}]") for i, entry in enumerate(document.layers)),
        annotations=known_values(document.annotations),
        media_type=document.mediaType or None,
        artifact_type=document.artifactType,
    )
    _check_sizes(manifest, where)
    return manifest


def choose_manifest(index: Index, platform: Platform | None = None, *, where: str) -> Descriptor:
    """Pick the manifest of an index that Spin would pull."""
    wanted = platform or Platform.of_this_host()
    for entry in index.manifests:
        if entry.platform == wanted:
            return entry
    offered = ", ".join(f"{p.os}/{p.architecture}" for e in index.manifests if (p := e.platform))
    digests = [f"@{entry.digest}" for entry in index.manifests[:_MOST_NAMED]]
    raise ManifestError(
        where,
        f"an entry for {wanted.os}/{wanted.architecture}",
        f"an index for {offered or 'no platform'}",
        f"pull the manifest you want by its digest: {', '.join(digests) or 'it lists none'}",
    )


_Texts = dict[str, str | None] | None
"""Annotations; some registries give null for a value, and no client minds."""


class _WrittenPlatform(msgspec.Struct, gc=False):
    os: str = ""
    architecture: str = ""


class WrittenDescriptor(msgspec.Struct, gc=False):
    """A descriptor as JSON has it; its digest is any text so far."""

    mediaType: str  # noqa: N815 - the key in JSON, as below
    digest: str
    size: Annotated[int, msgspec.Meta(ge=0, le=_MAX_SIZE)]
    annotations: _Texts = None
    platform: _WrittenPlatform | None = None
    urls: list[str] | None = None
    data: Any = None


class WrittenManifest(msgspec.Struct):
    """A manifest (config and layers) or an index (manifests) as JSON has it."""

    schemaVersion: Any = None  # noqa: N815
    mediaType: Any = None  # noqa: N815
    config: WrittenDescriptor | None = None
    layers: list[WrittenDescriptor] | None = None
    annotations: _Texts = None
    artifactType: str | None = None  # noqa: N815
    manifests: msgspec.Raw = msgspec.Raw()


_ANYTHING = msgspec.json.Decoder()
_MANIFEST = msgspec.json.Decoder(WrittenManifest)
_ENTRIES = msgspec.json.Decoder(list[WrittenDescriptor])
_REFUSAL = (
    r"(?:Object missing required field `(?P<field>\w+)`|Expected .*?)"
    r"(?: - at `\$\.?(?P<path>.*)`)?"
)
_EXPECTED = {
    "digest": "a digest such as sha256:<64 lower-case hex digits>",
    "size": "a number of bytes",
    "annotations": "text by key",
    "urls": "a list of addresses",
    "platform": "os and architecture as text",
    "layers": "a list of descriptors",
    "manifests": "a list of descriptors",
    "config": "a descriptor",
    "layers[]": "a descriptor",
    "manifests[]": "a descriptor",
    "": "an OCI manifest",
}


def decode_manifest(data: bytes, *, where: str) -> WrittenManifest:
    """Decode a manifest or an index; that digests are digests is left to check."""
    what = "an OCI manifest"
    try:
        document = _decoded(_MANIFEST, data, where=where, error=ManifestError, what=what)
    except msgspec.ValidationError as exc:
        raise _refusal(exc, data, where) from None
    if type(document.schemaVersion) is not int or document.schemaVersion != 2:
        raise _fault(where, "schemaVersion", "2", quoted(document.schemaVersion))
    if document.mediaType not in (None, "", *ACCEPTED):
        expected = "an OCI or Docker manifest or index type"
        raise _fault(where, "mediaType", expected, quoted(document.mediaType))
    if (document.config is None or document.layers is None) and not bytes(document.manifests):
        listed = parse_object(data, where=where, error=ManifestError, what=what)
        keys_text = quoted(", ".join(sorted(listed)[:8]))
        expected = "an OCI manifest (config and layers) or index"
        raise ManifestError(where, expected, f"keys {keys_text}", _REMEDY)
    return document


def known_values(texts: _Texts) -> dict[str, str]:
    """Annotations without those that have no value."""
    return {key: text for key, text in texts.items() if text is not None} if texts else {}


def _entries(manifests: msgspec.Raw, data: bytes, where: str) -> list[WrittenDescriptor]:
    try:
        return _ENTRIES.decode(manifests)
    except msgspec.ValidationError as exc:
        raise _refusal(exc, data, where, below="manifests") from None


def _descriptor(written: WrittenDescriptor, where: str, path: str) -> Descriptor:
    try:
        digest = Digest.parse(written.digest, where=f"{where}, {path}.digest")
    except InvalidDigestError as exc:
        raise ManifestError(exc.where, exc.expected, exc.found, _REMEDY) from exc
    platform = written.platform
    made = Descriptor(
        written.mediaType,
        digest,
        written.size,
        known_values(written.annotations),
        Platform(platform.os, platform.architecture) if platform is not None else None,
        tuple(written.urls or ()),
    )
    return made if written.data is None else msgspec.structs.replace(made, data=_embedded(made, written.data))


def _embedded(descriptor: Descriptor, text: object) -> bytes | None:
    """Content that a descriptor holds in base64; None if it is not the content that the digest names."""
    try:
        content = base64.b64decode(text, validate=True) if isinstance(text, str) else b""
    except ValueError:
        return None
    return content if descriptor.matches(content) else None


def _check_sizes(manifest: Manifest, where: str) -> None:
    """One digest has one size: two are a lie that would make plan and pull disagree."""
    sizes: dict[Digest, int] = {}
    for descriptor in (manifest.config, *manifest.layers):
        known = sizes.setdefault(descriptor.digest, descriptor.size)
        if known != descriptor.size:
            expected = f"one size for {descriptor.digest}"
            raise _fault(where, "layers", expected, f"{known} and {descriptor.size}")


def _refusal(exc: msgspec.ValidationError, data: bytes, where: str, *, below: str = "") -> ManifestError:
    """Say in the words of this package what the typed decoder did not take."""
    match = re.fullmatch(_REFUSAL, str(exc))
    path = below + (match["path"] or "" if match else "").replace("[...]", "")
    if match and match["field"]:
        path, found = f"{path}.{match['field']}".lstrip("."), "nothing"
    else:
        document = parse_object(data, where=where, error=ManifestError, what="an OCI manifest")
        found = quoted(_value_at(document, path))
    name = re.sub(r"\[\d+\]$", "[]", path.rpartition(".")[2])
    return _fault(where, path, _EXPECTED.get(name, "text"), found)


def _value_at(document: Any, path: str) -> Any:
    """What stands in a document at a path such as ``layers[3].size``."""
    for step in re.findall(r"\w+", path):
        document = document[int(step) if isinstance(document, list) else step]
    return document


def _fault(where: str, path: str, expected: str, found: str) -> ManifestError:
    return ManifestError(f"{where}, {path}" if path else where, expected, found, _REMEDY)


def parse_rfc_3339(text: str) -> int | None:
    """Read a time by RFC 3339, as in ``org.opencontainers.image.created`` (OCI image spec, Annotations)."""
    match = _RFC_3339.fullmatch(text)
    if match is None:
        return None
    second = int(match["second"])
    leap = second == 60
    try:
        day = datetime.fromisoformat(f"{match['date']}T{match['time']}:{59 if leap else second:02}")
        since = day.replace(tzinfo=_zone(match["zone"])) - EPOCH
    except (ValueError, OverflowError):
        return None
    fraction = int((match["fraction"] or "0")[:9].ljust(9, "0"))
    return (since.days * 86_400 + since.seconds + leap) * 1_000_000_000 + fraction


def _zone(text: str) -> timezone:
    if text in "Zz":
        return UTC
    hours, minutes = int(text[1:3]), int(text[4:6])
    if minutes > 59:
        raise ValueError("no such zone")
    offset = timedelta(hours=hours, minutes=minutes)
    return timezone(-offset if text[0] == "-" else offset)

"""What a package registry says of itself (wasm-pkg-common 0.11, metadata.rs)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from spincache_nb.errors import FormatError, PackageError

WELL_KNOWN = "/.well-known/wasm-pkg/registry.json"
"""Where on its host a registry keeps its metadata (RFC 8615)."""

_LEGACY = {"ociRegistry": ("oci", "registry"), "ociNamespacePrefix": ("oci", "namespacePrefix")}
_LEGACY_URL = "wargUrl"


@dataclass(frozen=True, slots=True)
class RegistryMetadata:
    """Which protocol a registry prefers, and its settings for each."""

    preferred: str | None = None
    protocols: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, hash=False)
    legacy: Mapping[tuple[str, str], str] = field(default_factory=dict, hash=False)

    @property
    def preferred_protocol(self) -> str | None:
        """The protocol to use: the preferred one, else the only one that has settings."""
        if self.preferred is not None:
            return self.preferred
        if len(self.protocols) == 1:
            return next(iter(self.protocols))
        flat = {("oci", "registry"), ("warg", "url")} & set(self.legacy)
        return next(iter(flat))[0] if not self.protocols and len(flat) == 1 else None

    def oci(self, *, where: str) -> tuple[str | None, str]:
        """Host of the OCI registry, if it is another one, and what stands before each namespace there."""
        table = dict(self.protocols.get("oci", {}))
        table.update({key: value for (protocol, key), value in self.legacy.items() if protocol == "oci"})
        registry, prefix = table.get("registry"), table.get("namespacePrefix")
        if not isinstance(registry, str | None) or not isinstance(prefix, str | None):
            raise PackageError(
                where,
                "registry and namespacePrefix as text",
                "something else",
                "its operator must correct it",
            )
        return registry, prefix or ""


def parse_metadata(document: Mapping[str, Any], *, where: str, error: type[FormatError]) -> RegistryMetadata:
    """Read metadata."""
    protocols: dict[str, Mapping[str, Any]] = {}
    legacy: dict[tuple[str, str], str] = {}
    texts = {"preferredProtocol": None, **_LEGACY, _LEGACY_URL: ("warg", "url")}
    for key, value in document.items():
        if key in texts:
            if not isinstance(value, str | None):
                raise error(f"{where}, {key}", "text", f"a {type(value).__name__}", "correct it")
            place = texts[key]
            if place is not None and value is not None:
                legacy[place] = value
        elif isinstance(value, Mapping):
            protocols[key] = value
        else:
            raise error(f"{where}, {key}", "a table of settings", f"a {type(value).__name__}", "correct it")
    return RegistryMetadata(document.get("preferredProtocol"), protocols, legacy)


def check_protocol(host: str, configured: str | None, metadata: RegistryMetadata) -> None:
    """Make sure that a registry is to be asked by the OCI protocol, the only one that is spoken here."""
    protocol = configured or metadata.preferred_protocol or "oci"
    if protocol == "oci":
        return
    if protocol == "local":
        found, remedy = "the protocol 'local' in its metadata", "only your own configuration may name it"
    elif protocol == "warg":
        found, remedy = (
            "the protocol 'warg'",
            "warg was given up; the registry must offer its packages by OCI",
        )
    else:
        found, remedy = f"the protocol {protocol!r}", "the wasm package tools do not know it either"
    raise PackageError(f"registry {host}", "packages by the OCI protocol", found, remedy)

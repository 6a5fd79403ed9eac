"""The wasm package tools' configuration, and what a registry says of itself (wasm-pkg-common 0.11)."""

from __future__ import annotations

import base64
import binascii
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from spincache_nb.core import paths
from spincache_nb.core.credentials import Credentials
from spincache_nb.errors import CredentialsError, FormatError, PackageConfigError, PackageError
from spincache_nb.project.names import is_label, is_package

CONFIG_BYTES = 1 << 20
"""A larger file is not read."""

FALLBACKS: Mapping[str, str] = {"wasi": "wasi.dev", "ba": "bytecodealliance.org"}
"""Registries of two well-known namespaces, where nothing else is configured."""

_KEYS = ("default_registry", "namespace_registries", "package_registry_overrides", "registry")
_REMEDY = "correct the file; Spin does not load packages with it either"

_HOST = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_LEGACY = {"ociRegistry": ("oci", "registry"), "ociNamespacePrefix": ("oci", "namespacePrefix")}
_LEGACY_URL = "wargUrl"
Table = Mapping[str, Any]
T = TypeVar("T")


def is_host(text: str) -> bool:
    """Whether a text can be a registry: a host with a port or without."""
    return _HOST.fullmatch(text) is not None


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


@dataclass(frozen=True, slots=True)
class RegistryMapping:
    """Which registry serves a namespace or a package."""

    registry: str
    metadata: RegistryMetadata | None = None


@dataclass(frozen=True, slots=True)
class RegistrySettings:
    """What is configured for one registry."""

    backend: str | None = None
    credentials: Credentials | None = None
    plain: bool | None = None
    root: Path | None = None
    fault: PackageConfigError | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class PackageConfig:
    """Which registry serves which package."""

    where: str = "wasm-pkg/config.toml"
    default_registry: str | None = None
    namespaces: Mapping[str, RegistryMapping] = field(default_factory=dict, hash=False)
    packages: Mapping[str, RegistryMapping] = field(default_factory=dict, hash=False)
    registries: Mapping[str, RegistrySettings] = field(default_factory=dict, hash=False)

    def with_override(self, package: str, registry: str) -> PackageConfig:
        """The same with a registry of its own for one package, as ``registry`` in a spin.toml sets it."""
        return replace(self, packages={**self.packages, package: RegistryMapping(registry)})

    def registry_of(self, package: str) -> str | None:
        """Registry of a package: its own, its namespace's, the default one, a well-known one, or None."""
        namespace = package.partition(":")[0]
        mapping = self.packages.get(package) or self.namespaces.get(namespace)
        return mapping.registry if mapping else self.default_registry or FALLBACKS.get(namespace)

    def metadata_of(self, package: str) -> RegistryMetadata | None:
        """Metadata that are configured for a package, or None if its registry is to be asked."""
        namespace = package.partition(":")[0]
        for mapping in (self.packages.get(package), self.namespaces.get(namespace)):
            if mapping is not None and mapping.metadata is not None:
                return mapping.metadata
        return None

    def settings_of(self, registry: str) -> RegistrySettings:
        """Settings of a registry; none where nothing is configured."""
        found = self.registries.get(registry, RegistrySettings())
        if found.fault is not None:
            raise found.fault
        return found


def read_package_config(path: Path | None = None) -> PackageConfig:
    """Read this user's configuration."""
    found = path or paths.wasm_pkg_config_file()
    if found is None:
        return PackageConfig()
    try:
        with found.open("rb") as file:
            data = file.read(CONFIG_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        return PackageConfig(str(found))
    except OSError as exc:
        raise PackageConfigError(str(found), "a readable file", exc.strerror or str(exc), _REMEDY) from exc
    if len(data) > CONFIG_BYTES:
        raise PackageConfigError(str(found), f"at most {CONFIG_BYTES} bytes", "more", _REMEDY)
    return parse_package_config(data, where=str(found))


def parse_package_config(data: bytes, *, where: str) -> PackageConfig:
    """Read a configuration."""
    try:
        document = tomllib.loads(data.decode("utf-8"))
    except (ValueError, RecursionError):  # which may repeat what stands in the file
        raise PackageConfigError(where, "TOML in UTF-8", "other text", _REMEDY) from None
    reader = _Reader(where)
    unknown = sorted(set(document) - set(_KEYS))
    if unknown:
        raise reader.fault(unknown[0], f"one of {', '.join(_KEYS)}", "a key that the tools do not know")
    default = document.get("default_registry")
    return PackageConfig(
        where,
        reader.host(default, "default_registry") if default is not None else None,
        reader.table(document, "namespace_registries", reader.mapping, is_label, "a namespace"),
        reader.table(document, "package_registry_overrides", reader.mapping, is_package, "a package"),
        {
            key.lower(): settings
            for key, settings in reader.table(
                document, "registry", reader.settings, is_host, "a host"
            ).items()
        },
    )


class _Reader:
    """Turns TOML values into settings; every error names the file and the key, and no value."""

    def __init__(self, where: str) -> None:
        self.where = where

    def fault(self, path: str, expected: str, found: str) -> PackageConfigError:
        return PackageConfigError(f"{self.where}, {path}", expected, found, _REMEDY)

    def table(
        self,
        document: Table,
        key: str,
        read: Callable[[Any, str], T],
        check: Callable[[str], bool],
        what: str,
    ) -> dict[str, T]:
        value = document.get(key, {})
        if not isinstance(value, dict):
            raise self.fault(key, "a table", f"a {type(value).__name__}")
        for name in value:
            if not check(name):
                raise self.fault(key, what, repr(name))
        return {name: read(entry, f"{key}.{name}") for name, entry in value.items()}

    def host(self, value: Any, path: str) -> str:
        if not isinstance(value, str) or not is_host(value):
            raise self.fault(path, "a registry as host or host:port", "something else")
        return value.lower()

    def mapping(self, value: Any, path: str) -> RegistryMapping:
        if not isinstance(value, dict):
            return RegistryMapping(self.host(value, path))
        metadata = value.get("metadata")
        if not isinstance(metadata, dict):
            raise self.fault(path, "registry and metadata", "no table of metadata")
        return RegistryMapping(
            self.host(value.get("registry"), f"{path}.registry"),
            parse_metadata(metadata, where=f"{self.where}, {path}.metadata", error=PackageConfigError),
        )

    def settings(self, value: Any, path: str) -> RegistrySettings:
        if not isinstance(value, dict) or ("type" in value and "default" in value):
            raise self.fault(path, "a table with one of type and default", "something else")
        named = value.get("type", value.get("default"))
        backends = {key: table for key, table in value.items() if key not in ("type", "default")}
        if not isinstance(named, str | None) or not all(isinstance(t, dict) for t in backends.values()):
            raise self.fault(path, "a type and tables of settings", "something else")
        backend = named or (next(iter(backends)) if len(backends) == 1 else None)
        try:
            return self.protocols(backend, backends.get("oci", {}), backends.get("local", {}), path)
        except PackageConfigError as exc:
            return RegistrySettings(backend, fault=exc)

    def protocols(self, backend: str | None, oci: Table, local: Table, path: str) -> RegistrySettings:
        auth, root = oci.get("auth"), local.get("root")
        if not isinstance(root, str | None):
            raise self.fault(f"{path}.local.root", "a path", "something else")
        return RegistrySettings(
            backend,
            self.credentials(auth, f"{path}.oci.auth") if auth is not None else None,
            self.plain(oci.get("protocol"), f"{path}.oci.protocol"),
            Path(root) if root is not None else None,
        )

    def plain(self, value: Any, path: str) -> bool | None:
        if value not in (None, "http", "https"):
            raise self.fault(path, '"http" or "https"', "something else")
        return None if value is None else value == "http"

    def credentials(self, value: Any, path: str) -> Credentials:
        if isinstance(value, str):
            pair = _decode(value)
        elif isinstance(value, dict) and set(value) == {"username", "password"}:
            pair = (value["username"], value["password"])
        else:
            pair = None
        if pair is None or not all(isinstance(part, str) for part in pair):
            raise self.fault(path, "base64 of user:password, or username and password", "something else")
        try:
            return Credentials(*pair, source=self.where)
        except CredentialsError as exc:
            raise self.fault(path, exc.expected, exc.found) from None


def _decode(text: str) -> tuple[str, str] | None:
    bare = text.rstrip("=")
    try:
        pair = base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True).decode("utf-8")
    except (ValueError, binascii.Error):  # which hold the secret: they end here
        return None
    username, colon, password = pair.partition(":")
    return (username, password) if colon else None

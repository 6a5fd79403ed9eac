"""The wasm package tools' configuration, what a registry says of itself, and what packages were.

The first two are as wasm-pkg-common 0.11 reads them. A package is named by a version requirement, and only
its registry knows what content that is. So that the blobs of a project can be told offline, `pull_sources`
notes what it found out, as JSON lines in this toolkit's state directory, without paths and credentials.
``SPINCACHE_HISTORY=off`` switches that off, too.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import os
import re
import tomllib
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

import msgspec

from spincache_nb.core import paths
from spincache_nb.core.credentials import Credentials
from spincache_nb.core.digest import Digest
from spincache_nb.core.journal import HistoryWarning, LineFile, switched_on
from spincache_nb.core.settings import PACKAGE_RECORD_BYTES
from spincache_nb.errors import (
    CredentialsError,
    FormatError,
    InvalidDigestError,
    PackageConfigError,
    PackageError,
)
from spincache_nb.project.spin_toml import PackageKey
from spincache_nb.project.versions import is_label, is_package

CONFIG_BYTES = 1 << 20
FALLBACKS = {"wasi": "wasi.dev", "ba": "bytecodealliance.org"}
"""Registries of two well-known namespaces, where nothing else is configured."""

_KEYS = ("default_registry", "namespace_registries", "package_registry_overrides", "registry")
_REMEDY = "correct the file; Spin does not load packages with it either"
_HOST = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_OCI_KEYS = {"ociRegistry": "registry", "ociNamespacePrefix": "namespacePrefix"}
_TEXTS = ("preferredProtocol", *_OCI_KEYS, "wargUrl")
_NOT_SPOKEN = {
    "local": ("the protocol 'local' in its metadata", "only your own configuration may name it"),
    "warg": ("the protocol 'warg'", "warg was given up; the registry must offer its packages by OCI"),
}
Table = Mapping[str, Any]
T = TypeVar("T")

is_host = _HOST.fullmatch
"""Whether a text can be a registry: a host with a port or without."""


class RegistryMetadata(NamedTuple):
    """Which protocol a registry prefers, and its settings for OCI."""

    preferred_protocol: str | None = None
    settings: Table = MappingProxyType({})

    def oci(self, *, where: str) -> tuple[str | None, str]:
        """Host of the OCI registry, if it is another one, and what stands before each namespace there."""
        registry, prefix = self.settings.get("registry"), self.settings.get("namespacePrefix")
        if not isinstance(registry, str | None) or not isinstance(prefix, str | None):
            expected = "registry and namespacePrefix as text"
            raise PackageError(where, expected, "something else", "its operator must correct it")
        return registry, prefix or ""


def parse_metadata(document: Table, *, where: str, error: type[FormatError]) -> RegistryMetadata:
    """Read metadata; of several protocols none is preferred unless it is said."""
    tables: dict[str, Table] = {}
    flat: dict[str, str] = {}
    for key, value in document.items():
        found = f"a {type(value).__name__}"
        if key in _TEXTS:
            if not isinstance(value, str | None):
                raise error(f"{where}, {key}", "text", found, "correct it")
            flat |= {key: value} if value is not None else {}
        elif isinstance(value, Mapping):
            tables[key] = value
        else:
            raise error(f"{where}, {key}", "a table of settings", found, "correct it")
    older = {"ociRegistry": "oci", "wargUrl": "warg"}
    named = list(tables) or [protocol for key, protocol in older.items() if key in flat]
    preferred = flat.get("preferredProtocol", named[0] if len(named) == 1 else None)
    settings = {**tables.get("oci", {}), **{_OCI_KEYS[key]: flat[key] for key in _OCI_KEYS if key in flat}}
    return RegistryMetadata(preferred, settings)


def check_protocol(host: str, configured: str | None, metadata: RegistryMetadata) -> None:
    """Make sure that a registry is to be asked by the OCI protocol, the only one that is spoken here."""
    protocol = configured or metadata.preferred_protocol or "oci"
    if protocol != "oci":
        unknown = f"the protocol {protocol!r}", "the wasm package tools do not know it either"
        found, remedy = _NOT_SPOKEN.get(protocol, unknown)
        raise PackageError(f"registry {host}", "packages by the OCI protocol", found, remedy)


class RegistryMapping(NamedTuple):
    """Which registry serves a namespace or a package."""

    registry: str
    metadata: RegistryMetadata | None = None


class RegistrySettings(NamedTuple):
    """What is configured for one registry."""

    backend: str | None = None
    credentials: Credentials | None = None
    plain: bool | None = None
    root: Path | None = None
    fault: PackageConfigError | None = None


@dataclass(frozen=True, slots=True)
class PackageConfig:
    """Which registry serves which package."""

    where: str = "wasm-pkg/config.toml"
    default_registry: str | None = None
    namespaces: Mapping[str, RegistryMapping] = field(default_factory=dict)
    packages: Mapping[str, RegistryMapping] = field(default_factory=dict)
    registries: Mapping[str, RegistrySettings] = field(default_factory=dict)

    def find(self, package: str, registry: str | None = None) -> tuple[str | None, RegistryMetadata | None]:
        """Registry of a package, and its metadata if they are configured.

        It is the one of the spin.toml, the package's own, its namespace's, the default one, a well-known one.
        """
        namespace = package.partition(":")[0]
        own = RegistryMapping(registry) if registry is not None else self.packages.get(package)
        mappings = [one for one in (own, self.namespaces.get(namespace)) if one is not None]
        host = mappings[0].registry if mappings else self.default_registry or FALLBACKS.get(namespace)
        return host, next((one.metadata for one in mappings if one.metadata is not None), None)

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
    host = reader.host(default, "default_registry") if default is not None else None
    namespaces = reader.table(document, "namespace_registries", reader.mapping, is_label, "a namespace")
    packages = reader.table(document, "package_registry_overrides", reader.mapping, is_package, "a package")
    registries = reader.table(document, "registry", reader.settings, is_host, "a host")
    settings = {key.lower(): one for key, one in registries.items()}
    return PackageConfig(where, host, namespaces, packages, settings)


class _Reader:
    """Turns TOML values into settings; every error names the file and the key, and no value."""

    def __init__(self, where: str) -> None:
        self.where = where

    def fault(self, path: str, expected: str, found: str = "something else") -> PackageConfigError:
        return PackageConfigError(f"{self.where}, {path}", expected, found, _REMEDY)

    def table(
        self,
        document: Table,
        key: str,
        read: Callable[[Any, str], T],
        check: Callable[[str], object],
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
            raise self.fault(path, "a registry as host or host:port")
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
            raise self.fault(path, "a table with one of type and default")
        named = value.get("type", value.get("default"))
        backends = {key: table for key, table in value.items() if key not in ("type", "default")}
        if not isinstance(named, str | None) or not all(isinstance(t, dict) for t in backends.values()):
            raise self.fault(path, "a type and tables of settings")
        backend = named or (next(iter(backends)) if len(backends) == 1 else None)
        oci, root = backends.get("oci", {}), backends.get("local", {}).get("root")
        auth, protocol = oci.get("auth"), oci.get("protocol")
        try:
            if not isinstance(root, str | None):
                raise self.fault(f"{path}.local.root", "a path")
            credentials = self.credentials(auth, f"{path}.oci.auth") if auth is not None else None
            if protocol not in (None, "http", "https"):
                raise self.fault(f"{path}.oci.protocol", '"http" or "https"')
        except PackageConfigError as exc:
            return RegistrySettings(backend, fault=exc)
        plain = None if protocol is None else protocol == "http"
        return RegistrySettings(backend, credentials, plain, Path(root) if root is not None else None)

    def credentials(self, value: Any, path: str) -> Credentials:
        if isinstance(value, str):
            pair = _decode(value)
        elif isinstance(value, dict) and set(value) == {"username", "password"}:
            pair = (value["username"], value["password"])
        else:
            pair = None
        if pair is None or not all(isinstance(part, str) for part in pair):
            raise self.fault(path, "base64 of user:password, or username and password")
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


# What packages were ---------------------------------------------------------------------------


class PackageRecord(msgspec.Struct, frozen=True):
    """What a package was at one moment: a line of the record."""

    at: datetime
    package: str
    requirement: str
    registry: str | None
    version: str
    digest: str


class PackageLog:
    """The record of packages on this machine."""

    def __init__(self, path: Path | None = None, *, environ: Mapping[str, str] | None = None) -> None:
        folder = paths.state_dir(environ=os.environ if environ is None else environ)
        if path is None and folder is not None and switched_on(environ):
            path = folder / "packages.jsonl"
        self.path = path

    def append(self, records: Iterable[PackageRecord]) -> None:
        """Note what packages are now, as far as it is news."""
        if self.path is None:
            return
        lines, known = LineFile(self.path, max_bytes=PACKAGE_RECORD_BYTES), self.known()
        try:
            for record in records:
                if str(known.get((record.package, record.requirement, record.registry))) != record.digest:
                    lines.append(msgspec.json.encode(record) + b"\n")
        except OSError as exc:
            warnings.warn(
                f"packages are not recorded: {self.path}: {exc.strerror or exc}", HistoryWarning, stacklevel=2
            )

    def known(self) -> dict[PackageKey, Digest]:
        """Digests of packages as they were last looked up; lines that are none are passed over."""
        known: dict[PackageKey, Digest] = {}
        if self.path is not None:
            lines = LineFile(self.path, max_bytes=PACKAGE_RECORD_BYTES)
            for line in lines.read("the record of packages"):
                with contextlib.suppress(ValueError, RecursionError, InvalidDigestError):
                    record = msgspec.json.decode(line, type=PackageRecord)
                    key = record.package, record.requirement, record.registry
                    known[key] = Digest.parse(record.digest)
        return known

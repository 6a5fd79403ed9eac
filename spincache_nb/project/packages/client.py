"""A client for registries of WebAssembly packages."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx

from spincache_nb.core.credentials import Credentials, as_credentials
from spincache_nb.core.digest import Digest
from spincache_nb.core.registry import RegistryClient
from spincache_nb.core.settings import Limits, RetryPolicy, Timeouts
from spincache_nb.core.transport.web import Web
from spincache_nb.errors import PackageError
from spincache_nb.project.packages.config import PackageConfig, read_package_config
from spincache_nb.project.packages.hosts import is_host
from spincache_nb.project.packages.local import LocalPackages, hash_file, read_file
from spincache_nb.project.packages.metadata import RegistryMetadata, check_protocol
from spincache_nb.project.packages.oci import OciPackages, OciRelease
from spincache_nb.project.packages.once import Once
from spincache_nb.project.packages.web import fetch_metadata, stream_address
from spincache_nb.project.spin_manifest.names import is_package
from spincache_nb.project.versions import Requirement, Version


@dataclass(frozen=True, slots=True)
class Release:
    """The version of a package that satisfies a requirement, and its content."""

    package: str
    version: str
    origin: str
    digest: Digest
    size: int
    open: Callable[[], Iterator[bytes]] = field(repr=False, compare=False)


class PackageClient:
    """Finds and fetches packages, and what plain addresses name; safe to use from many threads."""

    def __init__(
        self,
        *,
        insecure: bool | None = None,
        ca: str | os.PathLike[str] | None = None,
        auth: Credentials | tuple[str, str] | None = None,
        jobs: int = 16,
        cancel: threading.Event | None = None,
        config: PackageConfig | None = None,
        limits: Limits | None = None,
        timeouts: Timeouts | None = None,
        retries: RetryPolicy | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._insecure = insecure
        self._auth = as_credentials(auth)
        self._options: dict[str, Any] = {
            "ca": ca,
            "jobs": jobs,
            "cancel": cancel,
            "limits": limits,
            "timeouts": timeouts,
            "retries": retries,
            "transport": transport,
        }
        self._config = config
        self._web = Web(insecure=insecure, **self._options)
        self._plain_web = Web(insecure=insecure is not False, **self._options)
        self._lock = threading.Lock()
        self._config_lock = threading.Lock()
        self._clients: list[RegistryClient] = []
        self._metadata: dict[str, Once[tuple[RegistryMetadata, str]]] = {}
        self._places: dict[tuple[str, str, str], Once[OciPackages]] = {}
        self._closed = False

    def __enter__(self) -> PackageClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections, also while other threads read: those get `PullCancelled` at once."""
        with self._lock:
            self._closed = True
        for each in self._all():
            each.close()

    @property
    def wire_bytes(self) -> int:
        """Bytes of all bodies received: metadata, tags, retries and error pages included."""
        return sum(each.wire_bytes for each in self._all())

    @property
    def request_count(self) -> int:
        """Requests sent: challenges, tokens and redirects included."""
        return sum(each.request_count for each in self._all())

    def _all(self) -> list[Web | RegistryClient]:
        with self._lock:
            return [self._web, self._plain_web, *self._clients]

    @property
    def config(self) -> PackageConfig:
        """The package tools' configuration."""
        with self._config_lock:
            if self._config is None:
                self._config = read_package_config()
            return self._config

    def resolve(self, package: str, requirement: str, registry: str | None = None) -> Release:
        """Find the newest version of a package that satisfies a requirement."""
        wanted = Requirement.parse(requirement, where=f"package {package}")
        packages = self._packages(package, registry)
        versions = packages.versions(package)
        fitting = [version for version in versions if wanted.matches(version)]
        if not fitting:
            raise PackageError(
                f"package {package}",
                f"a version that satisfies {requirement}",
                f"{_offer(versions)}, in {packages.describe(package)}",
                "change the requirement, or publish such a version",
            )
        version = max(fitting, key=lambda one: one.key)
        if isinstance(packages, LocalPackages):
            path = packages.path(package, version)
            digest, size = hash_file(path)
            return Release(package, str(version), str(path), digest, size, lambda: read_file(path))
        return _as_release(packages, package, version, packages.release(package, version))

    def stream_address(self, address: str, *, where: str) -> Iterator[bytes]:
        """Fetch what a plain address names; see `spincache_nb.project.packages.web.stream_address`."""
        return stream_address(self._plain_web, address, where=where)

    # Which registry ------------------------------------------------------------------------------

    def _packages(self, package: str, registry: str | None) -> OciPackages | LocalPackages:
        """Who has a package."""
        config, host = self._registry_of(package, registry)
        settings = config.settings_of(host)
        if settings.backend == "local":
            if settings.root is None:
                raise PackageError(config.where, f"local.root for registry {host}", "none", "set it")
            return LocalPackages(settings.root)
        metadata = config.metadata_of(package)
        note = ""
        if metadata is None:
            metadata, note = self._metadata_of(host)
        check_protocol(host, settings.backend, metadata)
        where = f"metadata of {host}"
        named, prefix = metadata.oci(where=where)
        oci_host = host if named is None else named.lower()
        if not is_host(oci_host):
            raise PackageError(
                where, "an OCI registry as host or host:port", repr(named), "it is set up wrongly"
            )
        return self._place(host, oci_host, prefix, note)

    def _registry_of(self, package: str, registry: str | None) -> tuple[PackageConfig, str]:
        if not is_package(package):
            raise PackageError(package, "a package such as namespace:name", "other text", "correct the name")
        config = self.config
        if registry is not None:
            if not is_host(registry):
                found = repr(registry) if "@" not in registry else "one with a user name"
                raise PackageError(
                    f"package {package}", "a registry as host or host:port", found, "correct it"
                )
            config = config.with_override(package, registry.lower())
        host = config.registry_of(package)
        if host is None:
            raise PackageError(
                f"package {package}",
                f"a registry for namespace {package.partition(':')[0]!r}",
                f"none in {config.where}",
                "set default_registry or namespace_registries there, or registry in the spin.toml",
            )
        return config, host

    def _metadata_of(self, host: str) -> tuple[RegistryMetadata, str]:
        with self._lock:
            once = self._metadata.setdefault(host, Once())
        return once.get(lambda: fetch_metadata(self._web, host))

    def _place(self, host: str, oci_host: str, prefix: str, note: str) -> OciPackages:
        with self._lock:
            once = self._places.setdefault((host, oci_host, prefix), Once())
        settings = self.config.settings_of(host)
        insecure = self._insecure if self._insecure is not None else settings.plain
        credentials = self._auth or settings.credentials

        def open_client(anonymous: bool) -> RegistryClient:
            auth = None if anonymous else credentials
            client = RegistryClient(insecure=insecure, auth=auth, anonymous=anonymous, **self._options)
            with self._lock:
                self._clients.append(client)
                closed = self._closed
            if closed:
                client.close()
            return client

        return once.get(
            lambda: OciPackages(oci_host, prefix, open_client, fallback=self._auth is None, note=note)
        )


def _as_release(packages: OciPackages, package: str, version: Version, found: OciRelease) -> Release:
    return Release(
        package,
        str(version),
        str(found.reference),
        found.layer.digest,
        found.layer.size,
        lambda: packages.stream(found),
    )


def _offer(versions: list[Version]) -> str:
    if not versions:
        return "no version at all"
    newest = max(versions, key=lambda one: one.key)
    return f"{len(versions)} others, the newest {newest}"

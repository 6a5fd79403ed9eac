"""Packages of WebAssembly registries: from a name and a version requirement to content.

What Spin does through wasm-pkg-client 0.11 (crates/loader/src/local.rs, load_registry_source): the
package tools' configuration says which registry serves a package, the registry's own metadata say
where its content is, and the newest version that satisfies the requirement is taken.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote

import httpx

from spincache_nb.core.addresses import host_in, is_loopback, parse_url, public_url
from spincache_nb.core.auth import basic
from spincache_nb.core.credentials import Credentials, as_credentials
from spincache_nb.core.digest import CHUNK_BYTES, Digest, hash_stream
from spincache_nb.core.documents import OCI_MANIFEST, PACKAGE_CONFIG, Descriptor, Manifest, parse_object
from spincache_nb.core.plans import Served, resolve
from spincache_nb.core.reference import Reference
from spincache_nb.core.refusals import Access, Purpose
from spincache_nb.core.registry import Registry, stream_address
from spincache_nb.core.settings import RetryPolicy, Timeouts
from spincache_nb.core.web import Ask, Web
from spincache_nb.errors import (
    AccessDeniedError,
    CredentialsError,
    FormatError,
    InsecureTransportError,
    InvalidReferenceError,
    LimitError,
    NotFoundError,
    PackageError,
    RegistryError,
)
from spincache_nb.project.package_config import (
    PackageConfig,
    RegistryMetadata,
    RegistrySettings,
    check_protocol,
    is_host,
    parse_metadata,
    read_package_config,
)
from spincache_nb.project.versions import Requirement, Version, is_package

_log = logging.getLogger(__name__)
_WELL_KNOWN = "/.well-known/wasm-pkg/registry.json"
_METADATA_ATTEMPTS = 3
_CONFIG = "configuration"
_ANYBODY = Access("without credentials", "check the address; none are sent unless they are part of it")
_SUFFIX = ".wasm"
_UPPER_CASE = re.compile(rb"sha256:[0-9a-fA-F]*[A-F]")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Release:
    """Content that somebody offers: the newest version of a package, or what an address names."""

    package: str | None
    version: str | None
    origin: str
    digest: Digest
    size: int | None
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
        config: PackageConfig | None = None,
        timeouts: Timeouts | None = None,
        retries: RetryPolicy | None = None,
    ) -> None:
        self._insecure = insecure
        self._auth = as_credentials(auth)
        self._options: dict[str, Any] = {"ca": ca, "jobs": jobs, "timeouts": timeouts, "retries": retries}
        self._web = Web(insecure=insecure, **self._options)
        self._plain_web = Web(insecure=insecure is not False, **self._options)
        self._lock = threading.Lock()
        self._known: dict[object, Any] = {} if config is None else {_CONFIG: config}
        self._looking: dict[object, threading.Lock] = {}
        self._clients: list[Web | Registry] = [self._web, self._plain_web]
        self._closed = False

    def close(self) -> None:
        """Close all connections, also while other threads read: those get `PullCancelled` at once."""
        with self._lock:
            self._closed = True
            clients = list(self._clients)
        for each in clients:
            each.close()

    @property
    def wire_bytes(self) -> int:
        """Bytes of all bodies received: metadata, tags, retries and error pages included."""
        return sum(each.wire_bytes for each in list(self._clients))

    def resolve(self, package: str, requirement: str, registry: str | None = None) -> Release:
        """Find the newest version of a package that satisfies a requirement."""
        wanted = Requirement.parse(requirement, where=f"package {package}")
        packages = self._packages(package, registry)
        versions = packages.versions(package)
        fitting = [version for version in versions if wanted.matches(version)]
        if not fitting:
            newest = max(versions, key=lambda one: one.key, default=None)
            offer = f"{len(versions)} others, the newest {newest}" if versions else "no version at all"
            raise PackageError(
                f"package {package}",
                f"a version that satisfies {requirement}",
                f"{offer}, in {packages.describe(package)}",
                "change the requirement, or publish such a version",
            )
        build = requirement.partition("+")[2]  # which Cargo's rules pass over
        fitting = [version for version in fitting if version.build == build and build] or fitting
        return packages.release(package, max(fitting, key=lambda one: one.key))

    def stream_address(self, address: str, *, where: str) -> Iterator[bytes]:
        """Fetch what a plain address names, in pieces."""
        url, authorization = _split_user(address, where)
        if authorization is not None and url.scheme == "http" and not is_loopback(host_in(url)):
            expected = "https:// for an address that holds a password"
            raise InsecureTransportError(where, expected, public_url(url), "use https")
        yield from stream_address(self._plain_web, url, where=where, authorization=authorization)

    # Which registry ------------------------------------------------------------------------------

    def _packages(self, package: str, registry: str | None) -> _OciPackages | _LocalPackages:
        """Who has a package."""
        if not is_package(package):
            raise PackageError(package, "a package such as namespace:name", "other text", "correct the name")
        config = self._once(_CONFIG, read_package_config)
        if registry is not None and not is_host(registry):
            found = repr(registry) if "@" not in registry else "one with a user name"
            raise PackageError(f"package {package}", "a registry as host or host:port", found, "correct it")
        host, metadata = config.find(package, registry.lower() if registry is not None else None)
        if host is None:
            raise PackageError(
                f"package {package}",
                f"a registry for namespace {package.partition(':')[0]!r}",
                f"none in {config.where}",
                "set default_registry or namespace_registries there, or registry in the spin.toml",
            )
        settings, note = config.settings_of(host), ""
        if settings.backend == "local":
            if settings.root is None:
                raise PackageError(config.where, f"local.root for registry {host}", "none", "set it")
            return _LocalPackages(settings.root)
        if metadata is None:
            metadata, note = self._once(("metadata", host), lambda: _fetch_metadata(self._web, host))
        check_protocol(host, settings.backend, metadata)
        where = f"metadata of {host}"
        named, prefix = metadata.oci(where=where)
        oci_host = host if named is None else named.lower()
        if not is_host(oci_host):
            raise PackageError(
                where, "an OCI registry as host or host:port", repr(named), "it is set up wrongly"
            )
        asking = partial(self._open, settings)
        find = partial(_OciPackages, oci_host, prefix, note, asking, fallback=self._auth is None)
        return self._once((host, oci_host, prefix), find)

    def _once(self, key: object, find: Callable[[], T]) -> T:
        """What the first thread to ask finds out, while others wait for it; failures are not kept."""
        with self._lock:
            looking = self._looking.setdefault(key, threading.Lock())
        with looking:
            if key not in self._known:
                self._known[key] = find()
            found: T = self._known[key]
            return found

    def _open(self, settings: RegistrySettings, *, anonymous: bool) -> Registry:
        """A client of a registry, with the credentials that count for it or without any."""
        client = Registry(
            insecure=self._insecure if self._insecure is not None else settings.plain,
            auth=None if anonymous else self._auth or settings.credentials,
            anonymous=anonymous,
            **self._options,
        )
        with self._lock:
            self._clients.append(client)
            closed = self._closed
        if closed:
            client.close()
        return client


# Packages in an OCI registry: tags are versions, the first layer is the content -------------


class _OciPackages:
    """The packages that one OCI registry holds."""

    def __init__(
        self, registry: str, prefix: str, note: str, open_client: Callable[..., Registry], *, fallback: bool
    ) -> None:
        self.registry = registry
        self._prefix = prefix
        self._open_client = open_client
        self._fallback = fallback
        self._note = f" ({note})" if note else ""
        self._client = open_client(anonymous=False)

    def reference(self, package: str, version: Version | None = None) -> Reference:
        """Where a package is: ``<registry>/<prefix><namespace>/<name>:<version>``."""
        name = f"{self._prefix}{package.replace(':', '/', 1)}"
        tag = str(version).replace("+", "_") if version is not None else "latest"  # no tag holds a +
        try:
            parsed = Reference.parse(f"registry.invalid/{name}:{tag}")
        except InvalidReferenceError as exc:
            raise PackageError(
                f"{self.registry}, package {package}",
                "a repository of an OCI registry",
                f"{name}:{tag}",
                "the namespacePrefix of its metadata is at fault",
            ) from exc
        return Reference(self.registry, parsed.repository, parsed.tag, parsed.digest)

    def versions(self, package: str) -> list[Version]:
        """Versions of a package; tags that are none are passed over."""
        reference = self.reference(package)
        try:
            tags = self._ask(lambda client: list(client.tags(reference)))
        except NotFoundError as exc:
            remedy = f"check the package's name and its registry{self._note}"
            raise NotFoundError(exc.where, f"package {package}", exc.found, remedy, exc.status) from exc
        return _versions(tag.replace("_", "+", 1) for tag in tags)

    def release(self, package: str, version: Version) -> Release:
        """Find the content of one version."""
        reference = self.reference(package, version)
        layer = _content(self._ask(lambda client: _fetch_manifest(client, reference)), str(reference))
        return Release(
            package,
            str(version),
            str(reference),
            layer.digest,
            layer.size,
            lambda: self._client.stream_blob(reference, layer),
        )

    def describe(self, package: str) -> str:
        """Where a package is, for an error."""
        reference = self.reference(package)
        return f"{reference.registry}/{reference.repository}{self._note}"

    def _ask(self, operation: Callable[[Registry], T]) -> T:
        """Ask with the credentials that were found, or without if they are refused and it is answered."""
        try:
            return operation(self._client)
        except AccessDeniedError:
            if not self._fallback:
                raise
            client = self._open_client(anonymous=True)
            with contextlib.suppress(AccessDeniedError):
                answer = operation(client)
                _log.info("%s refuses the credentials that were found, and answers without", self.registry)
                self._client = client
                return answer
            raise


def _versions(texts: Iterable[str]) -> list[Version]:
    """Those of some texts that are versions."""
    return [found for found in map(Version.read, texts) if found is not None]


def _fetch_manifest(client: Registry, reference: Reference) -> Manifest:
    """Fetch a manifest; digests of layers may be in upper case, which the package client lowers."""

    def fetch(reference: Reference, digest: Digest | None) -> Served:
        served = client.fetch_manifest(reference, digest)
        content = _UPPER_CASE.sub(lambda match: match[0].lower(), served.content)
        return served._replace(content=content)

    return resolve(fetch, reference).manifest


def _content(manifest: Manifest, where: str) -> Descriptor:
    """The first layer, if it can be the content of a package (oci-wasm; demanded since Spin v2.7)."""
    found = ""
    if not manifest.layers:
        found = "no layer"
    elif manifest.config.media_type != PACKAGE_CONFIG:
        found = f"a config of type {manifest.config.media_type!r}"
    elif manifest.layers[0].digest.algorithm != "sha256":
        found = f"content under a {manifest.layers[0].digest.algorithm} digest"
    if found:
        expected = f"a package: a config of type {PACKAGE_CONFIG} and a layer with a sha256 digest"
        raise PackageError(where, expected, found, "it was not published as a package")
    if len(manifest.layers) > 1 or manifest.media_type != OCI_MANIFEST:
        _log.warning("%s: Spin takes packages of one layer and with a mediaType only", where)
    return manifest.layers[0]


# Packages in a directory, <root>/<namespace>/<name>/<version>.wasm ---------------------------


class _LocalPackages:
    """A directory of packages, which only this user's own configuration can name."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def versions(self, package: str) -> list[Version]:
        """Versions of a package; other files are passed over."""
        folder = self._folder(package)
        with _explained(folder, f"a directory of package {package}", "check the path"):
            names = [path.name for path in folder.iterdir()]
        return _versions(name.removesuffix(_SUFFIX) for name in names if name.endswith(_SUFFIX))

    def release(self, package: str, version: Version) -> Release:
        """Find the content of one version."""
        path = self._folder(package) / f"{version}{_SUFFIX}"
        with _explained(path), path.open("rb") as file:
            digest, size = hash_stream(file)
        return Release(package, str(version), str(path), digest, size, lambda: _read_file(path))

    def describe(self, package: str) -> str:
        """Where a package is, for an error."""
        return str(self._folder(package))

    def _folder(self, package: str) -> Path:
        namespace, _, name = package.partition(":")
        return self._root / namespace / name


def _read_file(path: Path) -> Iterator[bytes]:
    with _explained(path), path.open("rb") as file:
        while piece := file.read(CHUNK_BYTES):
            yield piece


@contextlib.contextmanager
def _explained(
    path: Path, expected: str = "a file that can be read", remedy: str = "check its permissions"
) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise PackageError(str(path), expected, exc.strerror or str(exc), remedy) from exc


# What is asked of the web beside the OCI API ------------------------------------------------


def _fetch_metadata(web: Web, registry: str) -> tuple[RegistryMetadata, str]:
    """Ask a registry for its metadata, at its well-known address (RFC 8615)."""
    where = f"metadata of {registry}"

    def once() -> bytes | None:
        with web.send(Ask(url, {"Accept": "application/json"})) as answer:
            if answer.status == 404:
                answer.read_error_page()
                return None
            if answer.status != 200:
                raise answer.refusal(Purpose(where, public_url(url), "it has none"), _ANYBODY)
            return answer.read(web.limits.token_bytes, what="metadata")

    try:
        url = web.url(registry, _WELL_KNOWN)
        content = web.run(once, attempts=_METADATA_ATTEMPTS)
        if content is None:
            return RegistryMetadata(), "it has no metadata"
        document = parse_object(content, where=where, error=FormatError, what="metadata of a registry")
        return parse_metadata(document, where=where, error=FormatError), ""
    except (RegistryError, FormatError, LimitError, InvalidReferenceError) as exc:
        _log.warning("metadata of %s: %s; going on without", registry, exc)
        return RegistryMetadata(), f"its metadata could not be had: {exc.found or exc.where}"


def _split_user(address: str, where: str) -> tuple[httpx.URL, str | None]:
    """An address without user and password, and what to send for them."""
    pair = None
    with contextlib.suppress(RegistryError, httpx.InvalidURL, TypeError, ValueError):  # may hold the password
        url, pair = parse_url(address, where=where), httpx.URL(address).userinfo.decode("ascii")
    if pair is None:
        expected = "an address that begins with https:// or http://"
        raise PackageError(where, expected, "something else", "correct it")
    if not pair:
        return url, None
    user, _, password = pair.partition(":")
    try:
        return url, basic(Credentials(unquote(user), unquote(password), source="the address"))
    except CredentialsError as exc:
        raise PackageError(where, exc.expected, exc.found, "correct the address") from None

"""Packages in an OCI registry: tags are versions, the first layer is the content."""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TypeVar

from spincache_nb.core.documents import (
    OCI_MANIFEST,
    PACKAGE_CONFIG,
    Descriptor,
    Index,
    Manifest,
    choose_manifest,
    parse_manifest,
)
from spincache_nb.core.reference import Reference
from spincache_nb.core.registry import RegistryClient
from spincache_nb.errors import (
    AccessDeniedError,
    InvalidReferenceError,
    InvalidVersionError,
    ManifestError,
    NotFoundError,
    PackageError,
)
from spincache_nb.project.versions import Version

_log = logging.getLogger(__name__)
_UPPER_CASE = re.compile(rb"sha256:[0-9a-fA-F]*[A-F]")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class OciRelease:
    """One version of a package, and the layer that is its content."""

    reference: Reference
    layer: Descriptor


class OciPackages:
    """The packages that one OCI registry holds."""

    def __init__(
        self,
        registry: str,
        prefix: str,
        open_client: Callable[[bool], RegistryClient],
        *,
        fallback: bool = True,
        note: str = "",
    ) -> None:
        self.registry = registry
        self.prefix = prefix
        self._open_client = open_client
        self._fallback = fallback
        self._note = note
        self._client = open_client(False)

    def reference(self, package: str, version: Version | None = None) -> Reference:
        """Where a package is: ``<registry>/<prefix><namespace>/<name>:<version>``."""
        name = f"{self.prefix}{package.replace(':', '/', 1)}"
        tag = str(version) if version is not None else "latest"
        try:
            parsed = Reference.parse(f"registry.invalid/{name}:{tag}")
        except InvalidReferenceError as exc:
            raise PackageError(
                f"{self.registry}, package {package}",
                "a repository of an OCI registry",
                f"{name}:{tag}",
                "the namespacePrefix of its metadata is at fault",
            ) from exc
        return replace(parsed, registry=self.registry)

    def versions(self, package: str) -> list[Version]:
        """Versions of a package; tags that are none are passed over."""
        reference = self.reference(package)
        try:
            tags = self._ask(lambda client: list(client.tags(reference)))
        except NotFoundError as exc:
            note = f" ({self._note})" if self._note else ""
            remedy = f"check the package's name and its registry{note}"
            raise NotFoundError(exc.where, f"package {package}", exc.found, remedy, exc.status) from exc
        found = []
        for tag in tags:
            try:
                found.append(Version.parse(tag))
            except InvalidVersionError:
                _log.debug("%s: tag %s is no version", reference, tag)
        return found

    def release(self, package: str, version: Version) -> OciRelease:
        """Find the content of one version."""
        reference = self.reference(package, version)
        manifest = self._ask(lambda client: _fetch_manifest(client, reference))
        return OciRelease(reference, _content(manifest, str(reference)))

    def stream(self, release: OciRelease) -> Iterator[bytes]:
        """Fetch the content of a version in pieces."""
        return self._client.stream_blob(release.reference, release.layer)

    def describe(self, package: str) -> str:
        """Where a package is, for an error."""
        note = f" ({self._note})" if self._note else ""
        reference = self.reference(package)
        return f"{reference.registry}/{reference.repository}{note}"

    def _ask(self, operation: Callable[[RegistryClient], T]) -> T:
        try:
            return operation(self._client)
        except AccessDeniedError:
            if not self._fallback:
                raise
            client = self._open_client(True)
            with contextlib.suppress(AccessDeniedError):
                answer = operation(client)
                _log.info("%s refuses the credentials that were found, and answers without", self.registry)
                self._client = client
                return answer
            raise


def _fetch_manifest(client: RegistryClient, reference: Reference) -> Manifest:
    document = _parse(client.fetch_manifest(reference).content, str(reference))
    if isinstance(document, Index):
        chosen = choose_manifest(document, where=str(reference))
        document = _parse(client.fetch_manifest(reference, chosen.digest).content, str(reference))
    if isinstance(document, Index):
        raise ManifestError(
            str(reference), "a manifest behind the index", "another index", "publish it again"
        )
    return document


def _parse(content: bytes, where: str) -> Manifest | Index:
    """Read a manifest; digests of layers may be in upper case, which the package client lowers."""
    if _UPPER_CASE.search(content):
        content = _UPPER_CASE.sub(lambda match: match[0].lower(), content)
    return parse_manifest(content, where=where)


def _content(manifest: Manifest, where: str) -> Descriptor:
    """The first layer, if it can be the content of a package (oci-wasm; demanded since Spin v2.7)."""
    found = None
    if not manifest.layers:
        found = "no layer"
    elif manifest.config.media_type != PACKAGE_CONFIG:
        found = f"a config of type {manifest.config.media_type!r}"
    elif manifest.layers[0].digest.algorithm != "sha256":
        found = f"content under a {manifest.layers[0].digest.algorithm} digest"
    if found is not None:
        raise PackageError(
            where,
            f"a package: a config of type {PACKAGE_CONFIG} and a layer with a sha256 digest",
            found,
            "it was not published as a package",
        )
    if len(manifest.layers) > 1 or manifest.media_type != OCI_MANIFEST:
        _log.warning("%s: Spin takes packages of one layer and with a mediaType only", where)
    return manifest.layers[0]

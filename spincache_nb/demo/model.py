"""What is pushed, before and after: an app as its author describes it, an artifact as a registry holds it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from spincache_nb.demo.encode import sha256_digest


@dataclass(frozen=True, kw_only=True)
class Variable:
    """An application variable of a spin.toml; without a default it is required."""

    description: str | None = None
    default: str | None = field(default=None, repr=False)
    secret: bool = False


@dataclass(frozen=True, kw_only=True)
class Trigger:
    """A trigger of a spin.toml: what starts a component."""

    type: str
    component: str
    config: Mapping[str, object]


@dataclass(frozen=True, kw_only=True)
class Component:
    """A component of a spin.toml, its wasm and mounted files read in."""

    id: str
    wasm: bytes = field(repr=False)
    files: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    description: str = ""
    build_command: str = ""
    allowed_outbound_hosts: tuple[str, ...] = ()
    key_value_stores: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    config: Mapping[str, str] = field(default_factory=dict, repr=False)
    chained: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class App:
    """A Spin application as a spin.toml describes it."""

    name: str
    version: str
    description: str
    authors: tuple[str, ...] = ()
    variables: Mapping[str, Variable] = field(default_factory=dict)
    trigger_settings: Mapping[str, Mapping[str, str]] = field(default_factory=dict, repr=False)
    triggers: tuple[Trigger, ...]
    components: tuple[Component, ...]


@dataclass(frozen=True)
class Blob:
    """Bytes with the media type and annotations that their descriptor gives them."""

    media_type: str
    data: bytes = field(repr=False)
    annotations: tuple[tuple[str, str], ...] = ()

    @cached_property
    def digest(self) -> str:
        """``sha256:`` and the hash of the bytes."""
        return sha256_digest(self.data)

    @property
    def size(self) -> int:
        """Number of bytes."""
        return len(self.data)


@dataclass(frozen=True)
class Artifact:
    """One tag of a repository: everything a registry holds for it.

    Parameters
    ----------
    repository, tag
        Where it is filed.
    manifest
        The bytes of the OCI image manifest, as pushed.
    config, layers
        The blobs that the manifest names, layers in its order.
    manifest_media_type
        The ``Content-Type`` under which the manifest is pushed and served.
    """

    repository: str
    tag: str
    manifest: bytes = field(repr=False)
    config: Blob
    layers: tuple[Blob, ...] = field(repr=False)
    manifest_media_type: str = "application/vnd.oci.image.manifest.v1+json"

    @cached_property
    def digest(self) -> str:
        """The manifest's digest."""
        return sha256_digest(self.manifest)

    @property
    def blobs(self) -> dict[str, bytes]:
        """Bytes of config and layers by digest, each digest once."""
        return {blob.digest: blob.data for blob in (self.config, *self.layers)}

    def reference(self, host: str) -> str:
        """Name it in a registry."""
        return f"{host}/{self.repository}:{self.tag}"

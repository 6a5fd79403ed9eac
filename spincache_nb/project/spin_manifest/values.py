"""What a ``spin.toml`` or an environment lock names, as values."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Literal

from spincache_nb.core.digest import Digest
from spincache_nb.errors import printable

_USER = re.compile(r"(?<=://)[^/]*@")


@dataclass(frozen=True, slots=True)
class Place:
    """The part of a ``spin.toml`` that names a source."""

    component: str | None
    trigger: str | None = None
    dependency: str | None = None
    profile: str | None = None

    def __str__(self) -> str:
        """Name it as an error does: ``component hello, profile release, dependency a:b``."""
        parts = [f"component {self.component}"] if self.component is not None else []
        if self.trigger is not None:
            parts.append(
                f"trigger {self.trigger}" if self.component is None else f"in trigger {self.trigger}"
            )
        if self.profile is not None:
            parts.append(f"profile {self.profile}")
        parts.append(f"dependency {self.dependency}" if self.dependency is not None else "source")
        return ", ".join(parts)

    def at(self, *, dependency: str | None = None, profile: str | None = None) -> Place:
        """The same component or trigger, another part of it."""
        return replace(self, dependency=dependency or self.dependency, profile=profile or self.profile)


@dataclass(frozen=True, slots=True)
class WebSource:
    """A WebAssembly binary at an address, named by its digest."""

    place: Place
    digest: Digest
    url: str = field(repr=False)

    @property
    def address(self) -> str:
        """The address without credentials, query and fragment, for people."""
        return printable(_USER.sub("", re.split(r"[?#]", self.url, maxsplit=1)[0]))


@dataclass(frozen=True, slots=True)
class PackageSource:
    """A package of a registry of WebAssembly packages; which content it is, only the registry knows."""

    place: Place
    package: str
    requirement: str
    registry: str | None = None

    @property
    def key(self) -> tuple[str, str, str | None]:
        """What it is looked up by: package, requirement, registry."""
        return self.package, self.requirement, self.registry


@dataclass(frozen=True, slots=True)
class ManifestFault:
    """Something in a ``spin.toml`` that Spin would refuse."""

    key: str
    reason: str

    def __str__(self) -> str:
        return f"{self.key}: {self.reason}"


@dataclass(frozen=True, slots=True)
class SpinManifest:
    """A ``spin.toml``, as far as it names content in the cache."""

    version: Literal[1, 2]
    name: str | None
    sources: tuple[WebSource | PackageSource, ...]
    faults: tuple[ManifestFault, ...] = ()

    @property
    def web_sources(self) -> tuple[WebSource, ...]:
        """Those with an address and a digest."""
        return tuple(source for source in self.sources if isinstance(source, WebSource))

    @property
    def packages(self) -> tuple[PackageSource, ...]:
        """Those that are packages."""
        return tuple(source for source in self.sources if isinstance(source, PackageSource))


@dataclass(frozen=True, slots=True)
class LockedEnvironment:
    """A package of interface definitions that a target environment needs (Spin v3.4 and later)."""

    origin: str
    package: str
    digest: Digest

    @property
    def named_by_manifest(self) -> bool:
        """Whether the digest is that of the manifest, so that the stored bytes do not hash to it."""
        return "/" in self.origin


@dataclass(frozen=True, slots=True)
class EnvironmentLock:
    """``.spin/target-environments.lock`` of a project."""

    environments: tuple[LockedEnvironment, ...]
    faults: tuple[str, ...] = ()

"""A project on disk, and what its ``spin.toml`` and environment lock name (Spin main, crates/manifest).

Only sources that reach the cache are kept: web sources with their digest, and packages of a
registry. Local paths, variables, environment and settings are passed over, so that nothing secret
gets into a value here. All build profiles are read, since each of them keeps its content alive.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

from spincache_nb.core.digest import Digest
from spincache_nb.core.documents import parse_object
from spincache_nb.core.files import read_bounded
from spincache_nb.core.layout import shown
from spincache_nb.errors import (
    InvalidDigestError,
    InvalidVersionError,
    SpinCacheError,
    SpinManifestError,
    quoted,
)
from spincache_nb.project.versions import Requirement, Version, is_kebab, is_package, match_key, overlaps

SPIN_TOML = "spin.toml"
LOCK = Path(".spin", "target-environments.lock")
_PROJECT_BYTES = 4 << 20  # a larger file is none that a person or Spin wrote

_REMEDY = "Spin would not load it either; correct the file"
_FORMS = {  # keys of the forms in which a dependency is written
    "version": {"version", "registry", "package", "export", "inherit_configuration"},
    "path": {"path", "export", "inherit_configuration"},
    "url": {"url", "digest", "export", "inherit_configuration"},
    "component": {"component", "export", "inherit_configuration"},
}
_OWN_RESOURCES = (
    "ai_models", "allowed_http_hosts", "allowed_outbound_hosts", "dependencies", "environment", "files",
    "key_value_stores", "sqlite_databases", "variables",
)  # fmt: skip
_SHA256 = re.compile("sha256:[0-9a-f]{64}")
Table = dict[str, Any]
PackageKey = tuple[str, str, str | None]
"""Package, requirement, and the registry that the spin.toml names, or None."""


@dataclass(frozen=True, slots=True)
class Place:
    """The part of a ``spin.toml`` that names a source."""

    component: str | None
    trigger: str | None = None
    dependency: str | None = None
    profile: str | None = None

    def __str__(self) -> str:
        """Name it as an error does: ``component hello, profile release, dependency a:b``."""
        inner = "trigger" if self.component is None else "in trigger"
        named = {"component": self.component, inner: self.trigger, "profile": self.profile}
        parts = [f"{what} {name}" for what, name in named.items() if name is not None]
        return ", ".join([*parts, "source" if self.dependency is None else f"dependency {self.dependency}"])

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
        from spincache_nb.core.addresses import public_url  # which loads httpx

        if not self.url.lower().startswith(("http://", "https://")):
            return "an address without http:// or https://"
        return public_url(self.url).removesuffix("?...")


@dataclass(frozen=True, slots=True)
class PackageSource:
    """A package of a registry of WebAssembly packages; which content it is, only the registry knows."""

    place: Place
    package: str
    requirement: str
    registry: str | None = None

    @property
    def key(self) -> PackageKey:
        """What it is looked up by."""
        return self.package, self.requirement, self.registry


class ManifestFault(NamedTuple):
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


class LockedEnvironment(NamedTuple):
    """A package of interface definitions that a target environment needs (Spin v3.4 and later)."""

    origin: str
    package: str
    digest: Digest

    @property
    def named_by_manifest(self) -> bool:
        """Whether the digest is that of the manifest, so that the stored bytes do not hash to it."""
        return "/" in self.origin


class EnvironmentLock(NamedTuple):
    """``.spin/target-environments.lock`` of a project."""

    environments: tuple[LockedEnvironment, ...]
    faults: tuple[str, ...] = ()


def parse_environment_lock(data: bytes, *, where: str) -> EnvironmentLock:
    """Read a ``target-environments.lock``."""
    document = parse_object(data, where=where, error=SpinManifestError, what="an environment lock")
    found: list[LockedEnvironment] = []
    faults: list[str] = []
    for origin, digests in document.items():
        packages = digests.get("package") if isinstance(digests, dict) else None
        if not isinstance(packages, dict):
            faults.append(f"{origin!r} lists no packages")
        for package, text in packages.items() if isinstance(packages, dict) else ():
            try:
                found.append(LockedEnvironment(origin, package, Digest.parse(text)))
            except InvalidDigestError:
                faults.append(f"{origin!r}, package {package!r} has a malformed digest")
    return EnvironmentLock(tuple(found), tuple(faults))


def parse_spin_manifest(data: bytes, *, where: str) -> SpinManifest:
    """Read a ``spin.toml`` of manifest version 1 or 2."""
    version, document = _load(data, where)
    reader = _Reader()
    (reader.version_1 if version == 1 else reader.version_2)(document)
    details = document if version == 1 else document.get("application")
    name = details.get("name") if isinstance(details, dict) else None
    sources, faults = tuple(reader.sources), tuple(reader.faults)
    return SpinManifest(version, name if isinstance(name, str) else None, sources, faults)


def _load(data: bytes, where: str) -> tuple[Literal[1, 2], Table]:
    """The version of a manifest, and its tables."""
    try:
        document = tomllib.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as exc:
        is_text = not isinstance(exc, UnicodeDecodeError)
        found = f"text that is not TOML ({exc})" if is_text else "text not in UTF-8"
        found = "TOML nested too deeply" if isinstance(exc, RecursionError) else found
        raise SpinManifestError(where, "a spin.toml", found, _REMEDY) from exc
    value = document.get("spin_manifest_version", document.get("spin_version"))
    if value == "1" or (value == 2 and isinstance(value, int)):
        return (1 if value == "1" else 2), document
    found = "no spin_manifest_version" if value is None else quoted(value)
    raise SpinManifestError(where, 'spin_manifest_version "1" (text) or 2 (a number)', found, _REMEDY)


class _Reader:
    """Walks the tables of a manifest, and collects what reaches the cache and what Spin would refuse."""

    def __init__(self) -> None:
        self.sources: list[WebSource | PackageSource] = []
        self.faults: list[ManifestFault] = []
        self.components: dict[str, tuple[Table, dict[str, Any]]] = {}  # and its sources by profile
        self.stand_ins: list[tuple[str | None, Place, str]] = []
        self.overridden: set[tuple[Place, str]] = set()

    def fault(self, key: object, reason: str) -> None:
        self.faults.append(ManifestFault(str(key), reason))

    def version_1(self, document: Table) -> None:
        for position, component in enumerate(self.tables(document.get("component", []), "component")):
            named = component.get("id")
            place = Place(named if isinstance(named, str) else str(position))
            self.source(component.get("source"), place)

    def version_2(self, document: Table) -> None:
        components = self.table(document.get("component", {}), "component")
        listed = self.table(document.get("trigger", {}), "trigger").items()
        typed = [(kind, table) for kind, tables in listed for table in self.tables(tables, f"trigger {kind}")]
        triggers = [(name, table) for name, (_, table) in zip(_trigger_ids(typed), typed, strict=True)]
        for name, component in components.items():
            self.component(component, Place(name))
        taken = set(components)
        for name, table in triggers:
            self.written_out(name, self.specs(name, table), taken)
        for name, table in triggers:
            where = f"trigger {name}, dependencies"
            for role, value in self.table(table.get("dependencies", {}), where).items():
                for dependency in self.tables(value, f"{where} {role}"):
                    self.dependency(dependency, None, Place(None, name, role))
        self.follow_components()

    def specs(self, trigger: str, table: Table) -> list[Any]:
        """What a trigger says of its components: ids and tables; all else is a fault."""
        roles = self.table(table.get("components", {}), f"trigger {trigger}, components")
        found = [("component", table["component"])] if "component" in table else []
        for role, value in roles.items():
            found += [(role, spec) for spec in (value if isinstance(value, list) else [value])]
        for role, spec in found:
            if not isinstance(spec, str | dict):
                self.fault(f"trigger {trigger}, {role}", "neither the id of a component nor a table")
        return [spec for _, spec in found]

    def written_out(self, trigger: str, specs: list[Any], taken: set[str]) -> None:
        """Read components that are written out in a trigger, under the ids that Spin gives (normalize.rs)."""
        for spec in (spec for spec in specs if isinstance(spec, dict)):
            name = f"{trigger}-component"
            if len(specs) > 1 or not is_kebab(name) or name in taken:
                name = _first_free("inline-component", taken)
            taken.add(name)
            self.component(spec, Place(name, trigger))

    def component(self, component: Any, place: Place) -> None:
        name = str(place.component)
        where = f"component {name}"
        if not isinstance(component, dict) or not is_kebab(name):
            self.fault(where, "not a table" if is_kebab(name) else "no id that Spin takes")
            return
        sources: dict[str, Any] = {}
        self.components[name] = component, sources
        self.source(component.get("source"), place)
        base = self.table(component.get("dependencies", {}), f"{where}, dependencies")
        self.dependencies(base, place)
        for profile, table in self.table(component.get("profile", {}), f"{where}, profile").items():
            inner = place.at(profile=profile)
            override = self.table(table, f"{where}, profile {profile}")
            if "source" in override:
                sources[profile] = override["source"]
                self.source(override["source"], inner)
            own = self.table(override.get("dependencies", {}), f"{where}, profile {profile}, dependencies")
            self.dependencies(own, inner, base)

    def dependencies(self, table: Table, place: Place, base: Table | None = None) -> None:
        """Read dependencies: all of a component, or those that a profile adds to a base or replaces."""
        for name, dependency in table.items():
            self.dependency(dependency, name, place.at(dependency=name))
        profile = f", profile {place.profile}" if place.profile is not None else ""
        for fault in overlaps({**(base or {}), **table}) if table else ():
            self.fault(f"component {place.component}{profile}, dependencies", fault)

    def table(self, value: Any, where: str) -> Table:
        if isinstance(value, dict):
            return value
        self.fault(where, "not a table")
        return {}

    def tables(self, value: Any, where: str) -> Iterator[Table]:
        if not isinstance(value, list):
            self.fault(where, "not a list of tables")
            return
        for item in value:
            if isinstance(item, dict):
                yield item
            else:
                self.fault(where, "holds something that is not a table")

    def source(self, value: Any, place: Place) -> None:
        """Read the source of a component."""
        if isinstance(value, str):
            return
        keys = set(value) if isinstance(value, dict) else set()
        if keys == {"url", "digest"}:
            self.web(value, place)
        elif {"package", "version"} <= keys <= {"registry", "package", "version"}:
            exact = Version.read(value["version"]) if isinstance(value["version"], str) else None
            if exact is None:
                self.fault(place, "a package's version must be exact, such as 1.2.3")
            else:
                self.package(value["package"], f"={exact}", value.get("registry"), place)
        else:
            self.fault(place, "neither a path, nor url and digest, nor package and version")

    def dependency(self, value: Any, name: str | None, place: Place) -> None:
        """Read a dependency of a component, which has a name, or of a trigger."""
        if place.profile is not None and name is not None:
            self.overridden.add((place, name))
        if isinstance(value, str) and name is not None:
            value = {"version": value}
        form, key = _form(value, of_trigger=name is None), match_key(name or "")
        if form is None:
            self.fault(place, "it has no form that Spin knows")
        elif form in ("version", "path") and "export" in value and key and key["interface"] is None:
            self.fault(place, "a whole package cannot be satisfied by one export")
        elif form == "url":
            self.web(value, place)
        elif form == "version":
            package = value.get("package", key["package"] if key else None)
            if package is None:
                self.fault(place, "it must say which package is meant")
            else:
                self.package(package, value["version"], value.get("registry"), place)
        elif form == "component":
            named = value["component"]
            self.stand_ins.append((name, place, named if isinstance(named, str) else quoted(named)))

    def follow_components(self) -> None:
        """Read dependencies on other components: each stands for that component's source (Spin v3.5)."""
        for name, place, component in self.stand_ins:
            if component not in self.components:
                self.fault(place, f"there is no component {_told(component)}")
                continue
            table, overrides = self.components[component]
            own = [key for key in _OWN_RESOURCES if table.get(key)]
            if own:
                self.fault(place, f"component {component} cannot be one, as it has {', '.join(own)}")
            if place.profile is not None:
                self.stand_in(overrides.get(place.profile, table.get("source")), place)
                continue
            self.stand_in(table.get("source"), place)
            for profile, source in overrides.items():
                inner = place.at(profile=profile)
                if (inner, name or "") not in self.overridden:
                    self.stand_in(source, inner)

    def stand_in(self, source: Any, place: Place) -> None:
        known = len(self.faults)
        if isinstance(source, dict) and "url" in source:
            self.web(source, place)
        elif isinstance(source, dict) and "package" in source:
            self.package(source["package"], source.get("version"), source.get("registry"), place)
        del self.faults[known:]  # which the component's own source has given rise to already

    def web(self, value: Table, place: Place) -> None:
        url, text = value.get("url"), value.get("digest")
        if not isinstance(url, str) or not isinstance(text, str):
            self.fault(place, "url and digest must be text")
        elif _SHA256.fullmatch(text) is None:
            self.fault(f"{place}, digest", "it must be sha256: and 64 lower-case hex digits")
        else:
            self.sources.append(WebSource(place, Digest.parse(text), url))

    def package(self, package: Any, requirement: Any, registry: Any, place: Place) -> None:
        if not isinstance(package, str) or not is_package(package):
            reason = f"{_told(package)} is no name such as namespace:name in lower case"
            self.fault(f"{place}, package", reason)
        elif not isinstance(requirement, str) or not isinstance(registry, str | None):
            self.fault(place, "version and registry must be text")
        else:
            try:
                Requirement.parse(requirement)
            except InvalidVersionError as exc:
                self.fault(f"{place}, version", f"expected {exc.expected}, got {_told(requirement)}")
                return
            self.sources.append(PackageSource(place, package, requirement, registry))


def _told(value: object) -> str:
    """Say what was found, unless it could be an address with a password in a place where none belongs."""
    return "text with an @" if isinstance(value, str) and "@" in value else quoted(value)


def _form(value: Any, *, of_trigger: bool) -> str | None:
    """Which of its forms a dependency has; those of triggers have no name, so that more must be said."""
    keys = set(value) if isinstance(value, dict) else set()
    needed = {"url": {"digest"}, "version": {"package"} if of_trigger else set()}
    for form, allowed in _FORMS.items():
        most = allowed - {"export"} if of_trigger else allowed
        if {form} | needed.get(form, set()) <= keys <= most:
            return form
    return None


def _trigger_ids(triggers: list[tuple[str, Table]]) -> Iterator[str]:
    """The ids that Spin gives to triggers of some kinds (normalize.rs)."""
    given = [table.get("id") for _, table in triggers]
    taken = {one for one in given if isinstance(one, str)}
    for own, (kind, table) in zip(given, triggers, strict=True):
        if isinstance(own, str) and own:
            yield own
            continue
        component = table.get("component")
        natural = f"{component}-{kind}-trigger"
        if not isinstance(component, str) or natural in taken:
            natural = _first_free(f"{kind}-trigger", taken)
        taken.add(natural)
        yield natural


def _first_free(stem: str, taken: set[str]) -> str:
    return next(name for number in count(1) if (name := f"{stem}{number}") not in taken)


# A project on disk ---------------------------------------------------------------------------

_Document = TypeVar("_Document", SpinManifest, EnvironmentLock)


@dataclass(frozen=True, slots=True)
class ProjectFiles:
    """A project: how it was named, and where its two files are."""

    name: str
    manifest: Path
    lock: Path

    def read_manifest(self, *, limit: int = _PROJECT_BYTES) -> SpinManifest | None:
        """Read the ``spin.toml``; None where there is none."""
        return _read(self.manifest, parse_spin_manifest, self.name, limit)

    def read_lock(self, *, limit: int = _PROJECT_BYTES) -> EnvironmentLock | None:
        """Read the environment lock; None where there is none."""
        return _read(self.lock, parse_environment_lock, f"{self.name}, {LOCK.name}", limit)


def find_project(path: str | os.PathLike[str]) -> ProjectFiles:
    """Find the files of a project."""
    given = Path(path)
    is_folder = given.is_dir()
    folder = given if is_folder else given.parent
    manifest = given / SPIN_TOML if is_folder else given
    found = ProjectFiles(shown(os.fspath(path)), manifest.resolve(), (folder / LOCK).resolve())
    if not found.manifest.exists() and not (is_folder and found.lock.exists()):
        raise SpinManifestError(
            found.name, f"a project: a {SPIN_TOML}, or a folder with one", "none", "name the project's folder"
        )
    return found


def _read(path: Path, parser: Callable[..., _Document], where: str, limit: int) -> _Document | None:
    if not path.exists():
        return None
    try:
        content = read_bounded(path, limit=limit)
    except SpinCacheError as exc:
        raise type(exc)(where, exc.expected, exc.found, "check the file and its permissions") from exc
    return parser(content, where=where)


def named_digests(
    manifest: SpinManifest | None, lock: EnvironmentLock | None, packages: Mapping[PackageKey, Digest]
) -> Iterator[tuple[Digest, Literal["spin.toml", "environment lock"]]]:
    """Digests that the two files of a project name, in their order, with what names them."""
    for source in manifest.sources if manifest is not None else ():
        digest = source.digest if isinstance(source, WebSource) else packages.get(source.key)
        if digest is not None:
            yield digest, "spin.toml"
    for environment in lock.environments if lock is not None else ():
        yield environment.digest, "environment lock"

"""The forms in which a ``spin.toml`` names a source or a dependency (Spin main, crates/manifest)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from spincache_nb.core.digest import Digest
from spincache_nb.errors import InvalidDigestError, InvalidVersionError, quoted
from spincache_nb.project.spin_manifest.names import is_package, names_whole_package, package_of_key
from spincache_nb.project.spin_manifest.values import ManifestFault, PackageSource, Place, WebSource
from spincache_nb.project.versions import Requirement, Version

Table = dict[str, Any]

_KEYS = {
    "version": {"version", "registry", "package", "export", "inherit_configuration"},
    "path": {"path", "export", "inherit_configuration"},
    "url": {"url", "digest", "export", "inherit_configuration"},
    "component": {"component", "export", "inherit_configuration"},
}
_OWN_RESOURCES = (
    "ai_models",
    "allowed_http_hosts",
    "allowed_outbound_hosts",
    "dependencies",
    "environment",
    "files",
    "key_value_stores",
    "sqlite_databases",
    "variables",
)


@dataclass(frozen=True, slots=True)
class Dependency:
    """A dependency as it is written."""

    value: Any
    name: str | None
    place: Place


class Collected:
    """What reaches the cache, and what Spin would refuse, collected while the tables are walked."""

    def __init__(self) -> None:
        self.sources: list[WebSource | PackageSource] = []
        self.faults: list[ManifestFault] = []
        self._components: dict[str, Table] = {}
        self._references: list[tuple[Dependency, str]] = []
        self._overridden: set[tuple[Place, str]] = set()

    def fault(self, key: str, reason: str) -> None:
        """Note something that Spin would refuse."""
        self.faults.append(ManifestFault(key, reason))

    def component(self, name: str, table: Table) -> None:
        """Note a component, which dependencies may refer to."""
        self._components[name] = table

    def source(self, value: Any, place: Place) -> None:
        """Read the source of a component."""
        if isinstance(value, str):
            return
        keys = set(value) if isinstance(value, dict) else set()
        if keys == {"url", "digest"}:
            self._web(value, place)
        elif {"package", "version"} <= keys <= {"registry", "package", "version"}:
            version = value["version"]
            try:
                exact = Version.parse(version) if isinstance(version, str) else None
            except InvalidVersionError:
                exact = None
            if exact is None:
                self.fault(str(place), "a package's version must be exact, such as 1.2.3")
            else:
                self._package(value["package"], f"={exact}", value.get("registry"), place)
        else:
            self.fault(str(place), "neither a path, nor url and digest, nor package and version")

    def dependency(self, dependency: Dependency) -> None:
        """Read a dependency of a component or of a trigger."""
        value, place, name = dependency.value, dependency.place, dependency.name
        if place.profile is not None and name is not None:
            self._overridden.add((place, name))
        if isinstance(value, str) and name is not None:
            value = {"version": value}
        form = self._form(value, of_trigger=name is None)
        if form is None:
            self.fault(str(place), "it has no form that Spin knows")
        elif form != "component" and form != "url" and "export" in value and names_whole_package(name or ""):
            self.fault(str(place), "a whole package cannot be satisfied by one export")
        elif form == "url":
            self._web(value, place)
        elif form == "version":
            package = value.get("package", package_of_key(name) if name is not None else None)
            if package is None:
                self.fault(str(place), "it must say which package is meant")
            else:
                self._package(package, value["version"], value.get("registry"), place)
        elif form == "component":
            named = value["component"]
            self._references.append((dependency, named if isinstance(named, str) else quoted(named)))

    def follow_components(self) -> None:
        """Read dependencies on other components: each stands for that component's source (Spin v3.5)."""
        for dependency, name in self._references:
            place = dependency.place
            table = self._components.get(name)
            if table is None:
                self.fault(str(place), f"there is no component {name!r}")
                continue
            own = [key for key in _OWN_RESOURCES if table.get(key)]
            if own:
                self.fault(str(place), f"component {name} cannot be one, as it has {', '.join(own)}")
            for profile, source in self._sources_under(dependency, table):
                self._stand_in(source, place.at(profile=profile))

    def _sources_under(self, dependency: Dependency, table: Table) -> Iterator[tuple[str | None, Any]]:
        """Sources that a component has under the profiles in which a dependency holds."""
        place = dependency.place
        profiles = table.get("profile")
        overrides = {
            name: profile["source"]
            for name, profile in (profiles.items() if isinstance(profiles, dict) else ())
            if isinstance(profile, dict) and "source" in profile
        }
        if place.profile is not None:
            yield place.profile, overrides.get(place.profile, table.get("source"))
            return
        yield None, table.get("source")
        for name, source in overrides.items():
            if (place.at(profile=name), dependency.name or "") not in self._overridden:
                yield name, source

    def _stand_in(self, source: Any, place: Place) -> None:
        if not isinstance(source, dict):
            return
        known = len(self.faults)
        if "url" in source:
            self._web(source, place)
        elif "package" in source:
            self._package(source["package"], source.get("version"), source.get("registry"), place)
        del self.faults[known:]  # which the component's own source has given rise to already

    def _form(self, value: Any, *, of_trigger: bool) -> str | None:
        keys = set(value) if isinstance(value, dict) else set()
        for form, allowed in _KEYS.items():
            needed = {
                "url": {"url", "digest"},
                "version": {"version", "package"} if of_trigger else {"version"},
            }
            if form in keys and needed.get(form, {form}) <= keys <= allowed - (
                {"export"} if of_trigger else set()
            ):
                return form
        return None

    def _web(self, value: Table, place: Place) -> None:
        url, text = value.get("url"), value.get("digest")
        if not isinstance(url, str) or not isinstance(text, str):
            self.fault(str(place), "url and digest must be text")
            return
        try:
            digest = Digest.parse(text)
        except InvalidDigestError:
            digest = None
        if digest is None or digest.algorithm != "sha256":
            self.fault(f"{place}, digest", "it must be sha256: and 64 lower-case hex digits")
            return
        self.sources.append(WebSource(place, digest, url))

    def _package(self, package: Any, requirement: Any, registry: Any, place: Place) -> None:
        if not isinstance(package, str) or not is_package(package):
            self.fault(
                f"{place}, package", f"{quoted(package)} is no name such as namespace:name in lower case"
            )
        elif not isinstance(requirement, str) or not isinstance(registry, str | None):
            self.fault(str(place), "version and registry must be text")
        else:
            try:
                Requirement.parse(requirement)
            except InvalidVersionError as exc:
                self.fault(f"{place}, version", f"expected {exc.expected}, got {exc.found}")
                return
            self.sources.append(PackageSource(place, package, requirement, registry))

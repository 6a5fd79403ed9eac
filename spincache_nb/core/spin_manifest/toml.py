"""The reader of ``spin.toml`` (Spin main, crates/manifest/src/schema)."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from typing import Any, Literal

from spincache_nb.core.digest import Digest
from spincache_nb.core.spin_manifest.names import is_exact_version, is_package, overlaps, package_of_key
from spincache_nb.core.spin_manifest.values import PackageSource, SpinManifest, WebSource
from spincache_nb.errors import InvalidDigestError, SpinManifestError

_REMEDY = "Spin would not load it either; correct the file"

Table = dict[str, Any]


def parse_spin_manifest(data: bytes, *, where: str) -> SpinManifest:
    """Read a ``spin.toml`` of manifest version 1 or 2.

    Parameters
    ----------
    data
        The file; the caller bounds its size.
    where
        Its path, for an error.

    Raises
    ------
    SpinManifestError
        If it is not TOML in UTF-8, or of a manifest version that Spin does not know.

    Examples
    --------
    >>> text = b'spin_manifest_version = 2\\n[component.a]\\nsource = {package = "a:b", version = "1.0.0"}'
    >>> parse_spin_manifest(text, where="demo").packages[0].requirement
    '=1.0.0'
    """
    try:
        document = tomllib.loads(data.decode("utf-8"))
    except RecursionError as exc:
        raise SpinManifestError(where, "a spin.toml", "TOML nested too deeply", _REMEDY) from exc
    except ValueError as exc:
        found = f"text that is not TOML ({exc})" if not isinstance(exc, UnicodeError) else "text not in UTF-8"
        raise SpinManifestError(where, "a spin.toml", found, _REMEDY) from exc
    version = _version(document, where)
    reader = _Reader()
    if version == 1:
        reader.version_1(document)
        details: Any = document
    else:
        reader.version_2(document)
        details = document.get("application")
    name = details.get("name") if isinstance(details, dict) else None
    return SpinManifest(
        version,
        name if isinstance(name, str) else None,
        tuple(reader.web_sources),
        tuple(reader.packages),
        tuple(reader.faults),
    )


def _version(document: Table, where: str) -> Literal[1, 2]:
    value = document.get("spin_manifest_version", document.get("spin_version"))
    if value == "1":
        return 1
    if value == 2 and isinstance(value, int):
        return 2
    found = "no spin_manifest_version" if value is None else repr(value)
    raise SpinManifestError(where, 'spin_manifest_version "1" (text) or 2 (a number)', found, _REMEDY)


class _Reader:
    """Walks a manifest; collects what reaches the cache, and faults."""

    def __init__(self) -> None:
        self.web_sources: list[WebSource] = []
        self.packages: list[PackageSource] = []
        self.faults: list[str] = []
        self.ids: set[str] = set()

    def version_1(self, document: Table) -> None:
        for position, component in enumerate(self.tables(document.get("component", []), "component")):
            named = component.get("id")
            where = f"component {named if isinstance(named, str) else position}"
            self.source(component.get("source"), f"{where}, source")

    def version_2(self, document: Table) -> None:
        components = self.table(document.get("component", {}), "component")
        self.ids.update(components)
        for name, component in components.items():
            self.component(component, f"component {name}")
        for kind, triggers in self.table(document.get("trigger", {}), "trigger").items():
            for position, trigger in enumerate(self.tables(triggers, f"trigger {kind}")):
                named = trigger.get("id")
                self.trigger(trigger, f"trigger {kind} {named if isinstance(named, str) else position}")

    def trigger(self, trigger: Table, where: str) -> None:
        named = {"component": trigger.get("component")}
        roles = self.table(trigger.get("components", {}), f"{where}, components")
        named.update({f"components {role}": value for role, value in roles.items()})
        for role, value in named.items():
            for component in value if isinstance(value, list) else [value]:
                if not isinstance(component, str | None):
                    self.component(component, f"{where}, {role}")
        for role, value in self.table(trigger.get("dependencies", {}), f"{where}, dependencies").items():
            for dependency in self.tables(value, f"{where}, dependencies {role}"):
                self.dependency(dependency, None, f"{where}, dependency {role}")

    def component(self, component: Any, where: str) -> None:
        if not isinstance(component, dict):
            self.faults.append(f"{where} is not a table")
            return
        self.source(component.get("source"), f"{where}, source")
        self.dependencies(component.get("dependencies", {}), where)
        for name, profile in self.table(component.get("profile", {}), f"{where}, profile").items():
            inner = f"{where}, profile {name}"
            override = self.table(profile, inner)
            if "source" in override:
                self.source(override["source"], f"{inner}, source")
            self.dependencies(override.get("dependencies", {}), inner)

    def source(self, value: Any, where: str) -> None:
        if isinstance(value, str):
            return
        keys = set(value) if isinstance(value, dict) else set()
        if keys == {"url", "digest"}:
            self.web(value, where)
        elif {"package", "version"} <= keys <= {"registry", "package", "version"}:
            version = value["version"]
            if not isinstance(version, str) or not is_exact_version(version):
                self.faults.append(f"{where}: a package's version must be exact, such as 1.2.3")
            else:
                self.package(value["package"], f"={version}", value.get("registry"), where)
        else:
            self.faults.append(f"{where} is neither a path, nor url and digest, nor package and version")

    def dependencies(self, value: Any, where: str) -> None:
        table = self.table(value, f"{where}, dependencies")
        for name, dependency in table.items():
            self.dependency(dependency, name, f"{where}, dependency {name}")
        self.faults.extend(f"{where}: {fault}" for fault in overlaps(table))

    def dependency(self, value: Any, name: str | None, where: str) -> None:
        """Read a dependency of a component (named), or of a trigger (without a name)."""
        if isinstance(value, str) and name is not None:
            value = {"version": value}
        keys = set(value) if isinstance(value, dict) else set()
        form = keys & {"version", "path", "url", "component"}
        if len(form) != 1:
            self.faults.append(f"{where} has no form that Spin knows")
        elif form == {"url"}:
            self.web(value, where)
        elif form == {"version"}:
            package = value.get("package", package_of_key(name) if name is not None else None)
            if package is None:
                self.faults.append(f"{where} must say which package is meant")
            else:
                self.package(package, value["version"], value.get("registry"), where)
        elif form == {"component"} and str(value["component"]) not in self.ids:
            self.faults.append(f"{where}: there is no component {value['component']!r}")

    def web(self, value: Table, where: str) -> None:
        url, text = value.get("url"), value.get("digest")
        if not isinstance(url, str) or not isinstance(text, str):
            self.faults.append(f"{where} needs both url and digest")
            return
        try:
            digest = Digest.parse(text)
        except InvalidDigestError:
            digest = None
        if digest is None or digest.algorithm != "sha256":
            self.faults.append(f"{where}: the digest must be sha256: and 64 lower-case hex digits")
            return
        self.web_sources.append(WebSource(where, digest, url))

    def package(self, package: Any, requirement: Any, registry: Any, where: str) -> None:
        if not isinstance(package, str) or not is_package(package):
            self.faults.append(f"{where}: {package!r} is no package name such as namespace:name")
        elif not isinstance(requirement, str) or not isinstance(registry, str | None):
            self.faults.append(f"{where}: version and registry must be text")
        else:
            self.packages.append(PackageSource(where, package, requirement, registry))

    def table(self, value: Any, where: str) -> Table:
        if isinstance(value, dict):
            return value
        self.faults.append(f"{where} is not a table")
        return {}

    def tables(self, value: Any, where: str) -> Iterator[Table]:
        if not isinstance(value, list):
            self.faults.append(f"{where} is not a list of tables")
            return
        for item in value:
            if isinstance(item, dict):
                yield item
            else:
                self.faults.append(f"{where} holds something that is not a table")

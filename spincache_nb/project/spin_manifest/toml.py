"""The reader of ``spin.toml`` (Spin main, crates/manifest/src/schema and normalize.rs)."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from typing import Any, Literal

from spincache_nb.errors import SpinManifestError, quoted
from spincache_nb.project.spin_manifest.names import is_kebab, overlaps
from spincache_nb.project.spin_manifest.sources import Collected, Dependency
from spincache_nb.project.spin_manifest.triggers import Table, Trigger, normalise_triggers
from spincache_nb.project.spin_manifest.values import Place, SpinManifest

_REMEDY = "Spin would not load it either; correct the file"


def parse_spin_manifest(data: bytes, *, where: str) -> SpinManifest:
    """Read a ``spin.toml`` of manifest version 1 or 2."""
    document = _load(data, where)
    version = _version(document, where)
    reader = _Reader()
    if version == 1:
        reader.version_1(document)
        details: Any = document
    else:
        reader.version_2(document)
        details = document.get("application")
    name = details.get("name") if isinstance(details, dict) else None
    found = reader.found
    return SpinManifest(
        version,
        name if isinstance(name, str) else None,
        tuple(found.sources),
        tuple(found.faults),
    )


def _load(data: bytes, where: str) -> Table:
    try:
        return tomllib.loads(data.decode("utf-8"))
    except RecursionError as exc:
        raise SpinManifestError(where, "a spin.toml", "TOML nested too deeply", _REMEDY) from exc
    except UnicodeDecodeError as exc:
        raise SpinManifestError(where, "a spin.toml", "text not in UTF-8", _REMEDY) from exc
    except ValueError as exc:
        raise SpinManifestError(where, "a spin.toml", f"text that is not TOML ({exc})", _REMEDY) from exc


def _version(document: Table, where: str) -> Literal[1, 2]:
    value = document.get("spin_manifest_version", document.get("spin_version"))
    if value == "1":
        return 1
    if value == 2 and isinstance(value, int):
        return 2
    found = "no spin_manifest_version" if value is None else quoted(value)
    raise SpinManifestError(where, 'spin_manifest_version "1" (text) or 2 (a number)', found, _REMEDY)


class _Reader:
    """Walks the tables of a manifest."""

    def __init__(self) -> None:
        self.found = Collected()

    def version_1(self, document: Table) -> None:
        for position, component in enumerate(self.tables(document.get("component", []), "component")):
            named = component.get("id")
            place = Place(named if isinstance(named, str) else str(position))
            self.found.source(component.get("source"), place)

    def version_2(self, document: Table) -> None:
        components = self.table(document.get("component", {}), "component")
        listed = self.table(document.get("trigger", {}), "trigger").items()
        typed = ((kind, table) for kind, tables in listed for table in self.tables(tables, f"trigger {kind}"))
        triggers = normalise_triggers(typed, components)
        for name, component in components.items():
            self.component(component, Place(name))
        for trigger in triggers:
            self.check_components(trigger)
            for name, component in trigger.inline:
                self.component(component, Place(name, trigger.id))
        for trigger in triggers:
            self.trigger_dependencies(trigger)
        self.found.follow_components()

    def check_components(self, trigger: Trigger) -> None:
        """Report what is in the place of a component but neither an id nor a table."""
        roles = self.table(trigger.table.get("components", {}), f"trigger {trigger.id}, components")
        for role, value in {"component": trigger.table.get("component", ""), **roles}.items():
            for spec in value if isinstance(value, list) and role in roles else [value]:
                if not isinstance(spec, str | dict):
                    self.found.fault(
                        f"trigger {trigger.id}, {role}", "neither the id of a component nor a table"
                    )

    def trigger_dependencies(self, trigger: Trigger) -> None:
        where = f"trigger {trigger.id}, dependencies"
        for role, value in self.table(trigger.table.get("dependencies", {}), where).items():
            for dependency in self.tables(value, f"{where} {role}"):
                place = Place(None, trigger.id, role)
                self.found.dependency(Dependency(dependency, None, place))

    def component(self, component: Any, place: Place) -> None:
        if not isinstance(component, dict) or not is_kebab(str(place.component)):
            what = "not a table" if is_kebab(str(place.component)) else "no id that Spin takes"
            self.found.fault(f"component {place.component}", what)
            return
        self.found.component(str(place.component), component)
        self.found.source(component.get("source"), place)
        base = self.table(component.get("dependencies", {}), f"component {place.component}, dependencies")
        self.dependencies(base, place)
        profiles = self.table(component.get("profile", {}), f"component {place.component}, profile")
        for name, profile in profiles.items():
            inner = place.at(profile=name)
            where = f"component {place.component}, profile {name}"
            override = self.table(profile, where)
            if "source" in override:
                self.found.source(override["source"], inner)
            own = self.table(override.get("dependencies", {}), f"{where}, dependencies")
            self.dependencies(own, inner, base)

    def dependencies(self, table: Table, place: Place, base: Table | None = None) -> None:
        """Read dependencies: all of a component, or those that a profile adds to a base or replaces."""
        for name, dependency in table.items():
            self.found.dependency(Dependency(dependency, name, place.at(dependency=name)))
        profile = f", profile {place.profile}" if place.profile is not None else ""
        for fault in overlaps({**(base or {}), **table}) if table else ():
            self.found.fault(f"component {place.component}{profile}, dependencies", fault)

    def table(self, value: Any, where: str) -> Table:
        if isinstance(value, dict):
            return value
        self.found.fault(where, "not a table")
        return {}

    def tables(self, value: Any, where: str) -> Iterator[Table]:
        if not isinstance(value, list):
            self.found.fault(where, "not a list of tables")
            return
        for item in value:
            if isinstance(item, dict):
                yield item
            else:
                self.found.fault(where, "holds something that is not a table")

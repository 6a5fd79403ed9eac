"""Components written out in triggers, under the ids that Spin gives them (Spin main, normalize.rs)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from spincache_nb.project.spin_manifest.names import is_kebab

Table = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Trigger:
    """A trigger, its id, and the components that are written out in it by the ids they get."""

    id: str
    table: Table
    inline: tuple[tuple[str, Table], ...]


def normalise_triggers(triggers: Iterable[tuple[str, Table]], components: Iterable[str]) -> list[Trigger]:
    """Give every trigger and every component written out in one an id."""
    listed = list(triggers)
    taken = set(components)
    named = []
    for trigger_id, (_, table) in zip(_trigger_ids(listed), listed, strict=True):
        specs = list(_specs(table))
        inline = []
        for spec in specs:
            if isinstance(spec, dict):
                natural = f"{trigger_id}-component"
                if len(specs) > 1 or not is_kebab(natural) or natural in taken:
                    natural = _first_free("inline-component", taken)
                taken.add(natural)
                inline.append((natural, spec))
        named.append(Trigger(trigger_id, table, tuple(inline)))
    return named


def _trigger_ids(triggers: list[tuple[str, Table]]) -> Iterator[str]:
    taken = {own for _, table in triggers if (own := _own_id(table))}
    for kind, table in triggers:
        if own := _own_id(table):
            yield own
            continue
        component = table.get("component")
        natural = f"{component}-{kind}-trigger"
        if not isinstance(component, str) or natural in taken:
            natural = _first_free(f"{kind}-trigger", taken)
        taken.add(natural)
        yield natural


def _own_id(table: Table) -> str:
    own = table.get("id", "")
    return own if isinstance(own, str) else ""


def _first_free(stem: str, taken: set[str]) -> str:
    number = 1
    while f"{stem}{number}" in taken:
        number += 1
    return f"{stem}{number}"


def _specs(trigger: Table) -> Iterator[Any]:
    """What a trigger says of its components: ids, tables, or something wrong."""
    if "component" in trigger:
        yield trigger["component"]
    roles = trigger.get("components")
    for role in roles.values() if isinstance(roles, dict) else ():
        yield from role if isinstance(role, list) else [role]

"""What a report says, whatever it is about: one cache or a fleet."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

from spincache_nb.report import fleet_sections, sections
from spincache_nb.report.fleet_material import FleetMaterial
from spincache_nb.report.material import Material
from spincache_nb.report.parts import Fact, Section

AnyMaterial: TypeAlias = Material | FleetMaterial

_OF_A_CACHE = (
    "Spin stores a layer once, under its digest, however many apps need it. This page shows what that saves."
)
_OF_A_FLEET = (
    "Each host stores a layer once, however many of its apps need it; the next host stores it again. "
    "This page shows what they have in common, and what storing it once would save."
)
_OF_REGISTRIES = "What the manifests in a registry say: which layers its versions share."


def introduction(material: AnyMaterial) -> str:
    """Say what the report is about."""
    if isinstance(material, Material):
        return _OF_A_CACHE
    return _OF_A_FLEET if material.kind == "cache" else _OF_REGISTRIES


def facts_of(material: AnyMaterial) -> list[Fact]:
    """Sum it up in a few numbers."""
    return sections.facts(material) if isinstance(material, Material) else fleet_sections.facts(material)


def sections_of(material: AnyMaterial) -> Iterator[Section]:
    """Give all sections that have something to say, in order."""
    if isinstance(material, Material):
        return sections.sections(material)
    return fleet_sections.sections(material)

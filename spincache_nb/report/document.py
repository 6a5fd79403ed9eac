"""The report as JSON: its numbers, for a program."""

from __future__ import annotations

from typing import Any

from spincache_nb import __version__, show
from spincache_nb.report.fleet_material import FleetMaterial
from spincache_nb.report.material import Material
from spincache_nb.report.parts import heading
from spincache_nb.report.story import AnyMaterial, sections_of
from spincache_nb.show import records

FORMAT = "spincache-nb report 1"
"""Name of the form; the number changes if something in it means something else."""

FLEET_FORMAT = "spincache-nb fleet report 1"
"""The same for a fleet."""

_LONGEST_TEXT = 4096


def to_json(material: AnyMaterial, *, title: str) -> str:
    """Write the report as one JSON document in ASCII."""
    made = _document(material, title) if isinstance(material, Material) else _of_fleet(material, title)
    return show.to_json(made, indent=1, longest=_LONGEST_TEXT) + "\n"


def _document(material: Material, title: str) -> dict[str, Any]:
    pairs = material.shared_bytes
    found: dict[str, Any] = {
        "format": FORMAT,
        "made_by": f"spincache-nb {__version__}",
        "title": heading(title),
        "summary": records(material.summary)[0],
        "readings": _readings(material),
        "breakdown": records(material.breakdown),
        "sharing": records(material.sharing),
        "sharing_sets": records(material.sharing_sets),
        "shared_bytes": records(pairs[pairs["shared_bytes"] > 0]),
        "version_savings": records(material.all_savings()),
        "reclaimable": records(material.reclaimable),
        "superseded": records(material.superseded),
        "timeline": records(material.timeline.drop(columns="cache")),
        "tags_over_time": records(material.tags.drop(columns="cache")),
        "apps": records(material.apps),
        "problems": records(material.problems),
    }
    if material.inside is not None:
        found["cache_grains"] = records(material.inside.grains)
        found["rebuilds"] = records(material.inside.rebuilds)
    return found


def _of_fleet(material: FleetMaterial, title: str) -> dict[str, Any]:
    pairs = material.host_pairs
    return {
        "format": FLEET_FORMAT,
        "made_by": f"spincache-nb {__version__}",
        "title": heading(title),
        "kind": material.kind,
        "summary": records(material.summary)[0],
        "readings": _readings(material),
        "host_overlap": records(material.host_overlap),
        "host_pairs": records(pairs[pairs["shared_bytes"] > 0]),
        "prewarm": records(material.prewarm),
        "sharing": records(material.sharing),
        "versions": records(material.versions),
        "repositories": records(material.repositories),
        "version_savings": {name: records(frame) for name, frame in material.savings.items()},
        "unreferenced": records(material.idle),
        "breakdown": records(material.disk),
        "problems": records(material.problems),
        "skipped": [{"path": one.path, "reason": one.reason} for one in material.skipped],
    }


def _readings(material: AnyMaterial) -> dict[str, list[str]]:
    return {section.name: [reading.text for reading in section.readings] for section in sections_of(material)}

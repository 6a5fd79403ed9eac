"""A report as HTML, Markdown and JSON, and its frames as Parquet or CSV.

Everything that came from a cache is escaped: by the template, by `show.markdown`, by JSON itself.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from spincache_nb import __version__, show
from spincache_nb.core.writing import replacing
from spincache_nb.errors import MissingExtraError, printable
from spincache_nb.report import content, fleet_content, svg
from spincache_nb.report.content import Fact, Listing, Reading, Section
from spincache_nb.report.material import AnyMaterial, FleetMaterial, Material
from spincache_nb.show import markdown, records

FORMAT, FLEET_FORMAT = "spincache-nb report 1", "spincache-nb fleet report 1"
"""Name of the JSON form; the number changes if something in it means something else."""

_LONGEST_TEXT = 4096
_NARROW_INCHES = 8.5  # plots up to this width stand side by side where there is room
_OF_A_CACHE = (
    "Spin stores a layer once, under its digest, however many apps need it. This page shows what that saves."
)
_OF_A_FLEET = (
    "Each host stores a layer once, however many of its apps need it; the next host stores it again. "
    "This page shows what they have in common, and what storing it once would save."
)
_OF_REGISTRIES = "What the manifests in a registry say: which layers its versions share."


def _introduction(material: AnyMaterial) -> str:
    if isinstance(material, Material):
        return _OF_A_CACHE
    return _OF_A_FLEET if material.kind == "cache" else _OF_REGISTRIES


def _facts(material: AnyMaterial) -> list[Fact]:
    return content.facts(material) if isinstance(material, Material) else fleet_content.facts(material)


def _sections(material: AnyMaterial) -> Iterator[Section]:
    if isinstance(material, Material):
        return content.sections(material)
    return fleet_content.sections(material)


# ---------------------------------------------------------------- HTML


def to_html(material: AnyMaterial, *, title: str) -> str:
    """Make the page."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = files("spincache_nb.report").joinpath("page.html").read_text(encoding="utf-8")
    sections = [_drawn(section) for section in _sections(material)]
    light, dark = svg.variables(
        str(one["markup"]) for section in sections for one in (*section["wide"], *section["narrow"])
    )
    page = environment.from_string(template).render(
        title=printable(title),
        version=__version__,
        introduction=_introduction(material),
        facts=_facts(material),
        sections=sections,
        light=_markup(light),
        dark=_markup(dark),
    )
    return page + "\n"


def _drawn(section: Section) -> dict[str, Any]:
    """A section for the template, its plots drawn."""

    def drawn(reading: Reading) -> dict[str, object]:
        return {"text": reading.text, "markup": _markup(reading.plot.svg() if reading.plot else "")}

    plots = [reading for reading in section.readings if reading.plot is not None]
    return {
        "name": section.name,
        "title": section.title,
        "lead": section.lead,
        "words": [reading.text for reading in section.readings if reading.plot is None],
        "wide": [drawn(one) for one in plots if one.plot and one.plot.size[0] > _NARROW_INCHES],
        "narrow": [drawn(one) for one in plots if one.plot and one.plot.size[0] <= _NARROW_INCHES],
        "listings": section.listings,
    }


def _markup(text: str) -> object:
    """Mark as markup what was made here: matplotlib has escaped the text in its drawing."""
    from markupsafe import Markup

    return Markup(text)  # noqa: S704 - made by `svg`, not by a registry


# ---------------------------------------------------------------- Markdown


def to_markdown(material: AnyMaterial, *, title: str) -> str:
    """Write the report as Markdown with tables, for a pull request or a wiki."""
    return "\n".join(_lines(material, title)) + "\n"


def _lines(material: AnyMaterial, title: str) -> Iterator[str]:
    yield f"# {markdown(printable(title))}"
    yield ""
    for fact in _facts(material):
        yield f"- **{markdown(fact.value)}** {markdown(fact.name)}"
    for section in _sections(material):
        yield from ("", f"## {markdown(section.title)}")
        for text in (section.lead, *(reading.text for reading in section.readings)):
            if text:
                yield from ("", markdown(text))
        for one in section.listings:
            yield from _listed(one)
    yield from ("", f"Made by spincache-nb {markdown(__version__)}. Sizes are binary.")


def _listed(listing: Listing) -> Iterator[str]:
    yield from ("", f"**{markdown(listing.caption)}**", "", listing.table.markdown())


# ---------------------------------------------------------------- JSON


def to_json(material: AnyMaterial, *, title: str) -> str:
    """Write the numbers of the report as one JSON document in ASCII, for a program."""
    document = {
        "format": FORMAT if isinstance(material, Material) else FLEET_FORMAT,
        "made_by": f"spincache-nb {__version__}",
        "title": printable(title),
        **(_numbers(material) if isinstance(material, Material) else _fleet_numbers(material)),
        "readings": {
            section.name: [reading.text for reading in section.readings] for section in _sections(material)
        },
    }
    return show.to_json(document, indent=1, longest=_LONGEST_TEXT) + "\n"


def _numbers(material: Material) -> dict[str, Any]:
    pairs = material.shared_bytes
    found = {
        "summary": records(material.summary)[0],
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
    if material.grains is not None and material.rebuilds is not None:
        found |= {"cache_grains": records(material.grains), "rebuilds": records(material.rebuilds)}
    return found


def _fleet_numbers(material: FleetMaterial) -> dict[str, Any]:
    found: dict[str, Any] = {name: records(frame) for name, frame in material.tables()}
    pairs = material.host_pairs
    return found | {
        "kind": material.kind,
        "summary": found["summary"][0],
        "host_pairs": records(pairs[pairs["shared_bytes"] > 0]),
        "version_savings": {name: records(frame) for name, frame in material.savings.items()},
        "skipped": [{"path": one.path, "reason": one.reason} for one in material.skipped],
    }


# ---------------------------------------------------------------- frames

DataFormat = Literal["parquet", "csv"]


def write_frames(
    material: AnyMaterial, folder: str | os.PathLike[str], *, data_format: DataFormat | None = None
) -> list[Path]:
    """Write every frame behind a report into a file of its own, and give the files in that order.

    Parquet if pyarrow is installed unless told otherwise. CSV is UTF-8, comma-separated, a missing value an
    empty field. Values are as they are: open a CSV with names that begin with ``=``, ``+``, ``-`` or ``@`` in
    a spreadsheet, and it takes them for formulas; Parquet has no such trouble.
    """
    installed = find_spec("pyarrow") is not None
    if data_format == "parquet" and not installed:
        raise MissingExtraError(
            "Parquet", "pyarrow", "none", "pip install 'spincache-nb[fleet]', or take CSV"
        )
    chosen = data_format or ("parquet" if installed else "csv")
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    written = []
    for name, frame in material.tables():
        path = (target / f"{name}.{chosen}").absolute()
        with replacing(path) as new, new.stream() as stream:
            if chosen == "parquet":
                _encodable(frame).to_parquet(stream, engine="pyarrow", index=False)
            else:
                frame.to_csv(
                    stream, index=False, lineterminator="\n", encoding="utf-8", errors="backslashreplace"
                )
        written.append(path)
    return written


def _encodable(frame: pd.DataFrame) -> pd.DataFrame:
    """Escape what UTF-8 cannot hold: halves of surrogate pairs."""
    texts = [name for name in frame.columns if isinstance(frame[name].dtype, pd.StringDtype)]
    return frame.assign(**{name: frame[name].map(_escaped, na_action="ignore") for name in texts})


def _escaped(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode("utf-8")

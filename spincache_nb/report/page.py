"""The report as one HTML page. Everything that came from a cache is escaped by the template."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from spincache_nb import __version__
from spincache_nb.report import svg
from spincache_nb.report.parts import Listing, Reading, Section, heading
from spincache_nb.report.story import AnyMaterial, facts_of, introduction, sections_of


@dataclass(frozen=True, slots=True)
class _Drawn:
    """A reading whose plot is drawn: markup, or nothing."""

    text: str
    markup: object
    wide: bool


_NARROW_INCHES = 8.5
"""Plots up to this width stand side by side where there is room."""


def to_html(material: AnyMaterial, *, title: str) -> str:
    """Make the page."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    source_text = files("spincache_nb.report").joinpath("page.html").read_text(encoding="utf-8")
    parts = list(sections_of(material))
    drawn = [(section, [_draw(reading) for reading in section.readings]) for section in parts]
    light, dark = svg.variables(str(one.markup) for _, readings in drawn for one in readings)
    content: dict[str, Any] = {
        "title": heading(title),
        "version": __version__,
        "introduction": introduction(material),
        "facts": facts_of(material),
        "sections": [_part(section, readings) for section, readings in drawn],
        "light": _markup(light),
        "dark": _markup(dark),
    }
    return environment.from_string(source_text).render(content) + "\n"


def _draw(reading: Reading) -> _Drawn:
    if reading.plot is None:
        return _Drawn(reading.text, "", True)
    return _Drawn(reading.text, _markup(reading.plot.svg()), reading.plot.size[0] > _NARROW_INCHES)


def _part(section: Section, readings: list[_Drawn]) -> dict[str, Any]:
    listings: tuple[Listing, ...] = section.listings
    return {
        "name": section.name,
        "title": section.title,
        "lead": section.lead,
        "words": [one.text for one in readings if not one.markup],
        "wide": [one for one in readings if one.markup and one.wide],
        "narrow": [one for one in readings if one.markup and not one.wide],
        "listings": listings,
    }


def _markup(text: str) -> object:
    """Mark as markup what was made here: matplotlib has escaped the text in its drawing."""
    from markupsafe import Markup

    return Markup(text)  # noqa: S704 - made by `svg`, not by a registry

"""The report as Markdown: its words and tables, for a pull request or a wiki."""

from __future__ import annotations

from collections.abc import Iterator

from spincache_nb import __version__
from spincache_nb.report.parts import Listing, heading
from spincache_nb.report.story import AnyMaterial, facts_of, sections_of
from spincache_nb.report.tables import Cell
from spincache_nb.show import markdown


def to_markdown(material: AnyMaterial, *, title: str) -> str:
    """Write the report as Markdown with tables."""
    return "\n".join(_lines(material, title)) + "\n"


def _lines(material: AnyMaterial, title: str) -> Iterator[str]:
    yield f"# {markdown(heading(title))}"
    yield ""
    for fact in facts_of(material):
        yield f"- **{markdown(fact.value)}** {markdown(fact.name)}"
    for section in sections_of(material):
        yield from ("", f"## {markdown(section.title)}")
        for text in (section.lead, *(reading.text for reading in section.readings)):
            if text:
                yield from ("", markdown(text))
        for listing in section.listings:
            yield from _table(listing)
    yield from ("", f"Made by spincache-nb {markdown(__version__)}. Sizes are binary.")


def _table(listing: Listing) -> Iterator[str]:
    table = listing.table
    yield from ("", f"**{markdown(listing.caption)}**", "")
    yield _row(table.headings)
    yield "|" + "|".join("---:" if "number" in cell.style else "---" for cell in table.headings) + "|"
    for line in table.lines:
        yield _row(line)
    if table.more:
        yield from ("", f"and {table.more} more")


def _row(cells: tuple[Cell, ...]) -> str:
    return "| " + " | ".join(markdown(cell.text) for cell in cells) + " |"

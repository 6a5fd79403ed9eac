"""A report as HTML, Markdown and JSON, and its frames as Parquet or CSV.

Everything that came from a cache is escaped: by the template, by `show.markdown`, by JSON itself.
"""

from __future__ import annotations

import os
import shlex
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from markupsafe import Markup

from spincache_nb import __version__, analysis, show
from spincache_nb.analysis.inputs import short_references
from spincache_nb.core.writing import replacing
from spincache_nb.errors import MissingExtraError, printable
from spincache_nb.report import content, fleet_content
from spincache_nb.report.content import Fact, Listing, Section, Square
from spincache_nb.report.material import APP_FACTS, FORMAT, AnyMaterial, FleetMaterial, Material, place_of
from spincache_nb.show import escaped, markdown, records, rows, shorten, size_text, time_text, width

FLEET_FORMAT = "spincache-nb fleet report 1"
_LONGEST_TEXT = 4096
_OF_A_CACHE = (
    "Spin stores a layer once, under its digest, however many apps need it. This page shows what that saves."
)
_OF_A_FLEET = (
    "Each host stores a layer once, however many of its apps need it; the next host stores it again. "
    "This page shows what they have in common, and what storing it once would save."
)
_OF_REGISTRIES = "What the manifests in a registry say: which layers its versions share."


def _said(material: AnyMaterial) -> tuple[str, list[Fact], Iterator[Section]]:
    """What a report says: its introduction, its facts and its sections."""
    if isinstance(material, Material):
        return _OF_A_CACHE, content.facts(material), content.sections(material)
    introduction = _OF_A_FLEET if material.kind == "cache" else _OF_REGISTRIES
    return introduction, fleet_content.facts(material), fleet_content.sections(material)


_ON_LIGHT = ("#e3eef7", "#9cc6e3", "#4393c3", "#0072b2", "#08304f")
_ON_DARK = ("#12364f", "#1f6a96", "#4aa3da", "#a8d8f8", "#f2f9ff")
_LOOKS = {
    "here": ("#7fb3d9", "#3c7fae"),
    "shared": ("#0b4f7d", "#a8d8f8"),
    "idle": ("#d99a00", "#d9a520"),
    "other": ("#aeb5bd", "#6b7480"),
    "reused": ("#0072b2", "#4aa3da"),
    "fetched": ("#e69f00", "#e69f00"),
    "line": ("#e6eaee", "#252c35"),
    **{f"q{n}": pair for n, pair in enumerate(zip(_ON_LIGHT, _ON_DARK, strict=True))},
}
"""Colours of bars and squares, on light and on dark pages."""

_KINDS = {"exclusive": "here", "shared": "shared", "projects": "here", "unreferenced": "idle"}
_KINDS |= {"temporary": "idle", "misnamed": "idle"}
_CELL, _LETTER, _LONGEST = 20, 6.6, 34
_STANDINGS = {"here": "one only", "shared": "shared", "idle": "nothing needs it", "other": "other"}


def to_html(material: AnyMaterial, *, title: str) -> str:
    """Make the page."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    introduction, facts, found = _said(material)
    sections = list(found)
    places, script = _places(material, sections), _file("page.js")
    page = environment.from_string(_file("page.html")).render(
        title=printable(title),
        made=_made(material),
        introduction=introduction,
        findings=_findings(material, places),
        facts=facts,
        sections=sections,
        names={section.name for section in sections},
        lines=lambda one, number: _lines_of(one, number, places),
        square=lambda one: _square(one, places),
        looks=_LOOKS,
        legend=_legend,
        script=Markup(script),  # noqa: S704 - our own file
        script_hash=b64encode(sha256(script.encode()).digest()).decode(),
        data=Markup(_data(material)),  # noqa: S704 - no "<" is in it
    )
    return page + "\n"


def _file(name: str) -> str:
    return files("spincache_nb.report").joinpath(name).read_text(encoding="utf-8")


def _made(material: AnyMaterial) -> list[str]:
    """Say when this was made, of what, and by what."""
    made = material.made
    parts = [f"{time_text(made.at, 'minute')} UTC", made.host, made.place, f"spincache-nb {__version__}"]
    return [printable(part) for part in parts if part]


def _findings(material: AnyMaterial, places: Mapping[str, str]) -> list[dict[str, str]]:
    """What stands out, with the command that acts on it."""
    if not isinstance(material, Material):
        return []
    option = _option(material)
    return [
        {
            "sentence": sentence,
            "command": f"{command}{option}" if command else "",
            "place": places.get(subject or "", ""),
        }
        for sentence, subject, command in rows(material.findings, "sentence", "subject", "command")
    ]


def _option(material: Material) -> str:
    """Name the cache in a command if it is not this user's own."""
    place = material.made.place
    if place is None or place == place_of(None):
        return ""
    folder = place.rpartition("/")[0]
    quoted = shlex.quote(folder.removeprefix("~/"))
    return f" --cache-dir ~/{quoted}" if folder.startswith("~/") else f" --cache-dir {shlex.quote(folder)}"


def _places(material: AnyMaterial, sections: Sequence[Section]) -> dict[str, str]:
    """Find what rows can link to: an app's row; a repository's, or that of its first app."""
    found: dict[str, str] = {}
    for one in (one for section in sections for one in section.listings if one.anchor):
        found |= {name: f"{one.anchor}-{place}" for place, name in enumerate(one.subjects) if name}
    if isinstance(material, Material):
        for reference, repository, registry in rows(material.apps, "reference", "repository", "registry"):
            for name in (f"{registry}/{repository}", registry):
                if reference in found:
                    found.setdefault(name, found[reference])
    return found


def _lines_of(one: Listing, number: int, places: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """Give the rows of a table, or (number 1) of what opens: cells, where each links to, and the bar."""
    table, start = (one.rest, len(one.table.rows)) if number else (one.table, 0)
    names = [column.name for column in table.columns]
    bars = [(names.index(name), look) for name, look in one.bar.items()]
    most = max(
        (sum(row[place] or 0 for place, _ in bars) for row in one.table.rows + one.rest.rows), default=0
    )
    kind = names.index("kind") if "kind" in names else None
    for place, (row, cells) in enumerate(zip(table.rows, table.cells(), strict=True), start):
        subject = one.subjects[place] if place < len(one.subjects) else None
        target = places.get(subject or "", "")
        links = [
            places.get(value, "") if cell.kind == "code" else ""
            for value, cell in zip(row, cells, strict=True)
        ]
        links[0] = "" if one.anchor else links[0] or target
        parts = [(row[at] or 0, look or _KINDS.get(row[kind or 0], "other")) for at, look in bars]
        told = ", ".join(f"{table.columns[at].heading.lower()} {cells[at].text}" for at, _ in bars)
        note = one.notes[place] if place < len(one.notes) else ""
        said = f"{cells[0].title or cells[0].text}: {told}" + (
            f"; {note}" if note and note != subject else ""
        )
        yield {
            "id": f"{one.anchor}-{place}" if one.anchor else "",
            "cells": zip(cells, links, row, strict=True),
            "bar": Markup(_bar(parts, most, said, "" if one.anchor else target)),  # noqa: S704 - escaped
        }


def _legend(one: Listing) -> list[tuple[str, Markup]]:
    """Name the colours of a table's bars, if there are several."""
    names = [column.name for column in one.table.columns]
    named = [(one.table.columns[names.index(name)].heading, look) for name, look in one.bar.items() if look]
    if one.bar and not named:
        kind = names.index("kind")
        found = {_KINDS.get(row[kind], "other") for row in (*one.table.rows, *one.rest.rows)}
        named = [(name, look) for look, name in _STANDINGS.items() if look in found]
    return [(name, Markup(_filled(look))) for name, look in named if len(named) > 1]  # noqa: S704 - ours


def _bar(parts: Sequence[tuple[int, str]], most: int, said: str, target: str) -> str:
    """Draw a bar: sizes beside each other, each in the colour of its look."""
    drawn, left = "", 0.0
    for size, look in parts:
        wide = 100 * size / most if most else 0.0
        if wide:
            drawn += f'<rect x="{left:.2f}" width="{max(wide, 0.4):.2f}" height="1" {_filled(look)}/>'
        left += wide
    drawn = f"<g><title>{escaped(said)}</title>{drawn}</g>"
    drawn = f'<a href="#{target}" tabindex="-1">{drawn}</a>' if target else drawn
    return f'<svg viewBox="0 0 100 1" preserveAspectRatio="none">{drawn}</svg>'


def _filled(look: str) -> str:
    """A colour as an attribute: a page whose policy forbids styles shows it as well."""
    return f'fill="var(--{look}, {_LOOKS[look][0]})"'


def _square(one: Square, places: Mapping[str, str]) -> Markup:
    """Draw half a square: names stand on its diagonal, a cell is what the names of row and column share."""
    short = {
        name: shorten(text, _LONGEST, cut="middle") for name, text in short_references(one.names).items()
    }
    most = max(one.sizes.values())
    drawn = []
    for row, name in enumerate(one.names):
        for column, other in enumerate(one.names[:row]):
            size = one.sizes.get((other, name)) or one.sizes.get((name, other)) or 0
            look = f"q{min(4, int(5 * size / most))}" if size else "line"
            said = f"{short[name]} and {short[other]}: {size_text(size)}"
            drawn.append(
                f'<rect x="{column * _CELL}" y="{row * _CELL}" width="{_CELL - 1}" height="{_CELL - 1}" '
                f"{_filled(look)}><title>{escaped(said)}</title></rect>"
            )
        text = f'<text x="{row * _CELL + 4}" y="{row * _CELL + 14}">{escaped(short[name])}</text>'
        target = places.get(name)
        drawn.append(f'<a href="#{target}">{text}</a>' if target else text)
    wide = len(one.names) * _CELL + int(_LETTER * max(map(width, short.values()))) + 8
    high = len(one.names) * _CELL
    return Markup(  # noqa: S704 - made here, names escaped
        f'<svg role="img" aria-label="{escaped(one.title)}" viewBox="0 0 {wide} {high}" width="{wide}" '
        f'height="{high}" fill="currentColor">{"".join(drawn)}</svg>'
    )


def _data(material: AnyMaterial) -> str:
    """What a later report compares with, as JSON that no mark-up can end."""
    document: dict[str, Any] = _head(material)
    if isinstance(material, Material):
        document |= {"summary": records(material.summary)[0], "apps": records(material.apps[[*APP_FACTS]])}
    return show.to_json(document, indent=None).replace("<", "\\u003c")


def to_markdown(material: AnyMaterial, *, title: str) -> str:
    """Write the report as Markdown with tables, for a pull request or a wiki."""
    return "\n".join(_lines(material, title)) + "\n"


def _lines(material: AnyMaterial, title: str) -> Iterator[str]:
    yield from (f"# {markdown(printable(title))}", "", markdown(" · ".join(_made(material))), "")
    for place, found in enumerate(_findings(material, {}), 1):
        yield f"{place}. {markdown(found['sentence'])} {_code(found['command'])}".rstrip()
    yield ""
    _, facts, sections = _said(material)
    for fact in facts:
        yield f"- **{markdown(fact.value)}** {markdown(fact.name)}"
    for section in sections:
        yield from ("", f"## {markdown(section.title)}")
        for text in (section.lead, *section.readings):
            if text:
                yield from ("", markdown(text))
        for one in section.listings:
            yield from ("", f"**{markdown(one.caption)}**", "", one.table.markdown())
    yield from ("", "Sizes are binary: 1 MiB is 1,048,576 bytes.")


def _code(command: str) -> str:
    """A command in Markdown; nothing where it would end its own mark-up."""
    return f"`{command}`" if command and "`" not in command else markdown(command)


def to_json(material: AnyMaterial, *, title: str) -> str:
    """Write the numbers of the report as one JSON document in ASCII, for a program."""
    document = {
        **_head(material),
        "title": printable(title),
        **(_numbers(material) if isinstance(material, Material) else _fleet_numbers(material)),
        "readings": {section.name: list(section.readings) for section in _said(material)[2]},
    }
    return show.to_json(document, indent=1, longest=_LONGEST_TEXT) + "\n"


def _head(material: AnyMaterial) -> dict[str, Any]:
    made = material.made
    return {
        "format": FORMAT if isinstance(material, Material) else FLEET_FORMAT,
        "made_by": f"spincache-nb {__version__}",
        "at": made.at,
        "host": made.host,
        "cache": made.place,
    }


def _numbers(material: Material) -> dict[str, Any]:
    pairs, frames, changes = material.shared_bytes(), material.frames, material.changes
    found: dict[str, Any] = {
        "findings": records(material.findings),
        "summary": records(material.summary)[0],
        "breakdown": records(analysis.breakdown(frames)),
        "sharing": records(material.sharing),
        "sharing_sets": records(analysis.sharing_sets(frames)),
        "shared_bytes": records(pairs[pairs["shared_bytes"] > 0]),
        "version_savings": records(material.savings),
        "reclaimable": records(material.reclaimable),
        "superseded": records(material.superseded),
        "timeline": records(material.timeline.drop(columns="cache")),
        "tags_over_time": records(material.tags.drop(columns="cache")),
        "apps": records(material.apps),
        "problems": records(material.problems),
    }
    if material.grains is not None and material.rebuilds is not None:
        found |= {"cache_grains": records(material.grains), "rebuilds": records(material.rebuilds)}
    if changes is not None:
        names = ("reference", "change", "stored_bytes_before", "stored_bytes")
        apps = [dict(zip(names, line, strict=True)) for line in changes.apps]
        found["since"] = {"at": changes.at, "summary": changes.before, "apps": apps}
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

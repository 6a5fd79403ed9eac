"""The tables of ``data-fixtures/README.md`` that say what the frames report of each recorded cache.

``python -m tests.demo.recorded_table`` writes them again; a test compares.
"""

import re
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import pandas as pd

import spincache_nb as sc
from spincache_nb.demo import RecordedCache, data_fixtures, recorded_caches

BEGIN = "<!-- recorded caches: begin; `python -m tests.demo.recorded_table` writes this -->\n"
END = "<!-- recorded caches: end -->\n"
README = data_fixtures() / "README.md"
_HEX = re.compile(r"(?<![0-9a-f])([0-9a-f]{8})[0-9a-f]{24,}")


def tables() -> str:
    """Write the tables from the frames of every recorded cache."""
    return "\n".join(line for one in recorded_caches() for line in _section(one)) + "\n"


def written() -> str:
    text = README.read_text(encoding="utf-8")
    return text[text.index(BEGIN) + len(BEGIN) : text.index(END)]


def _section(recording: RecordedCache) -> Iterator[str]:
    yield f"### {recording.name}"
    yield ""
    yield f"Spin {recording.spin}."
    yield ""
    yield from (f"- {sentence}" for sentence in recording.shows)
    yield ""
    with tempfile.TemporaryDirectory() as folder:
        cache = recording.lay_out(folder, windows_names=recording.windows_names)
        projects = recording.project_folders(folder)
        yield from _table(
            "app, kind, name, version, layers, of them stored, components, mounted files, of them inlined, "
            "stored bytes, languages, toolchains",
            _apps(cache),
        )
        yield from _table("problem, where, app, found by", _problems(cache, projects))
        yield from _table(
            "blob that no app needs, stored bytes, standing, with its project", _blobs(cache, projects)
        )


def _table(head: str, rows: Iterable[list[object]]) -> Iterator[str]:
    lines = ["| " + " | ".join(_cell(value) for value in row) + " |" for row in rows]
    if not lines:
        return
    names = head.split(", ")
    yield f"| {' | '.join(names)} |"
    yield "|" + "---|" * len(names)
    yield from lines
    yield ""


def _cell(value: object) -> str:
    return "" if pd.isna(value) else _HEX.sub(r"\1...", str(value))  # type: ignore[call-overload]


def _apps(cache: sc.Cache) -> Iterator[list[object]]:
    found = sc.frames.load(cache)
    layers, files = found.need("layers"), found.need("files")
    components = found.need("components")
    for app in found.need("apps").itertuples():
        own = layers[layers["reference"] == app.reference]
        mounted = files[files["reference"] == app.reference]
        made = components[components["reference"] == app.reference]
        yield [
            f"`{app.reference}`",
            app.kind,
            app.name,
            app.version,
            app.layer_count,
            own["stored"].sum(),
            app.component_count,
            len(mounted),
            mounted["inline"].sum(),
            app.stored_bytes,
            ", ".join(made["languages"].dropna().unique()),
            ", ".join(made["toolchains"].dropna().unique()),
        ]


def _problems(cache: sc.Cache, projects: list[Path]) -> Iterator[list[object]]:
    seen = sc.frames.problems(cache, projects=projects)
    known = set(zip(seen["path"], seen["kind"], strict=True))
    for row in sc.verify(cache, projects=projects).itertuples():
        by = "problems" if (row.path, row.kind) in known else "verify"
        yield [row.kind, f"`{row.path}`", "" if pd.isna(row.reference) else f"`{row.reference}`", f"`{by}`"]


def _blobs(cache: sc.Cache, projects: list[Path]) -> Iterator[list[object]]:
    alone, together = sc.frames.blobs(cache), sc.frames.blobs(cache, projects=projects)
    for row, standing in zip(alone.itertuples(), together["standing"], strict=True):
        if row.standing != "referenced":
            yield [f"`{row.area}/{row.name}`", row.stored_bytes, row.standing, standing if projects else ""]


def main() -> None:
    text = README.read_text(encoding="utf-8")
    README.write_text(text.replace(BEGIN + written(), BEGIN + tables()), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()

"""What a report about one cache says, section by section, before it is HTML, Markdown or JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from spincache_nb.report import figures, sentences
from spincache_nb.report.figures import Plot
from spincache_nb.report.material import Material
from spincache_nb.show import Column, Table, rows, share_text, size_text

MOST_ROWS = 15
"""Rows of a table that ranks; what comes after them is counted."""

MOST_LISTED = 200
"""Rows of a table that lists."""

TEXT_LENGTH = 700
"""Characters of a sentence in a cell, which is shown whole."""


@dataclass(frozen=True, slots=True)
class Fact:
    """A number in large type, and what it is."""

    value: str
    name: str


@dataclass(frozen=True, slots=True)
class Reading:
    """A plot, or none where only words are left, and what it says."""

    plot: Plot | None
    text: str


@dataclass(frozen=True, slots=True)
class Listing:
    """A table and what it is called."""

    caption: str
    table: Table


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a report."""

    name: str
    title: str
    lead: str
    readings: tuple[Reading, ...] = ()
    listings: tuple[Listing, ...] = ()


def listing(caption: str, source: Any, columns: Sequence[Column], *, most: int | None = MOST_ROWS) -> Listing:
    """Make a table of a frame, with what it is called."""
    return Listing(caption, Table(source, columns, most=most))


_APPS = (
    Column("reference", "App", "code"),
    Column("kind", "Kind"),
    Column("name", "Name"),
    Column("version", "Version"),
    Column("created_at", "Created", "day"),
    Column("component_count", "Components", "count"),
    Column("layer_count", "Layers", "count"),
    Column("stored_bytes", "Stored", "size"),
)
_BREAKDOWN = (
    Column("label", "What"),
    Column("kind", "Kind"),
    Column("user_count", "Users", "count"),
    Column("file_count", "Files", "count"),
    Column("stored_bytes", "On disk", "size"),
    Column("share", "Share", "share"),
)
_SHARING = (
    Column("names", "Known as"),
    Column("digest", "Digest", "digest"),
    Column("stored_bytes", "Size", "size"),
    Column("user_count", "Users", "count"),
    Column("manifest_count", "Manifests", "count"),
    Column("saved_bytes", "Saved", "size"),
)
_REPOSITORIES = (
    Column("repository", "Repository", "code"),
    Column("version_count", "Versions", "count"),
    Column("total_bytes", "Total", "size"),
    Column("fetch_bytes", "Fetched", "size"),
    Column("saved_bytes", "Saved", "size"),
    Column("saved_share", "Share", "share"),
)
_SAVINGS = (
    Column("repository", "Repository", "code"),
    Column("tag", "Version", "code"),
    Column("total_bytes", "Total", "size"),
    Column("reused_bytes", "Reused", "size"),
    Column("fetch_bytes", "Fetched", "size"),
    Column("saved_share", "Saved", "share"),
)
_RECLAIMABLE = (
    Column("reference", "App", "code"),
    Column("stored_bytes", "Needs", "size"),
    Column("freed_bytes", "Freed", "size"),
    Column("kept_bytes", "Stays", "size"),
)
_SUPERSEDED = (
    Column("repository", "Repository", "code"),
    Column("last", "Stays", "code"),
    Column("old_count", "Old versions", "count"),
    Column("freed_bytes", "Freed", "size"),
)
_TAGS = (
    Column("reference", "App", "code"),
    Column("first_pulled_at", "From", "minute"),
    Column("manifest_digest", "Manifest", "digest"),
    Column("pull_count", "Pulls", "count"),
)
_GRAINS = (
    Column("grain", "Grain"),
    Column("total_bytes", "Total", "size"),
    Column("reused_bytes", "Repeated", "size"),
    Column("reused_share", "Share", "share"),
    Column("piece_count", "Pieces", "count"),
    Column("index_bytes", "Index", "size"),
)
_REBUILDS = (
    Column("to_version", "App", "code"),
    Column("component", "Component"),
    Column("old_digest", "Before", "digest"),
    Column("new_digest", "Now", "digest"),
    Column("detail", "Verdict", longest=TEXT_LENGTH),
)
_PROBLEMS = (
    Column("kind", "Problem"),
    Column("path", "Where", "code"),
    Column("reference", "App", "code"),
    Column("detail", "Detail", longest=TEXT_LENGTH),
    Column("remedy", "Remedy", longest=TEXT_LENGTH),
)


def facts(material: Material) -> list[Fact]:
    """Sum the cache up in a few numbers."""
    columns = ("app_count", "stored_bytes", "logical_bytes", "saved_bytes", "dedup_ratio", "problem_count")
    apps, stored, logical, saved, ratio, problems = next(rows(material.summary, *columns))
    (idle,) = next(rows(material.summary, "unreferenced_bytes"))
    part = f" ({share_text(saved / logical)})" if logical else ""
    return [
        Fact(str(apps), "apps" if apps != 1 else "app"),
        Fact(size_text(logical), "if each app kept its own copy"),
        Fact(size_text(stored), "stored" + (f", a ratio of {ratio:.2f}" if ratio is not None else "")),
        Fact(size_text(saved), f"saved by sharing{part}"),
        Fact(size_text(idle), "that nothing needs"),
        Fact(str(problems), "problems" if problems != 1 else "problem"),
    ]


def sections(material: Material) -> Iterator[Section]:
    """Give all sections that have something to say, in order."""
    if len(material.apps):
        yield _disk(material)
        yield _sharing(material)
        if material.savings:
            yield _versions(material)
        yield _reclaimable(material)
    elif len(material.breakdown):
        yield _disk(material)
    else:
        yield Section("nothing", "Nothing here yet", "There are no apps in this cache.")
    if len(material.timeline):
        yield _pulls(material)
    if material.grains is not None and material.rebuilds is not None:
        yield _inside(material.grains, material.rebuilds)
    if len(material.apps):
        yield _apps(material)
    yield _problems(material)


def _disk(material: Material) -> Section:
    largest = material.breakdown.sort_values(["stored_bytes", "row"], ascending=[False, True])
    return Section(
        "disk",
        "Where the bytes on disk go",
        "Every byte is in exactly one bar, and the bars add up to the whole cache.",
        (Reading(figures.breakdown(material.breakdown), sentences.of_breakdown(material)),),
        (listing("The largest parts", largest, _BREAKDOWN),),
    )


def _sharing(material: Material) -> Section:
    text, shared = sentences.of_sharing(material), material.shared
    if not len(shared):
        return Section("sharing", "What is shared", "", (Reading(None, text),))
    readings = [Reading(figures.sharing(material.sharing_sets), sentences.of_sets(material))]
    if len(material.apps) > 1:
        readings.append(Reading(figures.shared_bytes(material.frames), sentences.of_pairs(material)))
    listings = (listing("Shared most, by name", shared, _SHARING),)
    return Section("sharing", "What is shared", text, tuple(readings), listings)


def _versions(material: Material) -> Section:
    drawn = list(material.savings)[: figures.MOST_REPOSITORIES]
    plots = figures.versions({name: material.savings[name] for name in drawn})
    more = len(material.savings) - len(drawn)
    lead = (
        "The versions of each repository, as if Spin pulled them one after the other into an empty cache: "
        "what it would fetch, and what it would find. Config and locked app are fetched on every pull."
    )
    if more:
        lead += f" The {len(drawn)} repositories with most bytes are drawn; {more} more are in the tables."
    return Section(
        "versions",
        "What a new version costs",
        lead,
        tuple(Reading(plots[name], sentences.of_versions(material.savings[name])) for name in drawn),
        (
            listing("Repositories", _totals(material), _REPOSITORIES, most=MOST_LISTED),
            listing("Versions", material.all_savings(), _SAVINGS, most=MOST_LISTED),
        ),
    )


def _totals(material: Material) -> list[tuple[Any, ...]]:
    """Add up the versions of each repository."""
    lines = []
    for repository, frame in material.savings.items():
        costs = [cost for cost in rows(frame, "total_bytes", "fetch_bytes") if None not in cost]
        total, fetched = sum(cost[0] for cost in costs), sum(cost[1] for cost in costs)
        share = (total - fetched) / total if total else None
        lines.append((repository, len(frame), total, fetched, total - fetched, share))
    return lines


def _reclaimable(material: Material) -> Section:
    listings = [listing("Apps, by what removing each alone frees", material.reclaimable, _RECLAIMABLE)]
    if len(material.superseded):
        caption = "Repositories, by what removing all versions but the last frees"
        listings.append(listing(caption, material.superseded, _SUPERSEDED))
    return Section(
        "reclaimable",
        "What could be freed",
        "Removing an app frees only what no other app needs. Spin downloads again what it misses.",
        (Reading(None, sentences.of_reclaimable(material)),),
        tuple(listings),
    )


def _pulls(material: Material) -> Section:
    moved = material.tags[material.tags.duplicated(["cache", "reference"], keep=False)]
    caption = "Tags that came to mean something else"
    listings = (listing(caption, moved, _TAGS, most=MOST_LISTED),) if len(moved) else ()
    reading = Reading(figures.timeline(material.timeline), sentences.of_timeline(material))
    return Section("pulls", "Pulls over time", "", (reading,), listings)


def _inside(grains: pd.DataFrame, rebuilds: pd.DataFrame) -> Section:
    listings = [listing("Grains", grains, _GRAINS, most=None)]
    if len(rebuilds):
        listings.append(listing("New binaries of components", rebuilds, _REBUILDS, most=MOST_LISTED))
    return Section(
        "inside",
        "Inside the files",
        "What sharing finer grains than whole files would have saved, and whether new binaries are new code.",
        (
            Reading(figures.grains(grains), sentences.of_grains(grains)),
            Reading(None, sentences.of_rebuilds(rebuilds)),
        ),
        tuple(listings),
    )


def _apps(material: Material) -> Section:
    lead = "“Stored” counts what an app shares with others; the column adds up to more than is on the disk."
    listings = (listing("Cached apps and packages", material.apps, _APPS, most=MOST_LISTED),)
    return Section("apps", "Apps", lead, (), listings)


def _problems(material: Material) -> Section:
    found = listing("What is wrong, and what to do", material.problems, _PROBLEMS, most=MOST_LISTED)
    reading = Reading(None, sentences.of_problems(material))
    return Section("problems", "Problems", "", (reading,), (found,) if found.table.rows else ())

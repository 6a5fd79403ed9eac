"""What a report about one cache says, section by section, before it is HTML, Markdown or JSON."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from spincache_nb import analysis
from spincache_nb.analysis.inputs import some_of, sorted_names
from spincache_nb.report import sentences
from spincache_nb.report.material import Changes, Material
from spincache_nb.show import Column, Table, rows, share_text, size_text

MOST_ROWS = 15
"""Rows of a table that are shown; what comes after them opens on the page."""

MOST_OPENED = 500
"""Rows that open; what comes after them is counted."""

TEXT_LENGTH = 700
"""Characters of a sentence in a cell, which is shown whole."""

_MOST_APPS = 2000
_MOST_NAMED = 12
_FEWEST_IN_A_SQUARE, _MOST_IN_A_SQUARE = 3, 24


@dataclass(frozen=True, slots=True)
class Fact:
    """A number in large type, what it is, and the section that says more."""

    value: str
    name: str
    section: str = ""


@dataclass(frozen=True, slots=True)
class Listing:
    """A table and what it is called; `rest` are the rows that open.

    A bar shows the sizes in columns, each in the colour of its look; one without a look has that of the kind
    in its row. `subjects` say what a row is about, `notes` what its bar says beyond its size; rows with an
    `anchor` are what others link to.
    """

    caption: str
    table: Table
    rest: Table
    bar: Mapping[str, str]
    subjects: Sequence[str | None]
    notes: Sequence[str] = ()
    anchor: str = ""


@dataclass(frozen=True, slots=True)
class Square:
    """A picture of what each two of some names have in common, in bytes."""

    title: str
    text: str
    names: Sequence[str]
    sizes: Mapping[tuple[str, str], int]


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a report."""

    name: str
    title: str
    lead: str
    readings: tuple[str, ...] = ()
    listings: tuple[Listing, ...] = ()
    square: Square | None = None


def listing(
    caption: str,
    source: Any,
    columns: Sequence[Column],
    *,
    most: int = MOST_ROWS,
    opened: int = MOST_OPENED,
    bar: Mapping[str, str] | None = None,
    subjects: Sequence[str | None] | None = None,
    notes: Sequence[str] = (),
    anchor: str = "",
) -> Listing:
    """Make a table of a frame or of tuples, with what it is called; a row is about its first cell."""
    lines = list(rows(source, *(one.name for one in columns))) if hasattr(source, "columns") else source
    table, rest = Table(lines, columns, most=most), Table(lines[most:], columns, most=opened)
    if subjects is None:
        subjects = [line[0] for line in lines[: most + opened]]
    return Listing(caption, table, rest, bar or {}, subjects, notes, anchor)


APP = Column("reference", "App", "code")
REPOSITORY = Column("repository", "Repository", "code")
DIGEST = Column("digest", "Digest", "digest")
SHARE = Column("share", "Share", "share")
REUSED = Column("reused_bytes", "Reused", "size")
FETCHED = Column("fetch_bytes", "Fetched", "size")
COST = (REUSED, FETCHED, Column("saved_share", "Saved", "share"))
SAVINGS = (REPOSITORY, Column("tag", "Version", "code"))
_APPS = (
    APP,
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
    SHARE,
)
_SHARING = (
    Column("names", "Known as"),
    DIGEST,
    Column("stored_bytes", "Size", "size"),
    Column("user_count", "Users", "count"),
    Column("manifest_count", "Manifests", "count"),
    Column("saved_bytes", "Saved", "size"),
)
_TOTAL = Column("total_bytes", "Total", "size")
_REPOSITORIES = (REPOSITORY, Column("version_count", "Versions", "count"), _TOTAL, *COST)
_SAVINGS = (*SAVINGS, _TOTAL, *COST)
_RECLAIMABLE = (
    APP,
    Column("stored_bytes", "Needs", "size"),
    Column("freed_bytes", "Freed", "size"),
    Column("kept_bytes", "Stays", "size"),
)
_SUPERSEDED = (
    REPOSITORY,
    Column("last", "Stays", "code"),
    Column("old_count", "Old versions", "count"),
    Column("freed_bytes", "Freed", "size"),
)
_PULLS = (APP, Column("at", "At", "minute"), REUSED, FETCHED)
_CHANGES = (
    APP,
    Column("what", "What"),
    Column("before", "Stored then", "size", show=lambda size: "" if size is None else size_text(size)),
    Column("now", "Stored now", "size", show=lambda size: "" if size is None else size_text(size)),
)
_TAGS = (
    APP,
    Column("first_pulled_at", "From", "minute"),
    Column("manifest_digest", "Manifest", "digest"),
    Column("pull_count", "Pulls", "count"),
)
_GRAINS = (
    Column("grain", "Grain"),
    _TOTAL,
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
    APP,
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
        Fact(f"{apps:,}", "apps" if apps != 1 else "app", "apps"),
        Fact(size_text(logical), "if each app kept its own copy"),
        Fact(
            size_text(stored), "stored" + (f", a ratio of {ratio:.2f}" if ratio is not None else ""), "disk"
        ),
        Fact(size_text(saved), f"saved by sharing{part}", "sharing"),
        Fact(size_text(idle), "that nothing needs", "reclaimable"),
        Fact(f"{problems:,}", "problems" if problems != 1 else "problem", "problems"),
    ]


def sections(material: Material) -> Iterator[Section]:
    """Give all sections that have something to say, in order."""
    if material.changes is not None:
        yield _since(material.changes, material.summary)
    if len(material.apps):
        yield _disk(material)
        yield _sharing(material)
        if len(material.savings):
            yield _versions(material)
        yield _reclaimable(material)
    elif len(material.parts):
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


def _since(changes: Changes, summary: pd.DataFrame) -> Section:
    text = sentences.of_changes(changes, summary)
    found = listing("Apps that came, went or changed", changes.apps, _CHANGES)
    return Section("since", "Since the last report", "", (text,), (found,) if changes.apps else ())


def _disk(material: Material) -> Section:
    parts = material.parts.sort_values(["stored_bytes", "row"], ascending=[False, True])
    members: dict[int, list[str]] = defaultdict(list)
    for row, user in rows(analysis.breakdown_members(material.frames, by=material.group), "row", "user"):
        members[row].append(user)
    who = [members[row] for (row,) in rows(parts, "row")]
    found = listing(
        f"Each part of the disk, by {material.group}",
        parts,
        _BREAKDOWN,
        bar={"stored_bytes": ""},
        subjects=[users[0] if users else None for users in who],
        notes=[some_of(users, shown=_MOST_NAMED) for users in who],
    )
    lead = "Every byte is in exactly one bar, and the bars add up to the whole cache."
    return Section("disk", "Where the bytes on disk go", lead, (sentences.of_breakdown(material),), (found,))


def _sharing(material: Material) -> Section:
    text, shared = sentences.of_sharing(material), material.shared
    if not len(shared):
        return Section("sharing", "What is shared", "", (text,))
    told = [text, sentences.of_sets(material)]
    square = None
    if len(material.pairs):
        told.append(sentences.of_pairs(material))
        columns = ("reference_a", "reference_b", "shared_bytes")
        square = square_of(material.pairs, columns, material.nouns)
    users = dict(_first_users(material))
    found = listing(
        "Shared most, by name",
        shared,
        _SHARING,
        bar={"saved_bytes": "shared"},
        subjects=[users.get(digest) for (digest,) in rows(shared, "digest")],
    )
    return Section("sharing", "What is shared", "", tuple(told), (found,), square)


def _first_users(material: Material) -> Iterator[tuple[str, str]]:
    """Name one app that needs each digest."""
    first = material.frames.need("uses").drop_duplicates("digest")
    return rows(first, "digest", "user")


def square_of(pairs: pd.DataFrame, columns: Sequence[str], nouns: str) -> Square | None:
    """Choose what shares most for a picture of pairs; two names and bytes are in the columns."""
    sizes: dict[tuple[str, str], int] = {}
    sums: Counter[str] = Counter()
    for one, other, size in rows(pairs, *columns):
        if size:
            sizes[one, other] = size
            sums.update({one: size, other: size})
    chosen = sorted(sums, key=lambda name: (-sums[name], name))[:_MOST_IN_A_SQUARE]
    if len(chosen) < _FEWEST_IN_A_SQUARE:
        return None
    title = f"What each two {nouns} have in common"
    drawn = f"; the {len(chosen)} of {len(sums):,} that share most" if len(sums) > len(chosen) else ""
    text = f"{title}{drawn}: from nothing to {size_text(max(sizes.values()))}, in the fullest colour."
    return Square(title, text, sorted_names(chosen), sizes)


def _versions(material: Material) -> Section:
    lead = (
        "The versions of each repository, as if Spin pulled them one after the other into an empty cache: "
        "what it would fetch, and what it would find. Config and locked app are fetched on every pull."
    )
    savings, totals = material.savings, _totals(material.savings)
    bar = {"reused_bytes": "reused", "fetch_bytes": "fetched"}
    order = savings["repository"].map({line[0]: place for place, line in enumerate(totals)}).astype(int)
    ordered = savings.assign(order=order).sort_values(["order", "position"], ignore_index=True)
    versions = listing("Versions", ordered, _SAVINGS, bar=bar)
    repositories = listing("Repositories", totals, _REPOSITORIES, bar=bar, anchor="repository")
    return Section(
        "versions",
        "What a new version costs",
        lead,
        sentences.of_all_versions(savings, totals),
        (repositories, versions),
    )


def _totals(savings: pd.DataFrame) -> list[tuple[Any, ...]]:
    """Add up the versions of each repository; those with most bytes first."""
    sums: dict[str, list[int]] = {}
    for repository, total, fetched in rows(savings, "repository", "total_bytes", "fetch_bytes"):
        found = sums.setdefault(repository, [0, 0, 0])
        found[0] += 1
        if total is not None and fetched is not None:
            found[1] += total
            found[2] += fetched
    lines = [
        (name, count, total, total - fetched, fetched, (total - fetched) / total if total else None)
        for name, (count, total, fetched) in sums.items()
    ]
    return sorted(lines, key=lambda line: (-line[2], line[0]))


def _reclaimable(material: Material) -> Section:
    found = [
        listing(
            "Apps, by what removing each alone frees",
            material.reclaimable,
            _RECLAIMABLE,
            bar={"freed_bytes": "here", "kept_bytes": "shared"},
        )
    ]
    if len(material.superseded):
        caption = "Repositories, by what removing all versions but the last frees"
        found.append(listing(caption, material.superseded, _SUPERSEDED, bar={"freed_bytes": "here"}))
    lead = "Removing an app frees only what no other app needs. Spin downloads again what it misses."
    return Section(
        "reclaimable", "What could be freed", lead, (sentences.of_reclaimable(material),), tuple(found)
    )


def _pulls(material: Material) -> Section:
    newest = material.timeline[::-1]
    names = [name for (name,) in rows(newest, "reference")]
    bar = {"reused_bytes": "reused", "fetch_bytes": "fetched"}
    found = [listing("Pulls, newest first", newest, _PULLS, bar=bar, subjects=names)]
    moved = material.tags[material.tags.duplicated(["cache", "reference"], keep=False)]
    if len(moved):
        found.append(listing("Tags that came to mean something else", moved, _TAGS))
    return Section("pulls", "Pulls over time", "", (sentences.of_timeline(material),), tuple(found))


def _inside(grains: pd.DataFrame, rebuilds: pd.DataFrame) -> Section:
    found = [listing("Grains", grains, _GRAINS, bar={"reused_bytes": "shared"}, subjects=[])]
    if len(rebuilds):
        found.append(listing("New binaries of components", rebuilds, _REBUILDS))
    lead = (
        "What sharing finer grains than whole files would have saved, and whether new binaries are new code."
    )
    return Section(
        "inside",
        "Inside the files",
        lead,
        (sentences.of_grains(grains), sentences.of_rebuilds(rebuilds)),
        tuple(found),
    )


def _apps(material: Material) -> Section:
    lead = "“Stored” counts what an app shares with others; the column adds up to more than is on the disk."
    found = listing(
        "Cached apps and packages",
        material.apps,
        _APPS,
        opened=_MOST_APPS,
        bar={"stored_bytes": "other"},
        anchor="app",
    )
    return Section("apps", "Apps", lead, (), (found,))


def _problems(material: Material) -> Section:
    subjects = [name for (name,) in rows(material.problems, "reference")]
    found = listing("What is wrong, and what to do", material.problems, _PROBLEMS, subjects=subjects)
    return Section(
        "problems", "Problems", "", (sentences.of_problems(material),), (found,) if found.table.rows else ()
    )

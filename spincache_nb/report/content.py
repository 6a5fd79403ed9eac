"""What a report about one cache says, section by section, before it is HTML, Markdown or JSON."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pandas as pd

from spincache_nb import analysis
from spincache_nb.analysis.inputs import some_of, sorted_names
from spincache_nb.analysis.versions import repository_totals
from spincache_nb.report import sentences
from spincache_nb.report.material import Changes, Material
from spincache_nb.show import Column, Table, columns, count_text, rows, share_text, size_text

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
    declared: Sequence[Column],
    *,
    most: int = MOST_ROWS,
    opened: int = MOST_OPENED,
    bar: Mapping[str, str] | None = None,
    subjects: Sequence[str | None] | None = None,
    notes: Sequence[str] = (),
    anchor: str = "",
) -> Listing:
    """Make a table of a frame or of tuples, with what it is called; a row is about its first cell."""
    lines = list(rows(source, *(one.name for one in declared))) if hasattr(source, "columns") else source
    table, rest = Table(lines, declared, most=most), Table(lines[most:], declared, most=opened)
    if subjects is None:
        subjects = [line[0] for line in lines[: most + opened]]
    return Listing(caption, table, rest, bar or {}, subjects, notes, anchor)


LONG = partial(Column, longest=TEXT_LENGTH)
COST = ("reused_bytes", "fetch_bytes: Fetched", "saved_share: Saved")
_APPS = columns(
    "reference: App",
    "kind",
    "name",
    "version",
    "created_at",
    "component_count",
    "layer_count",
    "stored_bytes",
)
_BREAKDOWN = columns("label: What", "kind", "user_count", "file_count", "stored_bytes: On disk", "share")
_SHARING = columns(
    "names: Known as", "digest", "stored_bytes: Size", "user_count", "manifest_count", "saved_bytes"
)
_REPOSITORIES = columns("repository", "version_count", "total_bytes", *COST)
_SAVINGS = columns("repository", "tag: Version", "total_bytes", *COST)
_RECLAIMABLE = columns("reference: App", "stored_bytes: Needs", "freed_bytes", "kept_bytes: Stays")
_SUPERSEDED = columns("repository", Column("last", "Stays", "code"), "old_count: Old versions", "freed_bytes")
_PULLS = columns("reference: App", Column("at", "At", "minute"), *COST[:2])
_THEN = partial(Column, kind="size", show=lambda size: "" if size is None else size_text(size))
_CHANGES = columns("reference: App", "what", _THEN("before", "Stored then"), _THEN("now", "Stored now"))
_TAGS = columns("reference: App", "first_pulled_at: From", "manifest_digest: Manifest", "pull_count")
_GRAINS = columns(
    "grain", "total_bytes", "reused_bytes: Repeated", "reused_share: Share", "piece_count", "index_bytes"
)
_REBUILDS = columns(
    "to_version: App", "component", "old_digest: Before", "new_digest: Now", LONG("detail", "Verdict")
)
_PROBLEMS = columns(
    "kind: Problem", "path: Where", "reference: App", LONG("detail", "Detail"), LONG("remedy", "Remedy")
)


def counted(count: int, noun: str, section: str = "") -> Fact:
    """Say how many there are of something whose plural ends in s."""
    value, _, name = count_text(count, noun).partition(" ")
    return Fact(value, name, section)


def facts(material: Material) -> list[Fact]:
    """Sum the cache up in a few numbers."""
    names = ("app_count", "stored_bytes", "logical_bytes", "saved_bytes", "dedup_ratio", "problem_count")
    apps, stored, logical, saved, ratio, problems = next(rows(material.summary, *names))
    (idle,) = next(rows(material.summary, "unreferenced_bytes"))
    part = f" ({share_text(saved / logical)})" if logical else ""
    return [
        counted(apps, "app", "apps"),
        Fact(size_text(logical), "if each app kept its own copy"),
        Fact(
            size_text(stored), "stored" + (f", a ratio of {ratio:.2f}" if ratio is not None else ""), "disk"
        ),
        Fact(size_text(saved), f"saved by sharing{part}", "sharing"),
        Fact(size_text(idle), "that nothing needs", "reclaimable"),
        counted(problems, "problem", "problems"),
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
        pair = ("reference_a", "reference_b", "shared_bytes")
        square = square_of(material.pairs, pair, material.nouns)
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


def square_of(pairs: pd.DataFrame, names: Sequence[str], nouns: str) -> Square | None:
    """Choose what shares most for a picture of pairs; two names and bytes are in the columns."""
    sizes: dict[tuple[str, str], int] = {}
    sums: Counter[str] = Counter()
    for one, other, size in rows(pairs, *names):
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
    savings = material.savings
    totals = sorted(repository_totals(savings), key=lambda line: -line[2])
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

"""What a report about one cache says, section by section, before it is HTML, Markdown or JSON."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from spincache_nb.analysis.inputs import rows
from spincache_nb.report import figures, readings, tables
from spincache_nb.report.material import Material
from spincache_nb.report.parts import MOST_LISTED, MOST_ROWS, Fact, Listing, Reading, Section
from spincache_nb.report.tables import make_table
from spincache_nb.show import share_text, size_text


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
    if material.inside is not None:
        yield _inside(material.inside.grains, material.inside.rebuilds)
    if len(material.apps):
        yield _apps(material)
    yield _problems(material)


def _disk(material: Material) -> Section:
    largest = material.breakdown.sort_values(["stored_bytes", "row"], ascending=[False, True])
    return Section(
        "disk",
        "Where the bytes on disk go",
        "Every byte is in exactly one bar, and the bars add up to the whole cache.",
        (Reading(figures.breakdown(material.breakdown), readings.of_breakdown(material)),),
        (Listing("The largest parts", make_table(largest, tables.BREAKDOWN, most=MOST_ROWS)),),
    )


def _sharing(material: Material) -> Section:
    shared = material.shared
    if not len(shared):
        return Section("sharing", "What is shared", "", (Reading(None, readings.of_sharing(material)),))
    pairs = figures.shared_bytes(material.frames)
    return Section(
        "sharing",
        "What is shared",
        readings.of_sharing(material),
        (
            Reading(figures.sharing(material.sharing_sets), readings.of_sets(material)),
            *([Reading(pairs, readings.of_pairs(material))] if len(material.apps) > 1 else []),
        ),
        (Listing("Shared most, by name", make_table(shared, tables.SHARING, most=MOST_ROWS)),),
    )


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
        tuple(Reading(plots[name], readings.of_versions(material.savings[name])) for name in drawn),
        (
            Listing("Repositories", make_table(_totals(material), tables.REPOSITORIES, most=MOST_LISTED)),
            Listing("Versions", make_table(material.all_savings(), tables.SAVINGS, most=MOST_LISTED)),
        ),
    )


def _totals(material: Material) -> pd.DataFrame:
    """Add up the versions of each repository."""
    lines = []
    for repository, frame in material.savings.items():
        costs = [cost for cost in rows(frame, "total_bytes", "fetch_bytes") if None not in cost]
        total, fetched = sum(cost[0] for cost in costs), sum(cost[1] for cost in costs)
        share = (total - fetched) / total if total else None
        lines.append((repository, len(frame), total, fetched, total - fetched, share))
    names = [column.name for column in tables.REPOSITORIES]
    return pd.DataFrame(lines, columns=names, dtype=object)


def _reclaimable(material: Material) -> Section:
    listings = [
        Listing(
            "Apps, by what removing each alone frees",
            make_table(material.reclaimable, tables.RECLAIMABLE, most=MOST_ROWS),
        )
    ]
    if len(material.superseded):
        old = make_table(material.superseded, tables.SUPERSEDED, most=MOST_ROWS)
        listings.append(Listing("Repositories, by what removing all versions but the last frees", old))
    return Section(
        "reclaimable",
        "What could be freed",
        "Removing an app frees only what no other app needs. Spin downloads again what it misses.",
        (Reading(None, readings.of_reclaimable(material)),),
        tuple(listings),
    )


def _pulls(material: Material) -> Section:
    moved = material.tags[material.tags.duplicated(["cache", "reference"], keep=False)]
    listings = []
    if len(moved):
        listings.append(
            Listing("Tags that came to mean something else", make_table(moved, tables.TAGS, most=MOST_LISTED))
        )
    plot = figures.timeline(material.timeline)
    return Section(
        "pulls",
        "Pulls over time",
        "",
        (Reading(plot, readings.of_timeline(material)),),
        tuple(listings),
    )


def _inside(grains: pd.DataFrame, rebuilds: pd.DataFrame) -> Section:
    listings = [Listing("Grains", make_table(grains, tables.GRAINS))]
    if len(rebuilds):
        new = make_table(rebuilds, tables.REBUILDS, most=MOST_LISTED)
        listings.append(Listing("New binaries of components", new))
    return Section(
        "inside",
        "Inside the files",
        "What sharing finer grains than whole files would have saved, and whether new binaries are new code.",
        (
            Reading(figures.grains(grains), readings.of_grains(grains)),
            Reading(None, readings.of_rebuilds(rebuilds)),
        ),
        tuple(listings),
    )


def _apps(material: Material) -> Section:
    return Section(
        "apps",
        "Apps",
        "“Stored” counts what an app shares with others, so the column adds up to more than is on the disk.",
        (),
        (Listing("Cached apps and packages", make_table(material.apps, tables.APPS, most=MOST_LISTED)),),
    )


def _problems(material: Material) -> Section:
    found = make_table(material.problems, tables.PROBLEMS, most=MOST_LISTED)
    return Section(
        "problems",
        "Problems",
        "",
        (Reading(None, readings.of_problems(material)),),
        (Listing("What is wrong, and what to do", found),) if found.lines else (),
    )

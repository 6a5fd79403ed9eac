"""What a report about a fleet says, section by section."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd
from matplotlib.figure import Figure

from spincache_nb import plots
from spincache_nb.analysis.inputs import rows
from spincache_nb.report import figures, readings, tables
from spincache_nb.report.figures import Plot
from spincache_nb.report.fleet_material import FleetMaterial
from spincache_nb.report.parts import MOST_LISTED, MOST_ROWS, Fact, Listing, Reading, Section
from spincache_nb.report.tables import Column, count_column, digest_column, make_table, size_column
from spincache_nb.show import share_text, size_text

_WIDE = {
    "shared-cache": (
        "What hosts store each on its own, and what they would in one cache.",
        plots.shared_cache,
    ),
    "prewarm": ("What an image saves that brings blobs along, by its size.", plots.prewarm),
    "version-tail": ("On how many hosts each version sits.", plots.version_tail),
}
"""Plots as wide as the page, by name: what each shows, and what draws it."""

_HOSTS = (
    Column("host", "Host"),
    count_column("blob_count", "Blobs"),
    size_column("stored_bytes", "Stored"),
    size_column("only_here_bytes", "Nowhere else"),
    size_column("elsewhere_bytes", "Elsewhere, too"),
)
_SHARING = (
    Column("names", "Known as"),
    digest_column("digest", "Digest"),
    size_column("distinct_bytes", "Size"),
    count_column("host_count", "Hosts"),
    count_column("app_count", "Apps"),
    size_column("saved_bytes", "Saved on hosts"),
    size_column("shared_cache_saved_bytes", "One cache would save"),
)
_IN_ONE = tuple(
    column for column in _SHARING if column.name not in ("host_count", "shared_cache_saved_bytes")
)
_IMAGES = (
    count_column("host_count", "Hosts, at least"),
    size_column("image_bytes", "Image of all on so many"),
    size_column("saved_bytes", "Not fetched"),
    Column("saved_share", "Share", share_text, number=True),
)
_VERSIONS = (
    Column("reference", "Version", code=True),
    count_column("host_count", "Hosts"),
    count_column("manifest_count", "Manifests"),
    size_column("declared_bytes", "Size"),
    Column("last_pulled_at", "Pulled last (UTC)", tables.day),
)
_REPOSITORIES = (
    Column("repository", "Repository", code=True),
    count_column("version_count", "Versions"),
    count_column("single_count", "On one host only"),
    size_column("stored_bytes", "Stored"),
)
_IDLE = (
    Column("host", "Host"),
    count_column("blob_count", "Blobs"),
    size_column("stored_bytes", "Nothing needs"),
    size_column("elsewhere_bytes", "Needed on another host"),
)
_DISK = (
    Column("kind", "Kind"),
    count_column("file_count", "Files"),
    size_column("stored_bytes", "On disk"),
    Column("share", "Share", share_text, number=True),
)
_PROBLEMS = (
    Column("kind", "Problem"),
    count_column("problem_count", "How many"),
    count_column("host_count", "Hosts"),
    Column("example", "Such as", code=True),
)
_SKIPPED = (Column("path", "Snapshot", code=True), Column("reason", "Why", longest=700))


def facts(material: FleetMaterial) -> list[Fact]:
    """Sum the fleet up in a few numbers."""
    names = ("app_count", "stored_bytes", "distinct_bytes", "shared_cache_saved_bytes", "problem_count")
    apps, stored, distinct, saved, problems = next(rows(material.summary, *names))
    one, several = ("host", "hosts") if material.kind == "cache" else ("registry", "registries")
    found = [Fact(str(material.hosts), one if material.hosts == 1 else several), Fact(str(apps), "apps")]
    if material.hosts > 1:
        part = f" ({share_text(saved / stored)})" if stored else ""
        found += [
            Fact(size_text(stored), "stored on all of them, of what apps need"),
            Fact(size_text(distinct), "in one cache for all"),
            Fact(size_text(saved), f"that one cache would save{part}"),
        ]
    else:
        logical, own = next(rows(material.summary, "logical_bytes", "saved_bytes"))
        found += [
            Fact(size_text(logical), "if each app kept its own copy"),
            Fact(size_text(stored), "stored, each layer once"),
            Fact(size_text(own), "saved by sharing"),
        ]
    return [*found, Fact(str(problems), "problems" if problems != 1 else "problem")]


def sections(material: FleetMaterial) -> Iterator[Section]:
    """Give all sections that have something to say, in order."""
    if material.hosts > 1 and len(material.sharing):
        yield _overlap(material)
        yield _image(material)
    if len(material.sharing):
        yield _sharing(material)
    if len(material.versions):
        yield _versions(material)
    else:
        yield Section("nothing", "Nothing here yet", "There are no apps in these snapshots.")
    if len(material.idle):
        yield _idle(material)
    if len(material.disk):
        yield _disk(material)
    yield _problems(material)


def _overlap(material: FleetMaterial) -> Section:
    largest = material.host_overlap.sort_values(["stored_bytes", "host"], ascending=[False, True])
    hosts = len({name for pair in rows(material.host_pairs, "host_a", "host_b") for name in pair})
    pairs = Plot(
        "host-overlap",
        "What each pair of hosts has in common.",
        plots.figure_size("host_overlap", hosts),
        lambda figure: plots.host_overlap(material.host_pairs, ax=figure.add_subplot()),
    )
    return Section(
        "hosts",
        "What hosts have in common",
        "Counted is what something on the host needs. Hosts that do the same work hold the same files.",
        (
            Reading(_wide("shared-cache", material.host_overlap), _of_overlap(material)),
            Reading(pairs, _of_pairs(material)),
        ),
        (Listing("Hosts, by what they store", make_table(largest, _HOSTS, most=MOST_ROWS)),),
    )


def _wide(name: str, frame: pd.DataFrame) -> Plot:
    title, drawer = _WIDE[name]

    def draw(figure: Figure) -> None:
        drawer(frame, ax=figure.add_subplot())

    return Plot(name, title, plots.figure_size(drawer.__name__, 1), draw)


def _of_overlap(material: FleetMaterial) -> str:
    stored, distinct, saved = next(
        rows(material.summary, "stored_bytes", "distinct_bytes", "shared_cache_saved_bytes")
    )
    alone = int(material.host_overlap["only_here_bytes"].sum())
    return (
        f"{material.hosts} hosts store {size_text(stored)}, each on its own. One cache for all would hold "
        f"{size_text(distinct)} and save {size_text(saved)}. {size_text(alone)} is on one host only."
    )


def _of_pairs(material: FleetMaterial) -> str:
    first = material.host_pairs.sort_values("shared_bytes", ascending=False, kind="stable")
    a, b, shared = next(rows(first, "host_a", "host_b", "shared_bytes"))
    shown = len({name for pair in rows(first, "host_a", "host_b") for name in pair})
    which = f" The {shown} hosts that store most are drawn." if shown < material.hosts else ""
    names = f"{readings.name(a)} and {readings.name(b)}"
    return f"Most in common have {names}: {size_text(shared)}.{which}"


def _image(material: FleetMaterial) -> Section:
    steps = list(rows(material.prewarm, "host_count", "image_bytes", "saved_bytes", "saved_share"))
    half = next((step for step in steps if (step[3] or 0) >= 0.5), steps[-1])
    said = (
        f"An image of {size_text(half[1])}, of all blobs on at least {half[0]} hosts, brings along "
        f"{share_text(half[3] or 0)} of what the hosts store: {size_text(half[2])} that none of them fetches."
        if half[0] > 1
        else "Only an image of all blobs brings half of what the hosts store: they have little in common."
    )
    return Section(
        "image",
        "What a warm image would save",
        "An image for new hosts that has the most wanted blobs in its cache already.",
        (Reading(_wide("prewarm", material.prewarm), said),),
        (Listing("By the number of hosts", make_table(material.prewarm[::-1], _IMAGES, most=MOST_ROWS)),),
    )


def _sharing(material: FleetMaterial) -> Section:
    saved = next(rows(material.summary, "saved_bytes"))[0]
    text = f"Apps on the same host share already: that saves {size_text(saved)} in all."
    if material.kind == "registry":
        text = f"Versions share layers: kept apart, they would take {size_text(saved)} more."
    ranked, columns = material.sharing, _IN_ONE
    if material.hosts > 1:
        by = ["shared_cache_saved_bytes", "saved_bytes", "digest"]
        ranked, columns = ranked.sort_values(by, ascending=[False, False, True]), _SHARING
    table = make_table(ranked, columns, most=MOST_ROWS)
    return Section("sharing", "What is shared", text, (), (Listing("Shared most, by name", table),))


def _versions(material: FleetMaterial) -> Section:
    drawn = figures.versions(material.savings)
    costs = [Reading(drawn[name], readings.of_versions(frame)) for name, frame in material.savings.items()]
    count = len(material.versions)
    single = int((material.versions["host_count"] == 1).sum())
    found: list[Reading] = []
    if material.hosts > 1:
        text = f"{single} of {count} versions ({share_text(single / count)}) are on one host only."
        found.append(Reading(_wide("version-tail", material.versions), text))
    columns = tuple(one for one in _REPOSITORIES if material.hosts > 1 or one.name != "single_count")
    listings = [Listing("Repositories", make_table(material.repositories, columns, most=MOST_ROWS))]
    if material.hosts > 1:
        spread = make_table(material.versions, _VERSIONS, most=MOST_ROWS)
        listings.append(Listing("Versions on most hosts", spread))
    return Section(
        "versions",
        "Which versions are where" if material.hosts > 1 else "What a new version costs",
        "The versions of the repositories with most of them, as if Spin pulled one after the other."
        if costs
        else "",
        (*found, *costs),
        tuple(listings),
    )


def _idle(material: FleetMaterial) -> Section:
    total = int(material.idle["stored_bytes"].sum())
    elsewhere = int(material.idle["elsewhere_bytes"].sum())
    count = f"{len(material.idle)} {'hosts' if len(material.idle) > 1 else 'host'}"
    lead = f"Nothing needs {size_text(total)} on {count}."
    if elsewhere:
        lead += f" {size_text(elsewhere)} of it is needed on another host: one cache for all would keep that."
    table = make_table(material.idle, _IDLE, most=MOST_ROWS)
    return Section("idle", "What could go", lead, (), (Listing("Hosts with most to free", table),))


def _disk(material: FleetMaterial) -> Section:
    table = make_table(material.disk, _DISK, most=MOST_LISTED)
    lead = "Every byte of every host is in exactly one row."
    return Section("disk", "Where the bytes on disk go", lead, (), (Listing("All hosts together", table),))


def _problems(material: FleetMaterial) -> Section:
    listings = []
    if len(material.problems):
        table = make_table(material.problems, _PROBLEMS, most=MOST_LISTED)
        listings.append(Listing("What is wrong, by kind", table))
    if material.skipped:
        left_out = pd.DataFrame(
            {
                "path": [one.path for one in material.skipped],
                "reason": [one.reason for one in material.skipped],
            }
        )
        table = make_table(left_out, _SKIPPED, most=MOST_LISTED)
        listings.append(Listing("Snapshots that could not be used (an older one stands in, if any)", table))
    text = "" if listings else "None that the snapshots know of."
    return Section("problems", "Problems", text, (), tuple(listings))

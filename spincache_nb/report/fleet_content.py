"""What a report about a fleet says, section by section."""

from __future__ import annotations

from collections.abc import Iterator

from spincache_nb.report import sentences
from spincache_nb.report.content import COST, LONG, Fact, Section, counted, listing, square_of
from spincache_nb.report.material import FleetMaterial
from spincache_nb.show import Column, columns, count_text, rows, share_text, size_text

_HOSTS = columns(
    "host", "blob_count", "stored_bytes", "only_here_bytes: Nowhere else", "elsewhere_bytes: Elsewhere, too"
)
_PAIRS = columns("host_a: Host", "host_b: And", "shared_bytes: In common")
_IN_ONE = ("names: Known as", "digest", "distinct_bytes: Size", "app_count", "saved_bytes: Saved on hosts")
_SHARING = (*_IN_ONE[:3], "host_count", *_IN_ONE[3:], "shared_cache_saved_bytes: One cache would save")
_IMAGES = columns(
    "host_count: Hosts, at least",
    "image_bytes: Image of all on so many",
    "saved_bytes: Not fetched",
    "saved_share: Share",
)
_PULLED = Column("last_pulled_at", "Pulled last", "day")
_VERSIONS = columns("reference: Version", "host_count", "manifest_count", "declared_bytes: Size", _PULLED)
_REPOSITORIES = columns("repository", "version_count", "single_count: On one host only", "stored_bytes")
_SAVINGS = columns("repository", "tag: Version", *COST)
_IDLE = columns(
    "host", "blob_count", "stored_bytes: Nothing needs", "elsewhere_bytes: Needed on another host"
)
_DISK = columns("kind", "file_count", "stored_bytes: On disk", "share")
_EXAMPLE = Column("example", "Such as", "code")
_PROBLEMS = columns("kind: Problem", "problem_count: How many", "host_count", _EXAMPLE)
_SKIPPED = columns("path: Snapshot", LONG("reason", "Why"))


def facts(material: FleetMaterial) -> list[Fact]:
    """Sum the fleet up in a few numbers."""
    names = ("app_count", "stored_bytes", "distinct_bytes", "shared_cache_saved_bytes", "problem_count")
    apps, stored, distinct, saved, problems = next(rows(material.summary, *names))
    one, several = ("host", "hosts") if material.kind == "cache" else ("registry", "registries")
    found = [Fact(str(material.hosts), one if material.hosts == 1 else several), counted(apps, "app")]
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
    return [*found, counted(problems, "problem")]


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
    pairs = material.host_pairs.sort_values("shared_bytes", ascending=False, kind="stable")
    return Section(
        "hosts",
        "What hosts have in common",
        "Counted is what something on the host needs. Hosts that do the same work hold the same files.",
        (_of_overlap(material), _of_pairs(material)),
        (
            listing(
                "Hosts, by what they store",
                largest,
                _HOSTS,
                bar={"only_here_bytes": "here", "elsewhere_bytes": "shared"},
            ),
            listing(
                "Pairs of hosts, by what they have in common", pairs, _PAIRS, bar={"shared_bytes": "shared"}
            ),
        ),
        square_of(material.host_pairs, ("host_a", "host_b", "shared_bytes"), "hosts"),
    )


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
    which = f" Of the {shown} hosts that store most." if shown < material.hosts else ""
    names = f"{sentences.name(a)} and {sentences.name(b)}"
    return f"Most in common have {names}: {size_text(shared)}.{which}"


def _image(material: FleetMaterial) -> Section:
    shown = material.prewarm[::-1]
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
        (said,),
        (listing("By the number of hosts", shown, _IMAGES, bar={"saved_bytes": "reused"}, subjects=[]),),
    )


def _sharing(material: FleetMaterial) -> Section:
    saved = next(rows(material.summary, "saved_bytes"))[0]
    text = f"Apps on the same host share already: that saves {size_text(saved)} in all."
    if material.kind == "registry":
        text = f"Versions share layers: kept apart, they would take {size_text(saved)} more."
    ranked, declared = material.sharing, columns(*_IN_ONE)
    if material.hosts > 1:
        by = ["shared_cache_saved_bytes", "saved_bytes", "digest"]
        ranked, declared = ranked.sort_values(by, ascending=[False, False, True]), columns(*_SHARING)
    found = listing("Shared most, by name", ranked, declared, bar={"saved_bytes": "shared"})
    return Section("sharing", "What is shared", text, (), (found,))


def _versions(material: FleetMaterial) -> Section:
    several, count = material.hosts > 1, len(material.versions)
    single = int((material.versions["host_count"] == 1).sum())
    told = (
        [f"{single} of {count} versions ({share_text(single / count)}) are on one host only."]
        if several
        else []
    )
    told += [
        f"{sentences.name(name)}: {sentences.of_versions(one)}" for name, one in material.savings.items()
    ]
    declared = tuple(one for one in _REPOSITORIES if several or one.name != "single_count")
    bar = {"stored_bytes": "other"}
    found = [listing("Repositories", material.repositories, declared, bar=bar, anchor="repository")]
    if several:
        bar = {"host_count": "shared"}
        found.append(listing("Versions on most hosts", material.versions, _VERSIONS, bar=bar))
    costs = [
        (name, *line)
        for name, one in material.savings.items()
        for line in rows(one, *(column.name for column in _SAVINGS[1:]))
    ]
    if costs:
        bar = {"reused_bytes": "reused", "fetch_bytes": "fetched"}
        found.append(listing("What a new version costs", costs, _SAVINGS, bar=bar))
    return Section(
        "versions",
        "Which versions are where" if several else "What a new version costs",
        "The versions of the repositories with most of them, as if Spin pulled one after the other."
        if costs
        else "",
        tuple(told),
        tuple(found),
    )


def _idle(material: FleetMaterial) -> Section:
    total = int(material.idle["stored_bytes"].sum())
    elsewhere = int(material.idle["elsewhere_bytes"].sum())
    lead = f"Nothing needs {size_text(total)} on {count_text(len(material.idle), 'host')}."
    if elsewhere:
        lead += f" {size_text(elsewhere)} of it is needed on another host: one cache for all would keep that."
    found = listing("Hosts with most to free", material.idle, _IDLE, bar={"stored_bytes": "idle"})
    return Section("idle", "What could go", lead, (), (found,))


def _disk(material: FleetMaterial) -> Section:
    lead = "Every byte of every host is in exactly one row."
    listings = (listing("All hosts together", material.disk, _DISK, bar={"stored_bytes": ""}, subjects=[]),)
    return Section("disk", "Where the bytes on disk go", lead, (), listings)


def _problems(material: FleetMaterial) -> Section:
    listings = []
    if len(material.problems):
        listings.append(listing("What is wrong, by kind", material.problems, _PROBLEMS))
    if material.skipped:
        left_out = [(one.path, one.reason) for one in material.skipped]
        caption = "Snapshots that could not be used (an older one stands in, if any)"
        listings.append(listing(caption, left_out, _SKIPPED))
    text = "" if listings else "None that the snapshots know of."
    return Section("problems", "Problems", text, (), tuple(listings))

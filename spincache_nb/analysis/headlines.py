"""What stands out: ranked findings of a cache, and one sentence for the table of each analysis."""

from __future__ import annotations

import os
import re
import shlex
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields
from statistics import median
from typing import NamedTuple, TypeAlias

import pandas as pd

from spincache_nb.analysis import schemas
from spincache_nb.analysis.disk import LABELS, freed_by, reclaimable, summary, superseded_references
from spincache_nb.analysis.inputs import Source, over, short_references
from spincache_nb.analysis.schemas import FINDINGS_SCHEMA
from spincache_nb.analysis.shared import sharing
from spincache_nb.analysis.versions import version_savings, versions_of
from spincache_nb.core.cache import Cache
from spincache_nb.frames import Frames
from spincache_nb.frames.schemas import build
from spincache_nb.frames.sources import Projects
from spincache_nb.show import count_text, records, rows, share_text, shorten, size_text

_NEEDED = tuple(one.name for one in fields(Frames) if one.name != "later")
_NUMBERS = ("No", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine", "Ten")
FLAT = 0.04
"""A saving below this share is told in words, not drawn as a bar of its own."""

_Nouns: TypeAlias = tuple[str, str]
_MOST = 0.5  # "most of": more than half
_NAME_COLUMNS = 48


class Finding(NamedTuple):
    """One row of `findings`."""

    kind: str
    sentence: str
    figure_bytes: int | None = None
    subject: str | None = None
    command: str | None = None


@FINDINGS_SCHEMA.describes
def findings(cache: Source = None, *, projects: Projects = (), top: int = 5) -> pd.DataFrame:
    """Say in a few ranked sentences what stands out in a cache, each with the command that acts on it.

    Parameters
    ----------
    cache
        This user's cache unless given; a cache, its path, or several; or loaded frames (all of them).
    projects
        ``spin.toml`` files, or folders that hold one, of projects that use the cache too.
    top
        How many findings at most.

    Returns
    -------
    pandas.DataFrame
        One row per finding: damage first, then by the bytes that each is about. An empty cache gives one.

        {columns}

    Raises
    ------
    ValueError
        If `top` is negative.
    """
    if top < 0:
        raise ValueError(f"top must not be negative, got {top!r}")
    place = _options(cache)

    def compute(frames: Frames) -> pd.DataFrame:
        found = sorted(_found(frames), key=lambda one: (one.kind != "damage", -(one.figure_bytes or 0)))
        commands = [one.command and f"spincache-nb {one.command}{place}" for one in found]
        chosen = zip(found[:top], commands, strict=False)
        return build(FINDINGS_SCHEMA, (one._replace(command=command) for one, command in chosen))

    return over(cache, FINDINGS_SCHEMA, _NEEDED, compute, projects=projects)


def _options(cache: Source) -> str:
    """Name a cache that is not this user's, so that a command acts on the one that was looked at."""
    if isinstance(cache, str | os.PathLike):
        return f" --cache-dir {shlex.quote(os.fspath(cache))}"
    if isinstance(cache, Cache) and cache.path != Cache().path:
        return f" --cache-dir {shlex.quote(str(cache.path.parent))}"
    return ""


def _found(frames: Frames) -> Iterator[Finding]:
    """Give every finding that holds, in no order."""
    (line,) = records(summary(frames))
    if line["problem_count"]:
        noun = count_text(line["problem_count"], "problem")
        yield Finding("damage", f"The cache has {noun}; each is listed with its remedy.", command="problems")
    if not line["disk_bytes"]:
        yield Finding("empty", "Nothing is stored yet.")
        return
    if line["saved_bytes"]:
        yield Finding("sharing", f"{headline(sharing(frames))}.", line["saved_bytes"], None, "sharing")
    elif line["app_count"] > 1:
        yield Finding("alone", f"No two of {line['app_count']:,} apps share anything.", command="sharing")
    if idle := line["unreferenced_bytes"]:
        yield Finding("idle", f"{size_text(idle)} is needed by nothing.", idle, None, "prune --dry-run")
    yield from _of_old_versions(frames)
    yield from _of_one_app(frames, line["disk_bytes"])
    yield from _of_new_versions(frames)


def _of_old_versions(frames: Frames) -> Iterator[Finding]:
    old = superseded_references(frames)
    freed = int(freed_by(frames, old)["stored_bytes"].sum())
    if freed:
        repositories = [name for name, versions in versions_of(frames).items() if len(versions) > 1]
        one = len(repositories) == 1
        whose = _short(repositories[0]) if one else f"{len(repositories):,} repositories"
        without = f"{count_text(len(old), 'old version')} of {whose}"
        sentence = f"Without {without}, {size_text(freed)} would be free."
        repository = repositories[0] if one else None
        yield Finding("superseded", sentence, freed, repository, "remove --keep 1 --dry-run")


def _of_one_app(frames: Frames, disk: int) -> Iterator[Finding]:
    """Name the app whose removal frees most."""
    for line in records(reclaimable(frames).head(1)):
        name, freed = line["reference"], line["freed_bytes"]
        if freed:
            part = f"{size_text(freed)}, {share_text(freed / disk)} of all bytes"
            command = f"remove --dry-run {shlex.quote(name)}"
            yield Finding("disk", f"{_short(name)} alone holds {part}.", freed, name, command)


def _of_new_versions(frames: Frames) -> Iterator[Finding]:
    """Name the repository whose new versions fetched most although old ones were there."""
    columns = ("repository", "position", "fetch_bytes", "total_bytes")
    sums: dict[str, tuple[int, int]] = {}
    for repository, position, fetch, total in rows(version_savings(frames), *columns):
        if position and fetch is not None and total is not None:
            before = sums.get(repository, (0, 0))
            sums[repository] = before[0] + fetch, before[1] + total
    name = max(sums, key=lambda one: sums[one], default=None)
    if name is not None and sums[name][0]:
        fetched, total = sums[name]
        part = f"{share_text(fetched / total)} of what they need, {size_text(fetched)} so far"
        sentence = f"New versions of {_short(name)} fetch {part}."
        yield Finding("versions", sentence, fetched, name, f"savings {shlex.quote(name)}")


def _short(name: str) -> str:
    return shorten(name, _NAME_COLUMNS, cut="middle")


def headline(table: pd.DataFrame, *, nouns: tuple[str, str] = ("app", "apps")) -> str:
    """Say in one sentence what the table of an analysis shows; plots have it as their title.

    Parameters
    ----------
    table
        What breakdown, sharing, sharing_sets, shared_bytes, version_savings, remote_savings, upgrade_matrix,
        timeline, grains, cache_grains, chunk_sweep or section_map return, also for a fleet.
    nouns
        What the users in it are called, one and several.

    Returns
    -------
    str
        Without a dot at its end; long names lose their middle.

    Raises
    ------
    ValueError
        If it is none of these.

    Examples
    --------
    >>> from spincache_nb.analysis import schemas
    >>> from spincache_nb.frames.schemas import empty
    >>> headline(empty(schemas.SHARING_SCHEMA))
    'Nothing is shared yet'
    """
    for columns, say in _SAYINGS:
        if set(columns) <= set(table.columns):
            return say(table, nouns)
    raise ValueError(f"no analysis with a headline gives the columns {', '.join(map(str, table.columns))}")


def _of_sharing(table: pd.DataFrame, nouns: _Nouns) -> str:
    return sharing_headline(table, int((table["saved_bytes"] > 0).sum()), int(table["saved_bytes"].sum()))


def sharing_headline(table: pd.DataFrame, shared: int, saved: int) -> str:
    """Say how few blobs bring most of all that sharing saves; the table may hold the first of them alone."""
    if not saved:
        return "Nothing is shared yet"
    lines = records(table.sort_values("saved_bytes", ascending=False, kind="stable").head(9))
    reached = count = 0
    while reached <= saved * _MOST and count < len(lines):
        reached += lines[count]["saved_bytes"] or 0
        count += 1
    if reached <= saved * _MOST:
        return f"{shared:,} shared blobs save {size_text(saved)}, none of them much by itself"
    blobs = f"{_NUMBERS[count]} {'blob' if count == 1 else 'blobs'}"
    size = size_text(sum(line["stored_bytes"] or 0 for line in lines[:count]))
    part = "all" if reached == saved else share_text(reached / saved)
    verb = "brings" if count == 1 else "bring"
    return f"{blobs} of {size} {verb} {part} of the {size_text(saved)} that sharing saves"


def _of_breakdown(table: pd.DataFrame, nouns: _Nouns) -> str:
    """Say what fills the disk, or what of it nothing needs."""
    sizes: Counter[str] = Counter()
    for kind, size in rows(table, "kind", "stored_bytes"):
        sizes[kind] += size or 0
    total, idle = sum(sizes.values()), sum(sizes[kind] for kind in ("unreferenced", "temporary", "misnamed"))
    disk = f"{size_text(total)} on disk"
    if not total:
        return "Nothing is stored yet"
    if idle >= total / 10:
        return f"Nothing needs {share_text(idle / total)} of {disk}: {size_text(idle)}"
    kind = max(("shared", *LABELS), key=sizes.__getitem__)
    share = share_text(sizes[kind] / total)
    if kind == "shared":
        return f"Several {nouns[1]} share {share} of {disk}: {size_text(sizes[kind])}"
    if kind == "exclusive":
        return f"{share} of {disk} is needed by one {nouns[0]} only"
    return f"{share} of {disk} is {'needed by projects only' if kind == 'projects' else LABELS[kind]}"


def _of_sets(table: pd.DataFrame, nouns: _Nouns) -> str:
    """Say how few files are most of what is shared."""
    shared = table[table["user_count"] > 1]
    sets = sorted(set(rows(shared, "stored_bytes", "blob_count", "set")), key=lambda one: -(one[0] or 0))
    total = sum(size or 0 for size, _, _ in sets)
    if not total:
        return "Nothing is shared yet"
    reached = files = count = 0
    while reached < total / 2:
        reached += sets[count][0] or 0
        files += sets[count][1]
        count += 1
    what = f"{_NUMBERS[files] if files < len(_NUMBERS) else f'{files:,}'} {'file' if files == 1 else 'files'}"
    verb = "is" if files == 1 else "are"
    whole = "all" if count == len(sets) else f"most of the {size_text(total)}"
    only_apps = "user_kind" not in shared.columns or (shared["user_kind"] == "app").all()
    noun = f" {nouns[1]}" if only_apps else ""
    return f"{what} of {size_text(reached)} {verb} {whole} that {shared['user'].nunique():,}{noun} share"


def _of_pairs(table: pd.DataFrame, nouns: _Nouns) -> str:
    pairs = rows(table, *table.columns[:2], "shared_bytes")
    one, other, size = max(pairs, default=("", "", 0), key=lambda pair: pair[2] or 0)
    if not size:
        return "No two of them share anything"
    short = short_references([one, other])
    names = (shorten(short[name], 28, cut="middle") for name in (one, other))
    return f"{' and '.join(names)} share most: {size_text(size)}"


def _of_savings(table: pd.DataFrame, nouns: _Nouns) -> str:
    """Say what versions cost, pulled one after the other; of one repository, or of many."""
    known = table[table["total_bytes"].notna() & table["fetch_bytes"].notna()]
    total, fetched = int(known["total_bytes"].sum()), int(known["fetch_bytes"].sum())
    share = (total - fetched) / total if total else 0
    if "repository" in table.columns and (many := table["repository"].nunique()) != 1:
        count = f"{many:,} repositories"
        if share < FLAT:
            return f"Versions reuse next to nothing in {count}"
        saved = f"{share_text(share)}: {size_text(total - fetched)}"
        return f"Pulling version after version of {count} saves {saved}"
    names = {re.sub("[:@][^/]*$", "", reference or "") for (reference,) in rows(table, "reference")}
    of_what = f" of {shorten(names.pop(), 40, cut='middle')}" if len(names) == 1 else ""
    count = f"{count_text(len(table), 'version')}{of_what}"
    if len(table) < 2:
        return f"{count}: {size_text(fetched)} to fetch"
    if share < FLAT:
        return f"{count} reuse next to nothing: {size_text(fetched)} fetched"
    return f"{count}: {size_text(fetched)} fetched instead of {size_text(total)}, {share_text(share)} saved"


def _of_upgrades(table: pd.DataFrame, nouns: _Nouns) -> str:
    pairs = rows(table, "from_version", "to_version", "fetch_bytes")
    sizes = [size for start, end, size in pairs if start != end and size is not None]
    if not sizes:
        return "There is nothing to upgrade" if not len(table) else "There is one version only"
    low, high = size_text(min(sizes)), size_text(max(sizes))
    if low == high:
        return f"Going to another version fetches {low}"
    return f"Going to another version fetches {low} to {high}, {size_text(int(median(sizes)))} in the middle"


def _of_timeline(table: pd.DataFrame, nouns: _Nouns) -> str:
    if not len(table):
        return "Nothing was pulled yet"
    last = records(table.tail(1))[0]
    fetched, reused = last["cumulative_fetch_bytes"] or 0, last["cumulative_reused_bytes"] or 0
    share = share_text(reused / (fetched + reused) if fetched + reused else 0)
    sizes = f"{size_text(fetched)} fetched, {size_text(reused)} reused ({share})"
    return f"{count_text(len(table), 'pull')}: {sizes}"


def _of_grains(table: pd.DataFrame, nouns: _Nouns) -> str:
    """Say which grain, or size of chunks, reuses most once its index is paid for, beside whole files."""
    name = "grain" if "grain" in table.columns else "average_bytes"
    lines = list(rows(table, name, "total_bytes", "reused_bytes", "index_bytes"))
    net = {grain: (reused - index) / total for grain, total, reused, index in lines if total}
    best = max(net, key=net.__getitem__, default=None)
    if best is None or net[best] <= 0 or best == "blob":
        return (
            "No finer grain pays for its index"
            if name == "grain"
            else "Chunks of no size pay for their index"
        )
    share = share_text(net[best])
    if name != "grain":
        return f"Chunks of {size_text(best)} reuse {share}, their index paid"
    whole = [share_text(reused / total) for grain, total, reused, _ in lines if grain == "blob" and total]
    return f"By {best}, {share} would be reused, index paid" + (f", whole files {whole[0]}" if whole else "")


def _of_sections(table: pd.DataFrame, nouns: _Nouns) -> str:
    sizes: Counter[str] = Counter()
    for section, size in rows(table, "section", "section_bytes"):
        sizes[section] += size or 0
    total = sum(sizes.values())
    if not total:
        return "There are no bytes"
    section = max(sizes, key=lambda one: sizes[one])
    return f"{share_text(sizes[section] / total)} of {size_text(total)} is in {section} sections"


_SAYINGS: tuple[tuple[Iterable[str], Callable[[pd.DataFrame, _Nouns], str]], ...] = (
    (schemas.SHARING_SCHEMA, _of_sharing),
    (schemas.TIMELINE_SCHEMA, _of_timeline),
    (("reference", "total_bytes", "fetch_bytes"), _of_savings),
    (schemas.SECTION_MAP_SCHEMA, _of_sections),
    (schemas.GRAINS_SCHEMA, _of_grains),
    (schemas.CHUNK_SWEEP_SCHEMA, _of_grains),
    (("set", "user", "user_count", "stored_bytes", "blob_count"), _of_sets),
    (schemas.UPGRADE_MATRIX_SCHEMA, _of_upgrades),
    (schemas.SHARED_BYTES_SCHEMA, _of_pairs),
    (("host_a", "host_b", "shared_bytes"), _of_pairs),
    (("kind", "stored_bytes"), _of_breakdown),
)

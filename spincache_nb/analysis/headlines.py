"""What stands out: ranked findings of a cache, and one sentence for the table of each analysis."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from typing import Any, NamedTuple

import pandas as pd

from spincache_nb.analysis import schemas
from spincache_nb.analysis.disk import freed_by, reclaimable, summary, superseded_references
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
_NUMBERS = ("No", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine")
_MOST = 0.5  # "most of": more than half
_NAME_COLUMNS = 48
_MOST_NAMED = 20  # references in one command


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
        command = f"remove --dry-run {shlex.join(old)}" if len(old) <= _MOST_NAMED else "tree"
        yield Finding("superseded", sentence, freed, repositories[0] if one else None, command)


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


# ---------------------------------------------------------------- one table


def headline(table: pd.DataFrame) -> str:
    """Say in one sentence what the table of an analysis shows.

    Parameters
    ----------
    table
        What breakdown, sharing, sharing_sets, shared_bytes, version_savings, remote_savings,
        upgrade_matrix, timeline, grains, cache_grains, chunk_sweep or section_map return, also for a fleet.

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
    for schema, say in _SAYINGS:
        if set(schema) <= set(table.columns):
            return say(table)
    raise ValueError(f"no analysis with a headline gives the columns {', '.join(map(str, table.columns))}")


def _of_sharing(table: pd.DataFrame) -> str:
    saved = int(table["saved_bytes"].sum())
    if not saved:
        return "Nothing is shared yet"
    lines = records(table.sort_values("saved_bytes", ascending=False, kind="stable").head(9))
    reached = count = 0
    while reached <= saved * _MOST and count < len(lines):
        reached += lines[count]["saved_bytes"]
        count += 1
    if reached <= saved * _MOST:
        shared = int((table["saved_bytes"] > 0).sum())
        return f"{shared:,} shared blobs save {size_text(saved)}, none of them much by itself"
    blobs = f"{_NUMBERS[count]} {'blob' if count == 1 else 'blobs'}"
    size = size_text(sum(line["stored_bytes"] for line in lines[:count]))
    part = "all" if reached == saved else share_text(reached / saved)
    verb = "brings" if count == 1 else "bring"
    return f"{blobs} of {size} {verb} {part} of the {size_text(saved)} that sharing saves"


_KINDS: Mapping[str, str] = {
    "exclusive": "is needed by one app only",
    "shared": "is shared",
    "archive": "is archives kept beside their members",
    "projects": "is needed by projects only",
    "unreferenced": "is needed by nothing",
    "temporary": "is unfinished files",
    "misnamed": "is misnamed files",
    "manifests": "is manifests and locked apps",
    "other": "is other files",
}


def _of_breakdown(table: pd.DataFrame) -> str:
    sizes: dict[str, int] = dict.fromkeys(_KINDS, 0)
    for kind, size in rows(table, "kind", "stored_bytes"):
        sizes[kind] += size or 0
    total = sum(sizes.values())
    if not total:
        return "Nothing is stored yet"
    kind = max(sizes, key=lambda one: sizes[one])
    return f"{share_text(sizes[kind] / total)} of {size_text(total)} {_KINDS[kind]}"


def _of_sets(table: pd.DataFrame) -> str:
    sets = list(dict.fromkeys(rows(table, "set", "user_count", "stored_bytes")))
    size, count = max(((size, count) for _, count, size in sets if count > 1), default=(0, 0))
    if not size:
        return "Nothing is shared yet"
    share = share_text(size / sum(size for *_, size in sets))
    return f"{count:,} of them share {size_text(size)}, {share} of what is needed"


def _of_pairs(table: pd.DataFrame) -> str:
    pairs = rows(table, "shared_bytes", "reference_a", "reference_b")
    size, a, b = max(
        ((size or 0, a, b) for size, a, b in pairs), default=(0, "", ""), key=lambda pair: pair[0]
    )
    if not size:
        return "No two of them share anything"
    short = short_references([a, b])
    one, other = (shorten(short[name], 24, cut="middle") for name in (a, b))
    return f"{one} and {other} share most: {size_text(size)}"


def _of_savings(table: pd.DataFrame) -> str:
    later = table[table["position"] > 0]
    total = int(later["total_bytes"].sum())
    if not total:
        return "No version follows another yet"
    saved = int(later["reused_bytes"].sum())
    part = f"{share_text(saved / total)} of their bytes: {size_text(saved)} of {size_text(total)}"
    return f"New versions reuse {part}"


def _of_upgrades(table: pd.DataFrame) -> str:
    pairs = rows(table, "from_version", "to_version", "fetch_bytes")
    sizes = [size for start, end, size in pairs if start != end and size is not None]
    if not sizes:
        return "There is nothing to upgrade from or to"
    low, high = size_text(min(sizes)), size_text(max(sizes))
    return f"Every upgrade fetches {low}" if low == high else f"An upgrade fetches between {low} and {high}"


def _of_timeline(table: pd.DataFrame) -> str:
    if not len(table):
        return "Nothing was pulled yet"
    last = records(table.tail(1))[0]
    fetched, reused = last["cumulative_fetch_bytes"], last["cumulative_reused_bytes"]
    pulls = count_text(len(table), "pull")
    return f"{pulls} fetched {size_text(fetched)} and found {size_text(reused)} there already"


def _of_grains(table: pd.DataFrame) -> str:
    name = str(table.columns[0])
    shares = [(share, grain) for grain, share in rows(table, name, "reused_share") if share]
    if not shares:
        return "Nothing of it was there before, at any grain"
    share, grain = max(shares, key=lambda one: one[0])
    pieces = f"pieces of the grain {grain}" if name == "grain" else f"chunks of {size_text(grain)}"
    return f"Most, {share_text(share)}, is reused in {pieces}"


def _of_sections(table: pd.DataFrame) -> str:
    sizes: dict[str, int] = {}
    for section, size in rows(table, "section", "section_bytes"):
        sizes[section] = sizes.get(section, 0) + size
    total = sum(sizes.values())
    if not total:
        return "There are no bytes"
    section = max(sizes, key=lambda one: sizes[one])
    return f"{share_text(sizes[section] / total)} of {size_text(total)} is in {section} sections"


_SAYINGS: tuple[tuple[Mapping[str, Any], Callable[[pd.DataFrame], str]], ...] = (
    (schemas.SHARING_SCHEMA, _of_sharing),
    (schemas.VERSION_SAVINGS_SCHEMA, _of_savings),
    (schemas.TIMELINE_SCHEMA, _of_timeline),
    (schemas.SECTION_MAP_SCHEMA, _of_sections),
    (schemas.GRAINS_SCHEMA, _of_grains),
    (schemas.CHUNK_SWEEP_SCHEMA, _of_grains),
    (schemas.SHARING_SETS_SCHEMA, _of_sets),
    (schemas.UPGRADE_MATRIX_SCHEMA, _of_upgrades),
    (schemas.SHARED_BYTES_SCHEMA, _of_pairs),
    (dict.fromkeys(("kind", "stored_bytes", "file_count")), _of_breakdown),
)

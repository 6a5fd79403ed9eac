"""Which files of a dataset an analysis reads: each host's newest snapshot; and what is skipped, and why."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Literal, NamedTuple

from spincache_nb.errors import FormatError, SpinCacheError
from spincache_nb.fleet.place import Entry, File, Place, load, newest_first, parse_folder
from spincache_nb.fleet.table import CLOCKS_DIFFER, Facts, check

Kind = Literal["cache", "registry"]
Since = date | datetime | timedelta | str
CRAWL_PART = re.compile(r"_crawl-([0-9]{6})\.part")
COMPACTED = re.compile(r"compacted/day=(\d{4}-\d{2}-\d{2})/[^/]+\.parquet")
"""Files that hold several snapshots, of which not all need be chosen."""
_READERS = 16
_TAKE = "take one with fleet.snapshot()"


@dataclass(frozen=True, slots=True)
class Skipped:
    """A snapshot that is not used.

    Parameters
    ----------
    path
        Its file.
    reason
        In one line.
    """

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What `snapshot` or `crawl` wrote.

    Parameters
    ----------
    target, host, day
        Where, without credentials; what the cache is called there; the day in UTC.
    row_count, size_bytes
        Rows of the table, bytes of the file.
    written
        False if nothing was written: the very same was there, or a newer snapshot of that day.
    """

    target: str
    host: str
    day: date
    row_count: int
    size_bytes: int
    written: bool


class Chosen(NamedTuple):
    """One host's snapshot."""

    host: str
    day: date
    moment: datetime
    name: str
    size_bytes: int
    facts: Facts


@dataclass(frozen=True)
class Dataset:
    """The snapshots that are read, one per host."""

    place: Place
    kind: Kind
    chosen: tuple[Chosen, ...]
    skipped: tuple[Skipped, ...]


def moment_of(since: Since | None, now: datetime) -> datetime | None:
    """The moment that ``since=`` means: a day, a moment, or so long ago."""
    if since is None or isinstance(since, datetime):
        return since if since is None or since.tzinfo else since.replace(tzinfo=UTC)
    if isinstance(since, timedelta):
        return now - since
    if isinstance(since, str):
        return moment_of(datetime.fromisoformat(since), now)
    return datetime(since.year, since.month, since.day, tzinfo=UTC)


def choose(
    place: Place,
    *,
    day: date | None = None,
    kind: Kind | None = None,
    since: Since | None = None,
    broken: Mapping[str, str] | None = None,
) -> Dataset:
    """Find each host's newest snapshot that can be used; ``broken`` names files known to be bad, and why."""
    now = datetime.now(UTC)
    there = place.files()
    oldest = moment_of(since, now)
    by_host: dict[str, list[File]] = defaultdict(list)
    for file in newest_first(there):
        if day is None or file.day <= day:
            by_host[file.host].append(file)

    def best(host: str) -> list[Chosen | Skipped]:
        return list(_best(place, there, by_host[host], now, oldest, broken or {}))

    with ThreadPoolExecutor(_READERS, thread_name_prefix="spincache-fleet") as pool:
        tried = [one for outcomes in pool.map(best, sorted(by_host)) for one in outcomes]
    if day is not None:
        tried = _with_compacted(place, there, day, oldest, tried)
    tried += _old(place, there, by_host)
    found = [one for one in tried if isinstance(one, Chosen)]
    skipped = [one for one in tried if isinstance(one, Skipped)]
    kinds = sorted({one.facts.source for one in found})
    if kind is None and len(kinds) > 1:
        raise ValueError(f"{place} holds snapshots of caches and of registries: name kind= one of {kinds}")
    wanted: Kind = kind or ("registry" if kinds == ["registry"] else "cache")
    chosen = sorted((one for one in found if one.facts.source == wanted), key=lambda one: one.host)
    if not chosen:
        until = f" of {day} or before" if day is not None else ""
        what, remedy = _what_is_there(place, there, kinds, skipped)
        raise SpinCacheError(str(place), f"a complete snapshot of a {wanted}{until}", what, remedy)
    return Dataset(place, wanted, tuple(chosen), tuple(skipped))


def _best(
    place: Place,
    there: Mapping[str, Entry],
    newest_first: Iterable[File],
    now: datetime,
    oldest: datetime | None,
    broken: Mapping[str, str],
) -> Iterator[Chosen | Skipped]:
    """A host's newest snapshot; where it cannot be used, say so and try the one before."""
    for file in newest_first:
        path = place.path(file.name)
        if file.moment > now + CLOCKS_DIFFER:
            ahead = timedelta(seconds=(file.moment - now) // timedelta(seconds=1))
            yield Skipped(path, f"it is from the future, by {ahead}: set the host's clock")
        elif oldest is not None and file.moment < oldest:
            yield Skipped(path, f"it is older than asked for: taken {file.moment:%Y-%m-%d %H:%M} UTC")
            return
        elif file.name in broken:
            yield Skipped(path, broken[file.name])
        else:
            try:
                facts = check(place, file.name, there[file.name], file=file)
            except (SpinCacheError, OSError) as exc:
                if not isinstance(exc.__cause__, FileNotFoundError):
                    yield Skipped(path, f"{exc}")
                continue
            yield Chosen(file.host, file.day, file.moment, file.name, there[file.name].size or 0, facts)
            return


def _old(place: Place, there: Mapping[str, Entry], by_host: Mapping[str, object]) -> list[Skipped]:
    """The last marker of the format before, of hosts that have nothing newer."""
    last: dict[str, str] = {}
    for name in sorted(there):
        found = parse_folder(name)
        if found and found[0] not in by_host and name.endswith("/_complete.json"):
            last[found[0]] = name
    reason = "it is of the old format 1: take a snapshot with this version"
    return [Skipped(place.path(name), reason) for name in last.values()]


def _with_compacted(
    place: Place,
    there: Mapping[str, Entry],
    day: date,
    oldest: datetime | None,
    tried: Sequence[Chosen | Skipped],
) -> list[Chosen | Skipped]:
    """Let newer snapshots in compacted files, of that day or before, take the place of those found."""
    best = {one.host: one for one in tried if isinstance(one, Chosen)}
    others: list[Chosen | Skipped] = [one for one in tried if isinstance(one, Skipped)]
    for name, entry in there.items():
        match = COMPACTED.fullmatch(name)
        if match is None or match[1] > day.isoformat():
            continue
        try:
            inside = _inside(place, name, entry)
        except (SpinCacheError, OSError) as exc:
            others.append(Skipped(place.path(name), f"{exc}"))
            continue
        for one in inside:
            held = best.get(one.host)
            if (held is None or held.moment < one.moment) and (oldest is None or one.moment >= oldest):
                best[one.host] = one
    return [*best.values(), *others]


def _inside(place: Place, name: str, entry: Entry) -> list[Chosen]:
    """The snapshots in a compacted file."""
    facts, key = check(place, name, entry), ["source", "host", "day", "taken_at"]
    try:
        with place.reading(name) as file:
            table = load("pyarrow.parquet").read_table(file, columns=key)
    except (ValueError, OSError) as exc:
        raise FormatError(place.path(name), "a Parquet file", "a damaged one", "compact again") from exc
    found = []
    for line in table.group_by(key).aggregate([([], "count_all")]).to_pylist():
        own = facts._replace(source=line["source"], row_count=line["count_all"])
        size = (entry.size or 0) * own.row_count // max(1, facts.row_count)
        found.append(Chosen(line["host"], line["day"], line["taken_at"], name, size, own))
    return found


def _what_is_there(
    place: Place, there: Mapping[str, Entry], kinds: Sequence[str], skipped: Sequence[Skipped]
) -> tuple[str, str]:
    """Say what was found in place of a snapshot, and what to do."""
    if kinds:
        return f"snapshots of the kind {kinds[0]!r} only", f"pass kind={kinds[0]!r}, or leave it out"
    if skipped:
        return (
            f"none that can be used; {skipped[0].path}: {skipped[0].reason}",
            "do as that says, then open it again",
        )
    if not there:
        return "no file at all", f"check the address; if it is right, {_TAKE}"
    days = sorted({file.day for file in newest_first(there)})
    if days:
        return f"the first of {days[0]}", "name a later day, or none for the latest"
    for name in sorted(there):
        folder, _, last = name.rpartition("/")
        if parse_folder(folder) and CRAWL_PART.fullmatch(last):
            return (
                f"a crawl that is not finished, {folder}",
                "run fleet.crawl() again, which goes on from there",
            )
    inside = place.root.rpartition("/")[2].startswith(("host=", "day="))
    if inside or any(name.startswith("day=") for name in there):
        return "a folder within a dataset", "open the folder that holds all folders host=..."
    if any(name.startswith(("registry/wasm/", "registry/data/", "registry/manifests/")) for name in there):
        return "a Spin cache", "snapshot it with fleet.snapshot(), or look at it alone: sc.frames, sc.report"
    count = f"{len(there)} files" if len(there) > 1 else "one file"
    return f"{count} that no snapshot has, such as {min(there)}", f"name another folder, or {_TAKE}"

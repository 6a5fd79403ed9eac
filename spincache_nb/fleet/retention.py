"""Keeping a dataset small: old snapshots go, days of many small files become few files."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from spincache_nb.errors import SpinCacheError
from spincache_nb.fleet.dataset import COMPACTED, CRAWL_PART, Chosen, Dataset
from spincache_nb.fleet.engines import connect, faulty_files, unglobbed
from spincache_nb.fleet.place import (
    Entry,
    File,
    Place,
    load,
    newest_first,
    parse_file,
    parse_folder,
    superseded,
)
from spincache_nb.fleet.table import COLUMNS, FORMAT, FORMAT_KEY, GRACE, arrow_types, check, written_with

_FILES_AT_A_TIME = 2_000
_ROW_GROUP = 1 << 18
_MEMORY = "1GB"


@dataclass(frozen=True, slots=True)
class Retention:
    """What `expire` or `compact` removed, or would remove.

    Parameters
    ----------
    target
        The dataset, without credentials.
    removed, removed_bytes
        Files that went, below the dataset, and their sizes.
    written, written_bytes
        Files that hold what was in them, if any, and their sizes.
    dry_run
        Whether nothing was done.
    """

    target: str
    removed: tuple[str, ...]
    removed_bytes: int
    written: tuple[str, ...] = ()
    written_bytes: int = 0
    dry_run: bool = False


def expire(
    target: str | os.PathLike[str],
    *,
    keep_days: int,
    dry_run: bool = False,
    storage_options: Mapping[str, Any] | None = None,
) -> Retention:
    """Remove the snapshots of days long ago, also those of hosts that have no newer one.

    Parameters
    ----------
    target, storage_options
        Folder of the dataset; options for fsspec.
    keep_days
        Snapshots of today (UTC) and of so many days before it stay.
    dry_run
        Only say what would go.

    Returns
    -------
    Retention
        What went. Files that no snapshot has are never touched.

    Raises
    ------
    ValueError
        If ``keep_days`` is negative.
    SpinCacheError
        If the target cannot be read or changed.
    """
    if keep_days < 0:
        raise ValueError(f"keep_days is 0 or more, not {keep_days}")
    place = Place(target, storage_options)
    now = datetime.now(UTC)
    first = now.date() - timedelta(days=keep_days)
    there = place.files()
    doomed = {name for name in there if (day := _day_of(name)) is not None and day < first}
    removed = sorted(doomed.union(_replaced(there, now - GRACE)))
    for name in () if dry_run else removed:
        place.remove(name)
    size = sum(there[name].size or 0 for name in removed)
    return Retention(str(place), tuple(removed), size, dry_run=dry_run)


def _day_of(name: str) -> date | None:
    """Day of a file that belongs to a dataset; None for any other."""
    file, compacted = parse_file(name), COMPACTED.fullmatch(name)
    if file is not None:
        return file.day
    if compacted:
        return date.fromisoformat(compacted[1])
    found = parse_folder(name) if CRAWL_PART.fullmatch(name.rpartition("/")[2]) else None
    return found[1] if found is not None else None


def _replaced(there: Iterable[str], before: datetime) -> list[str]:
    """Files in whose place another of the same host and day was written before some moment."""
    days: dict[tuple[str, date], list[File]] = defaultdict(list)
    for file in newest_first(there):
        days[file.host, file.day].append(file)
    return [file.name for files in days.values() for file in superseded(files, before)]


def compact(
    target: str | os.PathLike[str],
    *,
    dry_run: bool = False,
    storage_options: Mapping[str, Any] | None = None,
) -> Retention:
    """Make few files of the many that days before today have.

    Every host's newest snapshot stays as it is, since that is what is read; so do those of today. What is
    left of each day becomes one file per two thousand hosts, ``compacted/day=<day>/...parquet``, with the
    same rows. A file that cannot be read stays where it is.

    Parameters
    ----------
    target, storage_options
        Folder of the dataset; options for fsspec.
    dry_run
        Only say what would go.

    Returns
    -------
    Retention
        What went, and what holds it now.

    Raises
    ------
    SpinCacheError
        If the target cannot be read or changed.
    """
    place = Place(target, storage_options)
    now = datetime.now(UTC)
    there = place.files()
    removed = _replaced(there, now - GRACE)
    for name in () if dry_run else removed:
        place.remove(name)
    by_day: dict[date, list[File]] = defaultdict(list)
    seen: set[str] = set()
    replaced = frozenset(removed)
    for file in newest_first(there):
        if file.day < now.date() and file.name not in replaced and file.host in seen:
            by_day[file.day].append(file)
        seen.add(file.host)
    written, size = [], 0
    for day, files in sorted(by_day.items()):
        for start in range(0, len(files), _FILES_AT_A_TIME):
            good = list(_good(place, sorted(files)[start : start + _FILES_AT_A_TIME], there))
            if dry_run and len(good) > 1:
                removed += [one.name for one in good]
            elif not dry_run and (merged := _merge(place, day, good)) is not None:
                removed += merged.names
                written.append(merged.name)
                size += merged.size_bytes
                for name in merged.names:
                    place.remove(name)
    gone = sum(there[name].size or 0 for name in removed)
    return Retention(str(place), tuple(removed), gone, tuple(written), size, dry_run)


class _Merged(NamedTuple):
    names: list[str]
    name: str
    size_bytes: int


def _good(place: Place, files: Iterable[File], there: Mapping[str, Entry]) -> Iterator[Chosen]:
    """Those of some files whose footers pass their check."""
    for file in files:
        with contextlib.suppress(SpinCacheError, OSError):
            entry = there[file.name]
            facts = check(place, file.name, entry, file=file)
            yield Chosen(file.host, file.day, file.moment, file.name, entry.size or 0, facts)


def _merge(place: Place, day: date, files: Sequence[Chosen]) -> _Merged | None:
    """Write one file with the rows of several, without those that cannot be read; None of fewer than two."""
    if len(files) < 2:
        return None
    names = [one.name for one in files]
    try:
        with tempfile.TemporaryDirectory(prefix="spincache-compact-") as scratch:
            merged, _, content = write_sorted("SELECT * FROM given", place, names, Path(scratch))
            name = f"compacted/day={day.isoformat()}/{content}.parquet"
            place.write(merged, name)
            return _Merged(names, name, merged.stat().st_size)
    except (load("duckdb").Error, ValueError, OSError) as exc:
        faulty = faulty_files(Dataset(place, "cache", tuple(files), ()))
        if not faulty:
            said = str(exc).splitlines()[0][:300]
            raise SpinCacheError(
                f"{place}", "snapshots that can be merged", said, "see what it says"
            ) from exc
    return _merge(place, day, [one for one in files if one.name not in faulty])


def write_sorted(query: str, place: Place, names: Sequence[str], scratch: Path) -> tuple[Path, int, str]:
    """Run a query over the rows of some files, ``given``, and write what it gives, by record and digest.

    Gives the file, its rows and sixteen digits that name its content. A gigabyte is held in memory at most.
    """
    parquet, pa = load("pyarrow.parquet"), load("pyarrow")
    schema = pa.schema(list(arrow_types().items()))
    target, rows, files = scratch / "sorted.parquet", 0, []
    for number, name in enumerate(names):
        files.append(Path(place.path(name)) if place.local else scratch / f"{number}.parquet")
        if not place.local:
            with place.reading(name) as remote, files[-1].open("wb") as copy:
                shutil.copyfileobj(remote, copy)
    listed = [unglobbed(str(file)) for file in files]
    with contextlib.closing(connect(place, scratch, _MEMORY)) as connection:
        connection.read_parquet(listed, union_by_name=True).create_view("given")
        connection.execute("SET TimeZone = 'UTC'; SET preserve_insertion_order = true")
        columns = ", ".join(COLUMNS)
        order = "record, digest, reference, position, area, host, taken_at, name, path"
        found = connection.sql(f"SELECT {columns} FROM ({query}) ORDER BY {order}")  # noqa: S608 - ours
        with parquet.ParquetWriter(target, schema, **written_with()) as writer:
            for batch in found.to_arrow_reader(_ROW_GROUP):
                if not batch.schema.equals(schema):  # to cast loads pyarrow.compute
                    batch = pa.Table.from_batches([batch]).cast(schema)
                writer.write(batch)
                rows += batch.num_rows
            writer.add_key_value_metadata({FORMAT_KEY: str(FORMAT)})
    with target.open("rb") as file:
        content = hashlib.file_digest(file, "sha256").hexdigest()[:16]
    return target, rows, content

"""Keeping a dataset small: old snapshots go, days of many small files become few files."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from spincache_nb.fleet.dataset import COMPACTED, CRAWL_PART
from spincache_nb.fleet.engines import connect
from spincache_nb.fleet.place import Place, load
from spincache_nb.fleet.table import (
    COLUMNS,
    FORMAT,
    FORMAT_KEY,
    GRACE,
    File,
    arrow_types,
    is_good,
    newest_first,
    parse_file,
    parse_folder,
    superseded,
    written_with,
)

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
    same rows.

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
            some = sorted(files)[start : start + _FILES_AT_A_TIME]
            good = [one.name for one in some if is_good(place, one.name, there[one.name], file=one)]
            if len(good) < 2:
                continue
            removed += good
            if not dry_run:
                name, bytes_written = _merge(place, day, good)
                written.append(name)
                size += bytes_written
                for one in good:
                    place.remove(one)
    gone = sum(there[name].size or 0 for name in removed)
    return Retention(str(place), tuple(removed), gone, tuple(written), size, dry_run)


def _merge(place: Place, day: date, names: Sequence[str]) -> tuple[str, int]:
    """Write one file with the rows of several; give its name and size."""
    with tempfile.TemporaryDirectory(prefix="spincache-compact-") as scratch:
        merged, _, content = write_sorted("SELECT * FROM given", place, names, Path(scratch))
        name = f"compacted/day={day.isoformat()}/{content}.parquet"
        place.put(merged, name)
        return name, merged.stat().st_size


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
    connection = connect(_MEMORY, None, scratch)
    try:
        relation = connection.read_parquet([str(file) for file in files], union_by_name=True)
        relation.create_view("given")
        connection.execute("SET TimeZone = 'UTC'; SET preserve_insertion_order = true")
        columns = ", ".join(COLUMNS)
        order = "record, digest, reference, position, area, host, taken_at, name, path"
        found = connection.sql(f"SELECT {columns} FROM ({query}) ORDER BY {order}")  # noqa: S608 - ours
        with parquet.ParquetWriter(target, schema, **written_with()) as writer:
            for batch in found.to_arrow_reader(_ROW_GROUP):
                writer.write_table(pa.Table.from_batches([batch]).cast(schema))
                rows += batch.num_rows
            writer.add_key_value_metadata({FORMAT_KEY: str(FORMAT)})
    finally:
        connection.close()
    with target.open("rb") as file:
        content = hashlib.file_digest(file, "sha256").hexdigest()[:16]
    return target, rows, content

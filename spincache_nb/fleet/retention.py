"""Keeping a dataset small: old snapshots go, days of many small files become few files."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from spincache_nb.errors import SpinCacheError
from spincache_nb.fleet.dataset import COMPACTED, CRAWL_PART, OLD_MARKER
from spincache_nb.fleet.engines import connect
from spincache_nb.fleet.place import Entry, Place, load
from spincache_nb.fleet.snapshots import GRACE, superseded
from spincache_nb.fleet.table import (
    COLUMNS,
    FORMAT,
    FORMAT_KEY,
    File,
    arrow_types,
    check,
    parse_file,
    parse_folder,
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
    removed
        Files that went, below the dataset.
    removed_bytes
        Their sizes.
    written
        Files that hold what was in them, if any.
    written_bytes
        Their sizes.
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
    target
        Folder of the dataset.
    keep_days
        Snapshots of today (UTC) and of so many days before it stay.
    dry_run
        Only say what would go.
    storage_options
        Handed to fsspec.

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
    doomed |= {file.name for file in _replaced(there, now - GRACE)}
    removed = sorted(doomed)
    if not dry_run:
        for name in removed:
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
    folder, _, last = name.rpartition("/")
    found = parse_folder(folder)
    old = last == OLD_MARKER or CRAWL_PART.fullmatch(last) or _is_of_format_1(last)
    return found[1] if found is not None and old else None


def _is_of_format_1(last: str) -> bool:
    table, _, rest = last.partition("-")
    tables = ("apps", "uses", "layers", "members", "blobs", "digests", "breakdown", "problems")
    return table in tables and rest.endswith(".parquet")


def _replaced(there: Mapping[str, Entry], before: datetime) -> list[File]:
    """Files in whose place another of the same host and day was written before some moment."""
    days: dict[tuple[str, date], list[File]] = defaultdict(list)
    for file in filter(None, map(parse_file, there)):
        days[file.host, file.day].append(file)
    ordered = (sorted(files, key=lambda one: (one.moment, one.name), reverse=True) for files in days.values())
    return [file for files in ordered for file in superseded(files, before)]


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
    target
        Folder of the dataset.
    dry_run
        Only say what would go.
    storage_options
        Handed to fsspec.

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
    replaced = {file.name for file in _replaced(there, now - GRACE)}
    for name in () if dry_run else sorted(replaced):
        place.remove(name)
    by_day: dict[date, list[File]] = defaultdict(list)
    newest = _newest(there)
    for file in filter(None, map(parse_file, there)):
        if file.day < now.date() and file.name not in replaced and file != newest[file.host]:
            by_day[file.day].append(file)
    removed, written, size = sorted(replaced), [], 0
    for day, files in sorted(by_day.items()):
        for start in range(0, len(files), _FILES_AT_A_TIME):
            some = [
                file
                for file in sorted(files)[start : start + _FILES_AT_A_TIME]
                if _is_good(place, there, file)
            ]
            if len(some) < 2:
                continue
            removed += [file.name for file in some]
            if not dry_run:
                name, bytes_written = _merge(place, day, some)
                written.append(name)
                size += bytes_written
                for file in some:
                    place.remove(file.name)
    gone = sum(there[name].size or 0 for name in removed)
    return Retention(str(place), tuple(removed), gone, tuple(written), size, dry_run)


def _newest(there: Mapping[str, Entry]) -> dict[str, File]:
    found: dict[str, File] = {}
    for file in filter(None, map(parse_file, there)):
        held = found.get(file.host)
        if held is None or (held.moment, held.name) < (file.moment, file.name):
            found[file.host] = file
    return found


def _is_good(place: Place, there: Mapping[str, Entry], file: File) -> bool:
    try:
        check(place, file.name, there[file.name], file=file)
    except (SpinCacheError, OSError):
        return False
    return True


def _merge(place: Place, day: date, files: Sequence[File]) -> tuple[str, int]:
    """Write one file with the rows of several; give its name and size."""
    with tempfile.TemporaryDirectory(prefix="spincache-compact-") as scratch:
        local = []
        for number, file in enumerate(files):
            copy = Path(place.path(file.name)) if place.local else Path(scratch) / f"{number}.parquet"
            if not place.local:
                with place.reading(file.name) as opened:
                    copy.write_bytes(opened.read())
            local.append(copy)
        merged, _, content = write_sorted("SELECT * FROM given", local, Path(scratch))
        name = f"compacted/day={day.isoformat()}/{content}.parquet"
        place.put(merged, name)
        return name, merged.stat().st_size


def write_sorted(query: str, files: Sequence[Path], scratch: Path) -> tuple[Path, int, str]:
    """Run a query over the rows of some files, ``given``, and write what it gives in a snapshot's order.

    Gives the file, its rows and sixteen digits that name its content. A gigabyte is held in memory at most.
    """
    parquet, pa = load("pyarrow.parquet"), load("pyarrow")
    schema = pa.schema(list(arrow_types().items()))
    target, rows = scratch / "sorted.parquet", 0
    connection = connect(_MEMORY, None, scratch)
    try:
        relation = connection.read_parquet([str(file) for file in files], union_by_name=True)
        relation.create_view("given")
        connection.execute("SET TimeZone = 'UTC'; SET preserve_insertion_order = true")
        columns = ", ".join(COLUMNS)
        order = "host, taken_at, record, digest, reference, position, area, name, path"
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

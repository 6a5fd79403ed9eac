"""Snapshots: the frames of one cache as Parquet files, for somebody who looks at many caches."""

from __future__ import annotations

import hashlib
import hmac
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from spincache_nb.core.cache import Cache
from spincache_nb.errors import FormatError
from spincache_nb.fleet.contents import tables_of
from spincache_nb.fleet.marker import MARKER, File, Kind, Marker, Part, folder_of, parse_marker
from spincache_nb.fleet.place import Place
from spincache_nb.fleet.tables import to_parquet
from spincache_nb.frames import Projects
from spincache_nb.frames import load as load_frames

_HASH_DIGITS = 16


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What `snapshot` or `crawl` wrote.

    Parameters
    ----------
    target
        Where, without credentials.
    host
        As it is called there.
    day
        UTC.
    row_count
        Rows of all tables.
    size_bytes
        Bytes of all files but the marker.
    written
        False if the very same was there already, so that nothing was written.
    """

    target: str
    host: str
    day: date
    row_count: int
    size_bytes: int
    written: bool


def snapshot(
    cache: Cache,
    target: str | os.PathLike[str],
    *,
    host: str | None = None,
    salt: str | bytes | None = None,
    projects: Projects = (),
    at: datetime | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> Snapshot:
    """Write a cache's frames as Parquet files, one snapshot per host and day.

    Parameters
    ----------
    cache
        The cache; it is only read.
    target
        Folder of the dataset, local or at any address that fsspec understands (``s3://...``).
    host
        What to call this host. Without a name or a salt, a hash of this machine's name and of the
        cache's path stands for it, which whoever knows both can guess.
    salt
        A secret of yours. With it a keyed hash (HMAC-SHA-256) stands for the host's name.
    projects
        ``spin.toml`` files, or folders that hold one, of projects that use the cache too. They are
        numbered; their paths are not written.
    at
        When; now unless given.
    storage_options
        Handed to fsspec, credentials for example.

    Returns
    -------
    Snapshot
        What was written. A second snapshot of the same day takes the place of the first; if it is
        the same, nothing is written.

    Raises
    ------
    MissingExtraError
        If ``spincache-nb[fleet]`` is not installed.
    SpinManifestError
        If there is no project at one of the paths given.
    OSError
        If the target cannot be written.

    Notes
    -----
    No variables, environment, config or content of files is read for it, and no path of this machine
    is written. The tables are described in `spincache_nb.fleet.tables`, the folders in
    `spincache_nb.fleet.marker`. The marker that makes a snapshot count is written last.
    """
    place = Place(target, storage_options)
    moment = (at or datetime.now(UTC)).astimezone(UTC)
    name = host_name(cache, host, salt)
    made = tables_of(load_frames(cache, projects=projects))
    part, contents = encode(made, number=0)
    marker = Marker("cache", name, moment.date(), moment, (part,))
    return publish(place, marker, contents)


def host_name(cache: Cache, host: str | None, salt: str | bytes | None) -> str:
    """What a host is called in a dataset: its name, or a hash of it."""
    if host is not None and not host.strip():
        raise ValueError("a host's name must not be empty; leave it out for a hash")
    if host is not None and salt is None:
        return host
    told = host if host is not None else f"{platform.node()}\n{cache.path.absolute()}"
    secret = salt.encode() if isinstance(salt, str) else salt or b""
    return "h-" + hmac.new(secret, told.encode(), hashlib.sha256).hexdigest()[:_HASH_DIGITS]


def encode(made: Mapping[str, Any], *, number: int) -> tuple[Part, dict[str, bytes]]:
    """Make the files of one part: what a marker says of them, and their content by name."""
    part: dict[str, File] = {}
    contents: dict[str, bytes] = {}
    for table, rows in made.items():
        content = to_parquet(rows)
        name = f"{table}-{number}-{hashlib.sha256(content).hexdigest()[:_HASH_DIGITS]}.parquet"
        part[table] = File(name, rows.num_rows, len(content))
        contents[name] = content
    return part, contents


def publish(place: Place, marker: Marker, contents: Mapping[str, bytes]) -> Snapshot:
    """Write files, then the marker, and remove what was there before."""
    folder = marker.folder
    there = place.folder(*folder)
    files = [file for part in marker.parts for file in part.values()]
    same = existing_parts(place, marker.kind, marker.host, marker.day) == marker.parts
    written = not (same and all(there.get(file.name) == file.size_bytes for file in files))
    if written:
        for file in files:
            if there.get(file.name) != file.size_bytes:
                place.write(contents[file.name], *folder, file.name)
        place.replace(marker.to_json(), *folder, MARKER)
    kept = {file.name for file in files} | {MARKER}
    for name in there.keys() - kept:
        place.remove(*folder, name)
    rows = sum(file.row_count for file in files)
    return Snapshot(str(place), marker.host, marker.day, rows, marker.size_bytes, written)


def existing_parts(place: Place, kind: Kind, host: str, day: date) -> tuple[Part, ...] | None:
    """Parts of the complete snapshot that is there, None if there is none of that kind."""
    folder = folder_of(host, day)
    if MARKER not in place.folder(*folder):
        return None
    try:
        marker = parse_marker(place.read(*folder, MARKER), where=place.path(*folder, MARKER))
    except FormatError:
        return None
    return marker.parts if marker.kind == kind else None

"""Which files of a dataset an analysis reads: each host's latest complete snapshot."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date

from spincache_nb.errors import FormatError, SpinCacheError
from spincache_nb.fleet.absence import Skipped, what_is_there
from spincache_nb.fleet.marker import MARKER, Kind, Marker, Part, folder_of, parse_marker, snapshot_of
from spincache_nb.fleet.place import Place

_READERS = 16


@dataclass(frozen=True, slots=True)
class Unit:
    """One part of one snapshot: one file of each table."""

    number: int
    host_number: int
    folder: tuple[str, str]
    part: Part


@dataclass(frozen=True, slots=True)
class Dataset:
    """The snapshots that are read, one per host."""

    place: Place
    kind: Kind
    markers: tuple[Marker, ...]
    skipped: tuple[Skipped, ...] = ()

    @property
    def hosts(self) -> list[str]:
        """Names, in the order of their numbers."""
        return [marker.host for marker in self.markers]

    @property
    def units(self) -> list[Unit]:
        """All parts of all snapshots."""
        found: list[Unit] = []
        for host_number, marker in enumerate(self.markers):
            for part in marker.parts:
                found.append(Unit(len(found), host_number, marker.folder, part))
        return found

    @property
    def in_parts(self) -> bool:
        """Whether some snapshot has several parts, so that a flag may count a thing once in each."""
        return any(len(marker.parts) > 1 for marker in self.markers)

    def path(self, unit: Unit, table: str) -> str:
        """Path of a unit's file, as the file system takes it."""
        return self.place.path(*unit.folder, unit.part[table].name)

    def addresses(self, table: str) -> list[str]:
        """Addresses of all files of a table, in the order of the units."""
        return [self.place.address(*unit.folder, unit.part[table].name) for unit in self.units]

    def row_count(self, table: str) -> int:
        """Rows of one table."""
        return sum(marker.row_count(table) for marker in self.markers)


def choose(place: Place, *, day: date | None = None, kind: Kind | None = None) -> Dataset:
    """Find each host's latest complete snapshot."""
    there = place.files()
    markers, skipped = _read_latest(place, there, day)
    kinds = sorted({marker.kind for marker in markers})
    if kind is None and len(kinds) > 1:
        raise ValueError(f"{place} holds snapshots of caches and of registries: name kind= one of {kinds}")
    wanted = kind or (kinds[0] if kinds else "cache")
    chosen = sorted((m for m in markers if m.kind == wanted), key=lambda marker: marker.host)
    if not chosen:
        until = f" of {day} or before" if day is not None else ""
        found, remedy = what_is_there(place, there, kinds, skipped)
        raise SpinCacheError(str(place), f"a complete snapshot of a {wanted}{until}", found, remedy)
    return Dataset(place, wanted, tuple(chosen), tuple(skipped))


def _read_latest(
    place: Place, there: Mapping[str, int | None], day: date | None
) -> tuple[list[Marker], list[Skipped]]:
    days: dict[str, list[date]] = defaultdict(list)
    for path in there:
        found = snapshot_of(path)
        if found is not None and (day is None or found[1] <= day):
            days[found[0]].append(found[1])
    with ThreadPoolExecutor(_READERS, thread_name_prefix="spincache-marker") as pool:
        read = pool.map(lambda item: list(_newest(place, there, *item)), sorted(days.items()))
        tried = [outcome for outcomes in read for outcome in outcomes]
    return (
        [one for one in tried if isinstance(one, Marker)],
        [one for one in tried if isinstance(one, Skipped)],
    )


def _newest(
    place: Place, there: Mapping[str, int | None], host: str, days: Sequence[date]
) -> Iterator[Marker | Skipped]:
    """Read a host's newest marker; where it cannot be read, say so and try the one before."""
    for day in sorted(days, reverse=True):
        folder = folder_of(host, day)
        path = place.path(*folder, MARKER)
        try:
            marker = parse_marker(place.read(*folder, MARKER), where=path)
            if marker.folder != folder:
                raise FormatError(path, f"a snapshot of {host}", marker.host, "take the snapshot again")
            _check_files(place, there, marker)
        except (SpinCacheError, OSError) as exc:
            yield Skipped(path, f"{exc}")
            continue
        yield marker
        return


def _check_files(place: Place, there: Mapping[str, int | None], marker: Marker) -> None:
    """Check that all files that a marker names are there, and whole as far as their size tells."""
    start = "/".join(marker.folder)
    files = [file for part in marker.parts for file in part.values()]
    if all(there.get(f"{start}/{file.name}", -1) in (file.size_bytes, None) for file in files):
        return
    now = place.folder(*marker.folder)  # which may have been replaced since it was listed
    for file in files:
        size = now.get(file.name)
        if size != file.size_bytes:
            found = "none" if size is None else f"{size} bytes"
            where = place.path(*marker.folder, file.name)
            raise SpinCacheError(
                where, f"a file of {file.size_bytes} bytes", found, "take the snapshot again"
            )

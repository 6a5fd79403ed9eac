"""Saying what is at a place that has no snapshot to open, and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from spincache_nb.fleet.marker import CRAWL_ENTRY, parse_folder, snapshot_of
from spincache_nb.fleet.place import Place

_TAKE = "take one with fleet.snapshot()"
_AREAS = ("wasm", "data", "manifests")


@dataclass(frozen=True, slots=True)
class Skipped:
    """A snapshot that cannot be used: its marker cannot be read, or files that it names are not there.

    Parameters
    ----------
    path
        The marker.
    reason
        In one line.
    """

    path: str
    reason: str


def what_is_there(
    place: Place, there: Mapping[str, int | None], kinds: Sequence[str], skipped: Sequence[Skipped]
) -> tuple[str, str]:
    """Say what was found in place of a snapshot, and what to do."""
    if kinds:
        return f"snapshots of the kind {kinds[0]!r} only", f"pass kind={kinds[0]!r}, or leave it out"
    if skipped:
        return f"none that can be read; {skipped[0].reason}", "do as that says, then open it again"
    if not there:
        return "no file at all", f"check the address; if it is right, {_TAKE}"
    days = sorted({found[1] for found in map(snapshot_of, there) if found is not None})
    if days:
        return f"the first of {days[0]}", "name a later day, or none for the latest"
    return (
        _unfinished(there)
        or _misplaced(place, there)
        or (_foreign(there), f"name another folder, or {_TAKE}")
    )


def _unfinished(there: Mapping[str, int | None]) -> tuple[str, str] | None:
    split = [path.split("/") for path in sorted(there)]
    begun = [parts for parts in split if len(parts) == 3 and parse_folder(*parts[:2]) is not None]
    if not begun:
        return None
    folder = "/".join(begun[0][:2])
    if any(CRAWL_ENTRY.fullmatch(parts[2]) for parts in begun):
        return f"a crawl that is not finished, {folder}", "run fleet.crawl() again, which goes on from there"
    return f"one that is not finished, {folder}", "take it again with fleet.snapshot()"


def _misplaced(place: Place, there: Mapping[str, int | None]) -> tuple[str, str] | None:
    firsts = {path.partition("/")[0] for path in there}
    if place.root.rpartition("/")[2].startswith(("host=", "day=")) or any(
        f.startswith("day=") for f in firsts
    ):
        return "a folder within a dataset", "open the folder that holds all folders host=..."
    seconds = {"/".join(path.split("/")[:2]) for path in there}
    if {f"registry/{area}" for area in _AREAS} & seconds:
        return "a Spin cache", "snapshot it with fleet.snapshot(), or look at it alone: sc.frames, sc.report"
    return None


def _foreign(there: Mapping[str, int | None]) -> str:
    count = f"{len(there)} files" if len(there) > 1 else "one file"
    return f"{count} that no snapshot has, such as {min(there)}"

"""What an analysis works on: loaded frames, and the one place where a cache becomes frames.

Every public function of `spincache_nb.analysis` takes a *source*: either a `Cache`, of which it
loads exactly the frames it needs by one walk, or a `frames.Frames` bundle that `frames.load` gave
(for several analyses of one moment, for projects as further users of blobs). What follows is pure:
it reads frames and nothing else. The frames are of one cache at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, Union

import pandas as pd

from spincache_nb.core.reference import Reference
from spincache_nb.errors import InvalidReferenceError, NotInCacheError, without_user
from spincache_nb.frames.bundle import Frames, load

if TYPE_CHECKING:
    from spincache_nb.core.cache import Cache

__all__ = [
    "Blob",
    "Frames",
    "Source",
    "app_references",
    "bundle",
    "bytes_by_blob",
    "load",
    "resolve_references",
    "rows",
    "users_by_blob",
]

Source: TypeAlias = Union["Cache", Frames]
Blob: TypeAlias = tuple[str, str]
"""A digest and the area it is stored in."""


def bundle(source: Source, *names: str) -> Frames:
    """Give the bundle that a source is, or load the named frames of the cache that it is."""
    return source if isinstance(source, Frames) else load(source, *names, toolchains=False)


def rows(frame: pd.DataFrame, *columns: str) -> Iterator[tuple[Any, ...]]:
    """Go through some columns of a frame as plain Python values, None for missing."""
    return zip(*(_plain(frame[column]) for column in columns), strict=True)


def _plain(column: pd.Series[Any]) -> list[Any]:
    values: list[Any] = column.to_numpy(dtype=object, na_value=None).tolist()  # type: ignore[call-overload]
    return values


def app_references(apps: pd.DataFrame) -> set[str]:
    """Name the users that are apps; every other user is a project."""
    return {reference for (reference,) in rows(apps, "reference")}


def users_by_blob(uses: pd.DataFrame) -> dict[Blob, frozenset[str]]:
    """Say who needs each stored blob."""
    users: dict[Blob, set[str]] = {}
    for user, digest, area in rows(uses, "user", "digest", "area"):
        users.setdefault((digest, area), set()).add(user)
    return {blob: frozenset(names) for blob, names in users.items()}


def bytes_by_blob(uses: pd.DataFrame) -> dict[Blob, int]:
    """Say how many bytes each stored and used blob holds."""
    return {(digest, area): size or 0 for digest, area, size in rows(uses, "digest", "area", "stored_bytes")}


def resolve_references(apps: pd.DataFrame, references: Sequence[str | Reference]) -> list[str]:
    """Find cached apps by reference, short forms included."""
    known = app_references(apps)
    found: dict[str, None] = {}
    for reference in references:
        text = str(reference)
        name = text if text in known else _cached_name(text)
        if name not in known:
            raise NotInCacheError(
                without_user(text), "a cached app", "none of that name", "see frames.apps(cache)"
            )
        found[name] = None
    return list(found)


def _cached_name(text: str) -> str:
    try:
        return Reference.parse(text).cached_name
    except InvalidReferenceError:
        return text

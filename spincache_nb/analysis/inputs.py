"""What an analysis works on: caches, frames or a fleet, and the one place where a cache becomes frames."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

import pandas as pd

from spincache_nb.core.cache import Cache
from spincache_nb.core.reference import Reference
from spincache_nb.errors import InvalidReferenceError, NotInCacheError, without_user
from spincache_nb.frames import schemas
from spincache_nb.frames.bundle import Frames, load
from spincache_nb.frames.sources import OneCache, Projects, cache_name, caches_of
from spincache_nb.show import rows

if TYPE_CHECKING:
    from typing import TypeGuard

    from spincache_nb.frames.schemas import TableSchema

MOST_APPS = 30
"""Up to so many, apps are shown each by itself, and then repositories."""


class Snapshots(Protocol):
    """What answers for itself: a `Fleet`."""

    @property
    def hosts(self) -> list[str]:
        """Names of the hosts."""


Source: TypeAlias = OneCache | Frames | pd.DataFrame | Snapshots | Iterable[OneCache | pd.DataFrame] | None
"""None for this user's cache; a cache, its path, or several; frames; or, where it says so, a fleet."""

Blob: TypeAlias = tuple[str, str]
"""A digest and the area it is stored in."""

Group: TypeAlias = Literal["app", "repository", "registry"]

_FRAMES = {
    name: getattr(schemas, f"{name.upper()}_SCHEMA") for name in (one.name for one in fields(Frames))
    if hasattr(schemas, f"{name.upper()}_SCHEMA")
}  # fmt: skip
_PROJECT_NEEDS = ("spin.toml", "environment lock")


def over(
    cache: Source,
    schema: TableSchema,
    needed: Sequence[str],
    compute: Callable[[Frames], pd.DataFrame],
    *,
    projects: Projects = (),
) -> pd.DataFrame:
    """Run an analysis on the frames of a cache; of several, ``cache`` becomes the first column."""
    found = bundles(cache, *needed, projects=projects)
    if len(found) == 1:
        return compute(found[0][1])
    parts = ((name, compute(frames)) for name, frames in found)
    lines = [(name, *line) for name, part in parts for line in rows(part, *part.columns)]
    return schemas.build(schemas.several(schema), lines)


def bundle(cache: Source, *names: str, projects: Projects = ()) -> Frames:
    """Give the frames of one cache."""
    found = bundles(cache, *names, projects=projects)
    if len(found) != 1:
        raise ValueError(f"this analysis is of one cache at a time, got {len(found)}")
    return found[0][1]


def bundles(cache: Source, *names: str, projects: Projects = ()) -> list[tuple[str, Frames]]:
    """Give the frames of each cache that a source holds, with its path; loaded as far as it takes."""
    if isinstance(cache, pd.DataFrame):
        cache = [cache]
    if not isinstance(cache, Frames) and _holds_frames(cache):
        cache = _recognised(cache)
    if isinstance(cache, Frames):
        if projects:
            raise ValueError("projects cannot join frames that are loaded; name them when loading")
        return list(_split(cache))
    caches, _ = caches_of(cache)  # type: ignore[arg-type]  # what is none of these it refuses
    return [(cache_name(one), load(one, *names, projects=projects, toolchains=False)) for one in caches]


def one_cache(cache: Any) -> Cache:
    """Give the one cache that somebody means."""
    found, _ = caches_of(cache)
    if len(found) != 1:
        raise ValueError(f"this analysis is of one cache at a time, got {len(found)}")
    return found[0]


def is_fleet(cache: Source) -> TypeGuard[Any]:
    """Whether a source is a fleet, whose own methods answer."""
    return hasattr(cache, "host_overlap")


def _holds_frames(cache: Any) -> TypeGuard[Sequence[pd.DataFrame]]:
    return isinstance(cache, list | tuple) and bool(cache) and isinstance(cache[0], pd.DataFrame)


def _recognised(given: Sequence[pd.DataFrame]) -> Frames:
    """Put frames into a bundle, each by its columns."""
    found: dict[str, Any] = {}
    for frame in given:
        fitting = [name for name, schema in _FRAMES.items() if set(schema) <= set(frame.columns)]
        if not fitting:
            columns = ", ".join(map(str, frame))
            raise TypeError(f"expected a frame as spincache_nb.frames gives it, got the columns {columns}")
        found[max(fitting, key=lambda name: len(_FRAMES[name]))] = frame
    return Frames(**found)


def _split(frames: Frames) -> Iterator[tuple[str, Frames]]:
    """Take a bundle of several caches apart."""
    held = {name: getattr(frames, name) for name in _FRAMES if getattr(frames, name) is not None}
    names = {
        str(name)
        for frame in held.values()
        if schemas.CACHE in frame
        for name in frame[schemas.CACHE].unique()
    }
    if len(names) < 2:
        yield next(iter(names), ""), frames
        return
    for name in sorted(names):
        parts = {
            key: frame[frame[schemas.CACHE].astype(str) == name].reset_index(drop=True)
            for key, frame in held.items()
        }
        yield name, Frames(**parts)


# ---------------------------------------------------------------- users and blobs


def apps_among(frames: Frames) -> set[str]:
    """Name the users that are apps; every other user is a project."""
    if frames.holds("apps"):
        return {reference for (reference,) in rows(frames.need("apps"), "reference")}
    return {user for user, via in rows(frames.need("uses"), "user", "via") if via not in _PROJECT_NEEDS}


def users_by_blob(uses: pd.DataFrame) -> dict[Blob, frozenset[str]]:
    """Say who needs each stored blob."""
    users: dict[Blob, set[str]] = {}
    for user, digest, area in rows(uses, "user", "digest", "area"):
        users.setdefault((digest, area), set()).add(user)
    return {blob: frozenset(names) for blob, names in users.items()}


def bytes_by_blob(uses: pd.DataFrame) -> dict[Blob, int]:
    """Say how many bytes each stored and used blob holds."""
    return {(digest, area): size or 0 for digest, area, size in rows(uses, "digest", "area", "stored_bytes")}


def group_of(frames: Frames, most: int = 200) -> Group:
    """Choose what has a row or bar of its own: apps up to some thirty, then repositories, then registries."""
    if not frames.holds("apps") or len(apps := frames.need("apps")) <= MOST_APPS:
        return "app"
    repositories = len(apps[["registry", "repository"]].drop_duplicates())
    return "registry" if repositories > most and apps["registry"].nunique() > 1 else "repository"


def group_names(frames: Frames, by: Group) -> dict[str, str]:
    """Name the group that each app is counted in; what is not in it stays by itself."""
    if by not in ("app", "repository", "registry"):
        raise ValueError(f"by is app, repository or registry, not {by!r}")
    if by == "app":
        return {}
    columns = ("reference", "registry", "repository")
    return {
        reference: registry if by == "registry" else f"{registry}/{repository}"
        for reference, registry, repository in rows(frames.need("apps"), *columns)
    }


def resolve_references(apps: pd.DataFrame, references: Sequence[str | Reference]) -> list[str]:
    """Find cached apps by reference, short forms included; each once, as the frame has them."""
    known = {reference for (reference,) in rows(apps, "reference")}
    found: dict[str, None] = {}
    for reference in references:
        text = str(reference)
        name = text if text in known else _cached_name(text)
        if name not in known:
            remedy = "see frames.apps(cache)"
            raise NotInCacheError(without_user(text), "a cached app", "none of that name", remedy)
        found[name] = None
    return list(found)


def _cached_name(text: str) -> str:
    try:
        return Reference.parse(text).cached_name
    except InvalidReferenceError:
        return text

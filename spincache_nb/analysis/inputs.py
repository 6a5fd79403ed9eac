"""What an analysis works on: caches, frames or a fleet, and the one place where a cache becomes frames."""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from spincache_nb.analysis.tags import reference_key
from spincache_nb.core.cache import Cache
from spincache_nb.core.reference import Reference
from spincache_nb.errors import InvalidReferenceError, NotInCacheError, without_user
from spincache_nb.frames import schemas
from spincache_nb.frames.sources import OneCache, Projects, cache_name, caches_of
from spincache_nb.frames.tables import Frames, load
from spincache_nb.inventory.columns import distinct, no_collections
from spincache_nb.show import rows, short_digests

if TYPE_CHECKING:
    from typing import TypeGuard

    from spincache_nb.frames.schemas import Schema

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

Numbers: TypeAlias = npt.NDArray[Any]
Group: TypeAlias = Literal["app", "repository", "registry"]
PLURALS: Mapping[Group, str] = {"app": "apps", "repository": "repositories", "registry": "registries"}

_FRAMES = {
    name: getattr(schemas, f"{name.upper()}_SCHEMA") for name in (one.name for one in fields(Frames))
    if hasattr(schemas, f"{name.upper()}_SCHEMA")
}  # fmt: skip
_PROJECT_NEEDS = ("spin.toml", "environment lock")
_DIGEST = re.compile(r"(sha256|sha384|sha512):([0-9a-f]{64,128})")


@no_collections()
def over(
    cache: Source,
    schema: Schema,
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
    if isinstance(cache, list | tuple) and cache and isinstance(cache[0], pd.DataFrame):
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


def apps_among(frames: Frames) -> set[str]:
    """Name the users that are apps; every other user is a project."""
    if frames.holds("apps"):
        return set(frames.need("apps")["reference"])
    uses = frames.need("uses")
    return set(uses["user"][~uses["via"].isin(_PROJECT_NEEDS)])


class Needs:
    """Who needs each stored blob: users and blobs by number, and the distinct sets of users.

    `user` and `blob` are the distinct pairs, by blob and then by user. Users are in the order of names.
    """

    def __init__(self, frames: Frames, by: Group = "app") -> None:
        uses, groups = frames.need("uses"), group_names(frames, by)
        self.groups = set(groups.values())
        codes, given = pd.factorize(uses["user"])
        named = [groups.get(user, user) for user in given]
        self.users = sorted_names(set(named))
        place = {user: number for number, user in enumerate(self.users)}
        user = np.array([place[name] for name in named], np.intp)[codes]
        digests, self.digests = pd.factorize(uses["digest"])
        areas, self.areas = pd.factorize(uses["area"])
        keys, blob = np.unique(digests * len(self.areas) + areas, return_inverse=True)
        self.digest, self.area = np.divmod(keys, max(len(self.areas), 1))
        pairs = distinct(blob * len(self.users) + user)
        self.blob, self.user = np.divmod(pairs, max(len(self.users), 1))
        given_sizes = uses["stored_bytes"].to_numpy(object, na_value=0)
        exact = np.int64 if sum(given_sizes) <= np.iinfo(np.int64).max else object
        self.sizes: Numbers = np.zeros(len(keys), exact)
        self.sizes[blob] = given_sizes
        ends = np.searchsorted(self.blob, np.arange(len(keys) + 1))
        found: dict[bytes, int] = {}
        runs = (self.user[start:end].tobytes() for start, end in pairwise(ends.tolist()))
        self.set_of_blob = np.fromiter(
            (found.setdefault(run, len(found)) for run in runs), np.intp, len(keys)
        )
        self.sets = [np.frombuffer(run, self.user.dtype) for run in found]
        """Users of each set, by number and in order."""

    def names(self, members: Numbers) -> list[str]:
        """Name some users."""
        return [self.users[user] for user in members.tolist()]

    def by_blob(self) -> dict[Blob, frozenset[str]]:
        """Say who needs each blob; blobs that the same ones need have the same set."""
        sets = [frozenset(self.names(members)) for members in self.sets]
        digests, areas = self.digests[self.digest], self.areas[self.area]
        names = zip(digests, areas, strict=True)
        return {blob: sets[number] for blob, number in zip(names, self.set_of_blob.tolist(), strict=True)}

    def set_sizes(self) -> Numbers:
        """Add up for each set the bytes that exactly its users need."""
        return summed(self.set_of_blob, self.sizes, len(self.sets))


def summed(places: Numbers, sizes: Numbers, count: int) -> Numbers:
    """Add sizes up by place, exactly."""
    found = np.zeros(count, sizes.dtype)
    np.add.at(found, places, sizes)
    return found


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
        name = text = str(reference)
        if name not in known:
            with contextlib.suppress(InvalidReferenceError):
                name = Reference.parse(text).cached_name
        if name not in known:
            remedy = "see frames.apps(cache)"
            raise NotInCacheError(without_user(text), "a cached app", "none of that name", remedy)
        found[name] = None
    return list(found)


def short_references(references: Iterable[str]) -> dict[str, str]:
    """Shorten references and paths to the fewest last segments that stay different."""
    names = sorted(set(references))
    digests = short_digests(match[0] for name in names for match in _DIGEST.finditer(name))
    shown = {name: _DIGEST.sub(lambda match: digests[match[0]], name) for name in names}
    segments = {name: re.split(r"[/\\]", text) for name, text in shown.items()}
    short: dict[str, str] = {}
    depth = 1
    while len(short) < len(names):
        tails = {name: "/".join(parts[-depth:]) for name, parts in segments.items()}
        counts = Counter(tails.values())
        deepest = depth >= max(len(parts) for parts in segments.values())
        for name in names:
            if name not in short and (counts[tails[name]] == 1 or deepest):
                short[name] = tails[name] if counts[tails[name]] == 1 else name
        depth += 1
    return short


def sorted_names(names: Iterable[str]) -> list[str]:
    """Sort references and paths: by repository, then tags in their order."""
    return sorted(names, key=reference_key)


def without_repeats(names: Sequence[str]) -> list[str]:
    """Leave out a repository that is the same as in the name before: ``web:1, 2, 3``."""
    parts = [name.rpartition(":") for name in names]
    return [
        name if not repository or number == 0 or parts[number - 1][0] != repository else tag
        for number, (name, (repository, _, tag)) in enumerate(zip(names, parts, strict=True))
    ]


def some_of(names: Iterable[str], *, shown: int = 3, of: int | None = None) -> str:
    """Name the first few of many: ``a, b, c +2``; `of` says how many there are, if these are not all."""
    listed = list(names)
    more = (len(listed) if of is None else of) - shown
    return ", ".join(listed[:shown]) + (f" +{more}" if more > 0 else "")

"""What is shared and why: per digest with all its names, per set of users, per pair of apps."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from spincache_nb.analysis.inputs import (
    Group,
    Source,
    apps_among,
    bytes_by_blob,
    group_names,
    is_fleet,
    over,
    users_by_blob,
)
from spincache_nb.analysis.labels import some_of, sorted_names
from spincache_nb.analysis.schemas import (
    NEEDS_SCHEMA,
    SHARED_BYTES_SCHEMA,
    SHARING_SCHEMA,
    SHARING_SETS_SCHEMA,
)
from spincache_nb.core.digest import Digest
from spincache_nb.frames import Frames
from spincache_nb.frames.schemas import Picked, build, from_columns
from spincache_nb.frames.sources import Projects
from spincache_nb.show import rows

NEEDED = ("apps", "layers", "uses", "components", "files", "dependencies")
_MAX_INT = np.iinfo(np.int64).max


@SHARING_SCHEMA.describes
def sharing(cache: Source = None, *, projects: Projects = ()) -> pd.DataFrame:
    """Say for each referenced digest who needs it, what it is called and what sharing it saves.

    Parameters
    ----------
    cache
        This user's cache unless given; a cache, its path, or several; loaded frames: uses, and for more
        than plain names apps, layers, components, files and dependencies; or a fleet.
    projects
        ``spin.toml`` files, or folders that hold one, of projects that use the cache too.

    Returns
    -------
    pandas.DataFrame
        One row per digest that is stored and used, most bytes saved first, then by digest. A digest
        that is stored in ``wasm`` and in ``data`` is one row; its bytes are those of both files.

        {columns}
    """
    if is_fleet(cache):
        return cache.sharing()  # type: ignore[no-any-return]
    return over(cache, SHARING_SCHEMA, NEEDED, _sharing, projects=projects)


def _sharing(frames: Frames) -> pd.DataFrame:
    apps, manifests = apps_among(frames), _manifest_of_app(frames)
    sizes = bytes_by_blob(frames.need("uses"))
    users: dict[str, dict[str, frozenset[str]]] = defaultdict(dict)
    for (digest, area), found in users_by_blob(frames.need("uses")).items():
        users[digest][area] = found
    together: dict[str, frozenset[str]] = {
        digest: frozenset().union(*by_area.values()) for digest, by_area in users.items()
    }
    names = names_by_digest(each_need(frames), together)
    lines = []
    for digest, by_area in users.items():
        everyone = together[digest]
        stored = sum(sizes[digest, area] for area in by_area)
        needed = sum(sizes[digest, area] * len(found) for area, found in by_area.items())
        called = sorted(names.get(digest, ()))
        distinct = (
            None if manifests is None else len({manifests[user] for user in everyone if user in manifests})
        )
        counts = (len(everyone), len(everyone & apps), distinct, some_of(called), len(called))
        lines.append((digest, "+".join(sorted(by_area)), stored, *counts, needed, needed - stored))
    lines.sort(key=lambda line: (-line[-1], line[0]))
    return build(SHARING_SCHEMA, lines)


def _manifest_of_app(frames: Frames) -> dict[str, str] | None:
    """Name each app's manifest: by its digest, or else by that of an app with the same layers."""
    if not (frames.holds("apps") and frames.holds("layers")):
        return None
    layers: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for reference, position, digest in rows(frames.need("layers"), "reference", "position", "digest"):
        layers[reference].append((position, digest))
    known = dict(sorted(rows(frames.need("apps"), "reference", "manifest_digest")))
    texts = {reference: repr(sorted(layers[reference])) for reference in known}
    alike: dict[str, str] = {}
    for reference, digest in known.items():
        if digest is not None:
            alike.setdefault(texts[reference], digest)
    return {name: digest or alike.get(texts[name], texts[name]) for name, digest in known.items()}


# ---------------------------------------------------------------- who needs what, and under which name


class Need(NamedTuple):
    """One reason why a user needs a digest."""

    digest: str
    user: str
    need: str
    component: str | None
    name: str

    @property
    def chain(self) -> str:
        """The reason in one line, from the user inwards."""
        return " > ".join(part for part in (self.user, self.component, self.name) if part is not None)


@NEEDS_SCHEMA.describes
def why(cache: Source, digest: str | Digest, *, projects: Projects = ()) -> pd.DataFrame:
    """List every chain that needs a digest: app > component > path, layer, archive member, project.

    Parameters
    ----------
    cache
        A cache, its path, several, or loaded frames, as for `sharing`; None for this user's cache.
    digest
        For example ``sha256:...``.
    projects
        As for `sharing`.

    Returns
    -------
    pandas.DataFrame
        One row per reason; none if nothing needs the digest. What is needed but not stored is
        listed too. Files that are inline in the locked app are not: they need no blob.

        {columns}

    Raises
    ------
    InvalidDigestError
        If the text is no digest.
    """
    wanted = str(digest if isinstance(digest, Digest) else Digest.parse(digest))

    def compute(frames: Frames) -> pd.DataFrame:
        return _needs_frame(frames, (need for need in each_need(frames) if need.digest == wanted))

    return over(cache, NEEDS_SCHEMA, NEEDED, compute, projects=projects)


@NEEDS_SCHEMA.describes
def sharing_names(cache: Source = None, *, projects: Projects = ()) -> pd.DataFrame:
    """Give every name that every referenced digest goes by: the companion of `sharing`.

    Parameters
    ----------
    cache, projects
        As for `sharing`; no fleet.

    Returns
    -------
    pandas.DataFrame
        As of `why`, for every digest that is stored and used, one row per reason.

        {columns}
    """
    return over(cache, NEEDS_SCHEMA, NEEDED, _stored_needs, projects=projects)


def _stored_needs(frames: Frames) -> pd.DataFrame:
    stored = set(rows(frames.need("uses"), "user", "digest"))
    return _needs_frame(frames, (need for need in each_need(frames) if (need.user, need.digest) in stored))


def _needs_frame(frames: Frames, needs: Iterable[Need]) -> pd.DataFrame:
    distinct = set(needs)
    apps = apps_among(frames)
    places = {user: place for place, user in enumerate(sorted_names({need.user for need in distinct}))}
    order = sorted(distinct, key=lambda need: (need.digest, places[need.user], need.need, need.chain))
    return build(
        NEEDS_SCHEMA,
        (
            (need.digest, need.user, "app" if need.user in apps else "project", *need[2:], need.chain)
            for need in order
        ),
    )


def each_need(frames: Frames) -> Iterator[Need]:
    """Give the reasons for every digest, in no order, some perhaps twice."""
    explained: set[tuple[str, str]] = set()
    for need in _named(frames):
        if need.need != "layer":
            explained.add((need.user, need.digest))
        yield need
    archives = _archive_layers(frames)
    for user, digest, via in rows(frames.need("uses"), "user", "digest", "via"):
        if via == "archive member":
            yield Need(digest, user, via, None, f"member of {archives.get(user, 'an archive')}")
        elif via == "content ref" and (user, digest) not in explained:
            yield Need(digest, user, via, None, "named by the locked app")
        elif via not in ("layer", "content ref") or (via == "layer" and not frames.holds("layers")):
            yield Need(digest, user, via, None, via)


def _named(frames: Frames) -> Iterator[Need]:
    """Give what components, their dependencies, files and layers need, as far as the frames are there."""
    for user, component, digest in _held(frames, "components", "reference", "component", "source_digest"):
        if digest is not None:
            yield Need(digest, user, "component", component, "source")
    columns = ("reference", "component", "trigger", "name", "digest")
    for user, component, trigger, name, digest in _held(frames, "dependencies", *columns):
        if digest is not None:
            of = f"trigger {trigger}, " if component is None else ""
            yield Need(digest, user, "dependency", component, f"{of}dependency {name}")
    columns = ("reference", "component", "path", "digest", "inline")
    for user, component, path, digest, inline in _held(frames, "files", *columns):
        if digest is not None and not inline:
            yield Need(digest, user, "file", component, path)
    for user, position, digest, role in _held(frames, "layers", "reference", "position", "digest", "role"):
        yield Need(digest, user, "layer", None, f"layer {position} ({role})")


def _held(frames: Frames, name: str, *columns: str) -> Iterator[tuple[Any, ...]]:
    return rows(frames.need(name), *columns) if frames.holds(name) else iter(())


def _archive_layers(frames: Frames) -> dict[str, str]:
    positions: dict[str, list[int]] = {}
    for reference, position, role in _held(frames, "layers", "reference", "position", "role"):
        if role == "archive":
            positions.setdefault(reference, []).append(position)
    return {
        reference: f"layer {found[0]} (archive)" if len(found) == 1 else f"one of {len(found)} archives"
        for reference, found in positions.items()
    }


def names_by_digest(needs: Iterable[Need], users: Mapping[str, Collection[str]]) -> dict[str, set[str]]:
    """Name digests as people do: files by path, sources and dependencies as such, else by what it is."""
    names: dict[str, set[str]] = defaultdict(set)
    named: set[tuple[str, str]] = set()
    others: list[tuple[str, str, str]] = []
    for need in needs:
        if need.user not in users.get(need.digest, ()):
            continue
        if need.need in ("file", "dependency", "component"):
            name = f"component {need.component}" if need.need == "component" else need.name
            names[need.digest].add(name)
            named.add((need.user, need.digest))
        else:
            kind = need.name.partition("(")[2].rstrip(")")
            others.append(
                (need.user, need.digest, f"{kind} layer" if kind and need.need == "layer" else need.need)
            )
    for user, digest, name in others:
        if (user, digest) not in named:
            names[digest].add(name)
    return names


# ---------------------------------------------------------------- sets and pairs of users


@SHARING_SETS_SCHEMA.describes
def sharing_sets(cache: Source = None, *, projects: Projects = (), by: Group = "app") -> pd.DataFrame:
    """Group the stored and used blobs by exactly who needs them.

    Parameters
    ----------
    cache
        This user's cache unless given; a cache, its path, or several; or loaded frames: uses, and apps.
    projects
        As for `sharing`.
    by
        Whether an app, a repository or a registry is one user.

    Returns
    -------
    pandas.DataFrame
        One row per set of users and user in it. A blob is in one set only, so the sets' bytes, each
        taken once, sum to the bytes of all used blobs. Largest sets (in bytes) first.

        {columns}
    """
    needed = ("apps", "uses")
    return over(cache, SHARING_SETS_SCHEMA, needed, lambda frames: _sets(frames, by), projects=projects)


def _sets(frames: Frames, by: Group) -> pd.DataFrame:
    apps = apps_among(frames)
    groups = group_names(frames, by)
    apps |= set(groups.values())
    grouped = _bytes_by_users(frames.need("uses"), groups)
    places = {
        user: place for place, user in enumerate(sorted_names({user for one in grouped for user in one}))
    }
    members = {users: sorted(users, key=places.__getitem__) for users in grouped}
    order = sorted(grouped, key=lambda users: (-grouped[users][1], [places[user] for user in members[users]]))
    return build(
        SHARING_SETS_SCHEMA,
        (
            (number, user, "app" if user in apps else "project", len(users), *grouped[users])
            for number, users in enumerate(order)
            for user in members[users]
        ),
    )


def _bytes_by_users(uses: pd.DataFrame, groups: Mapping[str, str]) -> dict[frozenset[str], tuple[int, int]]:
    """Give blob count and bytes of every set of users, or of groups of them, that needs some blob."""
    sizes = bytes_by_blob(uses)
    grouped: dict[frozenset[str], tuple[int, int]] = {}
    for blob, users in users_by_blob(uses).items():
        if groups:
            users = frozenset(groups.get(user, user) for user in users)
        count, stored = grouped.get(users, (0, 0))
        grouped[users] = (count + 1, stored + sizes[blob])
    return grouped


@SHARED_BYTES_SCHEMA.describes
def shared_bytes(
    cache: Source = None, *, top: int | None = None, projects: Projects = (), by: Group = "app"
) -> pd.DataFrame:
    """Say for each pair of apps how many stored bytes both need.

    Parameters
    ----------
    cache
        This user's cache unless given; a cache, its path, or several; loaded frames: uses, and apps; or a
        fleet.
    top
        How many apps: those that share most with all others, ties by name. All of them unless given,
        which takes some 70 bytes of memory for each pair: 3.5 GB for 10,000 apps.
    projects
        As for `sharing`; what projects need is no pair of apps, so it changes nothing here.
    by
        Whether the pairs are of apps, repositories or registries.

    Returns
    -------
    pandas.DataFrame
        One row per pair, each pair once (``reference_a`` sorts first), pairs that share nothing
        included; sorted by both references.

        {columns}

    Raises
    ------
    ValueError
        If `top` is negative.
    """
    if top is not None and top < 0:
        raise ValueError(f"top must not be negative, got {top!r}")
    if is_fleet(cache):
        asked = {} if top is None else {"top": top}
        return cache.shared_bytes(**asked)  # type: ignore[no-any-return]
    compute = lambda frames: _pairs(frames, top, by)  # noqa: E731
    return over(cache, SHARED_BYTES_SCHEMA, ("apps", "uses"), compute, projects=projects)


def _pairs(frames: Frames, top: int | None, by: Group) -> pd.DataFrame:
    groups = group_names(frames, by)
    known = {groups.get(app, app) for app in apps_among(frames)}
    grouped = _bytes_by_users(frames.need("uses"), groups)
    sets = [(users & known, stored) for users, (_, stored) in grouped.items()]
    apps = sorted_names(known if top is None else _sharing_most(known, sets, top))
    number = {name: place for place, name in enumerate(apps)}
    fits = sum(stored for _, stored in sets) <= _MAX_INT
    square = np.zeros((len(apps), len(apps)), np.int64 if fits else object)
    for users, stored in sets:
        places = [number[user] for user in users if user in number]
        if len(places) > 1:
            square[np.ix_(places, places)] += stored
    first, second = np.triu_indices(len(apps), 1)
    columns: dict[str, Iterable[Any]] = {
        "reference_a": Picked(apps[:-1], first),
        "reference_b": Picked(apps[1:], second - 1),
        "shared_bytes": square[first, second],
    }
    return from_columns(SHARED_BYTES_SCHEMA, columns)


def pairs_in_order(table: pd.DataFrame) -> pd.DataFrame:
    """Put the pairs of a table of `shared_bytes` in the order of references, the first of each first."""
    names = sorted_names({name for pair in rows(table, "reference_a", "reference_b") for name in pair})
    ranks = {name: rank for rank, name in enumerate(names)}
    pairs = [
        (*sorted((ranks[a], ranks[b])), size)
        for a, b, size in rows(table, "reference_a", "reference_b", "shared_bytes")
    ]
    lines = ((names[a], names[b], size) for a, b, size in sorted(pairs, key=lambda pair: pair[:2]))
    return build(SHARED_BYTES_SCHEMA, lines)


def _sharing_most(apps: set[str], sets: Iterable[tuple[frozenset[str], int]], top: int) -> list[str]:
    """Choose apps by the bytes that they share with each of the others, added up."""
    shared = dict.fromkeys(apps, 0)
    for users, stored in sets:
        for user in users:
            shared[user] += stored * (len(users) - 1)
    return sorted(apps, key=lambda name: (-shared[name], name))[:top]

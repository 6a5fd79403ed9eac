"""What is shared and why: per digest with all its names, per set of users, per pair of apps."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from spincache_nb.analysis.inputs import (
    Group,
    Needs,
    Source,
    apps_among,
    group_names,
    is_fleet,
    over,
    some_of,
    sorted_names,
    summed,
)
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
from spincache_nb.inventory.columns import distinct
from spincache_nb.show import rows

NEEDED = ("apps", "layers", "uses", "components", "files", "dependencies")

Need: TypeAlias = tuple[str, str, str, str | None, str]
"""Digest, user, need, component and name, as in ``NEEDS_SCHEMA``."""


@SHARING_SCHEMA.describes
def sharing(cache: Source = None, *, projects: Projects = ()) -> pd.DataFrame:
    """Say for each referenced digest who needs it, what it is called and what sharing it saves.

    Parameters
    ----------
    cache
        This user's cache unless given; a cache, its path, or several; loaded frames (``uses`` alone gives
        plain names); or a fleet.
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
    needs, apps, manifests = Needs(frames), apps_among(frames), _manifest_of_app(frames)
    count, width = len(needs.digests), max(len(needs.users), 1)
    of_pair = needs.digest[needs.blob]
    digest, user = np.divmod(distinct(of_pair * width + needs.user), width)
    is_app = np.array([name in apps for name in needs.users], bool)
    codes = pd.factorize(np.array([(manifests or {}).get(name) for name in needs.users], object))[0]
    known = codes[user] >= 0
    of_manifest = distinct(digest[known] * width + codes[user[known]]) // width
    stored = summed(needs.digest, needs.sizes, count)
    needed = summed(of_pair, needs.sizes[needs.blob], count)
    digests, saved = needs.digests.tolist(), needed - stored
    called = names_of_digests(frames)
    names = [called[digest] for digest in digests]
    columns: dict[str, Any] = {
        "digest": digests,
        "areas": _areas(needs),
        "stored_bytes": stored,
        "user_count": np.bincount(digest, minlength=count),
        "app_count": np.bincount(digest[is_app[user]], minlength=count),
        "manifest_count": [None] * count if manifests is None else np.bincount(of_manifest, minlength=count),
        "names": [some_of(name) for name in names],
        "name_count": [len(name) for name in names],
        "needed_bytes": needed,
        "saved_bytes": saved,
    }
    by_digest = np.array(sorted(range(count), key=digests.__getitem__), np.intp)
    order = by_digest[np.argsort(-saved[by_digest], kind="stable")]
    return from_columns(SHARING_SCHEMA, columns).take(order).reset_index(drop=True)


def _areas(needs: Needs) -> Iterator[str]:
    """Name the areas of each digest, in order and joined by ``+``."""
    areas = sorted(needs.areas)
    bits = np.array([1 << areas.index(name) for name in needs.areas], np.int64)
    masks = summed(needs.digest, bits[needs.area], len(needs.digests)).tolist()
    joined = {
        mask: "+".join(name for place, name in enumerate(areas) if mask >> place & 1) for mask in set(masks)
    }
    return map(joined.__getitem__, masks)


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


@NEEDS_SCHEMA.describes
def why(cache: Source, digest: str | Digest, *, projects: Projects = ()) -> pd.DataFrame:
    """List every chain that needs a digest: app > component > path, layer, archive member, project.

    Parameters
    ----------
    cache, projects
        As for `sharing`; no fleet.
    digest
        For example ``sha256:...``.

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
        return _needs_frame(frames, (need for need in each_need(frames) if need[0] == wanted))

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

    def compute(frames: Frames) -> pd.DataFrame:
        stored = set(rows(frames.need("uses"), "digest", "user"))
        return _needs_frame(frames, (need for need in each_need(frames) if need[:2] in stored))

    return over(cache, NEEDS_SCHEMA, NEEDED, compute, projects=projects)


def _needs_frame(frames: Frames, needs: Iterable[Need]) -> pd.DataFrame:
    different, apps = set(needs), apps_among(frames)
    places = {user: place for place, user in enumerate(sorted_names({need[1] for need in different}))}
    lines = []
    for digest, user, need, component, name in different:
        chain = " > ".join(part for part in (user, component, name) if part is not None)
        kind = "app" if user in apps else "project"
        lines.append((digest, user, kind, need, component, name, chain))
    lines.sort(key=lambda line: (line[0], places[line[1]], line[3], line[-1]))
    return build(NEEDS_SCHEMA, lines)


def each_need(frames: Frames) -> Iterator[Need]:
    """Give the reasons for every digest, in no order, some perhaps twice."""
    explained: set[tuple[str, str]] = set()
    for need in _named(frames):
        explained.add(need[:2])
        yield need
    for user, position, digest, role in _held(frames, "layers", "reference", "position", "digest", "role"):
        yield digest, user, "layer", None, f"layer {position} ({role})"
    archives: dict[str, list[int]] = {}
    for reference, position, role in _held(frames, "layers", "reference", "position", "role"):
        if role == "archive":
            archives.setdefault(reference, []).append(position)
    for user, digest, via in rows(frames.need("uses"), "user", "digest", "via"):
        if via == "archive member":
            places = archives.get(user, [])
            of = f"layer {places[0]} (archive)" if len(places) == 1 else f"one of {len(places)} archives"
            yield digest, user, via, None, f"member of {of if places else 'an archive'}"
        elif via == "content ref" and (digest, user) not in explained:
            yield digest, user, via, None, "named by the locked app"
        elif via not in ("layer", "content ref") or (via == "layer" and not frames.holds("layers")):
            yield digest, user, via, None, via


def _named(frames: Frames) -> Iterator[Need]:
    """Give what components, their dependencies and files need, as far as the frames are there."""
    for user, component, digest in _held(frames, "components", "reference", "component", "source_digest"):
        if digest is not None:
            yield digest, user, "component", component, "source"
    columns = ("reference", "component", "trigger", "name", "digest")
    for user, component, trigger, name, digest in _held(frames, "dependencies", *columns):
        if digest is not None:
            of = f"trigger {trigger}, " if component is None else ""
            yield digest, user, "dependency", component, f"{of}dependency {name}"
    columns = ("reference", "component", "path", "digest", "inline")
    for user, component, path, digest, inline in _held(frames, "files", *columns):
        if digest is not None and not inline:
            yield digest, user, "file", component, path


def _held(frames: Frames, name: str, *columns: str) -> Iterator[tuple[Any, ...]]:
    return rows(frames.need(name), *columns) if frames.holds(name) else iter(())


def names_of_digests(frames: Frames) -> dict[str, list[str]]:
    """Name used digests as people do: files by path, sources and dependencies as such, else by what it is."""
    names: dict[str, set[str]] = {digest: set() for digest in frames.need("uses")["digest"].unique()}
    used = set(rows(frames.need("uses"), "digest", "user"))
    named: set[tuple[str, str]] = set()
    for digest, user, need, component, name in each_need(frames):
        if (digest, user) not in used:
            continue
        if need in ("file", "dependency", "component"):
            names[digest].add(f"component {component}" if need == "component" else name)
            named.add((digest, user))
        elif (digest, user) not in named:  # every need that has a name of its own comes before these
            kind = name.partition("(")[2].rstrip(")")
            names[digest].add(f"{kind} layer" if kind and need == "layer" else need)
    return {digest: sorted(found) for digest, found in names.items()}


@SHARING_SETS_SCHEMA.describes
def sharing_sets(cache: Source = None, *, projects: Projects = (), by: Group = "app") -> pd.DataFrame:
    """Group the stored and used blobs by exactly who needs them.

    Parameters
    ----------
    cache, projects
        As for `sharing`; no fleet.
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
    needs = Needs(frames, by)
    apps = apps_among(frames) | needs.groups
    kinds = ["app" if user in apps else "project" for user in needs.users]
    sizes, counts = needs.set_sizes(), np.bincount(needs.set_of_blob, minlength=len(needs.sets))
    order = sorted(range(len(needs.sets)), key=lambda number: (-sizes[number], needs.sets[number].tolist()))
    widths = [len(needs.sets[number]) for number in order]
    users = np.concatenate([np.empty(0, np.intp), *(needs.sets[number] for number in order)])
    columns: dict[str, Any] = {
        "set": np.repeat(np.arange(len(order)), widths),
        "user": Picked(needs.users, users),
        "user_kind": Picked(kinds, users),
        "user_count": np.repeat(np.array(widths, np.int64), widths),
        "blob_count": np.repeat(counts[order], widths),
        "stored_bytes": np.repeat(sizes[order], widths),
    }
    return from_columns(SHARING_SETS_SCHEMA, columns)


@SHARED_BYTES_SCHEMA.describes
def shared_bytes(
    cache: Source = None, *, top: int | None = None, projects: Projects = (), by: Group = "app"
) -> pd.DataFrame:
    """Say for each pair of apps how many stored bytes both need.

    Parameters
    ----------
    cache, projects
        As for `sharing`; what projects need is no pair of apps, so it changes nothing here.
    top
        How many apps: those that share most with all others, ties by name. All of them unless given,
        which takes some 70 bytes of memory for each pair: 3.5 GB for 10,000 apps.
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
    needed = ("apps", "uses")
    return over(cache, SHARED_BYTES_SCHEMA, needed, lambda frames: _pairs(frames, top, by), projects=projects)


def _pairs(frames: Frames, top: int | None, by: Group) -> pd.DataFrame:
    groups, needs = group_names(frames, by), Needs(frames, by)
    known = {groups.get(app, app) for app in apps_among(frames)}
    sizes = needs.set_sizes()
    apps = sorted_names(known if top is None else _sharing_most(known, needs, top))
    number = {name: place for place, name in enumerate(apps)}
    place_of = np.array([number.get(user, -1) for user in needs.users], np.intp)
    square = np.zeros((len(apps), len(apps)), sizes.dtype)
    for members, stored in zip(needs.sets, sizes, strict=True):
        places = place_of[members]
        places = places[places >= 0]
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


def _sharing_most(apps: set[str], needs: Needs, top: int) -> list[str]:
    """Choose apps by the bytes that they share with each of the others, added up."""
    sizes, is_app = needs.set_sizes(), np.array([user in apps for user in needs.users], bool)
    shared = np.zeros(len(needs.users), sizes.dtype)
    for members, stored in zip(needs.sets, sizes, strict=True):
        among = members[is_app[members]]
        shared[among] += stored * (len(among) - 1)
    found = dict.fromkeys(apps, 0) | dict(zip(needs.users, shared.tolist(), strict=True))
    return sorted(apps, key=lambda name: (-found[name], name))[:top]

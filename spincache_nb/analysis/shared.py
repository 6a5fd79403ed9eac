"""What is shared: per digest, per set of users, per pair of apps, and all in all."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from spincache_nb.analysis.disk_use import NEEDED as DISK_NEEDED
from spincache_nb.analysis.disk_use import disk_files
from spincache_nb.analysis.inputs import Source, app_references, bundle, bytes_by_blob, rows, users_by_blob
from spincache_nb.analysis.labels import some_of
from spincache_nb.analysis.needs import NEEDED, Need, each_need
from spincache_nb.analysis.schemas import (
    SHARED_BYTES_SCHEMA,
    SHARING_SCHEMA,
    SHARING_SETS_SCHEMA,
    SUMMARY_SCHEMA,
)
from spincache_nb.frames import Frames
from spincache_nb.frames.schemas import Picked, build, from_columns

_MAX_INT = np.iinfo(np.int64).max


def sharing(source: Source) -> pd.DataFrame:
    """Say for each referenced digest who needs it, what it is called and what sharing it saves.

    Parameters
    ----------
    source
        A cache, or loaded frames: apps, layers, uses, components, files, dependencies.

    Returns
    -------
    pandas.DataFrame
        One row per digest that is stored and used, most bytes saved first, then by digest. A digest
        that is stored in ``wasm`` and in ``data`` is one row; its bytes are those of both files.

        ==============  ========  ========================================================
        column          dtype     meaning
        ==============  ========  ========================================================
        digest          string    the digest
        areas           category  ``wasm``, ``data`` or ``data+wasm``
        stored_bytes    Int64     bytes stored
        user_count      Int64     apps and projects that need it
        app_count       Int64     apps that need it
        manifest_count  Int64     distinct manifests that need it (two tags of one manifest are one);
                                  where a manifest's digest is not known, apps with the same layers
                                  are taken for one
        names           string    up to three names it goes by, then ``+n``; all in `sharing_names`
        name_count      Int64     how many names it goes by
        needed_bytes    Int64     bytes all users would need, each on its own
        saved_bytes     Int64     ``needed_bytes - stored_bytes``, never negative
        ==============  ========  ========================================================
    """
    frames = bundle(source, *NEEDED)
    apps = app_references(frames.need("apps"))
    manifests = _manifest_of_app(frames)
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
        distinct = {manifests[user] for user in everyone if user in manifests}
        lines.append(
            (
                digest,
                "+".join(sorted(by_area)),
                stored,
                len(everyone),
                len(everyone & apps),
                len(distinct),
                some_of(called),
                len(called),
                needed,
                needed - stored,
            )
        )
    lines.sort(key=lambda line: (-line[-1], line[0]))
    return build(SHARING_SCHEMA, lines)


def names_by_digest(needs: Iterable[Need], users: Mapping[str, Collection[str]]) -> dict[str, set[str]]:
    """Name digests as people do: files by path, sources and dependencies as such, all else by what it is."""
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
        elif need.need == "layer":
            others.append((need.user, need.digest, need.name.partition("(")[2].rstrip(")") + " layer"))
        else:
            others.append((need.user, need.digest, need.need))
    for user, digest, name in others:
        if (user, digest) not in named:
            names[digest].add(name)
    return names


def _manifest_of_app(frames: Frames) -> dict[str, str]:
    """Name each app's manifest: by its digest, or else by that of an app with the same layers."""
    layers: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for reference, position, digest in rows(frames.need("layers"), "reference", "position", "digest"):
        layers[reference].append((position, digest))
    known = dict(sorted(rows(frames.need("apps"), "reference", "manifest_digest")))
    alike: dict[str, str] = {}
    for reference, digest in known.items():
        if digest is not None:
            alike.setdefault(repr(sorted(layers[reference])), digest)
    return {
        reference: digest or alike.get(repr(sorted(layers[reference])), repr(sorted(layers[reference])))
        for reference, digest in known.items()
    }


def sharing_sets(source: Source) -> pd.DataFrame:
    """Group the stored and used blobs by exactly who needs them.

    Parameters
    ----------
    source
        A cache, or loaded frames: apps, uses.

    Returns
    -------
    pandas.DataFrame
        One row per set of users and user in it. A blob is in one set only, so the sets' bytes, each
        taken once, sum to the bytes of all used blobs. Largest sets (in bytes) first.

        ============  ========  =================================================
        column        dtype     meaning
        ============  ========  =================================================
        set           Int64     number of the set, from 0
        user          category  reference of an app, or path of a project
        user_kind     category  ``app`` or ``project``
        user_count    Int64     users in the set
        blob_count    Int64     blobs that exactly these users need
        stored_bytes  Int64     their bytes
        ============  ========  =================================================
    """
    frames = bundle(source, "apps", "uses")
    apps = app_references(frames.need("apps"))
    grouped = _bytes_by_users(frames.need("uses"))
    order = sorted(grouped, key=lambda users: (-grouped[users][1], sorted(users)))
    return build(
        SHARING_SETS_SCHEMA,
        (
            (number, user, "app" if user in apps else "project", len(users), *grouped[users])
            for number, users in enumerate(order)
            for user in sorted(users)
        ),
    )


def _bytes_by_users(uses: pd.DataFrame) -> dict[frozenset[str], tuple[int, int]]:
    """Give blob count and bytes of every set of users that needs some blob."""
    sizes = bytes_by_blob(uses)
    grouped: dict[frozenset[str], tuple[int, int]] = {}
    for blob, users in users_by_blob(uses).items():
        count, stored = grouped.get(users, (0, 0))
        grouped[users] = (count + 1, stored + sizes[blob])
    return grouped


def shared_bytes(source: Source, *, top: int | None = None) -> pd.DataFrame:
    """Say for each pair of apps how many stored bytes both need.

    Parameters
    ----------
    source
        A cache, or loaded frames: apps, uses.
    top
        How many apps: those that share most with all others, ties by name. All of them unless given,
        which takes some 70 bytes of memory for each pair: 3.5 GB for 10,000 apps.

    Returns
    -------
    pandas.DataFrame
        One row per pair, each pair once (``reference_a`` sorts first), pairs that share nothing
        included; sorted by both references.

        ============  ========  =================================
        column        dtype     meaning
        ============  ========  =================================
        reference_a   category  an app
        reference_b   category  another app
        shared_bytes  Int64     bytes of the blobs both need
        ============  ========  =================================

    Raises
    ------
    ValueError
        If `top` is negative.
    """
    if top is not None and top < 0:
        raise ValueError(f"top must not be negative, got {top!r}")
    frames = bundle(source, "apps", "uses")
    known = app_references(frames.need("apps"))
    grouped = _bytes_by_users(frames.need("uses"))
    sets = [(users & known, stored) for users, (_, stored) in grouped.items()]
    apps = sorted(known) if top is None else _sharing_most(known, sets, top)
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


def _sharing_most(apps: set[str], sets: Iterable[tuple[frozenset[str], int]], top: int) -> list[str]:
    """Choose apps by the bytes that they share with each of the others, added up."""
    shared = dict.fromkeys(apps, 0)
    for users, stored in sets:
        for user in users:
            shared[user] += stored * (len(users) - 1)
    return sorted(sorted(apps, key=lambda name: (-shared[name], name))[:top])


def summary(source: Source) -> pd.DataFrame:
    """Sum the cache up in one row.

    Parameters
    ----------
    source
        A cache, or loaded frames: disk, blobs, uses, layers, apps, problems.

    Returns
    -------
    pandas.DataFrame
        One row.

        ==================  =======  ====================================================
        column              dtype    meaning
        ==================  =======  ====================================================
        logical_bytes       Int64    bytes all apps and projects would need, each on its own
        stored_bytes        Int64    bytes of the stored blobs that something needs
        dedup_ratio         Float64  ``logical_bytes / stored_bytes``, missing if nothing is stored
        saved_bytes         Int64    ``logical_bytes - stored_bytes``; the sum over `sharing`
        problem_count       Int64    rows of ``frames.problems``
        app_count           Int64    cached tags
        blob_count          Int64    stored blobs that something needs
        unreferenced_bytes  Int64    bytes on disk of the blobs that nothing needs
        disk_bytes          Int64    sizes of all regular files under ``registry``
        ==================  =======  ====================================================
    """
    frames = bundle(source, *DISK_NEEDED, "problems")
    uses = frames.need("uses")
    sizes = bytes_by_blob(uses)
    logical = sum(sizes[digest, area] for digest, area in rows(uses, "digest", "area"))
    stored = sum(sizes.values())
    files = disk_files(frames)
    idle = sum(file.stored_bytes for file in files if file.share.kind == "unreferenced")
    line = (
        logical,
        stored,
        logical / stored if stored else None,
        logical - stored,
        len(frames.need("problems")),
        len(frames.need("apps")),
        len(sizes),
        idle,
        sum(file.stored_bytes for file in files),
    )
    return build(SUMMARY_SCHEMA, [line])

"""What the pandas and Dask engines compute: pure functions on frames of integers.

Every function is right for any set of rows that holds *all* rows of its keys, and the results of such
sets are added up: so Dask shuffles by key once and runs these very functions on each partition. Rows:

- of uses: ``key``, ``app`` (below 0 for a project), ``host``, ``bytes``, ``flags``;
- of parts: ``key``, ``version`` (-1 for none), ``bytes``, ``flags``; of members: the same.

Versions are numbered in order, repository by repository.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from spincache_nb.analysis.replay import Rules
from spincache_nb.fleet import tables
from spincache_nb.fleet.groups import Groups, columns

_NEVER = np.iinfo(np.int32).max
MEMBER = 128
"""Set in the flags of a member where parts and members are rows of one frame."""


def by_host(uses: pd.DataFrame) -> pd.DataFrame:
    """Sum up uses per blob (key and area) and host; the unit of all that follows.

    Returns
    -------
    pandas.DataFrame
        ``key``, ``area``, ``host``; ``users`` and ``apps`` (each counted once per key), ``needed``
        (bytes of all users), ``stored`` (bytes of the blob), ``firsts`` (1 in one area of a key).
    """
    flags = uses["flags"].to_numpy()
    groups = Groups({**columns(uses, "key"), "area": flags & tables.AREA_BITS, **columns(uses, "host")})
    user = (flags & tables.FIRST_OF_USER) != 0
    return pd.DataFrame(
        {
            **groups.keys(),
            "users": groups.sum(user),
            "apps": groups.sum(user & (uses["app"].to_numpy() >= 0)),
            "needed": groups.sum(uses["bytes"].to_numpy()),
            "stored": groups.max(uses["bytes"].to_numpy()),
            "firsts": groups.max((flags & tables.FIRST_OF_DIGEST) != 0).astype(np.int64),
        }
    )


def merge_parts(found: pd.DataFrame) -> pd.DataFrame:
    """Make one row of the rows that the parts of one snapshot have for a blob."""
    groups = Groups(columns(found, "key", "area", "host"))
    return pd.DataFrame(
        {
            **groups.keys(),
            **{name: groups.sum(found[name].to_numpy()) for name in ("users", "apps", "needed")},
            **{name: groups.max(found[name].to_numpy()) for name in ("stored", "firsts")},
        }
    )


def over_hosts(found: pd.DataFrame) -> pd.DataFrame:
    """Sum up the blobs of hosts per blob.

    Parameters
    ----------
    found
        Of `by_host`, one row per key, area and host.

    Returns
    -------
    pandas.DataFrame
        ``key``, ``area``; ``hosts``, ``first_host``, ``stored`` (bytes on all hosts), ``size`` (bytes
        of one copy), and sums of the other columns.
    """
    groups = Groups(columns(found, "key", "area"))
    stored = found["stored"].to_numpy()
    return pd.DataFrame(
        {
            **groups.keys(),
            **{name: groups.sum(found[name].to_numpy()) for name in ("users", "apps", "needed", "firsts")},
            "hosts": groups.counts(),
            "first_host": groups.min(found["host"].to_numpy()),
            "stored": groups.sum(stored),
            "size": groups.max(stored),
        }
    )


def host_sums(found: pd.DataFrame) -> pd.DataFrame:
    """Per host: ``logical`` and ``stored`` bytes and ``blobs``, from `by_host`."""
    groups = Groups(columns(found, "host"))
    return pd.DataFrame(
        {
            **groups.keys(),
            "logical": groups.sum(found["needed"].to_numpy()),
            "stored": groups.sum(found["stored"].to_numpy()),
            "blobs": groups.counts(),
        }
    )


def first_host_sums(blobs: pd.DataFrame) -> pd.DataFrame:
    """Per host: ``new`` bytes, of blobs that no host before it has, and ``only_here``, from `over_hosts`."""
    groups = Groups({"host": blobs["first_host"].to_numpy()})
    size = blobs["size"].to_numpy()
    alone = np.where(blobs["hosts"].to_numpy() == 1, size, 0)
    return pd.DataFrame({**groups.keys(), "new": groups.sum(size), "only_here": groups.sum(alone)})


def host_count_sums(blobs: pd.DataFrame) -> pd.DataFrame:
    """Per number of ``hosts``: ``blobs`` on just so many, their ``size`` once and ``stored`` bytes."""
    groups = Groups(columns(blobs, "hosts"))
    return pd.DataFrame(
        {
            **groups.keys(),
            "blobs": groups.counts(),
            "size": groups.sum(blobs["size"].to_numpy()),
            "stored": groups.sum(blobs["stored"].to_numpy()),
        }
    )


def over_areas(blobs: pd.DataFrame) -> pd.DataFrame:
    """Per key, whatever the area: ``areas`` (bits), ``hosts`` and sums, from `over_hosts`."""
    groups = Groups(columns(blobs, "key"))
    sums = ("users", "apps", "needed", "stored", "size")
    return pd.DataFrame(
        {
            **groups.keys(),
            **{name: groups.sum(blobs[name].to_numpy()) for name in sums},
            "areas": groups.sum(blobs["area"].to_numpy()),
            "hosts": groups.sum(blobs["firsts"].to_numpy()),
        }
    )


def manifests_by_key(uses: pd.DataFrame, manifests: npt.NDArray[np.int32]) -> pd.DataFrame:
    """Count the manifests that need each key, as far as these rows tell.

    Parameters
    ----------
    uses
        Rows.
    manifests
        For each row the number of its app's manifest if that is in several snapshots, else -1: then
        a flag counts it.

    Returns
    -------
    pandas.DataFrame
        ``key``, ``manifest``, ``manifests``; to be merged by `merge_manifests`.
    """
    flagged = (uses["flags"].to_numpy() & tables.FIRST_OF_MANIFEST) != 0
    app = uses["app"].to_numpy() >= 0
    kept = app & ((manifests >= 0) | flagged)
    groups = Groups({"key": uses["key"].to_numpy()[kept], "manifest": manifests[kept]})
    return _counted(groups, np.ones(int(kept.sum()), dtype=np.int64))


def merge_manifests(found: pd.DataFrame) -> pd.DataFrame:
    """Add up counts of manifests; those that have a number count once."""
    groups = Groups(columns(found, "key", "manifest"))
    return _counted(groups, found["manifests"].to_numpy())


def _counted(groups: Groups, counts: npt.NDArray[np.int64]) -> pd.DataFrame:
    keys = groups.keys()
    numbered = keys["manifest"] >= 0
    return pd.DataFrame({**keys, "manifests": np.where(numbered, 1, groups.sum(counts))})


def pair_sums(items: pd.DataFrame) -> pd.DataFrame:
    """Sum up what pairs of items have in common.

    Parameters
    ----------
    items
        ``item``, ``key``, ``area``, ``bytes``; several rows of one item and blob count once.

    Returns
    -------
    pandas.DataFrame
        ``a``, ``b`` (a < b) and ``shared`` bytes, of pairs that share something.
    """
    single = Groups(columns(items, "key", "area", "item"))
    keys = single.keys()
    size = single.max(items["bytes"].to_numpy())
    blobs = Groups({"key": keys["key"], "area": keys["area"]})
    blob = blobs.spread(np.arange(len(blobs)))
    lines = [np.empty((3, 0), dtype=np.int64)]
    for step in range(1, int(blobs.counts().max(initial=1))):
        together = np.flatnonzero(blob[step:] == blob[:-step])
        common = np.minimum(size[together], size[together + step])
        item = keys["item"].astype(np.int64)
        lines.append(np.stack([item[together], item[together + step], common]))
        if step % 64 == 0:
            lines = [_pair_totals(np.concatenate(lines, axis=1))]
    a, b, shared = _pair_totals(np.concatenate(lines, axis=1))
    return pd.DataFrame({"a": a, "b": b, "shared": shared})


def _pair_totals(lines: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    groups = Groups({"a": lines[0], "b": lines[1]})
    keys = groups.keys()
    return np.stack([keys["a"], keys["b"], groups.sum(lines[2])])


def merge_sums(found: pd.DataFrame, *by: str) -> pd.DataFrame:
    """Add up the results of sets of rows that have no key in common."""
    groups = Groups(columns(found, *by))
    others = [name for name in found.columns if name not in by]
    return pd.DataFrame({**groups.keys(), **{name: groups.sum(found[name].to_numpy()) for name in others}})


def fetch_sums(
    parts: pd.DataFrame,
    repositories: npt.NDArray[np.int32],
    unchanged: npt.NDArray[np.bool_],
    rules: Rules,
) -> pd.DataFrame:
    """Say what each version fetches when those before it were pulled before; see `analysis.replay`.

    Parameters
    ----------
    parts
        Rows of parts and of members, the latter with `MEMBER` in their flags.
    repositories
        Number of each version's repository.
    unchanged
        Whether the last version of the same reference before it had the same ``config.json``.
    rules
        ``spin`` or ``spincache``.

    Returns
    -------
    pandas.DataFrame
        ``version``; ``fetch`` and ``archive_fetch`` (bytes), ``known`` (bytes of its members that were
        there) and ``members`` (how many it has).
    """
    parts = parts[parts["version"].to_numpy() >= 0]
    version = parts["version"].to_numpy()
    flags = parts["flags"].to_numpy()
    size = parts["bytes"].to_numpy()
    member = (flags & MEMBER) != 0
    storing = member | ((flags & tables.STORING) != 0)
    groups = Groups({"key": parts["key"].to_numpy(), "repository": repositories[version]})
    earliest = groups.spread(groups.min(np.where(storing, version, _NEVER)))
    there = earliest < version
    if rules == "spin":
        reused = there & ((flags & tables.CONFIG) == 0)
    else:
        document = (flags & (tables.CONFIG | tables.DOCUMENT)) != 0
        reused = np.where(document, unchanged[version], there & storing)
    fetched = ~member & ~reused
    archive = fetched & ((flags & tables.ARCHIVE) != 0)
    sums = Groups({"version": version})
    values: dict[str, Any] = {
        "fetch": np.where(fetched, size, 0),
        "archive_fetch": np.where(archive, size, 0),
        "known": np.where(member & there, size, 0),
        "members": member,
    }
    return pd.DataFrame({**sums.keys(), **{name: sums.sum(found) for name, found in values.items()}})

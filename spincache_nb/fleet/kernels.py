"""What the pandas and Dask engines compute: pure functions on frames of integers.

Every function is right for any set of rows that holds *all* rows of its keys, and the results of such
sets are added up: so Dask shuffles by key once and runs these very functions on each partition. Rows of
uses have ``key``, ``app`` (below 0 for a project), ``host``, ``bytes`` and ``flags``.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from spincache_nb.fleet import tables
from spincache_nb.fleet.groups import Groups, columns, frame_of, sums_at

_HALF, _LOW = 32, (1 << 32) - 1


def by_host(uses: pd.DataFrame) -> pd.DataFrame:
    """Sum up uses per blob (key and area) and host; the unit of all that follows."""
    flags = uses["flags"].to_numpy()
    groups = Groups({**columns(uses, "key"), "area": flags & tables.AREA_BITS, **columns(uses, "host")})
    user = (flags & tables.FIRST_OF_USER) != 0
    size = uses["bytes"].to_numpy()
    return frame_of(
        {
            **groups.keys(),
            "users": groups.sum(user).astype(np.int32),
            "apps": groups.sum(user & (uses["app"].to_numpy() >= 0)).astype(np.int32),
            "needed": groups.sum(size),
            "stored": groups.max(size),
            "firsts": groups.max((flags & tables.FIRST_OF_DIGEST) != 0).astype(np.int32),
        }
    )


def merge_parts(found: pd.DataFrame) -> pd.DataFrame:
    """Make one row of the rows that the parts of one snapshot have for a blob."""
    groups = Groups(columns(found, "key", "area", "host"))
    return frame_of(
        {
            **groups.keys(),
            **{name: groups.sum(found[name].to_numpy()) for name in ("users", "apps", "needed")},
            **{name: groups.max(found[name].to_numpy()) for name in ("stored", "firsts")},
        }
    )


def over_hosts(found: pd.DataFrame) -> pd.DataFrame:
    """Sum up the blobs of some hosts per blob."""
    groups = Groups(columns(found, "key", "area"))
    stored = found["stored"].to_numpy()
    return frame_of(
        {
            **groups.keys(),
            **{
                name: groups.sum(found[name].to_numpy()).astype(np.int32)
                for name in ("users", "apps", "firsts")
            },
            "needed": groups.sum(found["needed"].to_numpy()),
            "hosts": groups.counts().astype(np.int32),
            "first_host": groups.min(found["host"].to_numpy()),
            "stored": groups.sum(stored),
            "size": groups.max(stored),
        }
    )


def merge_blobs(blobs: pd.DataFrame) -> pd.DataFrame:
    """Add up the blobs of sets of hosts, of `over_hosts`, that have no host in common."""
    groups = Groups(columns(blobs, "key", "area"))
    sums = ("users", "apps", "needed", "firsts", "hosts", "stored")
    return frame_of(
        {
            **groups.keys(),
            **{name: groups.sum(blobs[name].to_numpy()) for name in sums},
            "first_host": groups.min(blobs["first_host"].to_numpy()),
            "size": groups.max(blobs["size"].to_numpy()),
        }
    )


def host_sums(found: pd.DataFrame) -> pd.DataFrame:
    """Per host: ``logical`` and ``stored`` bytes and ``blobs``, from `by_host`."""
    groups = Groups(columns(found, "host"))
    return frame_of(
        {
            **groups.keys(),
            "logical": groups.sum(found["needed"].to_numpy()),
            "stored": groups.sum(found["stored"].to_numpy()),
            "blobs": groups.counts(),
        }
    )


def sums_of_host(uses: pd.DataFrame) -> pd.DataFrame:
    """The same from the uses of one host in one part, whose flags count each blob once."""
    first = (uses["flags"].to_numpy() & tables.FIRST_OF_AREA) != 0
    size = uses["bytes"].to_numpy()
    return frame_of(
        {
            "host": uses["host"].to_numpy()[:1],
            **{
                name: np.array([value], dtype=np.int64)[: len(uses)]
                for name, value in (
                    ("logical", size.sum()),
                    ("stored", size[first].sum()),
                    ("blobs", first.sum()),
                )
            },
        }
    )


def first_host_sums(blobs: pd.DataFrame) -> pd.DataFrame:
    """Per host: ``new`` bytes, of blobs that no host before it has, and ``only_here``, from `over_hosts`."""
    groups = Groups({"host": blobs["first_host"].to_numpy()})
    size = blobs["size"].to_numpy()
    alone = np.where(blobs["hosts"].to_numpy() == 1, size, 0)
    return frame_of({**groups.keys(), "new": groups.sum(size), "only_here": groups.sum(alone)})


def host_count_sums(blobs: pd.DataFrame) -> pd.DataFrame:
    """Per number of ``hosts``: ``blobs`` on just so many, their ``size`` once and ``stored`` bytes."""
    groups = Groups(columns(blobs, "hosts"))
    return frame_of(
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
    return frame_of(
        {
            **groups.keys(),
            **{name: groups.sum(blobs[name].to_numpy()) for name in sums},
            "areas": groups.sum(blobs["area"].to_numpy()),
            "hosts": groups.sum(blobs["firsts"].to_numpy()),
        }
    )


def manifest_rows(uses: pd.DataFrame, manifests: npt.NDArray[np.int32]) -> pd.DataFrame:
    """Give the rows that tell how many manifests need a key."""
    flagged = (uses["flags"].to_numpy() & tables.FIRST_OF_MANIFEST) != 0
    kept = (uses["app"].to_numpy() >= 0) & ((manifests >= 0) | flagged)
    ones = np.ones(int(kept.sum()), dtype=np.int32)
    return frame_of({"key": uses["key"].to_numpy()[kept], "manifest": manifests[kept], "count": ones})


def merge_manifests(found: pd.DataFrame) -> pd.DataFrame:
    """Leave one row per key and manifest, and one per key for all that have no number."""
    keys, pairs, plain = _manifests(found)
    rest = np.flatnonzero(plain)
    code = pairs >> _HALF
    return frame_of(
        {
            "key": np.concatenate([keys[code], keys[rest]]),
            "manifest": np.concatenate(
                [(pairs & _LOW).astype(np.int32), np.full(len(rest), -1, dtype=np.int32)]
            ),
            "count": np.concatenate([np.ones(len(code), dtype=np.int32), plain[rest].astype(np.int32)]),
        }
    )


def count_manifests(found: pd.DataFrame) -> pd.DataFrame:
    """Per ``key``, sorted, how many ``manifests`` need it."""
    keys, pairs, plain = _manifests(found)
    counts = plain + np.bincount(pairs >> _HALF, minlength=len(keys))
    order = np.argsort(keys)
    return frame_of({"key": keys[order], "manifests": counts[order]})


def _manifests(
    found: pd.DataFrame,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Keys; pairs of place of the key and number of a manifest, each once; and counts by place without."""
    manifest = found["manifest"].to_numpy()
    code, keys = pd.factorize(found["key"].to_numpy())
    numbered = manifest >= 0
    pairs = (code[numbered].astype(np.int64) << _HALF) | manifest[numbered]
    plain = sums_at(code[~numbered], found["count"].to_numpy()[~numbered], len(keys))
    return np.asarray(keys), pd.unique(pairs), plain


def pair_sums(items: pd.DataFrame) -> pd.DataFrame:
    """Sum up what pairs of items have in common."""
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
    return frame_of({"a": a, "b": b, "shared": shared})


def _pair_totals(lines: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    groups = Groups({"a": lines[0], "b": lines[1]})
    keys = groups.keys()
    return np.stack([keys["a"], keys["b"], groups.sum(lines[2])])


def merge_sums(found: pd.DataFrame, *by: str) -> pd.DataFrame:
    """Add up the results of sets of rows that have no key in common."""
    groups = Groups(columns(found, *by))
    others = [name for name in found.columns if name not in by]
    return frame_of({**groups.keys(), **{name: groups.sum(found[name].to_numpy()) for name in others}})

"""Sums of an engine as the columns of a frame."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from spincache_nb.fleet import keys
from spincache_nb.fleet.schemas import typed
from spincache_nb.frames.schemas import Schema

Columns = dict[str, Any]


def digest_texts(contents: Iterable[Any]) -> npt.NDArray[Any]:
    """Digests as text."""
    listed = [keys.text(bytes(content)) for content in contents]
    texts = np.empty(len(listed), dtype=object)
    texts[:] = listed
    return texts


def overlap_columns(host_count: int, hosts: pd.DataFrame, firsts: pd.DataFrame) -> Columns:
    """Columns of `Fleet.host_overlap` after the first."""
    blobs, stored = (_by_number(host_count, hosts, name) for name in ("blobs", "stored"))
    new, only_here = (_by_number(host_count, firsts, name) for name in ("new", "only_here"))
    return {
        "blob_count": blobs,
        "stored_bytes": stored,
        "only_here_bytes": only_here,
        "elsewhere_bytes": stored - only_here,
        "new_bytes": new,
        "shared_cache_saved_bytes": stored - new,
        "cumulative_stored_bytes": np.cumsum(stored),
        "cumulative_distinct_bytes": np.cumsum(new),
    }


def _by_number(count: int, sums: pd.DataFrame, name: str) -> npt.NDArray[np.int64]:
    found = np.zeros(count, dtype=np.int64)
    found[sums["host"].to_numpy()] = sums[name].to_numpy()
    return found


def prewarm_columns(counts: pd.DataFrame) -> Columns:
    """Columns of `Fleet.prewarm`."""
    found = counts.sort_values("hosts", ascending=False)
    size, stored = (found[name].to_numpy(dtype=np.int64) for name in ("size", "stored"))
    saved = np.cumsum(stored)
    total = int(stored.sum())
    return {
        "host_count": found["hosts"].to_numpy(),
        "blob_count": found["blobs"].to_numpy(),
        "distinct_bytes": size,
        "stored_bytes": stored,
        "image_bytes": np.cumsum(size),
        "saved_bytes": saved,
        "saved_share": saved / total if total else [None] * len(saved),
    }


def savings_columns(versions: pd.DataFrame, found: pd.DataFrame) -> Columns:
    """Columns of `Fleet.version_savings`."""
    sums = found.set_index("version").reindex(versions["version"]).fillna(0).astype(np.int64)
    total = versions["version_bytes"].to_numpy(dtype=np.int64)
    fetch = sums["fetch"].to_numpy()
    archive = sums["archive_fetch"].to_numpy()
    known = np.where(archive > 0, sums["known"].to_numpy(), 0)
    unknown = (archive > 0) & (sums["members"].to_numpy() == 0)
    repository = versions["repository"].to_numpy(dtype=object)
    running = pd.DataFrame({"total": total, "fetch": fetch}).groupby(repository, sort=False).cumsum()
    with np.errstate(invalid="ignore", divide="ignore"):
        share = pd.array(np.where(total > 0, (total - fetch) / total, 0.0), dtype="Float64")
    share[total == 0] = pd.NA
    known_bytes = pd.array(known, dtype="Int64")
    known_bytes[unknown] = pd.NA
    return {
        "repository": repository,
        "position": versions["position"].to_numpy(),
        "reference": versions["reference"].to_numpy(dtype=object),
        "tag": versions["tag"].to_numpy(dtype=object),
        "created_at": versions["created_ns"],
        "total_bytes": total,
        "reused_bytes": total - fetch,
        "fetch_bytes": fetch,
        "saved_share": share,
        "cumulative_total_bytes": running["total"].to_numpy(),
        "cumulative_fetch_bytes": running["fetch"].to_numpy(),
        "cumulative_saved_bytes": (running["total"] - running["fetch"]).to_numpy(),
        "archive_fetch_bytes": archive,
        "archive_known_bytes": known_bytes,
        "host_count": versions["host_count"].to_numpy(),
    }


def pair_frame(
    schema: Schema, names: list[str], numbers: list[int], pairs: pd.DataFrame | None
) -> pd.DataFrame:
    """Name pairs, and add those that share nothing."""
    square = np.zeros((len(names), len(names)), dtype=np.int64)
    if pairs is not None and len(pairs):
        place = {number: at for at, number in enumerate(numbers)}
        a, b = (pairs[side].map(place).to_numpy() for side in ("a", "b"))
        square[a, b] = pairs["shared"].to_numpy()
    above, beside = np.triu_indices(len(names), k=1)
    called = np.array(names, dtype=object)
    return typed(
        schema, dict(zip(schema, (called[above], called[beside], square[above, beside]), strict=True))
    )

"""Versions of a fleet in their order, and what pulling them one after the other would fetch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from spincache_nb.analysis.versions import in_order
from spincache_nb.core.reference import Reference
from spincache_nb.errors import InvalidReferenceError, NotInCacheError
from spincache_nb.fleet import schemas
from spincache_nb.fleet.place import load
from spincache_nb.fleet.schemas import frame_of

TURNS = {"version": "int32", "chain": "int32", "host": "string", "reference": "string"}


def full_name(repository: str, known: set[str]) -> str:
    """Find the one repository that a name, or the end of one, means."""
    try:
        reference = Reference.parse(repository)
        wanted = {repository, f"{reference.registry}/{reference.repository}"}
    except InvalidReferenceError:
        wanted = {repository}
    found = sorted(known & wanted) or sorted(name for name in known if name.partition("/")[2] == repository)
    if len(found) != 1:
        what = f"{found}" if found else "none of that name"
        raise NotInCacheError(repository, "one repository in the fleet", what, "see Fleet.versions()")
    return found[0]


def in_turn(versions: pd.DataFrame) -> pd.DataFrame:
    """Put versions in order, repository by repository, and number them."""
    order: list[int] = []
    for _, group in sorted(versions.groupby("repository"), key=lambda item: str(item[0])):
        listed = [
            (f"{reference}\0{own}\0{place}", tag, None if pd.isna(at) else at)
            for place, reference, own, tag, at in zip(
                group.index,
                group["reference"],
                group["own"],
                _texts(group["tag"]),
                group["created_at"],
                strict=True,
            )
        ]
        order += [int(name.rpartition("\0")[2]) for name in in_order(listed)]
    found = versions.loc[order].reset_index(drop=True)
    chain = pd.factorize(found["repository"])[0]
    return found.assign(
        version=np.arange(len(found)), chain=chain, position=found.groupby(chain, sort=False).cumcount()
    )


def _texts(column: pd.Series[Any]) -> list[str | None]:
    return [None if pd.isna(value) else str(value) for value in column]


def savings(versions: pd.DataFrame, sums: pd.DataFrame) -> pd.DataFrame:
    """The frame of `Fleet.version_savings`, from versions in order and the sums of each."""
    total, fetch, archive, known = (
        sums[name].to_numpy(dtype=np.int64) for name in ("total", "fetch_sum", "archive_fetch", "known_sum")
    )
    unknown = (archive > 0) & (sums["members"].to_numpy() == 0)
    chains = versions["chain"].to_numpy()
    running = pd.DataFrame({"total": total, "fetch": fetch}).groupby(chains, sort=False).cumsum()
    share = np.divide(total - fetch, total, out=np.zeros(len(total)), where=total > 0)
    pa = load("pyarrow")
    columns = {
        **{name: pa.array(versions[name]) for name in ("position", "host_count")},
        **{name: pa.array(versions[name], pa.string()) for name in ("repository", "reference", "tag")},
        "created_at": pa.array(versions["created_at"], pa.timestamp("us", "UTC")),
        "total_bytes": total,
        "reused_bytes": total - fetch,
        "fetch_bytes": fetch,
        "saved_share": pa.array(share, mask=total == 0),
        "cumulative_total_bytes": running["total"].to_numpy(),
        "cumulative_fetch_bytes": running["fetch"].to_numpy(),
        "cumulative_saved_bytes": (running["total"] - running["fetch"]).to_numpy(),
        "archive_fetch_bytes": archive,
        "archive_known_bytes": pa.array(np.where(archive > 0, known, 0), mask=unknown),
    }
    return frame_of(pa.table(columns), schemas.FLEET_VERSION_SAVINGS_SCHEMA)


def warmest(wanted: pd.DataFrame, top: int) -> Any:
    """Choose apps one by one, each for what its blobs save that those chosen before do not bring already."""
    blob = pd.factorize(wanted["digest"] + " " + wanted["area"])[0]
    left = wanted.assign(blob=blob)[["reference", "hosts", "blob", "size", "total"]]
    chosen: list[tuple[str, int, int, int]] = []
    image = saved = 0
    while len(left) and len(chosen) < top:
        gains = left.groupby(["reference", "hosts"])[["size", "total"]].sum().reset_index()
        best = gains.sort_values(["total", "reference"], ascending=[False, True]).iloc[0]
        if best["total"] == 0:
            break
        image, saved = image + int(best["size"]), saved + int(best["total"])
        chosen.append((best["reference"], int(best["hosts"]), image, saved))
        left = left[~left["blob"].isin(left.loc[left["reference"] == best["reference"], "blob"])]
    pa = load("pyarrow")
    names = ("reference", "host_count", "image_bytes", "saved_bytes")
    kinds = (pa.string(), pa.int64(), pa.int64(), pa.int64())
    return pa.table(
        {name: pa.array([line[at] for line in chosen], kinds[at]) for at, name in enumerate(names)}
    )

"""What a fleet's analyses return: columns, frames, and what is easier said in pandas than in SQL."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from spincache_nb.analysis import schemas as of_one
from spincache_nb.analysis.versions import in_order
from spincache_nb.core.reference import Reference
from spincache_nb.errors import InvalidReferenceError, NotInCacheError
from spincache_nb.fleet.place import load
from spincache_nb.frames.schemas import COUNT, FEW, RATIO, TEXT, TIME, Schema, TableSchema

AGE = "timedelta64[ns]"
_LAST_MICROSECOND = (2**63 - 1) // 1000
"""What nanoseconds in 64 bits reach; later moments are missing, as in all frames."""
_NO_TIME = 2**62
TURNS = {"version": "int32", "chain": "int32", "host": "string", "reference": "string"}
_REPOSITORY = (FEW, "``registry/repository``")
_TOTAL_SHARE = (RATIO, "part of the host's total, missing if that is 0")


def _columns(schema: TableSchema) -> dict[str, tuple[str, str]]:
    return {name: (dtype, schema.meanings[name]) for name, dtype in schema.items()}


FLEET_SUMMARY_SCHEMA = TableSchema(
    **_columns(of_one.SUMMARY_SCHEMA),
    host_count=(COUNT, "snapshots"),
    distinct_blob_count=(COUNT, "blobs (digest and area), each once for all hosts"),
    distinct_bytes=(COUNT, "bytes that one cache for all hosts would hold"),
    shared_cache_saved_bytes=(COUNT, "bytes stored on all hosts beyond these"),
)
FLEET_SHARING_SCHEMA = TableSchema(
    **_columns(of_one.SHARING_SCHEMA),
    host_count=(COUNT, "hosts that need it"),
    distinct_bytes=(COUNT, "bytes of one copy in each area that it is in"),
    shared_cache_saved_bytes=(COUNT, "``stored_bytes - distinct_bytes``"),
)
FLEET_SHARED_BYTES_SCHEMA = of_one.SHARED_BYTES_SCHEMA
FLEET_VERSION_SAVINGS_SCHEMA = TableSchema(
    repository=_REPOSITORY,
    **_columns(of_one.VERSION_SAVINGS_SCHEMA),
    host_count=(COUNT, "snapshots that have the version"),
)
FLEET_BREAKDOWN_SCHEMA = TableSchema(
    host=(FEW, "whose disk"),
    kind=(FEW, "as in `analysis.breakdown`"),
    file_count=(COUNT, "files"),
    stored_bytes=(COUNT, "bytes on disk"),
    share=_TOTAL_SHARE,
)
UNREFERENCED_SCHEMA = TableSchema(
    host=(FEW, "where it is stored"),
    digest=(TEXT, "the digest"),
    area=(FEW, "``wasm`` or ``data``"),
    stored_bytes=(COUNT, "size"),
    modified_at=(TIME, "when it was last written, to the second"),
    used_by_hosts=(COUNT, "hosts where something needs this digest"),
)
HOST_OVERLAP_SCHEMA = TableSchema(
    host=(FEW, "the host"),
    blob_count=(COUNT, "its blobs (digest and area)"),
    stored_bytes=(COUNT, "their bytes"),
    only_here_bytes=(COUNT, "bytes of those that no other host has"),
    elsewhere_bytes=(COUNT, "bytes of the others"),
    new_bytes=(COUNT, "bytes of those that no host before it, by name, has"),
    shared_cache_saved_bytes=(
        COUNT,
        "``stored_bytes - new_bytes``: what this host need not store where it shares a cache with "
        "those before it",
    ),
    cumulative_stored_bytes=(COUNT, "stored by the hosts so far, each on its own"),
    cumulative_distinct_bytes=(COUNT, "stored by the hosts so far in one cache"),
)
HOST_PAIRS_SCHEMA = TableSchema(
    host_a=(FEW, "a host"),
    host_b=(FEW, "another host"),
    shared_bytes=(COUNT, "bytes of the blobs both have"),
)
PREWARM_SCHEMA = TableSchema(
    host_count=(COUNT, "so many hosts"),
    blob_count=(COUNT, "blobs on just so many hosts"),
    distinct_bytes=(COUNT, "their bytes, each once"),
    stored_bytes=(COUNT, "their bytes on all hosts"),
    image_bytes=(COUNT, "an image with all blobs on at least so many hosts"),
    saved_bytes=(COUNT, "what all hosts then need not fetch"),
    saved_share=(RATIO, "part of what all hosts store, missing if that is 0"),
)
PREWARM_IMAGES_SCHEMA = TableSchema(
    reference=(TEXT, "the app"),
    host_count=(COUNT, "hosts that have it"),
    image_bytes=(COUNT, "blobs of this app and of those before, each once"),
    saved_bytes=(COUNT, "what all hosts need not fetch if they begin with these blobs"),
)
VERSIONS_SCHEMA = TableSchema(
    reference=(TEXT, "the version"),
    repository=_REPOSITORY,
    tag=(TEXT, "its tag, missing if filed under a digest"),
    host_count=(COUNT, "hosts that have it"),
    manifest_count=(COUNT, "different manifests that they have by that name"),
    declared_bytes=(COUNT, "config and layers, of the largest of these"),
    stored_bytes=(COUNT, "its blobs on all hosts"),
    first_pulled_at=(TIME, "when it was pulled first"),
    last_pulled_at=(TIME, "and last"),
)
PROBLEMS_SCHEMA = TableSchema(
    host=(FEW, "the host, or a registry"),
    kind=(FEW, "as in ``frames.problems``, or what could not be read of a registry"),
    reference=(TEXT, "the app, if it is one's"),
    path=(TEXT, "path in the cache"),
)
SNAPSHOTS_SCHEMA = TableSchema(
    host=(FEW, "the host"),
    kind=(FEW, "``cache`` or ``registry``"),
    day=(TIME, "its day"),
    taken_at=(TIME, "when it was taken"),
    snapshot_age=(AGE, "how long ago"),
    row_count=(COUNT, "rows of its table"),
    size_bytes=(COUNT, "size of its file"),
)


def frame_of(table: Any, schema: Schema) -> pd.DataFrame:
    """Make a frame of a schema from the columns of an Arrow table that have its names."""
    return pd.DataFrame({name: _typed(table.column(name), dtype) for name, dtype in schema.items()})


def _typed(column: Any, dtype: str) -> Any:
    text = pd.StringDtype("python")
    if dtype in (TEXT, FEW):
        values = np.array(column.to_pylist(), dtype=object)
        if dtype == TEXT:
            return pd.Series(pd.array(values, dtype=text))
        codes, found = pd.factorize(values, sort=True)
        return pd.Series(pd.Categorical.from_codes(codes, categories=pd.Index(found, dtype=text)))
    if dtype in (TIME, AGE):
        micros = np.asarray(column.cast("int64").fill_null(_NO_TIME))
        there = np.abs(micros) <= _LAST_MICROSECOND
        moments = np.where(there, micros * 1000, np.iinfo(np.int64).min)
        if dtype == AGE:
            return pd.Series(pd.TimedeltaIndex(moments.view("timedelta64[ns]")))
        return pd.Series(pd.DatetimeIndex(moments.view("datetime64[ns]")).tz_localize("UTC"))
    missing = np.asarray(column.is_null())
    numbers = np.asarray(column.fill_null(0))
    if dtype == RATIO:
        return pd.Series(pd.arrays.FloatingArray(numbers.astype(np.float64), missing))
    return pd.Series(pd.arrays.IntegerArray(numbers.astype(np.int64), missing))


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
    return frame_of(pa.table(columns), FLEET_VERSION_SAVINGS_SCHEMA)


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

"""Snapshots: what the frames of one cache say as one Parquet file, for somebody who looks at many caches."""

from __future__ import annotations

import hashlib
import hmac
import os
import platform
from collections import Counter, defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from spincache_nb.analysis.disk import KINDS, disk_files
from spincache_nb.analysis.shared import names_of_digests
from spincache_nb.analysis.versions import members_of
from spincache_nb.core.cache import Cache
from spincache_nb.fleet.dataset import Snapshot
from spincache_nb.fleet.place import Place, file_name, folder_name, load, newest_first, superseded
from spincache_nb.fleet.table import (
    CLOCKS_DIFFER,
    GRACE,
    MOST_BYTES,
    TOO_LARGE,
    fingerprint,
    is_good,
    layers_digest,
    made_with,
    rows_of,
    to_parquet,
    whole,
    with_moment,
)
from spincache_nb.frames import Frames, Projects
from spincache_nb.frames import load as load_frames
from spincache_nb.show import rows

_HASH_DIGITS = 16
_BELOW_REGISTRY = ("wasm/", "data/", "manifests/")


def snapshot(
    cache: Cache,
    target: str | os.PathLike[str],
    *,
    host: str | None = None,
    salt: str | bytes | None = None,
    projects: Projects = (),
    at: datetime | None = None,
    textfile: str | os.PathLike[str] | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> Snapshot:
    """Write what a cache holds as a Parquet file, one snapshot per host and day.

    Parameters
    ----------
    cache
        The cache; it is only read.
    target
        Folder of the dataset, local or at any address that fsspec understands (``s3://...``).
    host
        What to call this host. Without a name or a salt, a hash of this machine's name and of the
        cache's path stands for it, which whoever knows both can guess.
    salt
        A secret of yours. With it a keyed hash (HMAC-SHA-256) stands for the host's name.
    projects
        ``spin.toml`` files, or folders that hold one, of projects that use the cache too. They are
        numbered; their paths are not written.
    at
        When; now unless given.
    textfile
        Also write the sums into this file, in the text format of Prometheus: bytes stored, needed, saved and
        unreferenced, apps, problems, and when.
    storage_options
        Handed to fsspec, credentials for example.

    Returns
    -------
    Snapshot
        What was written. A second snapshot of the same day takes the place of the first, whose file
        stays for ten minutes for those who read it; if it says the same, nothing is written.

    Raises
    ------
    MissingExtraError, SpinCacheError
        If ``spincache-nb[fleet]`` or fsspec's package for the address is missing; if the target cannot
        be written.
    SpinManifestError
        If there is no project at one of the paths given.

    Notes
    -----
    No variables, environment, config or content of files is read for it, and no path of this machine
    is written. The columns are described in `spincache_nb.fleet.table`.
    """
    place = Place(target, storage_options)
    moment = (at or datetime.now(UTC)).astimezone(UTC)
    name = host_name(cache.path, host, salt)
    frames = load_frames(cache, projects=projects)
    table = whole(records_of(frames), source="cache", host=name, day=moment.date(), moment=moment)
    return publish(place, table, textfile)


def host_name(path: Path, host: str | None, salt: str | bytes | None) -> str:
    """What a host is called in a dataset: its name, or a hash of it."""
    if host is not None and not host.strip():
        raise ValueError("a host's name must not be empty; leave it out for a hash")
    if host is not None and salt is None:
        return host
    told = host if host is not None else f"{platform.node()}\n{path.absolute()}"
    secret = salt.encode() if isinstance(salt, str) else salt or b""
    return "h-" + hmac.new(secret, told.encode(), hashlib.sha256).hexdigest()[:_HASH_DIGITS]


def publish(place: Place, table: Any, textfile: str | os.PathLike[str] | None = None) -> Snapshot:
    """Write a snapshot's table unless the same or a newer one is there, and clean up after those before."""
    if textfile is not None:
        path = Path(textfile).absolute()
        Place(path.parent).write(metrics(table).encode(), path.name)
    first = table.slice(0, 1).to_pylist()[0]
    host, day, moment = first["host"], first["day"], first["taken_at"]
    now = max(moment, datetime.now(UTC))
    content, folder = fingerprint(table), folder_name(host, day)
    entries = place.files(folder)
    there = [file for file in newest_first(entries) if file.moment <= now + CLOCKS_DIFFER]
    last = there[0] if there else None
    told = (str(place), host, day, table.num_rows)
    stands = last and (last.content == content or last.moment > moment)
    if last and stands and is_good(place, last.name, entries[last.name], file=last):
        return Snapshot(*told, entries[last.name].size or 0, False)
    if last and last.moment == moment:
        moment += timedelta(microseconds=1)
        table = with_moment(table, moment)
    encoded = to_parquet(table)
    name = file_name(host, day, moment, content)
    place.write(encoded, name)
    for file in superseded(newest_first([*entries, name]), now - GRACE):
        place.remove(file.name)
    return Snapshot(*told, len(encoded), True)


def metrics(table: Any) -> str:
    """What a snapshot's table sums up to, in the text format of Prometheus."""
    first, pc = table.slice(0, 1).to_pylist()[0], load("pyarrow.compute")

    def total(column: Any) -> int:
        return int(pc.sum(column).as_py() or 0)

    def count(record: str) -> int:
        return total(pc.equal(table["record"], record))

    blobs = table.filter(pc.equal(table["record"], "blob"))
    needed = total(pc.multiply(blobs["stored_bytes"], blobs["use_count"]))
    used = total(blobs.filter(pc.greater(blobs["use_count"], 0))["stored_bytes"])
    idle = blobs.filter(pc.equal(blobs["standing"], "unreferenced"))
    values = {
        "stored_bytes": (total(blobs["stored_bytes"]), "Bytes of stored blobs."),
        "needed_bytes": (needed, "Bytes that apps would need, each on its own."),
        "saved_bytes": (needed - used, "Bytes that sharing saves."),
        "unreferenced_bytes": (total(idle["stored_bytes"]), "Bytes that nothing needs."),
        "problems": (count("problem"), "Things that are wrong."),
        "apps": (count("app"), "Cached apps."),
        "snapshot_timestamp_seconds": (first["taken_at"].timestamp(), "When this was taken."),
    }
    host = first["host"].replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    lines = []
    for name, (value, said) in values.items():
        lines += [f"# HELP spincache_{name} {said}", f"# TYPE spincache_{name} gauge"]
        lines.append(f'spincache_{name}{{host="{host}"}} {value}')
    return "\n".join(lines) + "\n"


def records_of(frames: Frames) -> list[Any]:
    """Make the rows of every record of a snapshot from the frames of one cache.

    Paths of this machine are left out: projects are numbered, problems outside the cache have no path.
    """
    apps, layers, uses = (frames.need(name) for name in ("apps", "layers", "uses"))
    members = members_of(frames, [reference for (reference,) in rows(apps, "reference")])
    parts, too_large = _parts(apps, layers)
    called = names_of_digests(frames)
    return [
        made_with(),
        _apps(apps, layers),
        _needs(set(apps["reference"]), parts, uses, members),
        _blobs(set(apps["reference"]), uses, frames.need("blobs"), called),
        _more_names(called),
        _disk(frames),
        _problems(frames.need("problems"), too_large),
    ]


def _bounded(sizes: pd.Series[Any]) -> pd.Series[Any]:
    """Sizes, but those that no file has are missing."""
    return sizes.where(sizes.between(0, MOST_BYTES))


def _parts(apps: pd.DataFrame, layers: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Layers and configs of all apps whose manifest could be read, and apps with an impossible size."""
    readable = apps[apps["layer_count"].notna()]
    declared = readable.set_index("reference")["declared_bytes"].astype("Int64")
    distinct = layers.drop_duplicates(["reference", "digest"], keep="last")
    sized = distinct["declared_bytes"].astype("Float64").fillna(0)
    sizes = sized.groupby(distinct["reference"].astype(object)).sum()
    rest = (declared.astype("Float64").fillna(0) - sizes.reindex(declared.index).fillna(0)).clip(lower=0)
    known = readable["config_bytes"].notna()
    configs = pd.DataFrame(
        {
            "reference": readable["reference"],
            "digest": readable["config_digest"].astype(object).where(known, None),
            "declared_bytes": readable["config_bytes"]
            .astype("Float64")
            .fillna(pd.Series(rest.array, index=readable.index)),
        }
    )
    configs["role"], configs["position"], configs["media_type"] = "config", pd.NA, None
    columns = ["reference", "digest", "role", "position", "media_type", "declared_bytes"]
    parts = pd.concat([frame[columns].astype(object) for frame in (layers, configs)], ignore_index=True)
    size = pd.to_numeric(parts["declared_bytes"]).astype("Float64")
    impossible = sorted(set(parts["reference"][(~size.between(0, MOST_BYTES)).fillna(False)]))
    parts["declared_bytes"] = _bounded(size).round().astype("Int64")
    return parts, impossible


def _apps(apps: pd.DataFrame, layers: pd.DataFrame) -> Any:
    same = ("reference", "registry", "repository", "tag", "kind", "name", "version", "manifest_digest")
    counts = ("layer_count", "component_count")
    columns: dict[str, Any] = {name: apps[name].astype(object) for name in same}
    columns |= {name: apps[name].astype("Int64") for name in counts}
    columns |= {name: _bounded(apps[name].astype("Int64")) for name in ("declared_bytes", "stored_bytes")}
    columns |= {name: apps[name].dt.floor("us") for name in ("created_at", "pulled_at")}
    prints = layers_digests(zip(layers["reference"], layers["position"], layers["digest"], strict=True))
    nothing = layers_digest([])
    columns["layers_digest"] = [prints.get(reference, nothing) for reference in apps["reference"]]
    return rows_of("app", columns, len(apps))


def layers_digests(lines: Any) -> dict[str, str]:
    """Name the manifest of each app by its layers, given as reference, position and digest."""
    listed: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for reference, position, digest in lines:
        listed[reference].append((int(position), digest))
    return {reference: layers_digest(found) for reference, found in listed.items()}


def _needs(apps: set[str], parts: pd.DataFrame, uses: pd.DataFrame, members: pd.DataFrame) -> Any:
    """Uses, parts and members side by side: those of one user and digest in as few rows as hold them."""
    used = uses[["user", "digest", "area", "stored_bytes", "via"]].rename(columns={"user": "reference"})
    unpacked = members[["reference", "digest", "size_bytes"]].rename(columns={"size_bytes": "member_bytes"})
    found = _numbered(parts)
    for frame in (used, unpacked):
        on = ["reference", "digest", "number"]
        found = found.merge(_numbered(frame), how="outer", on=on, validate="one_to_one")
    reference, is_app = found["reference"], found["reference"].isin(list(apps))
    projects = dict.fromkeys(user for user in uses["user"] if user not in apps)
    renamed = {user: f"project {number}" for number, user in enumerate(projects, 1)}
    columns = {
        **{name: found[name].astype(object) for name in ("digest", "area", "via", "role", "media_type")},
        "reference": reference.replace(renamed) if renamed else reference,
        "kind": np.where(is_app, "app", "project"),
        "stored_bytes": _whole(found["stored_bytes"], where=found["area"].notna()),
        "member_bytes": _whole(found["member_bytes"]),
        "declared_bytes": _whole(found["declared_bytes"]),
        "position": found["position"].astype("Int64"),
    }
    return rows_of("need", columns, len(found))


def _numbered(frame: pd.DataFrame) -> pd.DataFrame:
    """Number rows of one reference and digest."""
    keyed = frame.astype({"reference": object, "digest": object})
    return keyed.assign(number=keyed.groupby(["reference", "digest"], dropna=False, sort=False).cumcount())


def _whole(sizes: pd.Series[Any], *, where: pd.Series[bool] | None = None) -> pd.Series[Any]:
    found = _bounded(sizes.astype("Int64"))
    return found if where is None else found.fillna(0).where(where)


def _blobs(apps: set[str], uses: pd.DataFrame, blobs: pd.DataFrame, called: Mapping[str, list[str]]) -> Any:
    """Stored blobs, and how many need each."""
    on = ["digest", "area"]
    used = uses.astype({"digest": object, "area": object}).assign(
        app_count=uses["user"].astype(object).isin(apps).astype("int64"), use_count=1
    )
    counted = used.groupby(on, sort=False).agg(
        used_bytes=("stored_bytes", "max"), use_count=("use_count", "sum"), app_count=("app_count", "sum")
    )
    there = blobs[blobs["digest"].notna()].astype({"digest": object, "area": object}).drop_duplicates(on)
    found = counted.reset_index().merge(
        there[[*on, "stored_bytes", "modified_at", "standing"]], how="outer", on=on, validate="one_to_one"
    )
    size = found["used_bytes"].astype("Int64").fillna(found["stored_bytes"].astype("Int64")).fillna(0)
    columns = {
        **{name: found[name].astype(object) for name in (*on, "standing")},
        **{name: found[name].astype("Int64").fillna(0) for name in ("use_count", "app_count")},
        "stored_bytes": _bounded(size).fillna(0),
        "modified_at": found["modified_at"].dt.floor("s"),
        "name": [called[digest][0] if called.get(digest) else None for digest in found["digest"]],
    }
    return rows_of("blob", columns, len(found))


def _more_names(called: Mapping[str, list[str]]) -> Any:
    lines = [(digest, name) for digest, names in called.items() for name in names[1:]]
    columns = {"digest": [digest for digest, _ in lines], "name": [name for _, name in lines]}
    return rows_of("name", columns, len(lines))


def _disk(frames: Frames) -> Any:
    """Sum up what `analysis.breakdown` tells, which needs no other host."""
    counts: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for file in disk_files(frames):
        counts[file.kind] += 1
        sizes[file.kind] += file.stored_bytes
    kinds = [kind for kind in KINDS if kind in counts]
    columns = {
        "kind": kinds,
        "file_count": [counts[kind] for kind in kinds],
        "stored_bytes": [min(sizes[kind], MOST_BYTES) for kind in kinds],
    }
    return rows_of("disk", columns, len(kinds))


def _problems(problems: pd.DataFrame, too_large: list[str]) -> Any:
    found = [
        (kind, reference, path if path and path.startswith(_BELOW_REGISTRY) else None)
        for kind, reference, path in rows(problems, "kind", "reference", "path")
    ]
    found += [(TOO_LARGE, reference, None) for reference in too_large]
    columns = {name: [line[at] for line in found] for at, name in enumerate(("kind", "reference", "path"))}
    return rows_of("problem", columns, len(found))

"""Datasets for tests, and what engines should say of them, computed another way.

`Rows` reads Parquet files by their names, joins every key with its full digest, and answers with plain
pandas and Python sets; it knows nothing of flags, engines or kernels, and finds by itself which snapshot
of a host counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from itertools import combinations
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pandas as pd
import pyarrow.parquet as pq

from spincache_nb.analysis.replay import Rules, replay_savings
from spincache_nb.analysis.schemas import MANIFESTS_SCHEMA, MEMBERS_SCHEMA
from spincache_nb.fleet.contents import tables_of
from spincache_nb.fleet.marker import Marker
from spincache_nb.fleet.place import Place
from spincache_nb.fleet.snapshots import encode, publish
from spincache_nb.frames import Frames
from spincache_nb.frames.schemas import build

DAY = date(2026, 3, 2)
ALGORITHMS = {32: "sha256", 48: "sha384", 64: "sha512"}


def write_hosts(folder: Path, hosts: Mapping[str, Frames], *, day: date = DAY) -> Path:
    """Write a snapshot for each of some hosts."""
    for host, frames in hosts.items():
        part, contents = encode(tables_of(frames), number=0)
        at = datetime(day.year, day.month, day.day, tzinfo=UTC)
        publish(Place(folder), Marker("cache", host, day, at, (part,)), contents)
    return folder


class Rows:
    """Every row of a dataset, with full digests, and brute force."""

    def __init__(self, folder: Path) -> None:
        self.apps = _read(folder, "apps")
        digests = _read(folder, "digests")
        digests["text"] = [f"{ALGORITHMS[len(raw)]}:{raw.hex()}" for raw in digests["digest"]]
        self.names = digests[["text", "name"]].dropna().drop_duplicates()
        place = ["host", "part", "key"]
        known = digests[[*place, "text"]].drop_duplicates()
        assert not known.duplicated(place).any()
        self.uses, self.layers, self.members, self.blobs = (
            _read(folder, table).merge(known, on=place, how="left")
            for table in ("uses", "layers", "members", "blobs")
        )
        self.uses["area"] = (self.uses["flags"] & 7).map({1: "wasm", 2: "data", 4: "registry"})
        self.breakdown, self.problems = (_read(folder, table) for table in ("breakdown", "problems"))
        self.hosts = list(latest(folder))
        self.apps["manifest"] = self._manifests()

    def _manifests(self) -> list[Any]:
        known: dict[bytes, bytes] = {}
        for layers, digest in zip(self.apps["layers_digest"], self.apps["manifest_digest"], strict=True):
            if isinstance(digest, bytes):
                known[layers] = min(known.get(layers, digest), digest)
        return [
            digest if isinstance(digest, bytes) else known.get(layers, layers)
            for layers, digest in zip(self.apps["layers_digest"], self.apps["manifest_digest"], strict=True)
        ]

    def blobs_by_host(self) -> dict[str, dict[tuple[str, str], int]]:
        found: dict[str, dict[tuple[str, str], int]] = {host: {} for host in self.hosts}
        for row in self.uses.itertuples():
            found[row.host][row.text, row.area] = row.stored_bytes
        return found

    def summary(self) -> dict[str, int | float | None]:
        blobs = self.blobs_by_host()
        stored = sum(sum(sizes.values()) for sizes in blobs.values())
        once: dict[tuple[str, str], int] = {}
        for sizes in blobs.values():
            for blob, size in sizes.items():
                once[blob] = max(once.get(blob, 0), size)
        logical = int(self.uses["stored_bytes"].sum())
        return {
            "logical_bytes": logical,
            "stored_bytes": stored,
            "dedup_ratio": logical / stored if stored else None,
            "saved_bytes": logical - stored,
            "problem_count": len(self.problems),
            "app_count": len(self.apps),
            "blob_count": sum(map(len, blobs.values())),
            "host_count": len(self.hosts),
            "distinct_blob_count": len(once),
            "distinct_bytes": sum(once.values()),
            "shared_cache_saved_bytes": stored - sum(once.values()),
        }

    def sharing(self) -> dict[str, dict[str, Any]]:
        apps = self.apps[["host", "part", "app", "manifest"]]
        uses = self.uses.merge(apps, on=["host", "part", "app"], how="left")
        uses["user"] = list(zip(uses["host"], uses["part"], uses["app"], strict=True))
        found = {}
        for digest, rows in uses.groupby("text"):
            here = rows.drop_duplicates(["host", "area"])
            copies = here.groupby("area")["stored_bytes"].max()
            called = sorted(self.names.loc[self.names["text"] == digest, "name"])
            stored, needed = int(here["stored_bytes"].sum()), int(rows["stored_bytes"].sum())
            found[str(digest)] = {
                "areas": "+".join(sorted(set(rows["area"]))),
                "stored_bytes": stored,
                "user_count": rows["user"].nunique(),
                "app_count": rows.loc[rows["app"] >= 0, "user"].nunique(),
                "manifest_count": rows.loc[rows["app"] >= 0, "manifest"].nunique(),
                "names": ", ".join(called[:3]) + (f" +{len(called) - 3}" if len(called) > 3 else ""),
                "name_count": len(called),
                "needed_bytes": needed,
                "saved_bytes": needed - stored,
                "host_count": rows["host"].nunique(),
                "distinct_bytes": int(copies.sum()),
                "shared_cache_saved_bytes": stored - int(copies.sum()),
            }
        return found

    def host_overlap(self) -> dict[str, dict[str, int]]:
        blobs = self.blobs_by_host()
        once = {
            blob: max(s.get(blob, 0) for s in blobs.values()) for sizes in blobs.values() for blob in sizes
        }
        seen: set[tuple[str, str]] = set()
        found = {}
        for host in self.hosts:
            mine = set(blobs[host])
            others = set().union(*(set(sizes) for other, sizes in blobs.items() if other != host))
            found[host] = {
                "blob_count": len(mine),
                "stored_bytes": sum(blobs[host].values()),
                "only_here_bytes": sum(blobs[host][blob] for blob in mine - others),
                "new_bytes": sum(once[blob] for blob in mine - seen),
            }
            seen |= mine
        return found

    def host_pairs(self) -> dict[tuple[str, str], int]:
        blobs = self.blobs_by_host()
        return {
            (a, b): sum(min(blobs[a][blob], blobs[b][blob]) for blob in set(blobs[a]) & set(blobs[b]))
            for a, b in combinations(self.hosts, 2)
        }

    def shared_bytes(self) -> dict[tuple[str, str], int]:
        apps = self.apps[["host", "part", "app", "reference"]]
        uses = self.uses.merge(apps, on=["host", "part", "app"])
        needs: dict[str, dict[tuple[str, str], int]] = {reference: {} for reference in self.apps["reference"]}
        for row in uses.itertuples():
            sizes = needs[row.reference]
            sizes[row.text, row.area] = max(sizes.get((row.text, row.area), 0), row.stored_bytes)
        return {
            (a, b): sum(min(needs[a][blob], needs[b][blob]) for blob in set(needs[a]) & set(needs[b]))
            for a, b in combinations(sorted(needs), 2)
        }

    def prewarm(self) -> dict[int, tuple[int, int, int]]:
        blobs = self.blobs_by_host()
        found: dict[int, tuple[int, int, int]] = {}
        for blob in {blob for sizes in blobs.values() for blob in sizes}:
            sizes = [have[blob] for have in blobs.values() if blob in have]
            count, once, stored = found.get(len(sizes), (0, 0, 0))
            found[len(sizes)] = (count + 1, once + max(sizes), stored + sum(sizes))
        return found

    def unreferenced(self) -> set[tuple[str, str, str, int, int]]:
        hosts = self.uses.groupby("text")["host"].nunique().to_dict()
        idle = self.blobs[self.blobs["standing"] == "unreferenced"]
        return {
            (row.host, row.text, row.area, row.stored_bytes, hosts.get(row.text, 0))
            for row in idle.itertuples()
        }

    def versions(self) -> dict[str, tuple[int, int, int]]:
        return {
            str(reference): (
                rows["host"].nunique(),
                rows["manifest"].nunique(),
                int(rows["stored_bytes"].sum()),
            )
            for reference, rows in self.apps.groupby("reference")
        }

    def version_savings(self, rules: Rules) -> dict[str, pd.DataFrame]:
        """By repository: what `replay_savings` makes of the layers as they are."""
        apps = self.apps[self.apps["layer_count"].notna()].copy()
        members = self.members.groupby(["host", "part", "app"]).size().rename("members")
        apps = apps.join(members, on=["host", "part", "app"]).fillna({"members": 0})
        apps = apps.sort_values(["members", "host", "part", "app"], ascending=[False, True, True, True])
        apps = apps.drop_duplicates(["registry", "repository", "reference", "sort_key", "manifest"])
        return {
            f"{registry}/{repository}": self._replayed(rows, rules)
            for (registry, repository), rows in apps.groupby(["registry", "repository"])
        }

    def _replayed(self, apps: pd.DataFrame, rules: Rules) -> pd.DataFrame:
        manifests: list[tuple[Any, ...]] = []
        members: list[tuple[Any, ...]] = []
        for app in apps.itertuples():
            mine = self.layers.query("host == @app.host and part == @app.part and app == @app.app")
            for layer in mine.itertuples():
                position = None if pd.isna(layer.position) else int(layer.position)
                digest = layer.text if isinstance(layer.text, str) else None
                size = None if pd.isna(layer.declared_bytes) else int(layer.declared_bytes)
                created = None if pd.isna(app.created_at) else pd.Timestamp(app.created_at, tz="UTC")
                tag = app.tag if isinstance(app.tag, str) else None
                manifests.append((app.reference, tag, created, position, digest, layer.role, size))
            inside = self.members.query("host == @app.host and part == @app.part and app == @app.app")
            members += [(app.reference, row.text, int(row.size_bytes)) for row in inside.itertuples()]
        return replay_savings(build(MANIFESTS_SCHEMA, manifests), build(MEMBERS_SCHEMA, members), rules=rules)


def latest(folder: Path) -> dict[str, Path]:
    """The folder of each host's latest complete snapshot, by host."""
    found = {}
    for marker in sorted(folder.glob("host=*/day=*/_complete.json")):
        found[unquote(marker.parent.parent.name[5:])] = marker.parent
    return dict(sorted(found.items()))


def _read(folder: Path, table: str) -> pd.DataFrame:
    """A table of all hosts, with ``host`` and ``part``."""
    frames = []
    for host, snapshot in latest(folder).items():
        for path in sorted(snapshot.glob(f"{table}-*.parquet")):
            frame = pq.ParquetFile(path).read().to_pandas(integer_object_nulls=True)
            frame.insert(0, "host", host)
            frame.insert(1, "part", int(path.name.split("-")[1]))
            frames.append(frame)
    table_of_all = pd.concat(frames, ignore_index=True)
    return table_of_all.astype({"key": "Int64"} if "key" in table_of_all else {})

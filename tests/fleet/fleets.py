"""Datasets for tests, and what analyses should say of them, computed another way.

`Rows` reads Parquet files by their names and answers with plain pandas and Python sets; it knows nothing of
SQL or engines, and finds by itself which snapshot of a host counts.
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

from spincache_nb.analysis.schemas import VERSION_SAVINGS_SCHEMA
from spincache_nb.analysis.tags import reference_key
from spincache_nb.analysis.versions import Rules, read_versions, savings_rows
from spincache_nb.fleet.place import Place
from spincache_nb.fleet.snapshots import publish, records_of
from spincache_nb.fleet.table import whole
from spincache_nb.frames import Frames
from spincache_nb.frames.schemas import build

DAY = date(2026, 3, 2)


def write_hosts(folder: Path, hosts: Mapping[str, Frames], *, day: date = DAY) -> Path:
    """Write a snapshot for each of some hosts."""
    moment = datetime(day.year, day.month, day.day, tzinfo=UTC)
    for host, frames in hosts.items():
        publish(Place(folder), whole(records_of(frames), source="cache", host=host, day=day, moment=moment))
    return folder


class Rows:
    """Every row of a dataset, and brute force."""

    def __init__(self, folder: Path) -> None:
        self.hosts = list(latest(folder))
        every = [_read(path, host) for host, path in latest(folder).items()]
        table = pd.concat(every, ignore_index=True)
        self.apps, self.needs, self.blobs, self.breakdown, self.problems, names = (
            table[table["record"] == record].copy()
            for record in ("app", "need", "blob", "disk", "problem", "name")
        )
        self.names = pd.concat([self.blobs, names])[["digest", "name"]].dropna().drop_duplicates()
        self.uses = self.needs[self.needs["area"].notna()]
        self.layers = self.needs[self.needs["role"].notna()]
        self.members = self.needs[self.needs["member_bytes"].notna()]
        self.apps["manifest"] = self._manifests()

    def _manifests(self) -> list[str]:
        digests = [None if pd.isna(digest) else digest for digest in self.apps["manifest_digest"]]
        known: dict[str, str] = {}
        for layers, digest in zip(self.apps["layers_digest"], digests, strict=True):
            if digest is not None:
                known[layers] = min(known.get(layers, digest), digest)
        pairs = zip(self.apps["layers_digest"], digests, strict=True)
        return [digest or known.get(layers, layers) for layers, digest in pairs]

    def blobs_by_host(self) -> dict[str, dict[tuple[str, str], int]]:
        found: dict[str, dict[tuple[str, str], int]] = {host: {} for host in self.hosts}
        for row in self.uses.itertuples():
            found[row.host][row.digest, row.area] = row.stored_bytes
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
        apps = self.apps[["host", "reference", "manifest"]]
        uses = self.uses.merge(apps, on=["host", "reference"], how="left")
        uses["user"] = list(zip(uses["host"], uses["reference"], strict=True))
        found = {}
        for digest, rows in uses.groupby("digest"):
            here = rows.drop_duplicates(["host", "area"])
            copies = here.groupby("area")["stored_bytes"].max()
            called = sorted(self.names.loc[self.names["digest"] == digest, "name"])
            stored, needed = int(here["stored_bytes"].sum()), int(rows["stored_bytes"].sum())
            found[str(digest)] = {
                "areas": "+".join(sorted(set(rows["area"]))),
                "stored_bytes": stored,
                "user_count": rows["user"].nunique(),
                "app_count": rows.loc[rows["kind"] == "app", "user"].nunique(),
                "manifest_count": rows.loc[rows["kind"] == "app", "manifest"].nunique(),
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
        needs: dict[str, dict[tuple[str, str], int]] = {reference: {} for reference in self.apps["reference"]}
        for row in self.uses[self.uses["kind"] == "app"].itertuples():
            sizes = needs[row.reference]
            sizes[row.digest, row.area] = max(sizes.get((row.digest, row.area), 0), row.stored_bytes)
        return {
            (a, b): sum(min(needs[a][blob], needs[b][blob]) for blob in set(needs[a]) & set(needs[b]))
            for a, b in combinations(sorted(needs, key=reference_key), 2)
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
        hosts = self.uses.groupby("digest")["host"].nunique().to_dict()
        idle = self.blobs[self.blobs["standing"] == "unreferenced"]
        return {
            (row.host, row.digest, row.area, row.stored_bytes, hosts.get(row.digest, 0))
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
        """By repository: what a replay makes of the layers as they are."""
        apps = self.apps[self.apps["layer_count"].notna()].copy()
        members = self.members.groupby(["host", "reference"]).size().rename("members")
        apps = apps.join(members, on=["host", "reference"]).fillna({"members": 0})
        apps = apps.sort_values(["members", "host"], ascending=[False, True])
        apps = apps.drop_duplicates(["reference", "created_at", "manifest"])
        return {
            f"{registry}/{repository}": self._replayed(rows, rules)
            for (registry, repository), rows in apps.groupby(["registry", "repository"])
        }

    def _replayed(self, apps: pd.DataFrame, rules: Rules) -> pd.DataFrame:
        manifests: list[tuple[Any, ...]] = []
        members: list[tuple[Any, ...]] = []
        for app in apps.itertuples():
            for layer in self.layers.query("host == @app.host and reference == @app.reference").itertuples():
                values = (app.tag, app.created_at, layer.position, layer.digest)
                tag, created, position, digest = (None if pd.isna(value) else value for value in values)
                size = None if pd.isna(layer.declared_bytes) else int(layer.declared_bytes)
                manifests.append((app.reference, tag, created, position, digest, layer.role, size))
            inside = self.members.query("host == @app.host and reference == @app.reference")
            members += [(app.reference, row.digest, int(row.member_bytes)) for row in inside.itertuples()]
        lines = savings_rows(read_versions(manifests, members), rules=rules)
        return build(VERSION_SAVINGS_SCHEMA, lines)


def latest(folder: Path) -> dict[str, Path]:
    """Each host's latest snapshot that is whole."""
    found = {}
    for path in sorted(folder.glob("host=*/day=*/*.parquet"), key=lambda path: path.name):
        if path.read_bytes().endswith(b"PAR1"):
            found[unquote(path.parent.parent.name[5:])] = path
    return dict(sorted(found.items()))


def _read(path: Path, host: str) -> pd.DataFrame:
    frame = pq.ParquetFile(path).read().to_pandas(integer_object_nulls=True)
    assert set(frame["host"]) == {host}
    return frame

"""Fleets of which every host is odd in another way."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pandas as pd

from spincache_nb import demo, fleet
from spincache_nb.core.cache import Cache
from tests.analysis.worlds import App, World
from tests.fleet.fleets import write_hosts
from tests.support.made_up_fleet import FleetPlan, write_fleet

PLAN = FleetPlan(hosts=7, apps_per_host=22, files_per_app=8, repositories=24, versions=5)
ALIKE = [f"sha256:{'11' * 16}{last * 32}" for last in "abc"]
"""Digests that begin alike."""
A, B, C, D, E = (f"sha256:{place}{'0' * 62}" for place in ("a1", "b2", "c3", "d4", "e5"))
SIZES = {A: 1000, B: 200, C: 30, D: 4, E: 0, ALIKE[0]: 7, ALIKE[1]: 70, ALIKE[2]: 700}
MANIFEST, OTHER = "sha256:" + "7" * 64, "sha256:" + "8" * 64
NOTHING = World([], {}, set())


def made_up(folder: Path) -> None:
    """Seven alike hosts."""
    write_fleet(folder, PLAN, seed=5)


def empty(folder: Path) -> None:
    """Two hosts whose caches hold nothing."""
    write_hosts(folder, {"one": NOTHING.frames(), "two": NOTHING.frames()})


def odd(folder: Path) -> None:
    """Hosts of all kinds, some with several days."""
    one = app("1.0.0", (A, "wasm"), (B, "data"), manifest=MANIFEST)
    two = app("1.1.0", (A, "wasm"), (C, "data"), (E, "data"), manifest=OTHER)
    untagged = app("sha256:" + "9" * 64, (A, "data"), (D, "other"), (B, "application"))
    earlier = world(one, two, app("0.9.0", (D, "data")))
    write_hosts(folder, {"several days": earlier.frames()}, day=date(2026, 3, 1))
    write_hosts(folder, {"several days": world(two).frames()}, day=date(2026, 3, 3))
    write_hosts(folder, {"several days": earlier.frames()}, day=date(2026, 3, 5))
    cut = next(folder.glob("host=several%20days/day=2026-03-05/*.parquet"))
    cut.write_bytes(cut.read_bytes()[:-9])
    hosts = {
        "no apps": World([], SIZES, {(A, "wasm"), (D, "data")}),
        "no apps but a project": World([], SIZES, {(A, "wasm"), (B, "wasm")}, {"p": {A: "spin.toml"}}),
        "nothing": NOTHING,
        "nulls": world(one, replace(two, manifest=None), untagged),
        "same name": world(app("1.0.0", (A, "wasm"), (D, "data"), manifest=OTHER)),
        "alike": world(app("1.3.0", *((digest, "data") for digest in ALIKE))),
        "alike too": world(app("1.4.0", (ALIKE[0], "data"), (ALIKE[2], "wasm"))),
        "two areas": world(app("1.2.0", (A, "wasm"), (A, "data"), (A, "application"))),
    }
    write_hosts(folder, {host: one.frames() for host, one in hosts.items()})
    real(folder)


def app(tag: str, *layers: tuple[str, str], manifest: str | None = None) -> App:
    """An app of one repository."""
    at = None if manifest is None else pd.Timestamp(2024, 1, 2, tz="UTC")
    return App("ghcr.io:5000", "org/app", tag, list(layers), created_at=at, config_bytes=9, manifest=manifest)


def world(*apps: App) -> World:
    """A host with some apps, all blobs of which are stored."""
    return World(list(apps), SIZES, {blob for one in apps for blob in one.needs()})


def real(folder: Path) -> None:
    """Snapshots of a whole cache, and of the same after it was damaged, under a hash of its host's name."""
    before, after = (datetime(2026, 3, day, tzinfo=UTC) for day in (1, 2))
    with demo.Workspace() as workspace:
        workspace.pull_all()
        fleet.snapshot(workspace.cache, folder, host="whole", at=before)
        fleet.snapshot(workspace.cache, folder, host="node-17", salt="s", at=before)
        damage(workspace.cache)
        fleet.snapshot(workspace.cache, folder, host="node-17", salt="s", at=after)


def damage(cache: Cache) -> None:
    """Cut one blob short, remove another, and make two documents unreadable."""
    for area, cut in (("wasm", True), ("data", False)):
        blob = max((cache.path / area).iterdir(), key=lambda path: path.stat().st_size)
        blob.write_bytes(blob.read_bytes()[:-1]) if cut else blob.unlink()
    documents = [sorted((cache.path / "manifests").rglob(name)) for name in ("manifest.json", "config.json")]
    for path in (documents[0][0], documents[1][-1]):
        path.write_bytes(b'{"schemaVersion": 2, ')


FLEETS = {"made up": made_up, "odd": odd, "empty": empty}

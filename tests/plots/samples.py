"""Caches of any number of apps, the same on every run, for plots to draw."""

from __future__ import annotations

import random
from collections.abc import Callable

import pandas as pd

from spincache_nb.frames import schemas
from tests.analysis.worlds import App, World, digest_of

TEAMS = ["shop", "docs", "auth", "images", "search", "mail", "billing"]


def blobs(random_: random.Random) -> tuple[dict[str, int], Callable[[int, int], str]]:
    """Sizes by digest, and what makes one more blob of a size between two."""
    sizes: dict[str, int] = {}

    def blob(low: int, high: int) -> str:
        digest = digest_of(len(sizes) + 1)
        sizes[digest] = random_.randrange(low, high)
        return digest

    return sizes, blob


def cache_of(count: int) -> World:
    """Apps of several teams, in versions: a runtime that most share, modules and assets that some do."""
    random_ = random.Random(count)
    sizes, blob = blobs(random_)
    runtime = blob(2_000_000, 3_000_000)
    team_modules = {team: blob(400_000, 1_500_000) for team in TEAMS}
    apps: list[App] = []
    versions: dict[str, int] = {}
    assets: dict[str, list[str]] = {}
    while len(apps) < count:
        team = TEAMS[len(apps) // 4 % len(TEAMS)]
        name = f"{team}/{team}-{'api' if len(apps) % 8 < 4 else 'site'}-{len(apps) // 28}"
        versions[name] = versions.get(name, 0) + 1
        kept = assets.get(name, [])[: random_.randrange(3, 9)]
        assets[name] = kept + [blob(2_000, 300_000) for _ in range(3)]
        layers = [(runtime, "wasm")] if len(apps) % 3 else []
        layers += [(team_modules[team], "wasm"), (blob(50_000, 500_000), "wasm")]
        layers += [(digest, "data") for digest in assets[name]]
        layers.append((blob(1_000, 9_000), "application"))
        app = App("ghcr.io", name, f"1.{versions[name]}.0", layers, config_bytes=300)
        app.created_at = pd.Timestamp("2024-03-01", tz="UTC") + pd.Timedelta(days=len(apps))
        apps.append(app)
    stored = {blob for app in apps for blob in app.needs()}
    idle = [(blob(10_000, 4_000_000), "data") for _ in range(3)]
    strays = [(f"download-sha256-{'c' * 64}abc123", "wasm", None, "temporary", 700_000)]
    return World(apps, sizes, stored | set(idle), {}, strays, [("README", "other", 900)], 4_000)


def versions_of(count: int) -> World:
    """One repository of many versions: assets change with each, the wasm with every fifth."""
    random_ = random.Random(count)
    sizes, blob = blobs(random_)
    wasm, assets, apps = "", [blob(5_000, 200_000) for _ in range(12)], []
    for number in range(count):
        if number % 5 == 0:
            wasm = blob(1_500_000, 2_500_000)
        for _ in range(2):
            assets[random_.randrange(12)] = blob(5_000, 200_000)
        layers = [(wasm, "wasm"), *((digest, "data") for digest in assets)]
        layers.append((blob(1_000, 9_000), "application"))
        apps.append(
            App("ghcr.io", "org/web", f"{number // 10 + 1}.{number % 10}.0", layers, config_bytes=300)
        )
    return World(apps, sizes, {blob for app in apps for blob in app.needs()})


def history_of(count: int) -> pd.DataFrame:
    """Pulls over some months."""
    random_ = random.Random(count)
    at = pd.Timestamp("2024-01-01T08:00:00", tz="UTC")
    lines = []
    for number in range(count):
        at += pd.Timedelta(hours=random_.randrange(1, 72))
        fetched, reused = (
            random_.randrange(100_000, 3_000_000),
            random_.randrange(0, 6_000_000) * bool(number),
        )
        lines.append((at, "/c", f"r:{number}", digest_of(number), fetched, reused, fetched + 4_000, 1.0))
    return schemas.build(schemas.HISTORY_SCHEMA, lines)

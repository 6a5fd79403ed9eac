"""Made-up caches of any number of apps on disk, the same on every run; blobs are holes of the right size."""

from __future__ import annotations

import random
from pathlib import Path

from tests.support.artifacts import APPLICATION, ARCHIVE, DATA, WASM, compact, descriptor

TEAMS = ("shop", "docs", "auth", "images", "search", "mail", "billing")
VERSIONS = 6
_CONFIG = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": f"sha256:{'0' * 64}", "size": 2}


def many_apps(root: Path, count: int, *, idle: int = 3) -> Path:
    """Apps of several teams, six versions each: a runtime that most share, assets that some do."""
    source = random.Random(count)
    sizes: dict[str, tuple[str, int]] = {}

    def blob(area: str, low: int, high: int) -> tuple[str, int]:
        digest, size = source.randbytes(32).hex(), source.randrange(low, high)
        sizes[digest] = (area, size)
        return digest, size

    runtime = blob("wasm", 2_000_000, 3_000_000)
    modules = {team: blob("wasm", 400_000, 1_500_000) for team in TEAMS}
    assets: list[tuple[str, int]] = []
    for number in range(count):
        repository, version = divmod(number, VERSIONS)
        team = TEAMS[repository % len(TEAMS)]
        assets = (assets[: source.randrange(2, 7)] if version else []) + [
            blob("data", 2_000, 300_000) for _ in "12"
        ]
        own = blob("wasm", 50_000, 400_000)
        layers = [(WASM, *own), (WASM, *modules[team]), *((DATA, *asset) for asset in assets)]
        if repository % 3:
            layers.insert(0, (WASM, *runtime))
        registry = "registry.example.com:5000" if repository % 5 == 4 else "ghcr.io"
        name = f"{team}/{team}-service-{repository // len(TEAMS)}"
        folder = root / "registry" / "manifests" / registry / name / f"1.{version}.0"
        _write(folder, layers)
    for _ in range(idle):
        blob("data", 10_000, 4_000_000)
    for digest, (area, size) in sizes.items():
        path = root / "registry" / area / f"sha256:{digest}"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.truncate(size)
    return root


def _write(folder: Path, layers: list[tuple[str, str, int]]) -> None:
    """Write the two documents of an app with a component for each binary, the files in the first."""
    folder.mkdir(parents=True)
    named = [{"mediaType": kind, "digest": f"sha256:{digest}", "size": size} for kind, digest, size in layers]
    binaries = [digest for kind, digest, _ in layers if kind == WASM]
    files = [
        {"digest": f"sha256:{digest}", "path": f"assets/{number}.png"}
        for number, (kind, digest, _) in enumerate(layers)
        if kind not in (WASM, ARCHIVE)
    ]
    components = [
        {
            "id": f"part-{place}",
            "source": {"content_type": "application/wasm", "digest": f"sha256:{digest}"},
            "files": [] if place else files,
        }
        for place, digest in enumerate(binaries)
    ]
    locked = compact({"spin_lock_version": 0, "triggers": [], "components": components})
    manifest = {"schemaVersion": 2, "config": _CONFIG, "layers": [*named, descriptor(APPLICATION, locked)]}
    (folder / "manifest.json").write_bytes(compact(manifest))
    (folder / "config.json").write_bytes(locked)

"""Eight processes pull overlapping apps into one cache, one prunes it, one verifies it; locks do nothing."""

import os
import shutil
import time
from collections import Counter
from pathlib import Path

import pytest

from spincache_nb import Cache, History, pull
from tests.faults import crowd, judge
from tests.faults.table import record, reports_of
from tests.support.artifact import Artifact, filler, sha256, text_file, wasm_module
from tests.support.artifacts import Component, new_style
from tests.support.registry_server import RegistryServer

PULLERS = 8
ROUNDS = 3


def app(name: int, number: int) -> Artifact:
    """A version of an app: parts shared by all apps, by its versions, and of its own; an archive."""
    shared = text_file("shared by all", 2000)
    files = {
        "shared.txt": shared,
        **{f"{n}.txt": text_file(f"{name} {n} {number % 2}", 700 + n) for n in range(6)},
    }
    parts = [
        Component("all", wasm_module("all", 150_000), files),
        Component("own", wasm_module(f"own {name}", 90_000)),
        Component(
            "new", wasm_module(f"new {name} {number}", 60_000), {"a": filler(f"{name} {number}", 5000)}
        ),
    ]
    return new_style(f"crowd/app-{name}", f"v{number}", components=parts, archive=bool(name % 2))


@pytest.fixture
def template(plain_registry: RegistryServer, tmp_path: Path) -> Path:
    """A cache with blobs of some of the apps and of none, all of them old, and without a tag."""
    folder = tmp_path / "template"
    apps = [app(name, 1) for name in range(4)]
    plain_registry.push(*apps, *(app(name, 2) for name in range(4)))
    pull(Cache(folder), [plain_registry.reference(one) for one in apps], history=History(enabled=False))
    shutil.rmtree(folder / "registry/manifests")
    for number in range(40):
        data = filler(f"nobody needs {number}", 3000)
        (folder / "registry/data" / sha256(data)).write_bytes(data)
    old = time.time() - 5 * 3600
    for path in judge.files(folder):
        os.utime(path, (old, old))
    return folder


@pytest.mark.slow
def test_crowd_loses_and_damages_nothing(
    plain_registry: RegistryServer, template: Path, tmp_path: Path
) -> None:
    history = tmp_path / "state/history.jsonl"
    plan = {
        "references": [plain_registry.reference(app(name, number)) for name in range(4) for number in (1, 2)],
        "folder": str(tmp_path / "crowd"),
        "template": str(template),
        "history": str(history),
        "rounds": ROUNDS,
        "pullers": PULLERS,
        "seed": 7,
    }
    reports = reports_of(crowd, plan)
    assert [report for report in reports if "error" in report] == []
    roles = Counter(report["role"] for report in reports)
    assert roles == {"pull": PULLERS * ROUNDS, "prune": ROUNDS, "verify": ROUNDS, "judge": ROUNDS}
    assert [r for r in reports if r["role"] == "judge" and (r["faults"] or r["left"])] == []
    assert [report["damage"] for report in reports if report.get("damage")] == []
    sums = {
        key: sum(r.get(key, 0) for r in reports) for key in ("pulls", "prunes", "removed", "verifications")
    }
    print(f"\n{sums}")
    assert sums["removed"] > 40  # the prunes had something to do
    assert sums["prunes"] >= 2 * ROUNDS
    for number in range(ROUNDS):
        check_tags(tmp_path / "crowd" / str(number), plan["references"])
    scan = History(history).scan()
    assert (len(scan.records), scan.damaged) == (sums["pulls"], 0)
    record(
        "8 processes pull overlapping apps, 1 prunes, 1 verifies, in one cache without locks",
        "each pull goes well; only what nobody needs is pruned",
        sums["pulls"],
    )


def check_tags(folder: Path, references: list[str]) -> None:
    """Every app that somebody pulled is there with the registry's own bytes, and nobody else's blobs are."""
    found = {
        str(path.parent.relative_to(folder / "registry/manifests")) for path in folder.rglob("manifest.json")
    }
    names = {"/".join(reference.rsplit(":", 1)) for reference in references}
    assert found == names

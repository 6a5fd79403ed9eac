"""kill -9 at 200 random moments of a pull from docker-registry: nothing is damaged, nothing is lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.faults import judge, killed_upkeep, killer
from tests.faults.table import record
from tests.support.artifact import Artifact, filler, text_file, wasm_module
from tests.support.artifacts import Component, new_style
from tests.support.registry_server import RegistryServer

TRIALS = 200
LEAST = 20


def version(number: int) -> Artifact:
    """An app with a component, an archive of files, and enough bytes to be killed within."""
    files = {f"{n:03}.txt": text_file(f"{n} {number if n % 3 == 0 else 0}", 900 + n) for n in range(24)}
    files["big.bin"] = filler(f"big {number}", 1_200_000)
    parts = [
        Component(f"part-{n}", wasm_module(f"part {n} {number}", 200_000), files if n == 0 else {})
        for n in range(4)
    ]
    return new_style("demo/killed", f"v{number}", components=parts, version=f"{number}.0.0", archive=True)


@pytest.mark.slow
def test_a_killed_pull_damages_nothing(plain_registry: RegistryServer, tmp_path: Path) -> None:
    plain_registry.push(version(1), version(2))
    plan = {
        "references": [plain_registry.reference(version(1)), plain_registry.reference(version(2))],
        "folder": str(tmp_path / "cache"),
        "trials": TRIALS,
        "least": LEAST,
        "seed": 20261124,
    }
    run = subprocess.run(
        [sys.executable, killer.__file__, json.dumps(plan)],
        capture_output=True,
        text=True,
        timeout=900,
        env={**os.environ, "PYTHONPATH": str(Path(killer.__file__).parents[2])},
    )
    assert run.returncode == 0, run.stderr
    reports = [json.loads(line) for line in run.stdout.splitlines()]
    deaths = Counter(phase for report in reports for phase in report["phases"])
    print(f"\n{len(reports)} kills; died in {dict(deaths)}; files left: {sum(r['left'] for r in reports)}")
    assert len(reports) >= TRIALS
    assert all(deaths[phase] >= LEAST for phase in killer.PHASES), deaths
    assert [report for report in reports if report["faults"] or report["faults_after"]] == []
    assert [report for report in reports if not report["recovered"]] == []
    assert [report for report in reports if report["still"]] == []
    assert sum(report["left"] for report in reports) > 0  # the sweep had something to do
    record(
        "`kill -9` at a random moment of a pull (download, rename, unpack, tag: 20 and more of each)",
        "the next pull goes on from the blobs that were whole and sweeps what is left",
        tried=len(reports),
        survived=sum(report["recovered"] and not report["faults_after"] for report in reports),
        lost=sum(report["lost"] for report in reports),
    )


OUTCOMES = {
    "repair": "what was whole stays whole; the next repair goes on",
    "remove": "no tag names what is gone; prune takes the rest",
    "export": "the old file or the whole new one",
    "report": "the old page or the whole new one",
}


@pytest.mark.slow
@pytest.mark.parametrize("operation", OUTCOMES)
def test_killed_upkeep_damages_nothing(
    plain_registry: RegistryServer, tmp_path: Path, operation: str
) -> None:
    plain_registry.push(version(1), version(2))
    plan = {
        "operation": operation,
        "references": [plain_registry.reference(version(1)), plain_registry.reference(version(2))],
        "folder": str(tmp_path / "work"),
        "trials": 20,
        "seed": 20261129,
    }
    run = subprocess.run(
        [sys.executable, killed_upkeep.__file__, json.dumps(plan)],
        capture_output=True,
        text=True,
        timeout=900,
        env={**os.environ, "PYTHONPATH": str(Path(killer.__file__).parents[2])},
    )
    assert run.returncode == 0, run.stderr
    reports = [json.loads(line) for line in run.stdout.splitlines()]
    assert sum(report["killed"] for report in reports) > 10
    bad = [r for r in reports if r.get("faults") or r["faults_after"] or not (r["recovered"] and r["output"])]
    assert bad == []
    record(
        f"`kill -9` at a random moment of {operation}",
        OUTCOMES[operation],
        tried=len(reports),
        survived=len(reports) - len(bad),
        lost=sum(report["lost"] for report in reports),
    )
    assert sum(report["lost"] for report in reports) == 0


def test_the_judge_of_caches_sees_faults(tmp_path: Path) -> None:
    """The checks of the trials are not blind."""
    registry = tmp_path / "registry"
    tag = registry / "manifests" / "a.b" / "c" / "d"
    tag.mkdir(parents=True)
    (registry / "data").mkdir()
    named = "sha256:" + "0" * 64
    (registry / "data" / named).write_bytes(b"not zeros")
    other = "sha256:" + "1" * 64
    (tag / "manifest.json").write_text(json.dumps({"layers": [{"mediaType": "x", "digest": other}]}))
    (tag / "config.json").write_text(json.dumps({"components": [{"files": [{"digest": other}]}]}))
    assert len(judge.faults_of(tmp_path)) == 3

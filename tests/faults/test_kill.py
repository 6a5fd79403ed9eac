"""kill -9 at 200 random moments of a pull from docker-registry: nothing is damaged, nothing is lost."""

from collections import Counter
from pathlib import Path

import pytest

from tests.faults import killed_upkeep, killer
from tests.faults.table import record, reports_of
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


def pushed(registry: RegistryServer) -> list[str]:
    registry.push(version(1), version(2))
    return [registry.reference(version(number)) for number in (1, 2)]


@pytest.mark.slow
def test_a_killed_pull_damages_nothing(plain_registry: RegistryServer, tmp_path: Path) -> None:
    plan = {
        "references": pushed(plain_registry),
        "folder": str(tmp_path / "cache"),
        "trials": TRIALS,
        "least": LEAST,
        "seed": 20261124,
    }
    reports = reports_of(killer, plan)
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
    plan = {
        "operation": operation,
        "references": pushed(plain_registry),
        "folder": str(tmp_path / "work"),
        "trials": 20,
        "seed": 20261129,
    }
    reports = reports_of(killed_upkeep, plan)
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

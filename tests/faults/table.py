"""The table of faults and outcomes: ``python -m tests.faults.table`` runs the suite and prints it.

Tests say what they tried with `record`; with ``SPINCACHE_FAULTS_FILE`` set that is kept as JSON lines.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

FILE_VARIABLE = "SPINCACHE_FAULTS_FILE"
ROOT = Path(__file__).resolve().parents[2]


def record(kind: str, outcome: str, tried: int = 1, survived: int | None = None, lost: int = 0) -> None:
    """Say what became of one kind of fault; `survived` is all of those tried unless it was counted."""
    survived = tried if survived is None else survived
    assert survived == tried, f"{kind}: {survived} of {tried} survived"
    assert lost == 0, f"{kind}: {lost} bytes lost"
    name = os.environ.get(FILE_VARIABLE)
    if name:
        line = {"kind": kind, "outcome": outcome, "tried": tried, "survived": survived, "lost": lost}
        with Path(name).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def reports_of(script: ModuleType, plan: dict[str, Any]) -> list[dict[str, Any]]:
    """Run a script that forks, and read the JSON lines it prints."""
    command = [sys.executable, str(script.__file__), json.dumps(plan)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    run = subprocess.run(command, capture_output=True, text=True, timeout=900, env=environment)
    assert run.returncode == 0, run.stderr
    return [json.loads(line) for line in run.stdout.splitlines()]


def rows_of(lines: Iterable[str]) -> list[dict[str, Any]]:
    """Sum the lines of each kind, in the order in which the kinds came."""
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for line in map(json.loads, lines):
        row = rows.setdefault((line["kind"], line["outcome"]), {"tried": 0, "survived": 0, "lost": 0})
        for count in row:
            row[count] += line[count]
    return [{"kind": kind, "outcome": outcome, **counts} for (kind, outcome), counts in rows.items()]


def markdown(rows: list[dict[str, Any]]) -> str:
    lines = ["| fault | what you see | tried | survived | bytes lost |", "|---|---|---:|---:|---:|"]
    cells = "| {kind} | {outcome} | {tried} | {survived} | {lost} |"
    lines += [cells.format(**row) for row in rows]
    sums = {count: sum(row[count] for row in rows) for count in ("tried", "survived", "lost")}
    lines.append("| **all** | | **{tried}** | **{survived}** | **{lost}** |".format(**sums))
    return "\n".join(lines)


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "faults.jsonl")
        command = [sys.executable, "-m", "pytest", "-q", str(Path(__file__).parent)]
        done = subprocess.run(command, cwd=ROOT, env={**os.environ, FILE_VARIABLE: str(path)}, check=False)
        print(markdown(rows_of(path.read_text(encoding="utf-8").splitlines())))
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())

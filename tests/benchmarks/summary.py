"""The one table of the pulls: a row per operation and registry, a column per contestant."""

from __future__ import annotations

import importlib.metadata
import shutil
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tests.benchmarks.measure import Run, ratio
from tests.support.isolation import SPIN

OURS, LIMIT, NOTHING = "spincache-nb", "curl + openssl", "python -c pass"
PEERS = {
    "skopeo": ["skopeo", "--version"],
    "crane": ["crane", "version"],
    "oras": ["oras", "version"],
    "regctl": ["regctl", "version", "--format", "{{.VCSTag}}"],
    "spin": [SPIN or "spin", "--version"],
    "oras-py": [],
}
_OTHERS = {
    "curl": ["curl", "--version"],
    "openssl": ["openssl", "version"],
    "docker-registry": ["docker-registry", "--version"],
    "nginx": ["nginx", "-v"],
}
_POLICY = """\
Medians of {rounds} rounds in turned-round order; ratios are medians of the ratios within rounds.
`core` is what ran after the imports; `near-limit` is `curl --parallel` of the same blobs and then
`openssl dgst`, a whole process. Under a peer stand its seconds and, in brackets, our whole process as a
multiple of it, in wall clock and in CPU: below 1.00 we are faster. Ours does not wait for the disk (no
fsync; `durable=True` does), nor do curl, crane, oras, regctl and spin (seen with strace); skopeo calls
fsync; oras-py: not looked at. Everybody writes below the same temporary folder."""


@dataclass
class Summary:
    """What was measured so far, and who was not at hand."""

    rows: list[tuple[str, str, Mapping[str, Sequence[Run]]]] = field(default_factory=list)
    absent: set[str] = field(default_factory=set)

    def add(self, operation: str, place: str, runs: Mapping[str, Sequence[Run]]) -> None:
        """Take the runs of one operation; the names are those above."""
        self.rows.append((operation, place, runs))

    def show(self, rounds: int) -> None:
        """Print it, fit for the README."""
        peers = [peer for peer in PEERS if any(peer in runs for _, _, runs in self.rows)]
        heads = ["operation", "from", "core s", "process s", "near-limit s", "core ratio", "core CPU ratio",
                 "process ratio", "peak MiB", *peers, "of `python -c pass`"]  # fmt: skip
        print(f"\n### Pulls\n\n| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
        for operation, place, runs in self.rows:
            print(f"| {operation} | {place} | {' | '.join(_cells(runs, peers))} |")
        print(f"\n{_POLICY.format(rounds=rounds)}")
        print(f"\nNot at hand: {', '.join(sorted(self.absent)) or 'none'}.")
        print(f"\nVersions: {'; '.join(versions())}.")


def _cells(runs: Mapping[str, Sequence[Run]], peers: Sequence[str]) -> list[str]:
    mine, limit = runs[OURS], runs[LIMIT]
    walls = [run.wall for run in mine]
    cores = [run.inner_wall or run.wall for run in mine]
    core_cpus = [run.inner_cpu or run.cpu for run in mine]
    limits = [run.wall for run in limit]
    return [
        *(f"{statistics.median(values):.3f}" for values in (cores, walls, limits)),
        f"{ratio(cores, limits):.2f}",
        f"{ratio(core_cpus, [run.cpu for run in limit]):.2f}",
        f"{ratio(walls, limits):.2f}",
        f"{max(run.peak_bytes for run in mine) / (1 << 20):.0f}",
        *(_beside(mine, runs.get(peer)) for peer in peers),
        f"{ratio(walls, [run.wall for run in runs[NOTHING]]):.1f}" if NOTHING in runs else "",
    ]


def _beside(mine: Sequence[Run], theirs: Sequence[Run] | None) -> str:
    if theirs is None:
        return ""
    walls = [run.wall for run in theirs]
    wall = ratio([run.wall for run in mine], walls)
    cpu = ratio([run.cpu for run in mine], [run.cpu for run in theirs])
    return f"{statistics.median(walls):.3f} ({wall:.2f}, {cpu:.2f})"


def versions() -> list[str]:
    """What each program says of itself, as far as it is there."""
    found = [f"Python {sys.version.split()[0]}"]
    for name in ("httpx", "oras"):
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    for name, command in {**_OTHERS, **PEERS}.items():
        if command and shutil.which(command[0]):
            said = subprocess.run(command, capture_output=True, text=True, check=False)
            lines = (said.stdout + said.stderr).strip().splitlines()
            text = next((line.strip() for line in lines if line.strip()), "no version")
            text = " ".join(text.partition("(")[0].split())
            found.append(text if name in text.lower() else f"{name} {text}")
    return found

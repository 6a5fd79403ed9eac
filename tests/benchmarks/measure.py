"""Timing commands as whole processes, in turn, and comparing them pair by pair.

Every figure is the operating system's own accounting of a finished child (``os.wait4``). Contestants
take turns in every round, in an order that is turned round each time, so that a machine whose speed
drifts treats all alike; what is compared is the median of the ratios within rounds.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Run:
    """One finished run: seconds of wall clock and of CPU, peak memory in bytes.

    ``inner_wall`` and ``inner_cpu`` are what the command printed of itself, if it did: the work after
    imports. If it printed its peak memory too, that is taken. The system's figure for a child is never
    less than what the parent held when it started the child, so it is an upper bound.
    """

    wall: float
    cpu: float
    peak_bytes: int
    inner_wall: float | None = None
    inner_cpu: float | None = None


@dataclass(frozen=True)
class Contestant:
    """A command, and what is to be done before each run of it, outside the clock."""

    name: str
    command: Sequence[str]
    prepare: Callable[[], object] = lambda: None
    environment: dict[str, str] = field(default_factory=dict)


def run(contestant: Contestant) -> Run:
    """Run once; a command that fails ends the benchmark, since it measured nothing."""
    contestant.prepare()
    started = time.perf_counter()
    process = subprocess.Popen(
        list(contestant.command),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=_environment() | contestant.environment,
    )
    assert process.stdout is not None
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - started
    process.stdout.close()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"{contestant.name} failed with status {process.returncode}: {contestant.command}")
    inner = _inner(output)
    peak = int(inner.get("peak", usage.ru_maxrss * 1024))
    return Run(wall, usage.ru_utime + usage.ru_stime, peak, inner.get("wall"), inner.get("cpu"))


def _environment() -> dict[str, str]:
    """Ours, but Python keeps the bytecode it makes, as it does where a package was installed."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def _inner(output: bytes) -> dict[str, float]:
    """What a command says of itself in its last line."""
    lines = output.decode("utf-8", "replace").strip().splitlines()
    if lines and lines[-1].startswith('{"inner"'):
        return dict(json.loads(lines[-1])["inner"])
    return {}


def compete(contestants: Sequence[Contestant], *, rounds: int) -> dict[str, list[Run]]:
    """Run all of them in turn; one round more than asked for, whose figures are thrown away."""
    runs: dict[str, list[Run]] = {contestant.name: [] for contestant in contestants}
    for number in range(rounds + 1):
        order = contestants if number % 2 else list(reversed(contestants))
        for contestant in order:
            result = run(contestant)
            if number:
                runs[contestant.name].append(result)
    return runs


def ratio(mine: Sequence[float], other: Sequence[float]) -> float:
    """Median of the ratios within rounds."""
    return statistics.median(a / b for a, b in zip(mine, other, strict=True))


def row(name: str, runs: Sequence[Run], reference: Sequence[Run]) -> str:
    """A line of a Markdown table: medians, and ratios to the reference.

    What ran after imports is compared with what ran after imports in the reference, if it says so, else
    with the whole of it.
    """
    wall = statistics.median(r.wall for r in runs)
    cpu = statistics.median(r.cpu for r in runs)
    peak = max(r.peak_bytes for r in runs) / (1 << 20)
    inner_walls = [r.inner_wall for r in runs if r.inner_wall is not None]
    inner_cpus = [r.inner_cpu for r in runs if r.inner_cpu is not None]
    core = core_ratio = core_cpu = ""
    if inner_walls:
        core = f"{statistics.median(inner_walls):.3f}"
        walls = [r.wall if r.inner_wall is None else r.inner_wall for r in reference]
        cpus = [r.cpu if r.inner_cpu is None else r.inner_cpu for r in reference]
        core_ratio, core_cpu = f"{ratio(inner_walls, walls):.2f}", f"{ratio(inner_cpus, cpus):.2f}"
    wall_ratio = ratio([r.wall for r in runs], [r.wall for r in reference])
    cpu_ratio = ratio([r.cpu for r in runs], [r.cpu for r in reference])
    return (
        f"| {name} | {wall:.3f} | {wall_ratio:.2f} | {cpu:.3f} | {cpu_ratio:.2f} "
        f"| {core} | {core_ratio} | {core_cpu} | {peak:.0f} |"
    )


HEAD = (
    "| | wall s | ratio | CPU s | ratio | core s | core ratio | core CPU ratio | peak MiB |\n"
    "|---|---|---|---|---|---|---|---|---|"
)

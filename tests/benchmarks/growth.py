"""How each operation grows from 1x to 100x: the exponent of a log-log fit is at most 1.1.

``python -m tests.benchmarks growth``; asserted here and drawn to a PNG whose path is printed.
"""

from __future__ import annotations

import math
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import spincache_nb as sc
from tests.benchmarks.reads import many_apps, many_blobs

MOST = 1.1
FACTORS = (1, 3, 10, 30, 100)


def exponent(sizes: list[int], seconds: list[float]) -> float:
    """Slope of the least-squares line through the logarithms."""
    xs, ys = [math.log(size) for size in sizes], [math.log(second) for second in seconds]
    mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
    above = sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True))
    return above / sum((x - mean_x) ** 2 for x in xs)


def best(work: Callable[[], object], times: int = 3) -> float:
    """Least CPU seconds of some runs: what the work costs, less what others do to the machine."""
    found = []
    for _ in range(times):
        started = time.process_time()
        work()
        found.append(time.process_time() - started)
    return max(min(found), 1e-6)


def series() -> dict[str, tuple[list[int], list[float]]]:
    """Seconds by size, for each operation."""
    measured: dict[str, tuple[list[int], list[float]]] = {}

    def note(name: str, size: int, seconds: float) -> None:
        sizes, times = measured.setdefault(name, ([], []))
        sizes.append(size)
        times.append(seconds)

    os.environ["SPINCACHE_HISTORY"] = "off"
    for warmed in (sc.frames.load, sc.verify):  # the first of the sizes must not pay for imports
        warmed(sc.Cache("/nowhere"))
    for factor in FACTORS:
        with tempfile.TemporaryDirectory() as name:
            count = 500 * factor
            cache = sc.Cache(many_blobs(Path(name) / "b", count))
            note("blobs", count, best(lambda cache=cache: sc.frames.blobs(cache)))
            note("verify", count, best(lambda cache=cache: sc.verify(cache)))
            apps = 10 * factor
            cache = sc.Cache(many_apps(Path(name) / "a", apps, 100))
            names = ("apps", "layers", "uses")
            note(", ".join(names), apps, best(lambda cache=cache, names=names: sc.frames.load(cache, *names)))
            frames = sc.frames.load(cache)
            note("breakdown", apps, best(lambda frames=frames: sc.analysis.breakdown(frames)))
            note("sharing", apps, best(lambda frames=frames: sc.analysis.sharing(frames)))
            note("summary", apps, best(lambda frames=frames: sc.analysis.summary(frames)))
    return measured


def main() -> None:
    """Measure, print, draw, and fail where something grows too fast."""
    from matplotlib.figure import Figure

    measured = series()
    axes = (figure := Figure(figsize=(8, 5), layout="constrained")).add_subplot()
    too_fast = []
    print("\n### growth\n\n| operation | exponent | seconds at 1x | at 100x |\n|---|---|---|---|")
    for name, (sizes, seconds) in measured.items():
        slope = exponent(sizes, seconds)
        print(f"| {name} | {slope:.2f} | {seconds[0]:.4f} | {seconds[-1]:.3f} |")
        axes.loglog(sizes, seconds, "o-", label=f"{name}: {slope:.2f}")
        if slope > MOST:
            too_fast.append(f"{name} grows with exponent {slope:.2f}")
    axes.set_xlabel("apps, or blobs")
    axes.set_ylabel("CPU seconds")
    axes.legend()
    target = Path(tempfile.gettempdir()) / "spincache-growth.png"
    figure.savefig(target)
    print(f"\n{target}")
    if too_fast:
        raise SystemExit("; ".join(too_fast))

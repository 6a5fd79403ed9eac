"""How each operation grows with the number of apps, on each shape of cache: by an exponent of at most 1.1.

``python -m tests.benchmarks growth``; asserted here. What is counted is work, the CPU seconds of a process,
from 250 to 8,000 apps of a dozen layers.
"""

from __future__ import annotations

import math
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import spincache_nb as sc
from spincache_nb.core.cache import Cache
from spincache_nb.core.journal import History
from spincache_nb.upkeep import plan_prune, plan_remove
from tests.benchmarks.shapes import SHAPES, lay_out

MOST = 1.1
APPS = (250, 500, 1000, 2000, 4000, 8000)
LAYERS = 12


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


def operations(cache: Cache) -> dict[str, Callable[[], object]]:
    """What is measured, by name."""
    loaded = sc.frames.load(cache)
    analysis = ("breakdown", "sharing", "sharing_sets", "shared_bytes", "summary", "version_savings")
    frames = ("apps", "layers", "uses", "components", "files", "blobs", "problems", "disk")
    first = loaded.need("apps")["reference"].iloc[0]
    return {
        **{name: lambda name=name: getattr(sc.frames, name)(cache) for name in frames},
        **{name: lambda name=name: getattr(sc.analysis, name)(loaded) for name in analysis},
        "plan_remove": lambda: plan_remove(cache, [first]),
        "plan_prune": lambda: plan_prune(cache, keep_newest=1),
    }


def main() -> None:
    """Measure, print, and fail where something grows too fast."""
    os.environ["SPINCACHE_HISTORY"] = "off"
    too_fast = []
    print(f"\n### growth, {APPS[0]} to {APPS[-1]} apps\n\n| shape | operation | exponent | most seconds |")
    print("|---|---|---|---|")
    for shape in SHAPES:
        measured: dict[str, list[float]] = {}
        for apps in APPS:
            with tempfile.TemporaryDirectory() as name:
                laid_out = lay_out(Path(name), shape, apps, LAYERS)
                cache = Cache(laid_out.path.parent, history=History(enabled=False))
                for operation, work in operations(cache).items():
                    measured.setdefault(operation, []).append(best(work, 1 if apps > 1000 else 2))
        for operation, seconds in measured.items():
            slope = exponent([*APPS], seconds)
            print(f"| {shape} | {operation} | {slope:.2f} | {seconds[-1]:.3f} |")
            if slope > MOST:
                too_fast.append(f"{operation} of {shape} grows with exponent {slope:.2f}")
    if too_fast:
        raise SystemExit("; ".join(too_fast))

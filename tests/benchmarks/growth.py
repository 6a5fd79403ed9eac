"""How each operation grows with the number of apps, on each shape of cache: by an exponent of at most 1.1.

``python -m tests.benchmarks growth [--most APPS] [--only SHAPE ...] [--of OPERATION ...]``. Two kinds of work
are counted: calls of functions, which are the same on every machine, and CPU seconds of the process.
"""

from __future__ import annotations

import inspect
import itertools
import math
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path
from types import FrameType

import spincache_nb as sc
from spincache_nb import analysis, frames, upkeep
from spincache_nb.core.cache import Cache
from spincache_nb.core.journal import History
from tests.benchmarks.shapes import SHAPES, lay_out

MOST = 1.1
APPS = (250, 500, 1000, 2000, 4000, 8000)
LAYERS = 12
TOP = 20
"""Pairs of apps that `shared_bytes` is asked for; there are as many as the square of the apps."""

NOT_MEASURED = {
    **dict.fromkeys(("history", "tags_over_time", "timeline"), "reads the journal, no cache"),
    **dict.fromkeys(("remote_savings", "remote_versions"), "asks a registry"),
    **dict.fromkeys(
        ("chunk_sweep", "grains", "producers", "section_map", "section_maps", "verdict", "why_changed"),
        "looks at one blob or two",
    ),
    "headline": "puts one table into words",
    **dict.fromkeys(("load", "check_cache", "repair", "is_damage"), "made of what is measured"),
}
"""Public functions whose work does not grow with the apps of a cache, or that others here stand for."""

OPENS_BLOBS = ("cache_grains", "rebuilds", "shared_modules")


def operations(cache: Cache, folder: Path) -> dict[str, Callable[[], object]]:
    """What is measured, by name: public functions of frames and analysis, plans, report and panel."""
    loaded = frames.load(cache)
    references = loaded.need("apps")["reference"].tolist()
    repository = loaded.need("apps")["repository"].astype(str).iloc[0]
    digest = loaded.need("uses")["digest"].astype(str).iloc[0] if len(loaded.need("uses")) else None
    more: dict[str, tuple[object, ...]] = {
        "compare": tuple(references[:2]),
        "freed_by": (references[::2],),
        "upgrade_matrix": (repository,),
        "why": (digest,),
    }
    found: dict[str, Callable[[], object]] = {
        name: partial(getattr(frames, name), cache) for name in public(frames)
    }
    for name in public(analysis):
        if name != "why" or digest is not None:
            given = cache if name in OPENS_BLOBS else loaded
            found[name] = partial(getattr(analysis, name), given, *more.get(name, ()))
    return found | {
        "shared_bytes": partial(analysis.shared_bytes, loaded, top=TOP),
        "plan_remove": partial(upkeep.plan_remove, cache, references[:1]),
        "plan_remove half": partial(upkeep.plan_remove, cache, references[::2]),
        "plan_prune": partial(upkeep.plan_prune, cache),
        "plan_prune newest": partial(upkeep.plan_prune, cache, keep_newest=1),
        "plan_clear": partial(upkeep.plan_clear, cache),
        "verify": partial(sc.verify, cache, jobs=1),
        "report.write": partial(sc.report.write, cache, folder / "report.html"),
        "panel": partial(every_tab, cache),
    }


def public(module: object) -> list[str]:
    """Functions of a package that are measured."""
    names: list[str] = module.__all__  # type: ignore[attr-defined]
    return [name for name in names if inspect.isfunction(getattr(module, name)) and name not in NOT_MEASURED]


def every_tab(cache: Cache) -> None:
    """Open the panel and turn to each of its tabs."""
    panel = sc.widgets.panel(cache)
    try:
        for title in panel.tabs.titles:
            panel.turn(title)
            panel.wait()
    finally:
        panel.close()


# Counting ---------------------------------------------------------------------------------------


def calls(work: Callable[[], object]) -> int:
    """Functions that are called, of Python and of C, in all threads that the work starts."""
    counts = itertools.count()

    def count(_frame: FrameType, event: str, _argument: object) -> None:
        if event in ("call", "c_call"):
            next(counts)

    threading.setprofile(count)
    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)  # type: ignore[arg-type]  # as documented
    return next(counts)


def seconds(work: Callable[[], object], times: int) -> float:
    """Least CPU seconds of some runs: what the work costs, less what others do to the machine."""
    found = []
    for _ in range(times):
        started = time.process_time()
        work()
        found.append(time.process_time() - started)
    return max(min(found), 1e-6)


def exponent(sizes: Sequence[int], work: Sequence[float]) -> float:
    """Slope of the least-squares line through the logarithms."""
    xs, ys = [math.log(size) for size in sizes], [math.log(one) for one in work]
    mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
    above = sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True))
    return above / sum((x - mean_x) ** 2 for x in xs)


def growth(first: float, second: float, third: float) -> float:
    """Exponent from the work for n, 2n and 4n apps, whatever is done for none."""
    return math.log2(max(third - second, 1) / max(second - first, 1))


def no_history(cache: Cache) -> Cache:
    """The same cache, without this user's record of pulls."""
    return Cache(cache.path.parent, history=History(enabled=False))


def main(most: int, shapes: Collection[str] = (), only: Collection[str] = ()) -> None:
    """Measure, print, and fail where something grows too fast."""
    os.environ["SPINCACHE_HISTORY"] = "off"
    sizes = [apps for apps in APPS if apps <= most]
    too_fast = []
    print(f"\n### growth, {sizes[0]} to {sizes[-1]} apps of {LAYERS} layers\n")
    print("| shape | operation | exponent of calls | of CPU | most seconds |\n|---|---|---|---|---|")
    for shape in shapes or SHAPES:
        counted: dict[str, list[float]] = {}
        timed: dict[str, list[float]] = {}
        for apps in sizes:
            with tempfile.TemporaryDirectory() as name:
                cache = no_history(lay_out(Path(name) / "cache", shape, apps, LAYERS))
                for operation, work in operations(cache, Path(name)).items():
                    if not only or operation in only:
                        work()
                        timed.setdefault(operation, []).append(seconds(work, 3 if apps < 1000 else 1))
                        if apps in sizes[:3]:  # which are enough for what is the same each time
                            counted.setdefault(operation, []).append(calls(work))
        for operation, took in timed.items():
            slopes = exponent(sizes[:3], counted[operation]), exponent(sizes, took)
            print(
                f"| {shape} | {operation} | {slopes[0]:.2f} | {slopes[1]:.2f} | {took[-1]:.3f} |", flush=True
            )
            if max(slopes) > MOST:
                too_fast.append(f"{operation} of {shape} ({max(slopes):.2f})")
    if too_fast:
        raise SystemExit(f"these grow with an exponent above {MOST}: {', '.join(too_fast)}")

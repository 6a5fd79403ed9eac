"""A plan for 10**9 rows, simulated: ``python -m tests.benchmarks.fleet_plan FOLDER [FOLDER ...]``.

The plan is told in the docstring of `spincache_nb.fleet`. Its figures are made here. The folders hold
datasets of `tests.benchmarks.fleet`, smallest first, each ten times the one before up to a tenth of
10**9 rows. On each, the three shuffles are measured step by step on one thread; then two workers run the
analyses. What that takes beyond the steps is the price of moving a byte. How many rows are left after a
batch was summed up grows with the fleet, whose hosts have less and less in common: by as much for every
factor of ten. From the third dataset on, what the two before foretell is printed beside what it took. In
the end 10**9 rows are simulated with what the last two showed: tasks that take unequally long are given
to whichever worker is free, and a worker may die.
"""

from __future__ import annotations

import argparse
import heapq
import importlib
import math
import random
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from spincache_nb import fleet
from spincache_nb.fleet import kernels
from spincache_nb.fleet.catalog import Catalog
from spincache_nb.fleet.engines import rows
from spincache_nb.fleet.engines.base import version_arrays
from spincache_nb.fleet.engines.in_dask import ROWS_PER_PARTITION, ROWS_PER_TASK
from spincache_nb.fleet.replaying import fetch_sums
from tests.benchmarks.fleet import ANALYSES, measured, two_workers

BILLION = 1_000_000_000
CLIENT_CORES = 8
DOLLARS_PER_CORE_HOUR = 0.05
NETWORK_BYTES_PER_SECOND = 250e6
"""Of each worker."""
SPREAD = 0.15
"""Standard deviation of the logarithm of how long alike tasks take."""
STEPS = {"sharing": ("blobs", "manifests"), "version_savings": ("parts",)}
"""The shuffles of each analysis."""


@dataclass(frozen=True)
class Rates:
    """What one shuffle takes, per row of the table that is read, on one thread.

    Parameters
    ----------
    read, add
        Seconds to read and sum up a batch, and to merge its result in a partition.
    left
        Rows that are left of one after a batch was summed up.
    width
        Bytes of a row that is shuffled.
    move
        Seconds to move a byte of these.
    """

    read: float
    add: float
    left: float
    width: float
    move: float = 0.0

    @property
    def moved(self) -> float:
        """Bytes."""
        return self.left * self.width

    @property
    def seconds(self) -> float:
        """All of it."""
        return self.read + self.add + self.moved * self.move


@dataclass(frozen=True)
class Shown:
    """What a dataset showed: rows of each table, rates of each shuffle, seconds per row on the client."""

    counts: Mapping[str, int]
    rates: Mapping[str, Rates]
    client: float

    def table(self, step: str) -> int:
        """Rows that a shuffle reads."""
        return self.counts["layers" if step == "parts" else "uses"]


def trend(earlier: Shown, latest: Shown, count: int) -> Shown:
    """What is to be expected of so many rows of uses, and as many of the others as fit to them."""
    factor = count / latest.counts["uses"]
    steps = math.log(factor) / math.log(latest.counts["uses"] / earlier.counts["uses"])
    rates = {}
    for name, rate in latest.rates.items():
        left = rate.left + steps * (rate.left - earlier.rates[name].left)
        rates[name] = replace(rate, left=min(1.0, max(0.0, left)))
    counts = {table: round(rows * factor) for table, rows in latest.counts.items()}
    return Shown(counts, rates, latest.client)


def show(opened: fleet.Fleet) -> Shown:
    """Measure each of the three shuffles on two batches."""
    catalog = opened._catalog
    counts = {table: catalog.dataset.row_count(table) for table in ("uses", "layers", "digests")}
    _, _, client = measured(lambda: _on_client(catalog), ["self"])
    versions = catalog.versions()
    arrays = version_arrays(versions)
    per_host = counts["uses"] // len(opened.hosts)
    batch = max(1, ROWS_PER_TASK // per_host)
    version_jobs = catalog.version_jobs(versions["version"].to_numpy())
    rates = {
        "blobs": _rates(catalog.jobs(), batch, "uses", rows.blobs, kernels.merge_blobs),
        "manifests": _rates(catalog.manifest_jobs(), batch, "uses", rows.manifests, kernels.count_manifests),
        "parts": _rates(
            version_jobs, batch, "layers", rows.parts, lambda found: fetch_sums(found, *arrays, "spin")
        ),
    }
    return Shown(counts, rates, client / counts["uses"])


def _on_client(catalog: Catalog) -> None:
    catalog.check_keys()
    catalog.number_versions()


def _rates(
    jobs: list[Any], batch: int, table: str, read: Callable[[Any], Any], add: Callable[[Any], Any]
) -> Rates:
    spread = jobs[:: max(1, len(jobs) // (2 * batch))][: 2 * batch]
    count = rows.row_count(spread, table)
    found, _, reading = measured(lambda: [read(some) for some in rows.batches(spread, batch)], ["self"])
    together = rows.joined(found)
    _, _, adding = measured(lambda: add(together), ["self"])
    width = float(together.memory_usage(index=False).sum()) / len(together)
    return Rates(reading / count, adding / count, len(together) / count, width)


@dataclass(frozen=True)
class Foretold:
    """What one shuffle, or several one after the other, take on a cluster."""

    seconds: float
    core_seconds: float
    moved: float
    partition_bytes: float
    tasks: int


def foretell(count: int, rates: Rates, workers: int, *, lost_at: float | None = None) -> Foretold:
    """Simulate one shuffle and what comes before and after it.

    Parameters
    ----------
    count
        Rows of the table.
    rates
        Measured.
    workers
        Of one thread each.
    lost_at
        Part of the reading phase after which a worker dies, and the shuffle begins again.
    """
    draw = random.Random(1)
    tasks = max(2 * workers, -(-count // ROWS_PER_TASK))
    partitions = max(2 * workers, -(-count // ROWS_PER_PARTITION))
    moved = count * rates.moved
    reading = _makespan(tasks, (count * rates.read + moved * rates.move / 2) / tasks, workers, draw)
    if lost_at is not None:
        reading += reading * lost_at * workers / max(1, workers - 1)
    crossing = moved * (workers - 1) / workers / (workers * NETWORK_BYTES_PER_SECOND)
    adding = _makespan(partitions, (count * rates.add + moved * rates.move / 2) / partitions, workers, draw)
    return Foretold(
        max(reading, crossing) + adding, count * rates.seconds, moved, moved / partitions, tasks + partitions
    )


def _makespan(tasks: int, seconds: float, workers: int, draw: random.Random) -> float:
    """When the last of some tasks is done, each given to the worker that is free first."""
    free = [0.0] * workers
    for _ in range(tasks):
        start = heapq.heappop(free)
        heapq.heappush(free, start + seconds * draw.lognormvariate(0.0, SPREAD))
    return max(free)


def compare(folder: Path, earlier: list[Shown]) -> Iterator[str]:
    """Run a dataset on two workers, beside what two earlier ones foretell; add what it showed to these."""
    with fleet.open(folder, engine="duckdb") as opened:
        shown = show(opened)
        size = sum(marker.size_bytes for marker in opened._catalog.dataset.markers)
        yield f"{shown.counts}, {len(opened.hosts):,} hosts, {size / 1e9:.1f} GB"
    rates = dict(shown.rates)
    with two_workers() as (client, processes), fleet.open(folder, engine="dask", client=client) as opened:
        client.run(importlib.import_module, "spincache_nb.fleet.engines.in_dask")
        _, took, busy = measured(lambda: _on_client(opened._catalog), processes)
        yield f"  check of keys and numbering on the client: {took:.1f} s, {busy:.1f} s of processor"
        for name, steps in STEPS.items():
            _, took, busy = measured(lambda name=name: ANALYSES[name][1](opened), processes)  # type: ignore[misc]
            known = sum(shown.table(step) * shown.rates[step].seconds for step in steps)
            moved = sum(shown.table(step) * shown.rates[step].moved for step in steps)
            for step in steps:
                rates[step] = replace(rates[step], move=max(0.0, busy - known) / moved)
            line = f"  {name}: {took:.1f} s, {busy:.1f} s of processor ({known:.1f} s in the steps)"
            if len(earlier) > 1:
                told = trend(*earlier[-2:], shown.counts["uses"])
                found = [foretell(told.table(step), told.rates[step], 2) for step in steps]
                line += f"; foretold {sum(one.seconds for one in found):.1f} s, "
                line += f"{sum(one.core_seconds for one in found):.1f} s of processor"
            yield line
    for step, rate in rates.items():
        yield (
            f"  {step}: {rate.read * 1e6:.2f} + {rate.add * 1e6:.2f} core seconds per million rows, "
            f"{rate.left:.0%} of the rows left, {rate.width:.0f} bytes each, {rate.move * 1e9:.0f} ns a byte"
        )
    earlier.append(replace(shown, rates=rates))


def plan(told: Shown) -> Iterator[str]:
    """What 10**9 rows of uses, and as many of layers, take on clusters of three sizes."""
    client = told.client * told.counts["uses"] / CLIENT_CORES
    yield f"{told.counts}: {client:.0f} s on {CLIENT_CORES} cores of the client"
    for workers in (16, 64, 256):
        for lost_at in (None, 0.5, 1.0):
            found = {
                step: foretell(told.table(step), rate, workers, lost_at=lost_at)
                for step, rate in told.rates.items()
            }
            seconds = sum(one.seconds for one in found.values())
            cost = (seconds + client) * workers / 3600 * DOLLARS_PER_CORE_HOUR
            moved = ", ".join(f"{step} {one.moved / 1e9:.0f} GB" for step, one in found.items())
            largest = max(one.partition_bytes for one in found.values())
            lost = "" if lost_at is None else f", one lost after {lost_at:.0%} of the reading"
            yield (
                f"  {workers} workers{lost}: {seconds:.0f} s after that (${cost:.2f}); "
                f"shuffles: {moved}; partitions of {largest / 1e6:.0f} MB; "
                f"{sum(one.tasks for one in found.values()):,} tasks"
            )


def main() -> None:
    """Print all of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path)
    shown: list[Shown] = []
    for folder in parser.parse_args().folders:
        for line in compare(folder, shown):
            sys.stdout.write(line + "\n")
            sys.stdout.flush()
    for line in plan(trend(*shown[-2:], BILLION)) if len(shown) > 1 else ():
        sys.stdout.write(line + "\n")


if __name__ == "__main__":
    main()

"""Speed and memory of the fleet's engines, by hand: ``python -m tests.benchmarks.fleet 10e6 FOLDER``.

Writes a made-up fleet (seed 1) of about so many rows of uses, and as many of layers, into the folder,
unless it is there, and runs every analysis with every engine in a process of its own that has done
nothing else. Rows per second are those of the table that an analysis reads; ``seconds`` are by the clock
and without the check of keys, which every analysis needs once (``check_seconds``). Where others use the
machine too, seconds of processor compare better. Memory is the most that the process ever held (VmHWM);
for Dask, two workers with a thread each do the work, and the figures of all three processes are added up.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from spincache_nb import fleet
from spincache_nb.demo.fleet import FleetPlan, write_fleet

ROWS_PER_HOST = 50_000
APPS_PER_HOST = 640
SIZE = 2**20

ANALYSES: dict[str, tuple[str, Callable[[fleet.Fleet], Any]]] = {
    "sharing": ("uses", lambda opened: opened.sharing(top=1000)),
    "sharing of all": ("uses", lambda opened: opened.sharing()),
    "version_savings": ("layers", lambda opened: opened.version_savings()),
    "overview": ("uses", lambda opened: [opened.summary(), opened.host_overlap(), opened.prewarm()]),
    "pairs": ("uses", lambda opened: [opened.host_pairs(), opened.shared_bytes()]),
    "unreferenced": ("uses", lambda opened: opened.unreferenced()),
}
"""The table that each reads, and what it does."""


def plan_for(rows: int) -> FleetPlan:
    """A fleet with about so many rows of uses, of whose digests about 9 % are distinct."""
    return FleetPlan(
        hosts=max(2, rows // ROWS_PER_HOST),
        apps_per_host=APPS_PER_HOST,
        files_per_app=85,
        repositories=max(320, rows // 2_100),
        versions=9,
        changed_share=0.1,
    )


def prepare(rows: int, folder: Path) -> str:
    """Write the fleet unless it is there."""
    mark = folder / f"rows-{rows}"
    if not mark.exists():
        started = time.monotonic()
        written = write_fleet(folder, plan_for(rows))
        mark.touch()
        size = sum(one.size_bytes for one in written)
        return f"wrote {len(written)} snapshots, {size / SIZE:.0f} MiB, {time.monotonic() - started:.0f} s"
    return "the fleet is there"


def peak_bytes(process: str = "self") -> int:
    """Most memory that a process ever held."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def cpu_seconds(process: str = "self") -> float:
    """Time that all threads of a process have spent on a processor."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measured(work: Callable[[], Any], processes: list[str]) -> tuple[Any, float, float]:
    """Run something: its result, seconds, and seconds of processor."""
    busy = sum(map(cpu_seconds, processes))
    started = time.monotonic()
    found = work()
    seconds = time.monotonic() - started
    return found, round(seconds, 2), round(sum(map(cpu_seconds, processes)) - busy, 2)


@contextlib.contextmanager
def two_workers() -> Iterator[tuple[Any, list[str]]]:
    """A client of two worker processes, and the processes."""
    import logging

    from distributed import Client, LocalCluster

    logging.getLogger("distributed").setLevel(logging.ERROR)
    with (
        tempfile.TemporaryDirectory() as scratch,
        LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            dashboard_address=None,
            scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
            local_directory=scratch,
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client, ["self", *(str(worker.pid) for worker in cluster.workers.values())]


@contextlib.contextmanager
def watched(folder: Path) -> Iterator[list[int]]:
    """Look every tenth of a second how large a folder is: the one number is the most it was."""
    most, done = [0], threading.Event()

    def watch() -> None:
        while not done.wait(0.1):
            with contextlib.suppress(FileNotFoundError):
                most[0] = max(most[0], sum(path.stat().st_blocks * 512 for path in folder.rglob("*")))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield most
    finally:
        done.set()
        thread.join()


def run(engine: str, analysis: str, folder: str, memory_limit: str | None) -> dict[str, Any]:
    """Measure one analysis in this process."""
    table, work = ANALYSES[analysis]
    with contextlib.ExitStack() as stack:
        client, processes = stack.enter_context(two_workers()) if engine == "dask" else (None, ["self"])
        spill = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        most = stack.enter_context(watched(spill))
        opened = stack.enter_context(
            fleet.open(folder, engine=engine, client=client, memory_limit=memory_limit, spill_folder=spill)  # type: ignore[arg-type]
        )
        rows = opened._catalog.dataset.row_count(table)
        before = sum(map(peak_bytes, processes))
        _, check, check_busy = measured(opened._catalog.check_keys, processes)
        found, seconds, busy = measured(lambda: work(opened), processes)
        peak = sum(map(peak_bytes, processes))
        return {
            "engine": engine,
            "what": analysis,
            "rows": rows,
            "seconds": seconds,
            "cpu_seconds": busy,
            "million_rows_per_second": round(rows / seconds / 1e6, 2),
            "check_seconds": check,
            "check_cpu_seconds": check_busy,
            "peak_mib": round(peak / SIZE),
            "bytes_per_row": round(peak / rows, 1),
            "bytes_per_row_beyond_start": round((peak - before) / rows, 1),
            "spilled_mib": round(most[0] / SIZE),
            "result_rows": len(found),
        }


def main() -> None:
    """Measure, one process per engine and analysis."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", type=lambda text: int(float(text)))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--engines", default="duckdb,pandas,dask")
    parser.add_argument("--analyses", default=",".join(ANALYSES))
    parser.add_argument("--memory-limit", help="of DuckDB, such as 1GB")
    parser.add_argument("--one", action="store_true", help="in this process")
    args = parser.parse_args()
    if args.one:
        found = run(args.engines, args.analyses, str(args.folder), args.memory_limit)
        sys.stdout.write(json.dumps(found) + "\n")
        return
    sys.stdout.write(prepare(args.rows, args.folder) + "\n")
    sys.stdout.flush()
    command = [sys.executable, "-m", "tests.benchmarks.fleet", str(args.rows), str(args.folder), "--one"]
    limit = ["--memory-limit", args.memory_limit] if args.memory_limit else []
    for analysis in args.analyses.split(","):
        for engine in args.engines.split(","):
            one = ["--engines", engine, "--analyses", analysis, *limit]
            subprocess.run([*command, *one], check=True)


if __name__ == "__main__":
    main()

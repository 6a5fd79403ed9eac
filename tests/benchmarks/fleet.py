"""Speed and memory of the fleet's engines, by hand: ``python -m tests.benchmarks.fleet 10e6 FOLDER``.

Writes a made-up fleet of about so many rows of uses (and as many of layers) into the folder, unless it
is there, and runs each engine in a process of its own. Rows per second are those of the table that an
analysis reads, by the clock; where others use the machine too, seconds of processor compare better.
Memory is the peak of the process beyond what it had before. For Dask, two workers with a thread each do
the work; their memory is added up.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from spincache_nb import fleet
from spincache_nb.demo.fleet import FleetPlan, write_fleet

ROWS_PER_HOST = 50_000
APPS_PER_HOST = 640
SIZE = 2**20


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
    """Peak of the resident memory since it was last reset."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def reset_peak(process: str = "self") -> None:
    """Begin to measure the peak anew."""
    Path(f"/proc/{process}/clear_refs").write_text("5")


def cpu_seconds(process: str = "self") -> float:
    """Time that all threads of a process have spent on a processor."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measured(work: Callable[[], Any], processes: list[str]) -> tuple[Any, float, float, int]:
    """Run something: its result, seconds, seconds of processor, and peak bytes beyond those before it."""
    for process in processes:
        reset_peak(process)
    before = sum(peak_bytes(process) for process in processes)
    busy = sum(cpu_seconds(process) for process in processes)
    started = time.monotonic()
    found = work()
    seconds = time.monotonic() - started
    busy = sum(cpu_seconds(process) for process in processes) - busy
    return found, seconds, busy, sum(peak_bytes(process) for process in processes) - before


def run(engine: str, folder: str, options: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Measure one engine in this process."""
    cluster: Any = None
    processes = ["self"]
    if engine == "dask":
        import logging

        from distributed import Client, LocalCluster

        logging.getLogger("distributed").setLevel(logging.ERROR)

        cluster = LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None)
        options["client"] = Client(cluster)
        processes += [str(worker.pid) for worker in cluster.workers.values()]
    with fleet.open(folder, engine=engine, **options) as opened:  # type: ignore[arg-type]
        dataset = opened._catalog.dataset
        uses, layers = dataset.row_count("uses"), dataset.row_count("layers")
        steps: list[tuple[str, int, Callable[[], Any]]] = [
            ("check of keys", dataset.row_count("digests"), lambda: opened._catalog.checked),
            ("summary", uses, opened.summary),
            ("sharing", uses, lambda: opened.sharing(top=1000)),
            ("version_savings", layers, opened.version_savings),
            ("host_overlap", uses, opened.host_overlap),
        ]
        for name, rows, work in steps:
            found, seconds, busy, peak = measured(work, processes)
            yield {
                "engine": engine,
                "what": name,
                "rows": rows,
                "seconds": round(seconds, 2),
                "cpu_seconds": round(busy, 2),
                "million_rows_per_second": round(rows / seconds / 1e6, 2),
                "peak_mib": round(peak / SIZE),
                "bytes_per_row": round(peak / rows, 1),
                "result_rows": len(found) if hasattr(found, "__len__") else None,
            }
    if cluster is not None:
        options["client"].close()
        cluster.close()


def main() -> None:
    """Measure, one process per engine."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", type=lambda text: int(float(text)))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--engines", default="duckdb,pandas,dask")
    parser.add_argument("--memory-limit")
    parser.add_argument("--one", action="store_true", help="in this process")
    args = parser.parse_args()
    options = {"memory_limit": args.memory_limit} if args.memory_limit else {}
    if args.one:
        for line in run(args.engines, str(args.folder), options):
            sys.stdout.write(json.dumps(line) + "\n")
            sys.stdout.flush()
        return
    sys.stdout.write(prepare(args.rows, args.folder) + "\n")
    for engine in args.engines.split(","):
        command = [sys.executable, "-m", "tests.benchmarks.fleet", str(args.rows), str(args.folder)]
        limit = ["--memory-limit", args.memory_limit] if args.memory_limit else []
        subprocess.run([*command, "--one", "--engines", engine, *limit], check=True)


if __name__ == "__main__":
    main()

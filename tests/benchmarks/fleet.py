"""Speed and memory of the fleet's analyses, by hand: ``python -m tests.benchmarks.fleet 10e6 FOLDER``.

Writes a made-up fleet (seed 1) of about so many needs into the folder, unless it is there, and runs every
analysis in a process of its own that has done nothing else; beside it SQL written by hand for that question
alone, on the same files. Where others use the machine too, seconds of processor compare better. Memory is the
most that the process ever held (VmHWM), without what it held when the fleet was open.
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
from numbers import Number
from pathlib import Path
from typing import Any

import pandas as pd

from spincache_nb import fleet
from tests.support.made_up_fleet import FleetPlan, write_fleet

ROWS_PER_HOST = 50_000
APPS_PER_HOST = 640
HELD_VERSIONS = 2.0
SIZE = 2**20

ANALYSES: dict[str, Callable[[fleet.Fleet], Any]] = {
    "sharing": lambda opened: opened.sharing(top=1000, names=False),
    "sharing of all": lambda opened: opened.sharing(),
    "version_savings": lambda opened: opened.version_savings(),
    "summary": lambda opened: opened.summary(),
    "host_overlap": lambda opened: opened.host_overlap(),
    "prewarm": lambda opened: opened.prewarm(),
    "host_pairs": lambda opened: opened.host_pairs(),
    "shared_bytes": lambda opened: opened.shared_bytes(),
    "unreferenced": lambda opened: opened.unreferenced(),
    "versions": lambda opened: opened.versions(),
}
_BLOBS = "FROM '{files}' WHERE record = 'blob' AND use_count > 0"
BY_HAND = {
    "sharing": f"""
        WITH top AS (
            SELECT digest {_BLOBS} GROUP BY digest
            ORDER BY sum(stored_bytes * (use_count - 1)) DESC, digest LIMIT 1000
        ), need AS MATERIALIZED (
            SELECT digest, host, reference, kind, area, stored_bytes
            FROM '{{files}}' SEMI JOIN top USING (digest) WHERE record = 'need' AND area IS NOT NULL
        ), app AS (
            SELECT host, reference, coalesce(
                manifest_digest, min(manifest_digest) OVER (PARTITION BY layers_digest), layers_digest
            ) AS made_of FROM '{{files}}' WHERE record = 'app'
        ), users AS (
            SELECT digest, sum(stored_bytes) AS needed_bytes, count(DISTINCT host) AS host_count,
                   count(DISTINCT (host, reference)) AS user_count,
                   count(DISTINCT (host, reference)) FILTER (kind = 'app') AS app_count,
                   count(DISTINCT made_of) FILTER (kind = 'app') AS manifest_count
            FROM need LEFT JOIN app USING (host, reference) GROUP BY digest
        ), copies AS (
            SELECT digest, sum(stored) AS stored_bytes, sum(size) AS distinct_bytes FROM (
                SELECT digest, area, sum(size) AS stored, max(size) AS size FROM (
                    SELECT digest, area, host, max(stored_bytes) AS size FROM need GROUP BY ALL) GROUP BY ALL)
            GROUP BY digest
        )
        SELECT *, needed_bytes - stored_bytes AS saved_bytes FROM users JOIN copies USING (digest)
    """,
    "summary": f"""
        SELECT sum(n) AS blob_count, sum(l) AS logical_bytes, sum(s) AS stored_bytes,
               count(*) AS distinct_blob_count, sum(m) AS distinct_bytes,
               any_value(app_count) AS app_count, any_value(disk) AS disk_bytes
        FROM (
            SELECT sum(stored_bytes * use_count) AS l, sum(stored_bytes) AS s, count(*) AS n,
                   max(stored_bytes) AS m
            {_BLOBS} GROUP BY digest, area)
        CROSS JOIN (SELECT count(*) FILTER (record = 'app') AS app_count,
                           sum(stored_bytes) FILTER (record = 'disk') AS disk
                    FROM '{{files}}' WHERE record IN ('app', 'disk', 'problem', 'snapshot'))
    """,
    "host_overlap": f"""
        WITH firsts AS (
            SELECT f AS host, sum(m) AS new_bytes, sum(CASE WHEN c = 1 THEN m END) AS only_here_bytes FROM (
                SELECT min(host) AS f, count(*) AS c, max(stored_bytes) AS m {_BLOBS} GROUP BY digest, area)
            GROUP BY f
        ), stored AS (
            SELECT host, count(*) AS blob_count, sum(stored_bytes) AS stored_bytes {_BLOBS} GROUP BY host
        )
        SELECT host, blob_count, stored_bytes, coalesce(new_bytes, 0) AS new_bytes,
               coalesce(only_here_bytes, 0) AS only_here_bytes
        FROM stored LEFT JOIN firsts USING (host)
    """,
    "prewarm": f"""
        SELECT c AS host_count, count(*) AS blob_count, sum(m) AS distinct_bytes, sum(s) AS stored_bytes
        FROM (
            SELECT count(*) AS c, max(stored_bytes) AS m, sum(stored_bytes) AS s
            {_BLOBS} GROUP BY digest, area)
        GROUP BY c
    """,
    "unreferenced": """
        WITH idle AS (SELECT * FROM '{files}' WHERE standing = 'unreferenced')
        SELECT idle.host, digest, area, stored_bytes, modified_at, coalesce(c, 0) AS used_by_hosts
        FROM idle LEFT JOIN (
            SELECT digest, count(DISTINCT host) AS c FROM '{files}' SEMI JOIN idle USING (digest)
            WHERE record = 'blob' AND use_count > 0 GROUP BY digest) USING (digest)
    """,
}
"""What somebody would write who asks for just that: the same figures, which are compared."""


def plan_for(rows: int, held_versions: float = HELD_VERSIONS) -> FleetPlan:
    """A fleet with about so many rows of uses, of whose digests about 9 % are distinct.

    Of those of one host 64 % are, if it holds two versions of each repository that it uses; where a host
    holds five, as one does from whose cache nobody removes anything, 43 %.
    """
    return FleetPlan(
        hosts=max(2, rows // ROWS_PER_HOST),
        apps_per_host=APPS_PER_HOST,
        files_per_app=85,
        repositories=max(320, rows // 2_100),
        versions=max(9, int(2 * held_versions)),
        changed_share=0.1,
        held_versions=held_versions,
    )


def prepare(rows: int, folder: Path, held_versions: float) -> str:
    """Write the fleet unless it is there, and say what a row of it takes."""
    mark = folder / f"rows-{rows}"
    if not mark.exists():
        write_fleet(folder, plan_for(rows, held_versions))
        mark.touch()
    with fleet.open(folder) as opened:
        size = int(opened.snapshots()["size_bytes"].sum())
        needs = opened._run("SELECT count(*) AS n, count(role) AS layers FROM needs").to_pylist()[0]
        hosts = opened._run("SELECT count(DISTINCT digest) AS n FROM needs GROUP BY host").to_pydict()["n"]
    return (
        f"{len(hosts)} snapshots, {size / 1e6:.1f} MB, {needs['n']} needs, "
        f"{needs['layers']} of them layers and configs, "
        f"{sum(hosts)} digests within hosts: {size / needs['n']:.1f} bytes a need, "
        f"{size / sum(hosts):.1f} a digest, of which 32 are the digest"
    )


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


def sums(found: Any) -> dict[str, int]:
    """Totals of whole numbers in a frame or an Arrow table."""
    frame = found if isinstance(found, pd.DataFrame) else found.to_pandas()
    return {name: int(frame[name].sum()) for name in frame if isinstance(frame[name].iloc[0], Number)}


def run(what: str, folder: str, memory_limit: str | None, *, by_hand: bool) -> dict[str, Any]:
    """Measure one analysis in this process."""
    with contextlib.ExitStack() as stack:
        spill = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        most = stack.enter_context(watched(spill))
        opened = stack.enter_context(fleet.open(folder, memory_limit=memory_limit, spill_folder=spill))
        work: Callable[[], Any] = lambda: ANALYSES[what](opened)  # noqa: E731
        if by_hand:
            query = BY_HAND[what].replace("{files}", f"{folder}/host=*/day=*/*.parquet")
            work = lambda: opened._engine.run(query)  # noqa: E731
        rows, before = opened.row_count, peak_bytes()
        found, seconds, busy = measured(work, ["self"])
        return {
            "what": what + (" by hand" if by_hand else ""),
            "rows": rows,
            "seconds": seconds,
            "cpu_seconds": busy,
            "peak_mib": round(peak_bytes() / SIZE),
            "bytes_per_row": round((peak_bytes() - before) / rows, 1),
            "spilled_mib": round(most[0] / SIZE),
            "result_rows": len(found),
            "sums": sums(found),
        }


def main() -> None:
    """Measure, one process per analysis."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", type=lambda text: int(float(text)))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--analyses", default=",".join(ANALYSES))
    parser.add_argument(
        "--held-versions", type=float, default=HELD_VERSIONS, help="of a repository on a host"
    )
    parser.add_argument("--memory-limit", help="of DuckDB, such as 1GB")
    parser.add_argument("--one", choices=("fleet", "hand"), help="in this process")
    args = parser.parse_args()
    if args.one:
        found = run(args.analyses, str(args.folder), args.memory_limit, by_hand=args.one == "hand")
        sys.stdout.write(json.dumps(found) + "\n")
        return
    sys.stdout.write(prepare(args.rows, args.folder, args.held_versions) + "\n")
    sys.stdout.flush()
    command = [sys.executable, "-m", "tests.benchmarks.fleet", str(args.rows), str(args.folder)]
    command += ["--memory-limit", args.memory_limit] if args.memory_limit else []
    for analysis in args.analyses.split(","):
        answers = []
        for one in ("fleet", "hand") if analysis in BY_HAND else ("fleet",):
            process = [*command, "--one", one, "--analyses", analysis]
            line = json.loads(subprocess.run(process, check=True, stdout=subprocess.PIPE).stdout)
            answers.append(line.pop("sums"))
            sys.stdout.write(json.dumps(line) + "\n")
            sys.stdout.flush()
        both = answers[0].keys() & answers[-1].keys()
        assert all(answers[0][name] == answers[-1][name] for name in both), f"not the same: {answers}"
        assert len(both) > 1 or analysis not in BY_HAND, f"nothing to compare in {answers}"


if __name__ == "__main__":
    main()

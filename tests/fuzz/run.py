"""The long run: ``python -m tests.fuzz.run --cases 1000000``; prints a table, ends with 1 at a finding.

Each target runs in a process of its own.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
BATCH = 2000
WEIGHTS = {"archive": 0.4, "manifest": 1.5, "locked app": 1.5, "reference": 1.5}
"""How large a target's share is; 1 where nothing is said. Cases of archives take longest."""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.run", description=__doc__)
    parser.add_argument("--cases", type=int, default=20_000, help="in all, over the targets")
    parser.add_argument("--target", action="append", help="only this one; may be repeated")
    parser.add_argument("--jobs", type=int, default=2, help="processes at a time")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.worker:
        return worker(options)
    from tests.fuzz.targets import BY_NAME

    names = options.target or list(BY_NAME)
    weights = {name: WEIGHTS.get(name, 1.0) for name in names}
    shares = {name: max(1, round(options.cases * weights[name] / sum(weights.values()))) for name in names}
    started = time.monotonic()
    with ThreadPoolExecutor(options.jobs) as pool:
        reports = list(pool.map(lambda name: in_process(name, shares[name], options), names))
    return print_table(reports, time.monotonic() - started)


def in_process(name: str, cases: int, options: argparse.Namespace) -> dict[str, Any]:
    """Run one target in a process of its own."""
    command = [sys.executable, "-m", "tests.fuzz.run", "--worker", name, "--cases", str(cases)]
    command += ["--seed", str(options.seed)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith('{"target"')]
    report = json.loads(lines[-1]) if lines else {"target": name, "cases": 0, "seconds": 0.0, "peak_mib": 0}
    if done.returncode or not lines:
        report["finding"] = (done.stdout + done.stderr)[-4000:]
    return report


def print_table(reports: list[dict[str, Any]], seconds: float) -> int:
    print(f"{'target':<18}{'cases':>10}{'seconds':>10}{'peak MiB':>10}  finding")
    for report in reports:
        found = "yes" if "finding" in report else "none"
        print(
            f"{report['target']:<18}{report['cases']:>10}{report['seconds']:>10.1f}"
            f"{report['peak_mib']:>10}  {found}"
        )
    print(f"{'all':<18}{sum(report['cases'] for report in reports):>10}{seconds:>10.1f}")
    for report in reports:
        if "finding" in report:
            print(f"\n{report['target']}:\n{report['finding']}")
    return int(any("finding" in report for report in reports))


def worker(options: argparse.Namespace) -> int:
    """Run one target here; a finding is an exception that nobody catches."""
    started = time.monotonic()
    cases = run_target(options.worker, options.cases, options.seed)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    seconds = time.monotonic() - started
    print(json.dumps({"target": options.worker, "cases": cases, "seconds": seconds, "peak_mib": peak}))
    return 0


def run_target(name: str, cases: int, seed: int) -> int:
    """Feed a target by its grammar, in batches, so that memory does not grow with the count."""
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis import seed as seeded

    from tests.fuzz.cases import cases_for
    from tests.fuzz.targets import BY_NAME, call, guarded

    target = BY_NAME[name]
    count = 0
    while count < cases:
        with guarded() as rearm:

            @seeded(seed * 1_000_003 + count)
            @settings(
                max_examples=min(BATCH, cases - count),
                deadline=None,
                database=None,
                suppress_health_check=list(HealthCheck),
                phases=(Phase.generate, Phase.shrink),
            )
            @given(data=cases_for(target))
            def batch(data: bytes) -> None:
                nonlocal count
                count += 1
                rearm()
                call(target, data)

            before = count
            batch()
            assert count > before
    return count


if __name__ == "__main__":
    sys.exit(main())

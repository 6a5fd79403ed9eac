"""Kills pulls at random moments and looks at what is left; prints one JSON line per trial.

Run as a script of its own, since it forks: ``python killer.py PLAN`` where PLAN is JSON with
``references`` (an older and a newer version), ``folder``, ``trials``, ``seed``, ``least`` (kills wanted
in each phase). Each child marks in shared memory which phases its threads are in; the parent waits for
a phase, then some more, and sends SIGKILL. What counts is the phase marked at the moment of death.
"""

import contextlib
import gc
import json
import mmap
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.faults import judge

PHASES = ("download", "rename", "unpack", "tag")
_WIDEN_SECONDS = 0.002
"""Added inside the short phases, so that random moments fall into them too."""


def main(plan: dict[str, Any]) -> None:
    """Run trials until every phase has its kills, at most four times as many as asked for."""
    preload()
    randomness = random.Random(plan["seed"])
    folder = Path(plan["folder"])
    older = folder.with_name("older")
    assert run_child(lambda: pull(older, plan["references"][0])) == 0
    window = 1.1 * duration(folder, plan["references"][1])
    deaths = dict.fromkeys(PHASES, 0)
    for trial in range(4 * plan["trials"]):
        if trial >= plan["trials"] and min(deaths.values()) >= plan["least"]:
            break
        wanted = min(deaths, key=lambda phase: deaths[phase]) if trial % 2 else None
        shutil.rmtree(folder, ignore_errors=True)
        if randomness.random() < 0.5:  # start from the older version, else from nothing
            shutil.copytree(older, folder)
        before = judge.whole_blobs(folder)
        phases = kill_one(folder, plan["references"][1], wanted, window * randomness.random(), randomness)
        for phase in phases:
            deaths[phase] += 1
        report = {"trial": trial, "phases": phases, "faults": judge.faults_of(folder)}
        report["lost"] = judge.bytes_lost(before, judge.whole_blobs(folder))
        report |= recover(folder, plan["references"][1])
        print(json.dumps(report), flush=True)


def preload() -> None:
    """Import here, once, what each child would import; importing starts no thread."""
    from spincache_nb.core import archive, pull, registry

    assert all((archive, pull, registry))
    gc.freeze()  # a child then shares these pages instead of copying them


def duration(folder: Path, reference: str) -> float:
    """Seconds that a whole pull takes here, from fork to end; the shortest of three."""
    took = []
    for _ in range(3):
        shutil.rmtree(folder, ignore_errors=True)
        started = time.monotonic()
        assert run_child(lambda: pull(folder, reference)) == 0
        took.append(time.monotonic() - started)
    return min(took)


def kill_one(
    folder: Path, reference: str, wanted: str | None, moment: float, randomness: random.Random
) -> list[str]:
    """Pull in a child and kill it; the phases it died in, none if it was done before.

    The kill comes shortly after a phase began, or, if none is wanted, `moment` seconds after the fork.
    """
    marks = mmap.mmap(-1, len(PHASES))
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            mark_phases(marks)
            pull(folder, reference)
        os._exit(0)
    deadline = time.monotonic() + 20
    if wanted is not None:
        while not marks[PHASES.index(wanted)] and time.monotonic() < deadline:
            if os.waitpid(child, os.WNOHANG)[0]:
                return []
            time.sleep(0.0002)
        time.sleep(randomness.random() * 0.004)
    else:
        time.sleep(moment)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status):
        return []
    return [phase for position, phase in enumerate(PHASES) if marks[position]]


def mark_phases(marks: mmap.mmap) -> None:
    """Make this process show in shared memory which phases its threads are in."""
    from spincache_nb.core.cache import Cache
    from spincache_nb.core.fetching import Fetching
    from spincache_nb.core.writing import NewFile

    def marked(phase: str, function: Callable[..., Any], widen: float = 0) -> Callable[..., Any]:
        position = PHASES.index(phase)

        def inner(*arguments: Any, **options: Any) -> Any:
            marks[position] += 1
            try:
                time.sleep(widen)
                outcome = function(*arguments, **options)
                time.sleep(widen)
                return outcome
            finally:
                marks[position] -= 1

        return inner

    Fetching._download = marked("download", Fetching._download)  # type: ignore[method-assign]
    Cache.write_tag = marked("tag", Cache.write_tag, _WIDEN_SECONDS)  # type: ignore[method-assign]
    NewFile.replace = marked("rename", NewFile.replace, _WIDEN_SECONDS)  # type: ignore[method-assign]
    Fetching.unpack = marked("unpack", Fetching.unpack)  # type: ignore[method-assign]


def pull(folder: Path, reference: str) -> None:
    import spincache_nb as sc

    sc.pull(sc.Cache(folder), reference, history=sc.History(enabled=False), jobs=6)


def run_child(work: Callable[[], None]) -> int:
    """Do something in a child of its own, so that this process never has threads when it forks."""
    child = os.fork()
    if child == 0:
        code = 1
        with contextlib.suppress(BaseException):
            work()
            code = 0
        os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def recover(folder: Path, reference: str) -> dict[str, Any]:
    """Pull again: it must succeed, and sweep what the killed pull left once that is old."""
    left = judge.leftovers(folder)
    judge.grow_old(folder)
    code = run_child(lambda: pull(folder, reference))
    still = [path.name for path in judge.leftovers(folder)]
    after = {"still": still, "faults_after": judge.faults_of(folder)}
    return {"recovered": code == 0, "left": len(left), **after}


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))

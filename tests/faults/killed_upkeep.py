"""Kills repair, remove, export and report at random moments; prints one JSON line per trial.

Run as a script of its own, since it forks: ``python killed_upkeep.py PLAN`` where PLAN is JSON with
``operation``, ``references`` (two apps that share blobs), ``folder``, ``trials`` and ``seed``.
"""

import contextlib
import gc
import json
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

import spincache_nb as sc
from spincache_nb import report
from spincache_nb.core import fetching, pull, registry
from tests.faults import judge
from tests.faults.killer import run_child

OFF = sc.History(enabled=False)
BEGINNINGS = {"export": [b"oci-layout"], "report": [b"<!doctype "]}
"""How a whole output begins."""


def main(plan: dict[str, Any]) -> None:
    """Prepare a cache once, then kill the operation on a copy of it again and again."""
    assert all((report, fetching, pull, registry))
    gc.freeze()
    randomness = random.Random(plan["seed"])
    folder, references = Path(plan["folder"]), plan["references"]
    operation = plan["operation"]
    ready = folder.with_name("ready")
    assert run_child(lambda: sc.pull(sc.Cache(ready / "cache"), references, history=OFF)) == 0
    (ready / "out").write_bytes(b"what was there before")
    if operation == "repair":
        harm(ready / "cache", randomness)
    window = 1.1 * min(duration(ready, folder, operation, references) for _ in range(3))
    for trial in range(plan["trials"]):
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(ready, folder)
        before = judge.whole_blobs(folder / "cache")
        killed = kill(folder, operation, references, window * randomness.random())
        window *= 1 if killed else 0.9  # a busy machine was measured, or one grows idle
        after = judge.whole_blobs(folder / "cache")
        lost = 0 if operation == "remove" else judge.bytes_lost(before, after)
        line = {"trial": trial, "killed": killed, "lost": lost}
        if operation != "repair":
            line["faults"] = judge.faults_of(folder / "cache")
        begun = (folder / "out").read_bytes()[:10]
        line["output"] = begun in (b"what was t", *BEGINNINGS.get(operation, ()))
        judge.grow_old(folder / "cache")
        line["recovered"] = run_child(lambda: work(folder, operation, references)) == 0
        line["faults_after"] = judge.faults_of(folder / "cache")
        print(json.dumps(line), flush=True)


def harm(folder: Path, randomness: random.Random) -> None:
    """Damage every third blob, one way or another."""
    for path in sorted(judge.files(folder / "registry"))[::3]:
        if path.parent.name in ("wasm", "data"):
            path.unlink() if randomness.random() < 0.3 else path.write_bytes(path.read_bytes()[:-1])


def work(folder: Path, operation: str, references: list[str]) -> None:
    """Do it, once more if part of it is done already."""
    cache = sc.Cache(folder / "cache")
    if operation == "repair":
        assert not sc.repair(cache, jobs=4).damaged
    elif operation == "remove":
        with contextlib.suppress(sc.errors.NotInCacheError):
            sc.plan_remove(cache, references[1]).execute()
        sc.plan_prune(cache, grace_seconds=0).execute()
        assert [tag.reference for tag in cache.scan().tags] == [references[0]]
        assert len(judge.files(folder / "cache/registry")) == len(needed(cache)) + 2
    elif operation == "export":
        sc.export(cache, references, folder / "out", history=OFF, rewritten=True)
    else:
        report.write(cache, folder / "out", format="html")
        assert (folder / "out").read_bytes().rstrip().endswith(b"</html>")


def needed(cache: sc.Cache) -> set[str]:
    return {f"{use.area}/{use.digest}" for use in sc.frames.uses(cache).itertuples()}


def duration(ready: Path, folder: Path, operation: str, references: list[str]) -> float:
    """Seconds that the operation takes, from fork to end."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(ready, folder)
    started = time.monotonic()
    assert run_child(lambda: work(folder, operation, references)) == 0
    return time.monotonic() - started


def kill(folder: Path, operation: str, references: list[str], moment: float) -> bool:
    """Do it in a child and kill that after some seconds; whether it died of it."""
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            work(folder, operation, references)
        os._exit(0)
    time.sleep(moment)
    os.kill(child, signal.SIGKILL)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))

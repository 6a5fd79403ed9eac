"""Many processes at work in one cache; prints what each of them did as one JSON line.

Run as a script of its own, since it forks: ``python crowd.py PLAN`` where PLAN is JSON with ``references``,
``folder``, ``template`` (a cache without tags whose blobs are old), ``rounds``, ``pullers``, ``seed``.
Locks do nothing here: in half of the processes they pretend to work, in the other half there are none.
"""

import contextlib
import errno
import json
import os
import random
import shutil
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.faults import judge
from tests.faults.killer import preload

GRACE_SECONDS = 120.0
LONGEST_SECONDS = 60.0


def main(plan: dict[str, Any]) -> None:
    """Run the rounds; each starts from the template and ends with a look at the cache."""
    preload()
    import spincache_nb.upkeep  # noqa: F401 - so that the children need not

    for number in range(plan["rounds"]):
        folder = Path(plan["folder"], str(number))
        shutil.copytree(plan["template"], folder)
        one_round(plan, folder, random.Random(plan["seed"] + number))
        print(
            json.dumps(
                {"role": "judge", "faults": judge.faults_of(folder), "left": len(judge.leftovers(folder))}
            )
        )


def one_round(plan: dict[str, Any], folder: Path, randomness: random.Random) -> None:
    """Start everybody, wait for those who pull, then for the others."""
    done = folder / "done"
    keepers = [fork(prune, folder, done, lock=0), fork(verify, folder, done, lock=1)]
    pullers = []
    for number in range(plan["pullers"]):
        references = randomness.sample(plan["references"], len(plan["references"]) * 2 // 3)
        pullers.append(fork(pull, folder, references, plan["history"], lock=number % 2))
    for child in pullers:
        os.waitpid(child, 0)
    done.touch()
    for child in keepers:
        os.waitpid(child, 0)


def fork(role: Callable[..., dict[str, Any]], *arguments: Any, lock: int) -> int:
    """Play a role in a child, and print how it went."""
    sys.stdout.flush()
    child = os.fork()
    if child:
        return child
    code = 1
    with contextlib.suppress(BaseException):
        without_locks(lock)
        try:
            report = role(*arguments)
        except BaseException:  # noqa: BLE001 - whatever it is, it is reported
            report = {"error": traceback.format_exc()[-1500:]}
        os.write(1, (json.dumps({"role": role.__name__, **report}) + "\n").encode())
        code = 0
    os._exit(code)


def without_locks(kind: int) -> None:
    """Make locks succeed without locking (0), or fail as on a file system that has none (1)."""
    import fcntl

    def flock(handle: Any, operation: int) -> None:
        if kind:
            raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    fcntl.flock = flock  # type: ignore[assignment]


def pull(folder: Path, references: list[str], history: str) -> dict[str, Any]:
    """Pull some apps, one after the other, then all of them at once."""
    import spincache_nb as sc

    cache, record = sc.Cache(folder), sc.History(history)
    count = wire = 0
    for reference in references:
        result = sc.pull(cache, reference, jobs=4, history=record)
        count, wire = count + 1, wire + result.wire_bytes
    count += len(sc.pull(cache, references, jobs=4, history=record))
    return {"pulls": count, "wire_bytes": wire, "references": references}


def prune(folder: Path, done: Path) -> dict[str, Any]:
    """Prune until those who pull are done; their blobs are old until they touch them."""
    from spincache_nb import Cache, plan_prune

    count = removed = 0
    deadline = time.monotonic() + LONGEST_SECONDS
    while not done.exists() and time.monotonic() < deadline:
        plan = plan_prune(Cache(folder), grace_seconds=GRACE_SECONDS, even_if_unknown=True)  # no tag yet
        result = plan.execute()
        count, removed = count + 1, removed + len(result.removed)
    return {"prunes": count, "removed": removed}


def verify(folder: Path, done: Path) -> dict[str, Any]:
    """Hash everything until those who pull are done; what is wrong must not be damage."""
    from spincache_nb import Cache
    from spincache_nb.upkeep import check_cache, is_damage

    count = 0
    damage: list[str] = []
    deadline = time.monotonic() + LONGEST_SECONDS
    while not done.exists() and time.monotonic() < deadline:
        found = check_cache(Cache(folder), jobs=1)
        damage += [f"{one.kind}: {one.path}" for one in found if is_damage(one.kind, one.reference)]
        count += 1
    return {"verifications": count, "damage": damage}


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))

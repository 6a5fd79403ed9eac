"""Checking a cache: everything stored is hashed, and what is wrong becomes rows, one for each fault."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

from spincache_nb.core.cache import Cache
from spincache_nb.core.files import FileState, file_state
from spincache_nb.core.journal import History
from spincache_nb.core.layout import MANIFESTS
from spincache_nb.core.progress import Progress, ProgressEvent, Reporter
from spincache_nb.core.scan import Problem, StoredBlob
from spincache_nb.errors import PullCancelled
from spincache_nb.inventory import Inventory, take_inventory
from spincache_nb.upkeep.hashing import Hashed, hash_blobs, promised
from spincache_nb.upkeep.judging import BEING_WRITTEN, MISNAMED, judge

_HARMLESS = frozenset(
    {
        MISNAMED,
        BEING_WRITTEN,
        "temporary file",
        "empty tag folder",
        "foreign",
        "link",
        "misnamed file",
        "misplaced manifest",
        "name of an old Spin",
        "second copy",
        "not a file",
    }
)
_ROUNDS = 4
_PAUSE_SECONDS = 0.25
_FRESH_SECONDS = 10.0
_Told = Callable[[StoredBlob, int], object]


def is_damage(kind: str, reference: str | None = None) -> bool:
    """Whether a problem means that stored content is damaged or lacking."""
    return kind not in _HARMLESS or (kind in ("link", "not a file") and reference is not None)


@dataclass(frozen=True, slots=True)
class Health:
    """What a check found."""

    inventory: Inventory
    wrong: tuple[Hashed, ...]
    problems: tuple[Problem, ...]


def check_cache(
    cache: Cache,
    *,
    jobs: int | None = None,
    progress: Progress = None,
    cancel: threading.Event | None = None,
    projects: Sequence[str | os.PathLike[str]] = (),
    history: History | None = None,
) -> tuple[Problem, ...]:
    """Hash everything that is stored, and list what is wrong with the cache."""
    return examine(
        cache, jobs=jobs, progress=progress, cancel=cancel, projects=projects, history=history
    ).problems


def examine(
    cache: Cache,
    *,
    jobs: int | None = None,
    progress: Progress = None,
    cancel: threading.Event | None = None,
    projects: Sequence[str | os.PathLike[str]] = (),
    history: History | None = None,
    only: Collection[tuple[str, str]] | None = None,
) -> Health:
    """Like `check_cache`, with everything that was found out on the way."""
    inventory = _settled(cache, lambda: take_inventory(cache, projects=projects, history=history), cancel)
    blobs = [
        entry.blob
        for entry in inventory.blobs
        if promised(entry.blob) is not None and (only is None or (entry.blob.area, entry.blob.name) in only)
    ]
    reporter = Reporter(progress, what="verify")
    checker = _Checker(_teller(reporter) if progress else _silent, jobs, cancel)
    try:
        reporter(ProgressEvent("plan", total=sum(blob.stored_bytes for blob in blobs)))
        wrong, changing = checker.check(blobs)
    finally:
        reporter.close()
    return Health(inventory, tuple(wrong), judge(inventory, wrong, changing))


class _Checker:
    """Hashes files, and those that seem wrong again."""

    def __init__(self, told: _Told, jobs: int | None, cancel: threading.Event | None) -> None:
        self.told = told
        self.jobs = jobs
        self.cancel = cancel

    def check(self, blobs: Iterable[StoredBlob]) -> tuple[list[Hashed], list[Hashed]]:
        """Give files that are wrong, and files that keep changing."""
        suspects = [one for one in self.hash(blobs, self.told) if not one.is_right]
        wrong: list[Hashed] = []
        for _ in range(_ROUNDS):
            if not suspects:
                break
            if any(_is_fresh(one.state) for one in suspects):
                _pause(self.cancel)
            before = {one.blob.path: one for one in suspects}
            again = [one for one in self.hash((one.blob for one in suspects), _silent) if not one.is_right]
            still = [one for one in again if one == before[one.blob.path] and _is_unchanged(one)]
            wrong += still
            suspects = [one for one in again if one not in still]
        wrong.sort(key=lambda one: (one.blob.area, one.blob.name))
        return wrong, suspects

    def hash(self, blobs: Iterable[StoredBlob], told: _Told) -> list[Hashed]:
        return hash_blobs(blobs, jobs=self.jobs, told=told, cancelled=self.cancelled)

    def cancelled(self) -> bool:
        return self.cancel is not None and self.cancel.is_set()


def _settled(cache: Cache, take: Callable[[], Inventory], cancel: threading.Event | None) -> Inventory:
    """Take an inventory, and again as long as a tag that was just written seems damaged."""
    inventory = take()
    for _ in range(_ROUNDS):
        before = [row for row in inventory.problems if is_damage(row.kind) and _is_new_tag(cache, row)]
        if not before:
            break
        _pause(cancel)
        inventory = take()
        if set(before) <= set(inventory.problems):
            break
    return inventory


def _is_new_tag(cache: Cache, row: Problem) -> bool:
    if not row.path.startswith(f"{MANIFESTS}/"):
        return False
    try:
        changed = (cache.path / row.path).parent.lstat().st_mtime
    except (OSError, ValueError):
        return False
    return time.time() - changed < _FRESH_SECONDS


def _pause(cancel: threading.Event | None) -> None:
    """Give somebody who is just writing a moment."""
    if cancel is None:
        time.sleep(_PAUSE_SECONDS)
    elif cancel.wait(_PAUSE_SECONDS):
        raise PullCancelled("verify", "", "", "stopped; nothing was changed")


def _teller(report: Reporter) -> _Told:
    """Report bytes as they are hashed."""

    def told(blob: StoredBlob, count: int) -> None:
        digest = str(promised(blob) or "")
        report(ProgressEvent("bytes", digest=digest, count=count, total=blob.stored_bytes))

    return told


def _silent(blob: StoredBlob, count: int) -> None:
    del blob, count


def _is_unchanged(one: Hashed) -> bool:
    return file_state(one.blob.path) == one.state


def _is_fresh(state: FileState | None) -> bool:
    return state is None or time.time() - state.modified_ns / 1e9 < _FRESH_SECONDS

"""Repairing: what is damaged or missing is fetched again from where its app came from, and no more."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from spincache_nb.core.archive import ArchiveLimits
from spincache_nb.core.cache import Cache
from spincache_nb.core.journal import History
from spincache_nb.core.progress import Progress, Reporter
from spincache_nb.core.pull.decide import JOBS, Source
from spincache_nb.core.scan import Problem
from spincache_nb.errors import printable
from spincache_nb.show import Cell, block, count_text, more_text, size_text, table
from spincache_nb.upkeep.checking import Health, examine, is_damage
from spincache_nb.upkeep.mending import Mender, RepairOptions
from spincache_nb.upkeep.mending_sources import Renew, mend_sources

if TYPE_CHECKING:
    from spincache_nb.core.pull.decide import Auth

_ROWS_SHOWN = 10


@dataclass(frozen=True, slots=True, repr=False)
class RepairResult:
    """What a repair did.

    Parameters
    ----------
    repaired
        Problems that are gone.
    remaining
        Problems that are not, with the reason where one was tried.
    failed
        How many of them could not be repaired although it was tried.
    wire_bytes
        All bytes received: manifests, tokens, retries and error pages included.
    seconds
        Wall-clock time, the check before and after included.
    """

    repaired: tuple[Problem, ...]
    remaining: tuple[Problem, ...]
    failed: int
    wire_bytes: int
    seconds: float

    @property
    def damaged(self) -> tuple[Problem, ...]:
        """Problems that remain and mean that content is damaged or lacking."""
        return tuple(row for row in self.remaining if is_damage(row.kind, row.reference))

    def __str__(self) -> str:
        lines = [self.summary()]
        lines += [
            f"  {row.kind}: {row.path}: {printable(row.detail)}" for row in self.remaining[:_ROWS_SHOWN]
        ]
        more = more_text(len(self.remaining), _ROWS_SHOWN)
        return "\n".join([*lines, f"  {more}"] if more else lines)

    def summary(self) -> str:
        """The result in one line."""
        return (
            f"repaired {count_text(len(self.repaired), 'problem')} "
            f"with {size_text(self.wire_bytes)} received; "
            f"{len(self.remaining)} remain, {len(self.damaged)} of them damage"
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.summary()}>"

    def _repr_html_(self) -> str:
        told = [("repaired", row) for row in self.repaired] + [("remains", row) for row in self.remaining]
        rows = [(Cell(what), Cell(row.kind), Cell(row.path, "code"), Cell(row.detail)) for what, row in told]
        return block("", self.summary(), table(("", "problem", "path", "detail"), rows, most=_ROWS_SHOWN))


def repair(
    cache: Cache,
    *,
    insecure: bool | None = None,
    ca: str | os.PathLike[str] | None = None,
    auth: Auth = None,
    jobs: int = JOBS,
    progress: Progress = None,
    cancel: threading.Event | None = None,
    durable: bool = False,
    archive_limits: ArchiveLimits | None = None,
    projects: Sequence[str | os.PathLike[str]] = (),
    history: History | None = None,
) -> RepairResult:
    """Fetch again exactly what is damaged or missing, from the registry that its app came from.

    Parameters
    ----------
    cache
        The cache. Everything stored is hashed first.
    insecure
        None means plain HTTP for loopback hosts only; True forces HTTP, False HTTPS.
    ca
        File with further certificate authorities (PEM).
    auth
        Credentials to use ahead of the stores: ``(user, password)``.
    jobs
        Downloads at a time.
    progress
        None for silence, True for a bar, or a callable that takes each `ProgressEvent`: first those of
        the check, then those of the downloads.
    cancel
        Set it from another thread to stop; what was repaired by then stays.
    durable
        Whether to wait until the disk has each file.
    archive_limits
        How much an archive layer may unpack to.
    projects
        ``spin.toml`` files or folders of projects that use this cache too.
    history
        The record of pulls, which tells a manifest's digest; this user's unless given.

    Returns
    -------
    RepairResult
        What was repaired and what was not, and why. An unreachable registry is no error.

    Raises
    ------
    PullCancelled
        If `cancel` was set.
    SpinManifestError
        If there is no project at one of the paths given.

    Notes
    -----
    A damaged file stays until its good copy is there and takes its place in one step. A blob is fetched
    by the digest that the cached manifest gives, so that a tag that was moved meanwhile changes nothing.
    A manifest is fetched by the digest it is known to have had; if none is known, by its tag, and taken
    only if it names the locked app that is stored. Archives are unpacked again where members lack. A
    damaged source that only a ``spin.toml`` of one of `projects` names comes from the address or package
    that it names; sources that are not stored at all, `pull_sources` fetches. What neither an app nor a
    project needs is left alone: `plan_prune`.
    """
    from spincache_nb.core.registry import RegistryClient
    from spincache_nb.project.sources import renew_sources

    stop = threading.Event()
    client = RegistryClient(insecure=insecure, ca=ca, auth=auth, jobs=jobs, cancel=stop)
    options = RepairOptions(jobs, progress, cancel, durable, archive_limits, tuple(projects), history)
    renew = partial(
        renew_sources, insecure=insecure, ca=ca, auth=auth, jobs=jobs, cancel=cancel, durable=durable
    )
    return repair_from(cache, client, options, stop=stop, renew=renew)


def repair_from(
    cache: Cache,
    source: Source,
    options: RepairOptions,
    *,
    stop: threading.Event | None = None,
    renew: Renew | None = None,
) -> RepairResult:
    """Repair with what a source gives, and close the source."""
    started = time.perf_counter()
    try:
        before = examine(
            cache,
            progress=options.progress,
            cancel=options.cancel,
            projects=options.projects,
            history=options.history,
        )
        reporter = Reporter(options.progress, what="repair")
        try:
            mender = Mender(cache, source, before, options, reporter, stop or threading.Event())
            mender.run()
        finally:
            reporter.close()
        wire_bytes = mend_sources(mender, renew) if renew is not None else 0
        after = examine(
            cache,
            cancel=options.cancel,
            projects=options.projects,
            history=options.history,
            only={(one.blob.area, one.blob.name) for one in before.wrong} | mender.written,
        )
    finally:
        source.close()
    wire_bytes += source.wire_bytes
    return _result(before, after, mender, wire_bytes, time.perf_counter() - started)


def _result(before: Health, after: Health, mender: Mender, wire_bytes: int, seconds: float) -> RepairResult:
    left = {(row.path, row.kind) for row in after.problems}
    repaired = tuple(row for row in before.problems if (row.path, row.kind) not in left)
    failures = mender.failures
    remaining = tuple(
        replace(row, detail=f"{row.detail}; it could not be repaired: {failures[row.path]}")
        if row.path in failures
        else row
        for row in after.problems
    )
    failed = sum(row.path in failures for row in after.problems)
    return RepairResult(repaired, remaining, failed, wire_bytes, seconds)

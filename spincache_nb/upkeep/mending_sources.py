"""The last step of a repair: damaged sources that only projects need."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Protocol

from spincache_nb.core.cache import Cache
from spincache_nb.core.digest import Digest
from spincache_nb.errors import PullCancelled, SpinCacheError
from spincache_nb.project.sources import Renewed
from spincache_nb.upkeep.mending import Mender, Place


class Renew(Protocol):
    """Fetches some sources of a project again; see `renew_sources`."""

    def __call__(self, cache: Cache, path: Path, digests: Collection[Digest], /) -> Renewed: ...


def mend_sources(mender: Mender, renew: Renew) -> int:
    """Fetch damaged sources again from where a ``spin.toml`` says; returns bytes received."""
    received = 0
    for path, places in _wanted(mender).items():
        mender.check()
        left = [place for place in places if not mender.is_written(place)]
        if not left:
            continue
        try:
            renewed = renew(mender.cache, path, {digest for _, digest in left})
        except PullCancelled:
            raise
        except SpinCacheError as exc:
            mender.failures |= {mender.path_of(place): str(exc) for place in left}
            continue
        received += renewed.wire_bytes
        for place in left:
            failure = renewed.failures.get(place[1])
            if failure is not None:
                mender.failures[mender.path_of(place)] = str(failure)
            else:
                mender.failures.pop(mender.path_of(place), None)
                mender.note_written(("wasm", place[1]))
    return received


def _wanted(mender: Mender) -> dict[Path, list[Place]]:
    """What is damaged and named by a project's ``spin.toml``, by that file; no app needs it."""
    apps = {app.reference for app in mender.inventory.apps}
    needed = {(use.area, use.digest) for use in mender.inventory.uses() if use.user in apps}
    damaged = mender.wrong - needed
    wanted: dict[Path, list[Place]] = {}
    for project in mender.inventory.projects:
        for use in project.uses:
            place: Place = (use.area, use.digest)
            if place in damaged and use.via == "spin.toml":
                wanted.setdefault(project.path, []).append(place)
    return wanted

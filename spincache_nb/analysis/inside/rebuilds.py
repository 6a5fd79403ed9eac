"""Whether new versions of a component are new code: every change of every component in a cache."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import pandas as pd

from spincache_nb.analysis.inputs import rows
from spincache_nb.analysis.inside.changes import why_changed
from spincache_nb.analysis.inside.schemas import REBUILDS_SCHEMA
from spincache_nb.analysis.inside.verdicts import Verdict, verdict
from spincache_nb.analysis.versions import in_order
from spincache_nb.core.cache import Cache
from spincache_nb.errors import SpinCacheError
from spincache_nb.frames import Frames, load
from spincache_nb.frames.schemas import build


def rebuilds(cache: Cache) -> pd.DataFrame:
    """Give a verdict on each new binary of a component, from one version of an app to the next.

    Parameters
    ----------
    cache
        The cache; two binaries at a time are in memory.

    Returns
    -------
    pandas.DataFrame
        One row per component and pair of successive versions whose binaries differ, by repository,
        version and component.

        ==========  ========  ==============================================================
        column      dtype     meaning
        ==========  ========  ==============================================================
        repository  string    ``registry/repository``
        component   string    id of the component
        from        string    reference of the version before
        to          string    reference of the version
        old_digest  string    the binary before
        new_digest  string    the binary
        verdict     category  as `Verdict` has it; ``not comparable`` also if one is not stored or
                              malformed
        detail      string    the verdict in words
        ==========  ========  ==============================================================
    """
    frames = load(cache, "apps", "components")
    known: dict[tuple[str, str], tuple[str, str]] = {}
    lines = []
    for repository, component, before, after, old, new in _changes(frames):
        if (old, new) not in known:
            known[old, new] = _judged(old, new, cache)
        lines.append((repository, component, before, after, old, new, *known[old, new]))
    return build(REBUILDS_SCHEMA, lines)


def _judged(old: str, new: str, cache: Cache) -> tuple[str, str]:
    try:
        found = verdict(why_changed(old, new, cache=cache))
    except (SpinCacheError, OSError) as exc:
        return Verdict("not comparable").kind, str(exc)
    return found.kind, str(found)


def _changes(frames: Frames) -> Iterator[tuple[str, str, str, str, str, str]]:
    """Yield repository, component, the two versions and the two digests."""
    sources: dict[str, dict[str, str]] = {}
    for reference, component, digest in rows(
        frames.need("components"), "reference", "component", "source_digest"
    ):
        if digest is not None:
            sources.setdefault(reference, {})[component] = digest
    versions: dict[str, list[tuple[str, str | None, pd.Timestamp | None]]] = {}
    columns = ("registry", "repository", "reference", "tag", "created_at")
    for registry, repository, *version in rows(frames.need("apps"), *columns):
        versions.setdefault(f"{registry}/{repository}", []).append((version[0], version[1], version[2]))
    for name, listed in sorted(versions.items()):
        for before, after in pairwise(in_order(listed)):
            for component, new in sorted(sources.get(after, {}).items()):
                old = sources.get(before, {}).get(component)
                if old is not None and old != new:
                    yield name, component, before, after, old, new

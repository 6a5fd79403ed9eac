"""All that a report is made of: the frames of one moment, and what the analyses say of them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from spincache_nb import analysis
from spincache_nb.analysis.inputs import Source, rows
from spincache_nb.analysis.repositories import versioned_repositories
from spincache_nb.analysis.schemas import VERSION_SAVINGS_SCHEMA
from spincache_nb.frames import Frames
from spincache_nb.frames.schemas import HISTORY_SCHEMA, empty

MOST_PAIRED = 200
"""Apps whose pairs are listed: of more, there are too many pairs for a document."""


@dataclass(frozen=True, eq=False)
class Inside:
    """What is repeated within files; see `spincache_nb.analysis.inside`."""

    grains: pd.DataFrame
    rebuilds: pd.DataFrame


@dataclass(frozen=True, eq=False)
class Material:
    """What a report shows, each frame as the analysis of its name gives it.

    Parameters
    ----------
    frames
        All frames of one cache.
    shared_bytes
        Pairs of the `MOST_PAIRED` apps that share most.
    savings
        By repository, those with several versions only.
    freed_alone_bytes, freed_together_bytes
        What removing the superseded versions frees: each alone, added up; and all at once.
    timeline, tags
        Of the recorded pulls into the cache.
    inside
        None if it was not asked for.
    """

    frames: Frames
    summary: pd.DataFrame
    breakdown: pd.DataFrame
    sharing: pd.DataFrame
    sharing_sets: pd.DataFrame
    shared_bytes: pd.DataFrame
    savings: Mapping[str, pd.DataFrame]
    reclaimable: pd.DataFrame
    superseded: pd.DataFrame
    freed_alone_bytes: int
    freed_together_bytes: int
    timeline: pd.DataFrame
    tags: pd.DataFrame
    inside: Inside | None = field(default=None)

    @property
    def apps(self) -> pd.DataFrame:
        """The cached tags."""
        return self.frames.need("apps")

    @property
    def problems(self) -> pd.DataFrame:
        """What is wrong."""
        return self.frames.need("problems")

    @property
    def shared(self) -> pd.DataFrame:
        """The rows of `sharing` with more than one user."""
        return self.sharing[self.sharing["user_count"] > 1].reset_index(drop=True)

    def all_savings(self) -> pd.DataFrame:
        """Give the versions of all repositories in one frame, ``repository`` its first column."""
        parts = [
            frame.assign(repository=pd.array([repository] * len(frame), dtype=pd.StringDtype("python")))
            for repository, frame in (self.savings or {"": empty(VERSION_SAVINGS_SCHEMA)}).items()
        ]
        return pd.concat(parts, ignore_index=True)[["repository", *VERSION_SAVINGS_SCHEMA]]


def gather(
    source: Source,
    *,
    projects: Sequence[str | os.PathLike[str]] = (),
    history: pd.DataFrame | None = None,
    inside: bool = False,
) -> Material:
    """Analyse a cache.

    Parameters
    ----------
    source
        A cache, or all frames of one.
    projects
        As for `frames.load`; frames know of theirs already.
    history
        As `frames.history` gives it; that of the cache unless given, and none for frames.
    inside
        Whether to look into the files, which reads every byte; needs a cache.

    Raises
    ------
    ValueError
        If frames are given where a cache is needed.
    SpinManifestError
        If there is no project at one of the paths given.
    """
    if isinstance(source, Frames):
        if inside or projects:
            raise ValueError("looking inside, and for projects, takes the cache itself, not its frames")
        frames = source
        history = empty(HISTORY_SCHEMA) if history is None else history
    else:
        frames = analysis.load(source, projects=projects)
    pulls = source if history is None and not isinstance(source, Frames) else history
    reclaimable = analysis.reclaimable(frames)
    old = analysis.superseded_references(frames)
    alone = dict(rows(reclaimable, "reference", "freed_bytes"))
    return Material(
        frames=frames,
        summary=analysis.summary(frames),
        breakdown=analysis.breakdown(frames),
        sharing=analysis.sharing(frames),
        sharing_sets=analysis.sharing_sets(frames),
        shared_bytes=analysis.shared_bytes(frames, top=MOST_PAIRED),
        savings={name: analysis.version_savings(frames, name) for name in versioned_repositories(frames)},
        reclaimable=reclaimable,
        superseded=analysis.superseded(frames),
        freed_alone_bytes=sum(alone.get(reference, 0) for reference in old),
        freed_together_bytes=int(analysis.freed_by(frames, old)["stored_bytes"].sum()),
        timeline=analysis.timeline(pulls),
        tags=analysis.tags_over_time(pulls),
        inside=_look_inside(source) if inside else None,
    )


def _look_inside(source: Source) -> Inside:
    assert not isinstance(source, Frames)
    return Inside(analysis.cache_grains(source), analysis.rebuilds(source))

"""All that a report is made of: the frames of one moment, and what the analyses say of them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import pandas as pd

from spincache_nb import analysis
from spincache_nb.analysis.schemas import UPGRADE_MATRIX_SCHEMA, VERSION_SAVINGS_SCHEMA
from spincache_nb.analysis.versions import versioned_repositories
from spincache_nb.fleet import Fleet, Skipped
from spincache_nb.frames import Frames
from spincache_nb.frames.schemas import HISTORY_SCHEMA, empty
from spincache_nb.frames.sources import Caches
from spincache_nb.plots.style import MOST_SHOWN
from spincache_nb.show import rows

MOST_PAIRED = 200
"""Apps whose pairs are listed: of more, there are too many pairs for a document."""

_DRAWN_REPOSITORIES = 2
_MOST_DIGESTS = 200
_FRAMES = ("apps", "layers", "uses", "components", "files", "blobs", "problems", "disk")


@dataclass(frozen=True, eq=False)
class Material:
    """What a report about a cache shows, each frame as the analysis of its name gives it.

    `shared_bytes` has the pairs of the `MOST_PAIRED` apps that share most; `savings` the repositories with
    several versions; `freed_alone_bytes` and `freed_together_bytes` say what removing the superseded
    versions frees, each alone and added up, or all at once; grains and rebuilds are None unless asked for.
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
    grains: pd.DataFrame | None = None
    rebuilds: pd.DataFrame | None = None

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

    def tables(self) -> Iterator[tuple[str, pd.DataFrame]]:
        """Give every frame behind the report with its name."""
        yield from ((name, self.frames.need(name)) for name in _FRAMES)
        yield "summary", self.summary
        yield "breakdown", self.breakdown
        yield "breakdown_members", analysis.breakdown_members(self.frames)
        yield "sharing", self.sharing
        yield "sharing_names", analysis.sharing_names(self.frames)
        yield "sharing_sets", self.sharing_sets
        yield "shared_bytes", self.shared_bytes
        yield "version_savings", self.all_savings()
        upgrades = [analysis.upgrade_matrix(self.frames, repository) for repository in self.savings]
        yield "upgrade_matrix", pd.concat(upgrades or [empty(UPGRADE_MATRIX_SCHEMA)], ignore_index=True)
        yield "reclaimable", self.reclaimable
        yield "superseded", self.superseded
        yield "timeline", self.timeline
        yield "tags_over_time", self.tags
        if self.grains is not None and self.rebuilds is not None:
            yield "cache_grains", self.grains
            yield "rebuilds", self.rebuilds


def gather(
    source: Caches | Frames,
    *,
    projects: Sequence[str | os.PathLike[str]] = (),
    history: pd.DataFrame | None = None,
    inside: bool = False,
) -> Material:
    """Analyse a cache; its recorded pulls unless a history is given, and none for frames."""
    pulls: Any = history
    grains = rebuilds = None
    if isinstance(source, Frames):
        if inside or projects:
            raise ValueError("looking inside, and for projects, takes the cache itself, not its frames")
        frames = source
        pulls = empty(HISTORY_SCHEMA) if history is None else history
    else:
        frames = analysis.load(source, projects=projects)
        pulls = source if history is None else history
        if inside:
            grains, rebuilds = analysis.cache_grains(source), analysis.rebuilds(source)
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
        grains=grains,
        rebuilds=rebuilds,
    )


@dataclass(frozen=True, eq=False)
class FleetMaterial:
    """What a report about a fleet shows, each frame as the method of its name gives it.

    `sharing` has the 200 digests that save most, `host_pairs` the hosts that store most; `repositories`
    counts versions, `idle` what nothing on a host needs, `disk` and `problems` what there is of each kind on
    all hosts; `savings` has the two repositories on most hosts, `skipped` the snapshots that are of no use.
    """

    kind: str
    summary: pd.DataFrame
    host_overlap: pd.DataFrame
    host_pairs: pd.DataFrame
    prewarm: pd.DataFrame
    sharing: pd.DataFrame
    versions: pd.DataFrame
    repositories: pd.DataFrame
    savings: Mapping[str, pd.DataFrame]
    idle: pd.DataFrame
    disk: pd.DataFrame
    problems: pd.DataFrame
    skipped: tuple[Skipped, ...]

    @property
    def hosts(self) -> int:
        """How many hosts there are."""
        return len(self.host_overlap)

    def tables(self) -> Iterator[tuple[str, pd.DataFrame]]:
        """Give every frame behind the report with its name."""
        for name in (
            "summary",
            "host_overlap",
            "host_pairs",
            "prewarm",
            "sharing",
            "versions",
            "repositories",
        ):
            yield name, getattr(self, name)
        yield "unreferenced", self.idle
        yield "breakdown", self.disk
        yield "problems", self.problems


AnyMaterial: TypeAlias = Material | FleetMaterial


def gather_fleet(fleet: Fleet) -> FleetMaterial:
    """Analyse a fleet, which stays open."""
    versions = fleet.versions()
    repositories = repositories_of(versions)
    several = repositories[repositories["version_count"] > 1]
    chosen = [name for (name,) in rows(several.head(_DRAWN_REPOSITORIES), "repository")]
    return FleetMaterial(
        kind=fleet.kind,
        summary=fleet.summary(),
        host_overlap=fleet.host_overlap(),
        host_pairs=fleet.host_pairs(top=MOST_SHOWN["host_overlap"]),
        prewarm=fleet.prewarm(),
        sharing=fleet.sharing(top=_MOST_DIGESTS),
        versions=versions,
        repositories=repositories,
        savings={name: fleet.version_savings(name) for name in chosen},
        idle=_idle(fleet.unreferenced()),
        disk=_disk(fleet.breakdown()),
        problems=_problems(fleet.problems()),
        skipped=fleet.skipped,
    )


def repositories_of(versions: pd.DataFrame) -> pd.DataFrame:
    """Add up the versions of each repository; those on most hosts first, then by name."""
    single = versions["host_count"].eq(1).astype("Int64")
    counted = versions.assign(single_count=single, version_count=1).groupby("repository", observed=True)
    found = counted[["version_count", "single_count", "host_count", "stored_bytes"]].sum().reset_index()
    found["repository"] = found["repository"].astype(pd.StringDtype("python"))
    return found.sort_values(["host_count", "repository"], ascending=[False, True], ignore_index=True)


def _idle(unreferenced: pd.DataFrame) -> pd.DataFrame:
    """Add up by host; most bytes first."""
    elsewhere = unreferenced["stored_bytes"].where(unreferenced["used_by_hosts"] > 0, 0)
    counted = unreferenced.assign(elsewhere_bytes=elsewhere, blob_count=1).groupby("host", observed=True)
    found = counted[["blob_count", "stored_bytes", "elsewhere_bytes"]].sum().reset_index()
    return found.sort_values(["stored_bytes", "host"], ascending=[False, True], ignore_index=True)


def _disk(breakdown: pd.DataFrame) -> pd.DataFrame:
    """Add up by kind; most bytes first."""
    found = breakdown.groupby("kind", observed=True)[["file_count", "stored_bytes"]].sum().reset_index()
    total = int(found["stored_bytes"].sum())
    found["share"] = (found["stored_bytes"] / total if total else found["stored_bytes"]).astype("Float64")
    return found.sort_values(["stored_bytes", "kind"], ascending=[False, True], ignore_index=True)


def _problems(problems: pd.DataFrame) -> pd.DataFrame:
    """Count by kind; the most frequent first."""
    place = problems["reference"].fillna(problems["path"])
    grouped = problems.assign(example=place).groupby("kind", observed=True)
    found = grouped.agg(
        problem_count=("host", "size"), host_count=("host", "nunique"), example=("example", "min")
    )
    by = ["problem_count", "kind"]
    return found.reset_index().sort_values(by, ascending=[False, True], ignore_index=True)

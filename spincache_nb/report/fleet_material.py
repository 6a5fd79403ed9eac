"""All that a report about a fleet is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from spincache_nb.analysis.inputs import rows
from spincache_nb.fleet import Fleet, Skipped
from spincache_nb.plots.style import MOST_SHOWN

MOST_REPOSITORIES = 2
"""Repositories whose versions are drawn: those on most hosts."""

_MOST_DIGESTS = 200


@dataclass(frozen=True, eq=False)
class FleetMaterial:
    """What a report about a fleet shows, each frame as the method of its name gives it.

    Parameters
    ----------
    kind
        ``cache`` or ``registry``.
    sharing
        The 200 digests that save most.
    host_pairs
        Of the 60 hosts that store most.
    repositories
        Per repository: versions, those on one host only, bytes on all hosts.
    savings
        By repository, of the two that sit on most hosts.
    idle
        Per host, what nothing on it needs, and what of that another host needs.
    disk
        Per kind of `Fleet.breakdown`, all hosts together.
    problems
        Per kind: how many, on how many hosts, and one of them.
    skipped
        Snapshots that could not be used.
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


def gather_fleet(fleet: Fleet) -> FleetMaterial:
    """Analyse a fleet.

    Parameters
    ----------
    fleet
        It stays open.
    """
    versions = fleet.versions()
    repositories = repositories_of(versions)
    several = repositories[repositories["version_count"] > 1]
    chosen = [name for (name,) in rows(several.head(MOST_REPOSITORIES), "repository")]
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
    return found.reset_index().sort_values(
        ["problem_count", "kind"], ascending=[False, True], ignore_index=True
    )

"""All that a report is made of: the frames of one moment, and what the analyses say of them."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

import pandas as pd

from spincache_nb import analysis
from spincache_nb.analysis.inputs import PLURALS, Group, group_of
from spincache_nb.analysis.schemas import UPGRADE_MATRIX_SCHEMA
from spincache_nb.core.cache import Cache
from spincache_nb.errors import FormatError, LimitError
from spincache_nb.fleet import Fleet, Skipped
from spincache_nb.frames import Frames
from spincache_nb.frames.schemas import HISTORY_SCHEMA, empty
from spincache_nb.frames.sources import Caches
from spincache_nb.show import records, rows

FORMAT = "spincache-nb report 1"
"""Name of the JSON form; the number changes if something in it means something else."""

_DRAWN_REPOSITORIES = 2
_MOST_DIGESTS = _MOST_PAIRED = 200
_MOST_HOSTS = 60
_FRAMES = ("apps", "layers", "uses", "components", "files", "blobs", "problems", "disk")


@dataclass(frozen=True, slots=True)
class Made:
    """When a report was made, and of what: the host if somebody named it, the cache if it is known."""

    at: datetime
    host: str | None = None
    place: str | None = None


@dataclass(frozen=True, eq=False)
class Changes:
    """What changed since an earlier report; `apps` has a row per app that came, went or changed."""

    at: datetime | None
    before: Mapping[str, Any]
    apps: Sequence[tuple[str, str, int | None, int | None]]


@dataclass(frozen=True, eq=False)
class Material:
    """What a report about a cache shows, each frame as the analysis of its name gives it.

    `parts`, `sets` and `pairs` are breakdown, sharing_sets and shared_bytes, above some thirty apps those of
    repositories; `savings` has the repositories with several versions; `freed_alone_bytes` and
    `freed_together_bytes` say what removing the superseded versions frees, each alone and added up, or all at
    once; grains and rebuilds are None unless asked for.
    """

    made: Made
    frames: Frames
    group: Group
    findings: pd.DataFrame
    summary: pd.DataFrame
    parts: pd.DataFrame
    sharing: pd.DataFrame
    sets: pd.DataFrame
    pairs: pd.DataFrame
    savings: pd.DataFrame
    reclaimable: pd.DataFrame
    superseded: pd.DataFrame
    freed_alone_bytes: int
    freed_together_bytes: int
    timeline: pd.DataFrame
    tags: pd.DataFrame
    grains: pd.DataFrame | None = None
    rebuilds: pd.DataFrame | None = None
    changes: Changes | None = None

    @property
    def apps(self) -> pd.DataFrame:
        """The cached tags."""
        return self.frames.need("apps")

    @property
    def problems(self) -> pd.DataFrame:
        """What is wrong."""
        return self.frames.need("problems")

    @property
    def nouns(self) -> str:
        """What parts, sets and pairs are of."""
        return PLURALS[self.group]

    @property
    def shared(self) -> pd.DataFrame:
        """The rows of `sharing` with more than one user."""
        return self.sharing[self.sharing["user_count"] > 1].reset_index(drop=True)

    def shared_bytes(self) -> pd.DataFrame:
        """Give the pairs of the apps that share most: of all apps there are too many for a document."""
        return analysis.shared_bytes(self.frames, top=_MOST_PAIRED)

    def tables(self) -> Iterator[tuple[str, pd.DataFrame]]:
        """Give every frame behind the report with its name."""
        yield from ((name, self.frames.need(name)) for name in _FRAMES)
        yield from (("findings", self.findings), ("summary", self.summary))
        yield "breakdown", analysis.breakdown(self.frames)
        yield "breakdown_members", analysis.breakdown_members(self.frames)
        yield "sharing", self.sharing
        yield "sharing_names", analysis.sharing_names(self.frames)
        yield "sharing_sets", analysis.sharing_sets(self.frames)
        yield "shared_bytes", self.shared_bytes()
        yield "version_savings", self.savings
        names = self.savings["repository"].drop_duplicates()
        upgrades = [analysis.upgrade_matrix(self.frames, name) for name in names]
        yield "upgrade_matrix", pd.concat(upgrades or [empty(UPGRADE_MATRIX_SCHEMA)], ignore_index=True)
        yield from (("reclaimable", self.reclaimable), ("superseded", self.superseded))
        yield from (("timeline", self.timeline), ("tags_over_time", self.tags))
        if self.grains is not None and self.rebuilds is not None:
            yield from (("cache_grains", self.grains), ("rebuilds", self.rebuilds))


def gather(
    source: Caches | Frames,
    *,
    projects: Sequence[str | os.PathLike[str]] = (),
    history: pd.DataFrame | None = None,
    inside: bool = False,
    host: str | None = None,
    since: str | os.PathLike[str] | None = None,
    at: datetime | None = None,
) -> Material:
    """Analyse a cache; its recorded pulls unless a history is given, and none for frames."""
    earlier = None if since is None else _read_earlier(Path(since))
    pulls: Any = history
    grains = rebuilds = place = None
    if isinstance(source, Frames):
        if inside or projects:
            raise ValueError("looking inside, and for projects, takes the cache itself, not its frames")
        frames = source
        pulls = empty(HISTORY_SCHEMA) if history is None else history
    else:
        frames = analysis.load(source, projects=projects)
        pulls = source if history is None else history
        place = place_of(source)
        if inside:
            grains, rebuilds = analysis.cache_grains(source), analysis.rebuilds(source)
    group = group_of(frames)
    reclaimable, summary = analysis.reclaimable(frames), analysis.summary(frames)
    old = analysis.superseded_references(frames)
    alone = dict(rows(reclaimable, "reference", "freed_bytes"))
    savings = analysis.version_savings(frames)
    several = savings.groupby("repository", observed=True)["position"].transform("size") > 1
    return Material(
        made=Made(at or _now(), host, place),
        frames=frames,
        group=group,
        findings=analysis.findings(frames),
        summary=summary,
        parts=analysis.breakdown(frames, by=group),
        sharing=analysis.sharing(frames),
        sets=analysis.sharing_sets(frames, by=group),
        pairs=analysis.shared_bytes(frames, by=group, top=_MOST_PAIRED),
        savings=savings[several].reset_index(drop=True),
        reclaimable=reclaimable,
        superseded=analysis.superseded(frames),
        freed_alone_bytes=sum(alone.get(reference, 0) for reference in old),
        freed_together_bytes=int(analysis.freed_by(frames, old)["stored_bytes"].sum()),
        timeline=analysis.timeline(pulls),
        tags=analysis.tags_over_time(pulls),
        grains=grains,
        rebuilds=rebuilds,
        changes=None if earlier is None else _changes(earlier, summary, frames.need("apps")),
    )


def _now() -> datetime:
    """The time, or the one that a reproducible build asks for."""
    fixed = os.environ.get("SOURCE_DATE_EPOCH", "")
    return datetime.fromtimestamp(int(fixed), UTC) if fixed.isdecimal() else datetime.now(UTC)


def place_of(source: Any) -> str | None:
    """Where a cache is, the user's home as ~; None for several."""
    if not (source is None or isinstance(source, Cache | str | os.PathLike)):
        return None
    path = (source if isinstance(source, Cache) else Cache(source)).path.absolute()
    with contextlib.suppress(ValueError, RuntimeError):
        return f"~/{path.relative_to(Path.home()).as_posix()}"
    return str(path)


APP_FACTS = ("reference", "manifest_digest", "declared_bytes", "stored_bytes")
"""What a page carries of each app for a later report to compare with."""

_MOST_BYTES = 64 << 20
_DATA = re.compile(r'<script type="application/json" id="data">(.*?)</script>', re.DOTALL)
_EARLIER = "a report of spincache-nb about one cache, as HTML or JSON"


def _read_earlier(path: Path) -> Mapping[str, Any]:
    """Read the data that an earlier report carries."""
    with path.open("rb") as stream:
        data = stream.read(_MOST_BYTES + 1)
    if len(data) > _MOST_BYTES:
        raise LimitError(str(path), f"a report of at most {_MOST_BYTES} bytes", "more")
    text = data.decode("utf-8", "replace")
    found = _DATA.search(text)
    try:
        document = json.loads(found[1] if found else text)
        if document["format"] != FORMAT or not isinstance(document["summary"], dict):
            raise ValueError
        for app in document["apps"]:
            if not isinstance(app["reference"], str):
                raise TypeError
            app.update({name: _count(app.get(name)) for name in ("declared_bytes", "stored_bytes")})
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise FormatError(str(path), _EARLIER, "something else") from None
    return document  # type: ignore[no-any-return]


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and 0 <= value < 1 << 63 else None


def _changes(earlier: Mapping[str, Any], summary: pd.DataFrame, apps: pd.DataFrame) -> Changes:
    before = {app["reference"]: app for app in earlier["apps"]}
    now = {str(line["reference"]): line for line in records(apps[[*APP_FACTS]])}
    lines: list[tuple[str, str, int | None, int | None]] = []
    for name in sorted(before.keys() | now.keys()):
        old, new = before.get(name), now.get(name)
        what = "gone" if new is None else "new" if old is None else "changed" if _differ(old, new) else ""
        if what:
            then, size = (None if one is None else one["stored_bytes"] for one in (old, new))
            lines.append((name, what, then, size))
    names = [name for name in summary.columns if name in earlier["summary"]]
    sums = {name: value for name in names if (value := _count(earlier["summary"][name])) is not None}
    try:
        at = datetime.fromisoformat(earlier["at"])
    except (KeyError, ValueError, TypeError):
        at = None
    return Changes(at if at is None or at.tzinfo else at.replace(tzinfo=UTC), sums, lines)


def _differ(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Whether a tag holds another manifest: by the digests if both are known, else by what is declared."""
    one, other = old.get("manifest_digest"), new["manifest_digest"]
    if one and other:
        return bool(one != other)
    return bool(old["declared_bytes"] != new["declared_bytes"])


@dataclass(frozen=True, eq=False)
class FleetMaterial:
    """What a report about a fleet shows, each frame as the method of its name gives it.

    `sharing` has the 200 digests that save most, `host_pairs` the hosts that store most; `repositories`
    counts versions, `idle` what nothing on a host needs, `disk` and `problems` what there is of each kind on
    all hosts; `savings` has the two repositories on most hosts, `skipped` the snapshots that are of no use.
    """

    made: Made
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
        names = ("summary", "host_overlap", "host_pairs", "prewarm", "sharing", "versions", "repositories")
        yield from ((name, getattr(self, name)) for name in names)
        yield from (("unreferenced", self.idle), ("breakdown", self.disk), ("problems", self.problems))


AnyMaterial: TypeAlias = Material | FleetMaterial


def gather_fleet(fleet: Fleet, *, host: str | None = None, at: datetime | None = None) -> FleetMaterial:
    """Analyse a fleet, which stays open."""
    versions = fleet.versions()
    repositories = repositories_of(versions)
    several = repositories[repositories["version_count"] > 1]
    chosen = [name for (name,) in rows(several.head(_DRAWN_REPOSITORIES), "repository")]
    return FleetMaterial(
        made=Made(at or _now(), host),
        kind=fleet.kind,
        summary=fleet.summary(),
        host_overlap=fleet.host_overlap(),
        host_pairs=fleet.host_pairs(top=_MOST_HOSTS),
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

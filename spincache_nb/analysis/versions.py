"""What a new version costs: the versions of a repository, pulled one after the other into an empty cache.

Pure, and the same for versions in a cache and for tags that are still in a registry. The rules:

``spin``
    The config is fetched on every pull. A layer is skipped if a file of its digest is in ``wasm/``
    or ``data/``, whatever its media type; that file may be a member that an earlier archive was
    unpacked into. The application layer becomes ``config.json`` and is never stored as a blob, so
    it is fetched on every pull too (Spin v2.0 to main, crates/oci/src/client.rs: pull).
``spincache``
    As this toolkit pulls. A layer is skipped if it is stored in the area where its role belongs, or
    can be copied from the other area. The application layer is skipped if ``config.json`` of the
    same reference is that layer, and then the config is skipped too; where there is no application
    layer (Spin v0.8 to v1.5, packages), ``config.json`` is the config itself.

Sizes are the declared ones. Config and layers count, each digest once; the manifest does not.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias, get_args

import pandas as pd

from spincache_nb.analysis.inputs import Source, bundle, is_fleet, over
from spincache_nb.analysis.remote import RemoteVersions, remote_versions
from spincache_nb.analysis.schemas import (
    MANIFESTS_SCHEMA,
    MEMBERS_SCHEMA,
    UPGRADE_MATRIX_SCHEMA,
    VERSION_SAVINGS_SCHEMA,
)
from spincache_nb.analysis.tags import tag_key
from spincache_nb.core.reference import Reference
from spincache_nb.errors import InvalidReferenceError, NotInCacheError, without_user
from spincache_nb.frames import Frames
from spincache_nb.frames.schemas import FEW, Schema, build
from spincache_nb.show import rows

if TYPE_CHECKING:
    from typing import Unpack

    from spincache_nb.analysis.remote import LookUpOptions

Rules: TypeAlias = Literal["spin", "spincache"]
Row: TypeAlias = tuple[Any, ...]
_CONTENT = frozenset({"wasm", "data", "archive", "other"})
"""Roles of layers that are stored as blobs."""

NEEDED = ("apps", "layers", "uses", "files")
_ALL_SAVINGS_SCHEMA = {"repository": FEW, **VERSION_SAVINGS_SCHEMA}


@VERSION_SAVINGS_SCHEMA.describes
def version_savings(
    cache: Source | RemoteVersions = None,
    repository: str | None = None,
    *,
    rules: Rules = "spin",
    order: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Pull the cached versions of a repository one after the other into an empty cache.

    Parameters
    ----------
    cache
        As for `breakdown`; or what `remote_versions` gave, for versions that are still in a registry.
    repository
        For example ``ghcr.io/org/app``; the registry may be left out where only one has it. None for each
        repository, in a cache of its own that starts empty; ``repository`` is then the first column.
    rules
        ``spin`` for what Spin fetches, ``spincache`` for what this toolkit fetches; see
        `spincache_nb.analysis.versions`.
    order
        Tags or references in the order to pull them; those not named are left out. None for
        semantic versions first, then other tags in their natural order, ``latest`` last.

    Returns
    -------
    pandas.DataFrame
        One row per version, in order. Config and layers count, each digest once; manifests do not.

        {columns}

    Raises
    ------
    NotInCacheError
        If the cache holds no such repository, or the name is ambiguous.
    ValueError
        If the rules are none of those, or the order names a version that is not there.
    """
    check_rules(rules)
    replay = partial(savings_rows, rules=rules, order=order)
    if isinstance(cache, RemoteVersions):
        return _replayed(cache, "", VERSION_SAVINGS_SCHEMA, replay)
    if is_fleet(cache):
        return cache.version_savings(repository, rules=rules)  # type: ignore[no-any-return]
    if repository is not None:
        return _replayed(cache, repository, VERSION_SAVINGS_SCHEMA, replay)
    if order is not None:
        raise ValueError("order= needs the repository whose versions it names")
    return over(cache, _ALL_SAVINGS_SCHEMA, NEEDED, lambda frames: _all_savings(frames, rules))


def _replayed(
    cache: Source | RemoteVersions,
    repository: str,
    schema: Schema,
    replay: Callable[[Mapping[str, Version]], list[Row]],
) -> pd.DataFrame:
    """Replay pulls of the versions of a repository, in a registry or in a cache."""
    if isinstance(cache, RemoteVersions):
        return build(schema, replay(read_versions(rows(cache.manifests, *MANIFESTS_SCHEMA))))

    def compute(frames: Frames) -> pd.DataFrame:
        return build(schema, replay(_versions_in(frames, _named(frames, repository))))

    return over(cache, schema, NEEDED, compute)


def _all_savings(frames: Frames, rules: Rules) -> pd.DataFrame:
    found = versions_of(frames)
    versions = _versions_in(frames, [name for names in found.values() for name in names])
    lines = (
        (repository, *line)
        for repository, names in found.items()
        for line in savings_rows({name: versions[name] for name in names}, rules=rules)
    )
    return build(_ALL_SAVINGS_SCHEMA, lines)


def remote_savings(
    repository: str | Reference | RemoteVersions,
    *,
    rules: Rules = "spin",
    order: Sequence[str] | None = None,
    **asking: Unpack[LookUpOptions],
) -> pd.DataFrame:
    """Say what pulling a registry's versions one after the other into an empty cache would cost.

    Parameters
    ----------
    repository
        Such as ``ghcr.io/org/app``, or what `remote_versions` gave: then nothing is asked.
    rules, order
        As for `version_savings`, tags only.
    tags, manifests, progress, cancel, insecure, ca, auth, jobs, manifest_limit
        How to ask, as for `remote_versions`.

    Returns
    -------
    pandas.DataFrame
        The columns of `version_savings`, one row per version, in order. Only its bytes tell what is
        in an archive: where one is fetched, ``archive_known_bytes`` is missing, and what a later
        version could reuse of its members is not counted. Tags that are no versions are left out;
        ``remote_versions(...).problems`` lists them.

    Raises
    ------
    ValueError, SpinCacheError
        As for `version_savings` and `remote_versions`.
    """
    check_rules(rules)
    if not isinstance(repository, RemoteVersions):
        repository = remote_versions(repository, **asking)
    return version_savings(repository, rules=rules, order=order)


@UPGRADE_MATRIX_SCHEMA.describes
def upgrade_matrix(
    cache: Source | RemoteVersions,
    repository: str | None = None,
    *,
    rules: Rules = "spin",
    order: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Say what each version costs where only one version was pulled before.

    Parameters
    ----------
    cache, repository, rules, order
        As for `version_savings`; no fleet, and one repository (of versions in a registry it is known).

    Returns
    -------
    pandas.DataFrame
        One row per ordered pair of versions, the pair of a version with itself (a second pull)
        included; both in order.

        {columns}

    Raises
    ------
    NotInCacheError, ValueError
        As for `version_savings`; also if a cache is given without a repository.
    """
    check_rules(rules)
    if repository is None and not isinstance(cache, RemoteVersions):
        raise ValueError("name the repository whose versions to compare")
    replay = partial(_upgrade_rows, rules=rules, order=order)
    return _replayed(cache, repository or "", UPGRADE_MATRIX_SCHEMA, replay)


def repository_totals(savings: pd.DataFrame) -> list[tuple[str, int, int, int, int, float | None]]:
    """Add up the versions of each repository, by name: their count, total, reused and fetched bytes, share.

    What a version of unknown size costs is left out.
    """
    sums: dict[str, list[int]] = {}
    for repository, total, fetched in rows(savings, "repository", "total_bytes", "fetch_bytes"):
        found = sums.setdefault(repository, [0, 0, 0])
        found[0] += 1
        if total is not None and fetched is not None:
            found[1] += total
            found[2] += fetched
    return [
        (name, count, total, total - fetched, fetched, (total - fetched) / total if total else None)
        for name, (count, total, fetched) in sorted(sums.items())
    ]


def versions_of(frames: Frames) -> dict[str, list[str]]:
    """Give the readable versions of each repository, in order; repositories by name."""
    found: dict[str, list[tuple[str, str | None, pd.Timestamp | None]]] = {}
    columns = ("registry", "repository", "reference", "tag", "created_at", "layer_count")
    for registry, repository, reference, tag, created_at, layer_count in rows(frames.need("apps"), *columns):
        if layer_count is not None:
            found.setdefault(f"{registry}/{repository}", []).append((reference, tag, created_at))
    return {repository: in_order(versions) for repository, versions in sorted(found.items())}


def versioned_repositories(cache: Source = None) -> list[str]:
    """Name the repositories with several versions, those whose versions declare most bytes first."""
    frames = bundle(cache, "apps")
    declared = {name: size or 0 for name, size in rows(frames.need("apps"), "reference", "declared_bytes")}
    sizes = {
        repository: sum(declared[version] for version in versions)
        for repository, versions in versions_of(frames).items()
        if len(versions) > 1
    }
    return sorted(sizes, key=lambda name: (-sizes[name], name))


def _named(frames: Frames, repository: str) -> list[str]:
    """Give the versions of a repository."""
    found, exact = versions_of(frames), {repository}
    with contextlib.suppress(InvalidReferenceError):
        reference = Reference.parse(repository)
        exact.add(f"{reference.registry}/{reference.repository}")
    exact &= found.keys()
    candidates = exact or {name for name in found if name.partition("/")[2] == repository}
    if len(candidates) != 1:
        what = f"{sorted(candidates)}" if candidates else "none of that name"
        where = without_user(repository)
        raise NotInCacheError(where, "one cached repository", what, "see frames.apps(cache)")
    return found[candidates.pop()]


def _versions_in(frames: Frames, references: Collection[str]) -> dict[str, Version]:
    return read_versions(_manifest_lines(frames, references), _member_lines(frames, references))


def _manifest_lines(frames: Frames, references: Iterable[str]) -> list[Row]:
    """Give rows of ``MANIFESTS_SCHEMA``; a config of unknown size is what is declared beyond the layers."""
    apps = frames.need("apps")
    layers: dict[str, list[tuple[Any, ...]]] = {reference: [] for reference in references}
    columns = ("reference", "position", "digest", "role", "declared_bytes")
    for reference, *layer in rows(_of(frames.need("layers"), "reference", layers), *columns):
        layers[reference].append(tuple(layer))
    lines: list[tuple[object, ...]] = []
    extra = [name for name in ("config_digest", "config_bytes") if name in apps.columns]
    chosen = _of(apps, "reference", layers)
    for row in rows(chosen, "reference", "tag", "created_at", "declared_bytes", *extra):
        reference, tag, created_at, declared = row[:4]
        digest, size = row[4:] if len(extra) == 2 else (None, None)
        if size is None:
            distinct = {layer[1]: layer[3] or 0 for layer in layers[reference]}
            size = max(0, (declared or 0) - sum(distinct.values()))
        lines.append((reference, tag, created_at, None, digest, "config", size))
        lines.extend((reference, tag, created_at, *layer) for layer in sorted(layers[reference]))
    return lines


def members_of(frames: Frames, references: Collection[str]) -> pd.DataFrame:
    """Say what the archives of some apps unpack to: data they use or mount that is none of their layers."""
    return build(MEMBERS_SCHEMA, _member_lines(frames, references))


def _member_lines(frames: Frames, references: Collection[str]) -> list[tuple[str, str, int]]:
    own: dict[str, set[str]] = {}
    archived: set[str] = set()
    layers = _of(frames.need("layers"), "reference", references)
    for reference, digest, role in rows(layers, "reference", "digest", "role"):
        own.setdefault(reference, set()).add(digest)
        if role == "archive":
            archived.add(reference)
    members: dict[tuple[str, str], int] = {}
    files = _of(frames.need("files"), "reference", archived)
    for reference, digest, size, inline in rows(files, "reference", "digest", "size_bytes", "inline"):
        if digest is not None and not inline and digest not in own[reference]:
            members[reference, digest] = size or 0
    uses = _of(frames.need("uses"), "user", archived)
    for user, digest, area, size in rows(uses, "user", "digest", "area", "stored_bytes"):
        if area == "data" and digest not in own[user]:
            members[user, digest] = size or 0
    return [(*key, size) for key, size in sorted(members.items())]


def _of(frame: pd.DataFrame, column: str, values: Collection[str]) -> pd.DataFrame:
    """Keep the rows of some apps: a cache may have thousands of others."""
    return frame[frame[column].isin(list(values))]


@cache
def _with(roles: frozenset[str], role: str) -> frozenset[str]:
    """Add a role; what has the same roles has the same set."""
    return roles | {role}


@dataclass
class Version:
    """One manifest: size and roles of its config and layers by digest ("" if that is not known)."""

    reference: str
    tag: str | None
    created_at: pd.Timestamp | None
    members: Mapping[str, int] | None = None
    """Size of each archive member by digest; None if the members are not known."""
    parts: dict[str, tuple[int, frozenset[str]]] = field(default_factory=dict)
    document: str | None = None
    """Digest of what becomes ``config.json``: the last application layer, or else the config."""
    _last: int = -1

    def add(self, position: int, digest: str, role: str, size: int) -> None:
        """Add the config or a layer."""
        known, roles = self.parts.get(digest, (0, frozenset[str]()))
        self.parts[digest] = max(known, size), _with(roles, role)
        if role == "application" and position >= self._last:
            self.document, self._last = digest, position
        elif role == "config" and self.document is None:
            self.document = digest


class Cost(NamedTuple):
    """What one pull costs, in bytes."""

    total: int
    reused: int
    archive_fetch: int
    archive_known: int | None


@dataclass
class Store:
    """A cache that holds nothing but what was pulled into it."""

    rules: Rules
    blobs: set[str] = field(default_factory=set)
    documents: dict[str, str] = field(default_factory=dict)

    def cost(self, version: Version) -> Cost:
        """Say what pulling a version now would fetch and reuse."""
        total = reused = archives = 0
        for digest, (size, roles) in version.parts.items():
            total += size
            if self._stored(digest, version):
                reused += size
            elif "archive" in roles:
                archives += size
        known: int | None = 0
        if archives:
            members = version.members
            known = sum(members[name] for name in members if name in self.blobs) if members else None
        return Cost(total, reused, archives, known)

    def pull(self, version: Version) -> None:
        """Store what a version needs."""
        self.blobs.update(digest for digest, (_, roles) in version.parts.items() if roles & _CONTENT)
        self.blobs.update(version.members or {})
        if version.document is not None:
            self.documents[version.reference] = version.document

    def _stored(self, digest: str, version: Version) -> bool:
        roles = version.parts[digest][1]
        if self.rules == "spin":
            return "config" not in roles and digest in self.blobs
        if digest == version.document or "config" in roles:
            return version.document is not None and self.documents.get(version.reference) == version.document
        return bool(roles & _CONTENT) and digest in self.blobs


def read_versions(manifests: Iterable[Row], members: Iterable[Row] | None = None) -> dict[str, Version]:
    """Read versions from rows of ``MANIFESTS_SCHEMA`` and, if members are known, ``MEMBERS_SCHEMA``."""
    unpacked: dict[str, dict[str, int]] = {}
    for reference, digest, size in members or ():
        unpacked.setdefault(reference, {})[digest] = size or 0
    found: dict[str, Version] = {}
    for reference, tag, created_at, position, digest, role, size in manifests:
        if reference not in found:
            found[reference] = Version(reference, tag, created_at, unpacked.get(reference))
        found[reference].add(position or 0, digest or "", role, size or 0)
    return found


def savings_rows(
    versions: Mapping[str, Version], *, rules: Rules = "spin", order: Sequence[str] | None = None
) -> list[Row]:
    """Pull versions one after the other into an empty cache: rows of ``VERSION_SAVINGS_SCHEMA``."""
    store = Store(rules)
    totals = fetched = 0
    lines: list[Row] = []
    for position, reference in enumerate(_ordered(versions, order)):
        version = versions[reference]
        cost = store.cost(version)
        store.pull(version)
        fetch = cost.total - cost.reused
        totals += cost.total
        fetched += fetch
        share = cost.reused / cost.total if cost.total else None
        line = position, reference, version.tag, version.created_at, cost.total, cost.reused, fetch, share
        lines.append((*line, totals, fetched, totals - fetched, cost.archive_fetch, cost.archive_known))
    return lines


def _upgrade_rows(versions: Mapping[str, Version], rules: Rules, order: Sequence[str] | None) -> list[Row]:
    """Pull every version where one other was pulled before: rows of ``UPGRADE_MATRIX_SCHEMA``."""
    chosen = list(dict.fromkeys(_ordered(versions, order)))
    lines: list[Row] = []
    for start in chosen:
        store = Store(rules)
        store.pull(versions[start])
        for end in chosen:
            cost = store.cost(versions[end])
            lines.append((start, end, cost.total - cost.reused, cost.reused))
    return lines


def check_rules(rules: str) -> None:
    """Refuse rules that are neither Spin's nor ours."""
    if rules not in get_args(Rules):
        raise ValueError(f"rules are one of {', '.join(get_args(Rules))}, not {rules!r}")


def in_order(versions: Iterable[tuple[str, str | None, pd.Timestamp | None]]) -> list[str]:
    """Put versions (reference, tag, time of creation) of one repository in the order of `tag_key`."""

    def place(version: tuple[str, str | None, pd.Timestamp | None]) -> tuple[bytes, str]:
        reference, tag, created_at = version
        return tag_key(tag, None if created_at is None else created_at.value), reference

    return [version[0] for version in sorted(versions, key=place)]


def _ordered(versions: Mapping[str, Version], order: Sequence[str] | None) -> list[str]:
    """Give references in the order asked for by tag or reference, or else in their own."""
    if order is None:
        return in_order((one.reference, one.tag, one.created_at) for one in versions.values())
    by_name = {one.tag: one.reference for one in versions.values() if one.tag is not None}
    by_name.update({reference: reference for reference in versions})
    unknown = [name for name in order if name not in by_name]
    if unknown:
        raise ValueError(f"no such version: {unknown[0]!r}; there are {sorted(by_name)[:10]}")
    return [by_name[name] for name in order]

"""What a new version costs: the versions of a repository in a cache, replayed in order."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import pandas as pd

from spincache_nb.analysis.inputs import Source, bundle, is_fleet, over
from spincache_nb.analysis.remote import RemoteVersions
from spincache_nb.analysis.replay import (
    Rules,
    check_rules,
    in_order,
    read_versions,
    replay_savings,
    replay_upgrades,
    savings_rows,
)
from spincache_nb.analysis.schemas import (
    MANIFESTS_SCHEMA,
    MEMBERS_SCHEMA,
    UPGRADE_MATRIX_SCHEMA,
    VERSION_SAVINGS_SCHEMA,
)
from spincache_nb.core.reference import Reference
from spincache_nb.errors import InvalidReferenceError, NotInCacheError, without_user
from spincache_nb.frames import Frames
from spincache_nb.frames.schemas import FEW, TableSchema, build
from spincache_nb.show import rows

NEEDED = ("apps", "layers", "uses", "files")
_ALL_SAVINGS_SCHEMA = TableSchema(
    {
        "repository": (FEW, "``registry/repository``"),
        **{
            name: (dtype, VERSION_SAVINGS_SCHEMA.meanings[name])
            for name, dtype in VERSION_SAVINGS_SCHEMA.items()
        },
    }
)


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
        This user's cache unless given; a cache, its path, or several; loaded frames (apps, layers, uses,
        files); a fleet; or what `remote_versions` gave, for versions that are still in a registry.
    repository
        For example ``ghcr.io/org/app``; the registry may be left out where only one has it. None for each
        repository, in a cache of its own that starts empty; ``repository`` is then the first column.
    rules
        ``spin`` for what Spin fetches, ``spincache`` for what this toolkit fetches; see
        `spincache_nb.analysis.replay`.
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
    if isinstance(cache, RemoteVersions):
        return replay_savings(cache.manifests, rules=rules, order=order)
    if is_fleet(cache):
        return cache.version_savings(repository, rules=rules)  # type: ignore[no-any-return]
    if repository is not None:
        one = repository
        compute = lambda frames: replay_savings(*_described(frames, one), rules=rules, order=order)  # noqa: E731
        return over(cache, VERSION_SAVINGS_SCHEMA, NEEDED, compute)
    if order is not None:
        raise ValueError("order= needs the repository whose versions it names")
    return over(cache, _ALL_SAVINGS_SCHEMA, NEEDED, lambda frames: _all_savings(frames, rules))


def _all_savings(frames: Frames, rules: Rules) -> pd.DataFrame:
    found = versions_of(frames)
    every = [reference for references in found.values() for reference in references]
    versions = read_versions(manifests_of(frames, every), members_of(frames, every))
    return build(
        _ALL_SAVINGS_SCHEMA,
        (
            (repository, *line)
            for repository, references in found.items()
            for line in savings_rows({name: versions[name] for name in references}, rules=rules)
        ),
    )


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
    cache, rules, order
        As for `version_savings`; no fleet.
    repository
        As for `version_savings`; of versions in a registry it is known.

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
    if isinstance(cache, RemoteVersions):
        return replay_upgrades(cache.manifests, rules=rules, order=order)
    if repository is None:
        raise ValueError("name the repository whose versions to compare")
    one = repository
    compute = lambda frames: replay_upgrades(*_described(frames, one), rules=rules, order=order)  # noqa: E731
    return over(cache, UPGRADE_MATRIX_SCHEMA, NEEDED, compute)


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


def _described(frames: Frames, repository: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Give the manifests and members of a repository's versions."""
    found = versions_of(frames)
    exact = {repository, _full_name(repository)} & found.keys()
    candidates = exact or {name for name in found if name.partition("/")[2] == repository}
    if len(candidates) != 1:
        what = f"{sorted(candidates)}" if candidates else "none of that name"
        where = without_user(repository)
        raise NotInCacheError(where, "one cached repository", what, "see frames.apps(cache)")
    references = sorted(found[candidates.pop()])
    return manifests_of(frames, references), members_of(frames, references)


def _full_name(repository: str) -> str:
    try:
        reference = Reference.parse(repository)
    except InvalidReferenceError:
        return repository
    return f"{reference.registry}/{reference.repository}"


def manifests_of(frames: Frames, references: Iterable[str]) -> pd.DataFrame:
    """Make the frame that a replay takes; a config of unknown size is what is declared beyond the layers."""
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
    return build(MANIFESTS_SCHEMA, lines)


def members_of(frames: Frames, references: Collection[str]) -> pd.DataFrame:
    """Say what the archives of some apps unpack to: data they use or mount that is none of their layers."""
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
    return build(MEMBERS_SCHEMA, ((*key, size) for key, size in sorted(members.items())))


def _of(frame: pd.DataFrame, column: str, values: Collection[str]) -> pd.DataFrame:
    """Keep the rows of some apps: a cache may have thousands of others."""
    return frame[frame[column].isin(list(values))]

"""What a new version costs: the versions of one repository in a cache, replayed in order."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import pandas as pd

from spincache_nb.analysis.inputs import Source, bundle, rows
from spincache_nb.analysis.remote import RemoteVersions
from spincache_nb.analysis.replay import Rules, check_rules, replay_savings, replay_upgrades
from spincache_nb.analysis.schemas import MANIFESTS_SCHEMA, MEMBERS_SCHEMA
from spincache_nb.core.reference import Reference
from spincache_nb.errors import InvalidReferenceError, NotInCacheError, without_user
from spincache_nb.frames import Frames
from spincache_nb.frames.schemas import build

NEEDED = ("apps", "layers", "uses", "files")


def version_savings(
    source: Source, repository: str, *, rules: Rules = "spin", order: Sequence[str] | None = None
) -> pd.DataFrame:
    """Pull the cached versions of a repository one after the other into an empty cache.

    Parameters
    ----------
    source
        A cache, or loaded frames: apps, layers, uses, files.
    repository
        For example ``ghcr.io/org/app``; the registry may be left out where only one has it.
    rules
        ``spin`` for what Spin fetches, ``spincache`` for what this toolkit fetches; see
        `spincache_nb.analysis.replay`.
    order
        Tags or references in the order to pull them; those not named are left out. None for
        semantic versions first, then by time of creation, then by tag.

    Returns
    -------
    pandas.DataFrame
        One row per version, in order. Config and layers count, each digest once; manifests do not.

        ======================  ===================  ==============================================
        column                  dtype                meaning
        ======================  ===================  ==============================================
        position                Int64                place in the order, from 0
        reference               string               the version
        tag                     string               its tag, missing if filed under a digest
        created_at              datetime64[ns, UTC]  when it was made, if it says so
        total_bytes             Int64                declared bytes of config and layers
        reused_bytes            Int64                bytes that are there already
        fetch_bytes             Int64                bytes fetched
        saved_share             Float64              reused part of the total, missing if the total is 0
        cumulative_total_bytes  Int64                sum of the totals so far
        cumulative_fetch_bytes  Int64                sum of the bytes fetched so far
        cumulative_saved_bytes  Int64                sum of the bytes reused so far
        archive_fetch_bytes     Int64                fetched bytes that are archive layers
        archive_known_bytes     Int64                bytes (unpacked) of members of these archives that
                                                     were there already: an archive is fetched whole;
                                                     missing if the members are not known
        ======================  ===================  ==============================================

    Raises
    ------
    NotInCacheError
        If the cache holds no such repository, or the name is ambiguous.
    ValueError
        If the rules are none of those, or the order names a version that is not there.
    """
    check_rules(rules)
    frames = bundle(source, *NEEDED)
    chosen = references_of(frames, repository)
    return replay_savings(manifests_of(frames, chosen), members_of(frames, chosen), rules=rules, order=order)


def upgrade_matrix(
    source: Source | RemoteVersions,
    repository: str | None = None,
    *,
    rules: Rules = "spin",
    order: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Say what each version costs where only one version was pulled before.

    Parameters
    ----------
    source
        A cache, or loaded frames: apps, layers, uses, files. Or what `remote_versions` gave, for
        versions that are still in a registry.
    repository
        As for `version_savings`; of versions in a registry it is known.
    rules, order
        As for `version_savings`.

    Returns
    -------
    pandas.DataFrame
        One row per ordered pair of versions, the pair of a version with itself (a second pull)
        included; both in order.

        ============  ======  ==================================
        column        dtype   meaning
        ============  ======  ==================================
        from          string  the version that is there
        to            string  the version that is pulled
        fetch_bytes   Int64   bytes fetched
        reused_bytes  Int64   bytes that are there already
        ============  ======  ==================================

    Raises
    ------
    NotInCacheError, ValueError
        As for `version_savings`; also if a cache is given without a repository.
    """
    check_rules(rules)
    if isinstance(source, RemoteVersions):
        return replay_upgrades(source.manifests, rules=rules, order=order)
    if repository is None:
        raise ValueError("name the repository whose versions to compare")
    frames = bundle(source, *NEEDED)
    chosen = references_of(frames, repository)
    return replay_upgrades(manifests_of(frames, chosen), members_of(frames, chosen), rules=rules, order=order)


def references_of(frames: Frames, repository: str) -> list[str]:
    """Find the apps of a repository whose manifest could be read."""
    found: dict[str, list[str]] = {}
    bare: dict[str, set[str]] = {}
    columns = ("reference", "registry", "repository", "layer_count")
    for reference, registry, name, layer_count in rows(frames.need("apps"), *columns):
        if layer_count is not None:
            found.setdefault(f"{registry}/{name}", []).append(reference)
            bare.setdefault(name, set()).add(f"{registry}/{name}")
    candidates = {repository, _full_name(repository)} & found.keys() or bare.get(repository, set())
    if len(candidates) != 1:
        what = f"{sorted(candidates)}" if candidates else "none of that name"
        raise NotInCacheError(
            without_user(repository), "one cached repository", what, "see frames.apps(cache)"
        )
    return sorted(found[candidates.pop()])


def _full_name(repository: str) -> str:
    try:
        reference = Reference.parse(repository)
    except InvalidReferenceError:
        return repository
    return f"{reference.registry}/{reference.repository}"


def manifests_of(frames: Frames, references: Sequence[str]) -> pd.DataFrame:
    """Make the frame that a replay takes from the frames of a cache."""
    apps = frames.need("apps")
    layers: dict[str, list[tuple[Any, ...]]] = {reference: [] for reference in references}
    columns = ("reference", "position", "digest", "role", "declared_bytes")
    for reference, *layer in rows(_of(frames.need("layers"), "reference", references), *columns):
        layers[reference].append(tuple(layer))
    lines: list[tuple[object, ...]] = []
    extra = [name for name in ("config_digest", "config_bytes") if name in apps.columns]
    chosen = _of(apps, "reference", references)
    for row in rows(chosen, "reference", "tag", "created_at", "declared_bytes", *extra):
        reference, tag, created_at, declared = row[:4]
        digest, size = row[4:] if len(extra) == 2 else (None, None)
        if size is None:
            distinct = {layer[1]: layer[3] or 0 for layer in layers[reference]}
            size = max(0, (declared or 0) - sum(distinct.values()))
        lines.append((reference, tag, created_at, None, digest, "config", size))
        lines.extend((reference, tag, created_at, *layer) for layer in sorted(layers[reference]))
    return build(MANIFESTS_SCHEMA, lines)


def members_of(frames: Frames, references: Sequence[str]) -> pd.DataFrame:
    """Say what the archives of some apps unpack to."""
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
    return frame[frame[column].isin(values)]

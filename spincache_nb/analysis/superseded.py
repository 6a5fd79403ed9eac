"""What old versions hold: per repository, all but the version that comes last."""

from __future__ import annotations

import pandas as pd

from spincache_nb.analysis.disk_use import NEEDED
from spincache_nb.analysis.inputs import Source, bundle, rows
from spincache_nb.analysis.removal import disk_users
from spincache_nb.analysis.schemas import SUPERSEDED_SCHEMA
from spincache_nb.analysis.versions import in_order
from spincache_nb.frames import Frames
from spincache_nb.frames.schemas import build


def superseded(source: Source) -> pd.DataFrame:
    """Say for each repository what removing all versions but the last frees.

    Parameters
    ----------
    source
        A cache, or loaded frames: disk, blobs, uses, layers, apps, unnamed.

    Returns
    -------
    pandas.DataFrame
        One row per repository with several versions whose manifests can be read, most freed bytes
        first, then by name. Of several repositories together more is freed than the sum, if old
        versions of one share with old versions of another; `freed_by` says exactly how much.

        ============  ======  ======================================================
        column        dtype   meaning
        ============  ======  ======================================================
        repository    string  ``registry/repository``
        last          string  the version that stays, last in order: semantic versions first, then
                              by time of creation, then by tag
        old_count     Int64   the other versions
        freed_bytes   Int64   bytes that removing these frees, all at once
        ============  ======  ======================================================
    """
    frames = bundle(source, *NEEDED, "unnamed")
    versions = {name: found for name, found in _versions(frames).items() if len(found) > 1}
    repository_of = {old: name for name, found in versions.items() for old in found[:-1]}
    freed = dict.fromkeys(versions, 0)
    for file, _, keepers in disk_users(frames):
        repositories = {repository_of.get(user) for user in keepers}
        if len(repositories) == 1 and (repository := repositories.pop()) is not None:
            freed[repository] += file.stored_bytes
    lines = [(name, found[-1], len(found) - 1, freed[name]) for name, found in versions.items()]
    return build(SUPERSEDED_SCHEMA, sorted(lines, key=lambda line: (-line[3], line[0])))


def superseded_references(source: Source) -> list[str]:
    """Name the versions of all repositories that `superseded` would remove.

    Parameters
    ----------
    source
        A cache, or loaded frames: apps.

    Returns
    -------
    list of str
        References, repository by repository.
    """
    return [
        reference
        for references in _versions(bundle(source, "apps")).values()
        for reference in references[:-1]
    ]


def _versions(frames: Frames) -> dict[str, list[str]]:
    """Give the readable versions of each repository, in order."""
    found: dict[str, list[tuple[str, str | None, pd.Timestamp | None]]] = {}
    columns = ("registry", "repository", "reference", "tag", "created_at", "layer_count")
    for registry, repository, reference, tag, created_at, layer_count in rows(frames.need("apps"), *columns):
        if layer_count is not None:
            found.setdefault(f"{registry}/{repository}", []).append((reference, tag, created_at))
    return {repository: in_order(versions) for repository, versions in sorted(found.items())}

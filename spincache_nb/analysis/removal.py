"""What removing apps frees: exactly for a set of apps, for each alone, and for old versions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import pandas as pd

from spincache_nb.analysis.disk import DOCUMENTS, NEEDED, NOBODY, DiskFile, disk_files, names_of_files
from spincache_nb.analysis.inputs import Source, apps_among, bundle, over, resolve_references
from spincache_nb.analysis.labels import sorted_names
from spincache_nb.analysis.schemas import FREED_SCHEMA, RECLAIMABLE_SCHEMA, SUPERSEDED_SCHEMA
from spincache_nb.analysis.versions import versions_of
from spincache_nb.core.reference import Reference
from spincache_nb.frames import Frames
from spincache_nb.frames.schemas import build
from spincache_nb.frames.sources import Projects
from spincache_nb.show import rows

_NEEDED = (*NEEDED, "unnamed")


@FREED_SCHEMA.describes
def freed_by(
    cache: Source, references: str | Reference | Sequence[str | Reference], *, projects: Projects = ()
) -> pd.DataFrame:
    """List exactly the files that removing a set of apps frees.

    That is not the sum of the single figures: a blob that only two apps need is freed by removing
    both, and by neither alone.

    Parameters
    ----------
    cache
        A cache or its path, or loaded frames: disk, blobs, uses, layers, apps, unnamed; None for this
        user's cache.
    references
        The apps to remove, all at once.
    projects
        ``spin.toml`` files, or folders that hold one, of projects that use the cache too.

    Returns
    -------
    pandas.DataFrame
        One row per file: the apps' two documents, and every blob that nobody else needs. The sum of
        ``stored_bytes`` is what is freed. What is unreferenced already is not in it. A file with
        several names (hard links) is freed by the last of them to go: its bytes stand at one of its
        names if all go, and at none if one stays.

        {columns}

    Raises
    ------
    NotInCacheError
        If the cache holds no such app.

    Notes
    -----
    Users are those of ``frames.uses``, and what goes is what `plan_remove` would take. So a blob stays
    that an app which stays has in an archive, even if that app does not name it: Spin unpacks a stored
    archive once only. Archives are read for that; frames that were put together without ``unnamed``
    know of no such blob.
    """
    named = [references] if isinstance(references, (str, Reference)) else references
    frames = bundle(cache, *_NEEDED, projects=projects)
    chosen = frozenset(resolve_references(frames.need("apps"), named))
    lines = []
    for file, users, keepers in disk_users(frames):
        if users and users <= chosen:
            kind = "blob" if file.users else "document"
            freed = file.stored_bytes if keepers <= chosen else 0
            lines.append((file.path, kind, file.area, file.digest if file.users else None, freed))
    return build(FREED_SCHEMA, sorted(lines))


@RECLAIMABLE_SCHEMA.describes
def reclaimable(cache: Source = None, *, projects: Projects = ()) -> pd.DataFrame:
    """Say for each app what removing it alone frees.

    Parameters
    ----------
    cache
        As for `freed_by`; of several caches, the apps of each.
    projects
        As for `freed_by`.

    Returns
    -------
    pandas.DataFrame
        One row per app, most freed bytes first, then by reference.

        {columns}
    """
    return over(cache, RECLAIMABLE_SCHEMA, _NEEDED, _reclaimable, projects=projects)


def _reclaimable(frames: Frames) -> pd.DataFrame:
    stored = dict.fromkeys(sorted_names(apps_among(frames)), 0)
    freed = dict(stored)
    for file, _, keepers in disk_users(frames):
        for user in keepers:
            if user in stored:
                stored[user] += file.stored_bytes
                freed[user] += file.stored_bytes if len(keepers) == 1 else 0
    order = sorted(stored, key=lambda reference: -freed[reference])
    return build(
        RECLAIMABLE_SCHEMA,
        ((name, stored[name], freed[name], stored[name] - freed[name]) for name in order),
    )


@SUPERSEDED_SCHEMA.describes
def superseded(cache: Source = None, *, keep: int = 1, projects: Projects = ()) -> pd.DataFrame:
    """Say for each repository what removing all versions but the last few frees.

    Parameters
    ----------
    cache
        As for `reclaimable`.
    keep
        How many versions of each repository stay, the last in order.
    projects
        As for `freed_by`.

    Returns
    -------
    pandas.DataFrame
        One row per repository with more versions than that whose manifests can be read, most freed bytes
        first, then by name. Of several repositories together more is freed than the sum, if old
        versions of one share with old versions of another; `freed_by` says exactly how much.

        {columns}

    Raises
    ------
    ValueError
        If `keep` is below 1.
    """
    _check_keep(keep)
    return over(
        cache, SUPERSEDED_SCHEMA, _NEEDED, lambda frames: _superseded(frames, keep), projects=projects
    )


def _superseded(frames: Frames, keep: int) -> pd.DataFrame:
    versions = {name: found for name, found in versions_of(frames).items() if len(found) > keep}
    repository_of = {old: name for name, found in versions.items() for old in found[:-keep]}
    freed = dict.fromkeys(versions, 0)
    for file, _, keepers in disk_users(frames):
        repositories = {repository_of.get(user) for user in keepers}
        if len(repositories) == 1 and (repository := repositories.pop()) is not None:
            freed[repository] += file.stored_bytes
    lines = [(name, found[-1], len(found) - keep, freed[name]) for name, found in versions.items()]
    return build(SUPERSEDED_SCHEMA, sorted(lines, key=lambda line: (-line[3], line[0])))


def superseded_references(cache: Source = None, *, keep: int = 1) -> list[str]:
    """Name the versions of all repositories that `superseded` would remove.

    Parameters
    ----------
    cache
        A cache or its path, or loaded frames: apps; None for this user's cache.
    keep
        As for `superseded`.

    Returns
    -------
    list of str
        References, repository by repository.
    """
    _check_keep(keep)
    versions = versions_of(bundle(cache, "apps"))
    return [reference for references in versions.values() for reference in references[:-keep]]


def _check_keep(keep: int) -> None:
    if keep < 1:
        raise ValueError(f"keep at least 1 version of each repository, not {keep}")


class Held(NamedTuple):
    """A file under ``registry``, by one of its names, and what holds it.

    `users` must go before this name of it goes: a blob's users, and the apps whose archives hold it
    without naming it; or a document's app. `keepers` must go before its bytes are freed: the same for
    all its names, with an empty name for one that no removal of apps takes away.
    """

    file: DiskFile
    users: frozenset[str]
    keepers: frozenset[str]


def disk_users(frames: Frames) -> list[Held]:
    """Give every file under ``registry`` with who holds it."""
    owners = _document_owners(frames)
    archives = _holding_archives(frames)
    files = disk_files(frames)
    users = {file.path: _holders(file, owners, archives) for file in files}
    linked = {
        first: frozenset().union(*(users[name.path] or {""} for name in names))
        for first, names in names_of_files(files).items()
    }
    return [Held(file, users[file.path], linked.get(file.first_name, users[file.path])) for file in files]


def _holders(
    file: DiskFile, owners: Mapping[str, str], archives: Mapping[str, frozenset[str]]
) -> frozenset[str]:
    if file.users:
        return file.users | archives.get(file.digest or "", NOBODY) if file.area == "data" else file.users
    folder, _, name = file.path.rpartition("/")
    owner = owners.get(folder) if name in DOCUMENTS else None
    return NOBODY if owner is None else frozenset({owner})


def _holding_archives(frames: Frames) -> dict[str, frozenset[str]]:
    """Map blobs to the apps whose archives hold them although the apps do not name them."""
    found: dict[str, set[str]] = {}
    if frames.holds("unnamed"):
        for reference, digest in rows(frames.need("unnamed"), "reference", "digest"):
            found.setdefault(digest, set()).add(reference)
    return {digest: frozenset(references) for digest, references in found.items()}


def _document_owners(frames: Frames) -> dict[str, str]:
    """Map the directories that apps may be filed under, as Unix and Windows name them, to the apps."""
    owners = {}
    for reference, registry, repository in rows(frames.need("apps"), "reference", "registry", "repository"):
        tag = reference.removeprefix(f"{registry}/{repository}")[1:]
        for host, last in ((registry, tag), (registry.replace(":", "_"), tag.replace(":", "_"))):
            owners[f"manifests/{host}/{repository}/{last}"] = reference
    return owners

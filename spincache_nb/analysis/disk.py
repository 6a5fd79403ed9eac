"""Where the bytes on disk go: every byte in exactly one row; and which of them a removal frees.

A file's row is decided by these questions, in this order, so that a catch-all row holds only what
no named row can:

1. Is it a ``manifest.json`` or ``config.json`` under ``manifests/``? Then ``manifests``.
2. Is it no blob at all (no row in ``frames.blobs``)? Then ``temporary`` if its name is that of a
   file that this toolkit had not finished, else ``other``.
3. Is it used? If every user of it keeps it as an archive whose members are stored too, ``archive``.
   Otherwise by its users: ``exclusive`` to one app, ``shared`` by several users of which one at
   least is an app, or ``projects`` only.
4. Otherwise by its standing: ``temporary``, ``misnamed``, and what remains is ``unreferenced``.

A file with several names (hard links) is counted once, at the name whose row comes first by these
questions; its other names are files without bytes.

An app's members are known to be stored when it uses stored content that none of its own layers is:
that content can only have come out of an archive. Which of several archives of one app it came out
of, no frame says; they are then taken together.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import pandas as pd

from spincache_nb.analysis.inputs import (
    Group,
    Needs,
    Source,
    apps_among,
    bundle,
    group_names,
    is_fleet,
    over,
    resolve_references,
    short_references,
    some_of,
    sorted_names,
    without_repeats,
)
from spincache_nb.analysis.schemas import (
    BREAKDOWN_MEMBERS_SCHEMA,
    BREAKDOWN_SCHEMA,
    FREED_SCHEMA,
    RECLAIMABLE_SCHEMA,
    SUMMARY_SCHEMA,
    SUPERSEDED_SCHEMA,
)
from spincache_nb.analysis.versions import versions_of
from spincache_nb.core.layout import LOCKED_APP_FILE, MANIFEST_FILE, TEMPORARY_PREFIX
from spincache_nb.core.reference import Reference
from spincache_nb.frames import Frames
from spincache_nb.frames.schemas import build
from spincache_nb.frames.sources import Projects
from spincache_nb.inventory.columns import no_collections
from spincache_nb.show import rows

LABELS = {
    "exclusive": "needed by one app only",
    "shared": "shared by several",
    "archive": "archives kept beside their members",
    "projects": "projects only",
    "unreferenced": "unreferenced",
    "temporary": "temporary files",
    "misnamed": "misnamed files",
    "manifests": "manifests and locked apps",
    "other": "other files",
}
KINDS = tuple(LABELS)
"""Kinds of rows, in the order in which they are listed."""

DOCUMENTS = (MANIFEST_FILE, LOCKED_APP_FILE)
NEEDED = ("disk", "blobs", "uses", "layers", "apps")
_REMOVAL = (*NEEDED, "unnamed")
NOBODY: frozenset[str] = frozenset()

_MOST_SAID = (
    "exclusive", "shared", "archive", "projects", "manifests", "temporary", "misnamed", "unreferenced",
    "other",
)  # fmt: skip
"""Kinds by how much they say of a file; of several names the first of these counts."""


class DiskFile(NamedTuple):
    """One regular file under ``registry``, all who need it, and its kind of row in the breakdown."""

    path: str
    area: str
    stored_bytes: int
    digest: str | None
    users: frozenset[str]
    kind: str
    same_as: str | None = None


@BREAKDOWN_SCHEMA.describes
def breakdown(cache: Source = None, *, projects: Projects = (), by: Group = "app") -> pd.DataFrame:
    """Split the bytes on disk so that every byte is in exactly one row.

    Parameters
    ----------
    cache
        This user's cache unless given; a cache, its path, or several; loaded frames; or a fleet.
    projects
        ``spin.toml`` files, or folders that hold one, of projects that use the cache too.
    by
        Whether an app, a repository or a registry has a row of its own.

    Returns
    -------
    pandas.DataFrame
        The rows' ``stored_bytes`` sum to the sizes of all regular files under ``registry`` (a file
        with several hard links once, a symbolic link nothing). Rows without files are left out.

        {columns}

    See Also
    --------
    breakdown_members : the users of each row.
    """
    if is_fleet(cache):
        return cache.breakdown()  # type: ignore[no-any-return]
    return over(cache, BREAKDOWN_SCHEMA, NEEDED, lambda frames: _breakdown(frames, by), projects=projects)


def _breakdown(frames: Frames, by: Group) -> pd.DataFrame:
    shares = _grouped(frames, by)
    short = short_references(user for share in shares for user in share.members)
    places = {name: place for place, name in enumerate(sorted_names(short.values()))}
    total = sum(share.size for share in shares)
    lines = (
        (row, one.kind, _label(one, short, places), len(one.members), one.files, one.size)
        for row, one in enumerate(shares)
    )
    return build(BREAKDOWN_SCHEMA, ((*line, line[-1] / total if total else None) for line in lines))


@BREAKDOWN_MEMBERS_SCHEMA.describes
def breakdown_members(cache: Source = None, *, projects: Projects = (), by: Group = "app") -> pd.DataFrame:
    """Name the users of each row of `breakdown`.

    Parameters
    ----------
    cache, projects, by
        As for `breakdown`; no fleet.

    Returns
    -------
    pandas.DataFrame
        One row per row of `breakdown` and user; rows that nobody uses have none.

        {columns}
    """
    compute = lambda frames: _members(frames, by)  # noqa: E731
    return over(cache, BREAKDOWN_MEMBERS_SCHEMA, NEEDED, compute, projects=projects)


def _members(frames: Frames, by: Group) -> pd.DataFrame:
    apps = apps_among(frames) | set(group_names(frames, by).values())
    lines = [
        (row, share.kind, user, "app" if user in apps else "project", share.members[user])
        for row, share in enumerate(_grouped(frames, by))
        for user in sorted_names(share.members)
    ]
    return build(BREAKDOWN_MEMBERS_SCHEMA, lines)


@SUMMARY_SCHEMA.describes
def summary(cache: Source = None, *, projects: Projects = ()) -> pd.DataFrame:
    """Sum a cache up in one row.

    Parameters
    ----------
    cache, projects
        As for `breakdown`; loaded frames must hold problems as well.

    Returns
    -------
    pandas.DataFrame
        One row; of several caches, one for each.

        {columns}
    """
    if is_fleet(cache):
        return cache.summary()  # type: ignore[no-any-return]
    return over(cache, SUMMARY_SCHEMA, (*NEEDED, "problems"), _summary, projects=projects)


def _summary(frames: Frames) -> pd.DataFrame:
    needs, files = Needs(frames), disk_files(frames)
    logical, stored = int(needs.sizes[needs.blob].sum()), int(needs.sizes.sum())
    idle = sum(file.stored_bytes for file in files if file.kind == "unreferenced")
    disk = sum(file.stored_bytes for file in files)
    ratio = logical / stored if stored else None
    counts = (len(frames.need("problems")), len(frames.need("apps")), len(needs.sizes))
    return build(SUMMARY_SCHEMA, [(logical, stored, ratio, logical - stored, *counts, idle, disk)])


def disk_files(frames: Frames) -> list[DiskFile]:
    """Give every regular file under ``registry`` its users and its kind, in the order of the disk frame."""
    blobs = {
        (name, area): (digest, standing)
        for name, area, digest, standing in rows(frames.need("blobs"), "name", "area", "digest", "standing")
    }
    users = Needs(frames).by_blob()
    apps, archives = apps_among(frames), _unpacked_archives(frames)
    found = []
    disk = frames.need("disk")
    for path, area, size, same_as in rows(disk, "path", "area", "stored_bytes", "same_as"):
        name = path.rpartition("/")[2]
        no_blob = None, "temporary" if name.startswith(TEMPORARY_PREFIX) else "other"
        digest, standing = blobs.get((path.partition("/")[2], area), no_blob)
        needed_by = users.get((digest, area), NOBODY) if digest else NOBODY
        if area == "manifests" and name in DOCUMENTS:
            kind = "manifests"
        elif not needed_by:
            kind = standing if standing in ("temporary", "misnamed", "other") else "unreferenced"
        elif area == "data" and digest is not None and needed_by <= archives.get(digest, NOBODY):
            kind = "archive"
        elif needed_by.isdisjoint(apps):
            kind = "projects"
        else:
            kind = "exclusive" if len(needed_by) == 1 else "shared"
        found.append(DiskFile(path, area, size or 0, digest, needed_by, kind, same_as))
    return _counted_once(found)


def _names_of_files(files: Sequence[DiskFile]) -> dict[str, list[DiskFile]]:
    """Give all names of each file that has several, by the first of them."""
    linked = {file.same_as for file in files if file.same_as is not None}
    found: dict[str, list[DiskFile]] = {}
    for file in files if linked else ():
        if (first := file.same_as or file.path) in linked:
            found.setdefault(first, []).append(file)
    return found


def _counted_once(files: list[DiskFile]) -> list[DiskFile]:
    """Let a file with several names have its bytes at the name that says most of it."""
    moved: dict[str, int] = {}
    for names in _names_of_files(files).values():
        best = min(names, key=lambda file: (_MOST_SAID.index(file.kind), file.path))
        size = sum(file.stored_bytes for file in names)
        moved |= {file.path: size if file is best else 0 for file in names}
    if not moved:
        return files
    return [file._replace(stored_bytes=moved.get(file.path, file.stored_bytes)) for file in files]


def _unpacked_archives(frames: Frames) -> dict[str, set[str]]:
    """Map each archive's digest to the apps that keep it as an archive and use its members."""
    layers = frames.need("layers")
    archives = list(rows(layers[layers["role"] == "archive"], "reference", "digest"))
    if not archives:
        return {}
    keepers, own = {reference for reference, _ in archives}, set(rows(layers, "reference", "digest"))
    uses = frames.need("uses")
    in_data = rows(uses[uses["area"] == "data"], "user", "digest")
    unpacked = {user for user, digest in in_data if user in keepers and (user, digest) not in own}
    found: dict[str, set[str]] = {}
    for reference, digest in archives:
        if reference in unpacked:
            found.setdefault(digest, set()).add(reference)
    return found


@dataclass
class _Share:
    """One row of the breakdown: its kind, the users where they make the row, and what each needs of it."""

    kind: str
    users: frozenset[str]
    files: int = 0
    size: int = 0
    members: Counter[str] = field(default_factory=Counter)


def _grouped(frames: Frames, by: Group) -> list[_Share]:
    """Give the rows of the breakdown in order."""
    groups = group_names(frames, by)
    apps = apps_among(frames) | set(groups.values())
    grouped = {NOBODY: NOBODY}
    shares: dict[tuple[str, frozenset[str]], _Share] = {}
    for file in disk_files(frames):
        if file.users not in grouped:
            grouped[file.users] = frozenset(groups.get(user, user) for user in file.users)
        users, kind = grouped[file.users], file.kind
        is_named = kind in ("exclusive", "shared")
        if is_named:
            kind = "exclusive" if len(users) == 1 and not users.isdisjoint(apps) else "shared"
        key = kind, users if is_named else NOBODY
        share = shares.setdefault(key, _Share(*key))
        share.files += 1
        share.size += file.stored_bytes
        if not is_named:
            share.members.update(dict.fromkeys(users, file.stored_bytes))
    for share in shares.values():
        share.members.update(dict.fromkeys(share.users, share.size))
    named = sorted_names({user for one in shares.values() for user in one.users})
    ranks = {user: rank for rank, user in enumerate(named)}

    def place(one: _Share) -> tuple[int, int, list[int]]:
        return KINDS.index(one.kind), -one.size, sorted(ranks[user] for user in one.users)

    return sorted(shares.values(), key=place)


def _label(share: _Share, short: Mapping[str, str], places: Mapping[str, int]) -> str:
    names = (short[user] for user in share.users)
    if share.kind == "exclusive":
        return f"only {next(names)}"
    if share.kind != "shared":
        return LABELS[share.kind]
    return some_of(without_repeats(heapq.nsmallest(3, names, key=places.__getitem__)), of=len(share.users))


@FREED_SCHEMA.describes
@no_collections()
def freed_by(
    cache: Source, references: str | Reference | Sequence[str | Reference], *, projects: Projects = ()
) -> pd.DataFrame:
    """List exactly the files that removing a set of apps frees: all at once, not each by itself.

    Parameters
    ----------
    cache, projects
        As for `breakdown`; one cache, no fleet.
    references
        The apps to remove.

    Returns
    -------
    pandas.DataFrame
        One row per file: the apps' two documents, and every blob that nobody else needs. The sum of
        ``stored_bytes`` is what is freed. A file with several names (hard links) is freed by the last of
        them to go: its bytes stand at one of its names if all go, and at none if one stays.

        {columns}

    Raises
    ------
    NotInCacheError
        If the cache holds no such app.

    Notes
    -----
    What goes is what `plan_remove` would take. So a blob stays that an app which stays has in an archive
    without naming it: Spin unpacks a stored archive once only. Archives are read for that; frames that
    were put together without ``unnamed`` know of no such blob.
    """
    named = [references] if isinstance(references, (str, Reference)) else references
    frames = bundle(cache, *_REMOVAL, projects=projects)
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
    cache, projects
        As for `breakdown`; no fleet.

    Returns
    -------
    pandas.DataFrame
        One row per app, most freed bytes first, then by reference.

        {columns}
    """
    return over(cache, RECLAIMABLE_SCHEMA, _REMOVAL, _reclaimable, projects=projects)


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
    cache, projects
        As for `reclaimable`.
    keep
        How many versions of each repository stay, the last in order.

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
        cache, SUPERSEDED_SCHEMA, _REMOVAL, lambda frames: _superseded(frames, keep), projects=projects
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
    cache, keep
        As for `superseded`; one cache.

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
    owners, files = _document_owners(frames), disk_files(frames)
    unnamed: dict[str, set[str]] = {}
    if frames.holds("unnamed"):
        for reference, digest in rows(frames.need("unnamed"), "reference", "digest"):
            unnamed.setdefault(digest, set()).add(reference)
    users: dict[str, frozenset[str]] = {}
    for file in files:
        folder, _, name = file.path.rpartition("/")
        users[file.path] = file.users
        if not file.users and name in DOCUMENTS and folder in owners:
            users[file.path] = frozenset({owners[folder]})
        elif file.users and file.area == "data" and file.digest in unnamed:
            users[file.path] = file.users | unnamed[file.digest]
    linked = {
        first: frozenset().union(*(users[name.path] or {""} for name in names))
        for first, names in _names_of_files(files).items()
    }
    return [
        Held(file, users[file.path], linked.get(file.same_as or file.path, users[file.path]))
        for file in files
    ]


def _document_owners(frames: Frames) -> dict[str, str]:
    """Map the directories that apps may be filed under, as Unix and Windows name them, to the apps."""
    owners = {}
    for reference, registry, repository in rows(frames.need("apps"), "reference", "registry", "repository"):
        tag = reference.removeprefix(f"{registry}/{repository}")[1:]
        for host, last in ((registry, tag), (registry.replace(":", "_"), tag.replace(":", "_"))):
            owners[f"manifests/{host}/{repository}/{last}"] = reference
    return owners

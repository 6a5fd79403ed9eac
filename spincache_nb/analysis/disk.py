"""Where the bytes on disk go: every byte in exactly one row.

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
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import pandas as pd

from spincache_nb.analysis.inputs import (
    Group,
    Source,
    apps_among,
    bytes_by_blob,
    group_names,
    is_fleet,
    over,
    users_by_blob,
)
from spincache_nb.analysis.labels import short_references, some_of, sorted_names, without_repeats
from spincache_nb.analysis.schemas import BREAKDOWN_MEMBERS_SCHEMA, BREAKDOWN_SCHEMA, SUMMARY_SCHEMA
from spincache_nb.core.layout import LOCKED_APP_FILE, MANIFEST_FILE, TEMPORARY_PREFIX
from spincache_nb.frames import Frames
from spincache_nb.frames.schemas import build
from spincache_nb.frames.sources import Projects
from spincache_nb.show import rows

KINDS = (
    "exclusive", "shared", "archive", "projects", "unreferenced", "temporary", "misnamed", "manifests",
    "other",
)  # fmt: skip
"""Kinds of rows, in the order in which they are listed."""

DOCUMENTS = (MANIFEST_FILE, LOCKED_APP_FILE)
NEEDED = ("disk", "blobs", "uses", "layers", "apps")
NOBODY: frozenset[str] = frozenset()

LABELS = {
    "archive": "archives kept beside their members",
    "projects": "projects only",
    "unreferenced": "unreferenced",
    "temporary": "temporary files",
    "misnamed": "misnamed files",
    "manifests": "manifests and locked apps",
    "other": "other files",
}
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

    @property
    def first_name(self) -> str:
        """The same for all names of one file."""
        return self.path if self.same_as is None else self.same_as


@BREAKDOWN_SCHEMA.describes
def breakdown(cache: Source = None, *, projects: Projects = (), by: Group = "app") -> pd.DataFrame:
    """Split the bytes on disk so that every byte is in exactly one row.

    Parameters
    ----------
    cache
        This user's cache unless given; a cache, its path, or several; loaded frames (disk, blobs, uses,
        layers, apps); or a fleet, whose `Fleet.breakdown` answers.
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
    short = short_references(user for _, members in shares for user in members)
    places = {name: place for place, name in enumerate(sorted_names(short.values()))}
    total = sum(share.stored_bytes for share, _ in shares)
    lines = []
    for row, (share, members) in enumerate(shares):
        part = share.stored_bytes / total if total else None
        label = _label(share, short, places)
        lines.append((row, share.kind, label, len(members), share.file_count, share.stored_bytes, part))
    return build(BREAKDOWN_SCHEMA, lines)


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
    apps = apps_among(frames)
    apps |= set(group_names(frames, by).values())
    lines = [
        (row, share.kind, user, "app" if user in apps else "project", members[user])
        for row, (share, members) in enumerate(_grouped(frames, by))
        for user in sorted_names(members)
    ]
    return build(BREAKDOWN_MEMBERS_SCHEMA, lines)


@SUMMARY_SCHEMA.describes
def summary(cache: Source = None, *, projects: Projects = ()) -> pd.DataFrame:
    """Sum a cache up in one row.

    Parameters
    ----------
    cache
        As for `breakdown`; loaded frames must hold problems as well.
    projects
        As for `breakdown`.

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
    uses = frames.need("uses")
    sizes = bytes_by_blob(uses)
    logical = sum(sizes[digest, area] for digest, area in rows(uses, "digest", "area"))
    stored = sum(sizes.values())
    files = disk_files(frames)
    idle = sum(file.stored_bytes for file in files if file.kind == "unreferenced")
    disk = sum(file.stored_bytes for file in files)
    ratio = logical / stored if stored else None
    counts = (len(frames.need("problems")), len(frames.need("apps")), len(sizes))
    return build(SUMMARY_SCHEMA, [(logical, stored, ratio, logical - stored, *counts, idle, disk)])


# ---------------------------------------------------------------- files


def disk_files(frames: Frames) -> list[DiskFile]:
    """Give every regular file under ``registry`` its users and its kind, in the order of the disk frame."""
    blobs = {
        (name, area): (digest, standing)
        for name, area, digest, standing in rows(frames.need("blobs"), "name", "area", "digest", "standing")
    }
    users = users_by_blob(frames.need("uses"))
    apps, archives = apps_among(frames), _unpacked_archives(frames)
    found = []
    disk = frames.need("disk")
    for path, area, size, same_as in rows(disk, "path", "area", "stored_bytes", "same_as"):
        digest, standing = blobs.get((path.partition("/")[2], area), (None, _no_blob(path)))
        needed_by = users.get((digest, area), NOBODY) if digest else NOBODY
        if area == "manifests" and path.rpartition("/")[2] in DOCUMENTS:
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


def names_of_files(files: Iterable[DiskFile]) -> dict[str, list[DiskFile]]:
    """Give all names of each file that has several, by the first of them."""
    found: dict[str, list[DiskFile]] = {}
    for file in files:
        if file.same_as is not None:
            found.setdefault(file.same_as, []).append(file)
    if found:
        for file in files:
            if file.same_as is None and file.path in found:
                found[file.path].append(file)
    return found


def _counted_once(files: list[DiskFile]) -> list[DiskFile]:
    """Let a file with several names have its bytes at the name that says most of it."""
    moved: dict[str, int] = {}
    for names in names_of_files(files).values():
        best = min(names, key=lambda file: (_MOST_SAID.index(file.kind), file.path))
        size = sum(file.stored_bytes for file in names)
        moved |= {file.path: size if file is best else 0 for file in names}
    if not moved:
        return files
    return [file._replace(stored_bytes=moved.get(file.path, file.stored_bytes)) for file in files]


def _no_blob(path: str) -> str:
    return "temporary" if path.rpartition("/")[2].startswith(TEMPORARY_PREFIX) else "other"


def _unpacked_archives(frames: Frames) -> dict[str, set[str]]:
    """Map each archive's digest to the apps that keep it as an archive and use its members."""
    own: dict[str, set[str]] = {}
    archives: dict[str, set[str]] = {}
    for reference, digest, role in rows(frames.need("layers"), "reference", "digest", "role"):
        own.setdefault(reference, set()).add(digest)
        if role == "archive":
            archives.setdefault(reference, set()).add(digest)
    uses = rows(frames.need("uses"), "user", "digest", "area")
    unpacked = {
        user for user, digest, area in uses if user in archives and area == "data" and digest not in own[user]
    }
    found: dict[str, set[str]] = {}
    for user in unpacked:
        for archive in archives[user]:
            found.setdefault(archive, set()).add(user)
    return found


class _Share(NamedTuple):
    """One row of the breakdown: its kind and, where the users make the row, the users."""

    kind: str
    users: frozenset[str]
    file_count: int = 0
    stored_bytes: int = 0


def _grouped(frames: Frames, by: Group) -> list[tuple[_Share, dict[str, int]]]:
    """Give the rows of the breakdown in order, each with the bytes that each user needs of it."""
    groups = group_names(frames, by)
    apps = apps_among(frames) | set(groups.values())
    counts: Counter[_Share] = Counter()
    sizes: Counter[_Share] = Counter()
    members: dict[_Share, Counter[str]] = {}
    for file in disk_files(frames):
        users, kind = file.users, file.kind
        if groups and users:
            users = frozenset(groups.get(user, user) for user in users)
        if kind in ("exclusive", "shared"):
            kind = "exclusive" if len(users) == 1 and not users.isdisjoint(apps) else "shared"
        share = _Share(kind, users if kind in ("exclusive", "shared") else NOBODY)
        counts[share] += 1
        sizes[share] += file.stored_bytes
        needed = members.setdefault(share, Counter())
        for user in users:
            needed[user] += file.stored_bytes
    ranks = {
        user: rank for rank, user in enumerate(sorted_names({user for one in counts for user in one.users}))
    }

    def place(one: _Share) -> tuple[int, int, list[int]]:
        return KINDS.index(one.kind), -sizes[one], sorted(ranks[user] for user in one.users)

    return [
        (one._replace(file_count=counts[one], stored_bytes=sizes[one]), dict(members[one]))
        for one in sorted(counts, key=place)
    ]


def _label(share: _Share, short: Mapping[str, str], places: Mapping[str, int]) -> str:
    names = (short[user] for user in share.users)
    if share.kind == "exclusive":
        return f"only {next(names)}"
    if share.kind != "shared":
        return LABELS[share.kind]
    return some_of(without_repeats(heapq.nsmallest(3, names, key=places.__getitem__)), of=len(share.users))

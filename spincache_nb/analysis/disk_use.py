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

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import pandas as pd

from spincache_nb.analysis.inputs import Blob, Source, app_references, bundle, rows, users_by_blob
from spincache_nb.analysis.labels import short_references, some_of, without_repeats
from spincache_nb.analysis.schemas import BREAKDOWN_MEMBERS_SCHEMA, BREAKDOWN_SCHEMA
from spincache_nb.core.layout import LOCKED_APP_FILE, MANIFEST_FILE, TEMPORARY_PREFIX
from spincache_nb.frames import Frames
from spincache_nb.frames.schemas import build

KINDS = (
    "exclusive",
    "shared",
    "archive",
    "projects",
    "unreferenced",
    "temporary",
    "misnamed",
    "manifests",
    "other",
)
"""Kinds of rows, in the order in which they are listed."""

LABELS = {
    "archive": "archives kept beside their members",
    "projects": "projects only",
    "unreferenced": "unreferenced",
    "temporary": "temporary files",
    "misnamed": "misnamed files",
    "manifests": "manifests and locked apps",
    "other": "other files",
}
DOCUMENTS = (MANIFEST_FILE, LOCKED_APP_FILE)
_MOST_SAID = (
    "exclusive",
    "shared",
    "archive",
    "projects",
    "manifests",
    "temporary",
    "misnamed",
    "unreferenced",
    "other",
)
"""Kinds by how much they say of a file; of several names the first of these counts."""
NEEDED = ("disk", "blobs", "uses", "layers", "apps")


class Share(NamedTuple):
    """One row of the breakdown: its kind and, where the users make the row, the users."""

    kind: str
    users: frozenset[str]


class DiskFile(NamedTuple):
    """One regular file under ``registry``, and all who need it."""

    path: str
    area: str
    stored_bytes: int
    digest: str | None
    users: frozenset[str]
    share: Share
    same_as: str | None = None

    @property
    def first_name(self) -> str:
        """The same for all names of one file."""
        return self.path if self.same_as is None else self.same_as


@dataclass(frozen=True)
class _Facts:
    blobs: Mapping[tuple[str, str], tuple[str | None, str]]
    users: Mapping[Blob, frozenset[str]]
    apps: frozenset[str]
    archives: Mapping[str, frozenset[str]]


def breakdown(source: Source) -> pd.DataFrame:
    """Split the bytes on disk so that every byte is in exactly one row.

    Parameters
    ----------
    source
        A cache, or loaded frames: disk, blobs, uses, layers, apps.

    Returns
    -------
    pandas.DataFrame
        The rows' ``stored_bytes`` sum to the sizes of all regular files under ``registry`` (a file
        with several hard links once, a symbolic link nothing). Rows without files are left out.

        ============  ========  ==========================================================
        column        dtype     meaning
        ============  ========  ==========================================================
        row           Int64     number of the row, from 0
        kind          category  ``exclusive``, ``shared``, ``archive``, ``projects``, ``unreferenced``,
                                ``temporary``, ``misnamed``, ``manifests`` or ``other``
        label         string    short name of the row; the full list of users is in `breakdown_members`
        user_count    Int64     apps and projects that need something of the row
        file_count    Int64     files, further hard links and empty files included
        stored_bytes  Int64     bytes on disk
        share         Float64   part of the total, missing if the total is 0
        ============  ========  ==========================================================

    See Also
    --------
    breakdown_members : the users of each row.
    """
    frames = bundle(source, *NEEDED)
    shares = _grouped(frames)
    short = short_references({user for files in shares.values() for file in files for user in file.users})
    total = sum(file.stored_bytes for files in shares.values() for file in files)
    lines = []
    for row, (share, files) in enumerate(shares.items()):
        stored = sum(file.stored_bytes for file in files)
        users = {user for file in files for user in file.users}
        part = stored / total if total else None
        lines.append((row, share.kind, _label(share, short), len(users), len(files), stored, part))
    return build(BREAKDOWN_SCHEMA, lines)


def breakdown_members(source: Source) -> pd.DataFrame:
    """Name the users of each row of `breakdown`.

    Parameters
    ----------
    source
        As for `breakdown`.

    Returns
    -------
    pandas.DataFrame
        One row per row of `breakdown` and user; rows that nobody uses have none.

        ============  ========  ====================================================
        column        dtype     meaning
        ============  ========  ====================================================
        row           Int64     number of the row in `breakdown`
        kind          category  its kind
        user          category  reference of an app, or path of a project
        user_kind     category  ``app`` or ``project``
        stored_bytes  Int64     bytes of the row that this user needs
        ============  ========  ====================================================
    """
    frames = bundle(source, *NEEDED)
    apps = app_references(frames.need("apps"))
    lines = []
    for row, (share, files) in enumerate(_grouped(frames).items()):
        for user in sorted({user for file in files for user in file.users}):
            needed = sum(file.stored_bytes for file in files if user in file.users)
            lines.append((row, share.kind, user, "app" if user in apps else "project", needed))
    return build(BREAKDOWN_MEMBERS_SCHEMA, lines)


def disk_files(frames: Frames) -> list[DiskFile]:
    """Give every regular file under ``registry`` its users and its row of the breakdown."""
    facts = _facts(frames)
    found = []
    disk = frames.need("disk")
    for path, area, size, same_as in rows(disk, "path", "area", "stored_bytes", "same_as"):
        name = path.partition("/")[2]
        digest, standing = facts.blobs.get((name, area), (None, _no_blob(path)))
        users = facts.users.get((digest, area), frozenset()) if digest else frozenset()
        share = _share(path, area, digest, standing, users, facts)
        found.append(DiskFile(path, area, size or 0, digest, users, share, same_as))
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
        best = min(names, key=lambda file: (_MOST_SAID.index(file.share.kind), file.path))
        size = sum(file.stored_bytes for file in names)
        moved |= {file.path: size if file is best else 0 for file in names}
    if not moved:
        return files
    return [file._replace(stored_bytes=moved.get(file.path, file.stored_bytes)) for file in files]


def _no_blob(path: str) -> str:
    return "temporary" if path.rpartition("/")[2].startswith(TEMPORARY_PREFIX) else "other"


def _facts(frames: Frames) -> _Facts:
    blobs = {
        (name, area): (digest, standing)
        for name, area, digest, standing in rows(frames.need("blobs"), "name", "area", "digest", "standing")
    }
    users = users_by_blob(frames.need("uses"))
    apps = frozenset(app_references(frames.need("apps")))
    return _Facts(blobs, users, apps, _unpacked_archives(frames))


def _unpacked_archives(frames: Frames) -> dict[str, frozenset[str]]:
    """Map each archive's digest to the apps that keep it as an archive and use its members."""
    own: dict[str, set[str]] = {}
    archives: dict[str, set[str]] = {}
    for reference, digest, role in rows(frames.need("layers"), "reference", "digest", "role"):
        own.setdefault(reference, set()).add(digest)
        if role == "archive":
            archives.setdefault(reference, set()).add(digest)
    unpacked: dict[str, set[str]] = {}
    for user, digest, area in rows(frames.need("uses"), "user", "digest", "area"):
        if user in archives and area == "data" and digest not in own[user]:
            for archive in archives[user]:
                unpacked.setdefault(archive, set()).add(user)
    return {archive: frozenset(names) for archive, names in unpacked.items()}


def _share(
    path: str, area: str, digest: str | None, standing: str, users: frozenset[str], facts: _Facts
) -> Share:
    nobody: frozenset[str] = frozenset()
    if area == "manifests" and path.rpartition("/")[2] in DOCUMENTS:
        return Share("manifests", nobody)
    if not users:
        named = standing in ("temporary", "misnamed", "other")
        return Share(standing if named else "unreferenced", nobody)
    if area == "data" and digest is not None and users <= facts.archives.get(digest, nobody):
        return Share("archive", nobody)
    if not users & facts.apps:
        return Share("projects", nobody)
    return Share("exclusive" if len(users) == 1 else "shared", users)


def _grouped(frames: Frames) -> dict[Share, list[DiskFile]]:
    groups: dict[Share, list[DiskFile]] = {}
    for file in disk_files(frames):
        groups.setdefault(file.share, []).append(file)

    def place(share: Share) -> tuple[int, int, list[str]]:
        return KINDS.index(share.kind), -sum(file.stored_bytes for file in groups[share]), sorted(share.users)

    return {share: groups[share] for share in sorted(groups, key=place)}


def _label(share: Share, short: Mapping[str, str]) -> str:
    names = sorted(short[user] for user in share.users)
    if share.kind == "exclusive":
        return f"only {names[0]}"
    return some_of(without_repeats(names)) if share.kind == "shared" else LABELS[share.kind]

"""What removing apps frees: exactly, for a set of apps, and for each app alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import pandas as pd

from spincache_nb.analysis.disk_use import DOCUMENTS, NEEDED, DiskFile, disk_files, names_of_files
from spincache_nb.analysis.inputs import Source, app_references, bundle, resolve_references, rows
from spincache_nb.analysis.schemas import FREED_SCHEMA, RECLAIMABLE_SCHEMA
from spincache_nb.core.reference import Reference
from spincache_nb.frames import Frames
from spincache_nb.frames.schemas import build


def freed_by(source: Source, references: str | Reference | Sequence[str | Reference]) -> pd.DataFrame:
    """List exactly the files that removing a set of apps frees.

    That is not the sum of the single figures: a blob that only two apps need is freed by removing
    both, and by neither alone.

    Parameters
    ----------
    source
        A cache, or loaded frames: disk, blobs, uses, layers, apps, unnamed. Projects count as users if the
        frames know of them.
    references
        The apps to remove, all at once.

    Returns
    -------
    pandas.DataFrame
        One row per file: the apps' two documents, and every blob that nobody else needs. The sum of
        ``stored_bytes`` is what is freed. What is unreferenced already is not in it. A file with
        several names (hard links) is freed by the last of them to go: its bytes stand at one of its
        names if all go, and at none if one stays.

        ============  ========  ==============================================
        column        dtype     meaning
        ============  ========  ==============================================
        path          string    relative to ``registry``
        kind          category  ``blob`` or ``document``
        area          category  ``wasm``, ``data`` or ``manifests``
        digest        string    of the blob, missing for a document
        stored_bytes  Int64     bytes on disk
        ============  ========  ==============================================

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
    frames = bundle(source, *NEEDED, "unnamed")
    chosen = frozenset(resolve_references(frames.need("apps"), named))
    lines = []
    for file, users, keepers in disk_users(frames):
        if users and users <= chosen:
            kind = "blob" if file.users else "document"
            freed = file.stored_bytes if keepers <= chosen else 0
            lines.append((file.path, kind, file.area, file.digest if file.users else None, freed))
    return build(FREED_SCHEMA, sorted(lines))


def reclaimable(source: Source) -> pd.DataFrame:
    """Say for each app what removing it alone frees.

    Parameters
    ----------
    source
        As for `freed_by`.

    Returns
    -------
    pandas.DataFrame
        One row per app, most freed bytes first, then by reference.

        ============  ======  ====================================================
        column        dtype   meaning
        ============  ======  ====================================================
        reference     string  the app
        stored_bytes  Int64   bytes on disk of its blobs and its two documents
        freed_bytes   Int64   bytes of them that go with the app
        kept_bytes    Int64   bytes of them that stay, as others need them
        ============  ======  ====================================================
    """
    frames = bundle(source, *NEEDED, "unnamed")
    stored = dict.fromkeys(sorted(app_references(frames.need("apps"))), 0)
    freed = dict(stored)
    for file, _, keepers in disk_users(frames):
        for user in keepers & stored.keys():
            stored[user] += file.stored_bytes
            freed[user] += file.stored_bytes if len(keepers) == 1 else 0
    order = sorted(stored, key=lambda reference: (-freed[reference], reference))
    return build(
        RECLAIMABLE_SCHEMA,
        ((name, stored[name], freed[name], stored[name] - freed[name]) for name in order),
    )


class Held(NamedTuple):
    """A file under ``registry`` and what holds it."""

    file: DiskFile
    users: frozenset[str]
    keepers: frozenset[str]


NOBODY = ""
"""In place of a user, for a name that no removal of apps takes away."""


def disk_users(frames: Frames) -> list[Held]:
    """Give every file under ``registry`` with who holds it."""
    owners = _document_owners(frames)
    archives = _holding_archives(frames)
    files = disk_files(frames)
    users = {file.path: _holders(file, owners, archives) for file in files}
    linked = {
        first: frozenset().union(*(users[name.path] or {NOBODY} for name in names))
        for first, names in names_of_files(files).items()
    }
    return [Held(file, users[file.path], linked.get(file.first_name, users[file.path])) for file in files]


def _holders(
    file: DiskFile, owners: Mapping[str, str], archives: Mapping[str, frozenset[str]]
) -> frozenset[str]:
    nobody: frozenset[str] = frozenset()
    if file.users:
        return file.users | archives.get(file.digest or "", nobody) if file.area == "data" else file.users
    folder, _, name = file.path.rpartition("/")
    owner = owners.get(folder) if name in DOCUMENTS else None
    return nobody if owner is None else frozenset({owner})


def _holding_archives(frames: Frames) -> dict[str, frozenset[str]]:
    """Map blobs to the apps whose archives hold them although the apps do not name them."""
    found: dict[str, set[str]] = {}
    for reference, digest in (
        rows(frames.need("unnamed"), "reference", "digest") if frames.holds("unnamed") else ()
    ):
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

"""What removing apps frees: exactly, for a set of apps, and for each app alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd

from spincache_nb.analysis.disk_use import DOCUMENTS, NEEDED, DiskFile, disk_files
from spincache_nb.analysis.inputs import Frames, Source, app_references, bundle, resolve_references, rows
from spincache_nb.analysis.schemas import FREED_SCHEMA, RECLAIMABLE_SCHEMA
from spincache_nb.core.reference import Reference
from spincache_nb.frames.schemas import build


def freed_by(source: Source, references: str | Reference | Sequence[str | Reference]) -> pd.DataFrame:
    """List exactly the files that removing a set of apps frees.

    That is not the sum of the single figures: a blob that only two apps need is freed by removing
    both, and by neither alone.

    Parameters
    ----------
    source
        A cache, or loaded frames: disk, blobs, uses, layers, apps. Projects count as users if the
        frames know of them.
    references
        The apps to remove, all at once.

    Returns
    -------
    pandas.DataFrame
        One row per file: the apps' two documents, and every blob that nobody else needs. The sum of
        ``stored_bytes`` is what is freed. What is unreferenced already is not in it. A file with
        several hard links has its bytes at the first of them.

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
    Users are those of ``frames.uses``. It opens archives only for blobs that nobody names; so a blob
    that an app to be removed names, and an app that stays has in an archive without naming it, counts
    as freed here, while ``plan_remove`` keeps it.
    """
    named = [references] if isinstance(references, (str, Reference)) else references
    frames = bundle(source, *NEEDED)
    chosen = frozenset(resolve_references(frames.need("apps"), named))
    lines = []
    for file, users in disk_users(frames):
        if users and users <= chosen:
            kind = "blob" if file.users else "document"
            lines.append((file.path, kind, file.area, file.digest if file.users else None, file.stored_bytes))
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
        freed_bytes   Int64   bytes of them that nobody else needs
        kept_bytes    Int64   bytes of them that stay, as others need them
        ============  ======  ====================================================
    """
    frames = bundle(source, *NEEDED)
    stored = dict.fromkeys(sorted(app_references(frames.need("apps"))), 0)
    freed = dict(stored)
    for file, users in disk_users(frames):
        for user in users & stored.keys():
            stored[user] += file.stored_bytes
            freed[user] += file.stored_bytes if len(users) == 1 else 0
    order = sorted(stored, key=lambda reference: (-freed[reference], reference))
    return build(
        RECLAIMABLE_SCHEMA,
        ((name, stored[name], freed[name], stored[name] - freed[name]) for name in order),
    )


def disk_users(frames: Frames) -> Iterator[tuple[DiskFile, frozenset[str]]]:
    """Give every file under ``registry`` with who needs it: a blob's users, or a document's app."""
    owners = _document_owners(frames)
    nobody: frozenset[str] = frozenset()
    for file in disk_files(frames):
        folder, _, name = file.path.rpartition("/")
        owner = owners.get(folder) if name in DOCUMENTS else None
        yield file, file.users or (frozenset({owner}) if owner is not None else nobody)


def _document_owners(frames: Frames) -> dict[str, str]:
    """Map the directories that apps may be filed under, as Unix and Windows name them, to the apps."""
    owners = {}
    for reference, registry, repository in rows(frames.need("apps"), "reference", "registry", "repository"):
        tag = reference.removeprefix(f"{registry}/{repository}")[1:]
        for host, last in ((registry, tag), (registry.replace(":", "_"), tag.replace(":", "_"))):
            owners[f"manifests/{host}/{repository}/{last}"] = reference
    return owners

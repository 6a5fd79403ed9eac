"""Members of archives that no locked app names: archives are opened only for what remains.

Blobs in ``data/`` that neither a manifest nor a locked app names may be members of an archive layer.
Only if there are any, the stored archives are listed. Nothing of it is kept on disk.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from spincache_nb.core.archive import ArchiveLimits, list_members
from spincache_nb.core.cache import StoredBlob, open_regular
from spincache_nb.core.digest import Digest
from spincache_nb.core.inventory.faults import Faults
from spincache_nb.core.inventory.reach import Reach
from spincache_nb.core.inventory.stored import StoredBlobs
from spincache_nb.errors import SpinCacheError


def follow_archives(
    apps: Sequence[Reach], stored: StoredBlobs, faults: Faults, *, limits: ArchiveLimits
) -> None:
    """Find the apps whose archives hold what nobody names.

    Parameters
    ----------
    apps
        Apps of the cache; what is found is added to their uses.
    stored
        The blobs of the cache.
    faults
        Where to report archives that cannot be listed, and members of another size.
    limits
        How much an archive may unpack to.
    """
    if not any(app.archives for app in apps):
        return
    used = {use.digest for app in apps for use in app.needs() if use.area == "data"}
    remaining = {
        digest: blob
        for digest, blob in stored.found_in("data").items()
        if digest not in used and digest.algorithm == "sha256"
    }
    if not remaining:
        return
    users: dict[Digest, list[Reach]] = {}
    for app in apps:
        for archive in app.archives:
            users.setdefault(archive, []).append(app)
    for archive in sorted(users):
        sizes = _members(archive, users[archive], stored, faults, limits)
        _check_sizes(sizes, users[archive], stored, faults)
        for digest in sizes.keys() & remaining.keys():
            for app in users[archive]:
                app.use(remaining[digest], "archive member")


def _members(
    archive: Digest, users: Sequence[Reach], stored: StoredBlobs, faults: Faults, limits: ArchiveLimits
) -> dict[Digest, int]:
    """List an archive; what is wrong with it is reported, unless its size tells already."""
    blob = stored.find("data", archive)
    if blob is None:
        return {}
    try:
        with open_regular(blob.path) as stream:
            unpacked = list_members(stream, where=f"data/{blob.name}", limits=limits)
    except SpinCacheError as exc:
        if blob.stored_bytes == users[0].archives[archive]:
            _report(f"data/{blob.name}", exc, users, faults)
        return {}
    return {member.digest: member.size for member in unpacked.members}


def _report(path: str, error: SpinCacheError, users: Iterable[Reach], faults: Faults) -> None:
    for app in users:
        faults.bad_archive(path, error=error, reference=app.user)


def _check_sizes(
    sizes: dict[Digest, int], users: Sequence[Reach], stored: StoredBlobs, faults: Faults
) -> None:
    for digest, size in sizes.items():
        blob: StoredBlob | None = stored.found_in("data").get(digest)
        if blob is None or blob.stored_bytes == size:
            continue
        blob = stored.look_again(blob)
        if blob is not None and blob.stored_bytes != size:
            path = stored.path_of("data", digest)
            faults.damaged_member(path, expected=size, found=blob.stored_bytes, reference=users[0].user)

"""Members of archives that no locked app names: archives are opened only for what remains.

Blobs in ``data/`` that neither a manifest nor a locked app names may be members of an archive layer.
Only if there are any, the stored archives are listed. Nothing of it is kept on disk.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence

from spincache_nb.core.archive import ArchiveLimits, list_members
from spincache_nb.core.digest import Digest
from spincache_nb.core.files import open_regular
from spincache_nb.core.manifest import ARCHIVE
from spincache_nb.core.scan import StoredBlob
from spincache_nb.errors import SpinCacheError
from spincache_nb.inventory.faults import Faults
from spincache_nb.inventory.model import CachedApp, Inventory
from spincache_nb.inventory.needs import blobs_needed
from spincache_nb.inventory.reach import Reach
from spincache_nb.inventory.stored import StoredBlobs


def follow_archives(
    apps: Sequence[Reach], stored: StoredBlobs, faults: Faults, *, limits: ArchiveLimits
) -> None:
    """Find the apps whose archives hold what nobody names."""
    if not any(app.archives for app in apps):
        return
    used = blobs_needed(app.needs() for app in apps)["data"]
    remaining = {text for text in stored.table().numbers("data") if text not in used and text[:6] == "sha256"}
    if not remaining:
        return
    users: dict[Digest, list[Reach]] = {}
    for app in apps:
        for archive in app.archives:
            users.setdefault(archive, []).append(app)
    for archive in sorted(users):
        sizes = _members(archive, users[archive], stored, faults, limits)
        _check_sizes(sizes, users[archive], stored, faults)
        for digest in sizes:
            blob = stored.found_in("data").get(digest) if str(digest) in remaining else None
            if blob is not None:
                for app in users[archive]:
                    app.use(blob, "archive member")


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


def unnamed_members(
    inventory: Inventory, *, wanted: Collection[Digest] | None = None
) -> Iterator[tuple[str, Digest]]:
    """Say which stored blobs an app's archives hold although nothing in the app names them."""
    stored = {
        one.digest: one.blob for one in inventory.blobs if one.digest is not None and one.blob.area == "data"
    }
    sought = stored.keys() if wanted is None else stored.keys() & set(wanted)
    users: dict[Digest, list[CachedApp]] = {}
    for app in inventory.apps if sought else ():
        layers = app.manifest.layers if app.manifest is not None else ()
        for archive in {layer.digest for layer in layers if layer.media_type == ARCHIVE} & stored.keys():
            users.setdefault(archive, []).append(app)
    found: dict[str, set[Digest]] = {}
    for archive, apps in users.items():
        held = _held(stored[archive]) & sought
        for app in apps if held else ():
            found.setdefault(app.reference, set()).update(held)
    for app in inventory.apps:
        held = found.get(app.reference, set())
        named = {use.digest for use in app.uses if use.area == "data"} if held else set()
        yield from ((app.reference, digest) for digest in sorted(held - named))


def _held(archive: StoredBlob) -> set[Digest]:
    """Digests of an archive's members; none if it cannot be listed."""
    try:
        with open_regular(archive.path) as stream:
            unpacked = list_members(stream, where=f"data/{archive.name}")
    except SpinCacheError:
        return set()
    return {member.digest for member in unpacked.members}

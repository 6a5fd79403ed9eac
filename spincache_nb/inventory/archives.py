"""Members of archives that no locked app names: archives are opened only for what remains.

Blobs in ``data/`` that neither a manifest nor a locked app names may be members of an archive layer.
Only if there are any, the stored archives are listed; and if something that they should hold is missing, or
one looks cut at its end. Nothing of it is kept on disk.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from spincache_nb.core.archive import breaks_off, list_members
from spincache_nb.core.digest import Digest
from spincache_nb.core.documents import ARCHIVE
from spincache_nb.core.files import open_regular
from spincache_nb.core.settings import ArchiveLimits
from spincache_nb.errors import SpinCacheError
from spincache_nb.inventory.columns import AREAS_IN_ORDER, DATA, parsed
from spincache_nb.inventory.model import Inventory
from spincache_nb.inventory.problems import Faults
from spincache_nb.inventory.stored import StoredBlobs

Archives = Mapping[str, Sequence[tuple[int, int]]]
"""Of each stored archive, by digest, the apps that have it and the size that each declares."""


class Members:
    """What stored archives hold; each is listed once, when it is first asked about."""

    def __init__(self, stored: StoredBlobs, limits: ArchiveLimits) -> None:
        self.stored = stored
        self.limits = limits
        self._known: dict[str, dict[Digest, int] | SpinCacheError] = {}

    def of(self, archive: str) -> dict[Digest, int]:
        """Sizes of an archive's members by digest; none of one that is not stored."""
        if archive not in self._known:
            self._known[archive] = self._list(archive)
        found = self._known[archive]
        if isinstance(found, SpinCacheError):
            raise found
        return found

    def _list(self, archive: str) -> dict[Digest, int] | SpinCacheError:
        row = self.stored.find(DATA, archive)
        if row is None:
            return {}
        try:
            return _listed(self.stored.location(row), self.stored.path(row), self.limits)
        except SpinCacheError as exc:
            return exc

    def hold(self, archives: Iterable[str], digest: str) -> bool:
        """Whether one of some archives holds a file; also if one cannot be listed, so that nobody knows."""
        try:
            return any(parsed(digest) in self.of(archive) for archive in archives)
        except SpinCacheError:
            return True

    def breaks_off(self, archive: str) -> bool:
        """Whether a stored archive is cut at its end."""
        row = self.stored.find(DATA, archive)
        try:
            if row is not None:
                with open_regular(Path(self.stored.location(row))) as stream:
                    return breaks_off(stream, where=self.stored.path(row), limits=self.limits)
        except (SpinCacheError, OSError):
            pass
        return False


def follow_archives(
    archives: Archives, used: Collection[int], members: Members, faults: Faults, names: Sequence[int]
) -> Iterator[tuple[int, str]]:
    """Say which apps need which blobs in ``data/`` as members of an archive; `names` numbers their names."""
    stored = members.stored
    found = stored.found[DATA]
    remaining = {text for text, row in found.items() if row not in used and text.startswith("sha256")}
    for archive in sorted(archives):
        users = [names[app] for app, _ in archives[archive]]
        row = stored.find(DATA, archive)
        if row is None:
            continue
        is_whole = stored.sizes[row] == archives[archive][0][1]
        if is_whole and members.breaks_off(archive):
            faults.cut_archive(stored.path(row), users=users)
        try:
            sizes = members.of(archive) if remaining else {}
        except SpinCacheError as exc:
            if is_whole:
                faults.bad_archive(stored.path(row), exc, users=users)
            continue
        for digest, size in sizes.items():
            _check_size(str(digest), size, stored, faults, users[0])
            if str(digest) in remaining and str(digest) in found:
                yield from ((app, str(digest)) for app, _ in archives[archive])


def _listed(location: str, where: str, limits: ArchiveLimits | None = None) -> dict[Digest, int]:
    with open_regular(Path(location)) as stream:
        unpacked = list_members(stream, where=where, limits=limits)
    return {member.digest: member.size for member in unpacked.members}


def _check_size(digest: str, size: int, stored: StoredBlobs, faults: Faults, user: int) -> None:
    row = stored.found[DATA].get(digest)
    if row is None or stored.sizes[row] == size:
        return
    row = stored.look_again(DATA, digest)
    if row is not None and stored.sizes[row] != size:
        path = stored.path_of(DATA, digest)
        faults.damaged_member(path, expected=size, found=stored.sizes[row], user=user)


def unnamed_members(
    inventory: Inventory, *, wanted: Collection[Digest] | None = None
) -> Iterator[tuple[str, Digest]]:
    """Say which stored blobs an app's archives hold although nothing in the app names them."""
    blobs, layers = inventory.blobs, inventory.contents.layers
    in_data = {text: row for row, text in enumerate(blobs.digests) if text and blobs.areas[row] == DATA}
    sought = in_data.keys() if wanted is None else in_data.keys() & {str(digest) for digest in wanted}
    if not sought or ARCHIVE not in layers.media_types:
        return
    owners = layers.owners()
    kind = list(layers.media_types).index(ARCHIVE)
    users: dict[str, dict[int, None]] = {}
    for row in (layers.types == kind).nonzero()[0].tolist():
        text = inventory.contents.digests[layers.digests[row]]
        if text in in_data:
            users.setdefault(text, {})[int(owners[row])] = None
    held: dict[int, set[str]] = {}
    for archive, apps in users.items():
        members = _held(blobs.blob(in_data[archive]).location, archive) & sought
        for app in apps if members else ():
            held.setdefault(app, set()).update(members)
    for app in sorted(held):
        uses = inventory.contents.uses
        used = uses.blobs[uses.of(app)].tolist()
        named = {blobs.digests[row] for row in used if AREAS_IN_ORDER[blobs.areas[row]] == "data"}
        yield from ((inventory.apps[app].reference, parsed(text)) for text in sorted(held[app] - named))


def _held(location: str, archive: str) -> set[str]:
    """Digests of an archive's members; none if it cannot be listed."""
    try:
        return {str(digest) for digest in _listed(location, f"data/{archive}")}
    except SpinCacheError:
        return set()

"""Blobs in ``data/`` that neither a manifest nor a locked app names: they may be members of an archive layer.

Only if there are any, the stored archives are listed; and if something that they should hold is missing, or
one looks cut at its end. Nothing of it is kept on disk.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress

from spincache_nb.core.digest import Digest
from spincache_nb.core.documents import ARCHIVE
from spincache_nb.errors import SpinCacheError
from spincache_nb.inventory.columns import DATA, Integers, parsed
from spincache_nb.inventory.faults import Faults
from spincache_nb.inventory.model import Inventory
from spincache_nb.inventory.stored import Members


def follow_archives(
    archives: Mapping[str, Mapping[int, int]],
    used: Collection[int],
    members: Members,
    faults: Faults,
    users: Integers,
) -> Iterator[tuple[int, str]]:
    """Say which apps need which blobs in ``data/`` as members of an archive; `users` numbers their names."""
    stored = members.stored
    found = stored.found[DATA]
    remaining = {text for text, row in found.items() if row not in used and text.startswith("sha256")}
    for archive, sizes_declared in sorted(archives.items()):
        concerned = users[[*sizes_declared]].tolist()
        row = stored.find(DATA, archive)
        if row is None:
            continue
        is_whole = stored.sizes[row] == next(iter(sizes_declared.values()))
        if is_whole and members.breaks_off(archive):
            faults.say("cut archive", stored.path(row), users=concerned)
        try:
            sizes = members.of(archive) if remaining else {}
        except SpinCacheError as exc:
            if is_whole:
                expected, lacks = exc.expected, exc.found
                faults.say("bad archive", stored.path(row), users=concerned, expected=expected, found=lacks)
            continue
        for digest, size in sizes.items():
            member = found.get(digest)
            if member is not None and stored.sizes[member] != size:
                stored.doubted.add(member)
                path, what = stored.path(member), "other than in the archive"
                faults.say(what, path, users=concerned[:1], expected=size, found=stored.sizes[member])
            if digest in remaining:
                yield from ((app, digest) for app in sizes_declared)


def unnamed_members(inventory: Inventory) -> Iterator[tuple[str, Digest]]:
    """Say which stored blobs an app's archives hold although nothing in the app names them."""
    blobs, layers, texts = inventory.blobs, inventory.contents.layers, inventory.contents.digests
    stored = blobs.found[DATA].keys()
    if not stored or ARCHIVE not in layers.media_types:
        return
    owners = layers.owners()
    held: dict[int, set[str]] = {}
    for row in (layers.types == list(layers.media_types).index(ARCHIVE)).nonzero()[0].tolist():
        with suppress(SpinCacheError):  # of one that cannot be listed nobody knows
            members = inventory.members.of(texts[layers.digests[row]]).keys() & stored
            held.setdefault(int(owners[row]), set()).update(members)
    for app in sorted(held):
        uses = inventory.contents.uses
        used = uses.blobs[uses.of(app)].tolist()
        named = {blobs.digests[row] for row in used if blobs.areas[row] == DATA}
        yield from ((inventory.apps[app].reference, parsed(text)) for text in sorted(held[app] - named))

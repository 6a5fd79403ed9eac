"""Which stored blobs apps need and which are missing, of all apps at once (Spin main, crates/oci, loader.rs).

The manifests' layers are asked first, then the content that locked apps name. A *place* is a digest in an
area, as one number: twice the number of the digest, and one more in ``wasm/``.

Blobs in ``data/`` that neither a manifest nor a locked app names may be members of an archive layer. Only if
there are any, the stored archives are listed; and if something that they should hold is missing, or one looks
cut at its end. Nothing of it is kept on disk.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress

import numpy as np

from spincache_nb.core.digest import Digest
from spincache_nb.core.documents import ARCHIVE, Role, role_of
from spincache_nb.errors import SpinCacheError
from spincache_nb.inventory.columns import (
    DATA,
    VIAS,
    WASM,
    Flags,
    Integers,
    MissingColumns,
    Needed,
    Numbers,
    Packed,
    distinct,
    is_among,
    numbered,
    numbers_of,
    parsed,
)
from spincache_nb.inventory.model import CachedApp, Faults, Inventory
from spincache_nb.inventory.stored import Members, StoredBlobs

Archives = Mapping[str, Sequence[tuple[int, int]]]
"""Of each stored archive, by digest, the apps that have it and the size that each declares."""


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
            faults.say("cut archive", stored.path(row), users=users)
        try:
            sizes = members.of(archive) if remaining else {}
        except SpinCacheError as exc:
            if is_whole:
                faults.say(
                    "bad archive", stored.path(row), users=users, expected=exc.expected, found=exc.found
                )
            continue
        for digest, size in sizes.items():
            member = found.get(digest)
            if member is not None and stored.sizes[member] != size:
                stored.doubted.add(member)
                path, what = stored.path(member), "other than in the archive"
                faults.say(what, path, users=users[:1], expected=size, found=stored.sizes[member])
            if digest in remaining:
                yield from ((app, digest) for app, _ in archives[archive])


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


LAYER, MEMBER, CONTENT = VIAS.index("layer"), VIAS.index("archive member"), VIAS.index("content ref")


class Named:
    """Everything in the documents that names digests, numbered together with the blobs that are stored."""

    def __init__(self, documents: Sequence[CachedApp], types: Numbers, stored: StoredBlobs) -> None:
        listed = [(app, one.listed) for app, one in enumerate(documents) if one.listed is not None]
        facts = [one.facts for one in documents if one.facts is not None]
        self.counts = np.zeros(len(documents), np.int64)
        self.counts[[app for app, _ in listed]] = [len(one.sizes) for _, one in listed]
        self.owners = np.repeat(np.arange(len(documents)), self.counts)
        self.sizes = np.concatenate([np.empty(0, np.int64), *(one.sizes for _, one in listed)])
        self.types = np.concatenate([np.empty(0, np.int32), *(one.types for _, one in listed)])
        self.media_types = list(types)
        starts = np.append(0, np.cumsum(self.counts)).tolist()
        self.urls = {starts[app] + place: urls for app, one in listed for place, urls in one.urls.items()}
        self.with_manifest = numbers_of([app for app, _ in listed])
        self.config_sizes = numbers_of([one.config.size for one in facts])
        layers = Packed.joined([one.digests for _, one in listed])
        configs = Packed.of_digests([one.config.digest for one in facts])
        documents_of_tags = Packed.of_digests([one.tag_document.digest for one in facts])
        binaries, mounted, recovered = _content(documents, stored)
        rows = numbers_of([row for found in stored.found for row in found.values()])
        blobs = Packed.of([digest for found in stored.found for digest in found])
        content = [
            Packed.of_digests([digest for _, digest in some]) for some in (binaries, mounted, recovered)
        ]
        packed = [layers, configs, documents_of_tags, *content, blobs]
        self.texts, codes = numbered(packed)
        self.layers, self.configs, self.tag_documents = codes[:3]
        self.binaries, self.mounted, self.recovered = (
            (numbers_of([app for app, _ in some]), found)
            for some, found in zip((binaries, mounted, recovered), codes[3:6], strict=True)
        )
        self.rows = np.full(2 * len(self.texts), -1, np.int64)
        self.rows[2 * codes[6] + stored.areas[rows]] = rows

    def with_two_sizes(self) -> list[int]:
        """Apps whose manifest gives a digest two sizes."""
        users = np.concatenate([self.owners, self.with_manifest])
        codes = np.concatenate([self.layers, self.configs])
        sizes = np.concatenate([self.sizes, self.config_sizes])
        size_of = np.zeros(len(self.texts), np.int64)
        size_of[codes] = sizes
        if np.array_equal(size_of[codes], sizes):
            return []
        order = np.lexsort([sizes, codes, users])
        users, codes, sizes = users[order], codes[order], sizes[order]
        clash = (users[1:] == users[:-1]) & (codes[1:] == codes[:-1]) & (sizes[1:] != sizes[:-1])
        found: list[int] = distinct(users[1:][clash]).tolist()
        return found

    def impossible(self) -> Iterator[tuple[int, int]]:
        """Apps whose declared sizes add up to more than 64 bits hold, and how much that is."""
        if int(self.sizes.max(initial=0)) * len(self.sizes) < 1 << 62:
            return
        starts = np.append(0, np.cumsum(self.counts)).tolist()
        for app, size in zip(self.with_manifest.tolist(), self.config_sizes.tolist(), strict=True):
            rows = slice(starts[app], starts[app + 1])
            total = size + sum(
                dict(zip(self.layers[rows].tolist(), self.sizes[rows].tolist(), strict=True)).values()
            )
            if total >= 1 << 63:
                yield app, total


_Content = list[tuple[int, Digest]]


def _content(documents: Sequence[CachedApp], stored: StoredBlobs) -> tuple[_Content, _Content, _Content]:
    """Binaries and mounted files that locked apps name, and locked apps that were found in ``data/``.

    Mounted files that are inline are needed nowhere, but may be in an archive.
    """
    binaries: _Content = []
    mounted: _Content = []
    recovered: _Content = []
    for app, found in enumerate(documents):
        if found.recovered is not None and (digest := stored.digest(found.recovered)) is not None:
            recovered.append((app, digest))
        if found.locked_app is not None:
            refs = dict.fromkeys(ref.digest for ref in found.locked_app.binaries() if ref.digest is not None)
            binaries += [(app, digest) for digest in refs]
            mounted += [
                (app if file.content.inline_bytes is None else ~app, file.content.digest)
                for component in found.locked_app.components
                for file in component.files
                if file.content.digest is not None
            ]
    return binaries, mounted, recovered


class Reach:
    """What apps need; an app is a number, its place in `documents`."""

    def __init__(
        self, documents: Sequence[CachedApp], named: Named, stored: StoredBlobs, names: Sequence[int]
    ) -> None:
        self.documents = documents
        self.named = named
        self.stored = stored
        self.names = numbers_of(names)
        self.owners, self.codes, self.sizes = named.owners, named.layers, named.sizes
        self.texts, self.rows = named.texts, named.rows
        self.is_application, self.is_archive = self._has_role("application"), self._has_role("archive")
        package = np.array([one.kind == "package" for one in documents], bool) & (named.counts == 1)
        self.of_package: Flags = package[self.owners]
        in_wasm = (self._has_role("wasm") | self.of_package) & ~self.is_application
        self.wanted = 2 * self.codes + np.where(in_wasm, WASM, DATA)
        self.has_archive = np.zeros(len(documents), bool)
        self.has_archive[self.owners[self.is_archive]] = True
        users, codes = named.binaries
        self.wasm = Needed.of(users, 2 * codes + WASM, CONTENT)
        users, codes = named.mounted
        inline, users = users < 0, np.where(users < 0, ~users, users)
        vias = np.where(self.has_archive[users], MEMBER, CONTENT)
        needed = ~inline | (vias == MEMBER)
        self.files = Needed.of(users, 2 * codes + DATA, vias).only(needed)
        self.inline: Flags = inline[needed]
        self.stored_sizes = np.append(self.stored.sizes, -1)[self.rows]  # by place
        self._settle()

    def _has_role(self, role: Role) -> Flags:
        of_type = np.array([role_of(name) == role for name in self.named.media_types], bool)
        flags: Flags = of_type[self.named.types]
        return flags

    def _settle(self) -> None:
        """Say which layer is which blob, and what is lost."""
        missing = self.rows[self.wanted] < 0
        self.used = np.where(missing & ~self.is_application, self.wanted ^ 1, self.wanted)
        self.found: Flags = self.rows[self.used] >= 0
        content = ~self.is_application
        lost = np.flatnonzero(content & missing)
        keys = self.owners[lost] * (len(self.texts) + 1) + self.codes[lost]
        binaries = self.wasm.users * (len(self.texts) + 1) + (self.wasm.places >> 1)
        absent = keys[~self.found[lost]]
        astray = (self.wanted[lost] & 1 == DATA) & ~is_among(keys, binaries)
        lost = lost[~self.found[lost] | self.of_package[lost] | astray]
        lost_wasm = (self.rows[self.wasm.places] < 0) & (self.rows[self.wasm.places ^ 1] < 0)
        lost_wasm &= ~is_among(binaries, absent)
        files = self.files.users * (len(self.texts) + 1) + (self.files.places >> 1)
        lost_files = (self.rows[self.files.places] < 0) & ~self.inline & ~is_among(files, absent)
        layers = Needed.of(self.owners[lost], self.wanted[lost], LAYER)
        every = Needed.joined([layers, self.wasm.only(lost_wasm), self.files.only(lost_files)])
        first = np.sort(np.unique(every.users * len(self.rows) + every.places, return_index=True)[1])
        self.lost = every.only(first[np.argsort(every.users[first], kind="stable")])

    def is_outdated(self) -> bool:
        """Whether something that is missing or of another size is no longer so."""
        content = self.wanted[~self.is_application]
        declared = self.sizes[~self.is_application]
        wrong = content[self.stored_sizes[content] != declared]
        astray = (self.rows[content] < 0) & (self.stored_sizes[content ^ 1] != declared)
        places = [wrong, content[astray] ^ 1]
        for refs in (self.wasm.places, self.files.places):
            lacking = refs[(self.rows[refs] < 0) & (self.rows[refs ^ 1] < 0)]
            places += [refs[self.rows[refs] < 0], lacking ^ 1]
        doubted = distinct(np.concatenate(places))
        rows = self.rows[doubted]
        missing = [(place & 1, self.texts[place >> 1]) for place in doubted[rows < 0].tolist()]
        return self.stored.have_changed(rows[rows >= 0].tolist(), missing)

    # Answers ---------------------------------------------------------------------------------

    def needs(self) -> Needed:
        """What apps need and the cache holds; where something is named twice, the first counts."""
        layers = Needed.of(self.owners[self.found], self.used[self.found], LAYER)
        recovered = Needed.of(self.named.recovered[0], 2 * self.named.recovered[1] + DATA, CONTENT)
        places = np.where(self.rows[self.wasm.places] < 0, self.wasm.places ^ 1, self.wasm.places)
        wasm = self.wasm._replace(places=places).only(self.rows[places] >= 0)
        files = self.files.only(self.rows[self.files.places] >= 0)
        return Needed.joined([layers, recovered, wasm, files])

    def stored_flags(self) -> Flags:
        """Whether each layer is stored; of the locked app, whether ``config.json`` is it."""
        data, wasm = 2 * self.codes + DATA, 2 * self.codes + WASM
        flags: Flags = (self.stored_sizes[data] == self.sizes) | (self.stored_sizes[wasm] == self.sizes)
        own = np.full(len(self.documents), -1, np.int64)
        current = np.array([one.current for one in self.documents], bool)[self.named.with_manifest]
        own[self.named.with_manifest[current]] = self.named.tag_documents[current]
        of_tag = own[self.owners] == self.codes
        return np.where(self.is_application, of_tag, flags)

    def archives(self) -> dict[str, list[tuple[int, int]]]:
        """Apps that have each stored archive, by its digest, and the size that each declares."""
        found: dict[str, dict[int, int]] = {}
        rows = np.flatnonzero(self.is_archive & self.found & (self.used & 1 == DATA))
        for row in rows.tolist():
            text = self.texts[self.codes[row]]
            found.setdefault(text, {})[int(self.owners[row])] = int(self.sizes[row])
        return {text: list(apps.items()) for text, apps in found.items()}

    def missing(self, names: Sequence[str]) -> MissingColumns:
        """What apps need and the cache lacks."""
        places = self.lost.places
        elsewhere = self.rows[places ^ 1] >= 0
        users = self.names[self.lost.users]
        return MissingColumns(users, places >> 1, places & 1, self.lost.vias, elsewhere, names, self.texts)

    # Faults ----------------------------------------------------------------------------------

    def asks_archives(self) -> bool:
        """Whether archives have to be opened to say what is wrong."""
        return bool((self.lost.vias == MEMBER).any())

    def report(self, faults: Faults, members: Members) -> None:
        """Report blobs of another size than declared, and missing ones, each once for all apps."""
        wrong = np.flatnonzero(
            self.found & ~self.is_application & (self.stored_sizes[self.used] != self.sizes)
        )
        places, sizes = self.used[wrong], self.sizes[wrong].tolist()
        stored = self.stored_sizes[places].tolist()
        users = self.names[self.owners[wrong]].tolist()
        for rows in _groups(self.rows[places]):
            first = rows[0]
            path = self.stored.path_of(int(places[first]) & 1, self.texts[places[first] >> 1])
            what = "shorter" if stored[first] < sizes[first] else "longer"
            apps = [users[row] for row in rows]
            faults.say(what, path, users=apps, expected=sizes[first], found=stored[first])
        self._report_lost(faults, members)

    def _report_lost(self, faults: Faults, members: Members) -> None:
        elsewhere = self.rows[self.lost.places ^ 1] >= 0
        stale = np.array([one.is_stale for one in self.documents], bool)
        whole = np.ones(len(self.documents), bool)
        right = self.found & (self.used & 1 == DATA) & (self.stored_sizes[self.used] == self.sizes)
        whole[self.owners[self.is_archive & ~right]] = False
        users, places, vias = self.lost
        said = (vias == LAYER) | ~stale[users]
        said &= elsewhere | (vias != MEMBER) | whole[users]
        said_rows = np.flatnonzero(said)
        archives: dict[int, list[str]] = {}
        for archive, apps in self.archives().items() if bool((vias[said_rows] == MEMBER).any()) else ():
            for app, _ in apps:
                archives.setdefault(app, []).append(archive)
        for rows in _groups((places * len(VIAS) + np.where(elsewhere, len(VIAS) - 1, vias))[said_rows]):
            chosen = said_rows[rows]
            place = int(places[chosen[0]])
            path = self.stored.path_of(place & 1, self.texts[place >> 1])
            names = self.names[users[chosen]].tolist()
            of_users = {one for app in users[chosen].tolist() for one in archives.get(app, ())}
            if elsewhere[chosen[0]]:
                wanted, _, name = path.partition("/")
                other = f"{'data' if wanted == 'wasm' else 'wasm'}/{name}"
                faults.say("elsewhere", path, users=names, wanted=wanted, other=other)
            elif vias[chosen[0]] == MEMBER and not members.hold(of_users, self.texts[place >> 1]):
                faults.say("not pushed", path, users=names)
            else:
                faults.say(VIAS[vias[chosen[0]]], path, users=names)


def _groups(keys: Integers) -> Iterator[list[int]]:
    """Rows of each key, in the order in which the keys first occur."""
    order = np.argsort(keys, kind="stable")
    starts = np.flatnonzero(np.append(True, np.diff(keys[order]) != 0)[: len(keys)])
    ends = np.append(starts[1:], len(keys))
    rows = order.tolist()
    by_first = np.argsort(order[starts])
    for start, end in zip(starts[by_first].tolist(), ends[by_first].tolist(), strict=True):
        yield rows[start:end]

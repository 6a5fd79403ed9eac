"""What apps and projects name by digest, as one table; what is needed, lost or outdated is read off it.

A row is a *mention*: a layer of a manifest, content that a locked app names, or a blob that a project names.
Its *owner* is a number, the place of a cached tag among the documents, or of a project after those. A *place*
is a digest in an area, as one number: twice the number of the digest, and one more in ``wasm/``. So
``place ^ 1`` is the same digest in the other area. Where Spin looks: Spin main, crates/oci and loader.rs.
"""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from spincache_nb.core.digest import Digest
from spincache_nb.core.documents import Role, role_of
from spincache_nb.inventory.columns import (
    DATA,
    VIAS,
    WASM,
    Codes,
    Flags,
    Integers,
    LayerColumns,
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
from spincache_nb.inventory.faults import Faults
from spincache_nb.inventory.model import CachedApp, Project
from spincache_nb.inventory.stored import Members, StoredBlobs

LAYER, MEMBER, CONTENT = VIAS.index("layer"), VIAS.index("archive member"), VIAS.index("content ref")

_UNKNOWN = -1
"""Size of what nobody declares a size of."""

_KINDS = {
    # What a mention is; whether nothing is wrong if it is not stored, whether Spin looks in wasm/ for it or
    # in data/, whether we use it from the other area as well, and as what it is needed
    "wasm": (False, True, True, LAYER),
    "data": (False, False, True, LAYER),
    "archive": (False, False, True, LAYER),
    "application": (True, False, False, LAYER),  # Spin reads the locked app from config.json
    "other": (False, False, True, LAYER),
    "locked app": (True, False, False, CONTENT),  # one that was found in data/
    "binary": (False, True, True, CONTENT),
    "file": (False, False, False, CONTENT),
    "archived file": (False, False, False, MEMBER),
    "archived inline file": (True, False, False, MEMBER),  # without an archive it is needed nowhere
    "project's in data": (True, False, False, CONTENT),
    "project's in wasm": (True, True, False, CONTENT),
}
_NUMBER = {kind: number for number, kind in enumerate(_KINDS)}
_IS_OPTIONAL, _IN_WASM, _IN_EITHER = np.array([some[:3] for some in _KINDS.values()], bool).T
_VIA = np.array([via for *_, via in _KINDS.values()], np.int8)


class Mentions:
    """The table; rows of an owner are in the order in which they count, and layers come first."""

    def __init__(
        self,
        documents: Sequence[CachedApp],
        projects: Sequence[Project],
        types: Numbers,
        stored: StoredBlobs,
    ) -> None:
        self.documents = documents
        self.stored = stored
        self.media_types = list(types)
        listed = [(app, one.listed) for app, one in enumerate(documents) if one.listed is not None]
        self.counts = np.zeros(len(documents), np.int64)
        self.counts[[app for app, _ in listed]] = [len(one.sizes) for _, one in listed]
        starts = np.append(0, np.cumsum(self.counts)).tolist()
        self.urls = {starts[app] + place: urls for app, one in listed for place, urls in one.urls.items()}
        self.types: Codes = np.concatenate([np.empty(0, np.int32), *(one.types for _, one in listed)])
        self.layer_count = len(self.types)

        owners = np.repeat(np.arange(len(documents)), self.counts)
        archives = set(owners[self._has_role("archive")].tolist())
        more_owners, more_kinds, content = _content(documents, projects, archives, stored)
        self.owners = np.concatenate([owners, more_owners])
        kind_of_type = np.array([_NUMBER[role_of(name)] for name in self.media_types], np.int8)
        kinds = np.concatenate([kind_of_type[self.types], more_kinds])
        unknown = np.full(len(content), _UNKNOWN)
        self.declared = np.concatenate([*(one.sizes for _, one in listed), unknown])
        self._number([*(one.digests for _, one in listed), Packed.of_digests(content)])
        of_projects = [via for project in projects for _, _, via in project.uses]
        self.vias = _VIA[kinds]
        self.vias[len(kinds) - len(of_projects) :] = of_projects
        self._settle(kinds)

    def _number(self, named: Sequence[Packed]) -> None:
        """Number all digests, and say which stored blob is at each place."""
        facts = [(app, one.facts) for app, one in enumerate(self.documents) if one.facts is not None]
        self.with_manifest = numbers_of([app for app, _ in facts])
        self.config_sizes = numbers_of([one.config.size for _, one in facts])
        configs = Packed.of_digests([one.config.digest for _, one in facts])
        tag_documents = Packed.of_digests([one.tag_document.digest for _, one in facts])
        # Where nothing is named, nobody asks for the numbers of what is stored
        blobs, found = self.stored.named() if len(self.owners) else (Packed(), numbers_of([]))
        self.texts, codes = numbered([Packed.joined(named), configs, tag_documents, blobs])
        self.digests, self.configs, self.tag_documents = codes[:3]
        self.rows = np.full(2 * len(self.texts), -1, np.int64)
        self.rows[2 * codes[3] + self.stored.areas[found]] = found
        self.stored_sizes = np.append(self.stored.sizes, _UNKNOWN)[self.rows]  # by place, too

    def _settle(self, kinds: npt.NDArray[np.int8]) -> None:
        """Say where Spin looks for each row, which blob it is, and what is lost."""
        counts = self.counts.tolist()
        packages = [
            app for app, one in enumerate(self.documents) if one.kind == "package" and counts[app] == 1
        ]
        self.of_package = is_among(self.owners, numbers_of(packages))
        self.is_optional = _IS_OPTIONAL[kinds]
        self.is_binary = kinds == _NUMBER["binary"]
        self.wanted = 2 * self.digests + (_IN_WASM[kinds] | self.of_package)
        self.is_lacking: Flags = self.rows[self.wanted] < 0
        self.used = self.wanted ^ (self.is_lacking & _IN_EITHER[kinds])
        self.is_found: Flags = self.rows[self.used] >= 0
        self.lost: Integers = self._lost()

    def _has_role(self, role: Role) -> Flags:
        """Whether each layer has a role."""
        of_type = np.array([role_of(name) == role for name in self.media_types], bool)
        return np.asarray(of_type[self.types])

    def _lost(self) -> Integers:
        """Rows of what apps lack, each digest of an app once, in the order of apps."""
        rows = np.flatnonzero(self.is_lacking & ~self.is_optional)
        keys, binaries = self._keys(rows), self._keys(np.flatnonzero(self.is_binary))
        # Spin looks for an app's binaries in the other area too; for a package's it does not
        takes_other = ((self.wanted[rows] & 1 == WASM) | is_among(keys, binaries)) & ~self.of_package[rows]
        is_layer = self.vias[rows] == LAYER
        nowhere = keys[is_layer & ~self.is_found[rows]]
        # Content that is a lost layer as well is said once, as the layer
        said = ~(self.is_found[rows] & takes_other) & (is_layer | ~is_among(keys, nowhere))
        rows = rows[said]
        places = self.owners[rows] * len(self.rows) + self.wanted[rows]
        rows = rows[np.sort(np.unique(places, return_index=True)[1])]
        return np.asarray(rows[np.argsort(self.owners[rows], kind="stable")])

    def _keys(self, rows: Integers) -> Integers:
        """Owner and digest of each of some rows, as one number."""
        return np.asarray(self.owners[rows] * len(self.texts) + self.digests[rows])

    def _fits(self, places: Integers, rows: Integers) -> Flags:
        """Whether what is stored at places has the size that rows declare, or is there if they do not."""
        sizes, declared = self.stored_sizes[places], self.declared[rows]
        return np.asarray(np.where(declared == _UNKNOWN, sizes != _UNKNOWN, sizes == declared))

    # What the documents say ------------------------------------------------------------------

    def with_two_sizes(self) -> list[int]:
        """Apps whose manifest gives a digest two sizes."""
        layers = self.layer_count
        owners = np.concatenate([self.owners[:layers], self.with_manifest])
        codes = np.concatenate([self.digests[:layers], self.configs])
        sizes = np.concatenate([self.declared[:layers], self.config_sizes])
        size_of = np.zeros(len(self.texts), np.int64)
        size_of[codes] = sizes
        if np.array_equal(size_of[codes], sizes):
            return []
        order = np.lexsort([sizes, codes, owners])
        owners, codes, sizes = owners[order], codes[order], sizes[order]
        clash = (owners[1:] == owners[:-1]) & (codes[1:] == codes[:-1]) & (sizes[1:] != sizes[:-1])
        found: list[int] = distinct(owners[1:][clash]).tolist()
        return found

    def impossible(self) -> Iterator[tuple[int, int]]:
        """Apps whose declared sizes add up to more than 64 bits hold, and how much that is."""
        sizes = self.declared[: self.layer_count]
        if int(sizes.max(initial=0)) * len(sizes) < 1 << 62:
            return
        starts = np.append(0, np.cumsum(self.counts)).tolist()
        for app, size in zip(self.with_manifest.tolist(), self.config_sizes.tolist(), strict=True):
            rows = slice(starts[app], starts[app + 1])
            size_of = dict(zip(self.digests[rows].tolist(), sizes[rows].tolist(), strict=True))
            total = size + sum(size_of.values())
            if total >= 1 << 63:
                yield app, total

    # Answers ---------------------------------------------------------------------------------

    def is_outdated(self) -> bool:
        """Whether something that is missing or of another size is no longer so."""
        rows = np.flatnonzero(~self.is_optional)
        wanted = self.wanted[rows]
        wrong = ~self._fits(wanted, rows)
        astray = self.is_lacking[rows] & ~self._fits(wanted ^ 1, rows)
        doubted = distinct(np.concatenate([wanted[wrong], wanted[astray] ^ 1]))
        blobs = self.rows[doubted]
        missing = [(place & 1, self.texts[place >> 1]) for place in doubted[blobs < 0].tolist()]
        return self.stored.have_changed(blobs[blobs >= 0].tolist(), missing)

    def needed(self) -> Needed:
        """What is needed and stored; where something is named twice, the first counts."""
        found = self.is_found
        return Needed(self.owners[found], self.used[found], self.vias[found])

    def archives(self) -> dict[str, dict[int, int]]:
        """Apps that have each stored archive, by its digest, and the size that each declares."""
        found: dict[str, dict[int, int]] = {}
        rows = np.flatnonzero(self._has_role("archive"))
        at_hand = self.is_found[rows] & (self.used[rows] & 1 == DATA)
        for row in rows[at_hand].tolist():
            apps = found.setdefault(self.texts[self.digests[row]], {})
            apps[int(self.owners[row])] = int(self.declared[row])
        return found

    def has_whole_archives(self) -> Flags:
        """Whether all archives of each app are stored, in the size that it declares."""
        is_whole = np.ones(len(self.documents), bool)
        rows = np.flatnonzero(self._has_role("archive"))
        used = self.used[rows]
        is_good = (used & 1 == DATA) & (self.stored_sizes[used] == self.declared[rows])
        is_whole[self.owners[rows[~is_good]]] = False
        return is_whole

    def wrong_sizes(self) -> Integers:
        """Rows of layers that are stored, but not in the size that they declare."""
        sizes = self.stored_sizes[self.used]
        is_wrong = self.is_found & ~self.is_optional & (self.declared != _UNKNOWN) & (sizes != self.declared)
        return np.flatnonzero(is_wrong)

    def is_elsewhere(self) -> Flags:
        """Whether what is lost is stored in the other area, where Spin does not look for it."""
        return np.asarray(self.rows[self.wanted[self.lost] ^ 1] >= 0)

    def missing(self, users: Integers, names: Sequence[str]) -> MissingColumns:
        """What apps need and the cache lacks; `users` numbers the names of owners."""
        rows = self.lost
        owners, areas, vias = users[self.owners[rows]], self.wanted[rows] & 1, self.vias[rows]
        return MissingColumns(owners, self.digests[rows], areas, vias, self.is_elsewhere(), names, self.texts)

    def layers(self, apps: Sequence[int]) -> LayerColumns:
        """The layers of some apps."""
        layers = slice(self.layer_count)
        columns = self.digests[layers], self.types, self.declared[layers], self._stored_flags()
        urls = self.urls
        if len(apps) < len(self.documents):
            is_shown = np.isin(np.arange(len(self.documents)), apps)[self.owners[layers]]
            row_of = np.cumsum(is_shown) - 1
            columns = tuple(column[is_shown] for column in columns)
            urls = {int(row_of[row]): some for row, some in urls.items() if is_shown[row]}
        starts = np.append(0, np.cumsum(self.counts[apps]))
        return LayerColumns(starts, *columns, self.media_types, urls)

    def _stored_flags(self) -> Flags:
        """Whether each layer is stored; of the locked app, whether ``config.json`` is it."""
        owners, digests, sizes = (
            column[: self.layer_count] for column in (self.owners, self.digests, self.declared)
        )
        places = 2 * digests
        is_stored = (self.stored_sizes[places + DATA] == sizes) | (self.stored_sizes[places + WASM] == sizes)
        own = np.full(len(self.documents), -1, np.int64)  # the locked app that is there
        own[self.with_manifest] = self.tag_documents
        own[[not one.current for one in self.documents]] = -1
        return np.asarray(np.where(self._has_role("application"), own[owners] == digests, is_stored))


class BlobReport:
    """Reports blobs of another size than declared, and lost ones, each once for all apps."""

    def __init__(self, mentions: Mentions, users: Integers, faults: Faults, members: Members) -> None:
        self.mentions = mentions
        self.users = users  # numbers of the names of owners
        self.faults = faults
        self.members = members

    def asks_archives(self) -> bool:
        """Whether archives have to be opened to say what is wrong."""
        table = self.mentions
        return bool((table.vias[table.lost] == MEMBER).any())

    def all(self) -> None:
        """Report everything."""
        self.wrong_sizes()
        self.lost()

    def wrong_sizes(self) -> None:
        """Report layers that are stored in another size than declared."""
        table = self.mentions
        wrong = table.wrong_sizes()
        places, declared = table.used[wrong], table.declared[wrong].tolist()
        found = table.stored_sizes[places].tolist()
        users = self.users[table.owners[wrong]].tolist()
        for group in _groups(table.rows[places]):
            first = group[0]
            self.faults.say(
                "shorter" if found[first] < declared[first] else "longer",
                self.path(int(places[first])),
                users=[users[row] for row in group],
                expected=declared[first],
                found=found[first],
            )

    def lost(self) -> None:
        """Report what is lost, unless another fault explains it."""
        table = self.mentions
        is_stale = np.array([one.is_stale for one in table.documents], bool)
        owners, vias, elsewhere = table.owners[table.lost], table.vias[table.lost], table.is_elsewhere()
        said = (vias == LAYER) | ~is_stale[owners]
        said &= elsewhere | (vias != MEMBER) | table.has_whole_archives()[owners]
        vias, elsewhere, places = vias[said], elsewhere[said], table.wanted[table.lost[said]]
        users, apps = self.users[owners[said]].tolist(), owners[said].tolist()
        archives: dict[int, list[str]] = {}
        for archive, sizes in table.archives().items() if bool((vias == MEMBER).any()) else ():
            for app in sizes:
                archives.setdefault(app, []).append(archive)
        for group in _groups(places * len(VIAS) + np.where(elsewhere, len(VIAS) - 1, vias)):
            first = group[0]
            place, via = int(places[first]), int(vias[first])
            path, concerned = self.path(place), [users[row] for row in group]
            holders = {one for row in group for one in archives.get(apps[row], ())}
            if elsewhere[first]:
                wanted, _, name = path.partition("/")
                other = f"{'data' if wanted == 'wasm' else 'wasm'}/{name}"
                self.faults.say("elsewhere", path, users=concerned, wanted=wanted, other=other)
            elif via == MEMBER and not self.members.hold(holders, table.texts[place >> 1]):
                self.faults.say("not pushed", path, users=concerned)
            else:
                self.faults.say(VIAS[via], path, users=concerned)

    def path(self, place: int) -> str:
        return self.mentions.stored.path_of(place & 1, self.mentions.texts[place >> 1])


def _groups(keys: Integers) -> Iterator[list[int]]:
    """Places of each key, in the order in which the keys first occur."""
    order = np.argsort(keys, kind="stable")
    starts = np.flatnonzero(np.append(True, np.diff(keys[order]) != 0)[: len(keys)])
    ends = np.append(starts[1:], len(keys))
    places = order.tolist()
    by_first = np.argsort(order[starts])
    for start, end in zip(starts[by_first].tolist(), ends[by_first].tolist(), strict=True):
        yield places[start:end]


def _content(
    documents: Sequence[CachedApp],
    projects: Sequence[Project],
    with_archives: Collection[int],
    stored: StoredBlobs,
) -> tuple[Integers, npt.NDArray[np.int8], Sequence[Digest]]:
    """What locked apps and projects name: owners, kinds, and digests."""
    kinds, digests, counts = array("b"), list[Digest](), list[int]()
    for app, found in enumerate(documents):
        before = len(digests)
        if found.recovered is not None and (digest := stored.digest(found.recovered)) is not None:
            kinds.append(_NUMBER["locked app"])
            digests.append(digest)
        if found.locked_app is not None:
            refs = found.locked_app.binaries()
            binaries = dict.fromkeys(ref.digest for ref in refs if ref.digest is not None)
            kinds.extend([_NUMBER["binary"]] * len(binaries))
            digests += binaries
            has_archive = app in with_archives
            own, inline = _NUMBER["archived file" if has_archive else "file"], _NUMBER["archived inline file"]
            for component in found.locked_app.components:
                for file in component.files:
                    is_inline = file.content.inline_bytes is not None
                    if file.content.digest is not None and (has_archive or not is_inline):
                        kinds.append(inline if is_inline else own)
                        digests.append(file.content.digest)
        counts.append(len(digests) - before)
    for project in projects:
        kinds.extend([_NUMBER["project's in data"] + (area == WASM) for area, _, _ in project.uses])
        digests += [parsed(digest) for _, digest, _ in project.uses]
        counts.append(len(project.uses))
    owners = np.repeat(np.arange(len(counts)), numbers_of(counts))
    return owners, np.array(kinds, np.int8), digests

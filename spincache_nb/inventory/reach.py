"""Which stored blobs apps need and which are missing, of all apps at once (Spin main, crates/oci, loader.rs).

The manifests' layers are asked first, then the content that locked apps name. A *place* is a digest in an
area, as one number: twice the number of the digest, and one more in ``wasm/``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from spincache_nb.core.documents import Role, role_of
from spincache_nb.core.settings import ArchiveLimits
from spincache_nb.inventory.archives import hold
from spincache_nb.inventory.columns import DATA, VIAS, WASM, Flags, Integers, MissingColumns, numbers_of
from spincache_nb.inventory.documents import Documents, Layers
from spincache_nb.inventory.problems import Faults
from spincache_nb.inventory.stored import StoredBlobs

LAYER, MEMBER, CONTENT = VIAS.index("layer"), VIAS.index("archive member"), VIAS.index("content ref")


class Needed(NamedTuple):
    """Who needs what: rows of an app (or another user), a place, and a number of `VIAS`."""

    users: Integers
    places: Integers
    vias: Integers

    @classmethod
    def of(cls, users: Integers, places: Integers, via: int | Integers) -> Needed:
        """Rows that have one `via`, or one each."""
        vias = np.broadcast_to(np.asarray(via, np.int64), users.shape)
        return cls(users, places, vias)

    @classmethod
    def joined(cls, parts: Sequence[Needed]) -> Needed:
        """The rows of several, one after the other."""
        return cls(*map(np.concatenate, zip(*parts, strict=True)))

    def only(self, chosen: Flags | Integers) -> Needed:
        """Some of the rows."""
        return Needed(*(column[chosen] for column in self))


class Reach:
    """What apps need; an app is a number, its place in `documents`."""

    def __init__(
        self, documents: Sequence[Documents], layers: Layers, stored: StoredBlobs, names: Sequence[int]
    ) -> None:
        self.documents = documents
        self.known = layers
        self.stored = stored
        self.names = numbers_of(names)
        apps = len(documents)
        self.owners = np.repeat(np.arange(apps), layers.counts)
        self.codes = np.asarray(layers.digests, np.int64)
        self.sizes = np.asarray(layers.sizes, np.int64)
        self.is_application = self._has_role("application")
        self.is_archive = self._has_role("archive")
        package = np.array([one.kind == "package" for one in documents], bool)
        self.of_package: Flags = (package & (numbers_of(layers.counts) == 1))[self.owners]
        self.wanted = 2 * self.codes + np.where(self._has_role("wasm") | self.of_package, WASM, DATA)
        self.wanted[self.is_application] = 2 * self.codes[self.is_application] + DATA
        self.has_archive = np.zeros(apps, bool)
        self.has_archive[self.owners[self.is_archive]] = True
        self.wasm = self._binaries()
        self.files, self.inline = self._mounted()
        self.recovered = self._recovered()
        self.texts = list(layers.digest_numbers)
        self.rows = self.stored_sizes = np.empty(0, np.int64)
        self._place()
        self._look()
        self._settle()

    def _has_role(self, role: Role) -> Flags:
        of_type = np.array([role_of(name) == role for name in self.known.type_numbers], bool)
        flags: Flags = of_type[np.asarray(self.known.types)]
        return flags

    # Content that the locked apps name -------------------------------------------------------

    def _binaries(self) -> Needed:
        users, codes = [], []
        number = self.known.digest_numbers
        for app, found in enumerate(self.documents):
            named = (
                {str(ref.digest) for ref in found.locked_app.binaries() if ref.digest}
                if found.locked_app
                else ()
            )
            users += [app] * len(named)
            codes += [number[text] for text in named]
        return Needed.of(numbers_of(users), 2 * numbers_of(codes) + WASM, CONTENT)

    def _mounted(self) -> tuple[Needed, Flags]:
        """Mounted files; those that are inline are needed nowhere, but may be in an archive."""
        users, codes, inline = [], [], []
        number = self.known.digest_numbers
        for app, found in enumerate(self.documents):
            for component in found.locked_app.components if found.locked_app is not None else ():
                for file in component.files:
                    if file.content.digest is not None:
                        users.append(app)
                        codes.append(number[str(file.content.digest)])
                        inline.append(file.content.inline)
        owners = numbers_of(users)
        vias = np.where(self.has_archive[owners], MEMBER, CONTENT)
        files = Needed.of(owners, 2 * numbers_of(codes) + DATA, vias)
        flags = np.array(inline, bool)
        needed = ~flags | (vias == MEMBER)
        return files.only(needed), flags[needed]

    def _recovered(self) -> Needed:
        """Locked apps that were found in ``data/``: all that is known of such an app, if no layer is it."""
        found = [(app, one.recovered) for app, one in enumerate(self.documents) if one.recovered is not None]
        codes = [self.known.digest_numbers[str(self.stored.digest(row))] for _, row in found]
        return Needed.of(numbers_of([app for app, _ in found]), 2 * numbers_of(codes) + DATA, CONTENT)

    # What is stored --------------------------------------------------------------------------

    def _place(self) -> None:
        """Find the row of each place, and how large it is; -1 for none."""
        self.rows = self.stored.rows_of(self.texts)
        self.stored_sizes = np.append(np.asarray(self.stored.sizes, np.int64), -1)[self.rows]

    def _look(self) -> None:
        """Look once more at what is missing or of another size, before anybody says so."""
        content = ~self.is_application
        self._look_at(self.wanted[content & (self.stored_sizes[self.wanted] != self.sizes)])
        other = self.wanted ^ 1
        lacking = content & (self.rows[self.wanted] < 0)
        self._look_at(other[lacking & (self.stored_sizes[other] != self.sizes)])
        for refs in (self.wasm, self.files):
            for places in (refs.places, refs.places ^ 1):
                self._look_at(places[(self.rows[refs.places] < 0) & (self.rows[places] < 0)])

    def _look_at(self, places: Integers) -> None:
        for place in np.unique(places).tolist():
            self.stored.look_again(place & 1, self.texts[place >> 1])
        if len(places):
            self._place()

    def _settle(self) -> None:
        """Say which layer is which blob, and what is lost."""
        missing = self.rows[self.wanted] < 0
        self.used = np.where(missing & ~self.is_application, self.wanted ^ 1, self.wanted)
        self.found: Flags = self.rows[self.used] >= 0
        content = ~self.is_application
        keys = self.owners * (len(self.texts) + 1) + self.codes
        binaries = self.wasm.users * (len(self.texts) + 1) + (self.wasm.places >> 1)
        astray = self.of_package | ((self.wanted & 1 == DATA) & ~np.isin(keys, binaries))
        lost = content & missing & (~self.found | astray)
        absent = keys[content & ~self.found]
        lost_wasm = (self.rows[self.wasm.places] < 0) & (self.rows[self.wasm.places ^ 1] < 0)
        lost_wasm &= ~np.isin(binaries, absent)
        files = self.files.users * (len(self.texts) + 1) + (self.files.places >> 1)
        lost_files = (self.rows[self.files.places] < 0) & ~self.inline & ~np.isin(files, absent)
        layers = Needed.of(self.owners[lost], self.wanted[lost], LAYER)
        every = Needed.joined([layers, self.wasm.only(lost_wasm), self.files.only(lost_files)])
        first = np.sort(np.unique(every.users * len(self.rows) + every.places, return_index=True)[1])
        self.lost = every.only(first[np.argsort(every.users[first], kind="stable")])

    # Answers ---------------------------------------------------------------------------------

    def needs(self) -> Needed:
        """What apps need and the cache holds; where something is named twice, the first counts."""
        layers = Needed.of(self.owners[self.found], self.used[self.found], LAYER)
        places = np.where(self.rows[self.wasm.places] < 0, self.wasm.places ^ 1, self.wasm.places)
        wasm = self.wasm._replace(places=places).only(self.rows[places] >= 0)
        files = self.files.only(self.rows[self.files.places] >= 0)
        return Needed.joined([layers, self.recovered, wasm, files])

    def stored_flags(self) -> Flags:
        """Whether each layer is stored; of the locked app, whether ``config.json`` is it."""
        data, wasm = 2 * self.codes + DATA, 2 * self.codes + WASM
        flags: Flags = (self.stored_sizes[data] == self.sizes) | (self.stored_sizes[wasm] == self.sizes)
        own = [
            self.known.digest_numbers[str(one.manifest.tag_document.digest)]
            if one.manifest is not None and one.current
            else -1
            for one in self.documents
        ]
        of_tag = numbers_of(own)[self.owners] == self.codes
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

    def report(self, faults: Faults, limits: ArchiveLimits) -> None:
        """Report blobs of another size than declared, and missing ones, each once for all apps."""
        wrong = np.flatnonzero(
            self.found & ~self.is_application & (self.stored_sizes[self.used] != self.sizes)
        )
        for rows in _groups(self.rows[self.used[wrong]]):
            first = wrong[rows[0]]
            place = self.used[first]
            path = self.stored.path(int(self.rows[place]))
            users = self.names[self.owners[wrong[rows]]]
            faults.wrong_size(path, int(self.sizes[first]), int(self.stored_sizes[place]), users=users)
        self._report_lost(faults, limits)

    def _report_lost(self, faults: Faults, limits: ArchiveLimits) -> None:
        elsewhere = self.rows[self.lost.places ^ 1] >= 0
        stale = np.array([one.is_stale for one in self.documents], bool)
        whole = np.ones(len(self.documents), bool)
        right = self.found & (self.used & 1 == DATA) & (self.stored_sizes[self.used] == self.sizes)
        whole[self.owners[self.is_archive & ~right]] = False
        users, places, vias = self.lost
        said = (vias == LAYER) | ~stale[users]
        said &= elsewhere | (vias != MEMBER) | whole[users]
        said_rows = np.flatnonzero(said)
        archives = self.archives() if bool((vias[said_rows] == MEMBER).any()) else {}
        for rows in _groups((places * len(VIAS) + np.where(elsewhere, len(VIAS) - 1, vias))[said_rows]):
            chosen = said_rows[rows]
            place = int(places[chosen[0]])
            path = self.stored.path_of(place & 1, self.texts[place >> 1])
            names = self.names[users[chosen]]
            text, apps = self.texts[place >> 1], users[chosen].tolist()
            if elsewhere[chosen[0]]:
                faults.elsewhere(path, users=names)
            elif vias[chosen[0]] == MEMBER and not hold(archives, apps, text, self.stored, limits):
                faults.not_pushed(path, users=names)
            else:
                faults.lost(path, VIAS[vias[chosen[0]]], users=names)


def _groups(keys: Integers) -> Iterator[Integers]:
    """Rows of each key, in the order in which the keys first occur."""
    order = np.argsort(keys, kind="stable")
    ends = np.flatnonzero(np.diff(keys[order])) + 1
    groups = np.split(order, ends) if len(keys) else []
    yield from sorted(groups, key=lambda rows: int(rows[0]))

"""Taking the inventory: one walk, each document once, then who needs what."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from spincache_nb.core.cache import Cache
from spincache_nb.core.digest import Digest
from spincache_nb.core.documents import ARCHIVE
from spincache_nb.core.files import FileState
from spincache_nb.core.journal import History
from spincache_nb.core.layout import file_name
from spincache_nb.core.scan import CachedTag, Problem
from spincache_nb.errors import SpinCacheError
from spincache_nb.inventory.columns import (
    DATA,
    MISNAMED,
    REFERENCED,
    TEMPORARY,
    Integers,
    Needed,
    Numbers,
    no_collections,
    numbers_of,
    parsed,
)
from spincache_nb.inventory.documents import locked_apps_beside, read_documents, read_projects
from spincache_nb.inventory.faults import Faults
from spincache_nb.inventory.mentions import MEMBER, BlobReport, Mentions
from spincache_nb.inventory.model import CachedApp, Contents, Inventory, InventoryLimits, Project
from spincache_nb.inventory.stored import Members, StoredBlobs

_ATTEMPTS = 3


def take_inventory(
    cache: Cache,
    *,
    projects: Sequence[str | os.PathLike[str]] = (),
    limits: InventoryLimits | None = None,
    history: History | None = None,
) -> Inventory:
    """Find out what is in a cache, who needs it, and what is wrong with it."""
    with no_collections():
        for _ in range(_ATTEMPTS):
            taking = _Taking(cache, limits or InventoryLimits(), history)
            found = taking.run(projects)
            if not taking.mentions.is_outdated():
                break
        return found


class _Taking:
    """One inventory on its way."""

    def __init__(self, cache: Cache, limits: InventoryLimits, history: History | None) -> None:
        self.cache = cache
        self.limits = limits
        history = history if history is not None else cache.history
        self.known = history.manifest_digests(cache.path)  # that manifests had when they were pulled
        self.scan = cache.scan()
        self.stored = StoredBlobs(cache, self.scan)
        self.faults = Faults(cache.path, self.scan.problems)
        self.types = Numbers()

    def run(self, projects: Sequence[str | os.PathLike[str]]) -> Inventory:
        documents = self.documents = [one for one in map(self.read_tag, self.scan.tags) if not one.gone]
        projects = [*projects, *(locked_apps_beside(self.cache.path) if not documents else ())]
        found = list(read_projects(projects, self.stored, self.faults, limit=self.limits.project_bytes))
        mentions = self.mentions = self.mentioned(found)
        references = list(dict.fromkeys(one.tag.reference for one in documents))
        number = {reference: place for place, reference in enumerate(references)}
        # Users are numbered by name, since two folders may be of one app: whose the rows of each owner are
        self.users = numbers_of(
            [
                *(number[one.tag.reference] for one in documents),
                *range(len(references), len(references) + len(found)),
            ]
        )
        apps = self.shown()
        self.report_documents()
        members = Members(self.stored, self.limits.archive)
        report = BlobReport(mentions, self.users, self.faults, members)
        if report.asks_archives():  # as they are now
            report.all()
        else:
            self.faults.later(report.all)
        needed = self.by_user(self.with_members(members), apps)
        self.judge(needed, len(references))
        self.check_scanned()
        contents = Contents(
            [*references, *(one.name for one in found)],
            mentions.texts,
            mentions.layers(apps),
            self.stored,
            mentions.rows,
            needed,
        )
        for place, app in enumerate(apps):
            documents[app].number, documents[app].contents = place, contents
            documents[app].listed = None
        return Inventory(
            cache=self.cache,
            apps=tuple(documents[one] for one in apps),
            projects=tuple(found),
            contents=contents,
            members=members,
            missing=mentions.missing(self.users, references),
            faults=self.faults,
        )

    # Apps ------------------------------------------------------------------------------------

    def read_tag(self, tag: CachedTag, *, check_sizes: bool = False) -> CachedApp:
        return read_documents(
            tag,
            self.stored,
            self.types,
            limits=self.limits,
            known_digests=self.known.get(tag.reference, ()),
            check_sizes=check_sizes,
        )

    def mentioned(self, projects: Sequence[Project]) -> Mentions:
        """All that is named; a manifest that gives a digest two sizes is damaged, and names nothing."""
        while True:
            mentions = Mentions(self.documents, projects, self.types, self.stored)
            wrong = mentions.with_two_sizes()
            if not wrong:
                return mentions
            for app in wrong:
                self.documents[app] = self.read_tag(self.documents[app].tag, check_sizes=True)

    def report_documents(self) -> None:
        for one, user in zip(self.documents, self.users.tolist(), strict=False):
            for fault in one.faults:
                path = self.faults.relative(fault.path)
                self.faults.add(path, fault.kind, fault.detail, fault.remedy, users=[user])
            if one.locked_app is not None and one.locked_app.faults:
                self.faults.sentences(
                    one.tag.locked_app_path,
                    "fault in the locked app",
                    one.locked_app.faults,
                    "Spin does not load the app; whoever published it must push it again",
                    users=[user],
                )
        for app, total in self.mentions.impossible():
            manifest = self.documents[app].tag.manifest_path
            self.faults.say("impossible", manifest, users=[int(self.users[app])], total=total)

    def shown(self) -> list[int]:
        """One of the documents of each reference; a second folder for it only adds to what it needs."""
        same: dict[int, list[int]] = {}
        for place, user in enumerate(self.users[: len(self.documents)].tolist()):
            same.setdefault(user, []).append(place)
        for user, places in same.items():
            if len(places) > 1:
                places.sort(key=lambda place: not self.is_own_spelling(self.documents[place].tag))
                chosen = self.faults.relative(self.documents[places[0]].tag.path)
                for place in places[1:]:
                    second = self.documents[place].tag.path
                    self.faults.say("same app", second, users=[user], chosen=chosen)
        return [places[0] for places in same.values()]

    def is_own_spelling(self, tag: CachedTag) -> bool:
        """Whether a cached tag's folder is spelled as this system spells it."""
        parts = tag.path.relative_to(self.cache.path).parts
        registry = tag.registry.replace(":", "_") if self.cache.windows_names else tag.registry
        last = file_name(tag.digest, windows=self.cache.windows_names) if tag.digest else tag.tag
        return (parts[1], parts[-1]) == (registry, last)

    # Uses ------------------------------------------------------------------------------------

    def with_members(self, members: Members) -> Needed:
        """What is needed, by owners, with members of apps' archives that nobody names."""
        needed = self.mentions.needed()
        archives = self.mentions.archives()
        if not archives:
            return needed
        of_apps = needed.users < len(self.documents)
        used = self.mentions.rows[needed.places[of_apps & (needed.places & 1 == DATA)]].tolist()
        found = list(_follow_archives(archives, set(used), members, self.faults, self.users))
        if not found:
            return needed
        number = {text: code for code, text in enumerate(self.mentions.texts)}
        more = Needed(
            numbers_of([app for app, _ in found]),
            numbers_of([2 * number[digest] + DATA for _, digest in found]),
            np.full(len(found), MEMBER, np.int8),
        )
        return needed.and_then(more)

    def by_user(self, needed: Needed, shown: Sequence[int]) -> Needed:
        """The rows of owners as rows of users; of two folders of one app, the one that is shown counts."""
        if len(shown) < len(self.documents):
            rank = np.ones(len(self.users), np.int8)
            rank[shown] = 0
            needed = needed.only(np.argsort(rank[needed.users], kind="stable"))
        return needed._replace(users=self.users[needed.users])

    # Blobs -----------------------------------------------------------------------------------

    def judge(self, needed: Needed, apps: int) -> None:
        """Say of each blob whether it is needed; only those that are odd are looked at one by one."""
        stored = self.stored
        blobs, standings = self.mentions.rows[needed.places], stored.standings
        standings[blobs] = REFERENCED
        faulty = self.faults.scanned_paths()
        empty = np.flatnonzero(stored.sizes == 0).tolist()
        odd = list(dict.fromkeys([*stored.odd, *stored.hidden, *empty]))
        if odd:
            of_apps = needed.users < apps
            blobs, users = blobs[of_apps], needed.users[of_apps]
            by_blob = np.argsort(blobs, kind="stable")
            starts = np.searchsorted(blobs[by_blob], odd).tolist()
            ends = np.searchsorted(blobs[by_blob], odd, side="right").tolist()
            for row, start, end in zip(odd, starts, ends, strict=True):
                standings[row] = self.judge_odd(
                    row, users[by_blob[start:end]].tolist(), int(standings[row]), faulty
                )

    def judge_odd(self, row: int, users: Sequence[int], standing: int, faulty: set[str]) -> int:
        stored = self.stored
        path, digest = stored.path(row), stored.digest(row)
        if path in faulty:
            self.faults.blame(path, users)
        if digest is None:
            form = stored.odd[row].form
            self.faults.say(form, path)  # unless it is what a system left, which the walk has said
            return TEMPORARY if form == "temporary" else MISNAMED
        area = stored.areas[row]
        if stored.found[area].get(str(digest)) != row:
            self.faults.say("same blob", path, chosen=stored.path_of(area, str(digest)))
            return MISNAMED
        if not stored.sizes[row] and digest != Digest.of(b"", digest.algorithm):
            stored.doubted.add(row)
            self.faults.say("empty and needed" if len(users) else "empty", path, users=users)
        return standing

    # What the walk found ---------------------------------------------------------------------

    def check_scanned(self) -> None:
        """Say whom the walk's problems concern, and drop those that have gone since."""
        if not self.scan.problems:
            return
        folders = {
            self.faults.relative(one.tag.path): user
            for one, user in zip(self.documents, self.users.tolist(), strict=False)
        }
        for problem in self.scan.problems:
            if not _still_there(self.cache.path / problem.path, problem):
                self.faults.forget(problem.path)
            elif (user := folders.get(problem.path.rpartition("/")[0])) is not None:
                self.faults.blame(problem.path, [user])


def _still_there(path: Path, problem: Problem) -> bool:
    if "\\" in problem.path:  # a name that is shown with escapes cannot be looked up by what is shown
        return True
    if FileState.at(path) is None:
        return False
    try:
        return problem.kind != "empty tag folder" or not any(path.iterdir())
    except FileNotFoundError:
        return False
    except OSError:
        return True


# Blobs in data/ that neither a manifest nor a locked app names may be members of an archive layer. Only if
# there are any, the stored archives are listed; and if something that they should hold is missing, or one
# looks cut at its end. Nothing of it is kept on disk.


def _follow_archives(
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

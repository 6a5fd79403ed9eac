"""Taking the inventory: one walk, each document once, then who needs what."""

from __future__ import annotations

import gc
import os
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from spincache_nb.core.cache import Cache
from spincache_nb.core.digest import Digest
from spincache_nb.core.files import FileState
from spincache_nb.core.journal import History
from spincache_nb.core.layout import file_name, is_left_by_system
from spincache_nb.core.scan import CachedTag, Problem
from spincache_nb.inventory.columns import (
    DATA,
    MISNAMED,
    REFERENCED,
    TEMPORARY,
    LayerColumns,
    Needed,
    Numbers,
    numbers_of,
)
from spincache_nb.inventory.documents import (
    locked_apps_beside,
    read_documents,
    read_projects,
)
from spincache_nb.inventory.model import CachedApp, Contents, Faults, Inventory, InventoryLimits, Project
from spincache_nb.inventory.reach import MEMBER, Named, Reach, follow_archives
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
    with _no_collections():
        for _ in range(_ATTEMPTS):
            taking = _Taking(cache, limits or InventoryLimits(), history)
            found = taking.run(projects)
            if not taking.reach.is_outdated():
                break
        return found


@contextmanager
def _no_collections() -> Iterator[None]:
    """Pause the garbage collector, which would walk very many new values that are all in use."""
    is_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if is_enabled:
            gc.enable()


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
        self.documents = list(self.read_tags())
        projects = [*projects, *(locked_apps_beside(self.cache.path) if not self.documents else ())]
        found = list(read_projects(projects, self.stored, self.faults, limit=self.limits.project_bytes))
        named = self.named()
        references = list(dict.fromkeys(one.tag.reference for one in self.documents))
        number = {reference: place for place, reference in enumerate(references)}
        self.names = [number[one.tag.reference] for one in self.documents]
        for one, name in zip(self.documents, self.names, strict=True):
            self.report_documents(one, name)
        for app, total in named.impossible():
            path = self.documents[app].tag.manifest_path
            self.faults.say("impossible", path, users=[self.names[app]], total=total)
        reach = self.reach = Reach(self.documents, named, self.stored, self.names)
        members = Members(self.stored, self.limits.archive)
        if reach.asks_archives():  # as they are now
            reach.report(self.faults, members)
        else:
            self.faults.later(lambda: reach.report(self.faults, members))
        needed = self.with_members(reach, members)
        users = [*references, *(one.name for one in found)]
        needed = self.everyone(reach, needed, found, len(references))
        self.judge(reach, needed, len(references))
        self.check_scanned()
        apps = self.chosen()
        layers = self.layer_columns(reach, apps)
        contents = Contents(users, reach.texts, layers, self.stored, reach.rows, needed)
        for place, app in enumerate(apps):
            self.documents[app].number, self.documents[app].contents = place, contents
            self.documents[app].listed = None
        return Inventory(
            cache=self.cache,
            apps=tuple(self.documents[one] for one in apps),
            projects=tuple(found),
            contents=contents,
            members=members,
            missing=reach.missing(references),
            faults=self.faults,
        )

    # Apps ------------------------------------------------------------------------------------

    def read_tags(self) -> Iterator[CachedApp]:
        for tag in self.scan.tags:
            one = self.read_tag(tag)
            if not one.gone:
                yield one

    def read_tag(self, tag: CachedTag, *, check_sizes: bool = False) -> CachedApp:
        return read_documents(
            tag,
            self.stored,
            self.types,
            limits=self.limits,
            known_digests=self.known.get(tag.reference, ()),
            check_sizes=check_sizes,
        )

    def named(self) -> Named:
        """Number all digests; a manifest that gives one of them two sizes is damaged."""
        while True:
            named = Named(self.documents, self.types, self.stored)
            wrong = named.with_two_sizes()
            if not wrong:
                return named
            for app in wrong:
                self.documents[app] = self.read_tag(self.documents[app].tag, check_sizes=True)

    def report_documents(self, documents: CachedApp, name: int) -> None:
        for fault in documents.faults:
            self.faults.add(
                self.faults.relative(fault.path), fault.kind, fault.detail, fault.remedy, users=[name]
            )
        if documents.locked_app is not None and documents.locked_app.faults:
            self.faults.sentences(
                documents.tag.locked_app_path,
                "fault in the locked app",
                documents.locked_app.faults,
                "Spin does not load the app; whoever published it must push it again",
                users=[name],
            )

    def chosen(self) -> list[int]:
        """One of the documents of each reference; a second folder for it only adds to what it needs."""
        same: dict[int, list[int]] = {}
        for place, name in enumerate(self.names):
            same.setdefault(name, []).append(place)
        for places in same.values():
            if len(places) > 1:
                places.sort(key=lambda place: not self.is_own_spelling(self.documents[place].tag))
                chosen = self.faults.relative(self.documents[places[0]].tag.path)
                for place in places[1:]:
                    path = self.documents[place].tag.path
                    self.faults.say("same app", path, users=[self.names[place]], chosen=chosen)
        return [places[0] for places in same.values()]

    def is_own_spelling(self, tag: CachedTag) -> bool:
        """Whether a cached tag's folder is spelled as this system spells it."""
        parts = tag.path.relative_to(self.cache.path).parts
        registry = tag.registry.replace(":", "_") if self.cache.windows_names else tag.registry
        last = file_name(tag.digest, windows=self.cache.windows_names) if tag.digest else tag.tag
        return (parts[1], parts[-1]) == (registry, last)

    # Uses ------------------------------------------------------------------------------------

    def with_members(self, reach: Reach, members: Members) -> Needed:
        """What apps need, with members of their archives that nobody names."""
        needed = reach.needs()
        archives = reach.archives()
        if not archives:
            return needed
        in_data = needed.places[needed.places & 1 == DATA]
        used = set(reach.rows[in_data].tolist())
        number = {text: code for code, text in enumerate(reach.texts)}
        found = [
            (app, 2 * number[digest] + DATA)
            for app, digest in follow_archives(archives, used, members, self.faults, self.names)
        ]
        more = Needed.of(numbers_of([app for app, _ in found]), numbers_of([p for _, p in found]), MEMBER)
        return Needed.joined([needed, more])

    def everyone(self, reach: Reach, needed: Needed, projects: Sequence[Project], apps: int) -> Needed:
        """Rows of apps by the numbers of their names, and of projects; what counts first is first."""
        if len(set(self.names)) < len(self.names):  # of two folders of one app, the one that is shown counts
            rank = np.empty(len(self.names), np.int64)
            shown = self.chosen()
            rank[[*shown, *sorted({*range(len(self.names))} - {*shown})]] = np.arange(len(self.names))
            needed = needed.only(np.argsort(rank[needed.users], kind="stable"))
        if self.names != list(range(len(self.names))):
            needed = needed._replace(users=numbers_of(self.names)[needed.users])
        parts = [needed]
        for user, project in enumerate(projects, apps):
            places = [2 * bisect_left(reach.texts, digest) + area for area, digest, _ in project.uses]
            vias = numbers_of([via for _, _, via in project.uses])
            parts.append(Needed.of(np.full(len(places), user), numbers_of(places), vias))
        return Needed.joined(parts) if projects else needed

    # Blobs -----------------------------------------------------------------------------------

    def judge(self, reach: Reach, needed: Needed, apps: int) -> None:
        """Say of each blob whether it is needed; only those that are odd are looked at one by one."""
        stored = self.stored
        blobs, standings = reach.rows[needed.places], stored.standings
        standings[blobs[blobs >= 0]] = REFERENCED
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
            if not is_left_by_system(stored.names[row]):
                self.faults.say(form, path)
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
            self.faults.relative(one.tag.path): name
            for one, name in zip(self.documents, self.names, strict=True)
        }
        for problem in self.scan.problems:
            if not _still_there(self.cache.path / problem.path, problem):
                self.faults.forget(problem.path)
            elif (name := folders.get(problem.path.rpartition("/")[0])) is not None:
                self.faults.blame(problem.path, [name])

    def layer_columns(self, reach: Reach, apps: Sequence[int]) -> LayerColumns:
        named, stored = reach.named, reach.stored_flags()
        starts = np.append(0, np.cumsum(named.counts[apps]))
        columns = LayerColumns(
            starts, named.layers, named.types, named.sizes, stored, named.media_types, named.urls
        )
        if len(apps) == len(self.documents):
            return columns
        shown = np.isin(named.owners, apps)
        row_of = np.cumsum(shown) - 1
        return replace(
            columns,
            digests=named.layers[shown],
            types=named.types[shown],
            sizes=named.sizes[shown],
            stored=stored[shown],
            urls={int(row_of[row]): urls for row, urls in named.urls.items() if shown[row]},
        )


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

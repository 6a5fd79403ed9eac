"""Carrying removals out: documents first, then blobs, each set aside before it goes for good.

A blob is renamed, then the documents are looked at again, and only then it is removed. Whoever pulls
beside this writes the manifest before it asks which blobs are stored (Spin), or touches a blob and
asks again before it writes the manifest (this toolkit). So either the manifest is seen here and the
blob gets its name back, or the puller sees that the blob is not there and fetches it.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from spincache_nb.core import removing
from spincache_nb.core.digest import Digest
from spincache_nb.core.documents import Area
from spincache_nb.core.files import FileState, Folder, Parts
from spincache_nb.core.layout import AREAS
from spincache_nb.errors import CacheError, NotInCacheError
from spincache_nb.upkeep.needs import (
    NewUsers,
    States,
    document_states,
    inventory_of,
    refuse_unless_cache,
    refuse_unless_known,
)
from spincache_nb.upkeep.plans import RemovalItem, RemovalPlan, RemovalResult, Skipped

_BATCH = 256
_DOCUMENTS = ("manifest", "locked app")
_CHANGED = "it was written, touched or replaced since the plan was made"
_GONE = "it is gone already"


def execute(plan: RemovalPlan) -> RemovalResult:
    """Carry a plan out; see `RemovalPlan.execute`."""
    if not plan.items or not refuse_unless_cache(plan.cache.path):
        return RemovalResult(plan, (), tuple(Skipped(item, _GONE) for item in plan.items))
    return _Execution(plan).run()


@dataclass(slots=True)
class _Aside:
    """A blob that has a temporary name."""

    item: RemovalItem
    name: str


def _blob(item: RemovalItem) -> tuple[Area, Digest]:
    """Area and digest of a blob that is to go."""
    return item.area, Digest.parse(item.digest or "")


def _by_folder(items: Iterable[RemovalItem]) -> dict[Parts, list[RemovalItem]]:
    folders: dict[Parts, list[RemovalItem]] = {}
    for item in items:
        folders.setdefault(item.parts[:-1], []).append(item)
    return folders


class _Execution:
    def __init__(self, plan: RemovalPlan) -> None:
        self.plan = plan
        self.cache = plan.cache
        self.root = plan.cache.path
        self.removed: list[RemovalItem] = []
        self.skipped: list[Skipped] = []
        self.failed: list[Skipped] = []

    def run(self) -> RemovalResult:
        self.check_users()
        self.remove_apps()
        blobs = [item for item in self.plan.items if item.what == "blob" and item.digest is not None]
        if blobs:
            self.remove_blobs(blobs)
        named_by_none = ("temporary file", "blob")
        self.remove_files([i for i in self.plan.items if i.what in named_by_none and i.digest is None])
        self.remove_folders([item for item in self.plan.items if item.what == "empty folder"])
        return RemovalResult(self.plan, tuple(self.removed), tuple(self.skipped), tuple(self.failed))

    def check_users(self) -> None:
        """Refuse before anything is touched if it is not known any more who needs what."""
        if document_states(self.cache, self.plan.projects) != dict(self.plan.documents):
            refuse_unless_known(
                inventory_of(self.cache, self.plan.projects),
                leaving=self.plan.references,
                even_if_unknown=self.plan.even_if_unknown,
            )

    # Documents -------------------------------------------------------------------------------

    def remove_apps(self) -> None:
        """Remove the documents of each app, unless one of them is another by now."""
        documents = [item for item in self.plan.items if item.what in _DOCUMENTS]
        for parts, items in _by_folder(documents).items():
            with self.opened(parts, items) as folder:
                if folder is None:
                    continue
                if any(folder.state(item.parts[-1]) != item.state for item in items):
                    self.skipped += [Skipped(item, "the app was pulled again, or removed") for item in items]
                    continue
                for item in items:
                    if not self.remove_file(folder, item):
                        break
            removing.remove_empty_folders(self.root, parts, above=1)

    def remove_file(self, folder: Folder, item: RemovalItem) -> bool:
        """Remove one file through a temporary name, if it is the one that was meant."""
        aside = self.set_aside(folder, item)
        return aside is not None and self.finish(folder, aside)

    # Blobs -----------------------------------------------------------------------------------

    def remove_blobs(self, items: Sequence[RemovalItem]) -> None:
        """Remove blobs batch by batch; each batch is asked for once more when it is set aside."""
        new_users = NewUsers(self.cache, self.plan.projects, self.expected_states())
        for area in AREAS:
            chosen = self.still_unneeded([item for item in items if item.parts[0] == area], new_users)
            for start in range(0, len(chosen), _BATCH):
                batch = chosen[start : start + _BATCH]
                with self.opened((area,), batch) as folder:
                    if folder is not None:
                        self.remove_batch(folder, batch, new_users)

    def expected_states(self) -> States:
        """State of the documents as the plan found them, without those that were to go."""
        gone = {self.root.joinpath(*i.parts) for i in self.plan.items if i.what in _DOCUMENTS}
        expected = {path: state for path, state in self.plan.documents.items() if path not in gone}
        folders = {path.parent for path in gone}
        alive = {path.parent for path, state in expected.items() if state is not None}
        return {
            path: state
            for path, state in expected.items()
            if state is not None or path.parent not in folders or path.parent in alive
        }

    def still_unneeded(self, items: Sequence[RemovalItem], new_users: NewUsers) -> list[RemovalItem]:
        """Leave out what somebody has come to need since the plan was made."""
        users = new_users.of([_blob(item) for item in items])
        self.skipped += [
            Skipped(item, f"{users[_blob(item)]} needs it now") for item in items if _blob(item) in users
        ]
        return [item for item in items if _blob(item) not in users]

    def remove_batch(self, folder: Folder, batch: Sequence[RemovalItem], new_users: NewUsers) -> None:
        """Set blobs aside, look whether somebody needs them by now, and remove the others."""
        asides: list[_Aside] = []
        try:
            asides += (aside for item in batch if (aside := self.set_aside(folder, item)) is not None)
            users = new_users.of([_blob(aside.item) for aside in asides])
        except BaseException:
            for aside in asides:
                self.put_back(folder, aside, "who needs it could not be told")
            raise
        for aside in asides:
            if _blob(aside.item) in users:
                self.put_back(folder, aside, f"{users[_blob(aside.item)]} needs it now")
        for aside in asides:
            if _blob(aside.item) not in users:
                self.finish(folder, aside)

    # Single steps ----------------------------------------------------------------------------

    @contextlib.contextmanager
    def opened(self, parts: Parts, items: Iterable[RemovalItem]) -> Iterator[Folder | None]:
        """Open a folder; if that fails, so do its items."""
        try:
            folder = Folder(self.root, parts)
        except NotInCacheError:
            self.skipped += [Skipped(item, _GONE) for item in items]
            yield None
        except CacheError as exc:
            self.failed += [Skipped(item, f"{exc.where}: {exc.found}") for item in items]
            yield None
        else:
            with folder:
                yield folder

    def set_aside(self, folder: Folder, item: RemovalItem) -> _Aside | None:
        name = item.parts[-1]
        try:
            aside = None if item.state is None else removing.set_aside(folder, name, item.state)
        except CacheError as exc:
            self.failed.append(Skipped(item, exc.found))
            return None
        if aside is None:
            self.skipped.append(Skipped(item, _GONE if folder.state(name) is None else _CHANGED))
            return None
        return _Aside(item, aside)

    def finish(self, folder: Folder, aside: _Aside) -> bool:
        try:
            removing.unlink(folder, aside.name)
        except CacheError as exc:
            self.put_back(folder, aside, exc.found, failed=True)
            return False
        self.removed.append(aside.item)
        return True

    def put_back(self, folder: Folder, aside: _Aside, reason: str, *, failed: bool = False) -> None:
        try:
            removing.put_back(folder, aside.name, aside.item.parts[-1])
        except CacheError as exc:
            failed, reason = True, f"{reason}; it is now called {aside.name}: {exc.found}"
        (self.failed if failed else self.skipped).append(Skipped(aside.item, reason))

    # Leftovers -------------------------------------------------------------------------------

    def remove_files(self, items: Sequence[RemovalItem]) -> None:
        """Remove files that no document can name."""
        for parts, inside in _by_folder(items).items():
            with self.opened(parts, inside) as folder:
                for item in inside if folder is not None else ():
                    if folder is not None:
                        self.remove_file(folder, item)
            if parts[0] not in ("wasm", "data"):
                removing.remove_empty_folders(self.root, parts, above=1)

    def remove_folders(self, items: Iterable[RemovalItem]) -> None:
        for item in items:
            state = FileState.at(self.root.joinpath(*item.parts))
            young = state is not None and time.time() - state.modified_ns / 1e9 < self.plan.grace_seconds
            if young or state is None:
                self.skipped.append(Skipped(item, _CHANGED if young else _GONE))
            elif removing.remove_empty_folders(self.root, item.parts, above=1):
                self.removed.append(item)
            else:
                self.skipped.append(Skipped(item, "it is not empty any more, or the system refused"))

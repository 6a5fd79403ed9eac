"""What must hold before anything is removed, and removals as they are carried out.

It must be a Spin registry cache, and it must be known who needs what. Documents go first, then blobs: a
blob is renamed, then the documents are looked at again, and only then it is removed. Whoever pulls
beside this writes the manifest before it asks which blobs are stored (Spin), or touches a blob and
asks again before it writes the manifest (this toolkit). So either the manifest is seen here and the
blob gets its name back, or the puller sees that the blob is not there and fetches it.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from spincache_nb.core import removing
from spincache_nb.core.archive import list_members
from spincache_nb.core.cache import Cache
from spincache_nb.core.digest import ENCODED_LENGTH
from spincache_nb.core.documents import Area
from spincache_nb.core.files import FileState, Folder, Parts
from spincache_nb.core.journal import History
from spincache_nb.core.layout import AREAS, MANIFESTS, REGISTRY, TEMPORARY_PREFIX, is_left_by_system, shown
from spincache_nb.core.scan import DiskFile, Scan, scan, scan_tags
from spincache_nb.errors import CacheError, NotACacheError, NotInCacheError, SpinCacheError
from spincache_nb.inventory import CachedApp, Inventory, take_inventory
from spincache_nb.project.spin_toml import LOCK, SPIN_TOML
from spincache_nb.show import more_text
from spincache_nb.upkeep.plans import RemovalItem, RemovalPlan, RemovalResult, Skipped

States = dict[Path, FileState | None]
"""Documents that say who needs what, and the state of each."""
_Blob = tuple[Area, str]

ASIDE_NAME = re.compile(re.escape(f"{TEMPORARY_PREFIX}{REGISTRY}-") + r"[0-9]+-[0-9a-f]{16}")
"""What a clear renames the whole directory to."""
CLEARED = "the cache is to be cleared"

_UNTOUCHED = "nothing was touched"
_FOREIGN_KINDS = frozenset({"foreign", "folder in a file's place", "file in a folder's place", "not a file"})
_UNKNOWN_KINDS = frozenset({"link", "unreadable folder", "unreadable file"})
_NAMED = 3
_BATCH = 256
_DOCUMENTS = ("manifest", "locked app")
_CHANGED = "it was written, touched or replaced since the plan was made"
_GONE = "it is gone already"
_STAYS = "the folder stays: it is a mount point, or holds what the system left there"


# Is it a cache? --------------------------------------------------------------------------------


def refuse_unless_cache(path: Path) -> bool:
    """Make sure that a directory is a Spin registry cache, and nobody's home; False if there is nothing."""
    _refuse_precious(path)
    state = FileState.at(path)
    if state is None:
        return False
    if state.kind == "hidden":
        raise _unreadable(path, "it may not be looked at")
    if state.kind == "link":
        raise _not_a_cache(path, "a link", "name the directory that it leads to")
    if not state.is_folder:
        raise _not_a_cache(path, "something that is no folder")
    refuse_foreign_top(path)
    return True


def refuse_foreign_top(path: Path) -> None:
    """Refuse a directory that holds anything but what a cache holds at its top."""
    try:
        names = os.listdir(path)  # noqa: PTH208
    except OSError as exc:
        raise _unreadable(path, exc.strerror or str(exc)) from exc
    foreign = []
    for name in names:
        if name in (MANIFESTS, *AREAS):
            state = FileState.at(path / name)
            if state is not None and state.kind == "link":
                raise _not_a_cache(path / name, "a link in a folder's place", "remove the link")
            if state is not None and not state.is_folder:
                foreign.append(name)
        elif not is_left_by_system(name) and not name.startswith(TEMPORARY_PREFIX):
            foreign.append(name)
    _refuse_foreign(path, foreign)


def refuse_foreign_below(path: Path, found: Scan) -> None:
    """Refuse to remove a whole cache if anything in it is not Spin's."""
    for problem in found.problems:
        if problem.kind == "unreadable folder":
            raise _unreadable(path / problem.path, problem.detail)
    foreign = [problem.path for problem in found.problems if problem.kind in _FOREIGN_KINDS]
    for blob in found.odd:
        stray = blob.name in ENCODED_LENGTH and not blob.stored_bytes  # `sha256:...` on a Windows disk
        if blob.form == "other" and not is_left_by_system(blob.name) and not stray:
            foreign.append(f"{blob.area}/{blob.name}")
    _refuse_foreign(path, foreign)


def _refuse_precious(path: Path) -> None:
    """Refuse a home directory, the root of a file system, and all that is above them."""
    resolved = Path(os.path.realpath(path))
    named = [os.environ.get(name) for name in ("HOME", "USERPROFILE")]
    homes = [os.path.expanduser("~"), *filter(None, named)]  # noqa: PTH111 - text where there is no home
    if resolved == Path(resolved.anchor):
        raise _not_a_cache(path, "the root of the file system")
    for home in (Path(os.path.realpath(home)) for home in homes):
        if resolved == home or resolved in home.parents:
            raise _not_a_cache(path, "a home directory, or one that holds it")
    if path.name != REGISTRY:
        raise _not_a_cache(path, f"a directory that is not called {REGISTRY!r}")


def _refuse_foreign(path: Path, names: list[str]) -> None:
    if names:
        more = more_text(len(names), _NAMED)
        told = ", ".join(repr(shown(name)) for name in sorted(names)[:_NAMED]) + (f" {more}" if more else "")
        raise _not_a_cache(path, f"foreign files: {told}", "move them elsewhere")


def _not_a_cache(path: Path, found: str, remedy: str = "") -> NotACacheError:
    remedy = f"{remedy}; {_UNTOUCHED}" if remedy else _UNTOUCHED
    return NotACacheError(shown(str(path)), "a Spin registry cache", found, remedy)


def _unreadable(path: Path, reason: str) -> CacheError:
    remedy = f"check its permissions; {_UNTOUCHED}"
    return CacheError(shown(str(path)), "a folder that can be read", reason, remedy)


def going(found: Scan) -> Iterator[tuple[str, DiskFile]]:
    """Files that go with a whole cache, all but what systems left, and the folder that each goes with."""
    staying = {problem.path for problem in found.problems if problem.kind == "system file"}
    for file in found.files:
        top, slash, _ = file.path.partition("/")
        parts = file.path.split("/") if staying else ()
        if not any("/".join(parts[:count]) in staying for count in range(1, len(parts) + 1)):
            yield (top if slash and top in (MANIFESTS, *AREAS) else "."), file


def sizes_below(root: Path, found: Scan) -> tuple[Counter[str], Counter[str]]:
    """What goes with each of Spin's three directories, and beside them: bytes that are freed, and files that
    free none, since they have names outside of the cache too."""
    names = Counter(file.same_as or file.path for file in found.files)
    sizes: Counter[str] = Counter()
    linked: Counter[str] = Counter()
    for folder, file in going(found):
        state = FileState.at(root / file.path) if file.same_as is None else None
        if state is not None and state.links > names[file.path]:
            linked[folder] += 1
        else:
            sizes[folder] += file.stored_bytes
    return sizes, linked


# Who needs what? -------------------------------------------------------------------------------


def inventory_of(cache: Cache, projects: Sequence[str]) -> Inventory:
    """Take an inventory without asking the history of pulls."""
    return take_inventory(cache, projects=projects, history=History(enabled=False))


def document_states(cache: Cache, projects: Iterable[str] = ()) -> States:
    """Say what state the documents are in that tell who needs what."""
    paths = [path for tag in scan_tags(cache.path) for path in (tag.manifest_path, tag.locked_app_path)]
    for project in map(Path, projects):
        folder = project if project.is_dir() else project.parent
        paths += [(project / SPIN_TOML if project.is_dir() else project).resolve(), (folder / LOCK).resolve()]
    return {path: FileState.at(path) for path in paths}


def refuse_unless_known(
    inventory: Inventory, *, leaving: Collection[str] = (), even_if_unknown: bool = False
) -> None:
    """Make sure that everybody who may need a blob, but for apps that are to go, could be asked."""
    if not even_if_unknown:
        _refuse_if_nobody_tells(inventory, leaving)
    for problem in inventory.problems:
        in_manifests = problem.path in (".", MANIFESTS) or problem.path.startswith(f"{MANIFESTS}/")
        if problem.kind in _UNKNOWN_KINDS and in_manifests:
            raise CacheError(
                shown(str(inventory.cache.path / problem.path)),
                "to read every cached app, since it may need any blob",
                f"{problem.kind} ({problem.detail})",
                f"{problem.remedy}; no blob was touched",
            )
    for project in inventory.projects:
        if not project.complete:
            raise CacheError(
                project.name,
                "a project that can be read whole, since it may need any blob",
                "one that cannot",
                "correct the project, or leave it out; no blob was touched",
            )


def _refuse_if_nobody_tells(inventory: Inventory, leaving: Collection[str]) -> None:
    remedy = "give the projects that use it, or say that it may go all the same (even_if_unknown=True, "
    remedy += "--even-if-unknown); no blob was touched"
    stored = sum(digest is not None for digest in inventory.blobs.digests)
    if stored and not inventory.apps and not inventory.projects:
        raise CacheError(
            shown(str(inventory.cache.path / MANIFESTS)),
            "manifests that say who needs what",
            f"none, and {stored} blobs, as in a container that containerd-shim-spin filled",
            remedy,
        )
    for app in inventory.apps:
        states = [FileState.at(path) for path in (app.tag.manifest_path, app.tag.locked_app_path)]
        if app.reference not in leaving and not any(state is None or state.size for state in states):
            raise CacheError(
                shown(str(app.tag.path)),
                "documents that say what the app needs",
                "two empty ones, as a disk leaves them that lost power",
                f"pull {app.reference} again or remove it, or {remedy}",
            )


class _NewUsers:
    """Tells who has come to need a blob since a plan was made."""

    def __init__(self, cache: Cache, projects: Sequence[str], expected: States) -> None:
        self.cache = cache
        self.projects = projects
        self.expected = expected
        self.seen: States | None = None
        self.users: dict[_Blob, list[str]] = {}
        self.lacked: dict[str, str] = {}
        self.changed: list[CachedApp] = []

    def of(self, blobs: Collection[_Blob]) -> dict[_Blob, str]:
        """Say which of some blobs somebody needs by now, and who."""
        states = document_states(self.cache, self.projects)
        if states == self.expected:
            return {}
        if states != self.seen:
            self.look_again(states)
        found = {blob: self.users[blob][0] for blob in blobs if blob in self.users}
        for blob in blobs:
            if blob not in found and blob[1] in self.lacked:
                found[blob] = self.lacked[blob[1]]
        digests = {digest for _, digest in blobs}
        for app in self.changed:
            needed = _archive_members(self.cache, app) if _is_legible(app) else digests
            found |= {blob: app.reference for blob in blobs if blob[1] in needed and blob not in found}
        return found

    def look_again(self, states: States) -> None:
        inventory = inventory_of(self.cache, self.projects)
        refuse_unless_known(inventory, even_if_unknown=True)
        self.seen, self.users = states, inventory.users_of()
        lost = inventory.missing
        lacked = zip(lost.digests.tolist(), lost.users.tolist(), strict=True)
        self.lacked = {lost.digest_texts[digest]: lost.names[user] for digest, user in lacked}
        self.changed = [
            app
            for app in inventory.apps
            for path in (app.tag.manifest_path, app.tag.locked_app_path)
            if self.expected.get(path) != states.get(path)
        ]


def _is_legible(app: CachedApp) -> bool:
    return app.manifest is not None and (app.locked_app is not None or app.config_kind != "damaged")


def _archive_members(cache: Cache, app: CachedApp) -> set[str]:
    """Digests of the members of stored archive layers of an app."""
    found: set[str] = set()
    layers = app.manifest.layers if app.manifest is not None else ()
    for layer in (layer for layer in layers if layer.role == "archive"):
        with contextlib.suppress(SpinCacheError), cache.open_blob(layer.digest) as stream:
            found.update(str(one.digest) for one in list_members(stream, where=str(layer.digest)).members)
    return found


# Carrying a plan out ---------------------------------------------------------------------------


def execute(plan: RemovalPlan) -> RemovalResult:
    """Carry a plan out; see `RemovalPlan.execute`."""
    running = _Execution(plan)
    if plan.kind == "clear":
        running.clear()
    elif plan.items and refuse_unless_cache(plan.cache.path):
        running.remove()
    else:
        running.skip(plan.items, _GONE)
    return RemovalResult(plan, tuple(running.removed), tuple(running.skipped), tuple(running.failed))


def _blob(item: RemovalItem) -> _Blob:
    return item.area, item.digest or ""


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

    def skip(self, items: Iterable[RemovalItem], reason: str) -> None:
        self.skipped += [Skipped(item, reason) for item in items]

    def remove(self) -> None:
        """Remove apps, blobs and leftovers, in this order."""
        self.check_users()
        self.remove_apps([item for item in self.plan.items if item.what in _DOCUMENTS])
        files = [item for item in self.plan.items if item.what in ("temporary file", "blob")]
        blobs = [item for item in files if item.what == "blob" and item.digest is not None]
        if blobs:
            self.remove_blobs(blobs)
        self.remove_files([item for item in files if item.digest is None])  # which no document can name
        self.remove_folders([item for item in self.plan.items if item.what == "empty folder"])

    def check_users(self) -> None:
        """Refuse before anything is touched if it is not known any more who needs what."""
        if document_states(self.cache, self.plan.projects) != dict(self.plan.documents):
            refuse_unless_known(
                inventory_of(self.cache, self.plan.projects),
                leaving=self.plan.references,
                even_if_unknown=self.plan.even_if_unknown,
            )

    def remove_apps(self, documents: Iterable[RemovalItem]) -> None:
        """Remove the documents of each app, unless one of them is another by now."""
        for parts, items in _by_folder(documents).items():
            with self.opened(parts, items) as folder:
                if folder is None:
                    continue
                if any(folder.state(item.parts[-1]) != item.state for item in items):
                    self.skip(items, "the app was pulled again, or removed")
                    continue
                for item in items:
                    if not self.remove_file(folder, item):
                        break
            removing.remove_empty_folders(self.root, parts, above=1)

    def remove_files(self, items: Iterable[RemovalItem]) -> None:
        for parts, inside in _by_folder(items).items():
            with self.opened(parts, inside) as folder:
                if folder is not None:
                    for item in inside:
                        self.remove_file(folder, item)
            if parts[0] not in AREAS:
                removing.remove_empty_folders(self.root, parts, above=1)

    def remove_folders(self, items: Iterable[RemovalItem]) -> None:
        for item in items:
            state = FileState.at(self.root.joinpath(*item.parts))
            if state is None:
                self.skip([item], _GONE)
            elif time.time() - state.modified_ns / 1e9 < self.plan.grace_seconds:
                self.skip([item], _CHANGED)
            elif removing.remove_empty_folders(self.root, item.parts, above=1):
                self.removed.append(item)
            else:
                self.skip([item], "it is not empty any more, or the system refused")

    # Blobs -----------------------------------------------------------------------------------

    def remove_blobs(self, items: Sequence[RemovalItem]) -> None:
        """Remove blobs batch by batch; each batch is asked for once more when it is set aside."""
        new_users = _NewUsers(self.cache, self.plan.projects, self.expected_states())
        for area in AREAS:
            chosen = self.still_unneeded([item for item in items if item.area == area], new_users)
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

    def still_unneeded(self, items: Sequence[RemovalItem], new_users: _NewUsers) -> list[RemovalItem]:
        """Leave out what somebody has come to need since the plan was made."""
        users = new_users.of([_blob(item) for item in items])
        self.skipped += [
            Skipped(item, f"{users[_blob(item)]} needs it now") for item in items if _blob(item) in users
        ]
        return [item for item in items if _blob(item) not in users]

    def remove_batch(self, folder: Folder, batch: Sequence[RemovalItem], new_users: _NewUsers) -> None:
        """Set blobs aside, look whether somebody needs them by now, and remove the others."""
        asides: list[tuple[RemovalItem, str]] = []
        try:
            for item in batch:
                name = self.set_aside(folder, item)
                asides += [(item, name)] if name is not None else []
            users = new_users.of([_blob(item) for item, _ in asides])
        except BaseException:
            for item, name in asides:
                self.put_back(folder, item, name, "who needs it could not be told")
            raise
        needed = [one for one in asides if _blob(one[0]) in users]
        for item, name in needed:
            self.put_back(folder, item, name, f"{users[_blob(item)]} needs it now")
        for item, name in asides:
            if _blob(item) not in users:
                self.finish(folder, item, name)

    # Single steps ----------------------------------------------------------------------------

    @contextlib.contextmanager
    def opened(self, parts: Parts, items: Iterable[RemovalItem]) -> Iterator[Folder | None]:
        """Open a folder; if that fails, so do its items."""
        try:
            folder = Folder(self.root, parts)
        except NotInCacheError:
            self.skip(items, _GONE)
            yield None
        except CacheError as exc:
            self.failed += [Skipped(item, f"{exc.where}: {exc.found}") for item in items]
            yield None
        else:
            with folder:
                yield folder

    def remove_file(self, folder: Folder, item: RemovalItem) -> bool:
        """Remove one file through a temporary name, if it is the one that was meant."""
        aside = self.set_aside(folder, item)
        return aside is not None and self.finish(folder, item, aside)

    def set_aside(self, folder: Folder, item: RemovalItem) -> str | None:
        name = item.parts[-1]
        try:
            aside = None if item.state is None else removing.set_aside(folder, name, item.state)
        except CacheError as exc:
            self.failed.append(Skipped(item, exc.found))
            return None
        if aside is None:
            self.skip([item], _GONE if folder.state(name) is None else _CHANGED)
        return aside

    def finish(self, folder: Folder, item: RemovalItem, aside: str) -> bool:
        try:
            removing.unlink(folder, aside)
        except CacheError as exc:
            self.put_back(folder, item, aside, exc.found, failed=True)
            return False
        self.removed.append(item)
        return True

    def put_back(
        self, folder: Folder, item: RemovalItem, aside: str, reason: str, *, failed: bool = False
    ) -> None:
        try:
            removing.put_back(folder, aside, item.parts[-1])
        except CacheError as exc:
            failed, reason = True, f"{reason}; it is now called {aside}: {exc.found}"
        (self.failed if failed else self.skipped).append(Skipped(item, reason))

    # The whole directory ---------------------------------------------------------------------

    def clear(self) -> None:
        """Remove the whole directory, and what clears that were killed have left of it."""
        inside = [item for item in self.plan.items if item.what == "folder"]
        if inside and refuse_unless_cache(self.root):
            found = scan(self.root)
            refuse_foreign_below(self.root, found)
            self.remove_everything(inside, keeps=any(one.kind == "system file" for one in found.problems))
        else:
            self.skip(inside, _GONE)
        for item in self.plan.items:
            if item.what == "leftover" and ASIDE_NAME.fullmatch(item.parts[-1]):
                self.remove_leftover(item)

    def remove_everything(self, items: list[RemovalItem], *, keeps: bool) -> None:
        """Remove all folders, the whole renamed first unless something in it stays or the system refuses."""
        where, state = self.root, items[-1].state
        if state is not None and not keeps:
            name = f"{TEMPORARY_PREFIX}{REGISTRY}-{os.getpid()}-{secrets.token_hex(8)}"
            where = removing.move_away(self.root, state, name) or self.root
        parts: list[Parts] = [()] if where != self.root else [(part,) for part in (MANIFESTS, *AREAS)]
        failures = [failure for part in parts for failure in removing.remove_below(where, part)]
        removing.remove_root(where)  # a mount point stays, and so does what systems leave in it
        self.tell_by_looking(items, where, is_partly=bool(failures))
        beside = () if where == self.root else ("..", where.name)
        for part, why in failures:
            path = shown("/".join((*beside, *part))) or "."
            self.failed.append(Skipped(RemovalItem(path, "folder", 0, CLEARED, parts=part), why))

    def tell_by_looking(self, items: Iterable[RemovalItem], where: Path, *, is_partly: bool) -> None:
        """Say what is gone and what is not."""
        left = sizes_below(where, scan(where))[0] if where.exists() else Counter()
        for item in items:
            freed = item.stored_bytes - min(item.stored_bytes, left[item.path])
            state = FileState.at(where.joinpath(*item.parts))
            if freed or state is None or not state.is_folder:
                self.removed.append(replace(item, stored_bytes=freed))
            elif not is_partly:
                self.skip([item], _STAYS)

    def remove_leftover(self, item: RemovalItem) -> None:
        path, reason = self.root.parent / item.parts[-1], ""
        try:
            refuse_foreign_top(path)
            failures = removing.remove_below(path, ())
            if failures or not removing.remove_root(path):
                reason = failures[0][1] if failures else "it could not be removed"
        except CacheError as exc:
            reason = exc.found
        if reason:
            self.failed.append(Skipped(item, reason))
        else:
            self.removed.append(item)

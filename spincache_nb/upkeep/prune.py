"""Planning a prune: what nothing needs and what is old enough, and apps beyond a size budget."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from spincache_nb.core.cache import Cache
from spincache_nb.core.digest import Digest
from spincache_nb.core.files import FileState
from spincache_nb.core.layout import MANIFESTS
from spincache_nb.core.scan import scan_tags
from spincache_nb.errors import CacheError
from spincache_nb.inventory import CachedApp, InventoriedBlob, Inventory, unnamed_members
from spincache_nb.show import size_text
from spincache_nb.upkeep.execution import execute
from spincache_nb.upkeep.needs import Needs, refuse_unless_known
from spincache_nb.upkeep.plans import (
    KeptBlob,
    RemovalItem,
    RemovalPlan,
    blob_item,
    file_item,
    folder_item,
    kept_blob,
    tag_items,
    with_freed_bytes,
)
from spincache_nb.upkeep.remove import Ground, Projects, exclusive_blobs, survey

GRACE_SECONDS = 3600.0
"""Files younger than this stay: a pull that goes on may need them."""

_WASM_NOTE = (
    "A spin.toml or environment lock of a project that was not given may use blobs in wasm/; "
    "Spin would fetch them again."
)


def plan_prune(
    cache: Cache,
    *,
    projects: Projects = (),
    grace_seconds: float = GRACE_SECONDS,
    keep_bytes: int | None = None,
    keep_newest: int | None = None,
    even_if_unknown: bool = False,
) -> RemovalPlan:
    """Say what could go because nothing needs it, and why each file is thought unneeded.

    Parameters
    ----------
    cache
        The cache.
    projects
        ``spin.toml`` files or folders of projects that use this cache too: what they and their
        environment locks name by digest is needed. So is what a locked app names: give the ``spin.json``
        of a container that containerd-shim-spin filled; one beside the cache is found.
    grace_seconds
        Files younger than this stay (seconds since they were last written or touched): a pull that
        goes on may need them. One hour unless given. With 0 the unfinished files of such a pull go, too,
        and it fails.
    keep_bytes
        Size budget in bytes. If what is left under ``registry`` is still larger, apps are removed too,
        the least recently pulled first, until it is not.
    keep_newest
        Number of most recently pulled apps that a budget never removes. Without `keep_bytes`: all but
        these are removed.
    even_if_unknown
        Whether to go on where nobody says who needs what: blobs without any manifest or project, or an app
        with two empty documents.

    Returns
    -------
    RemovalPlan
        Each item has a ``reason``. Nothing is touched before ``execute()``.

    Raises
    ------
    ValueError
        If a number is negative.
    NotACacheError
        If the directory is not a Spin registry cache.
    CacheError
        If a cached app or a project cannot be read, or none is there, so that it is not known what is needed.
    SpinManifestError
        If there is no project at one of the paths given.

    Notes
    -----
    This goes beyond what Spin promises. Its documentation describes the cache for diagnosis only, and
    names one safe operation: deleting the whole ``registry`` directory (`plan_clear`).

    A blob is needed if a manifest, a locked app, an archive layer, a given ``spin.toml`` or its
    environment lock says so. Files of other names than Spin and this toolkit give stay.
    """
    if not grace_seconds >= 0:
        raise ValueError(f"grace_seconds must not be negative, got {grace_seconds!r}")
    budget = _Budget(keep_bytes, keep_newest)
    ground = survey(cache, projects)
    refuse_unless_known(ground.inventory, even_if_unknown=even_if_unknown)
    return replace(_Planner(ground, grace_seconds).plan(budget), even_if_unknown=even_if_unknown)


class _Planner:
    def __init__(self, ground: Ground, grace_seconds: float) -> None:
        self.ground = ground
        self.inventory = ground.inventory
        self.cache = ground.inventory.cache
        self.root = self.cache.path
        self.grace_seconds = grace_seconds
        self.now = time.time()
        self.kept: list[KeptBlob] = []

    def plan(self, budget: _Budget) -> RemovalPlan:
        unneeded = [*self.blobs(), *self.unfinished_documents()]
        folders = list(self.empty_folders())
        freed = sum(item.stored_bytes for item in unneeded)
        references, notes = _choose_apps(self.inventory, budget, freed_bytes=freed, is_young=self.is_young)
        items = [*self.apps(references), *unneeded, *folders]
        if any(item.what == "blob" and item.parts[0] == "wasm" for item in items):
            notes.append(_WASM_NOTE)
        return RemovalPlan(
            cache=self.cache,
            kind="prune",
            items=with_freed_bytes(items, self.inventory.files),
            kept=tuple(self.kept),
            references=tuple(references),
            notes=tuple(notes),
            projects=self.ground.projects,
            grace_seconds=self.grace_seconds,
            documents=self.ground.documents,
            carry_out=execute,
        )

    def is_young(self, modified_ns: int) -> bool:
        """Whether something was written within the grace period, or is dated in the future."""
        return self.now - modified_ns / 1e9 < self.grace_seconds

    def since(self, modified_ns: int) -> str:
        return f"last written or touched {_ago(self.now - modified_ns / 1e9)}"

    # What nothing needs ----------------------------------------------------------------------

    def blobs(self) -> Iterator[RemovalItem]:
        for blob in self.inventory.blobs:
            reason = self.reason(blob)
            if reason is None:
                continue
            if self.is_young(blob.blob.modified_ns):
                why = f"nothing needs it, but it is young: {self.since(blob.blob.modified_ns)}"
                self.kept.append(kept_blob(blob.blob, (), why))
                continue
            item = blob_item(self.root, blob.blob, f"{reason}; {self.since(blob.blob.modified_ns)}")
            if item is not None:
                yield item

    def reason(self, blob: InventoriedBlob) -> str | None:
        """Why a file in ``wasm/`` or ``data/`` is thought unneeded; None if it is not."""
        form = blob.blob.form
        if form == "temporary":
            return "a download that was killed: it is no blob, and nobody goes on with it"
        if form == "bare hex":
            return "Spin v0.9 to v1.x kept a web source under this name; Spin v2.0 and later never finds it"
        if form == "digest" and blob.standing == "misnamed":
            return self.reason_of_second(blob)
        if blob.standing != "unreferenced":
            return None
        if blob.blob.area == "data":
            return "no manifest, locked app or archive in the cache needs it"
        return "no manifest or locked app in the cache and no given project needs it"

    def reason_of_second(self, blob: InventoriedBlob) -> str | None:
        """A second spelling of a name is unneeded if the first is whole."""
        digest = blob.blob.digest
        try:
            if digest is None or not self.cache.is_whole(digest, blob.blob.area):
                return None
        except CacheError:
            return None
        return "the same blob is stored under the name that this system uses"

    def unfinished_documents(self) -> Iterator[RemovalItem]:
        """Temporary files that killed pulls left in tag folders."""
        for path in self.problem_paths("temporary file"):
            item = file_item(self.root, path, "temporary file", "left by a pull that was killed")
            if item is not None and item.state is not None and not self.is_young(item.state.modified_ns):
                yield item

    def empty_folders(self) -> Iterator[RemovalItem]:
        for path in self.problem_paths("empty tag folder"):
            item = folder_item(
                self.root, path.relative_to(self.root).parts, "empty folder", "no app is in it"
            )
            if item is not None and item.state is not None and not self.is_young(item.state.modified_ns):
                yield replace(item, reason=f"{item.reason}; {self.since(item.state.modified_ns)}")

    def problem_paths(self, kind: str) -> Iterator[Path]:
        for problem in self.inventory.problems:
            if problem.kind == kind and problem.path.startswith(f"{MANIFESTS}/") and "\\" not in problem.path:
                yield self.root / problem.path

    # What is beyond the budget ---------------------------------------------------------------

    def apps(self, references: Collection[str]) -> Iterator[RemovalItem]:
        if not references:
            return
        tags = [tag for tag in scan_tags(self.root) if tag.reference in references]
        yield from tag_items(self.root, tags, "least recently pulled, beyond what is to be kept")
        items, kept = exclusive_blobs(self.inventory, references)
        self.kept += kept
        for item in items:
            if item.state is not None and self.is_young(item.state.modified_ns):
                why = f"it is young: {self.since(item.state.modified_ns)}"
                self.kept.append(KeptBlob(item.path, item.area, item.digest, item.stored_bytes, (), why))
            else:
                yield item


def _ago(seconds: float) -> str:
    """Show an age to people."""
    if seconds < 0:
        return "in the future"
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= 2 * length:
            return f"{int(seconds // length)} {unit}s ago"
    return f"{int(seconds)} seconds ago"


# Apps beyond the budget ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Budget:
    """How much may stay."""

    keep_bytes: int | None = None
    keep_newest: int | None = None

    def __post_init__(self) -> None:
        for name in ("keep_bytes", "keep_newest"):
            value = getattr(self, name)
            if value is not None and value < 0:
                raise ValueError(f"{name} must not be negative, got {value!r}")


def _choose_apps(
    inventory: Inventory, budget: _Budget, *, freed_bytes: int, is_young: Callable[[int], bool]
) -> tuple[list[str], list[str]]:
    """Choose apps to remove."""
    if budget.keep_bytes is None and budget.keep_newest is None:
        return [], []
    stored = sum(file.stored_bytes for file in inventory.files) - freed_bytes
    account = _Account(inventory, is_young)
    newest_first = sorted(inventory.apps, key=lambda app: (-_pulled_ns(app), app.reference))
    protected = newest_first[: budget.keep_newest or 0]
    chosen: list[str] = []
    for app in reversed(newest_first[len(protected) :]):
        if budget.keep_bytes is not None and stored <= budget.keep_bytes:
            break
        if is_young(_pulled_ns(app)):
            continue
        stored -= account.remove(app)
        chosen.append(app.reference)
    return chosen, _notes(budget, stored)


def _pulled_ns(app: CachedApp) -> int:
    """When an app was last pulled, as far as its files tell (nanoseconds since 1970)."""
    if app.tag.modified_ns is not None:
        return app.tag.modified_ns
    return max((state.modified_ns for state in _documents(app)), default=0)


def _documents(app: CachedApp) -> list[FileState]:
    """States of the documents that an app has."""
    states = (FileState.at(path) for path in (app.tag.manifest_path, app.tag.locked_app_path))
    return [state for state in states if state is not None and state.is_file]


class _Account:
    """Counts what each removal frees, given those before it."""

    def __init__(self, inventory: Inventory, is_young: Callable[[int], bool]) -> None:
        needs = Needs(inventory)
        held: dict[Digest | None, set[str]] = {}
        for user, digest in unnamed_members(inventory):
            held.setdefault(digest, set()).add(user)
        self.waiting: dict[str, list[int]] = {}
        self.sizes: list[int] = []
        self.users: list[int] = []
        counted = {file.path: file.stored_bytes for file in inventory.files}
        for blob in inventory.blobs:
            stored = blob.blob
            users = set(needs.users_of(stored.area, blob.digest))
            if not users or is_young(stored.modified_ns):
                continue
            if stored.area == "data":
                users |= held.get(blob.digest, set())
            for user in users:
                self.waiting.setdefault(user, []).append(len(self.sizes))
            self.sizes.append(counted.get(f"{stored.area}/{stored.name}", stored.stored_bytes))
            self.users.append(len(users))

    def remove(self, app: CachedApp) -> int:
        """Bytes that go with an app."""
        freed = sum(state.size for state in _documents(app))
        for blob in self.waiting.get(app.reference, []):
            self.users[blob] -= 1
            if not self.users[blob]:
                freed += self.sizes[blob]
        return freed


def _notes(budget: _Budget, stored: int) -> list[str]:
    if budget.keep_bytes is None or stored <= budget.keep_bytes:
        return []
    over = size_text(stored - budget.keep_bytes)
    return [
        f"The budget is not kept: {over} more than keep_bytes stay, as the apps that need them are among the "
        "newest, or were pulled within the grace period."
    ]

"""Planning a prune: what nothing needs and what is old enough, and apps beyond a size budget."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterator
from pathlib import Path

from spincache_nb.core.cache import Cache
from spincache_nb.core.digest import Digest, hash_stream
from spincache_nb.core.files import open_regular
from spincache_nb.core.layout import MANIFESTS
from spincache_nb.core.scan import scan_tags
from spincache_nb.errors import SpinCacheError
from spincache_nb.inventory import InventoriedBlob, Inventory
from spincache_nb.upkeep.budget import Budget, choose_apps
from spincache_nb.upkeep.guard import refuse_unless_cache, refuse_unless_known
from spincache_nb.upkeep.needs import States, document_states, inventory_of
from spincache_nb.upkeep.pieces import (
    blob_item,
    file_item,
    folder_state,
    kept_blob,
    kept_item,
    relative_parts,
    tag_items,
    with_freed_bytes,
)
from spincache_nb.upkeep.plans import KeptBlob, RemovalItem, RemovalPlan
from spincache_nb.upkeep.remove import Projects, exclusive_blobs

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
) -> RemovalPlan:
    """Say what could go because nothing needs it, and why each file is thought unneeded.

    Parameters
    ----------
    cache
        The cache.
    projects
        ``spin.toml`` files or folders of projects that use this cache too: what they and their
        environment locks name by digest is needed.
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
        If a cached app or a project cannot be read, so that it is not known what it needs.
    SpinManifestError
        If there is no project at one of the paths given.

    Notes
    -----
    This goes beyond what Spin promises. Its documentation describes the cache for diagnosis only, and
    names one safe operation: deleting the whole ``registry`` directory (`plan_clear`).

    A blob is needed if a manifest, a locked app, an archive layer, a given ``spin.toml`` or its
    environment lock says so. Files of other names than Spin and this toolkit give stay.
    """
    budget = Budget(keep_bytes, keep_newest)
    if not grace_seconds >= 0:
        raise ValueError(f"grace_seconds must not be negative, got {grace_seconds!r}")
    names = [os.fspath(project) for project in projects]
    exists = refuse_unless_cache(cache.path)
    documents = document_states(cache, names)
    inventory = inventory_of(cache, names)
    if exists:
        refuse_unless_known(inventory)
    planner = _Planner(inventory, grace_seconds)
    return planner.plan(budget, names, documents)


class _Planner:
    def __init__(self, inventory: Inventory, grace_seconds: float) -> None:
        self.inventory = inventory
        self.cache = inventory.cache
        self.root = inventory.cache.path
        self.grace_seconds = grace_seconds
        self.now = time.time()
        self.kept: list[KeptBlob] = []

    def plan(self, budget: Budget, projects: list[str], documents: States) -> RemovalPlan:
        unneeded = [*self.blobs(), *self.unfinished_documents()]
        folders = list(self.empty_folders())
        freed = sum(item.stored_bytes for item in unneeded)
        references, notes = choose_apps(self.inventory, budget, freed_bytes=freed, is_young=self.is_young)
        items = [*self.apps(references), *unneeded, *folders]
        if any(item.what == "blob" and item.parts[0] == "wasm" for item in items):
            notes.append(_WASM_NOTE)
        return RemovalPlan(
            cache=self.cache,
            kind="prune",
            items=with_freed_bytes(self.root, items),
            kept=tuple(self.kept),
            references=tuple(references),
            notes=tuple(notes),
            projects=tuple(projects),
            grace_seconds=self.grace_seconds,
            documents=documents,
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
                why = f"nothing needs it, but it is young: {self.since_of(blob)}"
                self.kept.append(kept_blob(blob, (), why))
                continue
            item = blob_item(self.root, blob.blob, f"{reason}; {self.since_of(blob)}")
            if item is not None:
                yield item

    def since_of(self, blob: InventoriedBlob) -> str:
        return self.since(blob.blob.modified_ns)

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
        if digest is None or not _is_whole(self.cache.blob_path(blob.blob.area, digest), digest):
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
            state = folder_state(path)
            if state is not None and not self.is_young(state.modified_ns):
                parts = relative_parts(self.root, path)
                reason = f"no app is in it; {self.since(state.modified_ns)}"
                yield RemovalItem("/".join(parts), "empty folder", 0, reason, parts=parts, state=state)

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
                self.kept.append(kept_item(item, f"it is young: {self.since(item.state.modified_ns)}"))
            else:
                yield item


def _is_whole(path: Path, digest: Digest) -> bool:
    try:
        with open_regular(path) as stream:
            return hash_stream(stream, digest.algorithm)[0] == digest
    except (SpinCacheError, OSError):
        return False


def _ago(seconds: float) -> str:
    """Show an age to people."""
    if seconds < 0:
        return "in the future"
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= 2 * length:
            return f"{int(seconds // length)} {unit}s ago"
    return f"{int(seconds)} seconds ago"

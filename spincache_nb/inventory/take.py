"""Taking the inventory: one walk, each document once, then who needs what."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from operator import attrgetter
from pathlib import Path

from spincache_nb.core.cache import Cache
from spincache_nb.core.digest import Digest
from spincache_nb.core.journal import History
from spincache_nb.core.layout import HARMLESS_NAMES, file_name
from spincache_nb.core.manifest import Area
from spincache_nb.core.scan import CachedTag, Problem, Scan, StoredBlob
from spincache_nb.inventory.allocation import no_collections
from spincache_nb.inventory.archives import follow_archives
from spincache_nb.inventory.documents import Documents, read_documents
from spincache_nb.inventory.faults import Faults
from spincache_nb.inventory.layer_texts import LayerTexts
from spincache_nb.inventory.model import CachedApp, Inventory, InventoryLimits, Project
from spincache_nb.inventory.needs import apps_needing, blobs_needed
from spincache_nb.inventory.plain import PlainLayers
from spincache_nb.inventory.projects import read_projects
from spincache_nb.inventory.reach import Reach
from spincache_nb.inventory.rows import Use, by_name
from spincache_nb.inventory.standings import InventoriedBlob, InventoriedBlobs, Needed
from spincache_nb.inventory.stored import StoredBlobs

_ODD_NAMES = {
    "temporary": (
        "temporary file",
        "a download that goes on or was killed; it is no blob",
        "if nothing is downloading, remove it or prune",
    ),
    "bare hex": (
        "name of an old Spin",
        "Spin v0.9 to v1.x kept a web source under this name; Spin v2.0 and later never finds it",
        "remove it or prune, unless an old Spin uses this cache",
    ),
    "other": (
        "misnamed file",
        "its name is no digest, so nothing finds it",
        "look at what it is, then move or remove it; prune leaves it",
    ),
}


def take_inventory(
    cache: Cache,
    *,
    projects: Sequence[str | os.PathLike[str]] = (),
    limits: InventoryLimits | None = None,
    history: History | None = None,
) -> Inventory:
    """Find out what is in a cache, who needs it, and what is wrong with it."""
    with no_collections():
        return _Taking(cache, limits or InventoryLimits(), history).run(projects)


class _Taking:
    """One inventory on its way."""

    def __init__(self, cache: Cache, limits: InventoryLimits, history: History | None) -> None:
        self.cache = cache
        self.limits = limits
        self.history = history if history is not None else cache.history
        self.scan: Scan = cache.scan()
        self.stored = StoredBlobs(cache, self.scan)
        self.faults = Faults(cache.path, self.scan.problems)

    def run(self, projects: Sequence[str | os.PathLike[str]]) -> Inventory:
        reaches = self.reach_apps()
        follow_archives(reaches, self.stored, self.faults, limits=self.limits.archive)
        found = read_projects(projects, self.stored, self.faults, limit=self.limits.project_bytes)
        apps = tuple(self.merge(reaches))
        blobs = self.judge_blobs([*apps, *found])
        self.check_scanned(reaches)
        return Inventory(
            cache=self.cache,
            apps=apps,
            projects=found,
            blobs=blobs,
            files=self.stored.files(),
            missing=tuple(lost for reach in reaches for lost in reach.missing.values()),
            problems=self.faults.problems(),
        )

    # Apps ------------------------------------------------------------------------------------

    def reach_apps(self) -> list[Reach]:
        known = known_digests(self.history, self.cache)
        reaches = []
        texts = LayerTexts()
        plain = PlainLayers(self.stored, texts.layers)
        for tag in self.scan.tags:
            documents = read_documents(
                tag,
                self.stored,
                limits=self.limits,
                known_digests=known.get(tag.reference, ()),
                layer_texts=texts,
            )
            if documents.gone:
                continue
            reaches.append(Reach(documents, self.stored, self.faults, plain))
            self.report(documents)
        return reaches

    def report(self, documents: Documents) -> None:
        reference = documents.tag.reference
        for fault in documents.faults:
            self.faults.add(fault.path, fault.kind, fault.detail, fault.remedy, reference=reference)
        if documents.locked_app is not None:
            self.faults.sentences(
                documents.tag.locked_app_path,
                "fault in the locked app",
                documents.locked_app.faults,
                "Spin does not load the app; whoever published it must push it again",
                reference=reference,
            )

    def merge(self, reaches: Iterable[Reach]) -> Iterator[CachedApp]:
        """Make one app of each reference; a second folder for it only adds to what it needs."""
        by_reference: dict[str, list[Reach]] = {}
        for reach in reaches:
            by_reference.setdefault(reach.user, []).append(reach)
        for same in by_reference.values():
            if len(same) == 1:
                yield _app(same[0], same[0].needs())
                continue
            same.sort(key=lambda reach: not self.is_own_spelling(reach.documents.tag))
            uses: dict[tuple[Area, Digest], Use] = {}
            for reach in same:
                uses = {(use.area, use.digest): use for use in reach.needs()} | uses
            for reach in same[1:]:
                self.report_second_tag(reach.documents.tag, same[0].documents.tag)
            yield _app(same[0], tuple(sorted(uses.values(), key=by_name)))

    def report_second_tag(self, tag: CachedTag, chosen: CachedTag) -> None:
        self.faults.add(
            tag.path,
            "second copy",
            f"{self.faults.relative(chosen.path)} is the same app, and the one that is shown",
            "remove it; it came from another system",
            reference=tag.reference,
        )

    def is_own_spelling(self, tag: CachedTag) -> bool:
        """Whether a cached tag's folder is spelled as this system spells it."""
        parts = tag.path.relative_to(self.cache.path).parts
        registry = tag.registry.replace(":", "_") if self.cache.windows_names else tag.registry
        last = file_name(tag.digest, windows=self.cache.windows_names) if tag.digest else tag.tag
        return (parts[1], parts[-1]) == (registry, last)

    # Blobs -----------------------------------------------------------------------------------

    def judge_blobs(self, users: Sequence[CachedApp | Project]) -> InventoriedBlobs:
        """Say of each blob whether it is needed; only those that are odd are looked at one by one."""
        blobs = self.stored.blobs()
        needed = Needed(lambda: blobs_needed(user.uses for user in users))
        odd = sorted(blobs.odd, key=attrgetter("area", "name"))
        return InventoriedBlobs(blobs.plain, tuple(self.judge_odd(odd, users, needed)), needed)

    def judge_odd(
        self, blobs: Sequence[StoredBlob], users: Sequence[CachedApp | Project], needed: Needed
    ) -> Iterator[InventoriedBlob]:
        faulty = set(self.faults.scanned_paths())
        suspect = [
            one for one in blobs if not one.stored_bytes or (faulty and f"{one.area}/{one.name}" in faulty)
        ]
        names = apps_needing(suspect, users)
        for place, references in names.items():
            for reference in references:
                self.faults.blame("/".join(place), reference)
        for blob in blobs:
            digest = blob.digest
            if digest is None:
                if not self.stored.is_gone(blob):
                    self.report_odd(blob)
                    yield InventoriedBlob(blob, None, "temporary" if blob.form == "temporary" else "misnamed")
            elif not self.stored.is_found(blob):
                self.report_second(blob, digest)
                yield InventoriedBlob(blob, None, "misnamed")
            else:
                current = blob if blob.stored_bytes else self.check_empty(blob, names[blob.area, blob.name])
                if current is not None:
                    yield InventoriedBlob(current, digest, needed.standing(blob.area, str(digest)))

    def report_odd(self, blob: StoredBlob) -> None:
        if blob.name not in HARMLESS_NAMES:
            self.faults.add(f"{blob.area}/{blob.name}", *_ODD_NAMES[blob.form])

    def report_second(self, blob: StoredBlob, digest: Digest) -> None:
        self.faults.add(
            f"{blob.area}/{blob.name}",
            "second copy",
            f"{self.stored.path_of(blob.area, digest)} is the same blob, and the one that is used here",
            "remove it or prune; it came from another system",
        )

    def check_empty(self, blob: StoredBlob, users: Sequence[str]) -> StoredBlob | None:
        """Report an empty blob that should not be, once it is certain; None if it has vanished."""
        if blob.digest is None or blob.digest == Digest.of(b"", blob.digest.algorithm):
            return blob
        current = self.stored.look_again(blob)
        if current is not None and not current.stored_bytes:
            self.faults.empty(f"{blob.area}/{blob.name}", users=users)
        return current

    # What the walk found ---------------------------------------------------------------------

    def check_scanned(self, reaches: Iterable[Reach]) -> None:
        """Say whom the walk's problems concern, and drop those that have gone since."""
        if not self.scan.problems:
            return
        folders = {self.faults.relative(reach.documents.tag.path): reach.user for reach in reaches}
        for problem in self.scan.problems:
            if not _still_there(self.cache.path / problem.path, problem):
                self.faults.forget(problem.path)
            elif (reference := folders.get(problem.path.rpartition("/")[0])) is not None:
                self.faults.blame(problem.path, reference)


def known_digests(history: History, cache: Cache) -> dict[str, list[Digest]]:
    """Digests that manifests had when they were pulled, latest first, by reference."""
    return history.manifest_digests(cache.path)


def _app(reach: Reach, uses: Sequence[Use]) -> CachedApp:
    documents = reach.documents
    return CachedApp(
        tag=documents.tag,
        kind=documents.kind,
        manifest=documents.manifest,
        manifest_digest=documents.manifest_digest,
        locked_app=documents.locked_app,
        config_kind=documents.config_kind,
        layers=reach.layers(),
        uses=uses,
    )


def _still_there(path: Path, problem: Problem) -> bool:
    if "\\" in problem.path:  # a name that is shown with escapes cannot be looked up by what is shown
        return True
    try:
        path.lstat()
        return problem.kind != "empty tag folder" or not any(path.iterdir())
    except FileNotFoundError:
        return False
    except OSError:
        return True

"""Planning the removal of apps: their documents, and every blob that nobody else needs."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from spincache_nb.core.cache import Cache
from spincache_nb.core.digest import Digest
from spincache_nb.core.reference import Reference
from spincache_nb.core.scan import StoredBlob, scan_tags
from spincache_nb.errors import NotInCacheError
from spincache_nb.inventory import Inventory, unnamed_members
from spincache_nb.inventory.documents import locked_apps_beside
from spincache_nb.upkeep.execution import execute
from spincache_nb.upkeep.needs import (
    Needs,
    States,
    document_states,
    inventory_of,
    refuse_unless_cache,
    refuse_unless_known,
)
from spincache_nb.upkeep.plans import (
    KeptBlob,
    RemovalItem,
    RemovalPlan,
    blob_item,
    kept_blob,
    tag_items,
    users_text,
    with_freed_bytes,
)

References = str | Reference | Iterable[str | Reference]
Projects = Sequence[str | os.PathLike[str]]

_SHARED = "others need it"
_IN_AN_ARCHIVE = "a stored archive holds it, which Spin unpacks only once"


def plan_remove(
    cache: Cache, references: References, *, projects: Projects = (), even_if_unknown: bool = False
) -> RemovalPlan:
    """Say what removing apps would take, and which of their blobs stay because others need them.

    Parameters
    ----------
    cache
        The cache.
    references
        The apps, all at once: a blob that only two of them need goes with both.
    projects
        ``spin.toml`` files or folders of projects that use this cache too, or a container's ``spin.json``.
    even_if_unknown
        Whether to go on where an app that stays has two empty documents, so that nobody knows what it needs.

    Returns
    -------
    RemovalPlan
        Its ``freed_bytes`` are exactly what goes; ``kept`` names each blob that stays, and for whom. A
        blob stays, too, if an archive of another app holds it without that app naming it.
        Nothing is touched before ``execute()``.

    Raises
    ------
    InvalidReferenceError
        If a text is no reference.
    NotInCacheError
        If the cache has no such app.
    NotACacheError
        If the directory is not a Spin registry cache.
    CacheError
        If a cached app or a project cannot be read, so that it is not known what it needs.
    SpinManifestError
        If there is no project at one of the paths given.

    Notes
    -----
    This goes beyond what Spin promises. Its documentation describes the cache for diagnosis only, and
    names one safe operation: deleting the whole ``registry`` directory (`plan_clear`). Removing single
    apps works with the layout of Spin v0.8 to v4.0, and an app that is removed is simply pulled again.
    """
    ground = survey(cache, projects)
    inventory = ground.inventory
    chosen = resolve(inventory, references)
    refuse_unless_known(inventory, leaving=chosen, even_if_unknown=even_if_unknown)
    tags = [tag for tag in scan_tags(cache.path) if tag.reference in chosen]
    blobs, kept = exclusive_blobs(inventory, chosen)
    items = [*tag_items(cache.path, tags, "the app is to be removed"), *blobs]
    return RemovalPlan(
        cache=cache,
        kind="remove",
        items=with_freed_bytes(items, inventory.files),
        kept=tuple(kept),
        references=tuple(chosen),
        projects=ground.projects,
        even_if_unknown=even_if_unknown,
        documents=ground.documents,
        carry_out=execute,
    )


@dataclass(frozen=True, slots=True)
class Ground:
    """What a removal is planned from."""

    inventory: Inventory
    documents: States
    projects: tuple[str, ...]


def survey(cache: Cache, projects: Projects) -> Ground:
    """Look at a cache from which something is to be removed; refuses what is none."""
    refuse_unless_cache(cache.path)
    names = [os.fspath(project) for project in projects]
    if not scan_tags(cache.path):
        names += [one for one in locked_apps_beside(cache.path) if one not in names]
    documents = document_states(cache, names)  # before the inventory, so that a later change is noticed
    return Ground(inventory_of(cache, names), documents, tuple(names))


def resolve(inventory: Inventory, references: References) -> list[str]:
    """Find cached apps by reference, short forms included; each once, in the order given."""
    given = [references] if isinstance(references, str | Reference) else references
    known = {app.reference for app in inventory.apps}
    return list(dict.fromkeys(_resolve_one(reference, known) for reference in given))


def _resolve_one(reference: str | Reference, known: Collection[str]) -> str:
    text = str(reference)
    if text in known:
        return text
    name = Reference.parse(reference).cached_name
    if name not in known:
        raise NotInCacheError(name, "an app in the cache", "none of that name", "see frames.apps(cache)")
    return name


def exclusive_blobs(
    inventory: Inventory, chosen: Collection[str]
) -> tuple[list[RemovalItem], list[KeptBlob]]:
    """Split the blobs of some apps into those that nobody else needs, and those that stay."""
    root = inventory.cache.path
    needs = Needs(inventory)
    names = frozenset(chosen)
    kept: list[KeptBlob] = []
    exclusive: list[tuple[StoredBlob, tuple[str, ...]]] = []
    for row in inventory.blobs:
        users = needs.users_of(row.blob.area, row.digest)
        if names.isdisjoint(users):
            continue
        others = [user for user in users if user not in names]
        if others:
            kept.append(kept_blob(row.blob, others, _SHARED))
        else:
            exclusive.append((row.blob, users))
    wanted = {blob.digest for blob, _ in exclusive if blob.area == "data" and blob.digest is not None}
    members: dict[Digest | None, str] = {}
    for user, digest in unnamed_members(inventory, wanted=wanted):
        if user not in names:
            members.setdefault(digest, user)
    items: list[RemovalItem] = []
    for blob, users in exclusive:
        item = blob_item(root, blob, f"only needed by {users_text(users)}")
        if blob.area == "data" and blob.digest in members:
            kept.append(kept_blob(blob, [members[blob.digest]], _IN_AN_ARCHIVE))
        elif item is None:
            kept.append(kept_blob(blob, (), "it was written or touched just now"))
        else:
            items.append(item)
    return items, kept

"""What hashing tells of a cache, as rows: each fault once, and what is no fault at all left out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from spincache_nb.core.digest import Digest
from spincache_nb.core.scan import Problem
from spincache_nb.errors import SpinCacheError
from spincache_nb.inventory import CachedApp, Inventory
from spincache_nb.upkeep.binaries import is_interface, is_whole_binary
from spincache_nb.upkeep.hashing import Hashed

MISNAMED = "content of another digest"
BEING_WRITTEN = "file being written"

_REPAIR = "repair it: sc.repair(cache), or `spincache-nb repair`"


@dataclass(frozen=True, slots=True)
class _Users:
    """Who needs a file: apps; projects whose ``spin.toml`` names it, or only their environment lock."""

    apps: list[str] = field(default_factory=list)
    projects: list[str] = field(default_factory=list)
    locks: list[str] = field(default_factory=list)


def judge(inventory: Inventory, wrong: Iterable[Hashed], changing: Iterable[Hashed]) -> tuple[Problem, ...]:
    """Add what hashing tells to what the inventory knows, one row for each fault."""
    wrong = list(wrong)
    users = _users_of(inventory, wrong)
    rows = list(inventory.problems)
    known = {row.path for row in rows if row.kind in ("damaged blob", "unreadable file")}
    for one in wrong:
        path = f"{one.blob.area}/{one.blob.name}"
        if path in known:
            continue
        rows = [row for row in rows if row.path != path or row.kind != "damaged archive"]
        found = users.get((one.blob.area, one.blob.digest), _Users())
        if not is_named_by_manifest(one, inventory, needed=bool(found.apps)):
            rows.append(_row(one, path, found))
    rows += (_changing_row(one) for one in changing)
    return tuple(sorted(rows, key=lambda row: (row.path, row.kind, row.detail)))


def _users_of(inventory: Inventory, wrong: Sequence[Hashed]) -> dict[tuple[str, Digest | None], _Users]:
    users: dict[tuple[str, Digest | None], _Users] = {
        (one.blob.area, one.blob.digest): _Users() for one in wrong if one.blob.digest is not None
    }
    apps = {app.reference for app in inventory.apps}
    for use in inventory.uses() if users else ():
        if (use.area, use.digest) in users:
            found = users[use.area, use.digest]
            if use.user in apps:
                found.apps.append(use.user)
            else:
                (found.locks if use.via == "environment lock" else found.projects).append(use.user)
    return users


def is_named_by_manifest(one: Hashed, inventory: Inventory, *, needed: bool) -> bool:
    """Whether a file is known to be called by its manifest's digest instead of its own."""
    if needed or one.digest is None or one.blob.area != "wasm" or one.blob.digest is None:
        return False
    locks = (project.lock.environments for project in inventory.projects if project.lock is not None)
    locked = any(lock.digest == one.blob.digest and lock.named_by_manifest for each in locks for lock in each)
    if locked:
        return is_whole_binary(one.blob.path)
    return any(
        app.manifest is not None
        and app.manifest.layers
        and app.manifest.layers[0].digest == one.digest
        and _is_manifest(app, one.blob.digest)
        for app in inventory.apps
    )


def _is_manifest(app: CachedApp, digest: Digest) -> bool:
    """Whether the stored manifest of an app hashes to a digest."""
    try:
        return Digest.of(app.tag.read_manifest(), digest.algorithm) == digest
    except SpinCacheError:
        return False


def _row(one: Hashed, path: str, users: _Users) -> Problem:
    if one.digest is None:
        detail = f"the system says: {one.error}"
        row = Problem(path, "unreadable file", detail, "check its permissions and the disk")
    elif not (users.apps or users.projects or users.locks) and _may_be_interface(one):
        return Problem(
            path,
            MISNAMED,
            f"its bytes are a whole component without code, {one.digest}: maybe the WIT of a target "
            "environment, which Spin stores under its manifest's digest; the environment lock of a project "
            "would tell",
            "leave it, or prune it: Spin fetches it again",
        )
    else:
        row = Problem(path, "damaged blob", _damage(one), _remedy(users))
    if not users.apps:
        return row
    others = len(users.apps) - 1
    also = f"; it concerns {others} more {'app' if others == 1 else 'apps'}" if others else ""
    return replace(row, reference=users.apps[0], detail=row.detail + also)


def _may_be_interface(one: Hashed) -> bool:
    """Whether it may be the WIT of a target environment; names of old Spins are digests of the content."""
    return one.blob.area == "wasm" and one.blob.digest is not None and is_interface(one.blob.path)


def _damage(one: Hashed) -> str:
    if not one.size:
        return "it is empty, and its name is the digest of something"
    found = f"its {one.size} bytes hash to {one.digest}"
    return f"{found}: they are altered or truncated, and Spin uses them all the same"


def _remedy(users: _Users) -> str:
    if users.apps:
        return _REPAIR
    if users.projects:
        name = users.projects[0]
        return f"repair it: sc.repair(cache, projects=[{name!r}]), or `spincache-nb repair --project {name}`"
    if users.locks:
        return f"remove it, then build {users.locks[0]} again: Spin fetches it"
    return "prune it, or remove it; if a project uses it, Spin fetches it again"


def _changing_row(one: Hashed) -> Problem:
    return Problem(
        f"{one.blob.area}/{one.blob.name}",
        BEING_WRITTEN,
        "it changed each time it was read: somebody is writing it",
        "check again when nothing is being pulled",
    )

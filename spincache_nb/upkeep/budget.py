"""Which apps go so that a cache fits a size: the least recently pulled first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from spincache_nb.core.digest import Digest
from spincache_nb.core.files import file_state
from spincache_nb.inventory import CachedApp, Inventory, unnamed_members
from spincache_nb.show import size_text
from spincache_nb.upkeep.needs import Needs


@dataclass(frozen=True, slots=True)
class Budget:
    """How much may stay."""

    keep_bytes: int | None = None
    keep_newest: int | None = None

    def __post_init__(self) -> None:
        for name in ("keep_bytes", "keep_newest"):
            value = getattr(self, name)
            if value is not None and value < 0:
                raise ValueError(f"{name} must not be negative, got {value!r}")


def choose_apps(
    inventory: Inventory, budget: Budget, *, freed_bytes: int, is_young: Callable[[int], bool]
) -> tuple[list[str], list[str]]:
    """Choose apps to remove."""
    if budget.keep_bytes is None and budget.keep_newest is None:
        return [], []
    stored = sum(file.stored_bytes for file in inventory.files) - freed_bytes
    account = _Account(inventory, is_young)
    newest_first = sorted(inventory.apps, key=lambda app: (-pulled_ns(app), app.reference))
    protected = newest_first[: budget.keep_newest or 0]
    chosen: list[str] = []
    for app in reversed(newest_first[len(protected) :]):
        if budget.keep_bytes is not None and stored <= budget.keep_bytes:
            break
        if is_young(pulled_ns(app)):
            continue
        stored -= account.remove(app)
        chosen.append(app.reference)
    return chosen, _notes(budget, stored)


def pulled_ns(app: CachedApp) -> int:
    """When an app was last pulled, as far as its files tell (nanoseconds since 1970)."""
    times = [state.modified_ns for path in _documents(app) if (state := file_state(path)) is not None]
    return app.tag.modified_ns if app.tag.modified_ns is not None else max(times, default=0)


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
            users = set(needs.users_of(stored.area, blob.digest)) if blob.digest is not None else set()
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
        states = [file_state(path) for path in _documents(app)]
        freed = sum(state.size for state in states if state is not None)
        for blob in self.waiting.get(app.reference, []):
            self.users[blob] -= 1
            if not self.users[blob]:
                freed += self.sizes[blob]
        return freed


def _documents(app: CachedApp) -> tuple[Path, Path]:
    return (app.tag.manifest_path, app.tag.locked_app_path)


def _notes(budget: Budget, stored: int) -> list[str]:
    if budget.keep_bytes is None or stored <= budget.keep_bytes:
        return []
    over = size_text(stored - budget.keep_bytes)
    return [
        f"The budget is not kept: {over} more than keep_bytes stay, as the apps that need them are among the "
        "newest, or were pulled within the grace period."
    ]

"""Verifying a cache: everything stored is hashed, and what is wrong becomes rows, one for each fault."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from spincache_nb.core.cache import Cache
from spincache_nb.core.digest import Digest
from spincache_nb.core.documents import Area
from spincache_nb.core.files import FileState, open_regular, read_bounded
from spincache_nb.core.journal import History
from spincache_nb.core.layout import MANIFESTS
from spincache_nb.core.progress import Progress, ProgressEvent, Reporter
from spincache_nb.core.scan import Problem, StoredBlob
from spincache_nb.errors import CacheError, NotInCacheError, PullCancelled, SpinCacheError
from spincache_nb.inventory import Inventory, Via, take_inventory
from spincache_nb.inventory.columns import AREAS_IN_ORDER, VIAS
from spincache_nb.show import count_text

if TYPE_CHECKING:
    from spincache_nb.wasm.walker import Walk

_MISNAMED = "content of another digest"
_BEING_WRITTEN = "file being written"
_HARMLESS = frozenset(
    {
        _MISNAMED,
        _BEING_WRITTEN,
        "cut archive",
        "temporary file",
        "empty tag folder",
        "foreign",
        "link",
        "misnamed file",
        "misplaced manifest",
        "name of an old Spin",
        "second copy",
        "system file",
        "not a file",
    }
)
_REPAIR = "repair it: sc.repair(cache), or `spincache-nb repair`"
_ROUNDS = 4
_PAUSE_SECONDS = 0.25
_FRESH_SECONDS = 10.0
_READ_BYTES = 256 << 10  # from 64 KiB to 4 MiB the cost is the same: hashing is nearly all of it
_TOLD_BYTES = 4 << 20
_INTERFACE_BYTES = 64 << 20  # WIT packages have some KiB

Place = tuple[Area, Digest]
"""Where a blob is stored, or would be."""


class Hashed(NamedTuple):
    """What a file turned out to be; without a digest, and with the system's words, if it cannot be read."""

    blob: StoredBlob
    digest: Digest | None
    size: int
    state: FileState | None
    error: str = ""

    @property
    def path(self) -> str:
        """Where it is, as problems name it."""
        return f"{self.blob.area}/{self.blob.name}"

    @property
    def place(self) -> Place | None:
        """Its area and the digest that is its name, if it has one."""
        return (self.blob.area, self.blob.digest) if self.blob.digest is not None else None

    @property
    def is_right(self) -> bool:
        """Whether its bytes are the ones its name promises."""
        return self.digest is not None and self.digest == promised(self.blob)


class Health(NamedTuple):
    """What a check found."""

    inventory: Inventory
    wrong: tuple[Hashed, ...]
    problems: tuple[Problem, ...]


def is_damage(kind: str, reference: str | None = None) -> bool:
    """Whether a problem means that stored content is damaged or lacking."""
    return kind not in _HARMLESS or (kind in ("link", "not a file") and reference is not None)


def promised(blob: StoredBlob) -> Digest | None:
    """The digest that a file's name promises; a bare name of an old Spin is a SHA-256 digest, too."""
    return Digest("sha256", blob.name) if blob.form == "bare hex" else blob.digest


def check_cache(cache: Cache, **options: Any) -> tuple[Problem, ...]:
    """Hash everything that is stored, and list what is wrong; options as for `examine`."""
    return examine(cache, **options).problems


def examine(
    cache: Cache,
    *,
    jobs: int | None = None,
    progress: Progress = None,
    cancel: threading.Event | None = None,
    projects: Sequence[str | os.PathLike[str]] = (),
    history: History | None = None,
    only: Collection[str] | None = None,
) -> Health:
    """Hash everything that is stored, or only some paths in the cache, and find what is wrong."""
    inventory = _settled(cache, lambda: take_inventory(cache, projects=projects, history=history), cancel)
    stored = map(inventory.blobs.blob, range(len(inventory.blobs)))
    blobs = [
        blob
        for blob in stored
        if promised(blob) is not None and (only is None or f"{blob.area}/{blob.name}" in only)
    ]
    reporter = Reporter(progress, what="verify")
    try:
        reporter(ProgressEvent("plan", total=sum(blob.stored_bytes for blob in blobs)))
        wrong, changing = _wrong(blobs, jobs, reporter, cancel)
    finally:
        reporter.close()
    return Health(inventory, tuple(wrong), _judged(inventory, wrong, changing))


# Hashing ---------------------------------------------------------------------------------------


def _wrong(
    blobs: Iterable[StoredBlob], jobs: int | None, report: Reporter, cancel: threading.Event | None
) -> tuple[list[Hashed], list[Hashed]]:
    """Files that are wrong whenever they are read, and files that keep changing."""
    suspects = [one for one in hash_blobs(blobs, jobs, report, cancel) if not one.is_right]
    wrong: list[Hashed] = []
    for _ in range(_ROUNDS):
        if not suspects:
            break
        if any(one.state is None or _is_fresh(one.state.modified_ns) for one in suspects):
            _pause(cancel)
        before = {one.blob.location: one for one in suspects}
        again = hash_blobs((one.blob for one in suspects), jobs, Reporter(None, what="verify"), cancel)
        suspects = []
        for one in (one for one in again if not one.is_right):
            is_same = one == before[one.blob.location] and FileState.at(one.blob.location) == one.state
            (wrong if is_same else suspects).append(one)
    return sorted(wrong, key=lambda one: one.path), suspects


def hash_blobs(
    blobs: Iterable[StoredBlob], jobs: int | None, report: Reporter, cancel: threading.Event | None
) -> list[Hashed]:
    """Hash files by threads, since hashing lets go of the interpreter; those that are gone are left out."""
    waiting = deque(sorted(blobs, key=lambda blob: -blob.stored_bytes))
    count = min(jobs if jobs is not None else os.cpu_count() or 1, len(waiting))
    if not count:
        return []
    stop = threading.Event()

    def work() -> list[Hashed]:
        buffer = memoryview(bytearray(_READ_BYTES))
        found: list[Hashed] = []
        while True:
            try:
                blob = waiting.popleft()
            except IndexError:
                return found
            hashed = _hash(blob, buffer, report, (stop, cancel or stop))
            if hashed is not None:
                found.append(hashed)

    with ThreadPoolExecutor(count, thread_name_prefix="spincache-verify") as pool:
        try:
            workers = [pool.submit(work) for _ in range(count)]
            return [hashed for worker in workers for hashed in worker.result()]
        except BaseException:
            stop.set()
            raise


def _hash(
    blob: StoredBlob, buffer: memoryview, report: Reporter, stops: tuple[threading.Event, ...]
) -> Hashed | None:
    expected = promised(blob)
    assert expected is not None
    hasher = expected.hasher()
    size = told = 0

    def tell(count: int) -> None:
        report(ProgressEvent("bytes", digest=str(expected), count=count, total=blob.stored_bytes))

    try:
        with open_regular(blob.location) as stream:
            state = FileState.of(os.fstat(stream.fileno()))
            while count := stream.readinto(buffer):  # type: ignore[attr-defined]  # it is a raw stream
                if any(stop.is_set() for stop in stops):
                    raise PullCancelled("verify", "", "", "stopped; nothing was changed")
                hasher.update(buffer[:count])
                size += count
                if size - told >= _TOLD_BYTES:
                    tell(size - told)
                    told = size
    except NotInCacheError:
        return None
    except (CacheError, OSError) as exc:
        reason = exc.found if isinstance(exc, CacheError) else exc.strerror or str(exc)
        return Hashed(blob, None, 0, FileState.at(blob.location), reason)
    tell(size - told)
    return Hashed(blob, Digest(expected.algorithm, hasher.hexdigest()), size, state)


# Live writers ----------------------------------------------------------------------------------


def _settled(cache: Cache, take: Callable[[], Inventory], cancel: threading.Event | None) -> Inventory:
    """Take an inventory, and again as long as a tag that was just written seems damaged."""
    inventory = take()
    for _ in range(_ROUNDS):
        before = [row for row in inventory.problems if is_damage(row.kind) and _is_new_tag(cache, row)]
        if not before:
            break
        _pause(cancel)
        inventory = take()
        if set(before) <= set(inventory.problems):
            break
    return inventory


def _is_new_tag(cache: Cache, row: Problem) -> bool:
    if not row.path.startswith(f"{MANIFESTS}/"):
        return False
    state = FileState.at((cache.path / row.path).parent)
    return state is not None and _is_fresh(state.modified_ns)


def _is_fresh(modified_ns: int) -> bool:
    return time.time() - modified_ns / 1e9 < _FRESH_SECONDS


def _pause(cancel: threading.Event | None) -> None:
    """Give somebody who is just writing a moment."""
    if cancel is None:
        time.sleep(_PAUSE_SECONDS)
    elif cancel.wait(_PAUSE_SECONDS):
        raise PullCancelled("verify", "", "", "stopped; nothing was changed")


# Rows ------------------------------------------------------------------------------------------


def users_of(inventory: Inventory, places: Collection[Place]) -> Iterator[tuple[Place, str, Via]]:
    """Say who needs some stored blobs, and why; of all other uses no value is made."""
    blobs, uses, names = inventory.blobs, inventory.contents.uses, inventory.contents.users
    wanted = {(AREAS_IN_ORDER.index(area), str(digest)): (area, digest) for area, digest in places}
    keys = enumerate(zip(blobs.areas.tolist(), blobs.digests, strict=True)) if wanted else ()
    rows = {row: wanted[area, text] for row, (area, text) in keys if text and (area, text) in wanted}
    columns = (uses.users.tolist(), uses.blobs.tolist(), uses.vias.tolist()) if rows else ((), (), ())
    for user, row, via in zip(*columns, strict=True):
        if row in rows:
            yield rows[row], names[user], VIAS[via]


_Users = dict[str, list[str]]
"""Who needs a file: apps, projects whose ``spin.toml`` names it, projects of which only the lock does."""


def _judged(inventory: Inventory, wrong: Sequence[Hashed], changing: Iterable[Hashed]) -> tuple[Problem, ...]:
    """Add what hashing tells to what the inventory knows, one row for each fault."""
    users: dict[Place | None, _Users] = {}
    apps = {app.reference for app in inventory.apps}
    for place, user, via in users_of(inventory, [one.place for one in wrong if one.place is not None]):
        kind = "app" if user in apps else "lock" if via == "environment lock" else "project"
        users.setdefault(place, {}).setdefault(kind, []).append(user)
    other_names = _named_by_manifests(
        inventory, [one for one in wrong if "app" not in users.get(one.place, ())]
    )
    known = {row.path for row in inventory.problems if row.kind in ("damaged blob", "unreadable file")}
    told = {one.path: _row(one, users.get(one.place, {})) for one in wrong if one.path not in known}
    rows = [row for row in inventory.problems if row.path not in told or row.kind != "damaged archive"]
    rows += [row for path, row in told.items() if path not in other_names]
    for one in changing:
        detail = "it changed each time it was read: somebody is writing it"
        rows.append(Problem(one.path, _BEING_WRITTEN, detail, "check again when nothing is being pulled"))
    return tuple(sorted(rows, key=lambda row: (row.path, row.kind, row.detail)))


def _row(one: Hashed, users: _Users) -> Problem:
    apps = users.get("app", [])
    reference = apps[0] if apps else None
    also = f"; it concerns {count_text(len(apps) - 1, 'more app')}" if len(apps) > 1 else ""
    if one.digest is None:
        detail = f"the system says: {one.error}{also}"
        return Problem(one.path, "unreadable file", detail, "check its permissions and the disk", reference)
    if not users and one.place is not None and one.blob.area == "wasm" and is_interface(one.blob.path):
        return Problem(
            one.path,
            _MISNAMED,
            f"its bytes are a whole component without code, {one.digest}: maybe the WIT of a target "
            "environment, which Spin stores under its manifest's digest; the environment lock of a project "
            "would tell",
            "leave it, or prune it: Spin fetches it again",
        )
    detail = f"its {one.size} bytes hash to {one.digest}: they are altered or truncated, "
    detail += "and Spin uses them all the same"
    if not one.size:
        detail = "it is empty, and its name is the digest of something"
    return Problem(one.path, "damaged blob", detail + also, _remedy(users), reference)


def _remedy(users: _Users) -> str:
    if "app" in users:
        return _REPAIR
    if "project" in users:
        name = users["project"][0]
        return f"repair it: sc.repair(cache, projects=[{name!r}]), or `spincache-nb repair --project {name}`"
    if "lock" in users:
        return f"remove it, then build {users['lock'][0]} again: Spin fetches it"
    return "prune it, or remove it; if a project uses it, Spin fetches it again"


def _named_by_manifests(inventory: Inventory, unneeded: Iterable[Hashed]) -> set[str]:
    """Paths of files that are called by the digest of their manifest instead of their own.

    An environment lock says so, or a cached manifest of that digest, whose first layer is the content. Each
    manifest is read at most once.
    """
    named: dict[tuple[Digest, Digest], list[Hashed]] = {}
    for one in unneeded:
        if one.blob.digest is not None and one.digest is not None and one.blob.area == "wasm":
            named.setdefault((one.blob.digest, one.digest), []).append(one)
    if not named:
        return set()
    locks = [project.lock.environments for project in inventory.projects if project.lock is not None]
    locked = {one.digest for lock in locks for one in lock if one.named_by_manifest}
    found = {
        one.path
        for (name, _), those in named.items()
        for one in those
        if name in locked and is_whole_binary(one.blob.path)
    }
    contents = {content for _, content in named}
    algorithms = {name.algorithm for name, _ in named}
    layers, texts = inventory.contents.layers, inventory.contents.digests
    for app in inventory.apps:
        first = texts[layers.digests[layers.starts[app.number]]] if app.layer_count else ""
        content = Digest.parse(first) if first else None
        if content not in contents:
            continue
        with contextlib.suppress(SpinCacheError):
            manifest = app.tag.read_manifest()
            names = (Digest.of(manifest, algorithm) for algorithm in algorithms)
            found |= {one.path for name in names for one in named.get((name, content), ())}
    return found


def is_whole_binary(path: Path) -> bool:
    """Whether a file is a WebAssembly module or component whose sections fill it to the last byte."""
    return _walked(path) is not None


def is_interface(path: Path) -> bool:
    """Whether a file is a whole component without any code, which is what WIT packages are encoded as."""
    walked = _walked(path)
    if walked is None or walked.binaries[0].layer != "component":
        return False
    return not any(section.kind == "code" for section in walked.sections)


def _walked(path: Path) -> Walk | None:
    from spincache_nb.wasm.walker import walk

    try:
        return walk(read_bounded(path, limit=_INTERFACE_BYTES))
    except SpinCacheError:
        return None

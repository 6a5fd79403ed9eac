"""Verifying a cache: everything stored is hashed, and what is wrong becomes rows, one for each fault."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from spincache_nb.core.cache import Cache
from spincache_nb.core.digest import Digest
from spincache_nb.core.files import FileState, open_regular
from spincache_nb.core.journal import History
from spincache_nb.core.layout import MANIFESTS
from spincache_nb.core.progress import Progress, ProgressEvent, Reporter
from spincache_nb.core.scan import Problem, StoredBlob
from spincache_nb.errors import CacheError, NotInCacheError, PullCancelled, SpinCacheError
from spincache_nb.inventory import CachedApp, Inventory, take_inventory

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

_Told = Callable[[StoredBlob, int], object]


@dataclass(frozen=True, slots=True)
class Hashed:
    """What a file turned out to be; without a digest, and with the system's words, if it cannot be read."""

    blob: StoredBlob
    digest: Digest | None
    size: int
    state: FileState | None
    error: str = ""

    @property
    def is_right(self) -> bool:
        """Whether its bytes are the ones its name promises."""
        return self.digest is not None and self.digest == promised(self.blob)


@dataclass(frozen=True, slots=True)
class Health:
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
    only: Collection[tuple[str, str]] | None = None,
) -> Health:
    """Hash everything that is stored, or `only` files of some areas and names, and find what is wrong."""
    inventory = _settled(cache, lambda: take_inventory(cache, projects=projects, history=history), cancel)
    blobs = [
        entry.blob
        for entry in inventory.blobs
        if promised(entry.blob) is not None and (only is None or (entry.blob.area, entry.blob.name) in only)
    ]
    reporter = Reporter(progress, what="verify")
    try:
        reporter(ProgressEvent("plan", total=sum(blob.stored_bytes for blob in blobs)))
        wrong, changing = _wrong(blobs, jobs, _teller(reporter) if progress else _silent, cancel)
    finally:
        reporter.close()
    return Health(inventory, tuple(wrong), _judged(inventory, wrong, changing))


# Hashing ---------------------------------------------------------------------------------------


def _wrong(
    blobs: Iterable[StoredBlob], jobs: int | None, told: _Told, cancel: threading.Event | None
) -> tuple[list[Hashed], list[Hashed]]:
    """Files that are wrong whenever they are read, and files that keep changing."""
    suspects = [one for one in hash_blobs(blobs, jobs, told, cancel) if not one.is_right]
    wrong: list[Hashed] = []
    for _ in range(_ROUNDS):
        if not suspects:
            break
        if any(one.state is None or _is_fresh(one.state.modified_ns) for one in suspects):
            _pause(cancel)
        before = {one.blob.location: one for one in suspects}
        again = hash_blobs((one.blob for one in suspects), jobs, _silent, cancel)
        suspects = []
        for one in (one for one in again if not one.is_right):
            is_same = one == before[one.blob.location] and FileState.at(one.blob.location) == one.state
            (wrong if is_same else suspects).append(one)
    return sorted(wrong, key=lambda one: (one.blob.area, one.blob.name)), suspects


def hash_blobs(
    blobs: Iterable[StoredBlob], jobs: int | None, told: _Told, cancel: threading.Event | None
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
            hashed = _hash(blob, buffer, told, (stop, cancel or stop))
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
    blob: StoredBlob, buffer: memoryview, told: _Told, stops: tuple[threading.Event, ...]
) -> Hashed | None:
    expected = promised(blob)
    assert expected is not None
    hasher = expected.hasher()
    size = untold = 0
    try:
        with open_regular(blob.location) as stream:
            state = FileState.of(os.fstat(stream.fileno()))
            while count := stream.readinto(buffer):  # type: ignore[attr-defined]  # it is a raw stream
                if any(stop.is_set() for stop in stops):
                    raise PullCancelled("verify", "", "", "stopped; nothing was changed")
                hasher.update(buffer[:count])
                size += count
                untold += count
                if untold >= _TOLD_BYTES:
                    told(blob, untold)
                    untold = 0
    except NotInCacheError:
        return None
    except (CacheError, OSError) as exc:
        reason = exc.found if isinstance(exc, CacheError) else exc.strerror or str(exc)
        return Hashed(blob, None, 0, FileState.at(blob.location), reason)
    told(blob, untold)
    return Hashed(blob, Digest(expected.algorithm, hasher.hexdigest()), size, state)


def _teller(report: Reporter) -> _Told:
    """Report bytes as they are hashed."""

    def told(blob: StoredBlob, count: int) -> None:
        digest = str(promised(blob) or "")
        report(ProgressEvent("bytes", digest=digest, count=count, total=blob.stored_bytes))

    return told


def _silent(blob: StoredBlob, count: int) -> None:
    del blob, count


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


@dataclass(frozen=True, slots=True)
class _Users:
    """Who needs a file: apps; projects whose ``spin.toml`` names it, or only their environment lock."""

    apps: list[str] = field(default_factory=list)
    projects: list[str] = field(default_factory=list)
    locks: list[str] = field(default_factory=list)

    @property
    def remedy(self) -> str:
        if self.apps:
            return _REPAIR
        if self.projects:
            name = self.projects[0]
            return (
                f"repair it: sc.repair(cache, projects=[{name!r}]), or `spincache-nb repair --project {name}`"
            )
        if self.locks:
            return f"remove it, then build {self.locks[0]} again: Spin fetches it"
        return "prune it, or remove it; if a project uses it, Spin fetches it again"


def _judged(inventory: Inventory, wrong: Sequence[Hashed], changing: Iterable[Hashed]) -> tuple[Problem, ...]:
    """Add what hashing tells to what the inventory knows, one row for each fault."""
    users = _users_of(inventory, wrong)
    rows = list(inventory.problems)
    known = {row.path for row in rows if row.kind in ("damaged blob", "unreadable file")}
    for one in wrong:
        path = f"{one.blob.area}/{one.blob.name}"
        if path in known:
            continue
        rows = [row for row in rows if row.path != path or row.kind != "damaged archive"]
        found = users.get((one.blob.area, one.blob.digest), _Users())
        if not _is_named_by_manifest(one, inventory, needed=bool(found.apps)):
            rows.append(_row(one, path, found))
    for one in changing:
        detail = "it changed each time it was read: somebody is writing it"
        remedy = "check again when nothing is being pulled"
        rows.append(Problem(f"{one.blob.area}/{one.blob.name}", _BEING_WRITTEN, detail, remedy))
    return tuple(sorted(rows, key=lambda row: (row.path, row.kind, row.detail)))


def _users_of(inventory: Inventory, wrong: Sequence[Hashed]) -> dict[tuple[str, Digest | None], _Users]:
    users: dict[tuple[str, Digest | None], _Users] = {
        (one.blob.area, one.blob.digest): _Users() for one in wrong if one.blob.digest is not None
    }
    apps = {app.reference for app in inventory.apps}
    for use in inventory.uses() if users else ():
        found = users.get((use.area, use.digest))
        if found is not None:
            of_project = found.locks if use.via == "environment lock" else found.projects
            (found.apps if use.user in apps else of_project).append(use.user)
    return users


def _row(one: Hashed, path: str, users: _Users) -> Problem:
    if one.digest is None:
        detail = f"the system says: {one.error}"
        row = Problem(path, "unreadable file", detail, "check its permissions and the disk")
    elif users == _Users() and _may_be_interface(one):
        return Problem(
            path,
            _MISNAMED,
            f"its bytes are a whole component without code, {one.digest}: maybe the WIT of a target "
            "environment, which Spin stores under its manifest's digest; the environment lock of a project "
            "would tell",
            "leave it, or prune it: Spin fetches it again",
        )
    else:
        detail = f"its {one.size} bytes hash to {one.digest}: they are altered or truncated, "
        detail += "and Spin uses them all the same"
        if not one.size:
            detail = "it is empty, and its name is the digest of something"
        row = Problem(path, "damaged blob", detail, users.remedy)
    if not users.apps:
        return row
    others = len(users.apps) - 1
    also = f"; it concerns {others} more {'app' if others == 1 else 'apps'}" if others else ""
    return replace(row, reference=users.apps[0], detail=row.detail + also)


def _is_named_by_manifest(one: Hashed, inventory: Inventory, *, needed: bool) -> bool:
    """Whether a file is known to be called by its manifest's digest instead of its own."""
    if needed or one.digest is None or one.blob.area != "wasm" or one.blob.digest is None:
        return False
    locks = (project.lock.environments for project in inventory.projects if project.lock is not None)
    if any(lock.digest == one.blob.digest and lock.named_by_manifest for each in locks for lock in each):
        return is_whole_binary(one.blob.path)
    for app in inventory.apps:
        layers = app.manifest.layers if app.manifest is not None else ()
        if layers and layers[0].digest == one.digest and _is_manifest(app, one.blob.digest):
            return True
    return False


def _is_manifest(app: CachedApp, digest: Digest) -> bool:
    """Whether the stored manifest of an app hashes to a digest."""
    try:
        return digest.matches(app.tag.read_manifest())
    except SpinCacheError:
        return False


def _may_be_interface(one: Hashed) -> bool:
    """Whether it may be the WIT of a target environment; names of old Spins are digests of the content."""
    return one.blob.area == "wasm" and one.blob.digest is not None and is_interface(one.blob.path)


# Binaries: whole or not, by the lengths of their sections alone ----------------------------------

_MODULE, _COMPONENT = b"\0asm\x01\x00\x00\x00", b"\0asm\x0d\x00\x01\x00"
_LAST_SECTION = {_MODULE: 13, _COMPONENT: 12}
"""Highest section id of a core module, and of a component."""
_CODE = 10
"""Id of the section of a core module that holds its functions' bodies."""
_NESTED = (1, 4)
"""Ids of the sections of a component that are core modules and components themselves."""
_HEADER_BYTES = 8
_LONGEST_SIZE = 5


class _BrokenError(Exception):
    """It is no binary, or not a whole one."""


class _Section(NamedTuple):
    """A section: what it is a section of (the header), its id, and where its content is."""

    header: bytes
    id: int
    start: int
    end: int


def is_whole_binary(path: Path) -> bool:
    """Whether a file is a WebAssembly module or component whose sections fill it to the last byte."""
    try:
        with open_regular(path) as stream:
            for _ in _sections(stream, 0, stream.seek(0, 2)):
                pass
    except (SpinCacheError, OSError, _BrokenError):
        return False
    return True


def is_interface(path: Path) -> bool:
    """Whether a file is a whole component without any code, which is what WIT packages are encoded as."""
    try:
        with open_regular(path) as stream:
            waiting = [(0, stream.seek(0, 2))]
            while waiting:
                for section in _sections(stream, *waiting.pop()):
                    if section.header == _MODULE and section.id == _CODE:
                        return False
                    if section.header == _COMPONENT and section.id in _NESTED:
                        waiting.append((section.start, section.end))
            stream.seek(0)
            return stream.read(_HEADER_BYTES) == _COMPONENT
    except (SpinCacheError, OSError, _BrokenError):
        return False


def _sections(stream: BinaryIO, start: int, end: int) -> Iterator[_Section]:
    """Go through the sections of the binary between two places of a file; raise if it is not whole."""
    stream.seek(start)
    header = stream.read(_HEADER_BYTES)
    last = _LAST_SECTION.get(header)
    position = start + _HEADER_BYTES
    while last is not None and position < end:
        stream.seek(position)
        head = stream.read(1 + _LONGEST_SIZE)
        length, used = _leb128(head[1:])
        if head[0] > last or not used:
            raise _BrokenError
        position += 1 + used
        yield _Section(header, head[0], position, position + length)
        position += length
    if last is None or position != end:
        raise _BrokenError


def _leb128(data: bytes) -> tuple[int, int]:
    """An unsigned LEB128 number and how many bytes it takes; 0 bytes if it is none."""
    value = 0
    for place, byte in enumerate(data):
        value |= (byte & 0x7F) << (7 * place)
        if not byte & 0x80:
            return value, place + 1
    return 0, 0

"""Hashing many stored files at once: threads, since hashing and reading let go of the interpreter."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from spincache_nb.core.digest import Digest
from spincache_nb.core.files import FileState, file_state, open_regular
from spincache_nb.core.scan import StoredBlob
from spincache_nb.errors import CacheError, NotInCacheError, PullCancelled

_READ_BYTES = 256 << 10  # from 64 KiB to 4 MiB the cost is the same: hashing is nearly all of it
_TOLD_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class Hashed:
    """What a file turned out to be."""

    blob: StoredBlob
    digest: Digest | None
    size: int
    state: FileState | None
    error: str = ""

    @property
    def is_right(self) -> bool:
        """Whether its bytes are the ones its name promises."""
        return self.digest is not None and self.digest == promised(self.blob)


def promised(blob: StoredBlob) -> Digest | None:
    """The digest that a file's name promises; a bare name of an old Spin is a SHA-256 digest, too."""
    return Digest("sha256", blob.name) if blob.form == "bare hex" else blob.digest


def hash_blobs(
    blobs: Iterable[StoredBlob],
    *,
    jobs: int | None = None,
    told: Callable[[StoredBlob, int], object] = lambda blob, count: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> list[Hashed]:
    """Hash files; those that are gone are left out."""
    waiting = deque(sorted(blobs, key=lambda blob: -blob.stored_bytes))
    count = min(jobs if jobs is not None else os.cpu_count() or 1, len(waiting))
    if not count:
        return []
    stop = threading.Event()

    def stopped() -> bool:
        return stop.is_set() or cancelled()

    with ThreadPoolExecutor(count, thread_name_prefix="spincache-verify") as pool:
        try:
            workers = [pool.submit(_work, waiting, told, stopped) for _ in range(count)]
            return [hashed for worker in workers for hashed in worker.result()]
        except BaseException:
            stop.set()
            raise


def _work(
    waiting: deque[StoredBlob], told: Callable[[StoredBlob, int], object], stopped: Callable[[], bool]
) -> list[Hashed]:
    """Hash files until none waits."""
    buffer = memoryview(bytearray(_READ_BYTES))
    found: list[Hashed] = []
    while True:
        try:
            blob = waiting.popleft()
        except IndexError:
            return found
        hashed = _hash(blob, buffer, told, stopped)
        if hashed is not None:
            found.append(hashed)


def _hash(
    blob: StoredBlob,
    buffer: memoryview,
    told: Callable[[StoredBlob, int], object],
    stopped: Callable[[], bool],
) -> Hashed | None:
    expected = promised(blob)
    if expected is None:
        return None
    hasher = expected.hasher()
    size = untold = 0
    state = None
    try:
        with open_regular(blob.location) as stream:
            state = FileState.of(os.fstat(stream.fileno()))
            while count := stream.readinto(buffer):  # type: ignore[attr-defined]  # it is a raw stream
                if stopped():
                    raise PullCancelled("verify", "", "", "stopped; nothing was changed")
                hasher.update(buffer[:count])
                size += count
                untold += count
                if untold >= _TOLD_BYTES:
                    told(blob, untold)
                    untold = 0
    except NotInCacheError:
        return None
    except CacheError as exc:
        return Hashed(blob, None, 0, file_state(blob.path), exc.found)
    except OSError as exc:
        return Hashed(blob, None, 0, file_state(blob.path), exc.strerror or str(exc))
    told(blob, untold)
    return Hashed(blob, Digest(expected.algorithm, hasher.hexdigest()), size, state)

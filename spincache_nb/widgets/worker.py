"""Work beside the kernel's own thread, which stays free; it ends when the kernel does.

A kernel that shuts down or restarts lets its interpreter end, which waits for the downloads that are
running. Therefore each `Worker` and `Reader` is told to stop first (`stop_all`). A kernel that is
killed leaves what a killed pull leaves: whole blobs, and temporary files that the next pull removes.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import threading
import time
import warnings
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

from spincache_nb.errors import PullCancelled

T = TypeVar("T")
_Task: TypeAlias = tuple[Callable[[], Any], Callable[[Any], object], Callable[[Exception], object]]

STOP_SECONDS = 2.0
"""How long the end of the interpreter waits; Jupyter kills a kernel after 5 seconds."""

THREAD_PREFIX = "spincache-panel"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Outcome(Generic[T]):
    """How a job ended: with a value, with a fault, or because somebody stopped it."""

    value: T | None = None
    fault: Exception | None = None
    is_cancelled: bool = False


class Worker:
    """Does one thing at a time in a thread."""

    def __init__(self, on_busy: Callable[[bool], object] = bool) -> None:
        self._on_busy = on_busy
        self._lock = threading.Lock()
        self._cancel = threading.Event()
        self._thread: threading.Thread | None = None
        self._is_busy = self._is_closed = False
        self._job = 0
        _watch(self)

    @property
    def is_busy(self) -> bool:
        return self._is_busy

    def start(self, work: Callable[[threading.Event], T], done: Callable[[Outcome[T]], object]) -> bool:
        with self._lock:
            if self._is_busy or self._is_closed:
                return False
            self._is_busy = True
            self._job += 1
            self._cancel = threading.Event()
            arguments = (self._job, self._cancel, work, done)
            name = f"{THREAD_PREFIX}-work"
            self._thread = threading.Thread(target=self._run, args=arguments, name=name, daemon=True)
        self._on_busy(True)
        self._thread.start()
        return True

    def _run(
        self,
        job: int,
        cancel: threading.Event,
        work: Callable[[threading.Event], T],
        done: Callable[[Outcome[T]], object],
    ) -> None:
        outcome = _outcome(work, cancel)
        if self._is_closed or job != self._job:
            self._is_busy = self._is_busy and job != self._job
            return
        try:
            done(outcome)
        except Exception:  # noqa: BLE001 - nobody else would hear of it in this thread
            _log.exception("a job's outcome could not be shown")
        finally:
            self._is_busy = False
            self._on_busy(False)

    def cancel(self) -> None:
        self._cancel.set()

    def abandon(self) -> None:
        """Wait no longer for a job that changes nothing; its outcome is thrown away."""
        with self._lock:
            if not self._is_busy:
                return
            self._job += 1
            self._is_busy, self._thread = False, None
        self.cancel()
        self._on_busy(False)

    def wait(self, timeout: float | None = None) -> bool:
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout)
        return not self._is_busy

    def close(self) -> None:
        """Begin nothing any more, and stop what is running."""
        self._is_closed = True
        self.cancel()


class Reader:
    """Reads in a thread; what is asked for anew replaces what was asked for before."""

    def __init__(self, on_fault: Callable[[Exception], object]) -> None:
        self._on_fault = on_fault
        self._lock = threading.Condition()
        self._waiting: dict[str, _Task] = {}
        self._is_running = self._is_closed = False
        _watch(self)

    def submit(
        self,
        key: str,
        work: Callable[[], T],
        done: Callable[[T], object],
        failed: Callable[[Exception], object] | None = None,
    ) -> None:
        with self._lock:
            if self._is_closed:
                return
            self._waiting.pop(key, None)
            self._waiting[key] = (work, done, failed or self._on_fault)
            if self._is_running:
                return
            self._is_running = True
        threading.Thread(target=self._run, name=f"{THREAD_PREFIX}-read", daemon=True).start()

    def _run(self) -> None:
        while (task := self._next()) is not None:
            key, work, done, failed = task
            try:
                value = work()
                if not self._is_closed and key not in self._waiting:
                    done(value)
            except Exception as exc:  # noqa: BLE001 - shown in the panel
                if not self._is_closed:
                    with contextlib.suppress(Exception):
                        failed(exc)

    def _next(self) -> tuple[str, *_Task] | None:
        with self._lock:
            if self._waiting and not self._is_closed:
                key = next(iter(self._waiting))
                return key, *self._waiting.pop(key)
            self._is_running = False
            self._lock.notify_all()
            return None

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until everything asked for is read; say whether that came in time (seconds)."""
        with self._lock:
            return self._lock.wait_for(lambda: not self._is_running, timeout)

    def close(self) -> None:
        with self._lock:
            self._is_closed = True
            self._waiting.clear()


class Ticker:
    """Does something again and again beside a job, at most ten times a second unless told otherwise."""

    def __init__(self, action: Callable[[], object], seconds: float = 0.1) -> None:
        self._action = action
        self._seconds = seconds
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"{THREAD_PREFIX}-tick", daemon=True)

    def __enter__(self) -> Ticker:
        self._thread.start()
        return self

    def _run(self) -> None:
        self._act()
        while not self._over.wait(self._seconds):
            self._act()

    def _act(self) -> None:
        try:
            self._action()
        except Exception:  # noqa: BLE001 - what cannot be shown must not stop what is done
            _log.exception("progress could not be shown")
            self._over.set()

    def __exit__(self, *_details: object) -> None:
        self._over.set()
        self._thread.join()
        self._act()


def _outcome(work: Callable[[threading.Event], T], cancel: threading.Event) -> Outcome[T]:
    try:
        return Outcome(value=work(cancel))
    except PullCancelled:
        return Outcome(is_cancelled=True)
    except Exception as exc:  # noqa: BLE001 - shown in the panel
        return Outcome(fault=exc)


_open: weakref.WeakSet[Worker | Reader] = weakref.WeakSet()
_once = threading.Lock()


def _watch(one: Worker | Reader) -> None:
    """Remember who is to be stopped at the end, and the first time that there is an end."""
    with _once:
        if not _hooked:
            _hook()
        _open.add(one)


_hooked: list[bool] = []


def _hook() -> None:
    import concurrent.futures.thread  # noqa: F401 - its own hook, which waits for downloads, must come after ours

    _hooked.append(True)
    # Python waits for the threads of pools before it calls what atexit knows; this comes before both.
    early = getattr(threading, "_register_atexit", atexit.register)
    early(stop_all)


def stop_all(seconds: float = STOP_SECONDS) -> None:
    """Stop all work, and wait for it."""
    deadline = time.monotonic() + seconds
    for one in (found := list(_open)):
        one.close()
    for one in found:
        one.wait(max(0.0, deadline - time.monotonic()))


# Warnings of work beside the kernel: shown in the panel, since a stray cell is no place for them.

Listener = Callable[[str], object]

OUR_THREADS = "spincache-"

_lock = threading.Lock()
_listeners: list[Listener] = []
_previous: list[Callable[..., Any]] = []


@contextlib.contextmanager
def heard_warnings(listener: Listener) -> Iterator[None]:
    """Hand warnings of this package's threads to a listener; those of others go where they went."""
    with _lock:
        if not _listeners:
            _previous.append(warnings.showwarning)
            warnings.showwarning = _show
        _listeners.append(listener)
    try:
        yield
    finally:
        with _lock:
            _listeners.remove(listener)
            if not _listeners:
                previous = _previous.pop()
                if warnings.showwarning is _show:
                    warnings.showwarning = previous


def _show(message: Warning | str, *details: Any, **more: Any) -> None:
    with _lock:
        listeners, previous = list(dict.fromkeys(_listeners)), _previous[-1:]
    if listeners and threading.current_thread().name.startswith(OUR_THREADS):
        for listener in listeners:
            listener(str(message))
    elif previous:
        previous[0](message, *details, **more)

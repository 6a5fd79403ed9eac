"""Warnings of work beside the kernel: shown in the panel, since a stray cell is no place for them."""

from __future__ import annotations

import contextlib
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

Listener = Callable[[str], object]

OUR_THREADS = "spincache-"
"""Names of this package's threads begin so."""

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

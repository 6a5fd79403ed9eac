"""Making very many values without Python's cyclic garbage collector looking at them over and over."""

from __future__ import annotations

import contextlib
import gc
import threading
from collections.abc import Iterator


class _Pause:
    """How many are making values at this moment, and what the collector was like before the first."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.count = 0
        self.was_on = True


_pause = _Pause()


@contextlib.contextmanager
def no_collections() -> Iterator[None]:
    """Keep the collector out while very many values are made, none of them garbage."""
    with _pause.lock:
        if _pause.count == 0:
            _pause.was_on = gc.isenabled()
            gc.disable()
        _pause.count += 1
    try:
        yield
    finally:
        with _pause.lock:
            _pause.count -= 1
            if _pause.count == 0 and _pause.was_on:
                if not gc.get_freeze_count():
                    gc.freeze()
                    gc.unfreeze()
                gc.enable()

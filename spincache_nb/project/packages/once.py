"""A value that many threads need and one of them finds out."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Once(Generic[T]):
    """A value that the first thread to ask computes, while others wait for it; failures are not kept."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._value: list[T] = []

    def get(self, compute: Callable[[], T]) -> T:
        with self._lock:
            if not self._value:
                self._value.append(compute())
            return self._value[0]

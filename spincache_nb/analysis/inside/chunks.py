"""Content-defined chunks, by the ``fastcdc`` package (extra ``grains``).

A chunk ends where a rolling hash of the bytes says so, so an insertion moves the chunks after it
without changing them. Chunks are a quarter to four times their average size.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import warnings
from array import array
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any, Final, TypeAlias

from spincache_nb.errors import MissingExtraError

INSTALL: Final = 'pip install "spincache-nb[grains]"'

Chunker: TypeAlias = Callable[..., Iterable[Any]]


@cache
def load_chunker() -> Chunker:
    """Import the chunking library."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # it prints when it is not compiled
            chunker: Chunker = importlib.import_module("fastcdc").fastcdc
    except ImportError as exc:
        raise MissingExtraError("chunk grains", "the package fastcdc", "none", INSTALL) from exc
    if chunker.__name__ != "fastcdc_cy":
        warnings.warn(
            "fastcdc is installed without its compiled part: chunking will take minutes per 100 MB",
            UserWarning,
            stacklevel=2,
        )
    return chunker


def chunk_cuts(view: memoryview, average_bytes: int) -> array[int]:
    """Give the offsets at which bytes are cut into chunks."""
    found = array("Q", [0])
    if len(view):
        chunks = load_chunker()(
            view,
            min_size=max(average_bytes // 4, 64),
            avg_size=average_bytes,
            max_size=max(average_bytes * 4, 1024),
        )
        found.extend(chunk.offset + chunk.length for chunk in chunks)
    return found

"""The speeds that the finer grains promise, in CPU time on a component of 25 MB.

By hand, since a test suite judges the code and not the machine: ``python -m pytest
tests/benchmarks/inside_speed.py``.
"""

from __future__ import annotations

import time

import pytest

from spincache_nb.analysis.pieces import chunk_cuts, hashed
from spincache_nb.wasm.walker import cuts, walk
from tests.support.payloads import payload
from tests.wasm.builders import component, nested


@pytest.fixture(scope="module")
def large() -> bytes:
    """Nest real components until there are 25 MB."""
    content = payload("hello-js/1.0.0.wasm").read_bytes()
    return component(*[nested(content)] * (25_000_000 // len(content) + 1))


def megabytes_per_second(work, content):
    """Best of three, of CPU time."""
    seconds = []
    for _ in range(3):
        started = time.process_time()
        work(memoryview(content))
        seconds.append(time.process_time() - started)
    return len(content) / 1e6 / min(seconds)


def test_sections_and_functions_are_split_and_hashed_at_150_megabytes_per_second(large):
    def work(view):
        walked = walk(view)
        for grain in ("section", "function"):
            hashed(view, cuts(view, walked, grain))

    assert len(large) > 25_000_000
    assert megabytes_per_second(work, large) > 150


@pytest.mark.parametrize("kib", [4, 64])
def test_chunks_are_cut_at_50_megabytes_per_second(large, kib):
    assert megabytes_per_second(lambda view: chunk_cuts(view, kib << 10), large) > 50

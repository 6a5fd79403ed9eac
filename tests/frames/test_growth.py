"""No frame takes more calls for an app of a large cache than for one of a small one, whatever its shape."""

from __future__ import annotations

from pathlib import Path

import pytest

from spincache_nb import frames
from tests.benchmarks.growth import MOST, calls, growth, no_history, public
from tests.benchmarks.shapes import SHAPES, lay_out

APPS = (16, 32, 64)


@pytest.mark.parametrize("shape", SHAPES)
def test_frames_grow_linearly_with_apps(tmp_path: Path, shape: str) -> None:
    caches = [no_history(lay_out(tmp_path / str(apps), shape, apps, 6)) for apps in APPS]
    for name in public(frames):
        make = getattr(frames, name)
        make(caches[0])  # what is loaded or compiled once
        work = [calls(lambda cache=cache, make=make: make(cache)) for cache in caches]
        assert growth(*work) <= MOST, (name, work)

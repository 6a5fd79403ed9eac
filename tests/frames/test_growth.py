"""No frame takes more calls for an app of a large cache than for one of a small one, whatever its shape."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest

from spincache_nb import analysis, frames, plan_prune
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


@pytest.mark.parametrize(
    "work",
    [frames.load, frames.files, analysis.sharing, lambda cache: plan_prune(cache, even_if_unknown=True)],
    ids=["load", "files", "sharing", "prune"],
)
def test_garbage_collector_does_not_walk_what_is_in_the_making(tmp_path: Path, work) -> None:
    """It would walk all that a large cache has, again and again: time would grow faster than the cache."""
    cache = no_history(lay_out(tmp_path, "components", 64, 6))
    work(cache)
    walks: list[str] = []
    limits = gc.get_threshold()
    gc.callbacks.append(count := lambda phase, _: walks.append(phase))
    try:
        gc.set_threshold(200)
        work(cache)
    finally:
        gc.callbacks.remove(count)
        gc.set_threshold(*limits)
    assert gc.isenabled()
    assert walks.count("start") <= 3  # before and after

"""`sc.verify`: the rows of a check in the shape of `frames.problems`."""

from __future__ import annotations

import threading
from pathlib import Path

import pandas as pd
import pytest

import spincache_nb as sc
from spincache_nb.core.progress import ProgressEvent
from spincache_nb.errors import PullCancelled
from tests.support.caches import INDEX, WEB, blob, pulled, temporary_name, web
from tests.support.trees import write_tree


@pytest.fixture
def cache(tmp_path: Path) -> sc.Cache:
    write_tree(tmp_path / "one" / "registry", {**pulled(web()), temporary_name(): b"half"})
    return sc.Cache(tmp_path / "one")


def test_verify_of_a_sound_cache_has_the_rows_of_problems(cache: sc.Cache) -> None:
    pd.testing.assert_frame_equal(sc.verify(cache), sc.frames.problems(cache))


def test_verify_adds_what_only_hashing_tells(cache: sc.Cache) -> None:
    (cache.path / blob("data", INDEX)).write_bytes(b"!" * len(INDEX))
    assert list(sc.frames.problems(cache)["kind"]) == ["temporary file"]
    found = sc.verify(cache)
    assert list(found.columns) == list(sc.frames.PROBLEMS_SCHEMA)
    assert dict(found.dtypes.astype(str)) == dict(sc.frames.PROBLEMS_SCHEMA)
    assert list(zip(found["path"], found["kind"], strict=True)) == [
        (blob("data", INDEX), "damaged blob"),
        (temporary_name(), "temporary file"),
    ]
    assert found["reference"].to_list()[0] == "ghcr.io/org/web:v1"


def test_verify_of_an_empty_cache_has_all_columns(tmp_path: Path) -> None:
    found = sc.verify(sc.Cache(tmp_path / "none"))
    assert dict(found.dtypes.astype(str)) == dict(sc.frames.PROBLEMS_SCHEMA)
    assert len(found) == 0


def test_verify_of_several_caches_says_which(cache: sc.Cache, tmp_path: Path) -> None:
    write_tree(tmp_path / "two" / "registry", {blob("wasm", WEB): b"short"})
    two = sc.Cache(tmp_path / "two")
    found = sc.verify([cache, two])
    assert list(found["cache"]) == [str(cache.path), str(two.path)]
    assert list(sc.verify([]).columns) == ["cache", *sc.frames.PROBLEMS_SCHEMA]


def test_verify_can_be_watched_and_stopped(cache: sc.Cache) -> None:
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(PullCancelled):
        sc.verify(cache, cancel=cancel)
    events: list[ProgressEvent] = []
    sc.verify(cache, jobs=1, progress=events.append)
    assert sum(event.count for event in events) == len(INDEX) + len(WEB)

"""What holds for every analysis: columns, dtypes, documentation, sources."""

from __future__ import annotations

import re

import pandas as pd
import pytest

from spincache_nb import analysis
from spincache_nb.analysis import inputs, schemas
from spincache_nb.core.cache import Cache
from spincache_nb.frames import Frames
from spincache_nb.frames.schemas import HISTORY_SCHEMA, empty
from tests.analysis.worlds import World, two_versions
from tests.wasm.builders import component, custom, module, nested

WEB = "ghcr.io/org/web"
PAIR = (f"{WEB}:1.0.0", f"{WEB}:1.1.0")
EVERY = {
    "breakdown": (schemas.BREAKDOWN_SCHEMA, analysis.breakdown),
    "breakdown_members": (schemas.BREAKDOWN_MEMBERS_SCHEMA, analysis.breakdown_members),
    "sharing": (schemas.SHARING_SCHEMA, analysis.sharing),
    "sharing_sets": (schemas.SHARING_SETS_SCHEMA, analysis.sharing_sets),
    "sharing_names": (schemas.NEEDS_SCHEMA, analysis.sharing_names),
    "why": (schemas.NEEDS_SCHEMA, lambda frames: analysis.why(frames, "sha256:" + "0" * 64)),
    "shared_bytes": (schemas.SHARED_BYTES_SCHEMA, analysis.shared_bytes),
    "summary": (schemas.SUMMARY_SCHEMA, analysis.summary),
    "version_savings": (schemas.VERSION_SAVINGS_SCHEMA, lambda frames: analysis.version_savings(frames, WEB)),
    "upgrade_matrix": (schemas.UPGRADE_MATRIX_SCHEMA, lambda frames: analysis.upgrade_matrix(frames, WEB)),
    "freed_by": (schemas.FREED_SCHEMA, lambda frames: analysis.freed_by(frames, PAIR)),
    "reclaimable": (schemas.RECLAIMABLE_SCHEMA, analysis.reclaimable),
    "superseded": (schemas.SUPERSEDED_SCHEMA, analysis.superseded),
    "compare": (schemas.COMPARE_SCHEMA, lambda frames: analysis.compare(frames, *PAIR)),
    "timeline": (schemas.TIMELINE_SCHEMA, lambda _: analysis.timeline(empty(HISTORY_SCHEMA))),
    "tags_over_time": (schemas.TAGS_SCHEMA, lambda _: analysis.tags_over_time(empty(HISTORY_SCHEMA))),
}
OF_ANY_CACHE = [
    name for name in EVERY if name not in ("version_savings", "upgrade_matrix", "freed_by", "compare")
]
ONE, TWO = component(nested(module(custom("a")))), component(nested(module(custom("b"))))
INSIDE = {
    "grains": (schemas.GRAINS_SCHEMA, lambda _: analysis.grains(ONE, TWO)),
    "cache_grains": (schemas.GRAINS_SCHEMA, lambda _: analysis.cache_grains([])),
    "chunk_sweep": (schemas.CHUNK_SWEEP_SCHEMA, lambda _: analysis.chunk_sweep(ONE, TWO)),
    "why_changed": (schemas.CHANGES_SCHEMA, lambda _: analysis.why_changed(ONE, TWO)),
    "shared_modules": (schemas.SHARED_MODULES_SCHEMA, lambda _: analysis.shared_modules([("u", ONE)])),
    "section_map": (schemas.SECTION_MAP_SCHEMA, lambda _: analysis.section_map(ONE)),
}
EVERY |= INSIDE
NOT_DESCRIBED = {
    "section_maps": (schemas.SECTION_MAP_SCHEMA, lambda _: analysis.section_maps(ONE, TWO)),
    "nothing changed": (schemas.CHANGES_SCHEMA, lambda _: analysis.why_changed(ONE, ONE)),
    "no shared modules": (schemas.SHARED_MODULES_SCHEMA, lambda _: analysis.shared_modules([])),
}


def dtypes(frame):
    return {name: str(dtype) for name, dtype in frame.dtypes.items()}


@pytest.mark.parametrize("name", [*EVERY, *NOT_DESCRIBED])
def test_every_frame_has_the_columns_and_dtypes_of_its_schema(name):
    schema, call = (EVERY | NOT_DESCRIBED)[name]
    frame = call(two_versions().frames())
    assert dtypes(frame) == dict(schema)
    assert frame.index.equals(type(frame.index)(range(len(frame))))


@pytest.mark.parametrize("name", OF_ANY_CACHE)
def test_every_frame_of_an_empty_cache_has_the_same_columns_and_dtypes(name):
    schema, call = EVERY[name]
    assert dtypes(call(World([], {}, set()).frames())) == dict(schema)


@pytest.mark.parametrize("name", EVERY)
def test_every_docstring_lists_the_columns_and_dtypes_of_its_schema(name):
    schema, _ = EVERY[name]
    text = getattr(analysis, name).__doc__
    listed = dict(
        re.findall(r"^ +(\w+) +(string|category|Int64|Float64|boolean|datetime64\[ns, UTC\])  ", text, re.M)
    )
    assert listed == dict(schema)


def test_frames_need_says_which_frame_is_missing():
    with pytest.raises(ValueError, match="`disk`"):
        analysis.breakdown(two_versions().frames("blobs", "uses", "layers", "apps"))


def test_frames_of_several_caches_are_analysed_one_by_one():
    frames = two_versions().frames("apps", "uses")
    for frame in (frames.apps, frames.uses):
        frame.insert(0, "cache", ["one"] * len(frame))
    both = Frames(
        **{
            name: pd.concat([frame, frame.assign(cache="two")], ignore_index=True)
            for name, frame in (("apps", frames.apps), ("uses", frames.uses))
        }
    )
    table = analysis.shared_bytes(both)
    assert dtypes(table) == {"cache": "category", **schemas.SHARED_BYTES_SCHEMA}
    once = analysis.shared_bytes(frames)
    for name in ("one", "two"):
        rest = table[table["cache"] == name].drop(columns="cache").reset_index(drop=True)
        pd.testing.assert_frame_equal(rest, once)


def test_a_cache_is_walked_once_for_the_frames_that_are_needed(monkeypatch, tmp_path):
    asked = []

    def give(cache, *names, projects, toolchains):
        asked.append((cache.path, names, projects))
        assert not toolchains
        return two_versions().frames(*names)

    monkeypatch.setattr(inputs, "load", give)
    cache = Cache(tmp_path)
    assert len(analysis.shared_bytes(cache, projects=["site"])) == 3
    assert asked == [(cache.path, ("apps", "uses"), ["site"])]
    pd.testing.assert_frame_equal(analysis.summary([cache, tmp_path, str(tmp_path)]), analysis.summary(cache))


@pytest.mark.parametrize("given", [7, [7], [None], b"bytes", pd.DataFrame({"a": [1]}), {}])
def test_what_is_no_cache_is_one_type_error(given):
    with pytest.raises(TypeError, match="expected a "):
        analysis.sharing(given)


@pytest.mark.parametrize("name", OF_ANY_CACHE)
def test_no_argument_means_this_users_cache(name):
    function = getattr(analysis, name)
    table = function(None, "sha256:" + "0" * 64) if name == "why" else function()
    assert dtypes(table) == dict(EVERY[name][0])


def test_single_frames_are_recognised_by_their_columns():
    frames = two_versions().frames()
    for function in (analysis.shared_bytes, analysis.sharing_sets):
        pd.testing.assert_frame_equal(function([frames.uses, frames.apps]), function(frames))
    of_uses, whole = analysis.sharing(frames.uses), analysis.sharing(frames)
    same = ["digest", "areas", "stored_bytes", "user_count", "app_count", "needed_bytes", "saved_bytes"]
    pd.testing.assert_frame_equal(of_uses[same], whole[same])
    assert of_uses["manifest_count"].isna().all()
    with pytest.raises(ValueError, match="needs the frame"):
        analysis.breakdown(frames.uses)


def test_version_savings_of_all_repositories_are_those_of_each():
    frames = two_versions().frames()
    table = analysis.version_savings(frames)
    assert list(dict.fromkeys(table["repository"])) == ["ghcr.io/org/api", WEB]
    for repository, rows in table.groupby("repository", observed=True):
        one = rows.drop(columns="repository").reset_index(drop=True)
        pd.testing.assert_frame_equal(one, analysis.version_savings(frames, repository))
    with pytest.raises(ValueError, match="order"):
        analysis.version_savings(frames, order=["1.0.0"])

"""What holds for every analysis: columns, dtypes, documentation, sources."""

from __future__ import annotations

import re

import pytest

from spincache_nb import analysis
from spincache_nb.analysis import inputs, schemas
from spincache_nb.frames.schemas import HISTORY_SCHEMA, empty
from tests.analysis.worlds import World, two_versions

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


def dtypes(frame):
    return {name: str(dtype) for name, dtype in frame.dtypes.items()}


@pytest.mark.parametrize("name", EVERY)
def test_every_frame_has_the_columns_and_dtypes_of_its_schema(name):
    schema, call = EVERY[name]
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


@pytest.mark.parametrize("name", [name for name in EVERY if name not in ("timeline", "tags_over_time")])
def test_every_analysis_needs_no_more_frames_than_its_docstring_says(name):
    text = getattr(analysis, name).__doc__ + analysis.breakdown.__doc__ * (name == "breakdown_members")
    text += analysis.version_savings.__doc__ * (name == "upgrade_matrix")
    text += analysis.freed_by.__doc__ * (name == "reclaimable")
    named = re.search(r"A cache, or loaded frames: ([a-z, ]+)\.", text)[1].split(", ")
    EVERY[name][1](two_versions().frames(*named))


def test_frames_need_refuses_frames_of_several_caches():
    frames = two_versions().frames()
    frames.apps.insert(0, "cache", ["one", "two", "two"])
    with pytest.raises(ValueError, match="several caches"):
        analysis.shared_bytes(frames)


def test_a_cache_is_walked_once_for_the_frames_that_are_needed(monkeypatch):
    asked = []

    def give(cache, *names, toolchains):
        asked.append((cache, names))
        assert not toolchains
        return two_versions().frames(*names)

    monkeypatch.setattr(inputs, "load", give)
    marker = object()
    assert len(analysis.shared_bytes(marker)) == 3
    assert asked == [(marker, ("apps", "uses"))]

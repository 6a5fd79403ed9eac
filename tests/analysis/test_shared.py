from __future__ import annotations

import tracemalloc
from itertools import combinations

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spincache_nb import analysis
from spincache_nb.analysis.shared import NEEDED
from spincache_nb.analysis.tags import reference_key
from tests.analysis.worlds import SOME, App, World, digest_of, two_versions, worlds


@SOME
@given(world=worlds())
def test_sharing_equals_set_arithmetic_for_every_digest(world):
    table = analysis.sharing(world.frames(*NEEDED))
    references = {app.reference for app in world.apps}
    expected = {}
    for digest in {digest for digest, _ in world.used()}:
        areas = [area for area in ("data", "wasm") if (digest, area) in world.used()]
        everyone = set().union(*(world.users(digest, area) for area in areas))
        needed = sum(world.sizes[digest] for area in areas for _ in world.users(digest, area))
        stored = world.sizes[digest] * len(areas)
        counts = len(everyone), len(everyone & references)
        expected[digest] = ("+".join(areas), stored, *counts, needed, needed - stored)
    columns = ["areas", "stored_bytes", "user_count", "app_count", "needed_bytes", "saved_bytes"]
    got = {row[0]: tuple(row[1:]) for row in table[["digest", *columns]].itertuples(index=False)}
    assert got == expected
    assert len(table) == len(expected)
    assert (table["saved_bytes"] >= 0).all()
    assert table["saved_bytes"].is_monotonic_decreasing


@SOME
@given(world=worlds())
def test_sharing_manifest_count_is_a_lower_bound_of_what_is_known(world):
    table = analysis.sharing(world.frames(*NEEDED)).set_index("digest")
    for digest, line in table.iterrows():
        areas = [area for area in ("wasm", "data") if (digest, area) in world.stored]
        references = set().union(*(world.users(digest, area) for area in areas))
        users = [app for app in world.apps if app.reference in references]
        known = {app.manifest for app in users if app.manifest}
        lists = {tuple(app.layers) for app in users if not app.manifest}
        assert len(known) <= line["manifest_count"] <= len(known) + len(lists)
        assert bool(users) == bool(line["manifest_count"])


def test_sharing_counts_two_tags_of_one_manifest_once():
    world = two_versions()
    first, second, other = world.apps
    second.layers = list(first.layers)
    wasm = first.layers[0][0]
    assert _manifest_count(world, wasm) == 2
    first.manifest = digest_of(0xF0)
    assert _manifest_count(world, wasm) == 2
    second.manifest = digest_of(0xF1)
    assert _manifest_count(world, wasm) == 3
    other.manifest = digest_of(0xF1)
    assert _manifest_count(world, wasm) == 2


def _manifest_count(world, digest):
    return analysis.sharing(world.frames()).set_index("digest").loc[digest, "manifest_count"]


def test_sharing_says_names_and_counts_the_rest():
    world = two_versions()
    first = world.apps[0]
    wasm = first.layers[0][0]
    world.apps[1].sources = dict.fromkeys(("a", "b", "c"), wasm)
    table = analysis.sharing(world.frames()).set_index("digest")
    assert table.loc[wasm, "names"] == "component a, component api, component b +2"
    assert table.loc[wasm, "name_count"] == 5
    assert table.loc[first.layers[1][0], "names"] == "kept.css"


@SOME
@given(world=worlds())
def test_sharing_sets_puts_each_blob_into_exactly_its_set(world):
    table = analysis.sharing_sets(world.frames("apps", "uses"))
    expected = {}
    for digest, area in world.used():
        users = frozenset(world.users(digest, area))
        count, size = expected.get(users, (0, 0))
        expected[users] = (count + 1, size + world.sizes[digest])
    got = {}
    for _, group in table.groupby("set"):
        assert (group["user_count"] == len(group)).all()
        (values,) = set(zip(group["blob_count"], group["stored_bytes"], strict=True))
        got[frozenset(group["user"])] = values
    assert got == expected


@SOME
@given(world=worlds())
def test_shared_bytes_equals_the_intersection_of_every_pair(world):
    table = analysis.shared_bytes(world.frames("apps", "uses"))
    owned = {
        app.reference: {blob for blob in world.used() if app.reference in world.users(*blob)}
        for app in world.apps
    }
    expected = {
        (a, b): sum(world.sizes[digest] for digest, _ in owned[a] & owned[b])
        for a, b in combinations(sorted(owned, key=reference_key), 2)
    }
    assert {tuple(row[:2]): row[2] for row in table.itertuples(index=False)} == expected


@SOME
@given(world=worlds(), top=st.integers(0, 4))
def test_shared_bytes_of_the_top_apps_has_the_pairs_of_those_that_share_most(world, top):
    frames = world.frames("apps", "uses")
    every = analysis.shared_bytes(frames)
    pairs = {(line.reference_a, line.reference_b): line.shared_bytes for line in every.itertuples()}
    weight = {app.reference: 0 for app in world.apps}
    for pair, size in pairs.items():
        for name in pair:
            weight[name] += size
    chosen = set(sorted(weight, key=lambda name: (-weight[name], name))[:top])
    table = analysis.shared_bytes(frames, top=top)
    got = {(line.reference_a, line.reference_b): line.shared_bytes for line in table.itertuples()}
    assert got == {pair: size for pair, size in pairs.items() if chosen.issuperset(pair)}
    assert list(got) == sorted(got, key=lambda pair: [reference_key(name) for name in pair])


def test_shared_bytes_refuses_a_negative_number_of_apps():
    with pytest.raises(ValueError, match="negative"):
        analysis.shared_bytes(two_versions().frames(), top=-1)


def test_shared_bytes_gives_no_number_that_is_too_large():
    digests = [digest_of(number) for number in range(3)]
    both = [(digest, "data") for digest in digests[:2]]
    apps = [App("r", "a", "1", both), App("r", "b", "1", [*both, (digests[2], "data")])]
    apps.append(App("r", "c", "1", [(digests[2], "data")]))
    world = World(apps, dict.fromkeys(digests, 2**62), {(digest, "data") for digest in digests})
    table = analysis.shared_bytes(world.frames("apps", "uses"))
    assert [None if pd.isna(size) else size for size in table["shared_bytes"]] == [None, 0, 2**62]


def test_shared_bytes_of_a_thousand_apps_fits_into_little_memory():
    shared = [digest_of(number) for number in range(3)]
    apps = [App("r", f"a{number:03}", "1", [(shared[number % 3], "wasm")]) for number in range(1000)]
    world = World(apps, dict.fromkeys(shared, 7), {(digest, "wasm") for digest in shared})
    frames = world.frames("apps", "uses")
    tracemalloc.start()
    try:
        table = analysis.shared_bytes(frames)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(table) == 499_500
    groups = [len(range(number, 1000, 3)) for number in range(3)]
    assert table["shared_bytes"].sum() == 7 * sum(size * (size - 1) // 2 for size in groups)
    assert peak < 100 * len(table)


@SOME
@given(world=worlds())
def test_summary_agrees_with_set_arithmetic_and_with_the_other_frames(world):
    frames = world.frames()
    line = analysis.summary(frames).iloc[0]
    used = world.used()
    logical = sum(world.sizes[digest] * len(world.users(digest, area)) for digest, area in used)
    stored = sum(world.sizes[digest] for digest, _ in used)
    assert (line["logical_bytes"], line["stored_bytes"]) == (logical, stored)
    assert line["saved_bytes"] == analysis.sharing(frames)["saved_bytes"].sum() == logical - stored
    assert line["dedup_ratio"] is pd.NA if not stored else line["dedup_ratio"] == logical / stored
    assert line["unreferenced_bytes"] == sum(world.on_disk(*blob) for blob in world.stored - used)
    assert line["disk_bytes"] == frames.disk["stored_bytes"].sum()
    assert (line["problem_count"], line["app_count"], line["blob_count"]) == (1, len(world.apps), len(used))

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spincache_nb import analysis
from spincache_nb.analysis.disk_use import NEEDED
from spincache_nb.errors import NotInCacheError
from tests.analysis.worlds import SOME, App, World, digest_of, two_versions, worlds


@SOME
@given(world=worlds(), data=st.data())
def test_freed_by_is_the_difference_of_two_caches(world, data):
    references = [app.reference for app in world.apps]
    chosen = data.draw(st.sets(st.sampled_from(references))) if references else set()
    table = analysis.freed_by(world.frames(*NEEDED), sorted(chosen))
    left = World(
        [a for a in world.apps if a.reference not in chosen], world.sizes, world.stored, world.projects
    )
    expected = {
        f"{area}/{digest}": world.on_disk(digest, area) for digest, area in world.used() - left.used()
    }
    for app in world.apps:
        if app.reference in chosen:
            expected |= dict.fromkeys(
                (f"{app.folder}/manifest.json", f"{app.folder}/config.json"), world.document_bytes
            )
    assert dict(zip(table["path"], table["stored_bytes"], strict=True)) == expected
    assert len(table) == len(expected)


@SOME
@given(world=worlds())
def test_reclaimable_is_freed_by_of_each_app_alone(world):
    frames = world.frames(*NEEDED)
    table = analysis.reclaimable(frames).set_index("reference")
    assert sorted(table.index) == sorted(app.reference for app in world.apps)
    for app in world.apps:
        mine = [blob for blob in world.used() if app.reference in world.users(*blob)]
        alone = [blob for blob in mine if world.users(*blob) == {app.reference}]
        documents = 2 * world.document_bytes
        line = table.loc[app.reference]
        assert line["stored_bytes"] == documents + sum(world.on_disk(*blob) for blob in mine)
        assert line["freed_bytes"] == documents + sum(world.on_disk(*blob) for blob in alone)
        assert line["kept_bytes"] == line["stored_bytes"] - line["freed_bytes"]
    assert table["freed_bytes"].is_monotonic_decreasing


def test_freed_by_two_apps_is_more_than_the_sum_of_each():
    frames = two_versions().frames()
    both = ["ghcr.io/org/web:1.0.0", "ghcr.io/org/web:1.1.0"]
    single = [analysis.freed_by(frames, name)["stored_bytes"].sum() for name in both]
    assert single == [7 + 200, 9 + 200]
    assert analysis.freed_by(frames, both)["stored_bytes"].sum() == 7 + 9 + 40 + 400


def test_freed_by_finds_the_documents_of_digests_and_of_windows_names():
    digest = digest_of(1)
    app = App("localhost:5000", "a/b", digest_of(0xAA), [(digest, "wasm")])
    world = World([app], {digest: 5}, {(digest, "wasm")})
    assert analysis.freed_by(world.frames(), app.reference)["stored_bytes"].sum() == 205
    frames = world.frames()
    frames.disk["path"] = frames.disk["path"].str.replace(":", "_")
    frames.blobs["name"] = frames.blobs["name"].str.replace(":", "_")
    assert analysis.freed_by(frames, app.reference)["stored_bytes"].sum() == 205


def test_freed_by_takes_short_references_and_refuses_unknown_ones():
    digest = digest_of(1)
    app = App("docker.io", "library/web", "latest", [(digest, "wasm")])
    frames = World([app], {digest: 5}, {(digest, "wasm")}).frames()
    assert analysis.freed_by(frames, "web")["stored_bytes"].sum() == 205
    with pytest.raises(NotInCacheError) as caught:
        analysis.freed_by(frames, ["web", "ghcr.io/org/none:1"])
    assert caught.value.where == "ghcr.io/org/none:1"

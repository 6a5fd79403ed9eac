from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spincache_nb import analysis
from spincache_nb.analysis.disk import NEEDED
from spincache_nb.errors import NotInCacheError
from spincache_nb.frames import load
from spincache_nb.upkeep import plan_remove
from tests.analysis.worlds import SOME, App, World, digest_of, two_versions, worlds
from tests.support.artifacts import Component, new_style
from tests.support.caches import INDEX, PAGES, WEB, archive_mode, blob, pulled, unnamed_members, web
from tests.support.trees import union
from tests.upkeep.worlds import disk_bytes, execute_exactly, laid_out, left


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


# Hard links, and archives that hold more than their apps name ---------------------------------------

NEW, OTHER = "ghcr.io/org/web:v1", "ghcr.io/org/api:v1"


def linked_cache(tmp_path, *links):
    """Two apps with nothing in common, and further names of their files: {new: old} below ``registry``."""
    api = new_style("org/api", "v1", components=[Component("api", WEB, {"page": PAGES["page-0.html"]})])
    cache = laid_out(tmp_path, union(pulled(web()), pulled(api)))
    for old, new in links:
        (cache.path / new).parent.mkdir(parents=True, exist_ok=True)
        (cache.path / new).unlink(missing_ok=True)
        os.link(cache.path / old, cache.path / new)
    return cache


INDEX_PATH, PAGE_PATH = blob("data", INDEX), blob("data", PAGES["page-0.html"])


@pytest.mark.parametrize("stray", ["data/copy", "copy", "wasm/copy", "manifests/ghcr.io/copy"])
def test_freed_by_frees_nothing_of_a_file_that_has_another_name_which_stays(tmp_path, stray):
    cache = linked_cache(tmp_path, (INDEX_PATH, stray))
    freed = analysis.freed_by(cache, NEW).set_index("path")["stored_bytes"]
    assert freed[INDEX_PATH] == 0
    if stray.startswith(("data", "wasm", "manifests")):
        plan = plan_remove(cache, NEW)
        assert {item.path: item.stored_bytes for item in plan.items} == freed.to_dict()
        assert execute_exactly(plan).freed_bytes == freed.sum()


def test_freed_by_frees_a_file_once_when_the_last_of_its_names_goes(tmp_path):
    cache = linked_cache(tmp_path, (INDEX_PATH, PAGE_PATH))  # two blobs of two apps, one file
    alone = [int(analysis.freed_by(cache, name)["stored_bytes"].sum()) for name in (NEW, OTHER)]
    both = int(analysis.freed_by(cache, [NEW, OTHER])["stored_bytes"].sum())
    assert both == disk_bytes(cache)
    assert both - sum(alone) == len(INDEX) + len(WEB)
    assert [plan_remove(cache, name).freed_bytes for name in (NEW, OTHER)] == alone
    table = analysis.reclaimable(cache).set_index("reference")
    assert table.loc[[NEW, OTHER], "freed_bytes"].tolist() == alone
    documents = disk_bytes(cache) - len(INDEX) - len(WEB)
    assert table["stored_bytes"].sum() == 2 * (len(INDEX) + len(WEB)) + documents
    execute_exactly(plan_remove(cache, [NEW, OTHER]))


def test_freed_by_keeps_what_an_archive_of_another_app_holds_without_naming_it(tmp_path):
    site = pulled(
        archive_mode()
    )  # names all four pages; the other app has them in its archive, and names one
    cache = laid_out(tmp_path, union(site, pulled(unnamed_members())))
    name, other = "ghcr.io/org/site:v1", "ghcr.io/org/unnamed:v1"
    plan = plan_remove(cache, name)
    for source in (cache, load(cache), load(cache, *NEEDED, "unnamed")):
        freed = analysis.freed_by(source, name)
        assert set(freed["path"]) == {item.path for item in plan.items}
        assert freed["stored_bytes"].sum() == plan.freed_bytes
        assert not {blob("data", page) for page in PAGES.values()} & set(freed["path"])
        table = analysis.reclaimable(source).set_index("reference")
        assert table.loc[name, "freed_bytes"] == plan.freed_bytes
        both = analysis.freed_by(source, [name, other])
        assert both["stored_bytes"].sum() == disk_bytes(cache)
    execute_exactly(plan)
    assert left(cache) == set(pulled(unnamed_members()))


def test_superseded_frees_what_freed_by_does_where_archives_hold_unnamed_members():
    world = two_versions()
    before = analysis.superseded(world.frames())["freed_bytes"].tolist()
    old, new = "ghcr.io/org/web:1.0.0", "ghcr.io/org/web:1.1.0"
    own = next(d for d, area in world.stored if area == "data" and world.users(d, area) == {old})
    world.unnamed = {(new, own)}
    after = analysis.superseded(world.frames())["freed_bytes"].tolist()
    assert before[0] - after[0] == world.sizes[own]
    assert after[0] == analysis.freed_by(world.frames(), old)["stored_bytes"].sum()

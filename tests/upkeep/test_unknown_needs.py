"""Caches in which nobody says who needs what: removals refuse, unless told."""

from __future__ import annotations

import pytest

from spincache_nb import analysis, frames
from spincache_nb.core.cache import Cache
from spincache_nb.errors import CacheError
from spincache_nb.upkeep import check_cache, plan_clear, plan_prune, plan_remove
from tests.support.caches import WEB, blob, blobs, folder, pulled, web
from tests.support.trees import union, write_tree
from tests.upkeep.worlds import execute_exactly, laid_out, left, paths

V1 = "ghcr.io/org/web:v1"
STRAY = {blob("data", b"stray"): b"stray"}
BLOBS_ALONE = blobs(pulled(web()))
"""What containerd-shim-spin leaves of an app in ``registry``: its blobs, and no manifest."""


@pytest.mark.parametrize("manifests", [False, True], ids=["no manifests", "empty manifests"])
def test_prune_refuses_where_no_manifest_says_who_needs_what(tmp_path, manifests):
    cache = laid_out(tmp_path, BLOBS_ALONE)
    if manifests:
        (cache.path / "manifests").mkdir()
    with pytest.raises(CacheError) as caught:
        plan_prune(cache)
    assert "containerd-shim" in caught.value.found
    assert "no blob was touched" in caught.value.remedy
    plan = plan_prune(cache, even_if_unknown=True)
    execute_exactly(plan)
    assert left(cache) == set()
    assert plan_prune(cache).items == ()  # without a blob there is nothing to be unsure of


@pytest.mark.parametrize("place", ["registry's folder", "its parent", "given"])
def test_locked_app_of_a_container_says_what_is_needed(tmp_path, place):
    cache = laid_out(tmp_path, union(BLOBS_ALONE, STRAY))
    folders = {"registry's folder": tmp_path / "cache", "its parent": tmp_path, "given": tmp_path / "else"}
    document = pulled(web())[f"{folder(web())}/config.json"]
    write_tree(folders[place], {"spin.json": document})
    path = str(folders[place] / "spin.json")
    plan = plan_prune(cache, projects=[path] if place == "given" else ())
    assert paths(plan) == [*STRAY]
    execute_exactly(plan)
    assert left(cache) == set(BLOBS_ALONE)
    if place != "given":
        assert set(frames.uses(cache)["user"]) == {path}
        assert set(frames.blobs(cache)["standing"]) == {"referenced"}
        assert check_cache(cache) == ()
        digest = blob("wasm", WEB).partition("/")[2]
        assert set(analysis.why(cache, digest)["user"]) == {path}


def test_locked_app_that_cannot_be_read_blocks_a_prune(tmp_path):
    cache = laid_out(tmp_path, BLOBS_ALONE)
    write_tree(tmp_path, {"spin.json": b"{"})
    with pytest.raises(CacheError):
        plan_prune(cache)
    assert [row.kind for row in check_cache(cache)] == ["project not understood"]


def test_locked_app_beside_a_cache_with_tags_is_somebody_elses(tmp_path):
    cache = laid_out(tmp_path, union(pulled(web()), STRAY))
    write_tree(tmp_path, {"spin.json": b"{"})
    assert paths(plan_prune(cache)) == [*STRAY]


def empty_app(name: str) -> dict[str, bytes]:
    return {f"manifests/ghcr.io/org/{name}/v1/{document}.json": b"" for document in ("manifest", "config")}


def test_removals_refuse_while_an_app_has_two_empty_documents(tmp_path):
    """As a disk leaves them that lost power; the app may need any blob."""
    cache = laid_out(tmp_path, union(pulled(web()), STRAY, empty_app("lost")))
    for plan in (plan_prune, lambda cache: plan_remove(cache, V1)):
        with pytest.raises(CacheError) as caught:
            plan(cache)
        assert "ghcr.io/org/lost:v1" in caught.value.remedy
    lost = cache.path / "manifests/ghcr.io/org/lost/v1"
    execute_exactly(plan_remove(cache, "ghcr.io/org/lost:v1"))
    assert not lost.exists()
    execute_exactly(plan_prune(cache))
    assert left(cache) == set(pulled(web()))


def test_removals_of_unknown_needs_go_on_when_told(tmp_path):
    cache = laid_out(tmp_path, union(pulled(web()), STRAY, empty_app("lost")))
    execute_exactly(plan_prune(cache, even_if_unknown=True))
    execute_exactly(plan_remove(cache, V1, even_if_unknown=True))
    assert left(cache) == set(empty_app("lost"))


def test_clear_asks_for_no_manifests(tmp_path):
    cache = laid_out(tmp_path, BLOBS_ALONE)
    execute_exactly(plan_clear(cache))
    assert not Cache(tmp_path / "cache").path.exists()


def test_an_app_with_empty_documents_goes_also_if_another_is_pulled_meanwhile(tmp_path):
    empty = {f"{folder(web())}/{name}.json": b"" for name in ("manifest", "config")}
    cache = laid_out(tmp_path, empty)
    plan = plan_remove(cache, V1)
    other = pulled(web(repository="org/other"))
    write_tree(cache.path, other)
    assert [item.path for item in plan.execute().removed] == list(empty)
    assert left(cache) == set(other)

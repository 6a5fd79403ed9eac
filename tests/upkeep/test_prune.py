"""Pruning: what is thought unneeded and why, the grace period, the size budget."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from spincache_nb.core.cache import Cache
from spincache_nb.errors import CacheError, SpinManifestError
from spincache_nb.upkeep import plan_prune
from tests.support.artifact import sha256, wasm_module
from tests.support.artifacts import Component, new_style
from tests.support.caches import (
    INDEX,
    archive_mode,
    bare_hex_name,
    blob,
    environment_blob,
    image_config_left,
    pulled,
    sound,
    temporary_name,
    two_versions,
    unnamed_members,
    web,
)
from tests.support.projects import write_project
from tests.support.trees import union, write_tree
from tests.upkeep.worlds import disk_bytes, execute_exactly, folders, laid_out, left, make_older, paths

NEEDED = {**sound(), "locked app in data": image_config_left(), "two versions": two_versions()}


GOES_WITH_SITE = set(pulled(archive_mode())) - set(pulled(unnamed_members()))


def app(name: str, *, size: int = 1000) -> dict[str, bytes]:
    wasm = wasm_module(name, size)
    return pulled(new_style(f"org/{name}", "v1", components=[Component(name, wasm, {"index.html": INDEX})]))


def pulled_ago(cache: Cache, name: str, seconds: float) -> None:
    make_older(cache.path / "manifests" / "ghcr.io" / "org" / name, seconds)


# What is needed ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(NEEDED))
def test_plan_prune_keeps_whatever_an_app_needs(tmp_path, name):
    tree = NEEDED[name]
    cache = laid_out(tmp_path, tree)
    plan = plan_prune(cache)
    assert paths(plan) == []
    assert plan.freed_bytes == 0
    execute_exactly(plan)
    assert left(cache) == set(tree)


def test_plan_prune_says_why_each_blob_is_unneeded(tmp_path):
    strays = {
        blob("data", b"asset"): b"asset",
        blob("wasm", b"module"): b"module",
        bare_hex_name(b"old source"): b"old source",
        temporary_name(): b"half a down",
        "data/.spincache-1-0123456789abcdef": b"half",
    }
    cache = laid_out(tmp_path, union(pulled(web()), strays))
    plan = plan_prune(cache)
    reasons = {item.path: item.reason for item in plan.items}
    assert set(reasons) == set(strays)
    assert "no manifest, locked app or archive" in reasons[blob("data", b"asset")]
    assert "no given project" in reasons[blob("wasm", b"module")]
    assert "Spin v0.9 to v1.x" in reasons[bare_hex_name(b"old source")]
    assert "download that was killed" in reasons[temporary_name()]
    assert all("2 hours ago" in reason for reason in reasons.values())
    assert any("spin.toml" in note for note in plan.notes)
    execute_exactly(plan)
    assert left(cache) == set(pulled(web()))


def test_plan_prune_leaves_what_is_not_spins(tmp_path):
    foreign = {"wasm/notes.txt": b"mine", "data/.DS_Store": b"mac", "manifests/README": b"mine, too"}
    cache = laid_out(tmp_path, union(pulled(web()), foreign))
    assert paths(plan_prune(cache)) == []


def test_plan_prune_keeps_interfaces_of_a_target_environment_if_its_project_is_given(tmp_path):
    tree = environment_blob()
    cache = laid_out(tmp_path, tree)
    (path,) = tree
    project = write_project(tmp_path / "project", environment=path.removeprefix("wasm/"))
    assert paths(plan_prune(cache, projects=[project])) == []
    assert paths(plan_prune(cache, even_if_unknown=True)) == [path]


def test_plan_prune_refuses_a_project_that_cannot_be_read(tmp_path):
    cache = laid_out(tmp_path, environment_blob())
    write_tree(tmp_path / "project", {"spin.toml": b"not toml"})
    with pytest.raises(CacheError) as caught:
        plan_prune(cache, projects=[tmp_path / "project"])
    assert caught.value.where == str(tmp_path / "project")
    with pytest.raises(SpinManifestError):
        plan_prune(cache, projects=[tmp_path / "nowhere"])


def test_plan_prune_takes_a_second_spelling_only_if_the_first_is_whole(tmp_path):
    windows = f"data/{sha256(INDEX).replace(':', '_')}"
    cache = laid_out(tmp_path, union(pulled(web()), {windows: INDEX}))
    assert paths(plan_prune(cache)) == [windows]
    (cache.path / blob("data", INDEX)).write_bytes(INDEX[:-1] + b"!")
    assert paths(plan_prune(cache)) == []


# The grace period -------------------------------------------------------------------------------


def test_plan_prune_keeps_the_young_and_says_so(tmp_path):
    young, old = blob("data", b"young"), blob("data", b"old")
    cache = laid_out(tmp_path, {young: b"young", old: b"old"})
    make_older(cache.path / young, 3500)
    make_older(cache.path / old, 3700)
    plan = plan_prune(cache, even_if_unknown=True)
    assert paths(plan) == [old]
    assert [(kept.path, kept.users) for kept in plan.kept] == [(young, ())]
    assert "young" in plan.kept[0].reason
    assert paths(plan_prune(cache, grace_seconds=3400, even_if_unknown=True)) == sorted([young, old])


@pytest.mark.parametrize(
    ("age", "told"),
    [
        *((60, " seconds ago"), (125, "2 minutes ago"), (7100, "118 minutes ago")),
        *((7230, "2 hours ago"), (172700, "47 hours ago"), (172830, "2 days ago"), (8640030, "100 days ago")),
    ],
)
def test_plan_prune_says_how_old_a_blob_is(tmp_path, age, told):
    cache = laid_out(tmp_path, {blob("data", b"old"): b"old"}, age=age)
    (item,) = plan_prune(cache, grace_seconds=0, even_if_unknown=True).items
    assert item.reason.endswith(told)


def test_plan_prune_keeps_a_download_that_goes_on(tmp_path):
    cache = laid_out(tmp_path, {temporary_name(): b"half"}, age=5)
    assert paths(plan_prune(cache)) == []


def test_plan_prune_keeps_what_is_dated_in_the_future(tmp_path):
    cache = laid_out(tmp_path, {blob("data", b"later"): b"later"}, age=-86400)
    plan = plan_prune(cache, grace_seconds=0, even_if_unknown=True)
    assert paths(plan) == []
    assert "in the future" in plan.kept[0].reason


def test_plan_prune_takes_what_killed_pulls_left_in_tag_folders(tmp_path):
    cache = laid_out(tmp_path, union(pulled(web()), {"manifests/ghcr.io/org/new/v1/.spincache-2-ab": b"{"}))
    (cache.path / "manifests" / "ghcr.io" / "org" / "empty" / "v1").mkdir(parents=True)
    make_older(cache.path, 7200)
    execute_exactly(plan_prune(cache))
    assert left(cache) == set(pulled(web()))
    assert folders(cache) == {
        *("data", "wasm", "manifests", "manifests/ghcr.io", "manifests/ghcr.io/org"),
        *("manifests/ghcr.io/org/web", "manifests/ghcr.io/org/web/v1"),
    }


@pytest.mark.parametrize("options", [{"grace_seconds": -1}, {"keep_bytes": -1}, {"keep_newest": -1}])
def test_plan_prune_refuses_negative_numbers(tmp_path, options):
    with pytest.raises(ValueError, match="negative"):
        plan_prune(laid_out(tmp_path, {}), **options)  # type: ignore[arg-type]


# The budget -------------------------------------------------------------------------------------


def three_apps(tmp_path: Path) -> Cache:
    """Three apps that share an asset; first was pulled longest ago."""
    cache = laid_out(tmp_path, union(app("first"), app("second"), app("third")))
    for place, name in enumerate(["first", "second", "third"]):
        pulled_ago(cache, name, 7200 * (3 - place))
    return cache


def test_plan_prune_does_not_count_what_the_archive_of_an_app_that_stays_holds(tmp_path):
    cache = laid_out(tmp_path, union(pulled(archive_mode()), pulled(unnamed_members())))
    pulled_ago(cache, "site", 14400)
    total, own = disk_bytes(cache), sum((cache.path / path).stat().st_size for path in GOES_WITH_SITE)
    plan = plan_prune(cache, keep_bytes=total - own, keep_newest=1)
    assert plan.freed_bytes == own
    assert not any("budget" in note for note in plan.notes)
    plan = plan_prune(cache, keep_bytes=total - own - 1, keep_newest=1)
    assert plan.freed_bytes == own
    assert any("budget is not kept" in note for note in plan.notes)
    execute_exactly(plan)
    assert left(cache) == set(pulled(unnamed_members()))


def test_plan_prune_keeps_apps_and_blobs_within_the_grace_period(tmp_path):
    cache = three_apps(tmp_path)
    pulled_ago(cache, "second", 60)
    (young,) = [cache.path / path for path in app("first") if path.startswith("wasm/")]
    make_older(young, 60)
    plan = plan_prune(cache, keep_bytes=0)
    assert plan.references == ("ghcr.io/org/first:v1", "ghcr.io/org/third:v1")
    assert young.relative_to(cache.path).as_posix() in [kept.path for kept in plan.kept]
    execute_exactly(plan)
    assert left(cache) == {*app("second"), young.relative_to(cache.path).as_posix()}


def test_plan_prune_orders_an_app_without_manifest_by_its_locked_app(tmp_path):
    cache = three_apps(tmp_path)
    (cache.path / "manifests/ghcr.io/org/third/v1/manifest.json").unlink()
    assert plan_prune(cache, keep_newest=1).references == ("ghcr.io/org/first:v1", "ghcr.io/org/second:v1")


def test_plan_prune_counts_hard_links_once(tmp_path):
    cache = laid_out(tmp_path, union(pulled(web()), {blob("data", b"stray"): b"stray"}))
    first = cache.path / blob("data", b"stray")
    os.link(first, cache.path / blob("wasm", b"stray"))
    plan = plan_prune(cache)
    assert len(plan.items) == 2
    assert plan.freed_bytes == 5
    execute_exactly(plan)


def test_plan_prune_counts_nothing_for_a_hard_link_of_what_stays(tmp_path):
    cache = laid_out(tmp_path, pulled(web()))
    os.link(cache.path / blob("data", INDEX), cache.path / blob("wasm", INDEX))
    plan = plan_prune(cache)
    assert paths(plan) == [blob("wasm", INDEX)]
    assert plan.freed_bytes == 0
    execute_exactly(plan)
    assert left(cache) == set(pulled(web()))

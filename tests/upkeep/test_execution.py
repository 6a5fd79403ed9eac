"""Carrying removals out while others write: whatever is touched, replaced or needed by then stays."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import pytest

from spincache_nb import upkeep
from spincache_nb.core import removing
from spincache_nb.core.cache import Cache
from spincache_nb.core.files import FileState, Folder
from spincache_nb.errors import CacheError, NotACacheError
from spincache_nb.upkeep import RemovalPlan, RemovalResult, plan_clear, plan_remove
from tests.support.archives import mount_archive
from tests.support.artifact import sha256
from tests.support.artifacts import Component, new_style
from tests.support.caches import (
    INDEX,
    PAGES,
    WEB,
    archive_layer,
    archive_mode,
    blob,
    blobs,
    documents,
    folder,
    pulled,
    unnamed_members,
    web,
    without,
)
from tests.support.projects import write_project
from tests.support.trees import read_tree, union, write_tree
from tests.upkeep.worlds import laid_out, left

V1 = "ghcr.io/org/web:v1"

plan_prune = partial(upkeep.plan_prune, even_if_unknown=True)  # most caches here have blobs alone
STRAY = {blob("data", b"stray"): b"stray"}


def reasons(result: RemovalResult) -> dict[str, str]:
    return {skipped.item.path: skipped.reason for skipped in result.skipped}


def at_the_last_moment(
    monkeypatch: pytest.MonkeyPatch, cache: Cache, tree: Mapping[str, bytes], *areas: str
) -> None:
    """Write into a cache once the first blob has been set aside, before who needs it is asked again."""
    original = removing.set_aside
    done = []

    def set_aside(folder: Folder, name: str, expected: FileState) -> str | None:
        aside = original(folder, name, expected)
        if not done and folder.parts[0] in (areas or ("wasm", "data")):
            done.append(write_tree(cache.path, tree))
        return aside

    monkeypatch.setattr(removing, "set_aside", set_aside)


# Between plan and execution -----------------------------------------------------------------------


def test_execute_skips_a_blob_that_was_touched(tmp_path):
    strays = {blob("data", b"one"): b"one", blob("data", b"two"): b"two"}
    cache = laid_out(tmp_path, strays)
    plan = plan_prune(cache)
    os.utime(cache.path / blob("data", b"one"))
    result = plan.execute()
    assert "touched" in reasons(result)[blob("data", b"one")]
    assert left(cache) == {blob("data", b"one")}
    assert result.freed_bytes == 3


def test_execute_skips_a_blob_that_was_replaced_or_is_gone(tmp_path):
    cache = laid_out(tmp_path, {blob("data", b"one"): b"one", blob("data", b"two"): b"two"})
    plan = plan_prune(cache)
    path = cache.path / blob("data", b"one")
    info = path.lstat()
    path.with_name("new").write_bytes(b"one")
    path.with_name("new").replace(path)
    os.utime(path, ns=(info.st_mtime_ns, info.st_mtime_ns))
    (cache.path / blob("data", b"two")).unlink()
    result = plan.execute()
    assert set(reasons(result)) == {blob("data", b"one"), blob("data", b"two")}
    assert "gone" in reasons(result)[blob("data", b"two")]
    assert left(cache) == {blob("data", b"one")}


@pytest.mark.parametrize("naming", ["unix", "windows"])
def test_execute_skips_what_an_app_has_come_to_need(tmp_path, naming):
    artifact = web()
    needed = blobs(pulled(artifact))
    cache = laid_out(tmp_path, union(needed, {blob("data", b"stray"): b"stray"}))
    plan = plan_prune(cache)
    arrived = documents(pulled(artifact, naming=naming))
    write_tree(cache.path, arrived)
    result = plan.execute()
    assert reasons(result) == dict.fromkeys(needed, f"{V1} needs it now")
    assert len(result.skipped) == len(needed)
    assert read_tree(cache.path) == union(needed, arrived)


@pytest.mark.parametrize("by", ["spin.toml", "environment lock"])
def test_execute_skips_what_a_project_has_come_to_need(tmp_path, by):
    cache = laid_out(tmp_path, {blob("wasm", WEB): WEB})
    project = write_project(tmp_path / "project")
    plan = plan_prune(cache, projects=[project])
    if by == "spin.toml":
        write_project(project, WEB)
    else:
        write_project(project, environment=sha256(WEB))
    assert reasons(plan.execute()) == {blob("wasm", WEB): f"{project} needs it now"}


def test_execute_leaves_an_app_that_was_pulled_again(tmp_path):
    cache = laid_out(tmp_path, pulled(web()))
    plan = plan_remove(cache, V1)
    newer = web(version="2.0.0")
    write_tree(cache.path, pulled(newer))
    result = plan.execute()
    assert result.removed == ()
    assert read_tree(cache.path) == pulled(newer)


def test_execute_leaves_an_app_of_which_one_document_changed(tmp_path):
    cache = laid_out(tmp_path, pulled(web()))
    plan = plan_remove(cache, V1)
    os.utime(cache.path / folder(web()) / "config.json")
    assert plan.execute().removed == ()
    assert read_tree(cache.path) == pulled(web())


def test_execute_leaves_the_folder_in_which_another_pull_begins(tmp_path):
    """Somebody removed the app, and a pull has made its folder again, with nothing in it yet."""
    cache = laid_out(tmp_path, union(pulled(web()), pulled(archive_mode())))
    plan = plan_remove(cache, V1)
    for name in ("manifest.json", "config.json"):
        (cache.path / folder(web()) / name).unlink()
    result = plan.execute()
    assert blob("data", INDEX) in {item.path for item in result.removed}
    assert (cache.path / folder(web())).is_dir()


def test_execute_twice_does_nothing_the_second_time(tmp_path):
    cache = laid_out(tmp_path, pulled(web()))
    plan = plan_remove(cache, V1)
    assert plan.execute().freed_bytes == plan.freed_bytes
    again = plan.execute()
    assert again.removed == ()
    assert again.failed == ()


def test_nothing_is_planned_or_touched_once_another_app_is_behind_a_link(tmp_path):
    folder = "manifests/ghcr.io/org/site"
    cache = laid_out(tmp_path, union(pulled(web()), pulled(archive_mode()), STRAY))
    plans = [plan_prune(cache), plan_remove(cache, V1)]
    before = left(cache)
    (cache.path / folder).rename(tmp_path / "elsewhere")
    (cache.path / folder).symlink_to(tmp_path / "elsewhere")
    attempts = [lambda: plan_prune(cache), lambda: plan_remove(cache, V1), *(plan.execute for plan in plans)]
    for attempt in attempts:
        with pytest.raises(CacheError) as caught:
            attempt()
        assert caught.value.where.endswith(folder)
        assert "link" in caught.value.found
    (cache.path / folder).unlink()
    (tmp_path / "elsewhere").rename(cache.path / folder)
    assert left(cache) == before


def test_execute_leaves_a_locked_app_whose_manifest_stays(tmp_path, monkeypatch):
    cache = laid_out(tmp_path, pulled(web()))
    plan = plan_remove(cache, V1)

    original, refused = removing.unlink, []

    def refuse_once(folder: Folder, name: str) -> None:
        if not refused:
            refused.append(name)
            raise CacheError(str(folder.path / name), "a file that goes", "one that is held", "")
        original(folder, name)

    monkeypatch.setattr(removing, "unlink", refuse_once)
    result = plan.execute()
    assert [failed.item.path for failed in result.failed] == [f"{folder(web())}/manifest.json"]
    assert f"{folder(web())}/config.json" in reasons(result)
    assert result.removed == ()
    assert read_tree(cache.path) == pulled(web())


@pytest.mark.parametrize(
    ("plan_for", "name"),
    [(lambda cache: plan_remove(cache, V1), "letter.txt"), (plan_clear, "wasm/mine.txt")],
    ids=["remove", "clear"],
)
def test_execute_refuses_a_directory_that_became_foreign(tmp_path, plan_for, name):
    cache = laid_out(tmp_path, pulled(web()))
    plan = plan_for(cache)
    (cache.path / name).write_bytes(b"mine")
    with pytest.raises(NotACacheError):
        plan.execute()
    assert read_tree(cache.path) == {**pulled(web()), name: b"mine"}


# At the last moment -------------------------------------------------------------------------------


def stray_blobs(tmp_path: Path, tree: Mapping[str, bytes]) -> tuple[Cache, dict[str, bytes]]:
    """Lay out an app's blobs without the app."""
    return laid_out(tmp_path, blobs(tree)), blobs(tree)


def test_execute_gives_a_blob_its_name_back_if_an_app_appears(tmp_path, monkeypatch):
    cache, strays = stray_blobs(tmp_path, pulled(web()))
    plan = plan_prune(cache)
    at_the_last_moment(monkeypatch, cache, documents(pulled(web())))
    result = plan.execute()
    assert result.removed == ()
    assert set(reasons(result)) == set(strays)
    assert read_tree(cache.path) == pulled(web())


def test_execute_gives_back_what_a_manifest_alone_needs(tmp_path, monkeypatch):
    """Spin writes the manifest first, then asks which layers are stored."""
    cache, strays = stray_blobs(tmp_path, pulled(web()))
    plan = plan_prune(cache)
    written = without(documents(pulled(web())), f"{folder(web())}/config.json")
    at_the_last_moment(monkeypatch, cache, written)
    assert plan.execute().removed == ()
    assert read_tree(cache.path) == {**strays, **written}


@pytest.mark.parametrize("name", ["manifest.json", "config.json"])
def test_execute_gives_everything_back_while_a_document_is_being_written(tmp_path, monkeypatch, name):
    """Of the other document alone nobody knows what the app needs."""
    cache, strays = stray_blobs(tmp_path, union(pulled(web()), STRAY))
    plan = plan_prune(cache)
    written = documents(pulled(web()))
    written = {path: data[:20] if path.endswith(name) else data for path, data in written.items()}
    at_the_last_moment(monkeypatch, cache, written)
    assert plan.execute().removed == ()
    assert read_tree(cache.path) == {**strays, **written}


@pytest.mark.parametrize("areas", [(), ("data",)], ids=["before the members", "while they are set aside"])
def test_execute_gives_back_members_of_an_archive_that_is_just_unpacked(tmp_path, monkeypatch, areas):
    """Spin skips members that are stored; the locked app that names them is not there yet."""
    tree = pulled(unnamed_members())
    cache, strays = stray_blobs(tmp_path, tree)
    archive = blob("data", mount_archive(PAGES))
    members = [path for path in strays if path.startswith("data/") and path != archive]
    os.utime(cache.path / archive)  # just written
    plan = plan_prune(cache)
    written = without(documents(tree), f"{folder(unnamed_members())}/config.json")
    at_the_last_moment(monkeypatch, cache, written, *areas)
    result = plan.execute()
    assert {item.area for item in result.removed} <= {"wasm"} - set(areas or ("wasm",))
    assert set(reasons(result)) >= set(members)
    assert {path for path in strays if path.startswith("data/")} <= left(cache)


def test_execute_leaves_what_somebody_stored_again_meanwhile(tmp_path, monkeypatch):
    cache, _ = stray_blobs(tmp_path, pulled(web()))
    plan = plan_prune(cache)
    at_the_last_moment(monkeypatch, cache, pulled(web()))
    plan.execute()
    assert read_tree(cache.path) == pulled(web())


def test_execute_puts_everything_back_if_it_is_interrupted(tmp_path, monkeypatch):
    cache, strays = stray_blobs(tmp_path, union(pulled(web()), pulled(archive_mode())))
    plan = plan_prune(cache)
    original = removing.set_aside
    count = []

    def set_aside(folder: Folder, name: str, expected: FileState) -> str | None:
        count.append(name)
        if len(count) == 3:
            raise KeyboardInterrupt
        return original(folder, name, expected)

    monkeypatch.setattr(removing, "set_aside", set_aside)
    with pytest.raises(KeyboardInterrupt):
        plan.execute()
    remaining = read_tree(cache.path)
    assert set(remaining) <= set(strays)
    assert blob("data", archive_layer()) in remaining


# Links ------------------------------------------------------------------------------------------


def attack(plan: RemovalPlan, tmp_path: Path, part: str) -> tuple[RemovalResult | None, dict[str, bytes]]:
    """Swap a folder of the cache for a link to a copy of it, then carry the plan out."""
    target = tmp_path / "victim"
    place = plan.cache.path / part
    place.rename(target)
    place.symlink_to(target)
    before = read_tree(target)
    try:
        result = plan.execute()
    except (CacheError, NotACacheError):
        result = None
    assert read_tree(target) == before
    return result, before


@pytest.mark.parametrize(
    "part", ["wasm", "data", "manifests", "manifests/ghcr.io", "manifests/ghcr.io/org/web/v1"]
)
def test_execute_never_goes_through_a_link(tmp_path, part):
    cache = laid_out(tmp_path, pulled(web()))
    attack(plan_remove(cache, V1), tmp_path, part)


@pytest.mark.parametrize("part", ["wasm", "data"])
def test_execute_never_goes_through_a_link_that_appears_after_the_checks(tmp_path, part, monkeypatch):
    cache = laid_out(tmp_path, {blob("wasm", b"one"): b"one", blob("data", b"two"): b"two"})
    monkeypatch.setattr("spincache_nb.upkeep.removal.refuse_unless_cache", lambda path: True)
    result, _ = attack(plan_prune(cache), tmp_path, part)
    assert result is not None
    assert [failed.item.path.partition("/")[0] for failed in result.failed] == [part]
    assert "link" in result.failed[0].reason


def test_execute_removes_nothing_that_a_link_in_a_blobs_place_leads_to(tmp_path):
    cache = laid_out(tmp_path, {blob("data", b"one"): b"one"})
    plan = plan_prune(cache)
    victim = tmp_path / "victim"
    path = cache.path / blob("data", b"one")
    path.rename(victim)
    path.symlink_to(victim)
    assert set(reasons(plan.execute())) == {blob("data", b"one")}
    assert victim.read_bytes() == b"one"
    assert path.is_symlink()


def test_remove_of_thousands_goes_in_batches(tmp_path):
    files = {f"{number}.txt": f"file {number}, not inlined {'x' * 200}".encode() for number in range(600)}
    artifact = new_style("org/many", "v1", components=[Component("web", WEB, files)])
    cache = laid_out(tmp_path, union(pulled(artifact), pulled(web())))
    result = plan_remove(cache, "ghcr.io/org/many:v1").execute()
    assert len(result.removed) == 602
    assert left(cache) == set(pulled(web()))
    assert blob("data", INDEX) in left(cache)

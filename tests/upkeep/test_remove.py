"""Removing apps: what goes, what stays and for whom; expectations are written by hand."""

from __future__ import annotations

import os
from typing import Any

import pytest

from spincache_nb.errors import InvalidReferenceError, NotInCacheError
from spincache_nb.inventory import Inventory
from spincache_nb.upkeep import plan_remove, removal
from tests.support.artifacts import Component, new_style
from tests.support.caches import (
    INDEX,
    PAGES,
    WEB,
    archive_mode,
    bare_hex_name,
    blob,
    documents,
    nested,
    pulled,
    unnamed_members,
    web,
)
from tests.support.projects import write_project
from tests.support.trees import union
from tests.upkeep.worlds import disk_bytes, execute_exactly, folders, laid_out, left, paths

V1 = "ghcr.io/org/web:v1"


def test_plan_remove_takes_documents_and_blobs_of_the_only_app(tmp_path):
    cache = laid_out(tmp_path, pulled(web()))
    plan = plan_remove(cache, V1)
    assert paths(plan) == [
        "manifests/ghcr.io/org/web/v1/manifest.json",
        "manifests/ghcr.io/org/web/v1/config.json",
        blob("data", INDEX),
        blob("wasm", WEB),
    ]
    assert plan.kept == ()
    assert plan.references == (V1,)
    assert plan.freed_bytes == disk_bytes(cache)
    execute_exactly(plan)
    assert left(cache) == set()
    assert folders(cache) == {"data", "manifests", "wasm"}


def test_plan_remove_keeps_members_of_another_apps_archive_that_no_locked_app_names(tmp_path):
    site, unnamed = pulled(archive_mode()), pulled(unnamed_members())
    cache = laid_out(tmp_path, union(site, unnamed))
    plan = plan_remove(cache, "ghcr.io/org/site:v1")
    assert {kept.path for kept in plan.kept if kept.area == "data"} == {
        blob("data", data) for data in PAGES.values()
    }
    assert {kept.users for kept in plan.kept} == {("ghcr.io/org/unnamed:v1",)}
    execute_exactly(plan)
    assert left(cache) == set(unnamed)


def test_plan_remove_keeps_what_a_project_needs(tmp_path):
    cache = laid_out(tmp_path, pulled(web()))
    project = write_project(tmp_path / "project", WEB)
    plan = plan_remove(cache, V1, projects=[project])
    assert [(kept.path, kept.users) for kept in plan.kept] == [(blob("wasm", WEB), (str(project),))]
    execute_exactly(plan)
    assert left(cache) == {blob("wasm", WEB)}


def test_plan_remove_keeps_a_blob_that_somebody_touches_at_that_moment(tmp_path, monkeypatch):
    cache = laid_out(tmp_path, pulled(web()))
    take = removal.inventory_of

    def take_then_touch(*arguments: Any) -> Inventory:
        found = take(*arguments)
        os.utime(cache.path / blob("data", INDEX))
        return found

    monkeypatch.setattr(removal, "inventory_of", take_then_touch)
    (kept,) = plan_remove(cache, V1).kept
    assert (kept.path, kept.reason) == (blob("data", INDEX), "it was written or touched just now")


def test_plan_remove_leaves_what_nobody_needed_before(tmp_path):
    strays = {blob("data", b"stray"): b"stray", bare_hex_name(b"old"): b"old", "wasm/notes.txt": b"mine"}
    cache = laid_out(tmp_path, union(pulled(web()), strays))
    execute_exactly(plan_remove(cache, V1))
    assert left(cache) == set(strays)


def test_plan_remove_of_a_tag_whose_folder_holds_another_repository(tmp_path):
    cache = laid_out(tmp_path, nested())
    execute_exactly(plan_remove(cache, "ghcr.io/org/a:b"))
    assert "manifests/ghcr.io/org/a/b/manifest.json" not in left(cache)
    assert "manifests/ghcr.io/org/a/b/latest/manifest.json" in left(cache)
    assert "manifests/ghcr.io/org/a/manifest.json/manifest.json" in left(cache)


def test_plan_remove_takes_both_spellings_of_an_app(tmp_path):
    artifact = web()
    unix = pulled(artifact, "localhost:5000/org/web:v1")
    windows = pulled(artifact, "localhost:5000/org/web:v1", naming="windows")
    cache = laid_out(tmp_path, union(unix, documents(windows)))
    execute_exactly(plan_remove(cache, "localhost:5000/org/web:v1"))
    assert left(cache) == set()
    assert folders(cache) == {"data", "manifests", "wasm"}


def test_plan_remove_takes_short_references(tmp_path):
    artifact = new_style("library/hello", "latest", components=[Component("web", WEB, {})])
    cache = laid_out(tmp_path, pulled(artifact, "hello"))
    assert plan_remove(cache, "hello").references == ("docker.io/library/hello:latest",)


@pytest.mark.parametrize(
    ("reference", "error"), [("ghcr.io/org/web:v2", NotInCacheError), ("A b", InvalidReferenceError)]
)
def test_plan_remove_refuses_what_is_not_there(tmp_path, reference, error):
    cache = laid_out(tmp_path, pulled(web()))
    with pytest.raises(error):
        plan_remove(cache, [V1, reference])
    assert left(cache) == set(pulled(web()))


def test_plan_remove_of_an_app_with_a_damaged_manifest(tmp_path):
    manifest = "manifests/ghcr.io/org/web/v1/manifest.json"
    cache = laid_out(tmp_path, {**pulled(web()), manifest: b"{"})
    execute_exactly(plan_remove(cache, V1))
    assert left(cache) == set()

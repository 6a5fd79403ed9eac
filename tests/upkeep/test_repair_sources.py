"""Repairing what only a project's ``spin.toml`` names: from where it says, exactly what is damaged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from spincache_nb.cli.entry import main
from spincache_nb.core.cache import Cache
from spincache_nb.core.pull import pull
from spincache_nb.project.sources import pull_sources
from spincache_nb.upkeep import check_cache, repair
from tests.project.shapes import content, tools
from tests.project.test_sources import A, B, World
from tests.support.artifact import sha256
from tests.support.artifacts import new_style
from tests.support.behaviours import error
from tests.support.trees import assert_same_tree, read_tree
from tests.upkeep.test_repairs import empty, flip, truncate


@pytest.fixture(autouse=True)
def swift(monkeypatch):
    monkeypatch.setattr("spincache_nb.upkeep.verify._PAUSE_SECONDS", 0.01)


@pytest.fixture
def world(hostile, cache, project):
    return World(hostile, cache, project)


def place(cache: Cache, data: bytes) -> Path:
    return cache.path / "wasm" / sha256(data)


@pytest.mark.parametrize("harm", [flip, truncate, empty], ids=lambda harm: harm.__name__)
def test_repair_fetches_a_damaged_source_again_and_no_other(hostile, cache, project, world, harm):
    world.write(
        "[component.one]",
        f"source = {world.offer(A, '/a.wasm')}",
        "[component.two]",
        f"source = {world.offer(B, '/b.wasm')}",
    )
    pull_sources(cache, project)
    tree = read_tree(cache.path)
    harm(place(cache, A))
    (row,) = check_cache(cache, projects=[project])
    assert (row.path, row.kind) == (f"wasm/{sha256(A)}", "damaged blob")
    before = len(hostile.requests_for("*"))
    result = repair(cache, projects=[project])
    assert [one.path for one in hostile.requests_for("*")[before:]] == ["/a.wasm"]
    assert [one.path for one in result.repaired] == [f"wasm/{sha256(A)}"]
    assert (result.remaining, result.failed, result.wire_bytes) == ((), 0, len(A))
    assert_same_tree(tree, cache.path)


def test_repair_leaves_sources_alone_that_are_not_stored_or_whose_project_is_not_given(
    hostile, cache, project, world
):
    world.write(
        "[component.one]",
        f"source = {world.offer(A)}",
        "[component.two]",
        f"source = {world.offer(B)}",
    )
    pull_sources(cache, project)
    place(cache, B).unlink()
    before = len(hostile.requests_for("*"))
    assert repair(cache, projects=[project]).repaired == ()
    flip(place(cache, A))
    assert [row.kind for row in repair(cache).remaining] == ["damaged blob"]
    assert len(hostile.requests_for("*")) == before
    assert not place(cache, B).exists()


def test_repair_of_a_source_says_why_it_failed_and_leaves_the_file(hostile, cache, project, world):
    world.one_source(world.offer(A, "/a.wasm"))
    pull_sources(cache, project)
    flip(place(cache, A))
    harmed = read_tree(cache.path)
    hostile.on("/a.wasm", error(404, "NOT_FOUND"))
    result = repair(cache, projects=[project])
    (row,) = result.remaining
    assert (result.failed, row.kind) == (1, "damaged blob")
    assert "/a.wasm" in row.detail
    assert "404" in row.detail
    assert_same_tree(harmed, cache.path)
    project.joinpath("spin.toml").write_text("spin_manifest_version = 2\n[application]\n")  # no name
    assert repair(cache, projects=[project]).failed == 0


def test_repair_fetches_a_package_again_whose_content_is_known_from_its_last_pull(
    hostile, cache, project, world
):
    old, new = tools("1.0.0"), tools("1.2.0")
    hostile.serve(old)
    registry = f"registry = '{hostile.name}'"
    world.write(
        "[component.web]",
        f"source = {world.offer(A)}",
        "[component.web.dependencies]",
        f"'acme:tools' = {{ version = '^1.0', {registry} }}",
    )
    pull_sources(cache, project)
    tree = read_tree(cache.path)
    flip(place(cache, content(old)))
    assert repair(cache, projects=[project]).remaining == ()
    assert_same_tree(tree, cache.path)
    flip(place(cache, content(old)))
    hostile.serve(new)  # the requirement takes another content by now
    result = repair(cache, projects=[project])
    (row,) = result.remaining
    assert result.failed == 1
    assert "package" in row.detail
    assert set(read_tree(cache.path)) == set(tree)


def test_repair_of_a_package_says_what_its_registry_answered(hostile, cache, world):
    artifact = tools("1.0.0")
    hostile.serve(artifact)
    world.one_source(f"{{ package = 'acme:tools', version = '1.0.0', registry = '{hostile.name}' }}")
    pull_sources(cache, world.project)
    flip(place(cache, content(artifact)))
    hostile.on("/v2/acme/tools/tags/list", error(404, "NAME_UNKNOWN"))
    (row,) = repair(cache, projects=[world.project]).remaining
    assert "NAME_UNKNOWN" in row.detail


def test_repair_fetches_from_the_app_what_a_project_needs_too(hostile, cache, project, world):
    artifact = new_style("demo/app")
    hostile.serve(artifact)
    assert (
        main(["pull", f"{hostile.name}/demo/app:v1", "--quiet", "--cache-dir", str(cache.path.parent)]) == 0
    )
    layer = next(one for one in artifact.layers if one["mediaType"].endswith("+wasm"))
    data = artifact.blobs[layer["digest"]]
    world.one_source(world.offer(data, "/never.wasm"))
    flip(place(cache, data))
    assert repair(cache, projects=[project]).remaining == ()
    assert hostile.requests_for("/never.wasm") == []


def test_repair_brings_an_apps_manifest_and_a_projects_source_back_at_once(hostile, cache, project, world):
    hostile.serve(new_style("demo/app"))
    pull(cache, f"{hostile.name}/demo/app:v1")
    world.one_source(world.offer(A))
    pull_sources(cache, project)
    tree = read_tree(cache.path)
    truncate(next(cache.path.rglob("manifest.json")))
    flip(place(cache, A))
    assert repair(cache, projects=[project]).remaining == ()
    assert_same_tree(tree, cache.path)


def test_repair_command_takes_projects(hostile, cache, project, world, capsys):
    world.one_source(world.offer(A))
    pull_sources(cache, project)
    flip(place(cache, A))
    folder = ["--cache-dir", str(cache.path.parent), "--json", "--quiet"]
    assert main(["verify", *folder, "--project", str(project)]) == 1
    assert "--project" in json.loads(capsys.readouterr().out)[0]["remedy"]
    assert main(["repair", *folder]) == 1
    capsys.readouterr()
    assert main(["repair", *folder, "--project", str(project)]) == 0
    assert len(json.loads(capsys.readouterr().out)["repaired"]) == 1

"""``verify``, ``repair``, ``remove``, ``prune``, ``clear``: plans, questions, exit statuses, JSON."""

import io
import os
from pathlib import Path

import pytest

from spincache_nb.cli import main
from tests.support.artifacts import new_style
from tests.support.behaviours import error
from tests.support.caches import INDEX, WEB, blob, environment_blob, pulled, temporary_name, web
from tests.support.projects import write_project
from tests.support.trees import read_tree, union, write_tree
from tests.upkeep.worlds import make_older

V1, V2 = "ghcr.io/org/web:v1", "ghcr.io/org/web:v2"
APPS = union(pulled(web()), pulled(web(tag="v2", version="2.0.0")))
STRAY = {blob("data", b"stray"): b"stray"}
PROMISE = "documents only the deletion of the whole registry directory"


@pytest.fixture
def folder(tmp_path):
    """A cache directory with two apps and a stray blob, all two hours old."""
    make_older(write_tree(tmp_path / "cache" / "registry", union(APPS, STRAY)), 7200)
    return tmp_path / "cache"


@pytest.fixture
def run(folder, run, monkeypatch):
    def call(*words, answer=""):
        monkeypatch.setattr("sys.stdin", io.StringIO(answer))
        return run(*words, "--cache-dir", folder)

    return call


def stored(folder):
    return read_tree(folder / "registry")


def test_verify_of_a_whole_cache_ends_with_0(run, folder):
    status, out, err = run("verify", "--quiet")
    assert (status, out) == (0, "")
    assert err == f"everything stored in {folder / 'registry'} is whole\n"


def test_verify_ends_with_1_and_lists_damage(run, folder):
    (folder / "registry" / blob("data", INDEX)).write_bytes(b"!" * len(INDEX))
    status, (row,), err = run("verify", "--json", "--quiet")
    assert (status, err) == (1, "")
    assert list(row) == ["path", "reference", "kind", "detail", "remedy"]
    assert (row["path"], row["kind"], row["reference"]) == (blob("data", INDEX), "damaged blob", V1)
    status, out, _ = run("verify", "--quiet")
    assert status == 1
    assert f"damaged blob: {blob('data', INDEX)}" in out
    assert out.splitlines()[-1] == "1 problem, 1 of them damage"


@pytest.mark.parametrize("tree", [{temporary_name(): b"half"}, environment_blob(), {"letter.txt": b"mine"}])
def test_verify_lists_what_is_no_damage_and_ends_with_0(run, folder, tree):
    write_tree(folder / "registry", tree)
    status, out, _ = run("verify", "--json", "--quiet")
    assert status == 0
    assert [row["path"] for row in out] == list(tree)


def test_verify_shows_progress_on_standard_error(run, folder):
    status, out, err = run("verify", "--json", "--jobs", 2)
    total = sum(len(data) for path, data in stored(folder).items() if not path.startswith("manifests/"))
    assert (status, out, err) == (0, [], f"to check: {total} bytes\n")


def test_verify_counts_projects(run, folder, tmp_path):
    status, _, err = run("verify", "--quiet", "--project", tmp_path / "nowhere")
    assert status == 3
    assert "nowhere" in err


@pytest.fixture
def harmed(hostile, folder):
    """Path of a damaged blob of an app that a registry has."""
    hostile.serve(new_style("demo/app"))
    assert main(["pull", f"{hostile.name}/demo/app:v1", "--quiet", "--cache-dir", str(folder)]) == 0
    digest = new_style("demo/app").layers[0]["digest"]
    path = folder / "registry" / "wasm" / digest
    path.write_bytes(path.read_bytes()[:-1])
    return f"wasm/{digest}"


def test_repair_ends_with_0_once_all_is_whole(run, harmed):
    status, out, _ = run("repair", "--quiet")
    assert status == 0
    assert f"repaired: {harmed} (damaged blob)" in out
    assert run("verify", "--quiet")[0] == 0
    status, document, _ = run("repair", "--quiet", "--json")
    assert (status, document["repaired"], document["remaining"], document["wire_bytes"]) == (0, [], [], 0)


def test_repair_ends_with_3_if_it_cannot_be_fetched(run, harmed, hostile):
    hostile.always("*/blobs/*", error(404, "BLOB_UNKNOWN"))
    status, document, _ = run("repair", "--quiet", "--json")
    assert (status, document["failed"]) == (3, 1)
    assert [row["path"] for row in document["remaining"]] == [harmed]


def test_repair_ends_with_1_if_nobody_has_it(run, folder):
    (folder / "registry" / blob("data", b"stray")).write_bytes(b"other")
    assert run("repair", "--quiet")[0] == 1


def test_remove_shows_what_stays_and_for_whom_and_asks(run, folder):
    status, out, err = run("remove", V1, answer="y\n")
    assert status == 0
    assert "manifests/ghcr.io/org/web/v1/manifest.json" in out
    assert [line for line in out.splitlines() if blob("wasm", WEB) in line and V2 in line] != []
    assert PROMISE in err
    assert "Go on? [y/N]" in err
    assert stored(folder) == union(pulled(web(tag="v2", version="2.0.0")), STRAY)


@pytest.mark.parametrize("answer", ["n\n", "\n", "yesterday\n"])
def test_remove_does_nothing_without_a_yes(run, folder, answer):
    status, _, err = run("remove", V1, answer=answer)
    assert status == 130
    assert err.endswith("nothing was removed\n")
    assert stored(folder) == union(APPS, STRAY)


def test_remove_without_anybody_to_ask_is_wrong_usage(run, folder):
    status, _, err = run("remove", V1)
    assert status == 2
    assert "--yes" in err.splitlines()[-1]
    assert stored(folder) == union(APPS, STRAY)


def test_remove_keeps_what_a_project_needs(run, folder, tmp_path):
    project = write_project(tmp_path / "project", WEB)
    assert run("remove", V1, V2, "--yes", "--project", project)[0] == 0
    assert stored(folder) == union({blob("wasm", WEB): WEB}, STRAY)


def test_remove_keeps_the_newest_versions_of_each_repository(run, folder):
    status, _, _ = run("remove", "--keep", "2", "--yes")
    assert (status, stored(folder)) == (0, union(APPS, STRAY))
    assert run("remove", "--keep", "1", "--yes")[0] == 0
    assert stored(folder) == union(pulled(web(tag="v2", version="2.0.0")), STRAY)


@pytest.mark.parametrize("words", [[], [V1, "--keep", "1"], ["--keep", "0"]])
def test_remove_takes_references_or_a_number_to_keep(run, folder, words):
    status, _, err = run("remove", *words, "--yes")
    assert status == 2
    assert "--keep" in err
    assert stored(folder) == union(APPS, STRAY)


def test_prune_dry_run_shows_why_and_touches_nothing(run, folder):
    status, out, err = run("prune", "--dry-run")
    assert (status, err) == (0, "")
    assert blob("data", b"stray") in out
    assert "no manifest, locked app or archive in the cache needs it" in out
    assert stored(folder) == union(APPS, STRAY)


def test_prune_json_lists_the_plan_and_the_result(run, folder):
    status, plan, err = run("prune", "--json", "--dry-run")
    assert (status, err, plan["result"]) == (0, "", None)
    assert (plan["kind"], plan["freed_bytes"]) == ("prune", 5)
    assert [item["path"] for item in plan["items"]] == list(STRAY)
    assert PROMISE in plan["notice"]
    status, done, err = run("prune", "--json", "--yes")
    assert (status, err) == (0, "")
    assert done["result"] == {"freed_bytes": 5, "removed": list(STRAY), "skipped": [], "failed": []}
    assert stored(folder) == APPS


def test_prune_json_needs_yes_or_dry_run(run, folder):
    status, out, err = run("prune", "--json", answer="y\n")
    assert (status, out) == (2, "")
    assert "--dry-run" in err
    assert stored(folder) == union(APPS, STRAY)


def test_prune_says_that_there_is_nothing(run, folder):
    make_older(folder / "registry" / "data", 60)
    status, out, err = run("prune")
    assert (status, out) == (0, "")
    assert err == (
        f"nothing to prune in {folder / 'registry'}; 1 unneeded file is younger than the grace period\n"
    )
    assert run("prune", "--grace", 30, "--yes")[0] == 0
    assert stored(folder) == APPS


def test_prune_keeps_a_budget(run, folder):
    make_older(folder / "registry/manifests/ghcr.io/org/web/v2", 9000)
    assert run("prune", "--keep-bytes", "1KiB", "--keep-newest", 1, "--yes")[0] == 0
    assert stored(folder) == pulled(web())
    status, out, _ = run("prune", "--keep-bytes", 0, "--dry-run", "--json")
    assert (status, out["references"]) == (0, [V1])


def test_clear_asks_and_says_that_spin_documents_it(run, folder):
    status, out, err = run("clear", answer="yes\n")
    assert status == 0
    assert "2 apps" in out
    assert "the one operation on the cache that Spin documents" in err
    assert PROMISE not in err
    assert not (folder / "registry").exists()
    status, out, err = run("clear", "--yes")
    assert (status, out, err) == (0, "", f"there is no cache at {folder / 'registry'}\n")


def test_clear_ends_with_3_if_something_stays(run, folder, monkeypatch):
    def refuse(*arguments, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "rename", refuse)
    monkeypatch.setattr(os, "unlink", refuse)
    status, out, err = run("clear", "--yes")
    assert status == 3
    assert "could not be removed" in out
    assert "Permission denied" in err

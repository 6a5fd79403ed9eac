"""``spincache-nb pull-sources`` against a server of the tests' own."""

import pytest

from tests.support.artifact import sha256, wasm_module
from tests.support.artifacts import package
from tests.support.behaviours import error
from tests.support.trees import assert_same_tree

WASM = wasm_module("cli source", 3000)
PACKAGE = package("acme/tools", "1.2.0", seed="cli package")
CONTENT = PACKAGE.blobs[PACKAGE.layers[0]["digest"]]
TREE = {f"wasm/{sha256(data)}": data for data in (WASM, CONTENT)}


@pytest.fixture
def project(hostile, tmp_path):
    hostile.content("/a.wasm", WASM)
    hostile.serve(PACKAGE)
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "spin.toml").write_text(
        f"""
        spin_manifest_version = 2
        application.name = "cli"
        [component.web]
        source = {{ url = "{hostile.url}/a.wasm", digest = "{sha256(WASM)}" }}
        [component.web.dependencies]
        "acme:tools" = {{ version = "1", registry = "{hostile.name}" }}
        """
    )
    return tmp_path / "app"


def test_pull_sources_fetches_and_shows_each_source(project, hostile, tmp_path, run):
    status, out, err = run("pull-sources", project, "--cache-dir", tmp_path, "--quiet")
    lines = out.splitlines()
    assert (status, err) == (0, "")
    assert lines[0].split() == ["FOR", "FROM", "DIGEST", "SIZE"]
    assert lines[1].split()[:3] == ["web", f"{hostile.url}/a.wasm", sha256(WASM)]
    assert lines[2].split()[:4] == ["web,", "acme:tools", f"{hostile.name}/acme/tools:1.2.0", sha256(CONTENT)]
    assert lines[1].endswith("fetched")
    assert lines[-1] == "8.8 KiB fetched, 0 B stored, 8.8 KiB in all"
    assert_same_tree(TREE, tmp_path / "registry")


def test_pull_sources_of_this_folder_as_json(project, tmp_path, monkeypatch, run):
    monkeypatch.chdir(project)
    status, document, _ = run("pull-sources", "--cache-dir", tmp_path, "--json", "--quiet")
    assert (status, document["path"], document["name"]) == (0, ".", "cli")
    assert document["fetch_bytes"] == document["total_bytes"] == len(WASM) + len(CONTENT)
    assert document["wire_bytes"] > document["fetch_bytes"]
    assert document["seconds"] > 0
    assert [source["digest"] for source in document["sources"]] == [sha256(WASM), sha256(CONTENT)]
    assert document["sources"][1] | {"origin": "", "digest": ""} == {
        "component": "web",
        "trigger": None,
        "dependency": "acme:tools",
        "profile": None,
        "kind": "package",
        "origin": "",
        "package": "acme:tools",
        "version": "1.2.0",
        "digest": "",
        "size_bytes": len(CONTENT),
        "stored": False,
    }


def test_pull_sources_dry_run_writes_nothing(project, tmp_path, run):
    words = ("pull-sources", project, "--cache-dir", tmp_path / "cache", "--dry-run")
    status, out, _ = run(*words)
    lines = out.splitlines()
    assert status == 0
    assert lines[1].split()[-3:] == ["?", "to", "fetch"]
    assert lines[-1].endswith("and 1 of unknown size to fetch, 0 B stored, 5.9 KiB in all")
    assert not (tmp_path / "cache").exists()
    document = run(*words, "--json")[1]
    assert document["unknown_count"] == 1
    assert "wire_bytes" not in document


def test_pull_sources_prints_plain_lines_of_progress(project, tmp_path, run):
    status, _, err = run("pull-sources", project, "--cache-dir", tmp_path)
    fetched = {line for line in err.splitlines() if line.startswith("fetched")}
    assert status == 0
    assert fetched == {f"fetched {sha256(data)} {len(data)} bytes" for data in (WASM, CONTENT)}


def test_pull_sources_of_a_project_without_any_says_so(project, tmp_path, run):
    (project / "spin.toml").write_text('spin_manifest_version = 2\n[component.a]\nsource = "a.wasm"')
    status, out, err = run("pull-sources", project, "--cache-dir", tmp_path)
    assert (status, out) == (0, "")
    assert "nothing to fetch" in err


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (None, "a project: a spin.toml"),
        ("spin_manifest_version = 9", "spin_manifest_version"),
        ("spin_manifest_version = 2\ncomponent.a.source = 1", "component a, source"),
    ],
)
def test_pull_sources_of_a_bad_project_is_one_line(project, tmp_path, run, content, text):
    (project / "spin.toml").unlink()
    if content is not None:
        (project / "spin.toml").write_text(content)
    status, out, err = run("pull-sources", project, "--cache-dir", tmp_path)
    assert (status, out, len(err.splitlines())) == (3, "", 1)
    assert text in err


def test_pull_sources_names_what_it_could_not_fetch(project, hostile, tmp_path, run):
    hostile.always("/a.wasm", error(404))
    status, _, err = run("pull-sources", project, "--cache-dir", tmp_path, "--quiet")
    assert (status, len(err.splitlines())) == (3, 1)
    assert err.startswith(f"spincache-nb pull-sources: {project}, component web, source: ")

"""Commands that list what a cache holds."""

from dataclasses import replace

import pytest

from spincache_nb.cli import main
from tests.support.artifact import sha256
from tests.support.artifacts import new_style, package
from tests.support.projects import write_project

V1 = new_style("demo/app", "v1", version="1.0.0")
V2 = new_style("demo/app", "v2", version="2.0.0")
SAME = new_style("demo/other", "v1", version="1.0.0")
PACKAGE = package("demo/package", "1.0.0")


@pytest.fixture
def cache(hostile, tmp_path):
    """A cache directory with four apps, pulled through the command line."""
    artifacts = (V1, V2, SAME, PACKAGE)
    hostile.serve(*artifacts)
    words = [artifact.reference(hostile.name) for artifact in artifacts]
    assert main(["pull", *words, "--cache-dir", str(tmp_path / "cache"), "--quiet"]) == 0
    return tmp_path / "cache"


def test_apps_json_has_one_record_per_tag(cache, hostile, run):
    status, out, err = run("apps", "--cache-dir", cache, "--json")
    apps = {app["reference"]: app for app in out}
    assert (status, err) == (0, "")
    assert sorted(apps) == sorted(a.reference(hostile.name) for a in (V1, V2, SAME, PACKAGE))
    v1 = apps[V1.reference(hostile.name)]
    assert v1["kind"] == "app"
    assert v1["manifest_digest"] == V1.digest
    assert v1["layer_count"] == len(V1.layers)
    assert v1["declared_bytes"] == sum(len(data) for data in V1.blobs.values())
    assert v1["pulled_at"].endswith("Z")
    assert apps[PACKAGE.reference(hostile.name)]["component_count"] is None


def test_apps_shows_full_references_in_a_pipe(cache, hostile, run):
    _, out, err = run("apps", "--cache-dir", cache)
    assert err == ""
    *lines, nothing, total = out.splitlines()[1:]
    assert [line.split()[0] for line in lines] == sorted(
        artifact.reference(hostile.name) for artifact in (V1, V2, SAME, PACKAGE)
    )
    assert nothing == ""
    assert total.startswith("4 apps, ")


@pytest.mark.parametrize(
    ("command", "column", "key"),
    [
        ("apps", "stored", "stored_bytes"),
        ("apps", "declared_bytes", "declared_bytes"),
        ("layers", "size", "declared_bytes"),
        ("blobs", "Size", "stored_bytes"),
        ("history", "at", "at"),
        ("sharing", "users", "user_count"),
    ],
)
def test_listings_are_sorted_as_asked(command, column, key, cache, run):
    words = (command, "--json", "--cache-dir", cache, "--sort", column)
    values = [row[key] for row in run(*words)[1]]
    assert values == sorted(values, reverse=True)
    assert [row[key] for row in run(*words, "--reverse")[1]] == sorted(values)


def test_a_column_that_is_not_there_is_wrong_usage(cache, run):
    status, out, err = run("blobs", "--cache-dir", cache, "--sort", "sise")
    assert (status, out) == (2, "")
    assert err.endswith("got 'sise'; did you mean 'size'?\n")


@pytest.mark.parametrize("columns", [60, 80, 100, 160])
@pytest.mark.parametrize(
    "command", ["apps", "layers", "blobs", "history", "sharing", "savings", "doctor", "problems"]
)
def test_every_listing_fits_the_terminal(command, columns, cache, run, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    (cache / "registry" / "data" / ("x" * 120)).write_text("stray")
    _, out, _ = run(command, "--cache-dir", cache)
    long = [line for line in out.splitlines() if len(line) > columns and "/" not in line.split()[-1]]
    assert out != ""
    assert long == []


@pytest.mark.parametrize("command", ["apps", "layers", "blobs", "problems", "history", "sharing", "savings"])
def test_every_listing_of_a_cache_that_is_not_there_is_empty(command, tmp_path, run):
    where = tmp_path / "none"
    assert run(command, "--cache-dir", where, "--json") == (0, [], "")
    status, out, err = run(command, "--cache-dir", where)
    assert status == 0
    assert out == "" or command == "sharing"
    assert err.count("\n") == 1
    assert not where.exists()


def test_layers_of_one_app_are_those_of_its_manifest(cache, hostile, run):
    _, listed, _ = run("layers", V2.reference(hostile.name), "--cache-dir", cache, "--json")
    assert [layer["digest"] for layer in listed] == [layer["digest"] for layer in V2.layers]
    assert [layer["declared_bytes"] for layer in listed] == [layer["size"] for layer in V2.layers]
    assert all(layer["stored"] for layer in listed)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("layers", "r.io/o:1"),
            "r.io/o:1: expected a cached app, got none of that name; see `spincache-nb apps`\n",
        ),
        (("blobs", "--project", "none"), "none"),
        (("savings", "ghcr.io/org/none"), "ghcr.io/org/none"),
    ],
)
def test_what_is_not_there_is_said_in_one_line(words, said, cache, run):
    status, out, err = run(*words, "--cache-dir", cache)
    assert (status, out, err.count("\n")) == (3, "", 1)
    assert err.startswith(f"spincache-nb {words[0]}: {said}")


def test_blobs_can_be_chosen_by_standing(cache, run):
    stray = b"nobody needs this"
    (cache / "registry" / "data" / sha256(stray)).write_bytes(stray)
    status, (blob,), _ = run("blobs", "--standing", "unreferenced", "--cache-dir", cache, "--json")
    assert status == 0
    assert (blob["digest"], blob["stored_bytes"], blob["area"]) == (sha256(stray), len(stray), "data")
    _, out, _ = run("blobs", "--cache-dir", cache, "--json")
    stored = [path for area in ("wasm", "data") for path in (cache / "registry" / area).iterdir()]
    assert len(out) == len(stored)


def test_blobs_of_a_project_count_as_referenced(cache, tmp_path, run):
    stray = b"\0asm of a project"
    (cache / "registry" / "wasm" / sha256(stray)).write_bytes(stray)
    project = write_project(tmp_path / "project", stray)
    words = ("blobs", "--standing", "unreferenced", "--cache-dir", cache, "--json")
    assert len(run(*words)[1]) == 1
    assert run(*words, "--project", project)[1] == []


def test_problems_are_a_finding(cache, run):
    assert run("problems", "--cache-dir", cache)[0] == 0
    wasm = next(layer for layer in V1.layers if "wasm" in layer["mediaType"])
    (cache / "registry" / "wasm" / wasm["digest"]).write_bytes(b"cut")
    status, out, err = run("problems", "--cache-dir", cache)
    assert (status, err) == (1, "")
    assert wasm["digest"] in out
    assert out.splitlines()[-1].endswith(("problem", "problems"))
    status, out, _ = run("problems", "--cache-dir", cache, "--json")
    assert status == 1
    assert {"path", "reference", "kind", "detail", "remedy"} == set(out[0])


def test_problems_escape_names_of_files(cache, run):
    (cache / "registry" / "data" / "bad\x1b[2J\nname").write_text("x")
    status, out, _ = run("problems", "--cache-dir", cache)
    assert status == 1
    assert "\x1b" not in out
    assert "bad\\x1b[2J\\nname" in out


def test_history_lists_pulls_of_the_cache_that_is_named(cache, tmp_path, run):
    pulls = run("history", "--cache-dir", cache, "--json")[1]
    assert sorted(pull["manifest_digest"] for pull in pulls) == sorted(
        artifact.digest for artifact in (V1, V2, SAME, PACKAGE)
    )
    assert {pull["cache"] for pull in pulls} == {str(cache / "registry")}
    assert len(run("history", "--json")[1]) == 4
    assert run("history", "--cache-dir", tmp_path, "--json")[1] == []


def test_sharing_lists_what_has_several_users(cache, run):
    shared = run("sharing", "--cache-dir", cache, "--json")[1]
    everything = run("sharing", "--all", "--cache-dir", cache, "--json")[1]
    digests = [{layer["digest"] for layer in artifact.layers} for artifact in (V1, V2, SAME)]
    common = (digests[0] & digests[1]) | (digests[0] & digests[2]) | (digests[1] & digests[2])
    applications = {layer["digest"] for a in (V1, V2, SAME) for layer in a.layers[-1:]}
    assert {row["digest"] for row in shared} == common - applications
    assert len(everything) > len(shared)


def test_sharing_lists_as_many_as_asked_and_says_how_many_more(cache, run):
    count = len(run("sharing", "--cache-dir", cache, "--json")[1])
    assert len(run("sharing", "--top", "1", "--cache-dir", cache, "--json")[1]) == 1
    _, out, _ = run("sharing", "--top", "1", "--cache-dir", cache)
    assert out.splitlines()[2] == f"and {count - 1} more; `--top 0` lists all"
    assert out.splitlines()[-1].startswith("needed ")


def test_savings_replays_versions_in_order(cache, hostile, run):
    status, rows, _ = run("savings", "--cache-dir", cache, "--json")
    assert status == 0
    assert [(row["repository"], row["tag"]) for row in rows] == [
        (f"{hostile.name}/demo/app", "v1"),
        (f"{hostile.name}/demo/app", "v2"),
    ]
    assert rows[0]["fetch_bytes"] == rows[0]["total_bytes"] == sum(map(len, V1.blobs.values()))
    new = {digest: data for digest, data in V2.blobs.items() if digest not in V1.blobs}
    assert rows[1]["fetch_bytes"] >= sum(map(len, new.values()))
    assert rows[1]["reused_bytes"] + rows[1]["fetch_bytes"] == rows[1]["total_bytes"]


def test_savings_of_a_registry_are_those_of_its_manifests(hostile, tmp_path, run):
    hostile.serve(V1, V2, replace(V1, tag="broken", manifest=b"{}"))
    words = ("savings", f"{hostile.name}/demo/app", "--remote", "--cache-dir", tmp_path / "none")
    status, rows, err = run(*words, "--json", "--quiet")
    assert status == 0
    assert next((row["tag"], row["fetch_bytes"]) for row in rows) == ("v1", sum(map(len, V1.blobs.values())))
    assert rows[1]["reused_bytes"] > 0
    assert err == f"{hostile.name}/demo/app: 1 other tags (damaged manifest)\n"
    assert hostile.requests_for("*/blobs/*") == []
    assert run(*words)[1].splitlines()[0] == f"{hostile.name}/demo/app"
    assert run("savings", "--remote")[::2] == (2, "spincache-nb savings: --remote needs a REPOSITORY\n")


def test_doctor_is_a_finding_when_the_cache_has_problems(cache, run):
    status, out, _ = run("doctor", "--cache-dir", cache)
    assert status == 0
    assert out.splitlines()[-1] == "nothing needs attention"
    (cache / "registry" / "wasm" / "sha256:no").write_text("x")
    status, out, _ = run("doctor", "--cache-dir", cache, "--json")
    assert status == 1
    findings = out
    (problems,) = [finding for finding in findings if finding["name"] == "problems"]
    assert problems["state"] == "attention"
    assert set(problems) == {"topic", "name", "value", "state", "remedy"}


def test_doctor_asks_a_registry_when_told_to(cache, hostile, run):
    asked = len(hostile.requests)
    assert run("doctor", "--cache-dir", cache)[0] == 0
    assert len(hostile.requests) == asked
    status, out, _ = run("doctor", V1.reference(hostile.name), "--cache-dir", cache)
    assert status == 0
    assert V1.digest in out
    hostile.require("nobody", 'Basic realm="r"')
    assert run("doctor", V1.reference(hostile.name), "--cache-dir", cache)[0] == 1


def test_doctor_names_options_instead_of_python(tmp_path, run):
    (tmp_path / "registry").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.access", lambda path, mode: False)
        status, out, _ = run("doctor", "--cache-dir", tmp_path)
    assert status == 1
    assert "Cache(dir)" not in out
    assert "--cache-dir DIR" in out

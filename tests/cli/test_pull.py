"""``spincache-nb plan`` and ``spincache-nb pull`` against a registry of the tests' own."""

import io
import json
from dataclasses import replace

import pytest

from tests.support.artifacts import new_style, package
from tests.support.behaviours import Reply
from tests.support.push import basic

V1 = new_style("demo/app", "v1", version="1.0.0")
V2 = new_style("demo/app", "v2", version="2.0.0")
PACKAGE = package("demo/package", "1.0.0")


@pytest.fixture
def registry(hostile):
    hostile.serve(V1, V2, PACKAGE)
    return hostile


@pytest.fixture
def at(tmp_path):
    """The option that names an empty cache directory."""
    return "--cache-dir", tmp_path


def files(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_plan_json_agrees_with_the_artifact_and_writes_nothing(registry, at, tmp_path, run):
    status, (plan,), err = run("plan", V1.reference(registry.name), *at, "--json")
    assert (status, err) == (0, "")
    assert plan["reference"] == V1.reference(registry.name)
    assert plan["manifest_digest"] == V1.digest
    assert plan["total_bytes"] == plan["fetch_bytes"] == V1.content_bytes
    assert plan["reused_bytes"] == 0
    assert [layer["digest"] for layer in plan["layers"]] == [x["digest"] for x in V1.layers]
    assert [layer["size_bytes"] for layer in plan["layers"]] == [x["size"] for x in V1.layers]
    assert plan["config"]["digest"] == V1.document["config"]["digest"]
    assert list(tmp_path.iterdir()) == []


def test_plan_shows_each_layer_and_the_sums(registry, at, run):
    status, out, _ = run("plan", V1.reference(registry.name), PACKAGE.reference(registry.name), *at)
    layers = V1.layers + PACKAGE.layers
    assert status == 0
    assert all(layer["digest"] in out for layer in layers)
    assert out.count("to fetch") == len(layers) + 2 + 3
    assert out.splitlines()[-1].startswith("all: ")


def test_pull_then_plan_fetches_nothing_more_and_the_history_has_it(registry, at, run, isolated_home):
    words = (V1.reference(registry.name), *at, "--json")
    status, (result,), err = run("pull", *words, "--quiet")
    assert (status, err) == (0, "")
    assert result["fetch_bytes"] == V1.content_bytes
    assert result["wire_bytes"] >= result["fetch_bytes"] + len(V1.manifest)
    assert result["seconds"] > 0
    status, (plan,), _ = run("plan", *words)
    assert (status, plan["fetch_bytes"]) == (0, 0)
    assert all(layer["stored"] for layer in plan["layers"])
    text = (isolated_home / ".local" / "state" / "spincache-nb" / "history.jsonl").read_text()
    (line,) = text.splitlines()
    assert json.loads(line)["manifest_digest"] == V1.digest


def test_pull_of_several_shows_one_row_each_and_plain_lines(registry, at, run):
    words = [artifact.reference(registry.name) for artifact in (V1, V2, PACKAGE)]
    status, out, err = run("pull", *words, *at)
    headings, *rows, nothing, total = out.splitlines()
    assert status == 0
    assert headings.split() == ["REFERENCE", "KIND", "MANIFEST", "TOTAL", "REUSED", "FETCHED", "TIME"]
    assert [row.split()[0] for row in rows] == words
    assert (nothing, total.partition(" ")[0]) == ("", str(len(words)))
    assert [row.split()[2] for row in rows] == [V1.digest, V2.digest, PACKAGE.digest]
    assert "\r" not in err
    assert [line for line in err.splitlines() if line.startswith("stored ")] != []


def test_pull_logs_in_with_the_password_from_standard_input(registry, at, tmp_path, monkeypatch, run):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"pass:word\n")))
    registry.require(basic("reader", "pass:word"), 'Basic realm="r"')
    login = ("--username", "reader", "--password-stdin")
    status, out, err = run("pull", V1.reference(registry.name), *at, *login, "--debug")
    assert status == 0
    assert "pass:word" not in out + err
    assert files(tmp_path / "registry" / "manifests") != []


@pytest.mark.parametrize("words", [["--json"], []])
def test_pull_of_a_tag_that_is_not_there_is_one_line(words, registry, at, tmp_path, run):
    status, out, err = run("pull", f"{registry.name}/demo/app:v9", *at, *words)
    assert (status, out, err.count("\n")) == (3, "", 1)
    assert err.startswith("spincache-nb pull: ")
    assert "404" in err or "not found" in err.lower() or "nothing" in err
    assert files(tmp_path) == []


@pytest.mark.parametrize("words", [["--json"], []])
def test_pull_that_keeps_going_stores_the_others_and_says_which_failed(words, registry, at, tmp_path, run):
    missing, good = (f"{registry.name}/demo/app:{tag}" for tag in ("v9", "v1"))
    status, out, err = run("pull", missing, good, "--keep-going", *at, "--quiet", *words)
    assert status == 3
    if words:
        failed = [(row["reference"], "error" in row) for row in out]
        assert failed == [(good, False), (missing, True)]
        assert err == ""
    else:
        assert good in out
        assert err.startswith(f"{missing}: failed: ")
        assert err.count("\n") == 1
    assert len(list(tmp_path.glob("registry/manifests/**/manifest.json"))) == 1
    assert run("pull", good, "--keep-going", *at, "--quiet")[0] == 0


@pytest.mark.parametrize("command", ["plan", "pull"])
def test_a_refused_connection_is_one_line(command, closed_port, at, tmp_path, run):
    status, out, err = run(command, f"127.0.0.1:{closed_port}/demo/app:v1", *at)
    assert (status, out, err.count("\n")) == (3, "", 1)
    assert "refused" in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["plan", "pull", "doctor"])
@pytest.mark.parametrize("text", ["https://ghcr.io/a:1", "ghcr.io/UPPER", "a:b:c", "", "-", "x\n"])
def test_an_invalid_reference_is_wrong_usage(command, text, at, run):
    status, out, err = run(command, *at, "--", text)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"spincache-nb {command}: reference: expected a reference such as ")


def test_an_invalid_reference_among_others_stops_before_anything_is_asked(registry, at, tmp_path, run):
    assert run("pull", V1.reference(registry.name), "not a reference", *at)[0] == 2
    assert registry.requests == []
    assert list(tmp_path.iterdir()) == []


def test_what_a_registry_says_cannot_move_the_cursor(registry, at, run):
    body = json.dumps({"errors": [{"code": "DENIED", "message": "\x1b[2J\nforged line"}]}).encode()
    registry.always("*/manifests/*", Reply(403, body, (("Content-Type", "application/json"),)))
    status, _, err = run("pull", V1.reference(registry.name), *at)
    assert (status, err.count("\n")) == (3, 1)
    assert "\x1b" not in err


def test_manifest_limit_can_be_raised_where_the_error_says_so(registry, at, run):
    large = replace(V1, tag="large", manifest=V1.manifest + b" " * (9 << 20))
    registry.serve(large)
    words = ("plan", large.reference(registry.name), *at)
    status, _, err = run(*words)
    assert status == 3
    assert "raise it with --manifest-limit" in err
    assert run(*words, "--manifest-limit", "10MiB")[0] == 0


def test_a_server_of_tls_is_asked_with_https_and_trusted_with_ca(hostile_tls, ca_file, at, run):
    hostile_tls.serve(V1)
    words = ("plan", V1.reference(hostile_tls.name), *at)
    status, _, err = run(*words)
    assert status == 3
    assert "ask with --https" in err
    status, _, err = run(*words, "--https")
    assert (status, err.count("\n")) == (3, 1)
    assert "--ca FILE" in err
    assert "insecure=" not in err
    assert run(*words, "--https", "--ca", ca_file)[0] == 0


def test_insecure_forces_plain_http(registry, at, run):
    assert run("plan", V1.reference(registry.name), "--insecure", *at)[0] == 0

"""``spincache-nb plan`` and ``spincache-nb pull`` against a registry of the tests' own."""

import io
import json
from dataclasses import replace

import pytest

from spincache_nb.cli import main
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


def reference(registry, artifact):
    return f"{registry.name}/{artifact.repository}:{artifact.tag}"


def distinct_bytes(artifact):
    return sum(len(data) for data in artifact.blobs.values())


def files(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_plan_json_agrees_with_the_artifact_and_writes_nothing(registry, tmp_path, capsys):
    assert main(["plan", reference(registry, V1), "--cache-dir", str(tmp_path), "--json"]) == 0
    out, err = capsys.readouterr()
    (plan,) = json.loads(out)
    assert err == ""
    assert plan["reference"] == reference(registry, V1)
    assert plan["manifest_digest"] == V1.digest
    assert plan["total_bytes"] == plan["fetch_bytes"] == distinct_bytes(V1)
    assert plan["reused_bytes"] == 0
    manifest = json.loads(V1.manifest)
    assert [layer["digest"] for layer in plan["layers"]] == [x["digest"] for x in manifest["layers"]]
    assert [layer["size_bytes"] for layer in plan["layers"]] == [x["size"] for x in manifest["layers"]]
    assert plan["config"]["digest"] == manifest["config"]["digest"]
    assert list(tmp_path.iterdir()) == []


def test_plan_shows_each_layer_and_the_sums(registry, tmp_path, capsys):
    words = [reference(registry, V1), reference(registry, PACKAGE), "--cache-dir", str(tmp_path)]
    assert main(["plan", *words]) == 0
    out = capsys.readouterr().out
    layers = json.loads(V1.manifest)["layers"] + json.loads(PACKAGE.manifest)["layers"]
    assert all(layer["digest"] in out for layer in layers)
    assert out.count("to fetch") == len(layers) + 2 + 3
    assert out.splitlines()[-1].startswith("all: ")


def test_pull_then_plan_fetches_nothing_more(registry, tmp_path, capsys):
    words = [reference(registry, V1), "--cache-dir", str(tmp_path), "--json"]
    assert main(["pull", *words, "--quiet"]) == 0
    out, err = capsys.readouterr()
    (result,) = json.loads(out)
    assert err == ""
    assert result["fetch_bytes"] == distinct_bytes(V1)
    assert result["wire_bytes"] >= result["fetch_bytes"] + len(V1.manifest)
    assert result["seconds"] > 0
    assert main(["plan", *words]) == 0
    (plan,) = json.loads(capsys.readouterr().out)
    assert plan["fetch_bytes"] == 0
    assert all(layer["stored"] for layer in plan["layers"])


def test_pull_of_several_shows_one_row_each_and_plain_lines(registry, tmp_path, capsys):
    words = [reference(registry, artifact) for artifact in (V1, V2, PACKAGE)]
    assert main(["pull", *words, "--cache-dir", str(tmp_path)]) == 0
    out, err = capsys.readouterr()
    rows = out.splitlines()
    assert rows[0].split() == ["REFERENCE", "KIND", "MANIFEST", "TOTAL", "REUSED", "FETCHED", "TIME"]
    *rows, nothing, total = rows
    assert [row.split()[0] for row in rows[1:]] == words
    assert (nothing, total.partition(" ")[0]) == ("", str(len(words)))
    assert [row.split()[2] for row in rows[1:]] == [V1.digest, V2.digest, PACKAGE.digest]
    assert "\r" not in err
    assert [line for line in err.splitlines() if line.startswith("stored ")] != []


def test_pull_records_the_history_of_this_user(registry, tmp_path, isolated_home):
    assert main(["pull", reference(registry, V1), "--cache-dir", str(tmp_path), "--quiet"]) == 0
    text = (isolated_home / ".local" / "state" / "spincache-nb" / "history.jsonl").read_text()
    (line,) = text.splitlines()
    assert json.loads(line)["manifest_digest"] == V1.digest


def test_pull_logs_in_with_the_password_from_standard_input(registry, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"pass:word\n")))
    registry.require(basic("reader", "pass:word"), 'Basic realm="r"')
    words = [
        reference(registry, V1),
        "--cache-dir",
        str(tmp_path),
        "--username",
        "reader",
        "--password-stdin",
    ]
    assert main(["pull", *words, "--debug"]) == 0
    out, err = capsys.readouterr()
    assert "pass:word" not in out + err
    assert files(tmp_path / "registry" / "manifests") != []


@pytest.mark.parametrize("words", [["--json"], []])
def test_pull_of_a_tag_that_is_not_there_is_one_line(words, registry, tmp_path, capsys):
    missing = f"{registry.name}/demo/app:v9"
    assert main(["pull", missing, "--cache-dir", str(tmp_path), *words]) == 3
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("spincache-nb pull: ")
    assert err.count("\n") == 1
    assert "404" in err or "not found" in err.lower() or "nothing" in err
    assert files(tmp_path) == []


@pytest.mark.parametrize("words", [["--json"], []])
def test_pull_that_keeps_going_stores_the_others_and_says_which_failed(words, registry, tmp_path, capsys):
    missing, good = (f"{registry.name}/demo/app:{tag}" for tag in ("v9", "v1"))
    at = ["--cache-dir", str(tmp_path), "--quiet"]
    assert main(["pull", missing, good, "--keep-going", *at, *words]) == 3
    out, err = capsys.readouterr()
    if words:
        assert [(row["reference"], "error" in row) for row in json.loads(out)] == [
            (good, False),
            (missing, True),
        ]
        assert err == ""
    else:
        assert good in out
        assert err.startswith(f"{missing}: failed: ")
        assert err.count("\n") == 1
    assert len(list(tmp_path.glob("registry/manifests/**/manifest.json"))) == 1
    assert main(["pull", good, "--keep-going", *at]) == 0


@pytest.mark.parametrize("command", ["plan", "pull"])
def test_a_refused_connection_is_one_line(command, closed_port, tmp_path, capsys):
    assert main([command, f"127.0.0.1:{closed_port}/demo/app:v1", "--cache-dir", str(tmp_path)]) == 3
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert "refused" in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["plan", "pull", "doctor"])
@pytest.mark.parametrize("text", ["https://ghcr.io/a:1", "ghcr.io/UPPER", "a:b:c", "", "-", "x\n"])
def test_an_invalid_reference_is_wrong_usage(command, text, tmp_path, capsys):
    assert main([command, "--cache-dir", str(tmp_path), "--", text]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"spincache-nb {command}: reference: expected a reference such as ")
    assert err.count("\n") == 1


def test_an_invalid_reference_among_others_stops_before_anything_is_asked(registry, tmp_path):
    words = [reference(registry, V1), "not a reference", "--cache-dir", str(tmp_path)]
    assert main(["pull", *words]) == 2
    assert registry.requests == []
    assert list(tmp_path.iterdir()) == []


def test_what_a_registry_says_cannot_move_the_cursor(registry, tmp_path, capsys):
    body = json.dumps({"errors": [{"code": "DENIED", "message": "\x1b[2J\nforged line"}]}).encode()
    registry.always("*/manifests/*", Reply(403, body, (("Content-Type", "application/json"),)))
    assert main(["pull", reference(registry, V1), "--cache-dir", str(tmp_path)]) == 3
    err = capsys.readouterr().err
    assert "\x1b" not in err
    assert err.count("\n") == 1


def test_manifest_limit_can_be_raised_where_the_error_says_so(registry, tmp_path, capsys):
    large = replace(V1, tag="large", manifest=V1.manifest + b" " * (9 << 20))
    registry.serve(large)
    words = ["plan", reference(registry, large), "--cache-dir", str(tmp_path)]
    assert main(words) == 3
    assert "raise it with --manifest-limit" in capsys.readouterr().err
    assert main([*words, "--manifest-limit", "10MiB"]) == 0


def test_plain_request_to_a_server_of_tls_leads_to_https(hostile_tls, tmp_path, capsys):
    assert main(["plan", reference(hostile_tls, V1), "--cache-dir", str(tmp_path)]) == 3
    assert "ask with --https" in capsys.readouterr().err


def test_ca_trusts_a_private_authority_and_https_is_asked_for_on_loopback_too(
    hostile_tls, ca_file, tmp_path, capsys
):
    hostile_tls.serve(V1)
    words = ["plan", reference(hostile_tls, V1), "--https", "--cache-dir", str(tmp_path)]
    assert main(words) == 3
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "--ca FILE" in err
    assert "insecure=" not in err
    assert main([*words, "--ca", str(ca_file)]) == 0


def test_insecure_forces_plain_http(registry, tmp_path):
    assert main(["plan", reference(registry, V1), "--insecure", "--cache-dir", str(tmp_path)]) == 0

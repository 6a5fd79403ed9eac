"""``spincache-nb export`` and ``spincache-nb import``."""

import json

import pytest

from spincache_nb.cli import main
from spincache_nb.core.cache import Cache
from spincache_nb.core.pull import pull
from tests.support.artifacts import new_style
from tests.support.oracle import spin_tree
from tests.support.trees import read_tree, write_tree

APP = new_style("demo/app", "v1")


def exported(hostile, tmp_path, *options):
    hostile.serve(APP)
    reference = f"{hostile.name}/demo/app:v1"
    pull(Cache(tmp_path / "one"), reference)
    target = tmp_path / "apps.tar"
    assert main(["export", reference, "-o", str(target), "--cache-dir", str(tmp_path / "one"), *options]) == 0
    return reference, target


def test_export_and_import_carry_an_app(hostile, tmp_path, capsys):
    reference, target = exported(hostile, tmp_path)
    assert str(target) in capsys.readouterr().out
    assert main(["import", str(target), "--cache-dir", str(tmp_path / "two"), "--quiet"]) == 0
    printed = capsys.readouterr()
    assert reference in printed.out
    assert printed.err == ""
    assert read_tree(tmp_path / "one") == read_tree(tmp_path / "two")


def test_export_and_import_speak_json(hostile, tmp_path, capsys):
    reference, target = exported(hostile, tmp_path, "--json")
    document = json.loads(capsys.readouterr().out)
    assert document["apps"] == [{"reference": reference, "manifest_digest": APP.digest, "rewritten": False}]
    assert document["stored_bytes"] == target.stat().st_size
    arguments = ["import", str(target), "--cache-dir", str(tmp_path / "two"), "--json", "--quiet"]
    assert main(arguments) == 0
    (record,) = json.loads(capsys.readouterr().out)
    assert record["manifest_digest"] == APP.digest


def test_export_refuses_a_manifest_that_spin_rewrote(tmp_path, capsys):
    write_tree(tmp_path / "registry", spin_tree(APP, "ghcr.io/demo/app:v1"))
    arguments = ["export", "ghcr.io/demo/app:v1", "-o", str(tmp_path / "a.tar"), "--cache-dir", str(tmp_path)]
    assert main(arguments) == 3
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert said.endswith("export it as it is with --rewritten\n")
    assert not (tmp_path / "a.tar").exists()
    assert main([*arguments, "--rewritten"]) == 0
    assert "as Spin wrote it" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["v1", "=x", "v1="])
def test_import_refuses_a_name_that_is_no_pair(tmp_path, capsys, name):
    assert main(["import", str(tmp_path / "a.tar"), "--name", name]) == 2
    assert "NAME=REFERENCE" in capsys.readouterr().err

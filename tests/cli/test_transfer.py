"""``spincache-nb export`` and ``spincache-nb import``."""

import pytest

from spincache_nb.core.cache import Cache
from spincache_nb.core.pull import pull
from tests.support.artifacts import new_style
from tests.support.oracle import spin_tree
from tests.support.trees import read_tree, write_tree

APP = new_style("demo/app", "v1")


@pytest.fixture
def reference(hostile, tmp_path):
    """An app in the cache `one`."""
    hostile.serve(APP)
    reference = f"{hostile.name}/demo/app:v1"
    pull(Cache(tmp_path / "one"), reference)
    return reference


def test_export_and_import_carry_an_app(reference, tmp_path, run):
    target, two = tmp_path / "apps.tar", tmp_path / "two"
    words = ("export", reference, "-o", target, "--cache-dir", tmp_path / "one")
    status, out, err = run(*words)
    assert (status, err) == (0, "")
    assert str(target) in out
    status, out, err = run("import", target, "--cache-dir", two, "--quiet")
    assert (status, err) == (0, "")
    assert reference in out
    assert read_tree(tmp_path / "one") == read_tree(two)
    document = run(*words, "--json")[1]
    assert document["apps"] == [{"reference": reference, "manifest_digest": APP.digest, "rewritten": False}]
    assert document["stored_bytes"] == target.stat().st_size
    (record,) = run("import", target, "--cache-dir", two, "--json", "--quiet")[1]
    assert record["manifest_digest"] == APP.digest


def test_export_refuses_a_manifest_that_spin_rewrote(tmp_path, run):
    write_tree(tmp_path / "registry", spin_tree(APP, "ghcr.io/demo/app:v1"))
    words = ("export", "ghcr.io/demo/app:v1", "-o", tmp_path / "a.tar", "--cache-dir", tmp_path)
    status, _, err = run(*words)
    assert (status, err.count("\n")) == (3, 1)
    assert err.endswith("export it as it is with --rewritten\n")
    assert not (tmp_path / "a.tar").exists()
    status, out, _ = run(*words, "--rewritten")
    assert status == 0
    assert "as Spin wrote it" in out


@pytest.mark.parametrize("name", ["v1", "=x", "v1="])
def test_import_refuses_a_name_that_is_no_pair(tmp_path, run, name):
    status, _, err = run("import", tmp_path / "a.tar", "--name", name)
    assert status == 2
    assert "NAME=REFERENCE" in err

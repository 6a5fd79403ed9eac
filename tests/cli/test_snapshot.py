"""``spincache-nb snapshot``."""

import json

import pytest

pytest.importorskip("pyarrow", reason="the extra fleet is not installed")

from spincache_nb import fleet
from tests.fleet.test_images import layout


def test_snapshot_writes_once_and_says_where(tmp_path, run):
    words = ("snapshot", tmp_path / "fleet", "--host", "node-17", "--cache-dir", tmp_path / "cache")
    status, out, err = run(*words)
    assert (status, err) == (0, "")
    assert out.startswith("wrote a snapshot of 1 rows")
    assert "host node-17" in out
    status, out, err = run(*words)
    assert (status, err) == (0, "")
    assert out.startswith("nothing new")
    with fleet.open(tmp_path / "fleet") as opened:
        assert opened.hosts == ["node-17"]


def test_snapshot_json_is_one_document(tmp_path, run):
    (tmp_path / "salt").write_text("pepper\n")
    status, out, err = run(
        *("snapshot", tmp_path / "fleet", "--host", "node-17", "--salt-file", tmp_path / "salt"),
        *("--cache-dir", tmp_path / "cache", "--json"),
    )
    assert (status, err) == (0, "")
    document = json.loads(out)
    assert set(document) == {"target", "host", "day", "row_count", "size_bytes", "written"}
    assert document["written"] is True
    assert document["host"].startswith("h-")
    assert "node" not in out.replace(str(tmp_path), "")


@pytest.mark.parametrize("host", ["", "  "])
def test_snapshot_wants_a_name_or_none(host, tmp_path, run):
    status, out, err = run("snapshot", tmp_path, "--host", host)
    assert (status, out) == (2, "")
    assert err.count("\n") == 1


def test_snapshot_wants_a_salt_that_is_there(tmp_path, run):
    (tmp_path / "empty").write_text("\n")
    assert run("snapshot", tmp_path / "f", "--salt-file", tmp_path / "empty")[0] == 2
    status, _, err = run("snapshot", tmp_path / "f", "--salt-file", tmp_path / "gone")
    assert (status, err.count("\n")) == (3, 1)


def test_snapshot_that_cannot_be_written_is_one_line(tmp_path, run):
    (tmp_path / "file").write_text("")
    words = ("snapshot", tmp_path / "file" / "fleet", "--host", "a", "--cache-dir", tmp_path / "cache")
    status, out, err = run(*words)
    assert (status, out) == (3, "")
    assert err.count("\n") == 1


def test_snapshot_takes_an_image_store_and_leaves_sums(tmp_path, run):
    names = layout(tmp_path / "store")
    metrics = tmp_path / "spincache.prom"
    words = (
        "snapshot",
        tmp_path / "fleet",
        "--layout",
        tmp_path / "store",
        "--host",
        "a",
        "--textfile",
        metrics,
    )
    status, out, err = run(*words)
    assert (status, err) == (0, "")
    assert out.startswith("wrote a snapshot")
    assert 'spincache_apps{host="a"} 3' in metrics.read_text()
    with fleet.open(tmp_path / "fleet") as opened:
        assert set(opened.versions()["reference"]) < set(names)


@pytest.mark.parametrize(
    "words",
    [
        ("--layout", "a", "--containerd", "b"),
        ("--layout", "a", "--cache-dir", "b"),
        ("--storage-option", "endpoint"),
        ("--storage-option", "=x"),
    ],
    ids=" ".join,
)
def test_snapshot_refuses_what_makes_no_sense(words, tmp_path, run):
    status, out, err = run("snapshot", tmp_path / "fleet", *words)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert not (tmp_path / "fleet").exists()

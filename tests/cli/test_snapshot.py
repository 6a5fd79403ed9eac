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


def test_snapshot_json_is_one_document(tmp_path, run_text):
    (tmp_path / "salt").write_text("pepper\n")
    status, out, err = run_text(
        *("snapshot", tmp_path / "fleet", "--host", "node-17", "--salt-file", tmp_path / "salt"),
        *("--cache-dir", tmp_path / "cache", "--json"),
    )
    assert (status, err) == (0, "")
    document = json.loads(out)
    assert set(document) == {"target", "host", "day", "row_count", "size_bytes", "written"}
    assert document["written"] is True
    assert document["host"].startswith("h-")
    assert "node" not in out.replace(str(tmp_path), "")


def test_snapshot_that_cannot_be_written_or_has_no_salt_is_one_line(tmp_path, run):
    (tmp_path / "file").write_text("")
    for target, more in ((tmp_path / "file" / "f", ()), (tmp_path / "f", ("--salt-file", tmp_path / "gone"))):
        status, out, err = run("snapshot", target, *more, "--cache-dir", tmp_path / "cache")
        assert (status, out, err.count("\n")) == (3, "", 1)


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
        ("--host", ""),
        ("--host", "  "),
        ("--salt-file", "/dev/null"),
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

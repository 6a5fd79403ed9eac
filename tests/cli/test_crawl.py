"""``spincache-nb crawl``."""

import json

import pytest

pytest.importorskip("duckdb", reason="the extra fleet is not installed")

from spincache_nb import demo, fleet
from spincache_nb.cli import main, many


def run(capsys, *words):
    status = main([str(word) for word in words])
    return status, *capsys.readouterr()


def test_crawl_writes_once_and_says_where(tmp_path, capsys):
    with demo.registry() as registry:
        words = ("crawl", registry.host, tmp_path / "all")
        status, out, err = run(capsys, *words, "--jobs", 2)
        assert (status, err) == (0, "")
        assert out.startswith("wrote a crawl of ")
        assert f"registry {registry.host}, " in out
        status, out, err = run(capsys, *words)
        assert (status, err) == (0, "")
        assert out.startswith("nothing new")
        status, out, err = run(capsys, "crawl", registry.host, tmp_path / "one", "demo/hello", "--json")
        document = json.loads(out)
        assert (status, err, document["host"], document["written"]) == (0, "", registry.host, True)
    with fleet.open(tmp_path / "all") as every, fleet.open(tmp_path / "one") as one:
        assert every.summary()["app_count"].tolist() == [len(demo.artifacts())]
        assert set(one.versions()["repository"]) == {f"{registry.host}/demo/hello"}


def test_crawl_says_how_far_it_is(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(many, "_SECONDS_BETWEEN_NOTES", 0.0)
    with demo.registry() as registry:
        _, _, told = run(capsys, "crawl", registry.host, tmp_path / "a", "--json")
        _, _, quiet = run(capsys, "crawl", registry.host, tmp_path / "b", "--json", "--quiet")
    assert told.splitlines()[-1] == f"{len(demo.artifacts())} manifests so far"
    assert quiet == ""


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (("crawl",), 2),
        (("crawl", "ghcr.io/org", "t"), 2),
        (("crawl", "ghcr.io", "t", "--per-second", "0"), 2),
        (("crawl", "ghcr.io", "t", "--per-second", "often"), 2),
        (("crawl", "ghcr.io", "t", "--jobs", "0"), 2),
    ],
)
def test_crawl_refuses_what_makes_no_sense(words, status, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    found, out, err = run(capsys, *words)
    assert (found, out, err.count("\n")) == (status, "", 1)
    assert not list(tmp_path.iterdir())


def test_crawl_of_a_repository_that_is_not_there_is_one_line(tmp_path, capsys):
    with demo.registry() as registry:
        status, out, err = run(capsys, "crawl", registry.host, tmp_path, "demo/nothing")
    assert (status, out, err.count("\n")) == (3, "", 1)

"""``spincache-nb crawl``."""

import pytest

pytest.importorskip("duckdb", reason="the extra fleet is not installed")

from spincache_nb import demo, fleet
from spincache_nb.cli import many


def test_crawl_writes_once_and_says_where(tmp_path, run):
    with demo.registry() as registry:
        words = ("crawl", registry.host, tmp_path / "all")
        status, out, err = run(*words, "--jobs", 2)
        assert (status, err) == (0, "")
        assert out.startswith("wrote a crawl of ")
        assert f"registry {registry.host}, " in out
        status, out, err = run(*words)
        assert (status, err) == (0, "")
        assert out.startswith("nothing new")
        status, document, err = run("crawl", registry.host, tmp_path / "one", "demo/hello", "--json")
        assert (status, err, document["host"], document["written"]) == (0, "", registry.host, True)
    with fleet.open(tmp_path / "all") as every, fleet.open(tmp_path / "one") as one:
        assert every.summary()["app_count"].tolist() == [len(demo.artifacts())]
        assert set(one.versions()["repository"]) == {f"{registry.host}/demo/hello"}


def test_crawl_says_how_far_it_is(tmp_path, monkeypatch, run):
    monkeypatch.setattr(many, "_SECONDS_BETWEEN_NOTES", 0.0)
    with demo.registry() as registry:
        _, _, told = run("crawl", registry.host, tmp_path / "a", "--json")
        _, _, quiet = run("crawl", registry.host, tmp_path / "b", "--json", "--quiet")
    assert told.splitlines()[-1] == f"{len(demo.artifacts())} manifests so far"
    assert quiet == ""


def test_crawl_wants_a_registry_and_no_repository_for_one(tmp_path, run):
    status, out, err = run("crawl", "ghcr.io/org", tmp_path / "t")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert not (tmp_path / "t").exists()


def test_crawl_of_a_repository_that_is_not_there_is_one_line(tmp_path, run):
    with demo.registry() as registry:
        status, out, err = run("crawl", registry.host, tmp_path, "demo/nothing")
    assert (status, out, err.count("\n")) == (3, "", 1)

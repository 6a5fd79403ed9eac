"""``spincache-nb report``: files, standard output, thresholds."""

from functools import partial

import pandas as pd
import pytest

from spincache_nb import analysis
from spincache_nb.cli import main
from spincache_nb.core.cache import Cache
from tests.support.artifact import sha256
from tests.support.artifacts import new_style
from tests.support.projects import write_project

V1, V2 = (new_style("demo/app", tag, version=tag) for tag in ("1.0.0", "2.0.0"))


@pytest.fixture
def run(run, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return partial(run, "report")


@pytest.fixture
def cache(hostile, tmp_path):
    hostile.serve(V1, V2)
    words = [artifact.reference(hostile.name) for artifact in (V1, V2)]
    assert main(["pull", *words, "--cache-dir", str(tmp_path / "cache"), "--quiet"]) == 0
    return tmp_path / "cache"


def stray(cache, size):
    data = b"\0" * size
    (cache / "registry" / "data" / sha256(data)).write_bytes(data)


def test_report_writes_a_page_and_says_where(cache, run, tmp_path):
    status, out, err = run("--cache-dir", cache)
    assert (status, err) == (0, "")
    assert out == f"{tmp_path / 'here' / 'dedup.html'}\n"
    assert (tmp_path / "here" / "dedup.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    assert [path.name for path in (tmp_path / "here").iterdir()] == ["dedup.html"]


@pytest.mark.parametrize(
    ("words", "start"),
    [
        (["page.htm"], "<!doctype html>"),
        (["page"], "<!doctype html>"),
        (["page.MD"], "# Spin registry cache\n"),
        (["page.json"], '{\n "format": "spincache-nb report 1"'),
        (["page.txt", "--markdown"], "# Spin registry cache\n"),
        (["page.html", "--json"], "{"),
    ],
)
def test_report_takes_the_form_that_is_asked_for(words, start, cache, run, tmp_path):
    assert run(*words, "--cache-dir", cache)[0] == 0
    assert (tmp_path / "here" / words[0]).read_text(encoding="utf-8").startswith(start)


@pytest.mark.parametrize("words", [["--markdown"], ["--json"], ["-"], ["--markdown", "-"]])
def test_report_to_standard_output_is_what_a_file_would_hold(
    words, cache, run, run_text, tmp_path, monkeypatch
):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    status, out, err = run_text("report", *words, "--cache-dir", cache, "--title", "Überschrift <b>")
    assert (status, err) == (0, "")
    assert list((tmp_path / "here").iterdir()) == []
    form = [word for word in words if word != "-"]
    assert run("file", *form, "--cache-dir", cache, "--title", "Überschrift <b>")[0] == 0
    assert (tmp_path / "here" / "file").read_text(encoding="utf-8") == out


def test_report_json_is_of_the_cache_and_of_its_record_of_pulls(cache, run):
    document = run("--json", "--cache-dir", cache)[1]
    assert (document["cache"], document["host"]) == (str(cache / "registry"), None)
    assert document["summary"]["app_count"] == len(document["timeline"]) == 2


def test_report_says_what_changed_since_an_earlier_one(cache, run, hostile):
    assert run("old.html", "--cache-dir", cache, "--host", "node-17")[0] == 0
    assert main(["remove", f"{hostile.name}/demo/app:1.0.0", "--yes", "--cache-dir", str(cache)]) == 0
    status, out, _ = run("--json", "--cache-dir", cache, "--since", "old.html")
    assert status == 0
    assert [one["change"] for one in out["since"]["apps"]] == ["gone"]
    status, out, err = run("--cache-dir", cache, "--since", "none.html")
    assert (status, out) == (3, "")
    assert err == "spincache-nb report: none.html: No such file or directory\n"


def test_report_says_which_thresholds_are_missed(cache, run, tmp_path):
    stray(cache, 4096)
    summary = analysis.summary(Cache(cache)).iloc[0]
    words = ["--cache-dir", cache, "--fail-under-dedup", "9", "--fail-over-unreferenced", "4KiB"]
    status, _, err = run(*words)
    assert status == 1
    assert err == f"spincache-nb report: the dedup ratio is {summary['dedup_ratio']:.6g}, under 9\n"
    assert (tmp_path / "here" / "dedup.html").exists()
    status, _, err = run("--cache-dir", cache, "--fail-over-unreferenced", "4095")
    assert status == 1
    assert err == ("spincache-nb report: 4.0 KiB (4096 bytes) are unreferenced, over 4.0 KiB (4095 bytes)\n")


def test_report_meets_a_threshold_that_is_just_reached(cache, run):
    ratio = float(analysis.summary(Cache(cache)).loc[0, "dedup_ratio"])
    words = ("--cache-dir", cache, "--fail-over-unreferenced", "0", "--fail-on-problems")
    assert run(*words, "--fail-under-dedup", repr(ratio))[0] == 0
    assert run(*words, "--fail-under-dedup", repr(ratio + 1e-9))[0] == 1


def test_report_of_a_project_counts_what_that_needs(cache, run, tmp_path):
    data = b"\0asm of a project"
    (cache / "registry" / "wasm" / sha256(data)).write_bytes(data)
    project = write_project(tmp_path / "project", data)
    words = ("--json", "--cache-dir", cache, "--fail-over-unreferenced", "0")
    assert run(*words)[0] == 1
    status, out, _ = run(*words, "--project", project)
    assert status == 0
    assert [row["kind"] for row in out["breakdown"]].count("projects") == 1


def test_report_fails_on_problems_if_told_to(cache, run):
    (cache / "registry" / "wasm" / "sha256:no").write_text("x")
    assert run("--cache-dir", cache)[0] == 0
    status, _, err = run("--cache-dir", cache, "--fail-on-problems")
    assert (status, err) == (1, "spincache-nb report: there is 1 problem\n")


def test_report_of_an_empty_cache_misses_a_ratio(tmp_path, run):
    status, out, err = run("--markdown", "--cache-dir", tmp_path / "none", "--fail-under-dedup", "0")
    assert status == 1
    assert "There are no apps in this cache." in out
    assert err == "spincache-nb report: nothing is stored, so there is no dedup ratio to reach 0\n"
    assert not (tmp_path / "none").exists()


def test_report_writes_the_tables(cache, run, tmp_path):
    status, _, err = run("--cache-dir", cache, "--data", tmp_path / "data", "--inside")
    assert status == 0
    count = len(list((tmp_path / "data").iterdir()))
    assert err == f"wrote {count} tables as Parquet into {tmp_path / 'data'}\n"
    apps = pd.read_parquet(tmp_path / "data" / "apps.parquet")
    assert apps["tag"].tolist() == ["1.0.0", "2.0.0"]
    assert (tmp_path / "data" / "rebuilds.parquet").exists()
    assert 'id="inside"' in (tmp_path / "here" / "dedup.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["."], 2),
        (["none/page.html"], 3),
        (["--project", "none"], 3),
    ],
)
def test_report_that_cannot_be_made_says_why_in_one_line(words, status, cache, run, tmp_path):
    found, out, err = run(*words, "--cache-dir", cache)
    assert (found, out) == (status, "")
    assert err.count("\n") == 1
    assert err.startswith("spincache-nb report: ")
    assert list((tmp_path / "here").iterdir()) == []

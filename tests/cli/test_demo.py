"""``spincache-nb demo``."""

import os
import re
import subprocess
import sys

from tests.support.procs import ROOT
from tests.support.trees import read_tree

PLOTS = ["breakdown.png", "shared-bytes.png", "sharing.png"]
APPS = ["docs", "greet", "hello", "playground", "redact", "site"]


def folders(home):
    return sorted(str(path.relative_to(home)) for path in home.rglob("*"))


def test_demo_shows_and_writes_everything_and_touches_nothing_else(tmp_path, isolated_home, run):
    output = tmp_path / "out"
    status, out, err = run("demo", "--output", output, "--quiet")
    assert (status, err) == (0, "")
    assert sorted(path.name for path in output.glob("*.png")) == sorted(
        [*PLOTS, *(f"versions-demo-{name}.png" for name in APPS)]
    )
    assert len(re.findall(r"demo/(?:docs|site|hello|playground|greet|redact):\d", out)) == 2 * 18
    assert "18  apps" in out
    assert f"Everything is in {output}:" in out
    assert (output / "dedup.html").as_uri() in out
    page = (output / "dedup.html").read_text(encoding="utf-8")
    parts = ["findings", "disk", "sharing", "versions", "reclaimable", "apps", "problems"]
    assert re.findall(r'<section id="(\w+)"', page) == parts
    assert len(list((output / "cache" / "registry" / "manifests").rglob("manifest.json"))) == 18
    assert len((output / "history.jsonl").read_text().splitlines()) == 18
    assert folders(isolated_home) == []


def test_demo_makes_a_temporary_folder_keeps_it_and_no_other(isolated_home, tmp_path):
    """Nor does it make matplotlib's folders in the home, which importing matplotlib does."""
    environment = {name: value for name, value in os.environ.items() if name != "MPLCONFIGDIR"}
    done = subprocess.run(
        [sys.executable, "-m", "spincache_nb", "demo"],
        env={**environment, "TMPDIR": str(tmp_path), "COLUMNS": "80"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert folders(isolated_home) == []
    (folder,) = tmp_path.iterdir()
    assert folder.name.startswith("spincache-demo-")
    assert (folder / "dedup.html").exists()
    assert f"Everything is in {folder}:" in done.stdout
    assert [line for line in done.stdout.splitlines() if len(line) > 80 and str(tmp_path) not in line] == []


def test_demo_refuses_a_folder_that_holds_something(tmp_path, run):
    (tmp_path / "mine.txt").write_text("mine")
    before = read_tree(tmp_path)
    status, _, err = run("demo", "--output", tmp_path)
    assert (status, read_tree(tmp_path)) == (2, before)
    assert err.startswith("spincache-nb demo: --output: expected a new or empty folder")


def test_demo_leaves_no_folder_behind_when_it_fails(tmp_path, monkeypatch, run):
    def fail(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("spincache_nb.core.pull.pull", fail)
    for folder in (tmp_path / "new", tmp_path):
        assert run("demo", "--output", folder, "--quiet")[0] == 130
        assert list(tmp_path.iterdir()) == []

"""``tree``: what fills the disk."""

import pytest

from spincache_nb import Cache, frames
from tests.support.caches import blob, pulled, web
from tests.support.trees import union, write_tree

STRAY = {blob("data", b"stray" * 400): b"stray" * 400}


@pytest.fixture
def folder(tmp_path):
    """Two versions of an app and a stray blob."""
    apps = union(pulled(web()), pulled(web(tag="v2", version="2.0.0")))
    write_tree(tmp_path / "registry", union(apps, STRAY))
    return tmp_path


@pytest.fixture
def lines(folder, run):
    return lambda *words: run("tree", "--cache-dir", folder, *words)[1].splitlines()


def test_tree_adds_up_to_the_disk(folder, run):
    found = run("tree", "--cache-dir", folder, "--json", "--top", "0")[1]
    disk = int(frames.disk(Cache(folder))["stored_bytes"].sum())
    assert found[0]["stored_bytes"] == disk
    below = {level: [one for one in found if one["level"] == level] for level in range(4)}
    assert sum(one["stored_bytes"] for one in below[1]) == disk
    names = {one["name"]: one for one in found}
    assert names["needed by nothing"]["idle_bytes"] == len(b"stray" * 400)
    assert names["org/web"]["stored_bytes"] == sum(one["stored_bytes"] for one in below[3])
    for one in found:
        states = ("here", "shared", "idle", "damaged", "other")
        assert one["stored_bytes"] == sum(one[f"{state}_bytes"] for state in states)


def test_tree_shows_as_deep_and_as_much_as_asked(lines):
    assert [line.split()[0] for line in lines("--depth", "0")] == ["this"]
    shown = lines("--top", "1")
    assert any(line.strip().startswith("+") and " more " in line for line in shown)
    assert not any("\x1b" in line for line in shown)
    assert "█" in shown[0] or "#" in shown[0]


def test_tree_of_nothing_says_so(tmp_path, run):
    nothing = f"nothing is stored in {tmp_path / 'registry'}\n"
    assert run("tree", "--cache-dir", tmp_path) == (0, "", nothing)


@pytest.mark.parametrize("no_color", ["", "1"])
def test_tree_is_coloured_in_a_terminal_only_and_not_against_the_users_will(no_color, lines, monkeypatch):
    monkeypatch.setenv("NO_COLOR", no_color)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "60")
    shown = lines()
    assert any("\x1b[" in line for line in shown) == (not no_color)

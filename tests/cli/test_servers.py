"""``lab`` and ``dashboard``: what is copied, what is started, and what is said when it cannot be."""

import json
import sys

import pytest

from spincache_nb import demo
from spincache_nb.cli import main, serve
from spincache_nb.widgets.panel import VARIABLE, notebook


class Started(Exception):
    """Stands for the server that this process would have become."""

    def __init__(self, program, command, environment):
        super().__init__(program)
        self.program, self.command, self.environment = program, command, environment


@pytest.fixture
def started(monkeypatch):
    """Collect what would be started."""
    found: list[Started] = []

    def start(program, command, environment):
        found.append(Started(program, command, environment))
        raise SystemExit(0)

    monkeypatch.setattr(serve.os, "execve", start)
    return found


def test_lab_copies_the_notebooks_and_becomes_jupyterlab(started, tmp_path, run):
    pytest.importorskip("jupyterlab")
    folder = tmp_path / "my notebooks"
    done = run("lab", "--folder", folder, "--port", "9999", "--no-browser", "--", "--allow-root")
    assert started[0].program == sys.executable
    assert started[0].command == [
        *(sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={folder}"),
        "--LabApp.default_url=/lab/tree/00-start-here.ipynb",
        *("--ServerApp.port=9999", "--no-browser", "--allow-root"),
    ]
    count = len(list(demo.notebooks().glob("*.ipynb")))
    assert done == (0, f"{count} notebooks in {folder}: {count} new\n", "")
    assert {path.name for path in folder.glob("*.ipynb")} == {
        path.name for path in demo.notebooks().glob("*.ipynb")
    }


def test_lab_says_how_root_starts_it(started, tmp_path, monkeypatch, capsys):
    pytest.importorskip("jupyterlab")
    for user, said in ((0, ["JupyterLab refuses to run as root"]), (7, [])):
        monkeypatch.setattr(serve.os, "geteuid", lambda user=user: user, raising=False)
        assert main(["lab", "--folder", str(tmp_path)]) == 0
        notes = capsys.readouterr().err.splitlines()
        assert [note.partition(";")[0] for note in notes] == said
        assert all(note.endswith("lab -- --allow-root` lets it") for note in notes)
    assert len(started) == 2


def test_lab_says_which_notebooks_it_left_alone(tmp_path, capsys):
    words = ["lab", "--folder", str(tmp_path), "--copy-only"]
    assert main(words) == 0
    (tmp_path / "01-explore-your-cache.ipynb").write_text("mine")
    capsys.readouterr()
    assert main(words) == 0
    out, err = capsys.readouterr()
    assert out.rstrip().endswith("same, 1 kept")
    assert err == "01-explore-your-cache.ipynb was changed and stays as it is\n"
    assert (tmp_path / "01-explore-your-cache.ipynb").read_text() == "mine"


def test_dashboard_becomes_voila_over_the_cache_that_is_named(started, tmp_path, monkeypatch, capsys):
    pytest.importorskip("voila")
    monkeypatch.chdir(tmp_path)
    assert main(["dashboard", "--cache-dir", "here", "--project", "app", "--port", "9999"]) == 0
    assert started[0].command[:4] == [sys.executable, "-m", "voila", str(notebook())]
    assert "--Voila.auto_token=True" in started[0].command, "whoever has no token sees nothing"
    assert "--Voila.ip=127.0.0.1" in started[0].command
    assert "--Voila.port=9999" in started[0].command
    assert json.loads(started[0].environment[VARIABLE]) == {
        "cache_dir": str(tmp_path / "here"),
        "projects": [str(tmp_path / "app")],
    }
    assert capsys.readouterr().out == f"panel over {tmp_path}/here/registry\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("command", "module"), [("lab", "jupyterlab"), ("dashboard", "voila")])
def test_a_missing_extra_is_one_clear_line(command, module, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(serve.importlib.util, "find_spec", lambda name: None)
    assert main([command]) == 3
    assert capsys.readouterr() == (
        "",
        f"spincache-nb {command}: this Python: expected the package {module}, got none; "
        "pip install 'spincache-nb[lab]' brings it along\n",
    )
    assert list(tmp_path.iterdir()) == []


def test_where_a_process_cannot_be_replaced_its_end_is_waited_for():
    """As on Windows, where Ctrl-C reaches both processes and the server answers it."""

    class Server:
        waits = 0

        def wait(self):
            self.waits += 1
            if self.waits < 3:
                raise KeyboardInterrupt
            return 5

    assert serve._wait_for(Server()) == 5  # type: ignore[arg-type]


def test_a_failed_copy_is_one_clear_line(tmp_path, run):
    (tmp_path / "file").write_text("")
    status, _, err = run("lab", "--folder", tmp_path / "file" / "below", "--copy-only")
    assert (status, err.count("\n")) == (3, 1)
    assert "expected a place to write to" in err

"""What the README promises, executed: its Python, its commands' form, its help text, its links."""

import re
import subprocess
from pathlib import Path

import pytest

from spincache_nb.cli import build_parser
from spincache_nb.demo import Workspace

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """Fenced blocks of one language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


def test_readme_python_runs_as_written(monkeypatch):
    """On the demo's cache and registry, since those of the README are the reader's own."""
    import matplotlib as mpl

    import spincache_nb as sc

    with Workspace() as demo, mpl.rc_context({"backend": "Agg"}):
        demo.pull_all()
        real = sc.Cache
        monkeypatch.setattr(
            sc, "Cache", lambda *args, **named: demo.cache if not args else real(*args, **named)
        )
        names: dict[str, object] = {}
        for block in blocks("python"):
            code = block.replace("ghcr.io/org/app:v2", demo.reference("demo/hello:1.1.0"))
            code = code.replace("ghcr.io/org/app:v1", demo.reference("demo/hello:1.0.1"))
            exec(compile(code, "README.md", "exec"), names)
        assert names["plan"].fetch_bytes == 0  # type: ignore[attr-defined]
        assert names["result"].reference == demo.reference("demo/hello:1.1.0")  # type: ignore[attr-defined]
    from matplotlib import pyplot as plt

    plt.close("all")


def test_readme_has_the_two_commands_that_ci_runs():
    for name in ("demo", "test"):
        assert re.search(rf"^<!-- command: {name} -->\n```sh\n[^\n]+\n```$", README, re.MULTILINE)


def test_readme_help_is_the_parsers(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    match = re.search(r"<!-- help -->\n```text\n(.*?)```", README, re.DOTALL)
    assert match is not None
    assert match[1] == build_parser().format_help()


def test_readme_links_lead_somewhere():
    targets = re.findall(r"\]\((?!https?://)([^)#]+)", README)
    assert targets
    assert [target for target in targets if not (ROOT / target).exists()] == []


def test_readme_lists_every_notebook():
    listed = set(re.findall(r"\(notebooks/([^)]+\.ipynb)\)", README))
    assert listed == {path.name for path in (ROOT / "notebooks").glob("*.ipynb")}


@pytest.mark.parametrize("module", ["frames", "analysis", "plots"])
def test_readme_names_every_function_of_a_module(module):
    import spincache_nb as sc

    (row,) = re.findall(rf"^\| `sc\.{module}` \| (.*) \|$", README, re.MULTILINE)
    named = set(re.findall(r"`(\w+)`", row))
    assert {name for name in named if hasattr(getattr(sc, module), name)} >= named - {"ax"}


def test_committed_files_name_no_machine_and_no_index():
    """Paths of the machine on which it was made, or a package index, help nobody else."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout
    if not listed:
        pytest.skip("not a git checkout")
    telling = re.compile("|".join(("/" + "root/", "/" + "work/", "python" + "hosted", "pypi" + r"\.org")))
    unread = (".wasm", ".png", ".gz")
    found = []
    for path in (ROOT / name for name in listed.split("\0") if name):
        if path.is_file() and path.suffix not in unread and "payloads" not in path.parts:
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
            found += [f"{path.name}: {line.strip()[:80]}" for line in lines if telling.search(line)]
    assert found == []

"""The lesson as a notebook: no answer in sight, blanks that run, and a reader's own cache."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import nbformat
import pytest
from matplotlib import pyplot as plt
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from spincache_nb import lessons
from spincache_nb.demo import GENERATIONS, Workspace, recorded
from tests.support.trees import read_tree

LESSON = Path(__file__).parents[2] / "notebooks" / "04-how-content-addressing-works.ipynb"
NAMES = ["name", "ripple", "moves", "copies", "again", "freed", "trust"]
BLANK = re.compile(r'answer = None\nprint\(exercises\["(\w+)"\]\.check\(answer\)\)')
TERMS = [
    *("registry", "cache", "byte", "hash function", "hash", "digest", "blob", "manifest", "layer"),
    *("archive layer", "member", "locked app", "tag", "reference", "Merkle tree", "verify"),
]
RIGHT = {
    "name": '"sha256:" + hashlib.sha256(b"wasm").hexdigest()',
    "ripple": '{"layer", "locked app", "manifest"}',
    "moves": '"tag"',
    "copies": "1",
    "again": "1",
    "freed": 'int(sc.analysis.freed_by(cache, exercises["freed"].question.split()[5])["stored_bytes"].sum())',
    "trust": '"no"',
}


def read() -> nbformat.NotebookNode:
    notebook: nbformat.NotebookNode = nbformat.read(LESSON, as_version=4)  # type: ignore[no-untyped-call]
    return notebook


def shown(cell: nbformat.NotebookNode) -> str:
    """All text that a cell shows, sources and outputs, but for what is folded away."""
    outputs = [o.get("text", "") for o in cell.get("outputs", [])]
    outputs += [str(text) for o in cell.get("outputs", []) for text in o.get("data", {}).values()]
    return re.sub(r"<details>.*?</details>", "", "\n".join([cell.source, *outputs]), flags=re.DOTALL)


def run(notebook: nbformat.NotebookNode, folder: Path) -> str:
    NotebookClient(
        notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    ).execute()
    return "\n".join(shown(cell) for cell in notebook.cells)


def test_lesson_comes_with_blanks_that_say_so():
    cells = read().cells
    blanks = [place for place, cell in enumerate(cells) if BLANK.fullmatch(cell.source)]
    assert [BLANK.fullmatch(cells[place].source).group(1) for place in blanks] == NAMES  # type: ignore[union-attr]
    assert len([cell for cell in cells if ".check(" in cell.source]) == len(NAMES)
    for place, name in zip(blanks, NAMES, strict=True):
        assert cells[place - 1].source == f'exercises["{name}"]'
        assert cells[place].outputs[0].text.startswith("No answer yet.\nTo start: ")
        assert cells[place + 1].source == f'exercises["{name}"].hidden_answer()'
        assert cells[place + 1].outputs[0].data["text/html"].startswith("<details>")


def test_lesson_shows_no_answer_outside_details():
    cells = read().cells
    seen = "\n".join(shown(cell) for cell in cells)
    assert hashlib.sha256(b"wasm").hexdigest() not in seen
    assert 'hashlib.sha256(b"wasm")' not in seen
    with Workspace() as demo:
        demo.pull_all()
        for exercise in lessons.exercises(demo.cache).values():
            assert exercise.why not in seen
            (hidden,) = [
                str(output.data)
                for cell in cells
                if cell.source == f'exercises["{exercise.name}"].hidden_answer()'
                for output in cell.outputs
            ]
            assert exercise.why in hidden
        freed = lessons.exercises(demo.cache)["freed"].answer
        assert isinstance(freed, int)
    assert str(freed) not in seen
    assert f"{freed:,}" not in seen


def test_lesson_explains_a_term_before_it_is_used():
    text = "\n".join(cell.source for cell in read().cells if cell.cell_type == "markdown")
    for term in TERMS:
        first = re.search(rf"(?<![\w`-]){term}(?!\w)", text, flags=re.IGNORECASE)
        assert first is not None
        line = text[: first.end() + 1].splitlines()[-1]
        assert f"*{term}*" in line or f"*{term} " in line or f"*{term}," in line, (term, line)


@pytest.mark.slow
def test_lesson_runs_on_the_readers_own_cache_with_right_answers_and_only_reads(tmp_path):
    with Workspace() as demo:
        for name in ("hello:1.0.0", "docs:1.0.0", "site:1.0.0", "redact:0.1.0"):
            demo.pull(f"demo/{name}")
        before, asked = read_tree(demo.cache.path), len(demo.registry.requests)
        notebook = read()
        for cell in notebook.cells:
            own = f"my_cache = sc.Cache({str(demo.folder / 'cache')!r})"
            cell.source = cell.source.replace("my_cache = None", own)
            if found := BLANK.fullmatch(cell.source):
                cell.source = cell.source.replace("None", RIGHT[found.group(1)])
        seen = run(notebook, tmp_path)
        assert seen.count("Right. ") == len(NAMES)
        assert seen.count("Skipped: this step needs the small registry") == 2  # its source and what it says
        assert demo.reference("demo/site:1.0.0") in seen
        assert read_tree(demo.cache.path) == before
        assert len(demo.registry.requests) == asked


@pytest.mark.parametrize("generation", GENERATIONS)
def test_lesson_runs_on_a_cache_that_spin_wrote(generation, capsys):
    with recorded(generation) as cache:
        before = read_tree(cache.path)
        names: dict[str, object] = {}
        for cell in read().cells:
            if cell.cell_type == "code":
                own = f"my_cache = sc.Cache({str(cache.path.parent)!r})"
                source = cell.source.replace("my_cache = None", own)
                exec(re.sub(r"(?m)^%.*$", "", source), names)
        plt.close("all")
        assert read_tree(cache.path) == before
    said = capsys.readouterr().out
    assert said.count("No answer yet.") == len(NAMES)
    assert "Skipped: this step needs the small registry" in said


@pytest.mark.slow
def test_lesson_stops_at_a_wrong_answer(tmp_path):
    notebook = read()
    for cell in notebook.cells:
        if BLANK.fullmatch(cell.source):
            cell.source = cell.source.replace("None", '"wasm"')
    with pytest.raises(CellExecutionError, match="A name starts with the hash function"):
        run(notebook, tmp_path)

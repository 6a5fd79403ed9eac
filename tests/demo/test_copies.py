"""Copies of the notebooks: made, brought up to date, and left alone once they were changed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from spincache_nb.demo import copies
from spincache_nb.errors import SpinCacheError


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "shipped"
    (folder / "pictures").mkdir(parents=True)
    (folder / ".ipynb_checkpoints").mkdir()
    (folder / ".ipynb_checkpoints" / "a.ipynb").write_text("old")
    (folder / "a.ipynb").write_text("A")
    (folder / "b.ipynb").write_text("B")
    (folder / "pictures" / "p.png").write_text("P")
    monkeypatch.setattr(copies, "notebooks", lambda: folder)
    return folder


def outcome(folder: Path) -> dict[str, str]:
    return {one.path.relative_to(folder).as_posix(): one.what for one in copies.copy_notebooks(folder)}


def test_copy_notebooks_copies_all_but_checkpoints(shipped: Path, tmp_path: Path) -> None:
    target = tmp_path / "mine" / "deep"
    assert outcome(target) == {"a.ipynb": "new", "b.ipynb": "new", "pictures/p.png": "new"}
    assert (target / "pictures" / "p.png").read_text() == "P"
    assert outcome(target) == {"a.ipynb": "same", "b.ipynb": "same", "pictures/p.png": "same"}
    assert sorted(path.name for path in target.iterdir()) == [
        *(".spincache-notebooks.json", "a.ipynb", "b.ipynb", "pictures"),
    ]


def test_copy_notebooks_never_overwrites_what_was_changed(shipped: Path, tmp_path: Path) -> None:
    target = tmp_path / "mine"
    copies.copy_notebooks(target)
    (target / "a.ipynb").write_text("my work")
    (shipped / "a.ipynb").write_text("A, newer")
    (shipped / "b.ipynb").write_text("B, newer")
    assert outcome(target) == {"a.ipynb": "kept", "b.ipynb": "updated", "pictures/p.png": "same"}
    assert (target / "a.ipynb").read_text() == "my work"
    assert (target / "b.ipynb").read_text() == "B, newer"
    assert outcome(target)["a.ipynb"] == "kept"
    (target / "a.ipynb").unlink()
    assert outcome(target)["a.ipynb"] == "new"


@pytest.mark.parametrize("record", ["", "[]", "{", '{"a.ipynb": 7}'])
def test_copy_notebooks_without_a_legible_record_overwrites_nothing(
    shipped: Path, tmp_path: Path, record: str
) -> None:
    target = tmp_path / "mine"
    target.mkdir()
    (target / copies.RECORD).write_text(record)
    (target / "a.ipynb").write_text("somebody's")
    assert outcome(target)["a.ipynb"] == "kept"
    assert (target / "a.ipynb").read_text() == "somebody's"
    assert "b.ipynb" in json.loads((target / copies.RECORD).read_text())


def test_copy_notebooks_follows_no_link(shipped: Path, tmp_path: Path) -> None:
    target, outside = tmp_path / "mine", tmp_path / "outside"
    target.mkdir()
    outside.write_text("A")
    (target / "a.ipynb").symlink_to(outside)
    (target / "b.ipynb").symlink_to(tmp_path / "nowhere")
    assert outcome(target)["b.ipynb"] == "kept"
    (shipped / "a.ipynb").write_text("A, newer")
    copies.copy_notebooks(target)
    assert outside.read_text() == "A"
    assert not (tmp_path / "nowhere").exists()


def test_copy_notebooks_says_where_it_cannot_write(shipped: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SpinCacheError) as caught:
        copies.copy_notebooks(tmp_path / "file")
    assert caught.value.where.startswith(str(tmp_path / "file"))

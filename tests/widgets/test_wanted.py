"""What is typed into the reference field."""

from __future__ import annotations

from pathlib import Path

import pytest

from spincache_nb.core.reference import Reference
from spincache_nb.widgets.wanted import HINT, read_wanted


@pytest.mark.parametrize("text", ["", "  \n", " , ; "])
def test_read_wanted_of_nothing_says_what_to_type(text: str) -> None:
    wanted = read_wanted(text)
    assert (wanted.is_ready, wanted.is_wrong, wanted.message) == (False, False, HINT)


@pytest.mark.parametrize(
    "text", ["ghcr.io/o/a:1\nghcr.io/o/b", "ghcr.io/o/a:1, ghcr.io/o/b:latest ghcr.io/o/a:1;"]
)
def test_read_wanted_takes_several_references_once_each(text: str) -> None:
    wanted = read_wanted(text)
    assert wanted.references == (
        Reference("ghcr.io", "o/a", "1"),
        Reference("ghcr.io", "o/b", "latest"),
    )
    assert wanted.message == "2 references: ghcr.io/o/a:1, ghcr.io/o/b:latest"


def test_read_wanted_names_three_of_many() -> None:
    assert read_wanted(" ".join(f"r.io/a:{n}" for n in range(9))).message.endswith("r.io/a:2 and 6 more")


@pytest.mark.parametrize("text", ["ghcr.io/", "Org/App", "https://ghcr.io/o/a", "ghcr.io/o/a:1 <script>"])
def test_read_wanted_says_what_is_wrong(text: str) -> None:
    wanted = read_wanted(text)
    assert wanted.is_wrong
    assert not wanted.is_ready
    assert wanted.message.startswith("reference: expected a reference such as")


def test_read_wanted_takes_a_project_by_file_and_by_folder(tmp_path: Path) -> None:
    path = tmp_path / "my app" / "spin.toml"
    path.parent.mkdir()
    path.write_text("")
    for text in (str(path), f" {path.parent}\n"):
        wanted = read_wanted(text)
        assert (wanted.project, wanted.references) == (path, ())
        assert wanted.message == f"a project: {path}"


def test_read_wanted_prefers_a_path_that_exists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert read_wanted("org/app").references
    (tmp_path / "org" / "app").mkdir(parents=True)
    assert read_wanted("org/app").references, "a folder without a spin.toml is no project"
    (tmp_path / "org" / "app" / "spin.toml").write_text("")
    assert read_wanted("org/app").project == Path("org/app/spin.toml")


@pytest.mark.parametrize(
    "text", ["./none", "../none", "none/spin.toml", "~/none", "~nobody-of-that-name/x", "/none"]
)
def test_read_wanted_says_that_a_path_is_not_there(text: str) -> None:
    wanted = read_wanted(text)
    assert wanted.is_wrong
    assert wanted.message.startswith("there is no file ")


def test_read_wanted_of_what_no_path_can_be() -> None:
    assert read_wanted("a\0b").is_wrong
    assert read_wanted("x" * 5000).is_wrong

"""What is typed into the reference field."""

from pathlib import Path

import pytest

from spincache_nb.core.reference import Reference
from spincache_nb.widgets.pulling import HINT, read_request


@pytest.mark.parametrize("text", ["", "  \n", " , ; "])
def test_read_request_of_nothing_says_what_to_type(text):
    found = read_request(text)
    assert (found.is_ready, found.is_wrong, found.message) == (False, False, HINT)


@pytest.mark.parametrize(
    "text", ["ghcr.io/o/a:1\nghcr.io/o/b", "ghcr.io/o/a:1, ghcr.io/o/b:latest ghcr.io/o/a:1;"]
)
def test_read_request_takes_several_references_once_each(text):
    found = read_request(text)
    assert found.references == (Reference("ghcr.io", "o/a", "1"), Reference("ghcr.io", "o/b", "latest"))
    assert found.message == "2 references: ghcr.io/o/a:1, ghcr.io/o/b:latest"


def test_read_request_names_three_of_many():
    assert read_request(" ".join(f"r.io/a:{n}" for n in range(9))).message.endswith("r.io/a:2 and 6 more")


@pytest.mark.parametrize("text", ["ghcr.io/", "Org/App", "https://ghcr.io/o/a", "ghcr.io/o/a:1 <script>"])
def test_read_request_says_what_is_wrong(text):
    found = read_request(text)
    assert found.is_wrong
    assert not found.is_ready
    assert found.message.startswith("reference: expected a reference such as")


def test_read_request_takes_a_project_by_file_and_by_folder(tmp_path):
    path = tmp_path / "my app" / "spin.toml"
    path.parent.mkdir()
    path.write_text("")
    for text in (str(path), f" {path.parent}\n"):
        found = read_request(text)
        assert (found.project, found.references) == (path, ())
        assert found.message == f"a project: {path}"


def test_read_request_prefers_a_path_that_exists(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert read_request("org/app").references
    (tmp_path / "org" / "app").mkdir(parents=True)
    assert read_request("org/app").references, "a folder without a spin.toml is no project"
    (tmp_path / "org" / "app" / "spin.toml").write_text("")
    assert read_request("org/app").project == Path("org/app/spin.toml")


@pytest.mark.parametrize(
    "text", ["./none", "../none", "none/spin.toml", "~/none", "~nobody-of-that-name/x", "/none"]
)
def test_read_request_says_that_a_path_is_not_there(text):
    found = read_request(text)
    assert found.is_wrong
    assert found.message.startswith("there is no file ")


def test_read_request_of_what_no_path_can_be():
    assert read_request("a\0b").is_wrong
    assert read_request("x" * 5000).is_wrong

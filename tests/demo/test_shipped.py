"""Where the fixtures and notebooks are found, what the fixtures are, and copies of the notebooks."""

import json
from pathlib import Path

import pytest

from spincache_nb import demo
from spincache_nb.demo import shipped
from spincache_nb.errors import SpinCacheError


def make(path: Path) -> Path:
    path.mkdir(parents=True)
    return path


@pytest.mark.parametrize("name", ["data-fixtures", "notebooks"])
def test_find_prefers_what_is_inside_the_package(tmp_path, name):
    package = make(tmp_path / "site-packages" / "spincache_nb")
    inside = make(package / "_shipped" / name)
    make(tmp_path / "site-packages" / name)
    assert shipped._find(name, package=package) == inside


def test_find_looks_beside_the_package_in_a_checkout(tmp_path):
    package = make(tmp_path / "checkout" / "spincache_nb")
    beside = make(tmp_path / "checkout" / "notebooks")
    (tmp_path / "checkout" / "pyproject.toml").write_text("")
    assert shipped._find("notebooks", package=package) == beside


def test_find_takes_no_stranger_in_site_packages(tmp_path):
    package = make(tmp_path / "site-packages" / "spincache_nb")
    make(tmp_path / "site-packages" / "notebooks")
    with pytest.raises(SpinCacheError) as caught:
        shipped._find("notebooks", package=package)
    assert caught.value.where == str(package / "_shipped" / "notebooks")
    assert "notebooks" in caught.value.expected
    assert "install spincache-nb again" in caught.value.remedy


def test_data_fixtures_stay_small_and_plainly_named():
    files = [path for path in demo.data_fixtures().rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 8_000_000
    for path in files:
        assert path.name.isascii()
        assert not set(path.name) & set(':<>"|?*\\'), path.name


def test_every_payload_has_its_licence():
    root = demo.data_fixtures()
    licences = [path.name for path in (root / "licenses").iterdir()]
    names = (root / "payloads" / "SHA256SUMS").read_text(encoding="ascii").split()[1::2]
    for payload in {name.partition("/")[0] for name in names} - {"archives"}:  # of Bootstrap and our pages
        assert [name for name in licences if name.startswith(payload)], payload
    assert all(name.endswith(".LICENSE") for name in licences)


def test_readme_lists_every_app_and_version():
    lines = (demo.data_fixtures() / "README.md").read_text(encoding="utf-8").splitlines()
    rows = [[cell.strip() for cell in line.split("|")] for line in lines if line.startswith("| `demo/")]
    listed = [(row[1].strip("`"), row[2]) for row in rows]
    assert listed == [(artifact.repository, artifact.tag) for artifact in demo.artifacts()]


@pytest.fixture
def source(tmp_path, monkeypatch):
    folder = tmp_path / "source"
    (folder / "pictures").mkdir(parents=True)
    (folder / ".ipynb_checkpoints").mkdir()
    (folder / ".ipynb_checkpoints" / "a.ipynb").write_text("old")
    (folder / "a.ipynb").write_text("A")
    (folder / "b.ipynb").write_text("B")
    (folder / "pictures" / "p.png").write_text("P")
    monkeypatch.setattr(shipped, "notebooks", lambda: folder)
    return folder


def outcome(folder: Path) -> dict[str, str]:
    return {one.path.relative_to(folder).as_posix(): one.what for one in shipped.copy_notebooks(folder)}


def test_copy_notebooks_copies_all_but_checkpoints(source, tmp_path):
    target = tmp_path / "mine" / "deep"
    assert outcome(target) == {"a.ipynb": "new", "b.ipynb": "new", "pictures/p.png": "new"}
    assert (target / "pictures" / "p.png").read_text() == "P"
    assert outcome(target) == {"a.ipynb": "same", "b.ipynb": "same", "pictures/p.png": "same"}
    assert sorted(path.name for path in target.iterdir()) == [
        *(".spincache-notebooks.json", "a.ipynb", "b.ipynb", "pictures"),
    ]


def test_copy_notebooks_never_overwrites_what_was_changed(source, tmp_path):
    target = tmp_path / "mine"
    shipped.copy_notebooks(target)
    (target / "a.ipynb").write_text("my work")
    (source / "a.ipynb").write_text("A, newer")
    (source / "b.ipynb").write_text("B, newer")
    assert outcome(target) == {"a.ipynb": "kept", "b.ipynb": "updated", "pictures/p.png": "same"}
    assert (target / "a.ipynb").read_text() == "my work"
    assert (target / "b.ipynb").read_text() == "B, newer"
    assert outcome(target)["a.ipynb"] == "kept"
    (target / "a.ipynb").unlink()
    assert outcome(target)["a.ipynb"] == "new"


@pytest.mark.parametrize("record", ["", "[]", "{", '{"a.ipynb": 7}'])
def test_copy_notebooks_without_a_legible_record_overwrites_nothing(source, tmp_path, record):
    target = tmp_path / "mine"
    target.mkdir()
    (target / ".spincache-notebooks.json").write_text(record)
    (target / "a.ipynb").write_text("somebody's")
    assert outcome(target)["a.ipynb"] == "kept"
    assert (target / "a.ipynb").read_text() == "somebody's"
    assert "b.ipynb" in json.loads((target / ".spincache-notebooks.json").read_text())


def test_copy_notebooks_follows_no_link(source, tmp_path):
    target, outside = tmp_path / "mine", tmp_path / "outside"
    target.mkdir()
    outside.write_text("A")
    (target / "a.ipynb").symlink_to(outside)
    (target / "b.ipynb").symlink_to(tmp_path / "nowhere")
    assert outcome(target)["b.ipynb"] == "kept"
    (source / "a.ipynb").write_text("A, newer")
    shipped.copy_notebooks(target)
    assert outside.read_text() == "A"
    assert not (tmp_path / "nowhere").exists()


def test_copy_notebooks_says_where_it_cannot_write(source, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SpinCacheError) as caught:
        shipped.copy_notebooks(tmp_path / "file")
    assert caught.value.where.startswith(str(tmp_path / "file"))

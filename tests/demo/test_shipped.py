"""Where the fixtures and notebooks are found, and what the fixtures are."""

from __future__ import annotations

from pathlib import Path

import pytest

from spincache_nb import demo
from spincache_nb.demo import shipped
from spincache_nb.errors import SpinCacheError


def make(path: Path) -> Path:
    path.mkdir(parents=True)
    return path


def test_data_fixtures_holds_payloads_and_assets() -> None:
    root = demo.data_fixtures()
    assert root.is_absolute()
    assert (root / "payloads" / "hello-js" / "1.0.0.wasm").stat().st_size == 1070563
    assert (root / "assets" / "docs.json").is_file()


@pytest.mark.parametrize("name", ["data-fixtures", "notebooks"])
def test_find_prefers_what_is_inside_the_package(tmp_path: Path, name: str) -> None:
    package = make(tmp_path / "site-packages" / "spincache_nb")
    inside = make(package / "_shipped" / name)
    make(tmp_path / "site-packages" / name)
    assert shipped._find(name, package=package) == inside


def test_find_looks_beside_the_package_in_a_checkout(tmp_path: Path) -> None:
    package = make(tmp_path / "checkout" / "spincache_nb")
    beside = make(tmp_path / "checkout" / "notebooks")
    (tmp_path / "checkout" / "pyproject.toml").write_text("")
    assert shipped._find("notebooks", package=package) == beside


def test_find_takes_no_stranger_in_site_packages(tmp_path: Path) -> None:
    package = make(tmp_path / "site-packages" / "spincache_nb")
    make(tmp_path / "site-packages" / "notebooks")
    with pytest.raises(SpinCacheError) as caught:
        shipped._find("notebooks", package=package)
    assert caught.value.where == str(package / "_shipped" / "notebooks")
    assert "notebooks" in caught.value.expected
    assert "install spincache-nb again" in caught.value.remedy


def test_data_fixtures_stay_small_and_plainly_named() -> None:
    files = [path for path in demo.data_fixtures().rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 8_000_000
    for path in files:
        assert path.name.isascii()
        assert not set(path.name) & set(':<>"|?*\\'), path.name


def test_every_payload_has_its_licence() -> None:
    root = demo.data_fixtures()
    licences = [path.name for path in (root / "licenses").iterdir()]
    for payload in (path for path in (root / "payloads").iterdir() if path.is_dir()):
        if payload.name == "archives":  # of Bootstrap's style sheet and generated pages
            continue
        assert [name for name in licences if name.startswith(payload.name)], payload.name
    assert all(name.endswith(".LICENSE") for name in licences)


def test_readme_lists_every_app_and_version() -> None:
    lines = (demo.data_fixtures() / "README.md").read_text(encoding="utf-8").splitlines()
    rows = [[cell.strip() for cell in line.split("|")] for line in lines if line.startswith("| `demo/")]
    listed = [(row[1].strip("`"), row[2]) for row in rows]
    assert listed == [(artifact.repository, artifact.tag) for artifact in demo.artifacts()]

"""Projects as users of a cache: what their spin.toml and environment lock keep alive."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from spincache_nb.core.cache import Cache
from spincache_nb.errors import SpinManifestError
from spincache_nb.inventory import Inventory, InventoryLimits, take_inventory
from tests.inventory.reading import blobs, each_use, missing
from tests.support.artifact import sha256
from tests.support.caches import WEB, blob, environment_blob, package_wasm, pulled, web
from tests.support.trees import write_tree

SOURCE, DEPENDENCY, UNNEEDED = b"source", b"dependency", b"unneeded"
SPIN_TOML = f"""
spin_manifest_version = 2
[application]
name = "demo"
[component.web]
source = {{ url = "https://user:s3cret@example.test/a.wasm", digest = "{sha256(SOURCE)}" }}
[component.web.dependencies]
"a:b/c" = {{ url = "https://example.test/b.wasm", digest = "{sha256(DEPENDENCY)}" }}
"""
LOCK = json.dumps({"spinframework.dev": {"package": {"fermyon:spin@3.0.0": sha256(package_wasm())}}})


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    blobs = [SOURCE, DEPENDENCY, UNNEEDED, package_wasm()]
    write_tree(tmp_path / "cache" / "registry", {blob("wasm", data): data for data in blobs})
    return Cache(tmp_path / "cache")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    (folder / ".spin").mkdir(parents=True)
    (folder / "spin.toml").write_text(SPIN_TOML)
    (folder / ".spin" / "target-environments.lock").write_text(LOCK)
    return folder


def rows(inventory: Inventory) -> set[tuple[str, str, str, str]]:
    return {(use.user, str(use.digest), use.area, use.via) for use in each_use(inventory)}


def standing(inventory: Inventory) -> dict[str, str]:
    return {f"{one.blob.area}/{one.blob.name}": one.standing for one in blobs(inventory)}


def test_without_projects_their_blobs_are_unreferenced(cache: Cache) -> None:
    assert set(standing(take_inventory(cache)).values()) == {"unreferenced"}


@pytest.mark.parametrize("named", ["folder", "file", "text"])
def test_project_keeps_what_it_names(cache: Cache, project: Path, named: str) -> None:
    given = {"folder": project, "file": project / "spin.toml", "text": str(project)}[named]
    inventory = take_inventory(cache, projects=[given])
    user = str(given)
    assert rows(inventory) == {
        (user, sha256(SOURCE), "wasm", "spin.toml"),
        (user, sha256(DEPENDENCY), "wasm", "spin.toml"),
        (user, sha256(package_wasm()), "wasm", "environment lock"),
    }
    assert [path for path, what in standing(inventory).items() if what == "unreferenced"] == [
        blob("wasm", UNNEEDED)
    ]
    assert inventory.problems == ()
    assert inventory.projects[0].complete


def test_project_given_twice_is_one_user(cache: Cache, project: Path) -> None:
    inventory = take_inventory(cache, projects=[project, project / "spin.toml", str(project)])
    assert {user for user, *_ in rows(inventory)} == {str(project)}


def test_project_and_app_both_use_a_blob(cache: Cache, project: Path) -> None:
    text = f'spin_manifest_version = 2\n[component.a]\nsource = {{ url = "u", digest = "{sha256(WEB)}" }}'
    (project / "spin.toml").write_text(text)
    write_tree(cache.path, pulled(web()))
    found = rows(take_inventory(cache, projects=[project]))
    assert {(user, via) for user, digest, _, via in found if digest == sha256(WEB)} == {
        (str(project), "spin.toml"),
        ("ghcr.io/org/web:v1", "layer"),
    }


def test_spin_toml_comes_before_the_environment_lock(cache: Cache, project: Path) -> None:
    lock = {"example.test": {"package": {"a:b@1.0.0": sha256(SOURCE)}}}
    (project / ".spin" / "target-environments.lock").write_text(json.dumps(lock))
    found = {digest: via for _, digest, _, via in rows(take_inventory(cache, projects=[project]))}
    assert found == {sha256(SOURCE): "spin.toml", sha256(DEPENDENCY): "spin.toml"}


def test_blob_named_by_a_manifest_is_referenced_by_its_project(cache: Cache, project: Path) -> None:
    write_tree(cache.path, environment_blob())
    (path,) = environment_blob()
    lock = {"ghcr.io/org/env:v1": {"package": {"a:b@1.0.0": path.removeprefix("wasm/")}}}
    (project / ".spin" / "target-environments.lock").write_text(json.dumps(lock))
    inventory = take_inventory(cache, projects=[project])
    assert standing(inventory)[path] == "referenced"
    assert inventory.projects[0].lock is not None
    assert [one.named_by_manifest for one in inventory.projects[0].lock.environments] == [True]


def test_project_keeps_blobs_of_any_number(cache: Cache, project: Path) -> None:
    write_tree(cache.path, {blob("data", data): data for data in (b"%d" % n for n in range(500))})
    found = {digest for _, digest, _, _ in rows(take_inventory(cache, projects=[project]))}
    assert found == {sha256(SOURCE), sha256(DEPENDENCY), sha256(package_wasm())}


def test_what_a_project_lacks_is_no_problem(tmp_path: Path, project: Path) -> None:
    inventory = take_inventory(Cache(tmp_path / "none"), projects=[project])
    assert (rows(inventory), inventory.problems, missing(inventory)) == (set(), (), [])


def test_project_without_lock_or_without_manifest_is_read(cache: Cache, project: Path) -> None:
    (project / "spin.toml").unlink()
    found = rows(take_inventory(cache, projects=[project]))
    assert {via for *_, via in found} == {"environment lock"}
    (project / "spin.toml").write_text(SPIN_TOML)
    (project / ".spin" / "target-environments.lock").unlink()
    found = rows(take_inventory(cache, projects=[project]))
    assert {via for *_, via in found} == {"spin.toml"}


@pytest.mark.parametrize("name", ["nowhere", "nowhere/spin.toml", "empty"])
def test_no_project_at_a_path_is_an_error(cache: Cache, tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(SpinManifestError) as caught:
        take_inventory(cache, projects=[tmp_path / name])
    assert caught.value.where == str(tmp_path / name)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("spin.toml", b"not toml ="),
        ("spin.toml", b"\xff"),
        ("spin.toml", b"spin_manifest_version = 3"),
        ("spin.toml", b"spin_manifest_version = 2\n[component.a]\nsource = { url = 'u', digest = 'x' }"),
        (".spin/target-environments.lock", b"{"),
        (".spin/target-environments.lock", b'{"a":{"package":{"b":"../../x"}}}'),
    ],
)
def test_project_that_is_not_understood_is_one_problem(
    cache: Cache, project: Path, file: str, content: bytes
) -> None:
    (project / file).write_bytes(content)
    inventory = take_inventory(cache, projects=[project])
    assert [(problem.path, problem.kind, problem.reference) for problem in inventory.problems] == [
        (str(project / file), "project not understood", None)
    ]
    assert not inventory.projects[0].complete
    other = "environment lock" if file == "spin.toml" else "spin.toml"
    assert {via for *_, via in rows(inventory)} == {other}


def test_project_beyond_the_limit_is_one_problem(cache: Cache, project: Path) -> None:
    inventory = take_inventory(cache, projects=[project], limits=InventoryLimits(project_bytes=10))
    assert [problem.kind for problem in inventory.problems] == ["project not understood"] * 2


def test_project_shows_no_credentials(cache: Cache, project: Path) -> None:
    inventory = take_inventory(cache, projects=[project])
    assert "s3cret" not in repr(inventory.projects)
    assert inventory.projects[0].manifest is not None
    assert inventory.projects[0].manifest.web_sources[0].address == "https://example.test/a.wasm"

"""Pulling from registries of another make than Debian's docker-registry, where Go is at hand."""

from pathlib import Path

import pytest

from spincache_nb.core.cache import Cache
from spincache_nb.core.pull import plan_pull, pull
from spincache_nb.core.registry import Registry
from spincache_nb.errors import NotFoundError
from spincache_nb.project.sources import pull_sources
from tests.support.artifact import sha512
from tests.support.artifacts import five_kinds, new_style, package
from tests.support.odd_artifacts import image_index
from tests.support.oracle import allowed_additions, our_tree
from tests.support.registry_server import RegistryServer
from tests.support.trees import assert_same_tree

pytestmark = pytest.mark.slow
KINDS = sorted(five_kinds())


@pytest.fixture(params=["crane_registry", "distribution_registry"])
def registry(request: pytest.FixtureRequest) -> RegistryServer:
    server: RegistryServer = request.getfixturevalue(request.param)
    return server


@pytest.mark.parametrize("kind", KINDS)
def test_pull_leaves_what_spin_leaves(registry: RegistryServer, cache: Cache, kind: str) -> None:
    artifact = five_kinds()[kind]
    reference = registry.pushed(artifact)
    plan = plan_pull(cache, reference)
    result = pull(cache, reference)
    assert (plan.fetch_bytes, result.manifest_digest) == (result.fetch_bytes, artifact.digest)
    assert_same_tree(our_tree(artifact, reference), cache.path, allowed=allowed_additions(artifact))
    assert pull(cache, reference).wire_bytes == len(artifact.manifest)


def test_pull_by_digest_and_through_an_index(registry: RegistryServer, cache: Cache) -> None:
    index = image_index()
    registry.push(index)
    for options in ({}, {"tag": False, "digest": True}):
        reference = registry.reference(index, **options)
        pull(cache, reference)
        (folder,) = (cache.path / "manifests").rglob("manifest.json")
        assert our_tree(index, reference)[folder.relative_to(cache.path).as_posix()] == folder.read_bytes()
        folder.unlink()


def test_tags_are_all_listed(registry: RegistryServer, request: pytest.FixtureRequest) -> None:
    tags = [f"v{number}" for number in range(7)]
    registry.push(*(package("second/tags", tag) for tag in tags))
    with Registry() as client:
        assert sorted(client.tags(f"{registry.name}/second/tags")) == tags
        assert client.request_count == (1 if "crane" in request.node.name else 4)  # two to a page
        with pytest.raises(NotFoundError):
            list(client.tags(f"{registry.name}/second/none"))


def test_manifest_by_sha512(crane_registry: RegistryServer, cache: Cache) -> None:
    """docker-registry has no manifests by sha512; this one keeps them by whatever name they are put."""
    artifact = new_style("second/sha512")
    digest = sha512(artifact.manifest)
    crane_registry.push(artifact)
    with crane_registry.pusher() as pusher:
        target = f"/v2/{artifact.repository}/manifests/{digest}"
        headers = {"Content-Type": artifact.media_type}
        pusher.request("PUT", target, artifact.repository, artifact.manifest, headers, expect=(201,))
    reference = f"{crane_registry.name}/{artifact.repository}@{digest}"
    assert pull(cache, reference).manifest_digest == digest
    assert_same_tree(our_tree(artifact, reference), cache.path)
    with pytest.raises(NotFoundError):
        pull(cache, f"{crane_registry.name}/{artifact.repository}@sha512:{'0' * 128}")


def test_packages_of_a_project(registry: RegistryServer, cache: Cache, tmp_path: Path) -> None:
    versions = {
        text: package("second/tools", text, seed=text) for text in ("1.0.0", "1.3.0", "2.0.0", "latest")
    }
    registry.push(*versions.values())
    (tmp_path / "spin.toml").write_text(
        "spin_manifest_version = 2\n[component.a]\nsource = 'a.wasm'\n"
        f"dependencies = {{ 'second:tools' = {{ version = '1', registry = '{registry.name}' }} }}\n"
    )
    result = pull_sources(cache, tmp_path)
    content = versions["1.3.0"].layers[0]["digest"]
    assert [(source.version, source.digest) for source in result.sources] == [("1.3.0", content)]
    assert_same_tree({f"wasm/{content}": versions["1.3.0"].blobs[content]}, cache.path)

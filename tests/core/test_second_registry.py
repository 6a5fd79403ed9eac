"""Pulling from registries of another make than Debian's docker-registry, where Go is at hand."""

import pytest

from spincache_nb.core.cache import Cache
from spincache_nb.core.pull import plan_pull, pull
from spincache_nb.core.registry import Registry
from spincache_nb.errors import NotFoundError
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

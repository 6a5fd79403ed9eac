"""What registries do and docker-registry 2.8 does not, or lets pass; and what a login left, end to end."""

import base64
import json
from pathlib import Path

import pytest

from spincache_nb.core.cache import Cache
from spincache_nb.core.pull import plan_pull, pull
from spincache_nb.errors import AccessDeniedError
from tests.support.artifact import Artifact, sha512
from tests.support.artifacts import five_kinds, new_style
from tests.support.hostile import HostileServer
from tests.support.oracle import allowed_additions, our_tree
from tests.support.registry_server import RegistryServer
from tests.support.trees import assert_same_tree


def served_by_sha512(server: HostileServer, artifact: Artifact) -> str:
    """Serve an artifact whose manifest has a name of sha512, too; return its reference by that."""
    digest = sha512(artifact.manifest)
    server.serve(artifact)
    server.content(f"/v2/{artifact.repository}/manifests/{digest}", artifact.manifest, artifact.media_type)
    return f"{server.name}/{artifact.repository}@{digest}"


@pytest.mark.parametrize("kind", sorted(five_kinds()))
def test_pull_by_sha512_is_filed_under_it(hostile: HostileServer, cache: Cache, kind: str) -> None:
    artifact = five_kinds()[kind]
    reference = served_by_sha512(hostile, artifact)
    plan, result = plan_pull(cache, reference), pull(cache, reference)
    assert plan.manifest_digest == result.manifest_digest == sha512(artifact.manifest)
    assert result.reference == reference
    assert_same_tree(our_tree(artifact, reference), cache.path, allowed=allowed_additions(artifact))


@pytest.mark.registry
@pytest.mark.parametrize("kind", ["basic_registry", "token_registry"])
@pytest.mark.parametrize("place", ["run", "config", "variable", "spin"])
def test_pull_with_what_a_login_left(
    request: pytest.FixtureRequest,
    cache: Cache,
    isolated_home: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    place: str,
) -> None:
    """By ``podman login``, which has three places, and by ``spin registry login``."""
    registry: RegistryServer = request.getfixturevalue(kind)
    artifact = new_style("quirks/login")
    reference = registry.pushed(artifact)
    with pytest.raises(AccessDeniedError):
        pull(cache, reference)
    places = {
        "run": ".run/containers/auth.json",
        "config": ".config/containers/auth.json",
        "variable": "auth.json",
        "spin": ".config/fermyon/registry-auth.json",
    }
    path = isolated_home / places[place]
    path.parent.mkdir(parents=True, exist_ok=True)
    pair = base64.b64encode(b"reader:pass:word").decode()
    path.write_text(json.dumps({"auths": {registry.name: pair if place == "spin" else {"auth": pair}}}))
    if place == "variable":
        monkeypatch.setenv("REGISTRY_AUTH_FILE", str(path))
    pull(cache, reference)
    assert_same_tree(our_tree(artifact, reference), cache.path)

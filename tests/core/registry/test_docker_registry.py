"""Against Debian's docker-registry: plain, htpasswd, Bearer tokens, TLS with a private authority."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from spincache_nb.core.digest import Digest
from spincache_nb.core.documents import Manifest, parse_manifest
from spincache_nb.core.reference import Reference
from spincache_nb.core.registry import Registry
from spincache_nb.errors import ConnectionFailedError, NotFoundError
from tests.core.clients import quick_client, ref
from tests.support.artifact import IMAGE_CONFIG, Artifact, compact, descriptor, filler
from tests.support.registry_server import IDENTITY_TOKENS, RegistryServer
from tests.support.token_service import SERVICE, TokenService, TokenSettings

pytestmark = pytest.mark.registry
READER = ("reader", "pass:word")
ZOE = ("zoë", "pässwörd ✓")


def artifact(repository: str, *, tag: str = "v1", count: int = 5) -> Artifact:
    """Some layers of some size, each of them only in this repository."""
    layers = [filler(f"{repository} {number}", 1 + number * 70_001) for number in range(count)]
    manifest = compact(
        {
            "schemaVersion": 2,
            "config": descriptor(IMAGE_CONFIG, b"{}"),
            "layers": [descriptor("application/wasm", layer) for layer in layers],
        }
    )
    blobs = {str(Digest.of(data)): data for data in (b"{}", *layers)}
    return Artifact(repository, tag, manifest, blobs=blobs)


def read_all(client: Registry, reference: Reference, expected: Artifact) -> None:
    """Fetch everything a pull would, 16 at a time, and compare."""
    served = client.fetch_manifest(reference)
    assert served.content == expected.manifest
    assert str(served.digest) == expected.digest
    manifest = parse_manifest(served.content, where="test")
    assert isinstance(manifest, Manifest)
    assert client.fetch_document(reference, manifest.config) == b"{}"
    with ThreadPoolExecutor(16) as pool:
        fetched = list(
            pool.map(lambda layer: b"".join(client.stream_blob(reference, layer)), manifest.layers)
        )
    assert fetched == [expected.blobs[str(layer.digest)] for layer in manifest.layers]


def test_tags_of_a_registry(plain_registry: RegistryServer) -> None:
    plain_registry.push(*(artifact("transport/tags", tag=f"v{number}", count=1) for number in (2, 10, 1)))
    with quick_client() as client:
        assert sorted(client.tags(f"{plain_registry.name}/transport/tags")) == ["v1", "v10", "v2"]
        with pytest.raises(NotFoundError) as caught:
            list(client.tags(f"{plain_registry.name}/transport/no-such"))
    assert "NAME_UNKNOWN" in caught.value.found


def test_missing_things_are_told_apart(plain_registry: RegistryServer) -> None:
    one = artifact("transport/missing", count=1)
    plain_registry.push(one)
    with quick_client() as client:
        with pytest.raises(NotFoundError, match="tag v9"):
            client.fetch_manifest(ref(f"{plain_registry.name}/transport/missing:v9"))
        with pytest.raises(NotFoundError, match="manifest sha256:0"):
            client.fetch_manifest(ref(f"{plain_registry.name}/transport/missing@sha256:{'0' * 64}"))
        with pytest.raises(NotFoundError, match=r"NAME_UNKNOWN|MANIFEST_UNKNOWN"):
            client.fetch_manifest(ref(f"{plain_registry.name}/transport/nothing-here:v1"))


@pytest.mark.parametrize("auth", [READER, ZOE], ids=["reader", "zoe"])
def test_basic_registry_is_read_whole(basic_registry: RegistryServer, auth: tuple[str, str]) -> None:
    one = artifact("transport/basic")
    basic_registry.push(one)
    with quick_client(auth=auth) as client, basic_registry.recording() as records:
        read_all(client, ref(basic_registry.reference(one)), one)
        assert client.request_count == 1 + 7
    assert [record.status for record in records if record.status != 200] == [401]


@pytest.mark.parametrize(
    ("auth", "repository", "settings", "asked"),
    [
        (READER, "private/app", {}, ("GET", "reader")),
        (("<token>", *IDENTITY_TOKENS), "private/app", {}, ("POST", "reader")),
        (None, "public/app", {"token_field": "token", "expires_in": None}, ("GET", None)),
        (None, "public/app", {"token_field": "access_token", "expires_in": None}, ("GET", None)),
    ],
    ids=["user", "identity token", "anybody", "anybody, by another name"],
)
def test_token_registry_is_read_with_one_token(
    token_registry: RegistryServer,
    token_service: TokenService,
    auth: tuple[str, str] | None,
    repository: str,
    settings: dict[str, Any],
    asked: tuple[str, str | None],
) -> None:
    one = artifact(repository)
    reference = ref(token_registry.pushed(one))
    token_service.settings = TokenSettings(**settings)
    with quick_client(auth=auth) as client:
        read_all(client, reference, one)
        assert client.request_count == 1 + 1 + 7
    [request] = token_service.requests
    assert (request.method, request.user, request.status) == (*asked, 200)
    assert request.scopes == [f"repository:{repository}:pull"]
    assert request.parameters["service"] == [SERVICE]


def test_tls_registry_asked_in_plain_http_says_so(tls_registry: RegistryServer) -> None:
    with quick_client() as client, pytest.raises(Exception, match="insecure=False"):
        client.fetch_manifest(ref(f"{tls_registry.name}/transport/tls:v1"))


def test_plain_registry_asked_for_tls_says_so(plain_registry: RegistryServer) -> None:
    with quick_client(insecure=False) as client, pytest.raises(ConnectionFailedError, match="insecure=True"):
        client.fetch_manifest(ref(f"{plain_registry.name}/transport/plain:v1"))

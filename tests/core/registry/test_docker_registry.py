"""Against Debian's docker-registry: plain, htpasswd, Bearer tokens, TLS with a private authority."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from spincache_nb.core.digest import Digest
from spincache_nb.core.documents import Descriptor, Manifest, parse_manifest
from spincache_nb.core.reference import Reference
from spincache_nb.core.refusals import RetryableError
from spincache_nb.core.registry import Registry
from spincache_nb.core.web import Answer
from spincache_nb.errors import AccessDeniedError, ConnectionFailedError, NotFoundError
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


def test_plain_registry_is_read_whole(plain_registry: RegistryServer) -> None:
    one = artifact("transport/plain")
    plain_registry.push(one)
    with quick_client() as client:
        read_all(client, ref(plain_registry.reference(one)), one)
        read_all(client, ref(plain_registry.reference(one, tag=False, digest=True)), one)
        assert client.request_count == 2 * (2 + 5)
        assert client.wire_bytes == 2 * (len(one.manifest) + sum(map(len, one.blobs.values())))


def test_plain_registry_resumes_by_range(
    plain_registry: RegistryServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = filler("transport/range", 5 << 20)
    blob = Descriptor("application/wasm", Digest.of(data), len(data))
    with plain_registry.pusher() as pusher:
        pusher.push_blob("transport/range", str(blob.digest), data)
    calls = itertools.count()
    whole = Answer.piece

    def breaking(answer: Answer) -> bytes | None:
        if next(calls) in (1, 3):
            answer.close()
            raise RetryableError(ConnectionFailedError("the test"))
        return whole(answer)

    monkeypatch.setattr(Answer, "piece", breaking)
    with quick_client() as client, plain_registry.recording() as records:
        assert b"".join(client.stream_blob(ref(f"{plain_registry.name}/transport/range:v1"), blob)) == data
        assert client.request_count == 3
    assert 206 in [record.status for record in records]  # a line may come too late, but not both


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


@pytest.mark.parametrize("auth", [("reader", "wrong"), ("nobody", "x"), None])
def test_basic_registry_refuses(basic_registry: RegistryServer, auth: tuple[str, str] | None) -> None:
    with quick_client(auth=auth) as client:
        with pytest.raises(AccessDeniedError) as caught:
            client.fetch_manifest(ref(f"{basic_registry.name}/transport/basic:v1"))
        assert client.request_count == (2 if auth else 1)
    assert caught.value.status == 401
    assert ("without credentials" in caught.value.found) == (auth is None)


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


def test_token_registry_is_asked_for_one_token_though_it_expires_at_once(
    token_registry: RegistryServer, token_service: TokenService
) -> None:
    one = artifact("private/renewal", count=1)
    token_registry.push(one)
    token_service.settings.expires_in = 0  # a token lives for a minute at least
    with quick_client(auth=READER) as client:
        for _ in range(3):
            client.fetch_manifest(ref(token_registry.reference(one)))
    assert len(token_service.requests) == 1


def test_token_registry_with_tokens_it_refuses_does_not_turn_in_a_circle(
    token_registry: RegistryServer, token_service: TokenService
) -> None:
    one = artifact("private/expired", count=1)
    token_registry.push(one)
    token_service.settings.lifetime = -61
    with quick_client(auth=READER) as client, pytest.raises(AccessDeniedError):
        client.fetch_manifest(ref(token_registry.reference(one)))
    assert len(token_service.requests) == 1


@pytest.mark.parametrize("auth", [("reader", "wrong"), ("<token>", "wrong"), None])
def test_token_registry_refuses(
    token_registry: RegistryServer, token_service: TokenService, auth: tuple[str, str] | None
) -> None:
    with quick_client(auth=auth) as client, pytest.raises(AccessDeniedError) as caught:
        client.fetch_manifest(ref(f"{token_registry.name}/private/app:v1"))
    assert "wrong" not in str(caught.value)
    assert len(token_service.requests) == 1


def test_tls_registry_asked_in_plain_http_says_so(tls_registry: RegistryServer) -> None:
    with quick_client() as client, pytest.raises(Exception, match="insecure=False"):
        client.fetch_manifest(ref(f"{tls_registry.name}/transport/tls:v1"))


def test_plain_registry_asked_for_tls_says_so(plain_registry: RegistryServer) -> None:
    with quick_client(insecure=False) as client, pytest.raises(ConnectionFailedError, match="insecure=True"):
        client.fetch_manifest(ref(f"{plain_registry.name}/transport/plain:v1"))

"""Asking what a tag means without fetching the manifest."""

from __future__ import annotations

import hashlib

import httpx
import pytest

from spincache_nb.core.digest import Digest
from spincache_nb.errors import AccessDeniedError, NotFoundError, ProtocolError, StatusError
from tests.core.clients import mock_client, quick_client, ref
from tests.support.artifacts import new_style
from tests.support.behaviours import Reply, error, later
from tests.support.hostile import HostileServer
from tests.support.registry_server import RegistryServer

DIGEST = "sha256:" + hashlib.sha256(b"x").hexdigest()
APP = new_style("heads/app", "v1")


def test_fetch_manifest_digest_asks_by_head_for_the_types_that_a_pull_takes() -> None:
    seen: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, headers={"Docker-Content-Digest": DIGEST, "Content-Length": "99999999"})

    with mock_client(handler) as client:
        assert client.fetch_manifest_digest(ref("r.example/org/app:v1")) == Digest.parse(DIGEST)
        assert client.wire_bytes == 0
    [request] = seen
    assert (request.method, str(request.url)) == ("HEAD", "https://r.example/v2/org/app/manifests/v1")
    assert request.headers["Accept"].startswith("application/vnd.oci.image.manifest.v1+json, ")


def test_fetch_manifest_digest_is_what_the_manifest_then_is(plain_registry: RegistryServer) -> None:
    plain_registry.push(APP)
    reference = ref(plain_registry.reference(APP))
    with quick_client() as client:
        digest = client.fetch_manifest_digest(reference)
        assert digest == client.fetch_manifest(reference).digest
        assert str(digest) == APP.digest


def test_fetch_manifest_digest_logs_in(basic_registry: RegistryServer) -> None:
    basic_registry.push(APP)
    reference = ref(basic_registry.reference(APP))
    with quick_client(auth=("reader", basic_registry.users["reader"])) as client:
        assert str(client.fetch_manifest_digest(reference)) == APP.digest
    with quick_client() as client, pytest.raises(AccessDeniedError):
        client.fetch_manifest_digest(reference)


def test_fetch_manifest_digest_keeps_the_connection(hostile: HostileServer) -> None:
    hostile.serve(APP)
    with quick_client() as client:
        for _ in range(3):
            client.fetch_manifest_digest(ref(f"{hostile.name}/heads/app:v1"))
    assert hostile.connections == 1
    assert len(hostile.requests_for("HEAD */manifests/v1")) == 3


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (Reply(200), None),
        (error(404), NotFoundError),
        (error(405), StatusError),
        (Reply(200, headers=(("Docker-Content-Digest", "sha256:abc"),)), ProtocolError),
    ],
)
def test_fetch_manifest_digest_takes_no_answer_for_an_answer(
    reply: Reply, expected: type[Exception] | None, hostile: HostileServer
) -> None:
    hostile.always("HEAD */manifests/*", reply)
    with quick_client() as client:
        if expected is None:
            assert client.fetch_manifest_digest(ref(f"{hostile.name}/heads/app:v1")) is None
        else:
            with pytest.raises(expected):
                client.fetch_manifest_digest(ref(f"{hostile.name}/heads/app:v1"))


def test_fetch_manifest_digest_tries_again(hostile: HostileServer) -> None:
    hostile.serve(APP)
    hostile.on("HEAD */manifests/*", later(503), later(429))
    with quick_client() as client:
        assert str(client.fetch_manifest_digest(ref(f"{hostile.name}/heads/app:v1"))) == APP.digest
    assert len(hostile.requests) == 3

"""Every artifact goes to a real docker-registry and comes back the same, by http.client and by skopeo."""

import hashlib
import json
import os
import ssl
import subprocess
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
import trustme

from tests.support import odd_artifacts
from tests.support.artifact import Artifact
from tests.support.artifacts import five_kinds, new_style
from tests.support.isolation import need
from tests.support.push import Pusher, PushFailed, basic
from tests.support.registry_server import IDENTITY_TOKENS, USERS, RegistryServer, start_registry
from tests.support.token_service import TokenService

pytestmark = pytest.mark.registry

EVERYTHING = five_kinds() | odd_artifacts.pushable()


def skopeo(*arguments: object, home: Path) -> str:
    """Run skopeo with an empty home and without a policy of the system's; return what it prints."""
    policy = home / "policy.json"
    policy.write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
    command = [need("skopeo"), "--policy", str(policy), *map(str, arguments)]
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "XDG_RUNTIME_DIR": str(home)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def assert_stored(registry: RegistryServer, artifact: Artifact) -> None:
    """Read an artifact back by http.client: manifest by tag and by digest, children, and every blob."""
    with registry.pusher() as reader:
        base = f"/v2/{artifact.repository}"
        for name in {artifact.tag or artifact.digest, artifact.digest}:
            headers, body = reader.get(f"{base}/manifests/{name}", artifact.repository, artifact.media_type)
            assert body == artifact.manifest
            assert headers["Content-Type"] == artifact.media_type
            assert headers["Docker-Content-Digest"] == "sha256:" + hashlib.sha256(body).hexdigest()
        for digest, data in artifact.blobs.items():
            assert reader.get(f"{base}/blobs/{digest}", artifact.repository)[1] == data
    for child in artifact.children:
        assert_stored(registry, child)


@pytest.mark.parametrize("name", EVERYTHING)
def test_push_stores_what_http_client_reads_back(plain_registry: RegistryServer, name: str) -> None:
    artifact = EVERYTHING[name]
    assert plain_registry.push(artifact) == [artifact.digest]
    assert_stored(plain_registry, artifact)


@pytest.mark.parametrize("name", [name for name in EVERYTHING if name != "sha512"])
def test_push_stores_what_skopeo_copies(plain_registry: RegistryServer, tmp_path: Path, name: str) -> None:
    artifact = EVERYTHING[name]
    plain_registry.push(artifact)
    source = "docker://" + plain_registry.reference(artifact)
    raw = skopeo("inspect", "--tls-verify=false", "--raw", source, home=tmp_path)
    assert raw.encode() == artifact.manifest
    if name.startswith("docker-"):
        return  # skopeo copies no layers of foreign types under Docker's manifest types
    target = tmp_path / "copy"
    everything = ["--all"] if artifact.children else []
    skopeo("copy", "--src-tls-verify=false", *everything, source, f"dir:{target}", home=tmp_path)
    assert (target / "manifest.json").read_bytes() == artifact.manifest
    blobs = artifact.blobs or {k: v for child in artifact.children for k, v in child.blobs.items()}
    copied = {path.name: path.read_bytes() for path in target.iterdir() if "." not in path.name}
    copied.pop("version")
    assert copied == {digest.removeprefix("sha256:"): data for digest, data in blobs.items()}


def test_push_of_five_hundred_layers(plain_registry: RegistryServer) -> None:
    artifact = odd_artifacts.many_layers()
    plain_registry.push(artifact)
    with plain_registry.pusher() as reader:
        assert reader.get(f"/v2/{artifact.repository}/manifests/v1")[1] == artifact.manifest


def test_recording_lists_the_requests_of_the_block_only(plain_registry: RegistryServer) -> None:
    artifact = new_style("records/one")
    plain_registry.push(artifact)
    with plain_registry.recording() as records, plain_registry.pusher() as reader:
        reader.get(f"/v2/records/one/manifests/{artifact.digest}")
        with pytest.raises(PushFailed, match="404"):
            reader.get("/v2/records/one/manifests/no-such-tag")
    assert [record.line for record in records] == [
        f"GET /v2/records/one/manifests/{artifact.digest} 200",
        "GET /v2/records/one/manifests/no-such-tag 404",
    ]
    assert records[0].body_bytes == len(artifact.manifest)


@pytest.mark.parametrize("user", USERS)
def test_basic_registry_lets_its_users_in(basic_registry: RegistryServer, user: str) -> None:
    artifact = new_style("basic/one")
    basic_registry.push(artifact)
    with Pusher(basic_registry.name, authorization=basic(user, USERS[user])) as reader:
        assert reader.get("/v2/basic/one/manifests/v1")[1] == artifact.manifest


@pytest.mark.parametrize("authorization", [None, basic("reader", "wrong"), basic("nobody", "pushes")])
def test_basic_registry_refuses_others(basic_registry: RegistryServer, authorization: str | None) -> None:
    reader = Pusher(basic_registry.name, authorization=authorization)
    with reader, pytest.raises(PushFailed, match="401"):
        reader.get("/v2/")


def challenged(registry: RegistryServer, path: str) -> str:
    """Return the WWW-Authenticate value that a bare request gets."""
    connection = HTTPConnection(registry.name, timeout=5)
    connection.request("GET", path)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    assert answer.status == 401
    return answer.headers["WWW-Authenticate"]


def ask(
    service: TokenService, scope: str, *, authorization: str | None = None, form: str | None = None
) -> Any:
    """Ask the service for a token by GET, or by POST if there is a form; return status and JSON."""
    parts = urlsplit(service.realm)
    connection = HTTPConnection(parts.netloc, timeout=5)
    headers = {"Authorization": authorization} if authorization else {}
    if form is None:
        connection.request("GET", f"{parts.path}?service=s&scope={quote(scope)}", headers=headers)
    else:
        headers["Content-Type"] = "application/x-www-form-urlencoded"
        connection.request("POST", parts.path, f"{form}&scope={quote(scope)}", headers)
    answer = connection.getresponse()
    value = json.loads(answer.read())
    connection.close()
    return answer.status, value


def reads(registry: RegistryServer, token: str, path: str) -> bool:
    """Tell whether a token opens a path."""
    with Pusher(registry.name, authorization=f"Bearer {token}") as reader:
        try:
            reader.get(path)
        except PushFailed as failure:
            assert ": 401 " in str(failure)  # noqa: PT017 - the other outcome is one of the two
            return False
    return True


def test_token_registry_challenges_with_realm_service_and_scope(token_registry: RegistryServer) -> None:
    service = token_registry.token_service
    assert service is not None
    assert challenged(token_registry, "/v2/private/a/manifests/v1") == (
        f'Bearer realm="{service.realm}",service="test registry, with a comma",'
        'scope="repository:private/a:pull"'
    )


def test_token_service_gives_users_what_the_policy_allows(
    token_registry: RegistryServer, token_service: TokenService
) -> None:
    token_registry.push(new_style("private/a"), new_style("public/a"))
    private, public = "/v2/private/a/manifests/v1", "/v2/public/a/manifests/v1"
    status, answer = ask(
        token_service, "repository:private/a:pull", authorization=basic("reader", "pass:word")
    )
    assert status == 200
    assert answer["token"] == answer["access_token"]
    assert answer["expires_in"] == 300
    assert reads(token_registry, answer["token"], private)
    assert not reads(token_registry, answer["token"], public)
    _, anonymous = ask(token_service, "repository:private/a:pull")
    assert not reads(token_registry, anonymous["token"], private)
    _, anonymous = ask(token_service, "repository:public/a:pull,push")
    assert reads(token_registry, anonymous["token"], public)
    assert [request.granted for request in token_service.requests] == [
        ("repository:private/a:pull",),
        (),
        ("repository:public/a:pull",),
    ]
    assert token_service.requests[0].user == "reader"
    assert token_service.requests[0].scopes == ["repository:private/a:pull"]


def test_token_service_refuses_a_wrong_password_and_a_wrong_identity_token(
    token_service: TokenService,
) -> None:
    scope = "repository:public/a:pull"
    assert ask(token_service, scope, authorization=basic("reader", "wrong"))[0] == 401
    assert ask(token_service, scope, form="grant_type=refresh_token&refresh_token=wrong")[0] == 401


def test_token_service_takes_an_identity_token_by_post(
    token_registry: RegistryServer, token_service: TokenService
) -> None:
    token_registry.push(new_style("private/b"))
    form = f"grant_type=refresh_token&service=s&client_id=t&refresh_token={next(iter(IDENTITY_TOKENS))}"
    status, answer = ask(token_service, "repository:private/b:pull", form=form)
    assert status == 200
    assert reads(token_registry, answer["access_token"], "/v2/private/b/manifests/v1")
    assert token_service.requests[-1].method == "POST"


def test_token_settings_change_the_answer(
    token_registry: RegistryServer, token_service: TokenService
) -> None:
    token_registry.push(new_style("public/c"))
    scope = "repository:public/c:pull"
    token_service.settings.token_field = "access_token"
    token_service.settings.expires_in = None
    assert set(ask(token_service, scope)[1]) == {"access_token", "issued_at"}
    token_service.settings.statuses = [503]
    assert [ask(token_service, scope)[0] for _ in range(2)] == [503, 200]
    token_service.settings.lifetime = -61
    assert not reads(
        token_registry, ask(token_service, scope)[1]["access_token"], "/v2/public/c/manifests/v1"
    )
    token_service.reset()
    assert token_service.settings.lifetime == 300
    assert token_service.requests == []


def test_token_registry_over_tls_with_rs256(tmp_path: Path, private_ca: trustme.CA) -> None:
    with start_registry(tmp_path, auth="token", ca=private_ca, algorithm="RS256") as registry:
        artifact = new_style("private/tls")
        registry.push(artifact)
        assert_stored(registry, artifact)
        assert registry.token_service is not None
        assert registry.token_service.realm.startswith("https://127.0.0.1:")


def test_tls_registry_is_trusted_through_its_authority_only(tls_registry: RegistryServer) -> None:
    artifact = five_kinds()["new"]
    tls_registry.push(artifact)
    assert_stored(tls_registry, artifact)
    stranger = Pusher(tls_registry.name, tls=ssl.create_default_context())
    with stranger, pytest.raises(ssl.SSLCertVerificationError):
        stranger.get("/v2/")


def test_start_registry_ends_its_process(tmp_path: Path) -> None:
    with start_registry(tmp_path) as registry:
        netloc = registry.name
    connection = HTTPConnection(netloc, timeout=5)
    with pytest.raises(ConnectionRefusedError):
        connection.request("GET", "/v2/")
    connection.close()

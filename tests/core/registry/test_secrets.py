"""No secret leaves: not in a log, an error, a repr, nor to a host it does not belong to."""

from __future__ import annotations

import base64
import json
import logging
import pickle
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from spincache_nb.core.registry import Registry
from spincache_nb.errors import SpinCacheError
from tests.core.clients import blob_of, errors_page, mock_client, quick_client, ref
from tests.support import behaviours
from tests.support.hostile import HostileServer

PASSWORD = "hunter2-of-ann"
TOKEN = "eyJ0b2tlbg.bearer.of-ann"
REFRESH = "refresh-token-of-ann"
SIGNATURE = "X-Amz-Signature=of-ann"
BASIC = base64.b64encode(f"ann:{PASSWORD}".encode()).decode()
SECRETS = (PASSWORD, TOKEN, REFRESH, SIGNATURE, BASIC, "of-ann")
REFERENCE = ref("r.example/org/app:v1")
BLOB = blob_of(b"data")
Start = Callable[..., HostileServer]


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """Everything that any logger says, the libraries' included."""
    with caplog.at_level(1):
        for name in ("httpx", "httpcore", "spincache_nb"):
            logging.getLogger(name).setLevel(1)
        yield caplog
    for name in ("httpx", "httpcore", "spincache_nb"):
        logging.getLogger(name).setLevel(logging.NOTSET)


def assert_no_secret(text: str) -> None:
    assert not [secret for secret in SECRETS if secret in text]


def assert_shows_nothing(exc: SpinCacheError) -> None:
    assert_no_secret(str(exc) + repr(exc) + repr(vars(exc)))
    assert_no_secret("".join(traceback.format_exception(exc)))
    assert "\n" not in str(exc)
    assert str(pickle.loads(pickle.dumps(exc))) == str(exc)


def echoing(request: httpx.Request) -> str:
    """What a server can tell of a request, which is everything."""
    return (
        f"{request.method} {request.url} {dict(request.headers)} {request.read().decode()} {PASSWORD} {TOKEN}"
    )


class Everything:
    """A registry, token service and storage that repeat whatever they are told."""

    def __init__(self, status: int, at: str, challenge: str) -> None:
        self.status = status
        self.at = at
        self.challenge = challenge

    def __call__(self, request: httpx.Request) -> httpx.Response:
        host = request.url.host
        if host == self.at and (host != "r.example" or "Authorization" in request.headers):
            headers = {"WWW-Authenticate": self.challenge, "X-Echo": "x"}
            return httpx.Response(
                self.status, content=errors_page(echoing(request), echoing(request)), headers=headers
            )
        if host == "auth.example":
            return httpx.Response(200, json={"token": TOKEN, "refresh_token": REFRESH})
        if host == "s.example":
            return httpx.Response(200, content=b"data")
        if "Authorization" not in request.headers:
            return httpx.Response(401, headers={"WWW-Authenticate": self.challenge})
        return httpx.Response(307, headers={"Location": f"https://u:{PASSWORD}@s.example/x?{SIGNATURE}"})


@pytest.mark.parametrize("status", [400, 401, 403, 404, 418, 429, 500, 503, 200, 307])
@pytest.mark.parametrize("at", ["r.example", "auth.example", "s.example", "nowhere"])
@pytest.mark.parametrize("scheme", ["Basic", "Bearer"])
@pytest.mark.parametrize("identity", [False, True])
def test_no_error_and_no_log_holds_a_secret(
    log: pytest.LogCaptureFixture, status: int, at: str, scheme: str, identity: bool
) -> None:
    realm = (
        f"https://ann:{PASSWORD}@auth.example/token?key={REFRESH}" if scheme == "Bearer" else "the registry"
    )
    handler = Everything(status, at, f'{scheme} realm="{realm}",service="s"')
    auth = ("<token>", REFRESH) if identity else ("ann", PASSWORD)
    with mock_client(handler, auth=auth) as client:
        for work in (
            lambda: client.fetch_manifest(REFERENCE),
            lambda: list(client.stream_blob(REFERENCE, BLOB)),
        ):
            try:
                work()
            except SpinCacheError as exc:
                assert_shows_nothing(exc)
        assert_no_secret(repr(client) + repr(vars(client)) + repr(vars(client._web)))
    assert_no_secret(log.text + "".join(str(record.__dict__) for record in log.records))


def test_log_tells_what_was_asked_without_signatures(
    log: pytest.LogCaptureFixture, start_hostile: Start
) -> None:
    registry, storage = start_hostile(), start_hostile("127.0.0.2")
    registry.always("*", behaviours.Redirect(f"{storage.url}/s?{SIGNATURE}"))
    storage.content("/s", b"data")
    with quick_client() as client:
        list(client.stream_blob(ref(f"{registry.name}/org/app:v1"), BLOB))
    assert f"GET {storage.url}/s?...: 200" in log.messages
    assert_no_secret(log.text)


def test_stores_credentials_go_to_their_own_registry_only(
    isolated_home: Path, start_hostile: Start, log: pytest.LogCaptureFixture
) -> None:
    own, other = start_hostile(), start_hostile("127.0.0.2")
    folder = isolated_home / ".docker"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"auths": {own.name: {"auth": BASIC}}}))
    for server in (own, other):
        server.require(f"Basic {BASIC}", 'Basic realm="x"')
        server.content("/v2/org/app/manifests/v1", b"{}")
    with quick_client() as client:
        assert client.fetch_manifest(ref(f"{own.name}/org/app:v1")).content == b"{}"
        with pytest.raises(SpinCacheError, match="without credentials"):
            client.fetch_manifest(ref(f"{other.name}/org/app:v1"))
    assert own.authorizations == [f"Basic {BASIC}"]
    assert other.authorizations == []
    assert_no_secret(log.text)


def test_refused_store_is_named_in_the_error(isolated_home: Path, hostile: HostileServer) -> None:
    folder = isolated_home / ".docker"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"auths": {hostile.name: {"auth": BASIC}}}))
    hostile.require("Basic other", 'Basic realm="x"')
    with quick_client() as client, pytest.raises(SpinCacheError) as caught:
        client.fetch_manifest(ref(f"{hostile.name}/org/app:v1"))
    assert str(folder / "config.json") in caught.value.found
    assert_no_secret(str(caught.value))


def test_credentials_never_go_over_plain_http_unless_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, str | None]] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append((request.url.scheme, request.headers.get("Authorization")))
        return httpx.Response(401, headers={"WWW-Authenticate": "Basic realm=x"})

    for insecure in (None, False, True):
        client: Registry = mock_client(handler, auth=("ann", PASSWORD), insecure=insecure)
        with client, pytest.raises(SpinCacheError):
            client.fetch_manifest(REFERENCE)
    plain = [authorization for scheme, authorization in seen if scheme == "http"]
    assert [scheme for scheme, _ in seen] == ["https"] * 4 + ["http"] * 2
    assert plain == [None, f"Basic {BASIC}"]

"""What is sent to a registry that wants to know who asks: nothing, then what it asks for."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from spincache_nb.core.credentials import Credentials, CredentialSearch
from spincache_nb.core.registry.authorization import Authorizer
from spincache_nb.core.transport.web import Web
from spincache_nb.errors import AccessDeniedError, StatusError
from tests.core.clients import mock_client, ref

BEARER = 'Bearer realm="https://auth.example/token",service="r.example",scope="repository:org/app:pull"'
BASIC = 'Basic realm="the registry"'
REFERENCE = ref("r.example/org/app:v1")
ANN = Credentials("ann", "secret", source="a test")
ANN_BASIC = "Basic " + base64.b64encode(b"ann:secret").decode()


class Registry:
    """``r.example`` behind a token service at ``auth.example`` that numbers its tokens."""

    def __init__(self, *, challenge: str = BEARER, accepts: str | None = None, expires_in: int = 300) -> None:
        self.challenge = challenge
        self.accepts = accepts
        self.expires_in = expires_in
        self.tokens = 0
        self.revoked: set[str] = set()
        self.sent: list[str | None] = []
        self.token_requests: list[httpx.Request] = []
        self.lock = threading.Lock()
        self.barrier: threading.Barrier | None = None

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.host == "auth.example":
            return self.give_token(request)
        authorization = request.headers.get("Authorization")
        with self.lock:
            self.sent.append(authorization)
        if self.barrier is not None and authorization is None:
            self.barrier.wait(5)
        if self.lets_in(authorization):
            return httpx.Response(200, content=b"{}")
        return httpx.Response(401, headers={"WWW-Authenticate": self.challenge})

    def lets_in(self, authorization: str | None) -> bool:
        if self.accepts is not None:
            return authorization == self.accepts
        return authorization is not None and authorization not in self.revoked

    def give_token(self, request: httpx.Request) -> httpx.Response:
        with self.lock:
            self.token_requests.append(request)
            self.tokens += 1
            document = {"token": f"token-{self.tokens}", "expires_in": self.expires_in}
        return httpx.Response(200, json=document)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def authorizer(
    registry: Registry, clock: Clock | None = None, *, auth: Credentials | None = None, **search: object
) -> Authorizer:
    web = Web(transport=httpx.MockTransport(registry))
    found = CredentialSearch(**search) if search else CredentialSearch(None)  # type: ignore[arg-type]
    return Authorizer(web, auth, search=lambda *_: found, clock=clock or Clock())


# The order of things -------------------------------------------------------------------------------


def test_first_request_goes_out_without_credentials_even_if_there_are_some() -> None:
    registry = Registry(challenge=BASIC, accepts=ANN_BASIC)
    with mock_client(registry, auth=("ann", "secret")) as client:
        client.fetch_manifest(REFERENCE)
        client.fetch_manifest(REFERENCE)
    assert registry.sent == [None, ANN_BASIC, ANN_BASIC]


def test_open_registry_never_sees_credentials_and_no_store_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def search(*_: object) -> CredentialSearch:
        raise AssertionError("a store was read")

    monkeypatch.setattr("spincache_nb.core.credentials.search_credentials", search)
    seen: list[str | None] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers.get("Authorization"))
        return httpx.Response(200, content=b"{}")

    with mock_client(handler, auth=("ann", "secret")) as client:
        client.fetch_manifest(REFERENCE)
    assert seen == [None]


def test_anonymous_client_reads_no_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spincache_nb.core.credentials.search_credentials", None)
    registry = Registry(challenge=BASIC, accepts=ANN_BASIC)
    with mock_client(registry, anonymous=True) as client, pytest.raises(AccessDeniedError):
        client.fetch_manifest(REFERENCE)
    assert registry.sent == [None]


def test_token_is_asked_for_once_and_used_again() -> None:
    registry = Registry()
    with mock_client(registry) as client:
        for _ in range(3):
            client.fetch_manifest(REFERENCE)
    assert registry.sent == [None, "Bearer token-1", "Bearer token-1", "Bearer token-1"]


def test_each_repository_gets_its_own_token() -> None:
    registry = Registry()
    with mock_client(registry) as client:
        client.fetch_manifest(REFERENCE)
        client.fetch_manifest(ref("r.example/org/other:v1"))
        client.fetch_manifest(REFERENCE)
    assert [request.url.params["scope"] for request in registry.token_requests] == [
        "repository:org/app:pull",
        "repository:org/other:pull",
    ]
    assert registry.sent == [None, "Bearer token-1", None, "Bearer token-2", "Bearer token-1"]


def test_bearer_comes_before_basic_whatever_the_order() -> None:
    registry = Registry(challenge=f"{BASIC}, {BEARER}")
    with mock_client(registry, auth=("ann", "secret")) as client:
        client.fetch_manifest(REFERENCE)
    assert registry.sent == [None, "Bearer token-1"]
    assert registry.token_requests[0].headers["Authorization"] == ANN_BASIC


def test_bearer_without_realm_leaves_basic() -> None:
    registry = Registry(challenge=f'Bearer service="x", {BASIC}', accepts=ANN_BASIC)
    with mock_client(registry, auth=("ann", "secret")) as client:
        client.fetch_manifest(REFERENCE)
    assert registry.sent == [None, ANN_BASIC]


def test_docker_hub_is_asked_by_its_network_name() -> None:
    hosts: list[str] = []

    def handler(request: httpx.Request) -> httpx.Response:
        hosts.append(request.url.host)
        return httpx.Response(200, content=b"{}")

    with mock_client(handler) as client:
        client.fetch_manifest(ref("busybox"))
    assert hosts == ["index.docker.io"]


# Refusals ------------------------------------------------------------------------------------------


def test_wrong_password_is_tried_once_and_blamed_on_its_source() -> None:
    registry = Registry(challenge=BASIC, accepts="Basic other")
    with mock_client(registry, auth=("ann", "secret")) as client, pytest.raises(AccessDeniedError) as caught:
        client.fetch_manifest(REFERENCE)
    assert registry.sent == [None, ANN_BASIC]
    assert caught.value.status == 401
    assert "the credentials of the caller" in caught.value.found
    assert "secret" not in str(caught.value)


def test_second_request_with_a_wrong_password_does_not_ask_in_a_circle() -> None:
    registry = Registry(challenge=BASIC, accepts="Basic other")
    with mock_client(registry, auth=("ann", "secret")) as client:
        for _ in range(2):
            with pytest.raises(AccessDeniedError):
                client.fetch_manifest(REFERENCE)
    assert registry.sent == [None, ANN_BASIC, ANN_BASIC]


def test_without_credentials_the_refusal_says_so_and_how_to_log_in() -> None:
    registry = Registry(challenge=BASIC, accepts=ANN_BASIC)
    with mock_client(registry) as client, pytest.raises(AccessDeniedError) as caught:
        client.fetch_manifest(REFERENCE)
    assert "without credentials" in caught.value.found
    assert "spin registry login r.example" in caught.value.remedy
    assert registry.sent == [None]


def test_refusal_without_a_challenge_sends_nothing() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        assert "Authorization" not in request.headers
        return httpx.Response(401)

    with mock_client(handler, auth=("ann", "secret")) as client, pytest.raises(AccessDeniedError):
        client.fetch_manifest(REFERENCE)


def test_fresh_token_that_is_refused_is_not_renewed_for_ever() -> None:
    registry = Registry(accepts="nothing")
    with mock_client(registry) as client, pytest.raises(AccessDeniedError):
        client.fetch_manifest(REFERENCE)
    assert registry.sent == [None, "Bearer token-1"]


def test_identity_token_is_no_use_for_basic_and_the_error_says_so() -> None:
    registry = Registry(challenge=BASIC, accepts=ANN_BASIC)
    identity = Credentials(identity_token="secret", source="/home/ann/.docker/config.json")
    with mock_client(registry, auth=identity) as client, pytest.raises(AccessDeniedError) as caught:
        client.fetch_manifest(REFERENCE)
    assert "identity token" in caught.value.found
    assert registry.sent == [None]


def test_access_tells_what_was_wrong_with_the_stores() -> None:
    notes = ("/home/ann/.docker/config.json: expected a credential store, got a folder",)
    one = authorizer(Registry(challenge=BASIC), credentials=None, notes=notes)
    assert one.meet(REFERENCE, [BASIC], None) is None
    assert notes[0] in one.access(REFERENCE).how


def test_token_service_that_is_down_is_asked_again() -> None:
    registry = Registry()
    answers: Iterator[int] = iter([503, 503])

    def handler(request: httpx.Request) -> httpx.Response:
        if request.url.host == "auth.example" and (status := next(answers, None)):
            return httpx.Response(status)
        return registry(request)

    with mock_client(handler) as client:
        assert client.fetch_manifest(REFERENCE).content == b"{}"


def test_token_service_that_stays_down_is_named() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        if request.url.host == "auth.example":
            return httpx.Response(503)
        return httpx.Response(401, headers={"WWW-Authenticate": BEARER})

    with mock_client(handler) as client, pytest.raises(StatusError, match=r"auth\.example") as caught:
        client.fetch_manifest(REFERENCE)
    assert caught.value.status == 503


# Time ----------------------------------------------------------------------------------------------


def test_header_for_renews_a_token_before_it_expires(clock: Clock) -> None:
    registry = Registry(expires_in=300)
    one = authorizer(registry, clock)
    assert one.header_for(REFERENCE) is None
    assert one.meet(REFERENCE, [BEARER], None) == "Bearer token-1"
    clock.now += 269
    assert one.header_for(REFERENCE) == "Bearer token-1"
    clock.now += 2
    assert one.header_for(REFERENCE) == "Bearer token-2"
    assert one.header_for(REFERENCE) == "Bearer token-2"


def test_meet_renews_a_token_that_was_refused_early(clock: Clock) -> None:
    one = authorizer(Registry(), clock)
    first = one.meet(REFERENCE, [BEARER], None)
    assert one.meet(REFERENCE, [BEARER], first) == "Bearer token-2"


def test_meet_gives_the_token_that_another_thread_fetched(clock: Clock) -> None:
    registry = Registry()
    one = authorizer(registry, clock)
    assert one.meet(REFERENCE, [BEARER], None) == "Bearer token-1"
    assert one.meet(REFERENCE, [BEARER], None) == "Bearer token-1"
    assert registry.tokens == 1


def test_revoked_token_is_renewed_in_the_middle_of_a_pull() -> None:
    registry = Registry()
    with mock_client(registry) as client:
        client.fetch_manifest(REFERENCE)
        registry.revoked.add("Bearer token-1")
        client.fetch_manifest(REFERENCE)
    assert registry.sent == [None, "Bearer token-1", "Bearer token-1", "Bearer token-2"]


def test_sixteen_threads_share_one_token_request() -> None:
    registry = Registry()
    registry.barrier = threading.Barrier(16)  # all of them are refused before any of them has a token
    with mock_client(registry) as client, ThreadPoolExecutor(16) as pool:
        served = list(pool.map(lambda _: client.fetch_manifest(REFERENCE).content, range(16)))
    assert served == [b"{}"] * 16
    assert registry.tokens == 1


def test_sixteen_threads_share_one_renewal_of_a_revoked_token() -> None:
    registry = Registry()
    with mock_client(registry) as client, ThreadPoolExecutor(16) as pool:
        client.fetch_manifest(REFERENCE)
        registry.revoked.add("Bearer token-1")
        list(pool.map(lambda _: client.fetch_manifest(REFERENCE), range(16)))
    assert registry.tokens == 2


def test_authorization_hides_itself(clock: Clock) -> None:
    one = authorizer(Registry(), clock, auth=ANN)
    one.meet(REFERENCE, [BASIC], None)
    assert "secret" not in repr(vars(one))
    assert ANN_BASIC not in repr(vars(one))

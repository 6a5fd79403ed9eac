"""Logins: which challenge is answered, with what, what a token service is asked, how long a token lasts."""

import base64
import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spincache_nb.core.auth import (
    LONGEST_HEADER,
    Authorizer,
    Challenge,
    basic,
    parse_challenges,
    parse_token,
    realm_of,
    scopes_of,
)
from spincache_nb.core.credentials import Credentials, CredentialSearch
from spincache_nb.core.web import Web
from spincache_nb.errors import (
    AccessDeniedError,
    InsecureTransportError,
    LimitError,
    NotFoundError,
    ProtocolError,
    StatusError,
)
from tests.core.clients import Recording, Scripted, mock_client, ref

BEARER = 'Bearer realm="https://auth.example/token",service="r.example"'
BASIC = 'Basic realm="the registry"'
REFERENCE = ref("r.example/org/app:v1")
ANN = ("ann", "secret")
ANN_BASIC = "Basic " + base64.b64encode(b"ann:secret").decode()
Answer = Callable[[httpx.Request], httpx.Response]


def parsed(*headers: str) -> list[tuple[str, dict[str, str]]]:
    return [(challenge.scheme, dict(challenge.parameters)) for challenge in parse_challenges(headers)]


GHCR = 'Bearer realm="https://ghcr.io/token",service="ghcr.io",scope="repository:user/image:pull"'
GHCR_PARAMETERS = {
    "realm": "https://ghcr.io/token",
    "service": "ghcr.io",
    "scope": "repository:user/image:pull",
}


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([GHCR], [("bearer", GHCR_PARAMETERS)]),
        (["Basic realm=plain"], [("basic", {"realm": "plain"})]),
        (["bAsIc Realm=x"], [("basic", {"realm": "x"})]),
        (['Basic realm=""'], [("basic", {"realm": ""})]),
        (['Basic realm = "x" , charset = "UTF-8"'], [("basic", {"realm": "x", "charset": "UTF-8"})]),
        (['Basic realm="a, b=c"'], [("basic", {"realm": "a, b=c"})]),
        (['Basic realm="say \\"hi\\" \\\\ bye"'], [("basic", {"realm": 'say "hi" \\ bye'})]),
        (['Basic realm="first", realm="second"'], [("basic", {"realm": "first"})]),
        (["Negotiate", 'Basic realm="x"'], [("negotiate", {}), ("basic", {"realm": "x"})]),
        (['NTLM TlRMTVNT==, Basic realm="x"'], [("ntlm", {}), ("basic", {"realm": "x"})]),
        (
            ['Digest realm="d", qop="auth,auth-int", nonce=abc, Bearer realm="b", service="s"'],
            [
                ("digest", {"realm": "d", "qop": "auth,auth-int", "nonce": "abc"}),
                ("bearer", {"realm": "b", "service": "s"}),
            ],
        ),
        ([', , Basic realm="x",'], [("basic", {"realm": "x"})]),
        (['Bearer realm="r" service="no comma"'], [("bearer", {"realm": "r", "service": "no comma"})]),
        (["Bearer"], [("bearer", {})]),
        (["", " ,, "], []),
        (["Basic realm=" + "x" * LONGEST_HEADER, "Basic realm=y"], [("basic", {"realm": "y"})]),
        (['Basic realm="ok", Bearer realm="not closed'], [("basic", {"realm": "ok"}), ("bearer", {})]),
    ],
)
def test_parse_challenges_reads(headers: list[str], expected: list[tuple[str, dict[str, str]]]) -> None:
    assert parsed(*headers)[: len(expected)] == expected


@pytest.mark.parametrize(
    "header",
    ['Bearer realm="not closed', "Bearer realm=https://x.example/token", 'Bearer realm="x"y', "Bearer realm"],
)
def test_parse_challenges_makes_no_realm_of_what_cannot_be_read(header: str) -> None:
    assert all("realm" not in parameters or parameters["realm"] == "x" for _, parameters in parsed(header))


@pytest.mark.parametrize("unit", ["a", "a ", "a=b,", ",", '"', "\\", 'a="', "a=", " ,"])
def test_parse_challenges_takes_no_time_over_a_hostile_header(unit: str) -> None:
    header = "Bearer " + unit * ((LONGEST_HEADER - 7) // len(unit))
    started = time.thread_time()
    parse_challenges([header])
    assert time.thread_time() - started < 1.0


NAME = st.text("abcXYZ019-._~!", min_size=1, max_size=8)
VALUE = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20)


@given(
    st.lists(st.tuples(NAME, st.dictionaries(NAME.map(str.lower), VALUE, min_size=1, max_size=3)), max_size=3)
)
def test_parse_challenges_reads_back_what_was_quoted(wanted: list[tuple[str, dict[str, str]]]) -> None:
    def quote(text: str) -> str:
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

    header = ", ".join(
        scheme + " " + ", ".join(f"{name}={quote(value)}" for name, value in parameters.items())
        for scheme, parameters in wanted
    )
    assert parsed(header) == [(scheme.lower(), parameters) for scheme, parameters in wanted]


@pytest.mark.parametrize(
    ("asked", "scopes"),
    [
        ("", "repository:org/app:pull"),
        ("repository:org/app:pull,push,delete", "repository:org/app:pull"),
        ("repository:org/app:*", "repository:org/app:pull"),
        ("registry:catalog:*", "repository:org/app:pull"),
        ("repository:org/app:metadata_read", "repository:org/app:pull,metadata_read"),
        ("repository:other/app:metadata_read", "repository:org/app:pull"),
        # one that is served under another name, as in oras-project/oras-go#650: to pull, no more
        ("repository:up/app:pull,push", "repository:org/app:pull repository:up/app:pull"),
        ("repository:up/app:push", "repository:org/app:pull"),
        ("repository:UPPER:pull repository:a//../b:pull repository:a b:pull", "repository:org/app:pull"),
        (
            " ".join(f"repository:a/{number}:pull" for number in range(99)),
            "repository:org/app:pull repository:a/0:pull repository:a/1:pull repository:a/2:pull",
        ),
    ],
)
def test_scopes_of_asks_to_pull_and_for_nothing_else(asked: str, scopes: str) -> None:
    assert " ".join(scopes_of("org/app", Challenge("bearer", {"scope": asked}))) == scopes


def seen_by_token_service(
    challenge: str, auth: object = None, answer: Answer | None = None
) -> list[httpx.Request]:
    """Pull a manifest that a token opens; say what the token service was asked."""
    seen: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        if request.url.host == "r.example":
            if "Authorization" in request.headers:
                return httpx.Response(200, content=b"{}")
            return httpx.Response(401, headers={"WWW-Authenticate": challenge})
        seen.append(request)
        return answer(request) if answer is not None else httpx.Response(200, json={"token": "t"})

    with mock_client(handler, auth=auth) as client:
        client.fetch_manifest(REFERENCE)
    return seen


def test_token_is_asked_for_by_get_without_credentials() -> None:
    [request] = seen_by_token_service('Bearer realm="https://u:p@auth.example/token",service="a, b"')
    assert request.method == "GET"
    assert str(request.url.copy_with(query=None)) == "https://auth.example/token"
    assert parse_qs(request.url.query.decode()) == {"service": ["a, b"], "scope": ["repository:org/app:pull"]}
    assert "Authorization" not in request.headers


def test_query_of_the_realm_is_kept_and_no_service_needed() -> None:
    challenge = 'Bearer realm="https://auth.example/t?account=robot",scope="repository:up/app:pull,push"'
    [request] = seen_by_token_service(challenge)
    assert parse_qs(request.url.query.decode()) == {
        "account": ["robot"],
        "scope": ["repository:org/app:pull", "repository:up/app:pull"],
    }


def test_scope_of_another_repository_may_be_a_mere_sample() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        denied = len(request.url.params.get_list("scope")) > 1
        return httpx.Response(403) if denied else httpx.Response(200, json={"token": "t"})

    assert len(seen_by_token_service(f'{BEARER},scope="repository:user/image:pull"', answer=answer)) == 2


def test_password_is_sent_as_basic_in_utf8() -> None:
    [request] = seen_by_token_service(BEARER, ("zoë", "pa:ß"))
    assert request.headers["Authorization"] == "Basic " + base64.b64encode("zoë:pa:ß".encode()).decode()
    assert basic(Credentials("Aladdin", "open sesame")) == "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="


def test_identity_token_is_sent_as_refresh_token() -> None:
    [request] = seen_by_token_service(
        BEARER, ("<token>", "long-lived"), lambda _: httpx.Response(200, json={"access_token": "short-lived"})
    )
    assert (request.method, request.url.query) == ("POST", b"")
    assert request.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert "Authorization" not in request.headers
    assert parse_qs(request.read().decode()) == {
        "grant_type": ["refresh_token"],
        "refresh_token": ["long-lived"],
        "service": ["r.example"],
        "scope": ["repository:org/app:pull"],
        "client_id": ["spincache-nb"],
    }


def test_identity_token_follows_no_redirect() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        assert request.url.host == "auth.example"
        return httpx.Response(307, headers={"Location": "https://other.example/token"})

    with pytest.raises(ProtocolError):
        seen_by_token_service(BEARER, ("<token>", "secret"), answer)


def test_registry_token_is_sent_to_the_registry_as_it_is() -> None:
    """What a Docker configuration calls ``registrytoken``."""
    registry = Guarded()
    fetch(registry, auth=Credentials(registry_token="as-it-is"))
    assert (registry.sent, registry.tokens) == ([None, "Bearer as-it-is"], 0)


@pytest.mark.parametrize(
    ("realm", "registry", "allowed"),
    [
        ("https://auth.example/token", "https://r.example/", True),
        ("https://auth.example/token", "http://r.example/", True),
        ("http://127.0.0.1:5001/token", "https://r.example/", True),
        ("http://[::1]:5001/token", "https://r.example/", True),
        ("http://r.example:5001/token", "http://R.example:5000/", True),
        ("http://auth.example/token", "https://r.example/", False),
        ("http://auth.example/token", "http://127.0.0.1:5000/", False),
        ("http://r.example/token", "https://r.example/", False),
        ("http://r.example.evil.example/token", "http://r.example/", False),
        ("http://localhost.evil.example/token", "http://localhost/", False),
    ],
)
def test_realm_of_lets_secrets_go_in_the_clear_to_this_machine_and_this_host_only(
    realm: str, registry: str, allowed: bool
) -> None:
    challenge = Challenge("bearer", {"realm": realm})
    if allowed:
        assert realm_of(challenge, httpx.URL(registry), where="test") == httpx.URL(realm)
    else:
        with pytest.raises(InsecureTransportError):
            realm_of(challenge, httpx.URL(registry), where="test")


BAD_REALMS = ["ftp://auth.example/", "/token", "https://", "https://[", "token", "https://a b/"]


@pytest.mark.parametrize("realm", [*BAD_REALMS, "http://auth.example/token"])
def test_realm_that_cannot_be_used_is_not_asked(realm: str) -> None:
    error = InsecureTransportError if realm.startswith("http://") else ProtocolError
    with pytest.raises(error):
        seen_by_token_service(f'Bearer realm="{realm}"', ANN, lambda request: pytest.fail(str(request.url)))


@pytest.mark.parametrize(
    ("fields", "value"),
    [
        ({"token": "abc.def"}, "abc.def"),
        ({"access_token": "abc.def"}, "abc.def"),
        ({"token": "a", "access_token": "b"}, "a"),
        ({"token": "", "access_token": "b"}, "b"),
    ],
)
def test_parse_token_takes_either_name(fields: dict[str, str], value: str) -> None:
    assert parse_token(json.dumps(fields).encode(), where="test").value == value


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{}",
        b'{"token": 7}',
        b'{"token": null, "access_token": {}}',
        b'{"token": "with space"}',
        b'{"token": "two\\r\\nlines: x"}',
        '{"token": "é"}'.encode(),
        b'{"token": "\xff"}',
    ],
)
def test_parse_token_refuses_what_cannot_be_sent(content: bytes) -> None:
    with pytest.raises(ProtocolError) as caught:
        parse_token(content, where="https://auth.example/token")
    assert caught.value.__cause__ is None  # a cause would quote the answer


@pytest.mark.parametrize(
    ("fields", "seconds"),
    [
        ({}, 60),
        ({"expires_in": 300.5}, 300.5),
        ({"expires_in": "300"}, 60),
        ({"expires_in": True}, 60),
        ({"expires_in": 10**400}, 60),
        ({"expires_in": -5}, 60),
        # a time of year 1 is now, and a minute is the least: 34 token requests were made where peers make one
        ({"expires_in": 0, "issued_at": "0001-01-01T00:00:00Z"}, 60),
        ({"expires_in": 300, "issued_at": "0001-01-01T00:00:00Z"}, 300),
        ({"expires_in": 300, "issued_at": 5}, 300),
    ],
)
def test_parse_token_tells_how_long_it_lasts(fields: dict[str, Any], seconds: float) -> None:
    token = parse_token(json.dumps({"token": "secret", **fields}).encode(), where="test")
    assert token.lifetime == seconds
    assert "secret" not in repr(token)


@pytest.mark.parametrize("status", [400, 401, 403])
def test_token_service_that_refuses_blames_the_credentials(status: int) -> None:
    with pytest.raises(AccessDeniedError, match="with the credentials of the caller") as caught:
        seen_by_token_service(BEARER, ANN, lambda _: httpx.Response(status, json={"errors": []}))
    assert caught.value.status == status


def test_token_service_that_is_down_is_asked_again_and_then_named() -> None:
    statuses = iter([503, 429])
    answers: Answer = lambda _: httpx.Response(next(statuses, 200), json={"token": "t"})  # noqa: E731
    assert len(seen_by_token_service(BEARER, answer=answers)) == 3
    with pytest.raises(StatusError, match=r"auth\.example") as caught:
        seen_by_token_service(BEARER, answer=lambda _: httpx.Response(503))
    assert caught.value.status == 503


def test_token_answer_is_bounded() -> None:
    with pytest.raises(LimitError):
        seen_by_token_service(BEARER, answer=lambda _: httpx.Response(200, content=b" " * (1 << 20) + b"{}"))


class Guarded:
    """``r.example`` behind a token service at ``auth.example`` that numbers its tokens."""

    def __init__(self, *, challenge: str = BEARER, accepts: str | None = None) -> None:
        self.challenge = challenge
        self.accepts = accepts
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
        return httpx.Response(401, headers={"WWW-Authenticate": self.challenge} if self.challenge else {})

    def lets_in(self, authorization: str | None) -> bool:
        if self.accepts is not None:
            return authorization == self.accepts
        return authorization is not None and authorization not in self.revoked

    def give_token(self, request: httpx.Request) -> httpx.Response:
        with self.lock:
            self.token_requests.append(request)
            self.tokens += 1
            return httpx.Response(200, json={"token": f"token-{self.tokens}", "expires_in": 300})


def fetch(registry: Answer, times: int = 1, **options: Any) -> None:
    with mock_client(registry, **options) as client:
        for _ in range(times):
            client.fetch_manifest(REFERENCE)


def refused(registry: Answer, **options: Any) -> AccessDeniedError:
    with pytest.raises(AccessDeniedError) as caught:
        fetch(registry, **options)
    assert "secret" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    ("challenge", "header"),
    [
        (BASIC, ANN_BASIC),
        (f"{BASIC}, {BEARER}", "Bearer token-1"),
        (f'Bearer service="x", {BASIC}', ANN_BASIC),
        *((f'{BASIC}, Bearer realm="{realm}"', ANN_BASIC) for realm in BAD_REALMS),
        ('Bearer realm="http://auth.example/", ' + BASIC, ANN_BASIC),
        ('Bearer realm="Registry Realm", ' + BEARER, "Bearer token-1"),
    ],
)
def test_challenge_that_can_be_met_is_taken_whatever_the_order(challenge: str, header: str) -> None:
    """Reported as keygen-sh/keygen-api#926."""
    registry = Guarded(challenge=challenge, accepts=header)
    fetch(registry, 2, auth=ANN)
    assert registry.sent == [None, header, header]
    assert [one.headers["Authorization"] for one in registry.token_requests] in ([], [ANN_BASIC])


@pytest.mark.parametrize("anonymous", [False, True])
def test_stores_are_read_only_when_a_registry_asks(monkeypatch: pytest.MonkeyPatch, anonymous: bool) -> None:
    def search(*_: object) -> CredentialSearch:
        raise AssertionError("a store was read")

    monkeypatch.setattr("spincache_nb.core.credentials.search_credentials", search)
    handler = Recording()
    fetch(handler, auth=ANN)
    assert handler.authorizations == [None]
    if anonymous:
        refused(Guarded(challenge=BASIC), anonymous=True)


def test_each_repository_gets_its_own_token() -> None:
    registry = Guarded()
    with mock_client(registry) as client:
        for name in ("org/app", "org/other", "org/app"):
            client.fetch_manifest(ref(f"r.example/{name}:v1"))
    assert [request.url.params["scope"] for request in registry.token_requests] == [
        "repository:org/app:pull",
        "repository:org/other:pull",
    ]
    assert registry.sent == [None, "Bearer token-1", None, "Bearer token-2", "Bearer token-1"]


def hiding(status: int, asked: list[str], *, accepts: str = "Bearer t", challenge: str = BEARER) -> Answer:
    """A registry that has nothing for strangers, and says how to log in at ``/v2/`` alone."""

    def handler(request: httpx.Request) -> httpx.Response:
        if request.url.host == "auth.example":
            return httpx.Response(200, json={"token": "t"})
        asked.append(f"{request.method} {request.url.path}")
        if request.headers.get("Authorization") == accepts:
            return httpx.Response(200, content=b"{}")
        if request.url.path == "/v2/":
            return httpx.Response(401, headers={"WWW-Authenticate": challenge})
        return httpx.Response(status)

    return handler


@pytest.mark.parametrize("status", [403, 404])
@pytest.mark.parametrize(("challenge", "accepts"), [(BEARER, "Bearer t"), (BASIC, ANN_BASIC)])
def test_login_is_asked_for_at_the_door(status: int, challenge: str, accepts: str) -> None:
    """Reported as containerd/containerd#3291."""
    asked: list[str] = []
    fetch(hiding(status, asked, accepts=accepts, challenge=challenge), 2, auth=ANN)
    manifest = "GET /v2/org/app/manifests/v1"
    assert asked == [manifest, "GET /v2/", manifest, manifest]


def test_door_is_not_asked_without_a_login_and_once_with_one() -> None:
    asked: list[str] = []
    with pytest.raises(NotFoundError):
        fetch(hiding(404, asked))
    assert asked == ["GET /v2/org/app/manifests/v1"]
    with mock_client(hiding(404, asked, accepts="nothing"), auth=ANN) as client:
        for _ in range(3):
            with pytest.raises(NotFoundError):
                client.fetch_manifest(REFERENCE)
    assert asked.count("GET /v2/") == 1


@pytest.mark.parametrize("challenge", [BASIC, 'Bearer realm="https://evil.example/token",service="r"'])
def test_door_that_leads_elsewhere_gets_no_credentials(challenge: str) -> None:
    sent: list[tuple[str, str | None]] = []

    def handler(request: httpx.Request) -> httpx.Response:
        sent.append((request.url.host, request.headers.get("Authorization")))
        if request.url.host == "evil.example":
            return httpx.Response(401, headers={"WWW-Authenticate": challenge})
        is_door = request.url.path == "/v2/"
        return httpx.Response(307 if is_door else 404, headers={"Location": "https://evil.example/v2/"})

    with mock_client(handler, auth=ANN) as client, pytest.raises(NotFoundError):
        client.fetch_manifest(REFERENCE)
    assert sent == [("r.example", None), ("r.example", None), ("evil.example", None)]


def test_sixteen_threads_ask_at_the_door_once() -> None:
    asked: list[str] = []
    with mock_client(hiding(404, asked), auth=ANN) as client, ThreadPoolExecutor(16) as pool:
        assert len(list(pool.map(lambda _: client.fetch_manifest(REFERENCE), range(16)))) == 16
    assert asked.count("GET /v2/") == 1


def test_wrong_password_is_tried_once_and_blamed_on_its_source() -> None:
    registry = Guarded(challenge=BASIC, accepts="Basic other")
    with mock_client(registry, auth=ANN) as client:
        for _ in range(2):
            with pytest.raises(AccessDeniedError, match="the credentials of the caller") as caught:
                client.fetch_manifest(REFERENCE)
    assert registry.sent == [None, ANN_BASIC, ANN_BASIC]
    assert (caught.value.status, "secret" in str(caught.value)) == (401, False)


def test_without_credentials_the_refusal_says_so_and_how_to_log_in() -> None:
    registry = Guarded(challenge=BASIC)
    error = refused(registry)
    assert "without credentials" in error.found
    assert "spin registry login r.example" in error.remedy
    assert registry.sent == [None]


@pytest.mark.parametrize(
    ("challenge", "reason"),
    [
        ("", "does not say how to log in"),
        ("Negotiate", "offers negotiate only"),
        ("NTLM x, Negotiate", "ntlm"),
    ],
)
def test_challenge_that_nobody_can_meet_is_named(challenge: str, reason: str) -> None:
    registry = Guarded(challenge=challenge, accepts="nothing")
    error = refused(registry, auth=ANN)
    assert reason in error.found
    assert "identity token" not in error.found
    assert "the password was not sent" in error.remedy
    assert registry.sent == [None]


def test_identity_token_is_no_use_for_basic_and_the_error_says_so() -> None:
    registry = Guarded(challenge=BASIC)
    identity = Credentials(identity_token="secret", source="/home/ann/.docker/config.json")
    assert "identity token, as in /home/ann" in refused(registry, auth=identity).found
    assert registry.sent == [None]


def test_fresh_token_that_is_refused_is_not_renewed_for_ever() -> None:
    registry = Guarded(accepts="nothing")
    refused(registry)
    assert registry.sent == [None, "Bearer token-1"]


def authorizer(registry: Guarded, search: CredentialSearch, **options: Any) -> Authorizer:
    web = Web(transport=Scripted(registry))
    return Authorizer(web, None, search=lambda *_: search, **options)


def test_header_for_renews_a_token_before_it_expires() -> None:
    now = [1000.0]
    one = authorizer(Guarded(), CredentialSearch(None), clock=lambda: now[0])
    assert one.header_for(REFERENCE) is None
    assert one.meet(REFERENCE, [BEARER], None) == "Bearer token-1"
    now[0] += 269
    assert one.header_for(REFERENCE) == "Bearer token-1"
    now[0] += 2
    assert one.header_for(REFERENCE) == "Bearer token-2"
    assert one.header_for(REFERENCE) == "Bearer token-2"


def test_access_tells_what_was_wrong_with_the_stores() -> None:
    notes = ("/home/ann/.docker/config.json: expected a credential store, got a folder",)
    one = authorizer(Guarded(challenge=BASIC), CredentialSearch(None, notes))
    assert one.meet(REFERENCE, [BASIC], None) is None
    assert notes[0] in one.access(REFERENCE).how


def test_client_hides_what_it_keeps() -> None:
    with mock_client(Guarded(challenge=BASIC, accepts=ANN_BASIC), auth=ANN) as client:
        client.fetch_manifest(REFERENCE)
        kept = [client, *map(vars, (client, client._web, client._authorizer))]
    assert not [text for text in map(repr, kept) if "secret" in text or ANN_BASIC in text]


def test_sixteen_threads_share_one_token_and_one_renewal() -> None:
    registry = Guarded()
    registry.barrier = threading.Barrier(16)  # all of them are refused before any of them has a token
    with mock_client(registry) as client, ThreadPoolExecutor(16) as pool:
        served = list(pool.map(lambda _: client.fetch_manifest(REFERENCE).content, range(16)))
        assert (served, registry.tokens) == ([b"{}"] * 16, 1)
        registry.revoked.add("Bearer token-1")
        list(pool.map(lambda _: client.fetch_manifest(REFERENCE), range(16)))
    assert registry.tokens == 2

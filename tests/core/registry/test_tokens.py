"""Bearer tokens: what is asked for, of whom, and how long an answer lasts."""

from __future__ import annotations

import base64
import json
import time
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest

from spincache_nb.core.credentials import Credentials
from spincache_nb.core.registry.challenges import Challenge
from spincache_nb.core.registry.refusals import Access
from spincache_nb.core.registry.tokens import Token, basic, check_realm, fetch_token, parse_token, scope_of
from spincache_nb.core.transport.retrying import RetryableError
from spincache_nb.core.transport.web import Web
from spincache_nb.errors import (
    AccessDeniedError,
    InsecureTransportError,
    LimitError,
    ProtocolError,
    StatusError,
)

ACCESS = Access("with the credentials of a test", "log in again")
DATE = "Wed, 21 Oct 2015 07:28:00 GMT"
AT_DATE = 1445412480


def answer_of(**fields: Any) -> bytes:
    return json.dumps(fields).encode()


def jwt(claims: Any) -> str:
    middle = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"eyJhbGciOiJub25lIn0.{middle}.c2ln"


def lifetime(**fields: Any) -> float:
    return parse_token(answer_of(**fields), {"Date": DATE}, where="test").lifetime


def ask(
    handler: Any,
    challenge: dict[str, str],
    *,
    credentials: Credentials | None = None,
    registry: str = "https://r.example/",
) -> Token:
    web = Web(transport=httpx.MockTransport(handler))
    return fetch_token(
        web,
        Challenge("bearer", challenge),
        repository="org/app",
        registry=httpx.URL(registry),
        credentials=credentials,
        access=ACCESS,
    )


def give_token(request: httpx.Request) -> httpx.Response:
    return httpx.Response(200, json={"token": "t"})


# What is asked for ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "scope"),
    [
        ("", "repository:org/app:pull"),
        ("repository:org/app:pull", "repository:org/app:pull"),
        ("repository:org/app:pull,push,delete", "repository:org/app:pull"),
        ("repository:org/app:*", "repository:org/app:pull"),
        ("repository:user/image:pull", "repository:org/app:pull"),
        ("registry:catalog:*", "repository:org/app:pull"),
        ("repository:org/app:metadata_read", "repository:org/app:pull,metadata_read"),
        ("repository:other/app:metadata_read", "repository:org/app:pull"),
    ],
)
def test_scope_of_asks_to_pull_from_this_repository_only(asked: str, scope: str) -> None:
    assert scope_of("org/app", Challenge("bearer", {"scope": asked})) == scope


def test_fetch_token_asks_by_get_without_credentials() -> None:
    seen: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json={"token": "opaque", "expires_in": 300})

    token = ask(handler, {"realm": "https://auth.example/token", "service": "a, b"})
    assert (token.value, token.lifetime) == ("opaque", 300.0)
    [request] = seen
    assert request.method == "GET"
    assert request.url.copy_with(query=None) == httpx.URL("https://auth.example/token")
    assert parse_qs(request.url.query.decode()) == {"service": ["a, b"], "scope": ["repository:org/app:pull"]}
    assert "Authorization" not in request.headers


def test_fetch_token_keeps_the_query_of_the_realm_and_needs_no_service() -> None:
    seen: list[httpx.URL] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request.url)
        return give_token(request)

    ask(handler, {"realm": "https://auth.example/token?account=robot"})
    assert parse_qs(seen[0].query.decode()) == {"account": ["robot"], "scope": ["repository:org/app:pull"]}


def test_fetch_token_sends_a_password_as_basic_in_utf8() -> None:
    seen: list[str] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers["Authorization"])
        return give_token(request)

    ask(handler, {"realm": "https://auth.example/"}, credentials=Credentials("zoë", "pa:ß"))
    assert seen == ["Basic " + base64.b64encode("zoë:pa:ß".encode()).decode()]


def test_fetch_token_sends_an_identity_token_as_refresh_token() -> None:
    seen: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json={"access_token": "short-lived"})

    challenge = {"realm": "https://auth.example/token", "service": "r.example"}
    token = ask(handler, challenge, credentials=Credentials(identity_token="long-lived"))
    assert token.value == "short-lived"
    [request] = seen
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


def test_basic_is_the_example_of_the_rfc() -> None:
    assert basic(Credentials("Aladdin", "open sesame")) == "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="


# Of whom -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("realm", "registry"),
    [
        ("https://auth.example/token", "https://r.example/"),
        ("https://auth.example/token", "http://r.example/"),
        ("http://127.0.0.1:5001/token", "https://r.example/"),
        ("http://localhost/token", "http://127.0.0.1:5000/"),
        ("http://[::1]:5001/token", "https://r.example/"),
        ("http://r.example/token", "http://r.example/"),
        ("http://r.example:5001/token", "http://R.example:5000/"),
    ],
)
def test_check_realm_lets_pass(realm: str, registry: str) -> None:
    check_realm(httpx.URL(realm), httpx.URL(registry), where="test")


@pytest.mark.parametrize(
    ("realm", "registry"),
    [
        ("http://auth.example/token", "https://r.example/"),
        ("http://auth.example/token", "http://r.example/"),
        ("http://auth.example/token", "http://127.0.0.1:5000/"),
        ("http://r.example/token", "https://r.example/"),
        ("http://r.example.evil.example/token", "http://r.example/"),
        ("http://localhost.evil.example/token", "http://localhost/"),
    ],
)
def test_check_realm_refuses(realm: str, registry: str) -> None:
    with pytest.raises(InsecureTransportError):
        check_realm(httpx.URL(realm), httpx.URL(registry), where="test")


def test_fetch_token_tells_a_refused_realm_nothing() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        raise AssertionError("it was asked")

    with pytest.raises(InsecureTransportError, match=r"http://auth\.example/token"):
        ask(handler, {"realm": "http://auth.example/token"}, credentials=Credentials("ann", "secret"))


@pytest.mark.parametrize(
    "realm", ["ftp://auth.example/", "/token", "https://", "https://[", "token", "https://a b/"]
)
def test_fetch_token_refuses_a_realm_that_is_no_address(realm: str) -> None:
    with pytest.raises(ProtocolError):
        ask(give_token, {"realm": realm})


def test_fetch_token_drops_user_and_password_of_the_realm() -> None:
    seen: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return give_token(request)

    ask(handler, {"realm": "https://user:secret@auth.example/token"})
    assert seen[0].url.userinfo == b""
    assert "Authorization" not in seen[0].headers


# What comes back -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["token", "access_token"])
def test_parse_token_takes_either_name(name: str) -> None:
    assert parse_token(answer_of(**{name: "abc.def"}), {}, where="test").value == "abc.def"


def test_parse_token_prefers_token_and_passes_over_an_empty_one() -> None:
    assert parse_token(answer_of(token="a", access_token="b"), {}, where="test").value == "a"
    assert parse_token(answer_of(token="", access_token="b"), {}, where="test").value == "b"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not json",
        b"[]",
        b'"token"',
        b"{}",
        b'{"token": ""}',
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
        parse_token(content, {}, where="https://auth.example/token")
    assert caught.value.__cause__ is None  # a cause would quote the answer


@pytest.mark.parametrize(
    ("fields", "seconds"),
    [
        ({"token": "t"}, 60),
        ({"token": "t", "expires_in": 300}, 300),
        ({"token": "t", "expires_in": 300.5}, 300.5),
        ({"token": "t", "expires_in": 0}, 0),
        ({"token": "t", "expires_in": -5}, 0),
        ({"token": "t", "expires_in": "300"}, 60),
        ({"token": "t", "expires_in": True}, 60),
        ({"token": "t", "expires_in": 300, "issued_at": "2015-10-21T07:27:00Z"}, 240),
        ({"token": "t", "expires_in": 300, "issued_at": "2015-10-21T07:27:00.123456789Z"}, 240.123456),
        ({"token": "t", "expires_in": 300, "issued_at": "2015-10-21T09:27:00+02:00"}, 240),
        ({"token": "t", "expires_in": 300, "issued_at": "2015-10-21T08:00:00Z"}, 300),
        ({"token": "t", "expires_in": 300, "issued_at": "yesterday"}, 300),
        ({"token": "t", "expires_in": 300, "issued_at": 5}, 300),
        ({"token": jwt({"exp": AT_DATE + 90})}, 90),
        ({"token": jwt({"exp": AT_DATE + 90}), "expires_in": 300}, 90),
        ({"token": jwt({"exp": AT_DATE + 900}), "expires_in": 300}, 300),
        ({"token": jwt({"exp": AT_DATE - 1})}, 0),
        ({"token": jwt({"exp": "soon"})}, 60),
        ({"token": jwt([])}, 60),
        ({"token": "a.!!!.c"}, 60),
        ({"token": "a.é.c".encode("ascii", "ignore").decode()}, 60),
    ],
)
def test_parse_token_tells_how_long_it_lasts_by_the_servers_clock(
    fields: dict[str, Any], seconds: float
) -> None:
    assert lifetime(**fields) == pytest.approx(seconds, abs=1e-3)


def test_parse_token_uses_this_clock_where_the_server_tells_none() -> None:
    token = parse_token(answer_of(token=jwt({"exp": time.time() + 100})), {}, where="test")
    assert 95 < token.lifetime <= 100


@pytest.mark.parametrize("status", [400, 401, 403])
def test_fetch_token_says_that_the_credentials_were_refused(status: int) -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        return httpx.Response(status, json={"errors": [{"code": "UNAUTHORIZED"}]})

    with pytest.raises(AccessDeniedError, match="with the credentials of a test") as caught:
        ask(handler, {"realm": "https://auth.example/token"}, credentials=Credentials("ann", "secret"))
    assert caught.value.status == status


@pytest.mark.parametrize("status", [429, 500, 503])
def test_fetch_token_can_be_tried_again_when_the_service_is_down(status: int) -> None:
    with pytest.raises(RetryableError) as caught:
        ask(lambda request: httpx.Response(status), {"realm": "https://auth.example/token"})
    assert isinstance(caught.value.error, StatusError)


def test_fetch_token_follows_no_redirect_with_a_secret_in_the_body() -> None:
    seen: list[str] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request.url.host)
        return httpx.Response(307, headers={"Location": "https://evil.example/"})

    with pytest.raises(ProtocolError):
        ask(handler, {"realm": "https://auth.example/"}, credentials=Credentials(identity_token="secret"))
    assert seen == ["auth.example"]


def test_fetch_token_loses_the_password_on_the_way_to_another_host() -> None:
    seen: dict[str, str | None] = {}

    def handler(request: httpx.Request) -> httpx.Response:
        seen[request.url.host] = request.headers.get("Authorization")
        if request.url.host == "auth.example":
            return httpx.Response(302, headers={"Location": "https://other.example/token"})
        return give_token(request)

    ask(handler, {"realm": "https://auth.example/"}, credentials=Credentials("ann", "secret"))
    assert seen["auth.example"] is not None
    assert seen["other.example"] is None


def test_fetch_token_refuses_an_endless_answer() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=b" " * (1 << 20) + b"{}")

    with pytest.raises(LimitError):
        ask(handler, {"realm": "https://auth.example/"})


def test_token_hides_itself() -> None:
    assert "secret" not in repr(Token("secret", 60.0))

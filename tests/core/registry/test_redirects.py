"""Where a request is led: to storage without credentials, never in a circle, never into the clear."""

from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from spincache_nb.core.settings import Limits
from spincache_nb.errors import (
    AccessDeniedError,
    InsecureTransportError,
    NotFoundError,
    ProtocolError,
    StatusError,
)
from tests.core.clients import (
    BLOB,
    DATA,
    PATH,
    REFERENCE,
    Scripted,
    fetch_blob,
    mock_client,
    quick_client,
    ref,
)
from tests.support import behaviours, faults
from tests.support.hostile import HostileServer

ANN_BASIC = "Basic YW5uOnNlY3JldA=="
LOOPBACK = ("127.0.0.1:1", "localhost", "[::1]")
Start = Callable[..., HostileServer]


def redirecting(*targets: str, status: int = 307) -> tuple[list[httpx.Request], Scripted]:
    """``r.example`` redirects once per target; whatever else is asked has the blob."""
    seen: list[httpx.Request] = []
    left = list(targets)

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        if left:
            return httpx.Response(status, headers={"Location": left.pop(0)})
        return httpx.Response(200, content=DATA)

    return seen, Scripted(handler)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_blob_is_fetched_where_the_registry_says(status: int) -> None:
    seen, transport = redirecting("https://storage.example/blob?X-Signature=abc", status=status)
    assert fetch_blob(transport=transport) == DATA
    assert [str(request.url) for request in seen][1:] == ["https://storage.example/blob?X-Signature=abc"]
    assert all(request.method == "GET" for request in seen)
    assert seen[1].headers["Accept-Encoding"] == "identity"
    assert seen[1].headers["Host"] == "storage.example"


def test_relative_redirects_are_resolved() -> None:
    seen, transport = redirecting("../other/x", "//s.example/y", "?z=1")
    assert fetch_blob(transport=transport) == DATA
    assert [str(request.url) for request in seen][1:] == [
        "https://r.example/v2/org/app/other/x",
        "https://s.example/y",
        "https://s.example/y?z=1",
    ]


def test_fragment_and_user_of_a_redirect_are_dropped() -> None:
    seen, transport = redirecting("https://user:secret@s.example/y#part")
    fetch_blob(transport=transport)
    assert str(seen[1].url) == "https://s.example/y"
    assert "Authorization" not in seen[1].headers


@pytest.mark.parametrize(
    "elsewhere",
    [
        "https://s.example/blob",
        "https://r.example:444/blob",
        "https://r.example./blob",
    ],
)
def test_credentials_stay_with_their_origin(elsewhere: str) -> None:
    seen: list[tuple[str, str | None]] = []

    def handler(request: httpx.Request) -> httpx.Response:
        authorization = request.headers.get("Authorization")
        seen.append((str(request.url), authorization))
        if str(request.url) == elsewhere:
            return httpx.Response(307, headers={"Location": "https://r.example/back"})
        if request.url.path == "/back":
            return httpx.Response(200, content=DATA)
        if authorization is None:
            return httpx.Response(401, headers={"WWW-Authenticate": "Basic realm=x"})
        return httpx.Response(307, headers={"Location": elsewhere})

    assert fetch_blob(transport=Scripted(handler), auth=("ann", "secret")) == DATA
    blob = f"https://r.example{PATH}"
    back = ("https://r.example/back", None)  # once lost, they do not come back
    assert seen == [(blob, None), (blob, ANN_BASIC), (elsewhere, None), back]


def test_credentials_follow_a_redirect_within_their_origin() -> None:
    seen: list[str | None] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers.get("Authorization"))
        if seen[-1] is None:
            return httpx.Response(401, headers={"WWW-Authenticate": "Basic realm=x"})
        if request.url.path == PATH:
            return httpx.Response(307, headers={"Location": "/moved"})
        return httpx.Response(200, content=DATA)

    assert fetch_blob(transport=Scripted(handler), auth=("ann", "secret")) == DATA
    assert seen == [None, ANN_BASIC, ANN_BASIC]


def refused_by_storage(status: int, location: str, *, challenge: bool = True) -> StatusError:
    """``r.example`` redirects to where this status is the answer; the error."""
    headers = {"WWW-Authenticate": "Basic realm=phishing"} if challenge else {}

    def handler(request: httpx.Request) -> httpx.Response:
        if request.url.host == "r.example":
            return httpx.Response(307, headers={"Location": location})
        return httpx.Response(status, headers=headers)

    with pytest.raises(StatusError) as caught:
        fetch_blob(transport=Scripted(handler), auth=("ann", "secret"))
    assert "secret" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize(("status", "path", "challenge"), [(401, "/x", True), (403, PATH, False)])
def test_redirect_to_another_registry_is_named_with_what_to_do(
    status: int, path: str, challenge: bool
) -> None:
    error = refused_by_storage(status, f"https://new.example:5000{path}", challenge=challenge)
    assert type(error) is AccessDeniedError
    assert "new.example:5000, to which the registry redirects" in error.found
    assert "name that registry in the reference: new.example:5000/..." in error.remedy


def test_missing_storage_says_which_blob() -> None:
    error = refused_by_storage(404, "https://s.example/x?sig=secret")
    assert type(error) is NotFoundError
    assert str(BLOB.digest) in error.where
    error = refused_by_storage(403, "https://s.example/x?sig=secret", challenge=False)
    assert "the storage at https://s.example/" in error.remedy


def test_broken_storage_is_asked_for_through_the_registry_again(start_hostile: Start) -> None:
    registry, storage = start_hostile(), start_hostile("127.0.0.2")
    number = iter(range(10))
    registry.always(PATH, behaviours.Redirect(lambda request: f"{storage.url}/s?signature={next(number)}"))
    storage.content("/s", DATA)
    storage.on("/s", faults.Cut(50_000))
    assert fetch_blob(registry.name) == DATA
    assert [request.header("Range") for request in registry.requests] == [None, "bytes=50000-"]
    assert [request.target for request in storage.requests] == ["/s?signature=0", "/s?signature=1"]
    assert [request.header("Range") for request in storage.requests] == [None, "bytes=50000-"]


def test_connection_survives_a_redirect(start_hostile: Start) -> None:
    registry, storage = start_hostile(), start_hostile("127.0.0.2")
    registry.always(PATH, behaviours.Redirect(f"{storage.url}/s"))
    storage.content("/s", DATA)
    with quick_client() as client:
        for _ in range(4):
            list(client.stream_blob(ref(f"{registry.name}/org/app:v1"), BLOB))
    assert (registry.connections, storage.connections) == (1, 1)


@pytest.mark.parametrize(
    "location", ["https://r.example" + PATH, "", None, "ftp://s.example/", "https://", "https://s.example:0/"]
)
def test_redirect_to_nowhere_breaks_the_protocol(location: str | None) -> None:
    headers = {} if location is None else {"Location": location}
    with mock_client(lambda request: httpx.Response(307, headers=headers)) as client:
        with pytest.raises(ProtocolError):
            list(client.stream_blob(REFERENCE, BLOB))
        assert client.request_count == 1


def test_loop_of_two_is_seen(start_hostile: Start) -> None:
    one, two = start_hostile(), start_hostile()
    one.always("*", behaviours.Redirect(f"{two.url}/x"))
    two.always("*", behaviours.Redirect(f"{one.url}{PATH}"))
    with pytest.raises(ProtocolError, match="loop"):
        fetch_blob(one.name)
    assert (len(one.requests), len(two.requests)) == (1, 1)


def test_endless_chain_is_cut() -> None:
    number = iter(range(100))
    handler = lambda request: httpx.Response(307, headers={"Location": f"/{next(number)}"})  # noqa: E731
    with mock_client(handler) as client:
        with pytest.raises(ProtocolError):
            list(client.stream_blob(REFERENCE, BLOB))
        assert client.request_count == 11
    with mock_client(handler, limits=Limits(redirects=2)) as client:
        with pytest.raises(ProtocolError):
            list(client.stream_blob(REFERENCE, BLOB))
        assert client.request_count == 3


@pytest.mark.parametrize(
    ("registry", "target", "insecure", "refusal"),
    [
        ("r.example", "http://s.example/blob", None, r"http://s\.example/blob"),
        ("localhost:5000", "http://s.example/blob", None, "http"),
        *(("r.example", f"http://{host}/x", None, r"owner of r\.example") for host in LOOPBACK),
        ("r.example", "http://s.example/x", True, None),
    ],
)
def test_plain_http_is_followed_only_where_it_was_asked_for(
    registry: str, target: str, insecure: bool | None, refusal: str | None
) -> None:
    """Not out of TLS, not from loopback to elsewhere, and not from elsewhere to this machine."""
    seen, transport = redirecting(target)
    with quick_client(transport=transport, insecure=insecure) as client:
        pieces = client.stream_blob(ref(f"{registry}/org/app:v1"), BLOB)
        if refusal is None:
            assert b"".join(pieces) == DATA
        else:
            with pytest.raises(InsecureTransportError, match=refusal):
                list(pieces)
    assert len(seen) == (2 if refusal is None else 1)


def test_tls_registry_may_lead_to_loopback(
    hostile: HostileServer, hostile_tls: HostileServer, ca_file: Path
) -> None:
    hostile_tls.always(PATH, behaviours.Redirect(f"{hostile.url}/s"))
    hostile.content("/s", DATA)
    assert fetch_blob(hostile_tls.name, insecure=False, ca=ca_file) == DATA


def test_cookies_are_not_kept(hostile: HostileServer) -> None:
    hostile.always("*", behaviours.Reply(200, DATA, (("Set-Cookie", "session=1; Path=/"),)))
    with quick_client() as client:
        for _ in range(2):
            list(client.stream_blob(ref(f"{hostile.name}/org/app:v1"), BLOB))
    assert all(request.header("Cookie") is None for request in hostile.requests)

"""The hostile server does what its behaviours say, seen through bare sockets and http.client."""

import datetime as dt
import gzip
import http.client
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.support.artifact import Artifact
from tests.support.artifacts import five_kinds
from tests.support.behaviours import Redirect, Reply, challenge, json_reply, later, wait_until
from tests.support.faults import (
    Cut,
    Drip,
    Drop,
    Gzipped,
    HangUp,
    Hold,
    IgnoreRange,
    Relabel,
    Stall,
    Stream,
    Truncated,
    WrongBytes,
    WrongLength,
    WrongRange,
)
from tests.support.hostile import HostileServer
from tests.support.odd_artifacts import broken

DATA = bytes(range(256)) * 4
PATH = "/v2/a/blobs/sha256:ab"


@pytest.fixture
def server(hostile: HostileServer) -> HostileServer:
    """A hostile server with 1024 bytes at PATH."""
    hostile.content(PATH, DATA)
    return hostile


def exchange(server: HostileServer, heads: str) -> bytes:
    """Send raw requests and the end of sending; return everything until the connection ends."""
    with socket.create_connection((server.host, server.port), timeout=5) as sock:
        sock.sendall(heads.replace("\n", "\r\n").encode() + b"\r\n")
        sock.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: sock.recv(65536), b""))


def get(server: HostileServer, path: str = PATH, *headers: str) -> tuple[int, dict[str, str], bytes]:
    """Send a raw GET that asks to close; return status, header fields (lower-case names) and body."""
    fields = "".join(f"{field}\n" for field in (*headers, "Connection: close"))
    answer = exchange(server, f"GET {path} HTTP/1.1\nHost: {server.name}\n{fields}")
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    pairs = (line.split(": ", 1) for line in lines)
    return int(first.split()[1]), {name.lower(): value for name, value in pairs}, body


@contextmanager
def connection(server: HostileServer) -> Iterator[http.client.HTTPConnection]:
    """Give a keep-alive connection."""
    with closing(http.client.HTTPConnection(server.host, server.port, timeout=5)) as client:
        yield client


def send_again(client: http.client.HTTPConnection) -> None:
    """Send a request on a connection that has ended: sending fails, or reading, depending on the moment."""
    client.request("GET", PATH)
    client.getresponse()


def test_serve_answers_for_an_artifact_as_a_registry_does(hostile: HostileServer) -> None:
    artifact = five_kinds()["new"]
    hostile.serve(artifact)
    for name in ("v1", artifact.digest):
        status, headers, body = get(hostile, f"/v2/demo/new/manifests/{name}")
        assert (status, body) == (200, artifact.manifest)
        assert headers["docker-content-digest"] == artifact.digest
        assert headers["content-type"] == artifact.media_type
    for digest, data in artifact.blobs.items():
        assert get(hostile, f"/v2/demo/new/blobs/{digest}")[2] == data
    assert get(hostile, "/v2/demo/new/tags/list")[2] == b'{"name": "demo/new", "tags": ["v1"]}'
    assert get(hostile, "/v2/")[0] == 200
    status, _, body = get(hostile, "/v2/demo/new/manifests/v9")
    assert (status, b"MANIFEST_UNKNOWN" in body) == (404, True)
    assert hostile.lines[0] == "GET /v2/demo/new/manifests/v1"


@pytest.mark.parametrize(
    ("wanted", "status", "where", "body"),
    [
        ("bytes=1000-", 206, "bytes 1000-1023/1024", DATA[1000:]),
        ("bytes=0-9", 206, "bytes 0-9/1024", DATA[:10]),
        ("bytes=-4", 206, "bytes 1020-1023/1024", DATA[-4:]),
        ("bytes=1024-", 416, "bytes */1024", b""),
    ],
)
def test_content_honours_range(
    server: HostileServer, wanted: str, status: int, where: str, body: bytes
) -> None:
    answer = get(server, PATH, f"Range: {wanted}")
    assert (answer[0], answer[1]["content-range"], answer[2]) == (status, where, body)


def test_head_has_no_body(server: HostileServer) -> None:
    answer = exchange(server, f"HEAD {PATH} HTTP/1.1\nHost: x\n\nHEAD /x HTTP/1.1\nHost: x\n")
    first, second, rest = answer.split(b"\r\n\r\n")
    assert first.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"Content-Length: 1024" in first
    assert second.startswith(b"HTTP/1.1 404 Not Found\r\n")
    assert rest == b""


def test_on_answers_in_order_and_then_honestly(server: HostileServer) -> None:
    moment = dt.datetime(2030, 1, 2, 3, 4, 5, tzinfo=dt.UTC)
    server.on("*/blobs/*", later(429, 7), later(429, moment), later(503))
    answers = [get(server) for _ in range(4)]
    assert [answer[0] for answer in answers] == [429, 429, 503, 200]
    assert answers[0][1]["retry-after"] == "7"
    assert answers[1][1]["retry-after"] == "Wed, 02 Jan 2030 03:04:05 GMT"
    assert "retry-after" not in answers[2][1]
    assert len(server.requests_for("GET */blobs/*")) == 4
    assert server.requests_for("HEAD *") == []


def test_always_comes_after_on(server: HostileServer) -> None:
    server.always("*", later(500))
    server.on(PATH, Reply(204))
    assert [get(server)[0] for _ in range(3)] == [204, 500, 500]


def test_cut_ends_within_the_body_and_range_goes_on(server: HostileServer) -> None:
    server.on(PATH, Cut(100))
    status, headers, body = get(server)
    assert (status, headers["content-length"], body) == (200, "1024", DATA[:100])
    assert get(server, PATH, "Range: bytes=100-")[2] == DATA[100:]
    assert [request.header("range") for request in server.requests] == [None, "bytes=100-"]


def test_cut_with_reset_resets(server: HostileServer) -> None:
    server.on(PATH, Cut(0, reset=True))
    with connection(server) as client:
        client.request("GET", PATH)
        with pytest.raises(OSError, match="reset"):
            client.getresponse().read()


def test_ignore_range_and_wrong_range(server: HostileServer) -> None:
    server.on(PATH, IgnoreRange(), WrongRange(-10), WrongRange(text="bytes nonsense"))
    assert get(server, PATH, "Range: bytes=100-")[::2] == (200, DATA)
    status, headers, body = get(server, PATH, "Range: bytes=100-")
    assert (status, headers["content-range"], body) == (206, "bytes 90-1023/1024", DATA[90:])
    assert get(server, PATH, "Range: bytes=100-")[1]["content-range"] == "bytes nonsense"


def test_wrong_length_wrong_bytes_and_truncated(server: HostileServer) -> None:
    server.on(
        PATH, WrongLength(5), WrongLength(-5), WrongBytes(), WrongBytes(0), Truncated(24), Truncated(-2)
    )
    answers = [get(server) for _ in range(6)]
    assert {status for status, _, _ in answers} == {200}
    assert [headers["content-length"] for _, headers, _ in answers] == [
        *("1029", "1019", "1024", "1024", "1000", "1026"),
    ]
    assert [body for _, _, body in answers] == [
        DATA,
        DATA,
        DATA[:-1] + b"\xfe",
        b"\x01" + DATA[1:],
        DATA[:1000],
        DATA + b"\0\0",
    ]


def test_stall_sends_a_part_and_waits(server: HostileServer) -> None:
    server.on(PATH, Stall(10, seconds=0.3), Stall(seconds=0.2))
    start = time.monotonic()
    assert get(server)[2] == DATA[:10]
    assert exchange(server, f"GET {PATH} HTTP/1.1\nHost: x\n") == b""
    assert time.monotonic() - start > 0.49


def test_stopping_the_server_ends_a_stall(start_hostile: Callable[..., HostileServer]) -> None:
    with HostileServer() as server, connection(server) as client:
        server.content(PATH, DATA)
        server.on(PATH, Stall(10))
        client.request("GET", PATH)
        answer = client.getresponse()
        server.__exit__(None, None, None)
        with pytest.raises(http.client.IncompleteRead):
            answer.read()


def test_drip_takes_its_time(server: HostileServer) -> None:
    server.on(PATH, Drip(size=256, pause=0.05))
    start = time.monotonic()
    assert get(server)[2] == DATA
    assert time.monotonic() - start > 0.19


def test_hold_waits_for_its_event_and_counts_who_waits(server: HostileServer) -> None:
    release = threading.Event()
    server.on(PATH, *[Hold(release)] * 3, Hold(release, Reply(204)))
    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.append(get(server)[0])) for _ in range(4)]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(server.requests) == 4)
    assert found == []
    assert server.most_concurrent == 4
    release.set()
    for thread in threads:
        thread.join(5)
    assert sorted(found) == [200, 200, 200, 204]


def test_redirect_by_url_by_function_and_in_a_loop(server: HostileServer) -> None:
    server.on("/one", Redirect("http://127.0.0.2:9/x", 302))
    server.on("/two", Redirect(lambda request: request.target + "/again"))
    assert get(server, "/one")[1]["location"] == "http://127.0.0.2:9/x"
    status, headers, _ = get(server, "/two?q=1")
    assert (status, headers["location"]) == (307, "/two?q=1/again")


def test_relabel_changes_headers_only(server: HostileServer) -> None:
    server.on(PATH, Relabel({"Docker-Content-Digest": "sha256:00", "Etag": None}))
    _, headers, body = get(server)
    assert (headers["docker-content-digest"], "etag" in headers, body) == ("sha256:00", False, DATA)


def test_gzipped_compresses_unasked(server: HostileServer) -> None:
    server.on(PATH, Gzipped())
    _, headers, body = get(server, PATH, "Accept-Encoding: identity")
    assert headers["content-encoding"] == "gzip"
    assert gzip.decompress(body) == DATA


@pytest.mark.parametrize("chunked", [True, False])
def test_stream_sends_much_without_a_length(server: HostileServer, chunked: bool) -> None:
    server.on("/big", Stream(3_000_000, chunked=chunked))
    with connection(server) as client:
        client.request("GET", "/big")
        answer = client.getresponse()
        assert answer.headers["Content-Length"] is None
        assert answer.headers["Transfer-Encoding"] == ("chunked" if chunked else None)
        assert len(answer.read()) == 3_000_000
    assert server.body_bytes == 3_000_000


def test_stream_stops_when_the_client_hangs_up(server: HostileServer) -> None:
    server.on("/big", Stream(10**12))
    with connection(server) as client:
        client.request("GET", "/big")
        client.getresponse().read(1000)
    wait_until(lambda: server.open_connections == 0)
    assert 1000 < server.body_bytes < 10**8


def test_challenge_sends_every_value(server: HostileServer) -> None:
    server.on(PATH, challenge('Bearer realm="http://x/",service="a,b"', "Basic realm=x", "§$%"), challenge())
    with connection(server) as client:
        client.request("GET", PATH)
        answer = client.getresponse()
        answer.read()
        values = answer.headers.get_all("WWW-Authenticate")
    assert values == ['Bearer realm="http://x/",service="a,b"', "Basic realm=x", "§$%"]
    assert get(server)[0] == 401


def test_require_guards_the_api_and_leaves_other_paths(server: HostileServer) -> None:
    server.require("Bearer t0k3n", f'Bearer realm="{server.url}/token"')
    server.on(PATH, later(503))
    server.always("/token", json_reply({"token": "t0k3n"}))
    status, headers, _ = get(server)
    assert (status, headers["www-authenticate"]) == (401, f'Bearer realm="{server.url}/token"')
    assert get(server, "/token?scope=x")[2] == b'{"token": "t0k3n"}'
    assert [get(server, PATH, "Authorization: Bearer t0k3n")[0] for _ in range(2)] == [503, 200]
    assert server.authorizations == ["Bearer t0k3n"] * 2
    assert server.requests_for("/token")[0].query == {"scope": ["x"]}


def test_tag_pages_are_chained_by_link(server: HostileServer) -> None:
    path = "/v2/a/b/tags/list"
    server.tag_pages("a/b", [["v1", "v2"], ["v3"]], last_link="<http://127.0.0.2:9/x>; rel=next")
    _, headers, body = get(server, path)
    assert headers["link"] == f'<{path}?last=1&n=2>; rel="next"'
    assert body == b'{"name": "a/b", "tags": ["v1", "v2"]}'
    _, headers, body = get(server, f"{path}?last=1&n=2")
    assert (headers["link"], body) == ("<http://127.0.0.2:9/x>; rel=next", b'{"name": "a/b", "tags": ["v3"]}')
    assert get(server, f"{path}?last=2")[0] == 400


def test_keep_alive_and_an_early_close(server: HostileServer) -> None:
    with connection(server) as client:
        for _ in range(2):
            client.request("GET", PATH)
            assert client.getresponse().read() == DATA
        assert server.connections == 1
        server.on(PATH, HangUp())
        client.request("GET", PATH)
        answer = client.getresponse()
        assert answer.headers["Connection"] is None
        assert answer.read() == DATA
        wait_until(lambda: server.open_connections == 0)
        with pytest.raises((http.client.RemoteDisconnected, ConnectionError)):
            send_again(client)
    assert [request.connection for request in server.requests] == [1, 1, 1]


@pytest.mark.parametrize("reset", [True, False])
def test_drop_gives_no_answer(server: HostileServer, reset: bool) -> None:
    server.on(PATH, Drop(reset))
    with connection(server) as client:
        client.request("GET", PATH)
        with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
            client.getresponse()
    assert server.lines == [f"GET {PATH}"]


def test_drop_every_third_connection(start_hostile: Callable[..., HostileServer]) -> None:
    server = start_hostile(drop_every=3)
    server.content(PATH, DATA)
    outcomes = []
    for _ in range(6):
        try:
            outcomes.append(get(server)[0])
        except (OSError, IndexError):
            outcomes.append(0)
    assert outcomes == [200, 200, 0, 200, 200, 0]
    assert (server.connections, len(server.requests)) == (6, 4)


def test_another_loopback_host_is_another_server(start_hostile: Callable[..., HostileServer]) -> None:
    here, there = start_hostile(), start_hostile("127.0.0.2")
    there.content("/x", b"there")
    assert there.url == f"http://127.0.0.2:{there.port}"
    assert get(there, "/x")[2] == b"there"
    assert here.requests == []


def test_tls_is_served_and_failed_handshakes_are_kept(hostile_tls: HostileServer, ca_file: Path) -> None:
    hostile_tls.content(PATH, DATA)
    trusting = ssl.create_default_context(cafile=str(ca_file))
    client = http.client.HTTPSConnection("localhost", hostile_tls.port, timeout=5, context=trusting)
    with closing(client):
        client.request("GET", PATH)
        assert client.getresponse().read() == DATA
    stranger = http.client.HTTPSConnection(
        hostile_tls.host, hostile_tls.port, timeout=5, context=ssl.create_default_context()
    )
    with closing(stranger), pytest.raises(ssl.SSLCertVerificationError):
        stranger.request("GET", PATH)
    wait_until(lambda: len(hostile_tls.handshake_failures) == 1)
    assert hostile_tls.url.startswith("https://127.0.0.1:")


def test_requests_keep_bodies_plain_and_chunked(server: HostileServer) -> None:
    with connection(server) as client:
        client.request("POST", "/form", "a=1")
        client.getresponse().read()
        client.request("POST", "/chunks", iter([b"ab", b"c"]), encode_chunked=True)
        client.getresponse().read()
    assert [request.body for request in server.requests] == [b"a=1", b"abc"]


def test_serve_gives_every_broken_artifact_as_it_is(hostile: HostileServer) -> None:
    for name, artifact in broken().items():
        one: Artifact = artifact.located(repository=f"b/{len(name)}")
        hostile.serve(one)
        assert get(hostile, f"/v2/{one.repository}/manifests/v1")[2] == one.manifest, name

"""The transport over sockets: framing, reuse, hostile heads; and that httpx's own would do as well."""

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spincache_nb.core.settings import RetryPolicy, Timeouts
from spincache_nb.core.sockets import SocketTransport
from spincache_nb.errors import ConnectionFailedError, NotFoundError, ProtocolError, SpinCacheError
from tests.core.clients import BLOB, DATA, PATH, blob_of, fetch_blob, full_listener, quick_client, ref
from tests.support import behaviours, faults
from tests.support.artifact import filler
from tests.support.hostile import HostileServer

OK = b"HTTP/1.1 200 OK\r\n"
ONCE = RetryPolicy(attempts=1, connect_attempts=1)
TIMEOUTS = {"timeout": {"connect": 2.0, "read": 2.0, "write": 2.0, "pool": None}}
Start = Callable[..., HostileServer]


@dataclass(frozen=True)
class Raw:
    """Bytes as they are; then the connection ends, or stays."""

    data: bytes
    stays: bool = False

    def answer(self, call: behaviours.Call) -> bool:
        call.wire.sock.sendall(self.data)
        return self.stays


@dataclass(frozen=True)
class Endless:
    """A beginning, then the same bytes again and again."""

    start: bytes
    unit: bytes

    def answer(self, call: behaviours.Call) -> bool:
        call.wire.sock.sendall(self.start)
        while not call.stopping.is_set():
            call.wire.sock.sendall(self.unit * max(1, 65536 // len(self.unit)))
        return False


@pytest.fixture
def transport() -> Iterator[SocketTransport]:
    made = SocketTransport(context=lambda: ssl.create_default_context(), idle=4, check=lambda: None)
    yield made
    made.close()


def ask(transport: httpx.BaseTransport, url: str, method: str = "GET") -> tuple[httpx.Response, bytes]:
    response = transport.handle_request(httpx.Request(method, url, extensions=TIMEOUTS))
    try:
        return response, b"".join(response.stream)  # type: ignore[arg-type]
    finally:
        response.close()


@pytest.mark.parametrize(
    ("answer", "body", "reusable"),
    [
        (OK + b"Content-Length: 3\r\n\r\nabc", b"abc", True),
        (OK + b"Content-Length: 0\r\n\r\n", b"", True),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n", b"abcde", True),
        (OK + b"Transfer-Encoding: Chunked\r\n\r\n0\r\nTrailer: x\r\n\r\n", b"", True),
        (OK + b"Connection: close\r\nContent-Length: 3\r\n\r\nabc", b"abc", False),
        (OK + b"\r\nabc", b"abc", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nabc", b"abc", False),
        (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 3\r\n\r\nabc", b"abc", True),
        (b"HTTP/1.1 200\r\nContent-Length: 1\r\n\r\na", b"a", True),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b"", True),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n", b"", True),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"Content-Length: 1\r\n\r\na", b"a", True),
        (OK + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", b"abc", True),
        (OK + b"Content-Length: 3, 3\r\n\r\nabc", b"abc", True),
        (OK + b"Content-Length: some\r\n\r\nabc", b"abc", False),
        (OK + b"Transfer-Encoding: chunked\r\nContent-Length: 9\r\n\r\n3\r\nabc\r\n0\r\n\r\n", b"abc", True),
        (b"HTTP/1.1 200 OK\nContent-Length: 3\n\nabc", b"abc", True),
        (OK + b"no colon here\r\n : no name\r\nContent-Length : 3\r\n\r\nabc", b"abc", True),
        # what registries and proxies send, python/cpython#131724
        (OK + b"X: y\r\n" * 5000 + b"Content-Length: 3\r\n\r\nabc", b"abc", True),
        (OK + b"X: " + b"x" * 70_000 + b"\r\nContent-Length: 3\r\n\r\nabc", b"abc", True),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + b"X: y\r\n" * 500 + b"\r\n", b"", True),
    ],
    ids=lambda value: repr(value[:60]) if isinstance(value, bytes) else None,
)
def test_body_is_framed_as_the_head_says(
    hostile: HostileServer, transport: SocketTransport, answer: bytes, body: bytes, reusable: bool
) -> None:
    hostile.on("/a", *[Raw(answer, stays=reusable)] * 2)
    for _ in range(2):
        assert ask(transport, f"{hostile.url}/a")[1] == body
    assert hostile.connections == (1 if reusable else 2)


@pytest.mark.parametrize("coding", ["gzip", "gzip, chunked", "chunked, gzip", "identity"])
def test_transfer_coding_that_is_not_chunked_is_refused(
    hostile: HostileServer, transport: SocketTransport, coding: str
) -> None:
    hostile.on("/a", Raw(OK + f"Transfer-Encoding: {coding}\r\n\r\n3\r\nabc\r\n0\r\n\r\n".encode()))
    with pytest.raises(httpx.RemoteProtocolError):
        ask(transport, f"{hostile.url}/a")


def test_head_is_given_as_it_came(hostile: HostileServer, transport: SocketTransport) -> None:
    head = b"X-Two: 1\r\nx-two: 2\r\nX-Folded: a\r\n  b\r\nX-Latin: \xe9\r\nX-Bare: a\rb\r\n"
    head += b"Content-Length: 0\r\n\r\n"
    hostile.on("/a", Raw(b"HTTP/1.1 299 Whatever\r\n" + head))
    response, _ = ask(transport, f"{hostile.url}/a")
    assert response.status_code == 299
    assert response.headers.get_list("X-Two") == ["1", "2"]
    assert response.headers["X-Folded"].split() == ["a", "b"]
    assert response.headers["X-Bare"] == "a b"
    assert dict(response.headers.raw)[b"X-Latin"] == b"\xe9"


def test_head_request_has_no_body(hostile: HostileServer, transport: SocketTransport) -> None:
    hostile.content("/a", DATA)
    response, body = ask(transport, f"{hostile.url}/a", "HEAD")
    assert (response.headers["Content-Length"], body) == (str(len(DATA)), b"")
    assert ask(transport, f"{hostile.url}/a")[1] == DATA
    assert hostile.connections == 1


def test_query_and_escapes_reach_the_server_as_they_are(
    hostile: HostileServer, transport: SocketTransport
) -> None:
    ask(transport, f"{hostile.url}/a%2Fb/ü?sig=a%2Bb+c&x=%2F")
    assert hostile.lines == ["GET /a%2Fb/%C3%BC?sig=a%2Bb+c&x=%2F"]


def test_pieces_are_large(hostile: HostileServer, transport: SocketTransport) -> None:
    """One piece per read of the socket: the buffer of a plain http.client would give 8 KiB at a time."""
    data = filler("large", 8 << 20)
    hostile.content("/a", data)
    response = transport.handle_request(httpx.Request("GET", f"{hostile.url}/a", extensions=TIMEOUTS))
    pieces = []
    for piece in response.stream:  # type: ignore[union-attr]
        pieces.append(piece)
        time.sleep(0.002)  # what arrives meanwhile comes as one piece
    response.close()
    assert b"".join(pieces) == data
    assert max(map(len, pieces)) <= 1 << 20
    assert len(pieces) < 128


def test_answer_that_was_not_read_to_its_end_ends_the_connection(
    hostile: HostileServer, transport: SocketTransport
) -> None:
    hostile.content("/a", filler("large", 4 << 20))
    for _ in range(2):
        response = transport.handle_request(httpx.Request("GET", f"{hostile.url}/a", extensions=TIMEOUTS))
        next(iter(response.stream))  # type: ignore[arg-type]
        response.close()
        response.close()
    assert hostile.connections == 2
    behaviours.wait_until(lambda: hostile.open_connections == 0)


@dataclass(frozen=True)
class Late:
    """An answer, and some time later another one that nobody asked for."""

    seconds: float

    def answer(self, call: behaviours.Call) -> bool:
        answer, forged = OK + b"Content-Length: 3\r\n\r\nabc", OK + b"Content-Length: 6\r\n\r\nforged"
        call.wire.sock.sendall(answer if self.seconds else answer + forged)
        if self.seconds:
            time.sleep(self.seconds)
            call.wire.sock.sendall(forged)
        return True


@pytest.mark.parametrize("seconds", [0, 0.05])
def test_bytes_after_an_answer_end_the_connection(
    hostile: HostileServer, transport: SocketTransport, seconds: float
) -> None:
    """Else the next request would get what this one left behind."""
    hostile.on("/a", Late(seconds))
    hostile.content("/b", b"honest")
    assert ask(transport, f"{hostile.url}/a")[1] == b"abc"
    time.sleep(4 * seconds)
    assert ask(transport, f"{hostile.url}/b")[1] == b"honest"
    assert hostile.connections == 2


def test_bytes_after_an_answer_over_tls_end_the_connection(hostile_tls: HostileServer, ca_file: Path) -> None:
    hostile_tls.on("/v2/org/app/manifests/v1", Late(0))
    hostile_tls.content("/v2/org/app/manifests/v1", b"honest")
    with quick_client(insecure=False, ca=ca_file) as client:
        reference = ref(f"{hostile_tls.name}/org/app:v1")
        assert [client.fetch_manifest(reference).content for _ in range(2)] == [b"abc", b"honest"]


def test_connection_that_died_while_it_waited_is_replaced(
    hostile: HostileServer, transport: SocketTransport
) -> None:
    hostile.content("/a", DATA)
    hostile.on("/a", faults.HangUp(), faults.HangUp())
    for _ in range(3):
        assert ask(transport, f"{hostile.url}/a")[1] == DATA
    assert len(hostile.requests) == 3


def test_connection_that_dies_at_the_next_request_is_replaced(
    hostile: HostileServer, transport: SocketTransport
) -> None:
    hostile.content("/a", DATA)
    assert ask(transport, f"{hostile.url}/a")[1] == DATA
    hostile.on("/a", faults.Drop())
    assert ask(transport, f"{hostile.url}/a")[1] == DATA
    assert hostile.connections == 2


def test_post_is_not_sent_twice(hostile: HostileServer, transport: SocketTransport) -> None:
    hostile.content("/a", DATA)
    ask(transport, f"{hostile.url}/a")
    hostile.on("/a", faults.Drop())
    with pytest.raises(httpx.ReadError):
        ask(transport, f"{hostile.url}/a", "POST")
    assert hostile.lines == ["GET /a", "POST /a"]


def test_no_more_connections_than_allowed_are_kept(
    hostile: HostileServer, transport: SocketTransport
) -> None:
    hostile.content("/a", b"x")
    responses = [
        transport.handle_request(httpx.Request("GET", f"{hostile.url}/a", extensions=TIMEOUTS))
        for _ in range(7)
    ]
    for response in responses:
        b"".join(response.stream)  # type: ignore[arg-type]
        response.close()
    behaviours.wait_until(lambda: hostile.open_connections == 4)


def test_origins_do_not_share_connections(start_hostile: Start, transport: SocketTransport) -> None:
    one, two = start_hostile(), start_hostile()
    for server in (one, two, one, two):
        ask(transport, f"{server.url}/a")
    ask(transport, f"http://localhost:{one.port}/a")
    assert (one.connections, two.connections) == (2, 1)


def test_sixteen_threads_get_their_own_answers(hostile: HostileServer) -> None:
    datas = [filler(f"thread {number}", 10_000 + number) for number in range(16)]
    blobs = [blob_of(data) for data in datas]
    for blob, data in zip(blobs, datas, strict=True):
        hostile.content(f"/v2/org/app/blobs/{blob.digest}", data)
    failures: list[object] = []
    with quick_client(jobs=16) as client:

        def work(number: int) -> None:
            for step in range(20):
                chosen = (number + step) % 16
                got = b"".join(client.stream_blob(ref(f"{hostile.name}/org/app:v1"), blobs[chosen]))
                if got != datas[chosen]:
                    failures.append(chosen)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert client.wire_bytes == 20 * sum(map(len, datas))
        assert client.request_count == 320
    assert not failures
    assert hostile.connections <= 16


NOT_HTTP = {
    b"HTTP/1.1 100 Continue\r\n\r\n" * 30: "interim answers only",
    OK + b"Content-Length: 3\r\nContent-Length: 5\r\n\r\nabcde": "two lengths for one answer",
    OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n": "a transfer encoding other than chunked",
}
"""Answers, with what the error says of them."""


@pytest.mark.parametrize(
    "answer",
    [
        *NOT_HTTP,
        b"",
        b"\r\n\r\n",
        b"garbage\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 2xx OK\r\n\r\n",
        b"HTTP/1.1 99 Low\r\n\r\n",
        b"HTTP/1.1 1000 High\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        OK + b"Content-Length: 300000\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n-5\r\nabc\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nab",
        OK + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffffff\r\nabc",
        OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabcde\r\n0\r\n\r\n",
        OK + b"X: " + b"x" * 150_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 " + b"x" * 150_000,
        OK + b"X: y\r\n" * 250_000 + b"\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 30 + OK + b"Content-Length: 300000\r\n\r\n" + DATA,
    ],
    ids=lambda answer: repr(answer[:60]),
)
def test_answer_that_is_not_http_is_one_clear_error(hostile: HostileServer, answer: bytes) -> None:
    hostile.always("*", Raw(answer))
    with pytest.raises(SpinCacheError) as caught:
        fetch_blob(hostile.name, retries=ONCE)
    assert isinstance(caught.value, ConnectionFailedError | ProtocolError) or "bytes" in caught.value.expected
    assert "\n" not in str(caught.value)
    if answer in NOT_HTTP:
        assert isinstance(caught.value, ConnectionFailedError)
        assert NOT_HTTP[answer] in caught.value.found


@pytest.mark.parametrize("interim", [b"100 Continue", b"102 Processing", b"103 Early Hints\r\nLink: </x>"])
def test_answer_after_interim_heads_is_the_one_that_counts(hostile: HostileServer, interim: bytes) -> None:
    heads = (b"HTTP/1.1 " + interim + b"\r\n\r\n") * 2
    hostile.always("*", Raw(heads + OK + b"Content-Length: 300000\r\n\r\n" + DATA, stays=True))
    with quick_client(retries=ONCE) as client:
        for _ in range(3):
            assert b"".join(client.stream_blob(ref(f"{hostile.name}/org/app:v1"), BLOB)) == DATA
    assert hostile.connections == 1


CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("endless", "patience"),
    [
        # a flood ends long before the time is up
        (Endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), 30),
        (Endless(OK, b"X: y\r\n"), 30),
        (Endless(CHUNKED + b"0\r\n", b"X: y\r\n"), 30),
        (Endless(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"), 0.5),
        (Endless(b"", b"x"), 0.5),
        (Endless(OK + b"X: ", b"y"), 0.5),
        (Endless(CHUNKED, b"0"), 0.5),
        (Endless(CHUNKED + b"1;", b"x"), 0.5),
    ],
    ids=repr,
)
def test_answer_without_end_ends(hostile: HostileServer, endless: Endless, patience: float) -> None:
    hostile.always("*", endless)
    started, worked = time.monotonic(), time.thread_time()
    with pytest.raises(SpinCacheError):
        fetch_blob(hostile.name, retries=ONCE, timeouts=Timeouts(read=patience))
    assert time.monotonic() - started < 20
    assert time.thread_time() - worked < 3
    assert hostile.body_bytes == 0


APACHE = b"<p>Reason: You're speaking plain HTTP to an SSL-enabled server port.<br />"
NGINX = b"<center>The plain HTTP request was sent to HTTPS port</center>"


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 400 Bad Request\r\nContent-Length: %d\r\n\r\n" % len(APACHE) + APACHE,
        b"HTTP/1.1 400 Bad Request\r\nContent-Length: %d\r\n\r\n" % len(NGINX) + NGINX,
        b"HTTP/1.1 497 Whatever\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n",
        b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
        b"\x15\x03\x01\x00\x02\x02\x46",
        b"\x15\x03\x03\x00\x02\x02\x0a",
        b"",
    ],
    ids=lambda answer: repr(answer[:40]),
)
def test_plain_request_to_a_server_that_speaks_tls_is_explained_soon(
    hostile: HostileServer, answer: bytes
) -> None:
    hostile.always("*", Raw(answer))
    with quick_client(retries=RetryPolicy()) as client, pytest.raises(SpinCacheError) as caught:
        client.fetch_manifest(ref(f"{hostile.name}/org/app:v1"))
    assert "insecure=False" in caught.value.remedy
    assert len(hostile.requests) <= 3  # of six, and so less than a second of waits


def test_plain_request_that_is_reset_may_have_met_a_server_that_speaks_tls(hostile: HostileServer) -> None:
    hostile.always("*", faults.Drop(reset=True))
    with pytest.raises(ConnectionFailedError) as caught:
        fetch_blob(hostile.name)
    assert "insecure=False" in caught.value.remedy


def test_server_that_has_answered_before_is_not_taken_for_one_that_speaks_tls(hostile: HostileServer) -> None:
    hostile.content(PATH, DATA)
    with quick_client(retries=RetryPolicy(first_wait=0.001)) as client:
        reference = ref(f"{hostile.name}/org/app:v1")
        assert b"".join(client.stream_blob(reference, BLOB)) == DATA
        hostile.on(PATH, *[faults.Drop()] * 4)
        assert b"".join(client.stream_blob(reference, BLOB)) == DATA


def test_head_that_drips_has_one_deadline(hostile: HostileServer) -> None:
    class Dripping:
        def answer(self, call: behaviours.Call) -> bool:
            for byte in OK + b"X: y\r\n" * 100:
                call.wire.sock.sendall(bytes([byte]))
                if call.stopping.wait(0.1):
                    break
            return False

    hostile.always("*", Dripping())
    started = time.monotonic()
    with pytest.raises(ConnectionFailedError, match="silence"):
        fetch_blob(hostile.name, retries=ONCE, timeouts=Timeouts(read=0.5))
    assert 0.4 < time.monotonic() - started < 20


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.sampled_from([b"", OK, OK + b"Transfer-Encoding: chunked\r\n\r\n", OK + b"Content-Length: 5\r\n\r\n"]),
    st.binary(max_size=60),
)
def test_no_answer_raises_anything_of_another_tree(hostile: HostileServer, start: bytes, rest: bytes) -> None:
    hostile.on("*", Raw(start + rest))
    with contextlib.suppress(SpinCacheError):
        assert fetch_blob(hostile.name, retries=ONCE) == DATA


def test_second_address_is_tried_when_the_first_refuses(
    hostile: HostileServer, transport: SocketTransport, monkeypatch: pytest.MonkeyPatch, closed_port: int
) -> None:
    hostile.content("/a", b"x")

    def two(*_: object, **__: object) -> list[object]:
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", closed_port)),
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", hostile.port)),
        ]

    monkeypatch.setattr("socket.getaddrinfo", two)
    assert ask(transport, "http://localhost/a")[1] == b"x"


@pytest.mark.parametrize(
    ("error", "found", "attempts"),
    [
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "Name or service not known", 1),
        (socket.gaierror(socket.EAI_AGAIN, "Name or service not known"), "Name or service not known", 3),
        (UnicodeError("label empty or too long"), "", 1),  # as Python does for a label of 64 letters
    ],
    ids=["none", "not now", "never"],
)
def test_name_without_address_is_one_clear_error(
    monkeypatch: pytest.MonkeyPatch, error: Exception, found: str, attempts: int
) -> None:
    asked: list[bytes] = []

    def fail(host: bytes, *_: object, **__: object) -> None:
        asked.append(host)
        raise error

    monkeypatch.setattr("socket.getaddrinfo", fail)
    with quick_client() as client, pytest.raises(ConnectionFailedError) as caught:
        client.fetch_manifest(ref("no-such-host.example/org/app:v1"))
    assert len(asked) >= attempts
    if found:
        assert asked == [b"no-such-host.example"] * attempts
        assert "no-such-host.example" in caught.value.expected
        assert caught.value.found == found


def test_refused_connection_is_one_clear_error(closed_port: int) -> None:
    with quick_client() as client:
        with pytest.raises(ConnectionFailedError) as caught:
            client.fetch_manifest(ref(f"127.0.0.1:{closed_port}/app:v1"))
        assert client.request_count == 3
    assert caught.value.found == "connection refused"
    assert f"127.0.0.1:{closed_port}" in caught.value.remedy


def test_connect_timeout_is_one_clear_error() -> None:
    with (
        full_listener() as name,
        quick_client(timeouts=Timeouts(connect=0.3), retries=ONCE) as client,
        pytest.raises(ConnectionFailedError, match="a connection"),
    ):
        client.fetch_manifest(ref(f"{name}/app:v1"))


@pytest.mark.parametrize("kind", ["ours", "httpx"])
def test_client_works_over_either_transport(hostile: HostileServer, kind: str) -> None:
    hostile.content(PATH, DATA)
    hostile.on(PATH, faults.Cut(50_000), behaviours.later(503), faults.Drop(), faults.HangUp())
    own = httpx.HTTPTransport(verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)) if kind == "httpx" else None
    with quick_client(transport=own) as client:
        for _ in range(3):
            reference = ref(f"{hostile.name}/org/app:v1")
            assert b"".join(client.stream_blob(reference, BLOB)) == DATA
        with pytest.raises(NotFoundError):
            client.fetch_manifest(reference)

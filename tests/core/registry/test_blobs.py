"""Blobs as one stream: broken connections, wrong lengths, ranges, further addresses."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable
from dataclasses import replace

import httpx
import pytest

from spincache_nb.core.download import stream_address
from spincache_nb.core.settings import RetryPolicy, Timeouts
from spincache_nb.core.web import Web
from spincache_nb.errors import (
    ConnectionFailedError,
    DigestMismatchError,
    InsecureTransportError,
    NotFoundError,
    ProtocolError,
    PullCancelled,
    SizeMismatchError,
)
from tests.core.clients import QUICK, blob_of, mock_client, quick_client, ref, streamed
from tests.support import behaviours, faults
from tests.support.artifact import filler
from tests.support.hostile import HostileServer

DATA = filler("a blob", 300_000)
PATH = f"/v2/org/app/blobs/sha256:{hashlib.sha256(DATA).hexdigest()}"
REFERENCE = ref("r.example/org/app:v1")
Start = Callable[..., HostileServer]


@pytest.fixture
def server(hostile: HostileServer) -> HostileServer:
    hostile.content(PATH, DATA)
    return hostile


def fetch(server: HostileServer, data: bytes = DATA, **options: object) -> bytes:
    with quick_client(**options) as client:
        return b"".join(client.stream_blob(ref(f"{server.name}/org/app:v1"), blob_of(data)))


def ranges(server: HostileServer) -> list[str | None]:
    return [request.header("Range") for request in server.requests_for(PATH)]


# Whole ---------------------------------------------------------------------------------------------


def test_stream_blob_gives_the_bytes(server: HostileServer) -> None:
    assert fetch(server) == DATA
    assert ranges(server) == [None]


@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 65537, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 3 << 20])
def test_stream_blob_gives_blobs_of_any_size(hostile: HostileServer, size: int) -> None:
    data = filler("any", size)
    hostile.content(f"/v2/org/app/blobs/sha256:{hashlib.sha256(data).hexdigest()}", data)
    with quick_client() as client:
        pieces = list(client.stream_blob(ref(f"{hostile.name}/org/app:v1"), blob_of(data)))
        assert client.wire_bytes == size
    assert b"".join(pieces) == data
    assert all(0 < len(piece) <= 1 << 20 for piece in pieces)


def test_stream_blob_takes_chunked_and_unframed_bodies(hostile: HostileServer) -> None:
    data = b"x" * 200_000
    path = f"/v2/org/app/blobs/sha256:{hashlib.sha256(data).hexdigest()}"
    hostile.on(
        path, faults.Stream(len(data), start=b"x"), faults.Stream(len(data), chunked=False, start=b"x")
    )
    with quick_client() as client:
        for _ in range(2):
            assert b"".join(client.stream_blob(ref(f"{hostile.name}/org/app:v1"), blob_of(data))) == data
        assert client.request_count == 2


def test_stream_blob_asks_for_nothing_before_its_first_piece() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        raise AssertionError("it was asked")

    with mock_client(handler) as client:
        client.stream_blob(REFERENCE, blob_of(DATA))


def test_stream_blob_leaves_hashing_to_its_taker(server: HostileServer) -> None:
    server.on(PATH, faults.WrongBytes(at=7))
    assert fetch(server) != DATA


def test_stream_blob_refuses_a_header_that_names_other_bytes(server: HostileServer) -> None:
    server.on(PATH, faults.Relabel({"Docker-Content-Digest": "sha256:" + "0" * 64}))
    with pytest.raises(DigestMismatchError):
        fetch(server)
    assert server.body_bytes < len(DATA) or len(server.requests) == 1


@pytest.mark.parametrize("broken", [False, True])
def test_stream_blob_takes_the_bytes_of_a_coding_that_is_a_mere_label(
    server: HostileServer, broken: bool
) -> None:
    if broken:
        server.on(PATH, faults.Cut(100_000))
    server.always(PATH, faults.Relabel({"Content-Encoding": "gzip"}))
    assert fetch(server) == DATA
    assert ranges(server) == [None, "bytes=100000-"][: 1 + broken]


def test_stream_blob_undoes_a_compression_that_nobody_asked_for(server: HostileServer) -> None:
    server.on(PATH, faults.Gzipped())
    assert fetch(server) == DATA


@pytest.mark.parametrize("data", [b"{}", b"[]"])
def test_stream_blob_takes_content_that_the_manifest_embeds(data: bytes) -> None:
    """Some registries lack the empty config, as in project-zot/zot#2977."""
    descriptor = replace(blob_of(b"{}"), data=data)
    with mock_client(lambda request: httpx.Response(200, content=b"{}")) as client:
        assert client.fetch_document(REFERENCE, descriptor) == b"{}"
        assert client.request_count == (data != b"{}")


# Broken --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reset", [False, True])
def test_stream_blob_takes_up_a_broken_connection_where_it_broke(server: HostileServer, reset: bool) -> None:
    server.on(PATH, faults.Cut(100_000), faults.Cut(50_000, reset=reset))
    assert fetch(server) == DATA
    asked = ranges(server)
    assert asked[:2] == [None, "bytes=100000-"]
    assert asked[2] == "bytes=150000-" or (reset and str(asked[2]).startswith("bytes=1"))


def test_stream_blob_counts_what_every_attempt_received(server: HostileServer) -> None:
    server.on(PATH, faults.Cut(100_000), behaviours.later(503), faults.Cut(1))
    with quick_client() as client:
        list(client.stream_blob(ref(f"{server.name}/org/app:v1"), blob_of(DATA)))
        assert client.wire_bytes == server.body_bytes > len(DATA)
        assert client.request_count == 4


def test_stream_blob_skips_what_it_has_when_ranges_are_ignored(server: HostileServer) -> None:
    server.on(PATH, faults.Cut(100_000), faults.IgnoreRange())
    assert fetch(server) == DATA
    assert ranges(server) == [None, "bytes=100000-"]


def test_stream_blob_skips_again_when_skipping_breaks(server: HostileServer) -> None:
    def ignoring_cut(after: int) -> behaviours.Reply:
        headers = (("Content-Length", str(len(DATA))),)
        return behaviours.Reply(200, DATA[:after], headers, hang_up=True)

    server.on(PATH, faults.Cut(200_000), ignoring_cut(150_000), ignoring_cut(250_000), faults.IgnoreRange())
    assert fetch(server) == DATA
    assert ranges(server) == [None, "bytes=200000-", "bytes=200000-", "bytes=250000-"]


@pytest.mark.parametrize(
    "wrong",
    [
        faults.WrongRange(shift=1),
        faults.WrongRange(shift=-1),
        faults.WrongRange(shift=0, text="bytes 100000-99999/300000"),
        faults.WrongRange(shift=0, text="bytes 100000-300000/*"),
        faults.WrongRange(shift=0, text="bytes */300000"),
        faults.WrongRange(shift=0, text="nonsense"),
        faults.WrongRange(shift=0, text="bytes 100000-299998/300000"),
        behaviours.Reply(206, DATA[100_000:]),
    ],
    ids=repr,
)
def test_stream_blob_refuses_another_range_than_it_asked_for(
    server: HostileServer, wrong: behaviours.Behaviour
) -> None:
    server.on(PATH, faults.Cut(100_000), wrong)
    with pytest.raises(ProtocolError):
        fetch(server)
    assert len(server.requests) == 2


def test_stream_blob_refuses_a_range_of_something_larger(server: HostileServer) -> None:
    server.on(PATH, faults.Cut(100_000), faults.WrongRange(shift=0, text="bytes 100000-299999/300001"))
    with pytest.raises(SizeMismatchError):
        fetch(server)


def test_stream_blob_refuses_a_range_nobody_asked_for(server: HostileServer) -> None:
    part = ("Content-Range", f"bytes 0-99/{len(DATA)}")
    server.on(PATH, behaviours.Reply(206, DATA[:100], (part,)))
    with pytest.raises(ProtocolError):
        fetch(server)


def test_stream_blob_takes_the_whole_as_a_range_nobody_asked_for(server: HostileServer) -> None:
    whole = ("Content-Range", f"bytes 0-{len(DATA) - 1}/{len(DATA)}")
    server.on(PATH, behaviours.Reply(206, DATA, (whole,)))
    assert fetch(server) == DATA


def test_stream_blob_goes_on_after_a_range_that_is_shorter_than_asked(server: HostileServer) -> None:
    part = behaviours.Reply(206, DATA[100_000:200_000], (("Content-Range", "bytes 100000-199999/300000"),))
    server.on(PATH, faults.Cut(100_000), part)
    assert fetch(server) == DATA
    assert ranges(server) == [None, "bytes=100000-", "bytes=200000-"]


def test_stream_blob_gives_up_when_nothing_comes_any_more(server: HostileServer) -> None:
    server.on(PATH, faults.Cut(100_000), *[faults.Cut(0)] * 20)
    with pytest.raises(ConnectionFailedError):
        fetch(server)
    assert len(server.requests) == 6


def test_stream_blob_does_not_give_up_while_something_comes(server: HostileServer) -> None:
    server.on(PATH, *[faults.Cut(10_000)] * 25)
    assert fetch(server) == DATA


def test_stream_blob_gives_up_after_too_many_breaks(server: HostileServer) -> None:
    policy = RetryPolicy(first_wait=0.001, longest_wait=0.001, breaks=5)
    server.always(PATH, faults.Cut(1))
    with pytest.raises(ConnectionFailedError):
        fetch(server, retries=policy)
    assert len(server.requests) == 6


def test_stream_blob_needs_no_more_once_all_bytes_are_there() -> None:
    class NoEnd(httpx.SyncByteStream):
        def __iter__(self):  # type: ignore[no-untyped-def]
            yield DATA
            raise httpx.ReadError("cut before the last chunk")

    with mock_client(lambda request: httpx.Response(200, stream=NoEnd())) as client:
        assert b"".join(client.stream_blob(REFERENCE, blob_of(DATA))) == DATA
        assert client.request_count == 1


def test_stream_blob_takes_up_a_stalled_body(server: HostileServer) -> None:
    server.on(PATH, faults.Stall(after=100_000))
    assert fetch(server, timeouts=Timeouts(read=0.3)) == DATA
    assert ranges(server) == [None, "bytes=100000-"]


def test_stream_blob_does_not_wait_for_ever_for_a_head(server: HostileServer) -> None:
    server.always(PATH, faults.Stall())
    policy = RetryPolicy(attempts=2, first_wait=0.001)
    with pytest.raises(ConnectionFailedError, match="silence"):
        fetch(server, timeouts=Timeouts(read=0.3), retries=policy)
    assert len(server.requests) == 2


def test_stream_blob_gives_up_on_a_body_that_only_drips(server: HostileServer) -> None:
    server.always(PATH, faults.Drip(size=10, pause=0.05))
    policy = RetryPolicy(first_wait=0.001, breaks=2)
    with pytest.raises(ConnectionFailedError, match="too slow"):
        fetch(server, timeouts=Timeouts(read=2, stall=0.4, stall_bytes=1000), retries=policy)
    assert len(server.requests) == 3


def test_stream_blob_does_not_take_a_slow_taker_for_a_slow_server(server: HostileServer) -> None:
    client = quick_client(timeouts=Timeouts(stall=0.05, stall_bytes=1 << 30))
    with client:
        for _ in client.stream_blob(ref(f"{server.name}/org/app:v1"), blob_of(DATA)):
            time.sleep(0.1)
    assert len(server.requests) == 1


# Lengths -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("missing", [1, -1, 1000, -1000])
def test_stream_blob_refuses_another_length_at_once(server: HostileServer, missing: int) -> None:
    server.on(PATH, faults.Truncated(missing))
    with pytest.raises(SizeMismatchError) as caught:
        fetch(server)
    assert caught.value.expected == f"{len(DATA)} bytes"
    assert str(len(DATA) - missing) in caught.value.found
    assert len(server.requests) == 1


@pytest.mark.parametrize("chunked", [True, False])
def test_stream_blob_stops_as_soon_as_there_is_more(hostile: HostileServer, chunked: bool) -> None:
    hostile.always("*", faults.Stream(50 << 20, chunked=chunked, start=b"x"))
    with quick_client() as client:
        with pytest.raises(SizeMismatchError):
            list(client.stream_blob(ref(f"{hostile.name}/org/app:v1"), blob_of(b"x" * 1000)))
        assert client.wire_bytes < 2 << 20
        assert client.request_count == 1


@pytest.mark.parametrize("chunked", [True, False])
def test_stream_blob_refuses_a_shorter_blob_after_few_attempts(hostile: HostileServer, chunked: bool) -> None:
    hostile.always("*", faults.Stream(500, chunked=chunked, start=b"x"))
    with quick_client() as client:
        with pytest.raises(SizeMismatchError) as caught:
            list(client.stream_blob(ref(f"{hostile.name}/org/app:v1"), blob_of(b"x" * 1000)))
        assert client.request_count <= 4
    assert caught.value.found == "500"


def test_stream_blob_refuses_a_blob_that_ends_before_the_resumed_part(server: HostileServer) -> None:
    server.on(PATH, faults.Cut(100_000), behaviours.Reply(416, b"", (("Content-Range", "bytes */50"),)))
    with pytest.raises(SizeMismatchError):
        fetch(server)
    assert len(server.requests) == 2


def test_stream_blob_refuses_416_to_a_request_without_range(server: HostileServer) -> None:
    server.on(PATH, behaviours.Reply(416))
    with pytest.raises(ProtocolError):
        fetch(server)


@pytest.mark.parametrize("length", ["-5", "1e3", "300000, 300000", "", "٣"])
def test_stream_blob_makes_nothing_of_a_length_that_is_none(length: str) -> None:
    handler = lambda request: streamed(DATA, Content_Length=length)  # noqa: E731
    if length == "٣":
        handler = lambda request: httpx.Response(  # noqa: E731
            200, headers=[(b"Content-Length", length.encode())], stream=streamed(DATA).stream
        )
    with mock_client(handler) as client:
        assert b"".join(client.stream_blob(REFERENCE, blob_of(DATA))) == DATA


@pytest.mark.parametrize("delta", [10, -10])
def test_stream_blob_survives_a_length_that_lies(server: HostileServer, delta: int) -> None:
    server.always(PATH, faults.WrongLength(delta))
    with pytest.raises(SizeMismatchError):
        fetch(server)


# Further addresses ---------------------------------------------------------------------------------


def test_stream_blob_goes_to_the_urls_when_the_registry_has_lost_it(start_hostile: Start) -> None:
    registry, first, second = start_hostile(), start_hostile("127.0.0.2"), start_hostile()
    second.content("/elsewhere", DATA)
    urls = (f"{first.url}/elsewhere", f"{second.url}/elsewhere")
    with quick_client() as client:
        descriptor = blob_of(DATA, urls=urls)
        assert b"".join(client.stream_blob(ref(f"{registry.name}/org/app:v1"), descriptor)) == DATA
    assert [len(one.requests) for one in (registry, first, second)] == [1, 1, 1]


def test_stream_blob_leaves_the_urls_alone_when_the_registry_delivers(start_hostile: Start) -> None:
    registry, other = start_hostile(), start_hostile()
    registry.content(PATH, DATA)
    with quick_client() as client:
        descriptor = blob_of(DATA, urls=(f"{other.url}/x",))
        assert b"".join(client.stream_blob(ref(f"{registry.name}/org/app:v1"), descriptor)) == DATA
    assert other.requests == []


def test_stream_blob_sends_no_credentials_to_the_urls(start_hostile: Start) -> None:
    registry, other = start_hostile(), start_hostile()
    registry.require("Basic YW5uOnNlY3JldA==", 'Basic realm="x"')
    other.content("/x", DATA)
    with quick_client(auth=("ann", "secret")) as client:
        descriptor = blob_of(DATA, urls=(f"{other.url}/x",))
        assert b"".join(client.stream_blob(ref(f"{registry.name}/org/app:v1"), descriptor)) == DATA
    assert registry.authorizations == ["Basic YW5uOnNlY3JldA=="]
    assert other.authorizations == []


def test_stream_blob_goes_on_at_a_url_where_the_registry_broke_off(start_hostile: Start) -> None:
    registry, other = start_hostile(), start_hostile()
    registry.content(PATH, DATA)
    registry.on(PATH, faults.Cut(100_000), *[faults.Drop()] * 10)
    other.content("/x", DATA)
    with quick_client() as client:
        descriptor = blob_of(DATA, urls=(f"{other.url}/x",))
        assert b"".join(client.stream_blob(ref(f"{registry.name}/org/app:v1"), descriptor)) == DATA
    assert [request.header("Range") for request in other.requests] == ["bytes=100000-"]


def test_stream_blob_tells_what_the_registry_said_when_no_url_helps(start_hostile: Start) -> None:
    registry, other = start_hostile(), start_hostile()
    with quick_client() as client:
        descriptor = blob_of(DATA, urls=(f"{other.url}/x",))
        with pytest.raises(NotFoundError) as caught:
            list(client.stream_blob(ref(f"{registry.name}/org/app:v1"), descriptor))
    assert registry.name in caught.value.where


@pytest.mark.parametrize(
    "url",
    ["http://h.example/x", "ftp://h.example/x", "file:///etc/passwd", "h.example/x", "https://h.example:0/"],
)
def test_stream_blob_does_not_ask_just_any_url(url: str) -> None:
    seen: list[str] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request.url.host)
        return httpx.Response(404)

    with mock_client(handler) as client, pytest.raises(NotFoundError):
        list(client.stream_blob(REFERENCE, blob_of(DATA, urls=(url,))))
    assert seen == ["r.example"]


def test_stream_blob_asks_a_plain_url_when_that_was_asked_for() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=DATA) if request.url.host == "h.example" else httpx.Response(404)

    with mock_client(handler, insecure=True) as client:
        descriptor = blob_of(DATA, urls=("http://h.example/x",))
        assert b"".join(client.stream_blob(REFERENCE, descriptor)) == DATA


def test_stream_blob_goes_nowhere_else_after_a_cancel() -> None:
    cancel = threading.Event()
    seen: list[str] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request.url.host)
        cancel.set()
        return httpx.Response(404)

    with mock_client(handler, cancel=cancel) as client, pytest.raises(PullCancelled):
        list(client.stream_blob(REFERENCE, blob_of(DATA, urls=("https://h.example/x",))))
    assert seen == ["r.example"]


# Plain addresses -----------------------------------------------------------------------------------


def fetch_address(server: HostileServer, path: str = "/x.wasm") -> bytes:
    web = Web(retries=QUICK)
    try:
        return b"".join(stream_address(web, f"{server.url}{path}", where="component 'a'"))
    finally:
        web.close()


def test_stream_address_fetches_what_it_names(hostile: HostileServer) -> None:
    hostile.content("/x.wasm", DATA)
    hostile.on("/x.wasm", faults.Cut(100_000))
    assert fetch_address(hostile) == DATA
    assert [request.header("Range") for request in hostile.requests] == [None, "bytes=100000-"]
    assert hostile.authorizations == []


@pytest.mark.parametrize(
    ("status", "headers", "expected"),
    [
        # as in Spin: any success counts, and the digest decides
        (203, {}, DATA),
        (206, {"Content-Range": f"bytes 0-{len(DATA) - 1}/{len(DATA)}"}, DATA),
        (206, {"Content-Range": f"bytes 0-{len(DATA) - 1}/*"}, DATA),
        (206, {"Content-Range": f"bytes 0-{len(DATA) - 1}/{len(DATA) + 1}"}, ProtocolError),
        (206, {}, ProtocolError),
        (200, {"Content-Encoding": "aws-chunked"}, DATA),
        (200, {"Content-Encoding": "gzip"}, DATA),
        (304, {}, ProtocolError),
        (300, {}, ProtocolError),
        (404, {}, NotFoundError),
    ],
)
def test_stream_address_makes_of_a_status_what_spin_makes_of_it(
    hostile: HostileServer, status: int, headers: dict[str, str], expected: object
) -> None:
    hostile.always("/x.wasm", behaviours.Reply(status, DATA, tuple(headers.items()), close=True))
    if isinstance(expected, bytes):
        assert fetch_address(hostile) == expected
    else:
        with pytest.raises(expected) as caught:  # type: ignore[call-overload]
            fetch_address(hostile, "/x.wasm?token=secret")
        assert caught.value.where == "component 'a'"
        assert "secret" not in str(caught.value)


def test_stream_address_refuses_plain_http() -> None:
    web = Web(transport=httpx.MockTransport(lambda request: httpx.Response(200)))
    with pytest.raises(InsecureTransportError):
        list(stream_address(web, "http://h.example/x", where="a component"))
    assert web.request_count == 0


# Letting go ----------------------------------------------------------------------------------------


def test_stream_blob_lets_go_when_its_taker_does(server: HostileServer) -> None:
    server.on(PATH, faults.Drip(size=1000, pause=0.05))
    with quick_client() as client:
        pieces = client.stream_blob(ref(f"{server.name}/org/app:v1"), blob_of(DATA))
        next(pieces)
        pieces.close()  # type: ignore[attr-defined]
        behaviours.wait_until(lambda: server.open_connections == 0)
        assert b"".join(client.stream_blob(ref(f"{server.name}/org/app:v1"), blob_of(DATA))) == DATA


def test_policy_of_the_tests_is_the_default_but_for_the_waits() -> None:
    assert RetryPolicy(first_wait=QUICK.first_wait, longest_wait=QUICK.longest_wait) == QUICK

"""Blobs as one stream: broken connections, wrong lengths, ranges, further addresses; and plain addresses."""

import gzip
import hashlib
import threading
import time
from collections.abc import Callable

import httpx
import pytest
from msgspec.structs import replace

from spincache_nb.core.registry import stream_address
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
from tests.core.clients import (
    BLOB,
    DATA,
    PATH,
    QUICK,
    REFERENCE,
    Recording,
    Scripted,
    blob_of,
    fetch_blob,
    mock_client,
    quick_client,
    ref,
    streamed,
)
from tests.support import behaviours, faults
from tests.support.artifact import filler
from tests.support.hostile import HostileServer

Start = Callable[..., HostileServer]
Script = list[behaviours.Behaviour]


@pytest.fixture
def server(hostile: HostileServer) -> HostileServer:
    hostile.content(PATH, DATA)
    return hostile


def ranges(server: HostileServer) -> list[str | None]:
    return [request.header("Range") for request in server.requests_for(PATH)]


def ignoring_cut(after: int) -> behaviours.Reply:
    """The whole from its beginning, whatever range was asked for, broken off."""
    return behaviours.Reply(200, DATA[:after], (("Content-Length", str(len(DATA))),), hang_up=True)


def part(first: int, last: int, whole: object = len(DATA)) -> behaviours.Reply:
    """A range of the blob, asked for or not."""
    where = ("Content-Range", f"bytes {first}-{last}/{whole}")
    return behaviours.Reply(206, DATA[first : last + 1], (where,))


@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 65537, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 3 << 20])
def test_blobs_of_any_size_come_whole(hostile: HostileServer, size: int) -> None:
    data = filler("any", size)
    hostile.content(f"/v2/org/app/blobs/sha256:{hashlib.sha256(data).hexdigest()}", data)
    with quick_client() as client:
        pieces = list(client.stream_blob(ref(f"{hostile.name}/org/app:v1"), blob_of(data)))
        assert client.wire_bytes == size
    assert b"".join(pieces) == data
    assert all(0 < len(piece) <= 1 << 20 for piece in pieces)


FROM = "bytes={}-".format


@pytest.mark.parametrize(
    ("script", "asked"),
    [
        ([], [None]),
        ([faults.Cut(100_000), faults.Cut(50_000)], [None, FROM(100_000), FROM(150_000)]),
        ([faults.Cut(0), faults.Cut(1)], [None, None, FROM(1)]),
        ([faults.Cut(100_000), faults.IgnoreRange()], [None, FROM(100_000)]),
        (
            [faults.Cut(200_000), ignoring_cut(150_000), ignoring_cut(250_000), faults.IgnoreRange()],
            [None, FROM(200_000), FROM(200_000), FROM(250_000)],
        ),
        ([faults.Cut(100_000), part(100_000, 199_999)], [None, FROM(100_000), FROM(200_000)]),
        ([part(0, len(DATA) - 1)], [None]),
        ([part(0, len(DATA) - 1, "*")], [None]),
        ([faults.Stall(after=100_000)], [None, FROM(100_000)]),
        # codings that are but a label, and one that is not (versity/versitygw#2398, curl/curl#3315)
        ([faults.Relabel({"Content-Encoding": "gzip"})], [None]),
        ([faults.Relabel({"Content-Encoding": "aws-chunked"})], [None]),
        ([faults.Gzipped()], [None]),
    ],
    ids=repr,
)
def test_blob_is_taken_up_where_it_broke(
    server: HostileServer, script: Script, asked: list[str | None]
) -> None:
    server.on(PATH, *script)
    with quick_client(timeouts=Timeouts(read=0.5)) as client:
        got = client.stream_blob(ref(f"{server.name}/org/app:v1"), BLOB)
        assert b"".join(got) == DATA
        assert client.request_count == len(asked)
        behaviours.wait_until(lambda: client.wire_bytes == server.body_bytes)
    assert ranges(server) == asked


def test_blob_survives_resets_and_many_breaks(server: HostileServer) -> None:
    server.on(PATH, faults.Cut(100_000), faults.Cut(50_000, reset=True), *[faults.Cut(10_000)] * 20)
    assert fetch_blob(server.name) == DATA


def test_compressed_blob_that_broke_off_is_asked_for_from_its_beginning(hostile: HostileServer) -> None:
    data = bytes(300_000)
    body = gzip.compress(data)
    headers = (("Content-Encoding", "gzip"), ("Content-Length", str(len(body))))
    hostile.on("*", *(behaviours.Reply(200, body[:end], headers, hang_up=True) for end in (-100, None)))
    assert fetch_blob(hostile.name, blob_of(data)) == data
    assert [request.header("Range") for request in hostile.requests] == [None, None]


@pytest.mark.parametrize("chunked", [True, False])
def test_blob_may_come_in_chunks_or_unframed(hostile: HostileServer, chunked: bool) -> None:
    hostile.always("*", faults.Stream(200_000, chunked=chunked, start=b"x"))
    assert fetch_blob(hostile.name, blob_of(b"x" * 200_000)) == b"x" * 200_000


@pytest.mark.parametrize("length", ["-5", "1e3", "300000, 300000", "", "٣"])
def test_length_that_is_none_says_nothing(length: str) -> None:
    headers = [(b"Content-Length", length.encode())]
    handler = lambda request: httpx.Response(200, headers=headers, stream=streamed(DATA).stream)  # noqa: E731
    with mock_client(handler) as client:
        assert b"".join(client.stream_blob(REFERENCE, BLOB)) == DATA


def test_nothing_more_is_needed_once_all_bytes_are_there() -> None:
    class NoEnd(httpx.SyncByteStream):
        def __iter__(self):  # type: ignore[no-untyped-def]
            yield DATA
            raise httpx.ReadError("cut before the last chunk")

    with mock_client(lambda request: httpx.Response(200, stream=NoEnd())) as client:
        assert b"".join(client.stream_blob(REFERENCE, BLOB)) == DATA
        assert client.request_count == 1


@pytest.mark.parametrize("data", [b"{}", b"[]"])
def test_content_that_the_manifest_embeds_is_taken_if_it_fits(data: bytes) -> None:
    """Some registries lack the empty config, as in project-zot/zot#2977."""
    descriptor = replace(blob_of(b"{}"), data=data)
    with mock_client(lambda request: httpx.Response(200, content=b"{}")) as client:
        assert client.fetch_document(REFERENCE, descriptor) == b"{}"
        assert client.request_count == (data != b"{}")


def test_hashing_is_left_to_the_taker_and_nothing_asked_before_the_first_piece(server: HostileServer) -> None:
    server.on(PATH, faults.WrongBytes(at=7))
    with quick_client() as client:
        pieces = client.stream_blob(ref(f"{server.name}/org/app:v1"), BLOB)
        assert server.requests == []
        assert b"".join(pieces) != DATA


def test_slow_taker_is_not_a_slow_server(server: HostileServer) -> None:
    with quick_client(timeouts=Timeouts(stall=0.05, stall_bytes=1 << 30)) as client:
        for _ in client.stream_blob(ref(f"{server.name}/org/app:v1"), BLOB):
            time.sleep(0.1)
    assert len(server.requests) == 1


def test_taker_that_lets_go_ends_the_connection(server: HostileServer) -> None:
    server.on(PATH, faults.Drip(size=1000, pause=0.05))
    with quick_client() as client:
        pieces = client.stream_blob(ref(f"{server.name}/org/app:v1"), BLOB)
        next(pieces)
        pieces.close()  # type: ignore[attr-defined]
        behaviours.wait_until(lambda: server.open_connections == 0)
        assert b"".join(client.stream_blob(ref(f"{server.name}/org/app:v1"), BLOB)) == DATA


CUT = faults.Cut(100_000)


@pytest.mark.parametrize(
    ("script", "error"),
    [
        ([faults.Relabel({"Docker-Content-Digest": "sha256:" + "0" * 64})], DigestMismatchError),
        ([part(0, 99)], ProtocolError),
        ([behaviours.Reply(206, DATA)], ProtocolError),
        ([behaviours.Reply(416)], ProtocolError),
        ([CUT, behaviours.Reply(416, b"", (("Content-Range", "bytes */50"),))], SizeMismatchError),
        ([CUT, part(100_000, 299_999, 300_001)], SizeMismatchError),
        ([CUT, part(100_001, 299_999)], ProtocolError),
        ([CUT, part(99_999, 299_999)], ProtocolError),
        ([CUT, behaviours.Reply(206, DATA[100_000:])], ProtocolError),
        *(
            ([CUT, faults.WrongRange(shift=0, text=text)], ProtocolError)
            for text in (
                "bytes 100000-99999/300000",
                "bytes 100000-300000/*",
                "bytes */300000",
                "nonsense",
                "bytes 100000-299998/300000",
            )
        ),
        *(([faults.Truncated(missing)], SizeMismatchError) for missing in (1, -1, 1000, -1000)),
    ],
    ids=repr,
)
def test_blob_is_refused_at_once(server: HostileServer, script: Script, error: type[Exception]) -> None:
    """Another range than was asked for, another length than the descriptor's, another digest."""
    server.on(PATH, *script)
    with pytest.raises(error):
        fetch_blob(server.name)
    assert len(server.requests) == len(script)


@pytest.mark.parametrize("delta", [10, -10])
def test_length_that_lies_is_found_out(server: HostileServer, delta: int) -> None:
    server.always(PATH, faults.WrongLength(delta))
    with pytest.raises(SizeMismatchError):
        fetch_blob(server.name)


@pytest.mark.parametrize("chunked", [True, False])
@pytest.mark.parametrize(("sent", "requests"), [(50 << 20, 1), (500, 4)])
def test_more_or_less_than_declared_is_refused_soon(
    hostile: HostileServer, chunked: bool, sent: int, requests: int
) -> None:
    hostile.always("*", faults.Stream(sent, chunked=chunked, start=b"x"))
    with quick_client() as client:
        with pytest.raises(SizeMismatchError):
            list(client.stream_blob(ref(f"{hostile.name}/org/app:v1"), blob_of(b"x" * 1000)))
        assert client.wire_bytes < 2 << 20
        assert client.request_count <= requests


@pytest.mark.parametrize(
    ("script", "last", "options", "requests"),
    [
        ([CUT], faults.Cut(0), {}, 6),
        ([], faults.Cut(1), {"retries": RetryPolicy(first_wait=0.001, longest_wait=0.001, breaks=5)}, 6),
        ([], faults.Stall(), {"timeouts": Timeouts(read=0.3), "retries": replace(QUICK, attempts=2)}, 2),
        (
            [],
            faults.Drip(size=10, pause=0.05),
            {
                "timeouts": Timeouts(read=2, stall=0.4, stall_bytes=1000),
                "retries": replace(QUICK, breaks=2),
            },
            3,
        ),
    ],
    ids=repr,
)
def test_blob_is_given_up_when_nothing_comes_any_more(
    server: HostileServer,
    script: Script,
    last: behaviours.Behaviour,
    options: dict[str, object],
    requests: int,
) -> None:
    server.on(PATH, *script)
    server.always(PATH, last)
    with pytest.raises(ConnectionFailedError):
        fetch_blob(server.name, **options)
    assert len(server.requests) == requests


def test_urls_are_asked_in_order_when_the_registry_has_lost_it(start_hostile: Start) -> None:
    registry, first, second = start_hostile(), start_hostile("127.0.0.2"), start_hostile()
    registry.require("Basic YW5uOnNlY3JldA==", 'Basic realm="x"')
    second.content("/elsewhere", DATA)
    urls = (f"{first.url}/elsewhere", f"{second.url}/elsewhere", f"{first.url}/never")
    assert fetch_blob(registry.name, blob_of(DATA, urls=urls), auth=("ann", "secret")) == DATA
    assert [len(one.requests) for one in (first, second)] == [1, 1]
    assert (registry.authorizations, first.authorizations, second.authorizations) == (
        ["Basic YW5uOnNlY3JldA=="],
        [],
        [],
    )


def test_urls_are_left_alone_when_the_registry_delivers(server: HostileServer, start_hostile: Start) -> None:
    other = start_hostile()
    assert fetch_blob(server.name, blob_of(DATA, urls=(f"{other.url}/x",))) == DATA
    assert other.requests == []


def test_url_goes_on_where_the_registry_broke_off(server: HostileServer, start_hostile: Start) -> None:
    other = start_hostile()
    server.on(PATH, CUT, *[faults.Drop()] * 10)
    other.content("/x", DATA)
    assert fetch_blob(server.name, blob_of(DATA, urls=(f"{other.url}/x",))) == DATA
    assert [request.header("Range") for request in other.requests] == ["bytes=100000-"]


def test_what_the_registry_said_is_told_when_no_url_helps(start_hostile: Start) -> None:
    registry, other = start_hostile(), start_hostile()
    with pytest.raises(NotFoundError) as caught:
        fetch_blob(registry.name, blob_of(DATA, urls=(f"{other.url}/x",)))
    assert registry.name in caught.value.where


@pytest.mark.parametrize(
    ("url", "insecure"),
    [
        *((url, None) for url in ("http://h.example/x", "ftp://h.example/x", "file:///etc/passwd")),
        *((url, None) for url in ("h.example/x", "https://h.example:0/", "https://xn--/")),
        ("http://h.example/x", True),
    ],
)
def test_not_just_any_url_is_asked(url: str, insecure: bool | None) -> None:
    handler = Recording(lambda request: httpx.Response(404))
    with mock_client(handler, insecure=insecure) as client, pytest.raises(NotFoundError):
        list(client.stream_blob(REFERENCE, blob_of(DATA, urls=(url,))))
    assert handler.hosts == (["r.example", "h.example"] if insecure else ["r.example"])


def test_nothing_else_is_asked_after_a_cancel() -> None:
    cancel = threading.Event()
    seen: list[str] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request.url.host)
        cancel.set()
        return httpx.Response(404)

    with mock_client(handler, cancel=cancel) as client, pytest.raises(PullCancelled):
        list(client.stream_blob(REFERENCE, blob_of(DATA, urls=("https://h.example/x",))))
    assert seen == ["r.example"]


def fetch_address(server: HostileServer, path: str = "/x.wasm") -> bytes:
    web = Web(retries=QUICK)
    try:
        return b"".join(stream_address(web, f"{server.url}{path}", where="component 'a'"))
    finally:
        web.close()


def test_stream_address_fetches_what_it_names(hostile: HostileServer) -> None:
    hostile.content("/x.wasm", DATA)
    hostile.on("/x.wasm", CUT)
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
        return
    with pytest.raises(expected) as caught:  # type: ignore[call-overload]
        fetch_address(hostile, "/x.wasm?token=secret")
    assert caught.value.where == "component 'a'"
    assert "secret" not in str(caught.value)


def test_stream_address_refuses_plain_http() -> None:
    web = Web(transport=Scripted(lambda request: httpx.Response(200)))
    with pytest.raises(InsecureTransportError):
        list(stream_address(web, "http://h.example/x", where="a component"))
    assert web.request_count == 0

"""Clients that give up within a test's patience, and scripted answers for them."""

import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any

import httpx

from spincache_nb.core.addresses import whole_url
from spincache_nb.core.digest import Digest
from spincache_nb.core.documents import Descriptor
from spincache_nb.core.reference import Reference
from spincache_nb.core.registry import Registry
from spincache_nb.core.settings import RetryPolicy, Timeouts
from tests.support.artifact import filler

QUICK = RetryPolicy(first_wait=0.001, longest_wait=0.005)
SHORT = Timeouts(connect=2.0, read=2.0)
Handler = Callable[[httpx.Request], httpx.Response]


def quick_client(**options: Any) -> Registry:
    """A client whose waits between attempts are a few milliseconds."""
    defaults: dict[str, Any] = {"retries": QUICK, "timeouts": SHORT}
    return Registry(**(defaults | options))


class Scripted(httpx.MockTransport):
    """Has a function answer requests; it sees the whole address, also where the path stands beside it."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.url = whole_url(request)
        return super().handle_request(request)


def mock_client(handler: Handler, **options: Any) -> Registry:
    """A client whose requests a function answers."""
    return quick_client(transport=Scripted(handler), **options)


def ref(text: str) -> Reference:
    return Reference.parse(text)


def blob_of(data: bytes, *, size: int | None = None, urls: tuple[str, ...] = ()) -> Descriptor:
    """Descriptor of some bytes, perhaps with a size that is not theirs."""
    return Descriptor("application/wasm", Digest.of(data), len(data) if size is None else size, urls=urls)


DATA = filler("a blob", 300_000)
BLOB = blob_of(DATA)
PATH = f"/v2/org/app/blobs/{BLOB.digest}"
REFERENCE = ref("r.example/org/app:v1")


def fetch_blob(name: str = "r.example", blob: Descriptor = BLOB, **options: Any) -> bytes:
    """The whole of a blob of ``org/app`` at a registry, by a client of its own."""
    with quick_client(**options) as client:
        return b"".join(client.stream_blob(ref(f"{name}/org/app:v1"), blob))


def errors_page(code: str, message: str = "") -> bytes:
    return json.dumps({"errors": [{"code": code, "message": message}]}).encode()


def streamed(data: bytes, status: int = 200, **headers: str) -> httpx.Response:
    """An answer whose body comes in pieces, without a Content-Length unless one is given."""

    class Pieces(httpx.SyncByteStream):
        def __iter__(self) -> Any:
            for start in range(0, len(data), 7):
                yield data[start : start + 7]

    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.Response(status, headers=names, stream=Pieces())


class Recording:
    """A handler that remembers the requests it answers."""

    def __init__(self, answer: Handler = lambda request: httpx.Response(200, content=b"{}")) -> None:
        self.answer = answer
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return self.answer(request)

    @property
    def hosts(self) -> list[str]:
        return [request.url.host for request in self.requests]

    @property
    def authorizations(self) -> list[str | None]:
        return [request.headers.get("Authorization") for request in self.requests]


@contextmanager
def full_listener() -> Iterator[str]:
    """``host:port`` of a socket at which whoever comes now, waits."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            one = stack.enter_context(closing(socket.socket()))
            one.setblocking(False)
            one.connect_ex(listener.getsockname())
        time.sleep(0.1)
        yield f"127.0.0.1:{listener.getsockname()[1]}"

"""Clients that give up within a test's patience, and scripted answers for `httpx.MockTransport`."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx

from spincache_nb.core.digest import Digest
from spincache_nb.core.documents import Descriptor
from spincache_nb.core.reference import Reference
from spincache_nb.core.registry import Registry
from spincache_nb.core.settings import RetryPolicy, Timeouts

QUICK = RetryPolicy(first_wait=0.001, longest_wait=0.005)
SHORT = Timeouts(connect=2.0, read=2.0)
Handler = Callable[[httpx.Request], httpx.Response]


def quick_client(**options: Any) -> Registry:
    """A client whose waits between attempts are a few milliseconds."""
    defaults: dict[str, Any] = {"retries": QUICK, "timeouts": SHORT}
    return Registry(**(defaults | options))


def mock_client(handler: Handler, **options: Any) -> Registry:
    """A client whose requests a function answers."""
    return quick_client(transport=httpx.MockTransport(handler), **options)


def ref(text: str) -> Reference:
    return Reference.parse(text)


def blob_of(data: bytes, *, size: int | None = None, urls: tuple[str, ...] = ()) -> Descriptor:
    """Descriptor of some bytes, perhaps with a size that is not theirs."""
    return Descriptor("application/wasm", Digest.of(data), len(data) if size is None else size, urls=urls)


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

"""What is sent to a server and what comes back, whoever carries it."""

from __future__ import annotations

import contextlib
import re
import socket
from collections.abc import Iterator, Mapping
from typing import NamedTuple, Protocol
from urllib.parse import urlencode

from spincache_nb import __version__
from spincache_nb.core.addresses import Proxy, Url, public_url
from spincache_nb.core.refusals import ProxyError, TransportError
from spincache_nb.core.settings import Timeouts

_AGENT = f"spincache-nb/{__version__}"
Fields = list[tuple[str, str]]


class Ask(NamedTuple):
    """A request."""

    url: Url
    headers: Mapping[str, str]
    authorization: str | None = None
    form: Mapping[str, str] | None = None
    head: bool = False

    def __repr__(self) -> str:
        return f"Ask({public_url(self.url)!r})"

    @property
    def method(self) -> str:
        return "POST" if self.form is not None else "HEAD" if self.head else "GET"

    @property
    def content(self) -> bytes:
        """What is sent after the head."""
        return urlencode(self.form).encode("ascii") if self.form is not None else b""

    @property
    def fields(self) -> dict[str, str]:
        """All header fields but those that a transport adds, of the host and of the content's length."""
        fields = {"User-Agent": _AGENT, "Accept-Encoding": "identity", **self.headers}
        if self.authorization is not None:
            fields["Authorization"] = self.authorization
        if self.form is not None:
            fields["Content-Type"] = "application/x-www-form-urlencoded"
        return fields


class Headers(Mapping[str, str]):
    """Header fields of an answer, by names in any case; what came several times, with commas between."""

    def __init__(self, fields: Fields) -> None:
        self._values: dict[str, list[str]] = {}
        for name, value in fields:
            self._values.setdefault(name.lower(), []).append(value)

    def __getitem__(self, name: str) -> str:
        return ", ".join(self._values[name.lower()])

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def get_list(self, name: str) -> list[str]:
        """Each value of a field by itself."""
        return self._values.get(name.lower(), [])


class Head(NamedTuple):
    """The head of an answer, and how its body is framed: by length, in chunks, or to the end."""

    status: int
    headers: Headers
    length: int | None
    chunked: bool = False
    lasting: bool = False


class Reply(Protocol):
    """The head of an answer, and its body piece by piece, as it comes; to be closed."""

    head: Head

    def __iter__(self) -> Iterator[bytes]: ...

    def close(self) -> None:
        """Let the connection go."""


class Transport(Protocol):
    """Who sends requests; safe to use from many threads."""

    def send(self, ask: Ask, timeouts: Timeouts) -> Reply:
        """Send a request and read the head of the answer; raises a `TransportError`."""

    def close(self) -> None:
        """End everything: what is idle, and what is being read in whatever thread."""


def framed(status: int, headers: Headers, method: str, *, persistent: bool = False) -> Head:
    """Say where a body ends (RFC 9112, 6.3), and whether the connection lasts."""
    options = [option.strip() for option in headers.get("Connection", "").lower().split(",")]
    lasting = "close" not in options if persistent else "keep-alive" in options
    if method == "HEAD" or status in (204, 304):
        return Head(status, headers, 0, False, lasting)
    if coding := headers.get("Transfer-Encoding", "").lower():
        if coding != "chunked":
            raise TransportError("a transfer encoding other than chunked")
        return Head(status, headers, None, True, lasting)
    lengths = {length.strip() for length in headers.get("Content-Length", "").split(",")}
    if len(lengths) > 1:
        raise TransportError("two lengths for one answer")
    length = lengths.pop()
    if not re.fullmatch("[0-9]{1,19}", length):
        return Head(status, headers, None)
    return Head(status, headers, int(length), False, lasting)


def cut(sock: socket.socket) -> None:
    """Shut a socket down while another thread may be reading from it."""
    with contextlib.suppress(OSError):
        socket.socket.shutdown(sock, socket.SHUT_RDWR)


def unreached(proxy: Proxy, exc: Exception) -> ProxyError:
    """Say that it is the proxy that could not be reached."""
    return ProxyError(f"no connection to {proxy.name} ({exc})")

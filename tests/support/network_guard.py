"""No socket of this process leaves loopback: connecting, resolving and binding elsewhere raises.

An attempt is also remembered, so that a test fails even where something swallowed the exception.
"""

import ipaddress
import socket
from collections.abc import Callable
from typing import Any

import pytest


class OutsideLoopback(RuntimeError):
    """Something tried to leave loopback. No ``OSError``, so that no client takes it for a broken network."""


class NetworkGuard:
    """Patches ``socket`` for as long as a ``MonkeyPatch`` lasts."""

    def __init__(self) -> None:
        self.attempts: list[str] = []

    def install(self, patch: pytest.MonkeyPatch) -> None:
        for name in ("connect", "connect_ex", "bind"):
            patch.setattr(socket.socket, name, self._checked(name, getattr(socket.socket, name)))
        patch.setattr(socket.socket, "sendto", self._checked("sendto", socket.socket.sendto))
        for name in ("getaddrinfo", "gethostbyname", "gethostbyname_ex"):
            patch.setattr(socket, name, self._resolving(name, getattr(socket, name)))

    def _checked(self, name: str, original: Callable[..., Any]) -> Callable[..., Any]:

        def method(this: socket.socket, *arguments: Any) -> Any:
            address = arguments[-1]
            if this.family in (socket.AF_INET, socket.AF_INET6) and isinstance(address, tuple):
                self._require(name, address[0])
            return original(this, *arguments)

        return method

    def _resolving(self, name: str, original: Callable[..., Any]) -> Callable[..., Any]:

        def function(host: Any, *arguments: Any, **options: Any) -> Any:
            if host not in (None, "", b"", "0.0.0.0", "::"):  # these reach no server; bind is checked apart
                self._require(name, host)
            return original(host, *arguments, **options)

        return function

    def _require(self, what: str, host: Any) -> None:
        text = host.decode() if isinstance(host, bytes) else str(host)
        if not is_loopback(text):
            self.attempts.append(f"{what} {text!r}")
            raise OutsideLoopback(f"a test tried to {what} {text!r}: no address but loopback")


def is_loopback(host: str) -> bool:
    """Tell whether a host is a loopback address, ``localhost``, or this machine's own name."""
    name = host.rstrip(".").lower()
    if name in ("localhost", socket.gethostname().lower()) or name.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback

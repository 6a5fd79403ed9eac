"""The system's proxies: the environment, or the settings of macOS and Windows, as Python finds them."""

from __future__ import annotations

import base64
import threading
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

import httpx

from spincache_nb.core.transport.addresses import is_loopback, public_url
from spincache_nb.errors import ConnectionFailedError

_DEFAULT_PORTS = {"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080}
_CHECK = "check HTTPS_PROXY, HTTP_PROXY and ALL_PROXY, or the system's settings"


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy; its user and password stay out of every repr."""

    scheme: str
    host: str
    port: int
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)

    @classmethod
    def parse(cls, text: str) -> Proxy:
        """Read a proxy's address."""
        try:
            parts = urlsplit(text if "://" in text else f"http://{text}")
            scheme = "socks5" if parts.scheme == "socks" else parts.scheme
            host, port = parts.hostname or "", parts.port or _DEFAULT_PORTS.get(scheme, 0)
        except ValueError as exc:
            raise ConnectionFailedError("proxy", "an address", "text that is none", _CHECK) from exc
        if scheme not in _DEFAULT_PORTS or not host:
            kinds = "an address of kind http, https, socks5 or socks5h"
            raise ConnectionFailedError(f"proxy {public_url(text)}", kinds, scheme or "none", _CHECK)
        return cls(scheme, host, port, unquote(parts.username or ""), unquote(parts.password or ""))

    @property
    def name(self) -> str:
        """``scheme://host:port``, for people and for httpx."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"

    @property
    def authorization(self) -> str | None:
        """Value of ``Proxy-Authorization``, if the proxy was given with a user."""
        if not self.user:
            return None
        return "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode("ascii")


class SystemProxies:
    """Which proxy an address is reached through."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._settings: dict[str, str] | None = None
        self._known: dict[tuple[str, str], Proxy | None] = {}

    def __call__(self, url: httpx.URL) -> Proxy | None:
        """Find the proxy for an address."""
        if is_loopback(url.host):
            return None
        netloc = url.netloc.decode("ascii")
        key = url.scheme, netloc
        with self._lock:
            if key not in self._known:
                self._known[key] = self._find(url.scheme, netloc)
            return self._known[key]

    def _find(self, scheme: str, netloc: str) -> Proxy | None:
        from urllib.request import getproxies, proxy_bypass

        if self._settings is None:
            self._settings = getproxies()
        text = self._settings.get(scheme) or self._settings.get("all")
        if not text or proxy_bypass(netloc):
            return None
        return Proxy.parse(text)

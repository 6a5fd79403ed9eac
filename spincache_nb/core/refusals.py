"""What went wrong between here and a server, in our words: where, what was expected, what to do."""

from __future__ import annotations

import email.utils
import http
import json
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import httpx

from spincache_nb.core.addresses import Proxy, public_netloc, public_url
from spincache_nb.errors import (
    AccessDeniedError,
    ConnectionFailedError,
    NotFoundError,
    ProtocolError,
    SpinCacheError,
    StatusError,
)

_TRANSIENT = frozenset((408, 425, 429, 499, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529))
_TRY_LATER = "try again; if it goes on, the registry or the network is at fault"
_USE_TLS = "the server speaks TLS: ask with insecure=False"
_CHECK_PROXY = "check HTTPS_PROXY and NO_PROXY, or the system's settings"
_PLAIN_HTTP = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG")
_TLS_EXPECTED = (
    b"HTTP request to an HTTPS server",  # Go
    b"plain HTTP request was sent to HTTPS port",  # nginx
    b"speaking plain HTTP to an SSL-enabled server port",  # Apache
)
_SILENCE = "silence until the time was up"
_PASSING, _HOPELESS, _LASTING = "passing", "hopeless", "lasting"
_Fault = tuple[str, str, str, str]
"""What was expected, what was found, what to do, and whether another attempt could go well."""

_CODES = frozenset((
    "BLOB_UNKNOWN", "DIGEST_INVALID", "MANIFEST_BLOB_UNKNOWN", "MANIFEST_INVALID", "MANIFEST_UNKNOWN",
    "MANIFEST_UNVERIFIED", "NAME_INVALID", "NAME_UNKNOWN", "SIZE_INVALID", "TAG_INVALID", "UNAUTHORIZED",
    "DENIED", "UNSUPPORTED", "TOOMANYREQUESTS", "UNAVAILABLE", "PAGINATION_NUMBER_INVALID",
))  # fmt: skip
"""Codes that are repeated in an error. A server's own words are not: they may quote what it was sent."""


class RetryableError(Exception):
    """Something failed that may go well the next time; only the retry loops of this room see it raised."""

    def __init__(
        self, error: SpinCacheError, *, retry_after: float | None = None, hopeless: bool = False
    ) -> None:
        super().__init__(str(error))
        self.error = error
        self.retry_after = retry_after
        self.hopeless = hopeless


class Purpose(NamedTuple):
    """What a request is for, in the words of an error."""

    where: str
    what: str
    if_missing: str


class Access(NamedTuple):
    """With what a request was made, in the words of an error."""

    how: str
    remedy: str


class TlsSpokenError(httpx.RemoteProtocolError):
    """A request in plain HTTP was answered in TLS."""


class SilentCloseError(httpx.ReadError):
    """A connection was closed before the first byte of an answer."""


def unanswered(exc: OSError) -> httpx.TransportError:
    """What ended a request, as httpx calls it."""
    if isinstance(exc, ConnectionError):
        return SilentCloseError(str(exc))
    return httpx.ReadTimeout(str(exc)) if isinstance(exc, TimeoutError) else httpx.ReadError(str(exc))


def not_connected(exc: Exception) -> httpx.TransportError:
    """What kept a connection from being made, as httpx calls it."""
    if isinstance(exc, TimeoutError):
        return httpx.ConnectTimeout(str(exc))
    if not isinstance(exc, OSError) and isinstance(exc, ValueError):  # a name with a label of 64 letters
        return httpx.ConnectError("a name that no server can have")
    return httpx.ConnectError(str(exc))


def proxy_error(exc: httpx.TransportError, proxy: Proxy) -> httpx.ProxyError:
    """Say that it is the proxy that could not be reached."""
    return httpx.ProxyError(f"no connection to {proxy.name} ({exc})")


def translate(
    exc: httpx.TransportError, url: httpx.URL, *, answered: bool = True
) -> RetryableError | ConnectionFailedError:
    """Say what went wrong between here and a server, which may have answered before."""
    expected, found, remedy, fate = _told(exc, url, answered)
    error = ConnectionFailedError(public_url(url), expected, found, remedy)
    return error if fate == _LASTING else RetryableError(error, hopeless=fate == _HOPELESS)


def _told(exc: httpx.TransportError, url: httpx.URL, answered: bool) -> _Fault:
    if isinstance(exc, httpx.ProxyError):
        fate = _HOPELESS if exc.__cause__ is not None else _LASTING
        return "the proxy to pass it on", str(exc), _CHECK_PROXY, fate
    if isinstance(exc, httpx.ConnectTimeout):
        secure = url.scheme == "https"
        remedy = f"check the name and port {public_netloc(url)}, and the network"
        remedy += "; insecure=True asks for plain HTTP" if secure else ""
        return "a TLS connection" if secure else "a connection", _SILENCE, remedy, _HOPELESS
    if isinstance(exc, httpx.TimeoutException):
        return "an answer", _SILENCE, _TRY_LATER, _PASSING
    if isinstance(exc, httpx.ConnectError):
        return _unconnected(exc, url)
    if isinstance(exc, httpx.LocalProtocolError):
        return "a request that can be sent", str(exc), "this is a fault of ours", _LASTING
    if isinstance(exc, TlsSpokenError):
        return "an answer in plain HTTP", "one in TLS", _USE_TLS, _LASTING
    found = _text_of(exc) or "a connection that broke off"
    if isinstance(exc, SilentCloseError) and url.scheme == "http" and not answered:
        return "an answer", found, f"{_TRY_LATER}; if {_USE_TLS}", _HOPELESS
    return "a whole answer", found, _TRY_LATER, _PASSING


def _unconnected(exc: httpx.ConnectError, url: httpx.URL) -> _Fault:
    chain = list(causes(exc))
    for cause in chain:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return _untrusted(getattr(cause, "verify_message", "") or str(cause))
        if isinstance(cause, ssl.SSLError) and not isinstance(cause, ssl.SSLEOFError):
            reason = str(getattr(cause, "reason", "") or cause)
            remedy = "check that it is a web server; ask its owner which TLS versions it speaks"
            if reason in _PLAIN_HTTP:
                remedy = "the server seems to speak plain HTTP; insecure=True asks for that"
            return "a TLS connection", reason.replace("_", " ").lower(), remedy, _LASTING
        if isinstance(cause, socket.gaierror):
            fate = _HOPELESS if cause.errno == socket.EAI_AGAIN else _LASTING
            remedy = "check the spelling, the network and the proxy settings"
            return f"an address for {public_netloc(url)}", cause.strerror or "none", remedy, fate
    refused = any(isinstance(cause, ConnectionRefusedError) for cause in chain)
    found = "connection refused" if refused else _text_of(exc) or "none"
    remedy = f"check the name and port {public_netloc(url)}, and that the registry runs"
    return "a connection", found, remedy, _HOPELESS


def _untrusted(found: str) -> _Fault:
    remedy = (
        "ca=<PEM file> must hold its authority's certificate; insecure=True is plain HTTP, not blind trust"
    )
    if "ostname mismatch" in found or "IP address mismatch" in found:
        remedy = "use the name that the certificate is for"
    elif "expired" in found or "not yet valid" in found:
        remedy = "renew the server's certificate, or set this machine's clock"
    return "a certificate that this machine trusts", found, remedy, _LASTING


def causes(exc: BaseException | None) -> Iterator[BaseException]:
    """An exception and what led to it."""
    while exc is not None:
        yield exc
        exc = exc.__cause__ or exc.__context__


def _text_of(exc: BaseException) -> str:
    """The system's words for it, which name no address and no secret."""
    for cause in causes(exc):
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror.lower()
    return str(exc)


def broken_redirect(url: httpx.URL, found: str) -> ProtocolError:
    """A redirect that leads nowhere."""
    remedy = "the registry or its storage is set up wrongly"
    return ProtocolError(public_url(url), "a redirect to follow", found, remedy)


class Refusal(NamedTuple):
    """An answer that is not what was asked for: its status, what it says, and who gave it."""

    status: int
    headers: Mapping[str, str]
    page: bytes
    url: httpx.URL
    at_home: bool

    def error(self, purpose: Purpose, access: Access) -> SpinCacheError | RetryableError:
        """Say what it means and what to do (OCI distribution spec, Error Codes)."""
        status = self.status
        where, what = purpose.where, purpose.what
        found = " ".join(filter(None, [_phrase(status), _codes(self.page)]))
        if status in (401, 403):
            return self._denied(purpose, access, found)
        if status == 404:
            remedy = f"{purpose.if_missing}; private repositories hide like this, too ({access.how})"
            return NotFoundError(where, what, found, remedy, status)
        if status in _TRANSIENT:
            remedy = "the registry cannot answer now; try again later"
            if status == 429:
                remedy = f"the registry limits requests ({access.how}); try again later or log in"
            error = StatusError(where, what, found, remedy, status)
            return RetryableError(error, retry_after=parse_retry_after(self.headers))
        if self.url.scheme == "http" and (remedy := self._advice_on_tls()):
            return StatusError(where, what, found, remedy, status)
        if 200 <= status < 400:
            return ProtocolError(
                where, what, found, "the server answers with a status that was not asked for"
            )
        return StatusError(where, what, found, "check that it is an OCI registry", status)

    def _denied(self, purpose: Purpose, access: Access, found: str) -> AccessDeniedError:
        if self.at_home:
            found, remedy = f"{found} {access.how}", access.remedy
        elif self.url.path.startswith("/v2/") or "WWW-Authenticate" in self.headers:
            netloc = public_netloc(self.url)
            found += f" from {netloc}, to which the registry redirects; no credentials follow there"
            remedy = f"name that registry in the reference: {netloc}/..., after a login there"
        else:
            storage = public_url(self.url.copy_with(path="/"))
            remedy = f"the storage at {storage} does not let it through; try again"
        return AccessDeniedError(purpose.where, purpose.what, found, remedy, self.status)

    def _advice_on_tls(self) -> str:
        if self.status == 497 or (self.status == 400 and any(words in self.page for words in _TLS_EXPECTED)):
            return _USE_TLS
        return (
            f"check that it is an OCI registry; if {_USE_TLS}" if self.status == 400 and not self.page else ""
        )


def _phrase(status: int) -> str:
    try:
        return f"{status} {http.HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def _codes(page: bytes) -> str:
    """Error codes of a refusal, in brackets; empty if it has none."""
    try:
        errors = json.loads(page)["errors"]
        codes = [code for error in errors if isinstance(code := error.get("code"), str)]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return ""
    known = [code for code in dict.fromkeys(codes) if code in _CODES]
    return f"({', '.join(known)})" if known else ""


def parse_retry_after(headers: Mapping[str, str], *, now: float | None = None) -> float | None:
    """Seconds to wait by a ``Retry-After`` header (RFC 9110, 10.2.3)."""
    text = headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    until = parse_http_date(text)
    if until is None:
        return None
    server = parse_http_date(headers.get("Date", ""))
    reference = server if server is not None else (time.time() if now is None else now)
    return max(0.0, until - reference)


def parse_http_date(text: str) -> float | None:
    """UTC seconds since 1970 of an HTTP date, or None if it is not one."""
    try:
        parsed = email.utils.parsedate_tz(text)
        return float(email.utils.mktime_tz(parsed)) if parsed is not None else None
    except (ValueError, OverflowError, TypeError, IndexError):
        return None

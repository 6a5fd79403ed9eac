"""What httpx and the system raise, in our words: where, what was expected, what to do."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator

import httpx

from spincache_nb.core.transport.addresses import public_url
from spincache_nb.core.transport.retrying import RetryableError
from spincache_nb.errors import ConnectionFailedError, ProtocolError

_TRY_LATER = "try again; if it goes on, the registry or the network is at fault"


def translate(exc: httpx.TransportError, url: httpx.URL) -> RetryableError | ConnectionFailedError:
    """Say what went wrong between here and a server."""
    where = public_url(url)
    if isinstance(exc, httpx.ProxyError):
        remedy = "check HTTPS_PROXY and NO_PROXY, or the system's settings"
        error = ConnectionFailedError(where, "the proxy to pass it on", str(exc), remedy)
        return RetryableError(error, hopeless=True) if exc.__cause__ is not None else error
    if isinstance(exc, httpx.TimeoutException):
        return _silence(url, where, connecting=isinstance(exc, httpx.ConnectTimeout))
    if isinstance(exc, httpx.ConnectError):
        return _unconnected(exc, url, where)
    if isinstance(exc, httpx.LocalProtocolError):
        return ConnectionFailedError(where, "a request that can be sent", str(exc), "this is a fault of ours")
    found = _text_of(exc) or "a connection that broke off"
    return RetryableError(ConnectionFailedError(where, "a whole answer", found, _TRY_LATER))


def _silence(url: httpx.URL, where: str, *, connecting: bool) -> RetryableError:
    expected, remedy = "an answer", _TRY_LATER
    if connecting:
        expected = "a TLS connection" if url.scheme == "https" else "a connection"
        remedy = f"check the name and port {url.netloc.decode('ascii')}, and the network"
        remedy += "; insecure=True asks for plain HTTP" if url.scheme == "https" else ""
    found = "silence until the time was up"
    return RetryableError(ConnectionFailedError(where, expected, found, remedy), hopeless=connecting)


def _unconnected(
    exc: httpx.ConnectError, url: httpx.URL, where: str
) -> RetryableError | ConnectionFailedError:
    chain = list(causes(exc))
    for cause in chain:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return _untrusted(cause, where)
        if isinstance(cause, ssl.SSLError) and not isinstance(cause, ssl.SSLEOFError):
            return _no_tls(cause, where)
        if isinstance(cause, socket.gaierror):
            return _unknown_host(cause, url.host, where)
    refused = any(isinstance(cause, ConnectionRefusedError) for cause in chain)
    found = "connection refused" if refused else _text_of(exc) or "none"
    remedy = f"check the name and port {url.netloc.decode('ascii')}, and that the registry runs"
    return RetryableError(ConnectionFailedError(where, "a connection", found, remedy), hopeless=True)


def _untrusted(cause: ssl.SSLCertVerificationError, where: str) -> ConnectionFailedError:
    found = getattr(cause, "verify_message", "") or str(cause)
    remedy = "pass the authority's certificate as ca=<PEM file>; insecure=True is plain HTTP, not blind trust"
    if "ostname mismatch" in found or "IP address mismatch" in found:
        remedy = "use the name that the certificate is for"
    elif "expired" in found or "not yet valid" in found:
        remedy = "renew the server's certificate, or set this machine's clock"
    return ConnectionFailedError(where, "a certificate that this machine trusts", found, remedy)


def _no_tls(cause: ssl.SSLError, where: str) -> ConnectionFailedError:
    reason = str(getattr(cause, "reason", "") or cause)
    plain = reason in {
        "WRONG_VERSION_NUMBER",
        "HTTP_REQUEST",
        "RECORD_LAYER_FAILURE",
        "PACKET_LENGTH_TOO_LONG",
    }
    remedy = "check that it is a web server; ask its owner which TLS versions it speaks"
    if plain:
        remedy = "the server seems to speak plain HTTP; insecure=True asks for that"
    return ConnectionFailedError(where, "a TLS connection", reason.replace("_", " ").lower(), remedy)


def _unknown_host(cause: socket.gaierror, host: str, where: str) -> RetryableError | ConnectionFailedError:
    error = ConnectionFailedError(
        where,
        f"an address for {host}",
        cause.strerror or "none",
        "check the spelling, the network and the proxy settings",
    )
    return RetryableError(error, hopeless=True) if cause.errno == socket.EAI_AGAIN else error


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
    return ProtocolError(
        public_url(url), "a redirect to follow", found, "the registry or its storage is set up wrongly"
    )

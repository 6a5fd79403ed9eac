"""What a registry's refusal means, in words that say what to do (OCI distribution spec, Error Codes)."""

from __future__ import annotations

import http
import json
from typing import NamedTuple

from spincache_nb.core.transport.addresses import public_url
from spincache_nb.core.transport.answers import Answer
from spincache_nb.core.transport.retrying import RetryableError, parse_retry_after
from spincache_nb.errors import (
    AccessDeniedError,
    NotFoundError,
    ProtocolError,
    SpinCacheError,
    StatusError,
)

_CODES = frozenset(
    (
        "BLOB_UNKNOWN",
        "DIGEST_INVALID",
        "MANIFEST_BLOB_UNKNOWN",
        "MANIFEST_INVALID",
        "MANIFEST_UNKNOWN",
        "MANIFEST_UNVERIFIED",
        "NAME_INVALID",
        "NAME_UNKNOWN",
        "SIZE_INVALID",
        "TAG_INVALID",
        "UNAUTHORIZED",
        "DENIED",
        "UNSUPPORTED",
        "TOOMANYREQUESTS",
        "UNAVAILABLE",
        "PAGINATION_NUMBER_INVALID",
    )
)
"""Codes that are repeated in an error. A server's own words are not: they may quote what it was sent."""

_TRANSIENT = (429, 500, 502, 503, 504)
_TLS_EXPECTED = b"HTTP request to an HTTPS server"


class Wish(NamedTuple):
    """What a request is for, in the words of an error."""

    where: str
    what: str
    if_missing: str


class Access(NamedTuple):
    """With what a request was made, in the words of an error."""

    how: str
    remedy: str


def refusal(answer: Answer, wish: Wish, access: Access) -> SpinCacheError | RetryableError:
    """Turn an answer that is not what was asked for into an error; its body is read and it is closed."""
    page = answer.read_error_page()
    found = " ".join(filter(None, [_phrase(answer.status), _codes(page)]))
    status = answer.status
    if status in (401, 403):
        return _denied(answer, wish, access, found)
    if status == 404:
        remedy = f"{wish.if_missing}; private repositories hide like this, too ({access.how})"
        return NotFoundError(wish.where, wish.what, found, remedy, status)
    if status in _TRANSIENT:
        remedy = "the registry cannot answer now; try again later"
        if status == 429:
            remedy = f"the registry limits requests ({access.how}); try again later or log in"
        error = StatusError(wish.where, wish.what, found, remedy, status)
        return RetryableError(error, retry_after=parse_retry_after(answer.headers))
    if status == 400 and _TLS_EXPECTED in page and answer.url.scheme == "http":
        return StatusError(
            wish.where, wish.what, found, "the server speaks TLS: ask with insecure=False", status
        )
    if 200 <= status < 400:
        return ProtocolError(
            wish.where, wish.what, found, "the server does not follow the OCI distribution spec"
        )
    return StatusError(wish.where, wish.what, found, "check that it is an OCI registry", status)


def _denied(answer: Answer, wish: Wish, access: Access, found: str) -> AccessDeniedError:
    if not answer.at_home:
        storage = f"the storage at {public_url(answer.url.copy_with(path='/'))} does not let it through"
        return AccessDeniedError(wish.where, wish.what, found, f"{storage}; try again", answer.status)
    return AccessDeniedError(wish.where, wish.what, f"{found} {access.how}", access.remedy, answer.status)


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

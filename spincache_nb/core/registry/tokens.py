"""Bearer tokens from a token service.

Distribution project, "Token Authentication Specification" (GET) and "Oauth2 Token Authentication" (POST);
Spin does the first (rust-oci-client, _auth), the second is what an identity token is for.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import json
import math
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import httpx

from spincache_nb.core.credentials import Credentials
from spincache_nb.core.documents import JsonObject, parse_object
from spincache_nb.core.registry.challenges import Challenge
from spincache_nb.core.registry.refusals import Access, Wish, refusal
from spincache_nb.core.transport.addresses import is_loopback, parse_url, public_url
from spincache_nb.core.transport.answers import Answer
from spincache_nb.core.transport.retrying import RetryableError, parse_http_date
from spincache_nb.core.transport.web import Ask, Web
from spincache_nb.errors import (
    AccessDeniedError,
    FormatError,
    InsecureTransportError,
    ProtocolError,
    SpinCacheError,
    StatusError,
)

DEFAULT_LIFETIME = 60.0
"""Seconds a token lives if nothing says otherwise (Token Authentication Specification)."""

_CLIENT = "spincache-nb"
_VISIBLE = re.compile(r"[\x21-\x7e]+")
_EXTRA_ACTIONS = ("metadata_read",)  # what some registries want for a list of tags


@dataclass(frozen=True, slots=True)
class Token:
    """A token and how long it may be used."""

    value: str = field(repr=False)
    lifetime: float


def scope_of(repository: str, challenge: Challenge) -> str:
    """What to ask a token service for: to pull from one repository, and nothing a pull does not need."""
    asked = challenge.parameters.get("scope", "").split()
    prefix = f"repository:{repository}:"
    named = {
        action for scope in asked if scope.startswith(prefix) for action in scope[len(prefix) :].split(",")
    }
    return prefix + ",".join(["pull", *(action for action in _EXTRA_ACTIONS if action in named)])


def check_realm(realm: httpx.URL, registry: httpx.URL, *, where: str) -> None:
    """Make sure that a token service may be told secrets."""
    same_plain_host = registry.scheme == "http" and realm.host.lower() == registry.host.lower()
    if realm.scheme == "https" or is_loopback(realm.host) or same_plain_host:
        return
    raise InsecureTransportError(
        f"token service of {where}",
        "an https:// address",
        public_url(realm),
        "it was not asked: a token and perhaps a password would travel in the clear",
    )


def fetch_token(
    web: Web,
    challenge: Challenge,
    *,
    repository: str,
    registry: httpx.URL,
    credentials: Credentials | None,
    access: Access,
) -> Token:
    """Ask a token service for leave to pull from a repository."""
    where = f"{registry.netloc.decode('ascii')}/{repository}"
    realm = parse_url(challenge.parameters["realm"], where=f"token service of {where}")
    check_realm(realm, registry, where=where)
    ask = _ask(realm, challenge.parameters.get("service"), scope_of(repository, challenge), credentials)
    with web.send(ask) as answer:
        if answer.status != 200:
            raise _refused(answer, where, realm, access)
        content = answer.read(web.limits.token_bytes, what="token")
    return parse_token(content, answer.headers, where=f"token service {public_url(realm)}")


def _ask(realm: httpx.URL, service: str | None, scope: str, credentials: Credentials | None) -> Ask:
    fields = ({"service": service} if service else {}) | {"scope": scope}
    accept = {"Accept": "application/json"}
    if credentials is not None and credentials.identity_token:
        secret = {"grant_type": "refresh_token", "refresh_token": credentials.identity_token}
        return Ask(realm, accept, form=fields | secret | {"client_id": _CLIENT})
    authorization = basic(credentials) if credentials is not None else None
    return Ask(realm.copy_merge_params(fields), accept, authorization)


def basic(credentials: Credentials) -> str:
    """Value of ``Authorization`` for HTTP Basic, in UTF-8 (RFC 7617)."""
    pair = f"{credentials.username}:{credentials.password}"
    return "Basic " + base64.b64encode(pair.encode("utf-8", "surrogatepass")).decode("ascii")


def _refused(answer: Answer, where: str, realm: httpx.URL, access: Access) -> SpinCacheError | RetryableError:
    wish = Wish(where, f"a token from {public_url(realm)}", "the registry names a token service that is none")
    error = refusal(answer, wish, access)
    if isinstance(error, StatusError) and error.status == 400:  # OAuth2: invalid_grant, invalid_client
        found = f"{error.found} {access.how}"
        return AccessDeniedError(error.where, error.expected, found, access.remedy, error.status)
    return error


def parse_token(content: bytes, headers: Mapping[str, str], *, where: str) -> Token:
    """Read the answer of a token service."""
    try:
        document = parse_object(content, where=where, error=FormatError, what="a token in JSON")
    except FormatError:
        document = {}  # and no cause: it would quote the token
    value = document.get("token") or document.get("access_token")
    if not isinstance(value, str) or _VISIBLE.fullmatch(value) is None:
        raise ProtocolError(
            where, "JSON with a token", "something else", "the token service is set up wrongly"
        )
    return Token(value, _lifetime(document, value, headers))


def _lifetime(document: JsonObject, value: str, headers: Mapping[str, str]) -> float:
    """Seconds left, by the service's own clock as far as it tells it."""
    server = parse_http_date(headers.get("Date", ""))
    now = time.time() if server is None else server
    ends = []
    expires_in = _number(document.get("expires_in"))
    if expires_in is not None:
        issued = _parse_time(document.get("issued_at"))
        ends.append(expires_in - (max(0.0, now - issued) if issued is not None else 0.0))
    if (expiry := _jwt_expiry(value)) is not None:
        ends.append(expiry - now)
    return max(0.0, min(ends)) if ends else DEFAULT_LIFETIME


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:  # JSON has integers of any length
        return None
    return number if math.isfinite(number) else None


def _parse_time(value: object) -> float | None:
    if not isinstance(value, str):
        return None
    try:
        moment = dt.datetime.fromisoformat(value)
        return moment.replace(tzinfo=moment.tzinfo or dt.UTC).timestamp()
    except (ValueError, OverflowError):
        return None


def _jwt_expiry(value: str) -> float | None:
    """The ``exp`` claim, if the token is a JWT (RFC 7519); nothing else in it concerns a client."""
    parts = value.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        return None
    return _number(claims.get("exp")) if isinstance(claims, dict) else None

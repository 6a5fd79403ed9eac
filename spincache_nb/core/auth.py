"""Which ``Authorization`` a registry gets: none at first, then what it asks for.

Challenges by RFC 9110, 11.6.1. Tokens by the Distribution project's "Token Authentication Specification"
(GET) and "Oauth2 Token Authentication" (POST); Spin does the first (rust-oci-client, _auth), the second is
what an identity token is for. Loaded with the first challenge: most registries ask for nothing.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import json
import math
import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

import httpx

from spincache_nb.core import credentials as stores
from spincache_nb.core.addresses import host_in, is_loopback, parse_url, public_url
from spincache_nb.core.credentials import Credentials, CredentialSearch
from spincache_nb.core.documents import JsonObject, parse_object
from spincache_nb.core.reference import Reference
from spincache_nb.core.refusals import Access, Purpose, RetryableError, parse_http_date
from spincache_nb.core.web import Answer, Ask, Web
from spincache_nb.errors import (
    AccessDeniedError,
    FormatError,
    InsecureTransportError,
    ProtocolError,
    SpinCacheError,
    StatusError,
)

SHORTEST_LIFETIME = 60.0
"""Seconds a token lives at least, and if nothing says otherwise (Token Authentication Specification)."""

LONGEST_HEADER = 16 << 10
"""Characters of one challenge; a longer one is as good as none."""

_LONGEST_MARGIN = 30.0
_CLIENT = "spincache-nb"
_VISIBLE = re.compile(r"[\x21-\x7e]+")
_EXTRA_ACTIONS = ("metadata_read",)  # what some registries want for a list of tags
_MOST_SCOPES = 4
_REPOSITORY = re.compile(r"repository:[a-z0-9]+(?:(?:[._]|__|-+|/)[a-z0-9]+)*")
_Search = Callable[[str, str], CredentialSearch]


def search_stores(host: str, repository: str) -> CredentialSearch:
    """Look for credentials where Spin and its kind keep them."""
    return stores.search_credentials(host, repository)


def search_nowhere(_host: str, _repository: str) -> CredentialSearch:
    """Find none, whatever the stores have."""
    return CredentialSearch(None)


# Challenges --------------------------------------------------------------------------------------

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 - RFC 9110, 5.6.2
_SEPARATORS = re.compile(r"[ \t]*(?:,[ \t]*)*")
_SCHEME = re.compile(rf"({_TOKEN})(?=[ \t]*(?:,|$)|[ \t]+)")
_PARAMETER = re.compile(rf"({_TOKEN})[ \t]*=[ \t]*(?:\"((?:[^\"\\]|\\.)*)\"|({_TOKEN}))(?=[ \t,]|$)")
_TOKEN68 = re.compile(r"[ \t]+[A-Za-z0-9._~+/-]+=*(?=[ \t]*(?:,|$))")
_QUOTED_PAIR = re.compile(r"\\(.)")


@dataclass(frozen=True, slots=True)
class Challenge:
    """One way in that a server offers."""

    scheme: str
    parameters: Mapping[str, str]

    def without_scope(self) -> Challenge:
        """The same, of an answer whose scope is but a sample."""
        return Challenge(self.scheme, {k: v for k, v in self.parameters.items() if k != "scope"})


def parse_challenges(headers: Iterable[str]) -> tuple[Challenge, ...]:
    """Read all challenges of an answer (``WWW-Authenticate``)."""
    found: list[Challenge] = []
    for header in headers:
        if len(header) <= LONGEST_HEADER:
            found += _parse_header(header)
    return tuple(found)


def _parse_header(text: str) -> list[Challenge]:
    found: list[Challenge] = []
    position = _skip(_SEPARATORS, text, 0)
    while (scheme := _SCHEME.match(text, position)) is not None:
        parameters: dict[str, str] = {}
        position = _read_parameters(text, _skip(_TOKEN68, text, scheme.end()), parameters)
        found.append(Challenge(scheme[1].lower(), MappingProxyType(parameters)))
    return found


def _read_parameters(text: str, position: int, parameters: dict[str, str]) -> int:
    """Read ``name=value`` after ``name=value``, up to the next scheme or what cannot be read."""
    while True:
        start = _skip(_SEPARATORS, text, position)
        match = _PARAMETER.match(text, start)
        if match is None:
            return start
        name, quoted, plain = match.groups()
        value = plain if quoted is None else _QUOTED_PAIR.sub(r"\1", quoted)
        parameters.setdefault(name.lower(), value)
        position = match.end()


def _skip(pattern: re.Pattern[str], text: str, position: int) -> int:
    match = pattern.match(text, position)
    return match.end() if match is not None else position


# Which to answer, and with what ------------------------------------------------------------------


class Authorization(NamedTuple):
    """What is sent, and until when: seconds of the monotonic clock."""

    header: str
    fresh_until: float = math.inf

    def __repr__(self) -> str:
        return "Authorization(...)"


@dataclass(slots=True)
class _Entry:
    """What is known about one repository; `lock` is held while a token is fetched for it."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    search: CredentialSearch | None = None
    offered: tuple[Challenge, ...] | None = None
    challenge: Challenge | None = None
    authorization: Authorization | None = None
    sent: Credentials | None = None
    asked_for_login: bool = False


class Authorizer:
    """Keeps what opens the repositories of one client, in memory only."""

    def __init__(
        self,
        web: Web,
        auth: Credentials | None,
        *,
        search: _Search = search_stores,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._web = web
        self._auth = auth
        self._search = search
        self._clock = clock
        self._lock = threading.Lock()
        self._entries: dict[tuple[str, str], _Entry] = {}

    def header_for(self, reference: Reference) -> str | None:
        """What to send with a request for a repository; None until the registry has asked."""
        entry = self._entry(reference)
        if entry.authorization is None or self._is_fresh(entry.authorization):
            return entry.authorization.header if entry.authorization is not None else None
        with entry.lock:
            if not self._is_fresh(entry.authorization) and entry.challenge is not None:
                entry.authorization = self._token(reference, entry, entry.challenge)
            return entry.authorization.header

    def meet(self, reference: Reference, headers: Sequence[str], used: str | None) -> str | None:
        """Answer a 401; None if there is nothing to answer it with."""
        entry = self._entry(reference)
        with entry.lock:
            current = entry.authorization
            if current is not None and current.header != used and self._is_fresh(current):
                return current.header  # another thread was faster
            entry.offered = parse_challenges(headers)
            entry.authorization = self._answer(reference, entry, entry.offered)
            if entry.authorization is None or (
                entry.challenge is None and entry.authorization.header == used
            ):
                return None
            return entry.authorization.header

    def log_in(self, reference: Reference) -> str | None:
        """Ask at ``/v2/`` how to log in, once, for a registry that hides what it has from strangers."""
        entry = self._entry(reference)
        with entry.lock:
            if entry.authorization is None and not entry.asked_for_login and self._find(reference, entry):
                entry.asked_for_login = True
                entry.offered = self._offered_at_the_door(reference)
                entry.authorization = self._answer(reference, entry, entry.offered)
            return entry.authorization.header if entry.authorization is not None else None

    def _offered_at_the_door(self, reference: Reference) -> tuple[Challenge, ...]:
        answer = self._web.send(Ask(self._web.url(reference.host, "/v2/"), {}))
        answer.read_error_page()
        if answer.status != 401 or not answer.at_home:
            return ()
        offered = parse_challenges(answer.headers.get_list("WWW-Authenticate"))
        return tuple(one.without_scope() for one in offered)

    def access(self, reference: Reference) -> Access:
        """With what the registry was asked, in the words of an error."""
        entry = self._entry(reference)
        if entry.sent is not None:
            found_in = f"with the credentials of {entry.sent.source}"
            return Access(found_in, "check the user's rights and password, or log in again")
        remedy = f"log in (spin registry login {reference.host}) or pass auth=(user, password)"
        search = entry.search or CredentialSearch(None)
        if search.credentials is None or entry.offered is None:
            notes = f" ({search.notes[0]})" if search.notes else ""
            return Access(f"without credentials{notes}", remedy)
        source, schemes = search.credentials.source, sorted({one.scheme for one in entry.offered})
        if search.credentials.identity_token and "basic" in schemes:
            reason = f"an identity token, as in {source}, is no use for HTTP Basic"
            return Access(f"without credentials ({reason})", remedy)
        asks = f"it offers {', '.join(schemes)} only" if schemes else "it does not say how to log in"
        remedy = "ask the registry's owner for a login by Basic or Bearer; the password was not sent"
        return Access(f"without the credentials of {source} ({asks})", remedy)

    def _entry(self, reference: Reference) -> _Entry:
        with self._lock:
            return self._entries.setdefault((reference.host, reference.repository), _Entry())

    def _is_fresh(self, authorization: Authorization) -> bool:
        return self._clock() < authorization.fresh_until

    def _find(self, reference: Reference, entry: _Entry) -> Credentials | None:
        if entry.search is None:
            given = CredentialSearch(self._auth) if self._auth is not None else None
            entry.search = given or self._search(reference.host, reference.repository)
        return entry.search.credentials

    def _answer(
        self, reference: Reference, entry: _Entry, offered: Sequence[Challenge]
    ) -> Authorization | None:
        """Take the first challenge that can be met: a token where there is one to be had, else a password."""
        credentials = self._find(reference, entry)
        entry.challenge, fault = None, None
        for challenge in (one for one in offered if one.scheme == "bearer"):
            if credentials is not None and credentials.registry_token:
                entry.sent = credentials
                return Authorization(f"Bearer {credentials.registry_token}")
            if not challenge.parameters.get("realm"):
                continue
            try:
                realm_of(challenge, self._web.url(reference.host), where=_where(reference))
            except (ProtocolError, InsecureTransportError) as exc:
                fault = fault or exc
            else:
                entry.challenge = challenge
                return self._token(reference, entry, challenge)
        basic_asked = any(challenge.scheme == "basic" for challenge in offered)
        if basic_asked and credentials is not None and credentials.is_pair:
            entry.sent = credentials
            return Authorization(basic(credentials))
        if fault is not None:
            raise fault
        return None

    def _token(self, reference: Reference, entry: _Entry, challenge: Challenge) -> Authorization:
        entry.sent = self._find(reference, entry)
        scopes = scopes_of(reference.repository, challenge)
        fetch = TokenRequest(self._web, reference, challenge, entry.sent, self.access(reference)).fetch
        try:
            token = fetch(scopes)
        except AccessDeniedError:
            if len(scopes) == 1:
                raise
            token = fetch(scopes[:1])  # a scope of another repository was only a placeholder
        margin = min(_LONGEST_MARGIN, token.lifetime / 4)
        return Authorization(f"Bearer {token.value}", self._clock() + token.lifetime - margin)


def basic(credentials: Credentials) -> str:
    """Value of ``Authorization`` for HTTP Basic, in UTF-8 (RFC 7617)."""
    pair = f"{credentials.username}:{credentials.password}"
    return "Basic " + base64.b64encode(pair.encode("utf-8", "surrogatepass")).decode("ascii")


def _where(reference: Reference) -> str:
    return f"{reference.host}/{reference.repository}"


# Tokens ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Token:
    """A token and how long it may be used."""

    value: str = field(repr=False)
    lifetime: float


def scopes_of(repository: str, challenge: Challenge) -> list[str]:
    """What to ask a token service for: to pull from one repository, and nothing that a pull does not need.

    A registry may serve a repository under another name, and then asks for that one: to pull, too.
    """
    asked = [scope.rpartition(":") for scope in challenge.parameters.get("scope", "").split()]
    own = f"repository:{repository}"
    named = {action for name, _, actions in asked if name == own for action in actions.split(",")}
    scopes = [f"{own}:" + ",".join(["pull", *(action for action in _EXTRA_ACTIONS if action in named)])]
    others = {
        f"{name}:pull": None
        for name, _, actions in asked
        if name != own and "pull" in actions.split(",") and _REPOSITORY.fullmatch(name)
    }
    return [*scopes, *others][:_MOST_SCOPES]


def realm_of(challenge: Challenge, registry: httpx.URL, *, where: str) -> httpx.URL:
    """Address of a token service, if it may be told secrets."""
    where = f"token service of {where}"
    realm = parse_url(challenge.parameters["realm"], where=where)
    same_plain_host = registry.scheme == "http" and host_in(realm) == host_in(registry)
    if realm.scheme == "https" or is_loopback(host_in(realm)) or same_plain_host:
        return realm
    remedy = "it was not asked: a token and perhaps a password would travel in the clear"
    raise InsecureTransportError(where, "an https:// address", public_url(realm), remedy)


class TokenRequest(NamedTuple):
    """All that a token service is to know."""

    web: Web
    reference: Reference
    challenge: Challenge
    credentials: Credentials | None
    access: Access

    def fetch(self, scopes: Sequence[str]) -> Token:
        """Ask for leave to pull."""
        where = _where(self.reference)
        realm = realm_of(self.challenge, self.web.url(self.reference.host), where=where)
        with self.web.send(self._ask(realm, scopes)) as answer:
            if answer.status != 200:
                raise self._refused(answer, realm)
            content = answer.read(self.web.limits.token_bytes, what="token")
        return parse_token(content, answer.headers, where=f"token service {public_url(realm)}")

    def _ask(self, realm: httpx.URL, scopes: Sequence[str]) -> Ask:
        service, credentials = self.challenge.parameters.get("service"), self.credentials
        fields = {"service": service} if service else {}
        accept = {"Accept": "application/json"}
        if credentials is not None and credentials.identity_token:
            secret = {"grant_type": "refresh_token", "refresh_token": credentials.identity_token}
            scope = {"scope": " ".join(scopes)}
            return Ask(realm, accept, form=fields | scope | secret | {"client_id": _CLIENT})
        authorization = basic(credentials) if credentials is not None and credentials.is_pair else None
        return Ask(realm.copy_merge_params(fields | {"scope": list(scopes)}), accept, authorization)

    def _refused(self, answer: Answer, realm: httpx.URL) -> SpinCacheError | RetryableError:
        where, what = _where(self.reference), f"a token from {public_url(realm)}"
        purpose = Purpose(where, what, "the registry names a token service that is none")
        error = answer.refusal(purpose, self.access)
        if isinstance(error, StatusError) and error.status == 400:  # OAuth2: invalid_grant, invalid_client
            found = f"{error.found} {self.access.how}"
            return AccessDeniedError(error.where, error.expected, found, self.access.remedy, error.status)
        return error


def parse_token(content: bytes, headers: Mapping[str, str], *, where: str) -> Token:
    """Read the answer of a token service."""
    try:
        document = parse_object(content, where=where, error=FormatError, what="a token in JSON")
    except FormatError:
        document = {}  # and no cause: it would quote the token
    value = document.get("token") or document.get("access_token")
    if not isinstance(value, str) or _VISIBLE.fullmatch(value) is None:
        remedy = "the token service is set up wrongly"
        raise ProtocolError(where, "JSON with a token", "something else", remedy)
    return Token(value, _lifetime(document, value, headers))


def _lifetime(document: JsonObject, value: str, headers: Mapping[str, str]) -> float:
    """Seconds left, by the service's own clock as far as it tells it.

    A token that had expired when it was given, by what the service says, was given now; and none is used for
    less than a minute: one that is refused earlier is replaced then.
    """
    server = parse_http_date(headers.get("Date", ""))
    now = time.time() if server is None else server
    ends = []
    expires_in = _number(document.get("expires_in"))
    if expires_in is not None:
        issued = _parse_time(document.get("issued_at"))
        age = max(0.0, now - issued) if issued is not None else 0.0
        ends.append(expires_in - age if age < expires_in else expires_in)
    if (expiry := _jwt_expiry(value)) is not None:
        ends.append(expiry - now)
    return max(SHORTEST_LIFETIME, min(ends, default=SHORTEST_LIFETIME))


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

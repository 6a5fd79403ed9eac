"""Which ``Authorization`` a registry gets: none at first, then what it asks for.

Challenges by RFC 9110, 11.6.1. Tokens by the Distribution project's "Token Authentication Specification"
(GET) and "Oauth2 Token Authentication" (POST); Spin does the first (rust-oci-client, _auth), the second is
what an identity token is for. Loaded with the first challenge: most registries ask for nothing.
"""

from __future__ import annotations

import base64
import math
import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import httpx
import msgspec

from spincache_nb.core import credentials as stores
from spincache_nb.core.addresses import host_in, is_loopback, parse_url, public_url
from spincache_nb.core.credentials import Credentials, CredentialSearch
from spincache_nb.core.documents import parse_object
from spincache_nb.core.reference import Reference
from spincache_nb.core.refusals import Access, Purpose, RetryableError
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

_LONGEST_LIFETIME = 1e9
_LONGEST_MARGIN = 30.0
_CLIENT = "spincache-nb"
_VISIBLE = re.compile(r"[\x21-\x7e]+")
_EXTRA_ACTIONS = ("metadata_read",)  # what some registries want for a list of tags
_MOST_SCOPES = 4
_REPOSITORY = re.compile(r"repository:[a-z0-9]+(?:(?:[._]|__|-+|/)[a-z0-9]+)*")


def search_nowhere(_host: str, _repository: str) -> CredentialSearch:
    """Find none, whatever the stores have."""
    return CredentialSearch(None)


_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 - RFC 9110, 5.6.2
_SEPARATORS = re.compile(r"[ \t]*(?:,[ \t]*)*")
_SCHEME = re.compile(rf"({_TOKEN})(?=[ \t]*(?:,|$)|[ \t]+)")
_PARAMETER = re.compile(rf"({_TOKEN})[ \t]*=[ \t]*(?:\"((?:[^\"\\]|\\.)*)\"|({_TOKEN}))(?=[ \t,]|$)")
_TOKEN68 = re.compile(r"[ \t]+[A-Za-z0-9._~+/-]+=*(?=[ \t]*(?:,|$))")
_QUOTED_PAIR = re.compile(r"\\(.)")


class Challenge(msgspec.Struct, frozen=True):
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


class Authorization(NamedTuple):
    """What is sent, and until when: seconds of the monotonic clock."""

    header: str
    fresh_until: float = math.inf

    def __repr__(self) -> str:
        return "Authorization(...)"


class _Entry(msgspec.Struct):
    """What is known about one repository; `lock` is held while a token is fetched for it."""

    lock: threading.Lock = msgspec.field(default_factory=threading.Lock)
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
        auth: Credentials | None = None,
        *,
        search: Callable[[str, str], CredentialSearch] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._web = web
        self._auth = auth
        self._search = search or stores.search_credentials
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
            current = self._answer(reference, entry, parse_challenges(headers))
            if current is None or (entry.challenge is None and current.header == used):
                return None
            return current.header

    def log_in(self, reference: Reference) -> str | None:
        """Ask at ``/v2/`` how to log in, once, for a registry that hides what it has from strangers."""
        entry = self._entry(reference)
        with entry.lock:
            if entry.authorization is None and not entry.asked_for_login and self._find(reference, entry):
                entry.asked_for_login = True
                answer = self._web.send(Ask(self._web.url(reference.host, "/v2/"), {}))
                answer.read_error_page()
                if answer.status == 401 and answer.at_home:
                    offered = parse_challenges(answer.headers.get_list("WWW-Authenticate"))
                    self._answer(reference, entry, tuple(one.without_scope() for one in offered))
            return entry.authorization.header if entry.authorization is not None else None

    def access(self, reference: Reference) -> Access:
        """With what the registry was asked, in the words of an error."""
        entry = self._entry(reference)
        if entry.sent is not None:
            notes = f" ({entry.search.notes[0]})" if entry.search is not None and entry.search.notes else ""
            found_in = f"with the credentials of {entry.sent.source}{notes}"
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
        key = reference.host, reference.repository
        with self._lock:
            if key not in self._entries:
                self._entries[key] = _Entry()
            return self._entries[key]

    def _is_fresh(self, authorization: Authorization) -> bool:
        return self._clock() < authorization.fresh_until

    def _find(self, reference: Reference, entry: _Entry) -> Credentials | None:
        if entry.search is None:
            given = CredentialSearch(self._auth) if self._auth is not None else None
            entry.search = given or self._search(reference.host, reference.repository)
        return entry.search.credentials

    def _answer(
        self, reference: Reference, entry: _Entry, offered: tuple[Challenge, ...]
    ) -> Authorization | None:
        """Meet the first challenge that can be met: by a token where there is one, else by a password."""
        credentials = self._find(reference, entry)
        entry.offered, entry.challenge = offered, None  # the old token stays until there is a new one
        schemes = {one.scheme for one in offered}
        if credentials is not None and credentials.registry_token and "bearer" in schemes:
            entry.sent = credentials
            entry.authorization = Authorization(f"Bearer {credentials.registry_token}")
            return entry.authorization
        fault = None
        for challenge in (one for one in offered if one.scheme == "bearer" and one.parameters.get("realm")):
            try:
                realm_of(challenge, self._web.url(reference.host), where=_where(reference))
            except (ProtocolError, InsecureTransportError) as exc:
                fault = fault or exc
            else:
                entry.challenge = challenge
                entry.authorization = self._token(reference, entry, challenge)
                return entry.authorization
        if "basic" in schemes and credentials is not None and credentials.is_pair:
            entry.sent = credentials
            entry.authorization = Authorization(basic(credentials))
            return entry.authorization
        entry.authorization = None
        if fault is not None:
            raise fault
        return None

    def _token(self, reference: Reference, entry: _Entry, challenge: Challenge) -> Authorization:
        entry.sent = self._find(reference, entry)
        scopes = scopes_of(reference.repository, challenge)
        try:
            token = self._fetch_token(reference, challenge, entry.sent, scopes)
        except AccessDeniedError:
            if len(scopes) == 1:
                raise
            # the scope of another repository was only a sample
            token = self._fetch_token(reference, challenge, entry.sent, scopes[:1])
        margin = min(_LONGEST_MARGIN, token.lifetime / 4)
        return Authorization(f"Bearer {token.value}", self._clock() + token.lifetime - margin)

    def _fetch_token(
        self,
        reference: Reference,
        challenge: Challenge,
        credentials: Credentials | None,
        scopes: Sequence[str],
    ) -> Token:
        realm = realm_of(challenge, self._web.url(reference.host), where=_where(reference))
        ask = _token_request(realm, challenge.parameters.get("service"), scopes, credentials)
        with self._web.send(ask) as answer:
            if answer.status != 200:
                raise self._refused(answer, reference, realm)
            content = answer.read(self._web.limits.token_bytes, what="token")
        return parse_token(content, where=f"token service {public_url(realm)}")

    def _refused(
        self, answer: Answer, reference: Reference, realm: httpx.URL
    ) -> SpinCacheError | RetryableError:
        what, access = f"a token from {public_url(realm)}", self.access(reference)
        purpose = Purpose(_where(reference), what, "the registry names a token service that is none")
        error = answer.refusal(purpose, access)
        if isinstance(error, StatusError) and error.status == 400:  # OAuth2: invalid_grant, invalid_client
            found = f"{error.found} {access.how}"
            return AccessDeniedError(error.where, error.expected, found, access.remedy, error.status)
        return error


def basic(credentials: Credentials) -> str:
    """Value of ``Authorization`` for HTTP Basic, in UTF-8 (RFC 7617)."""
    pair = f"{credentials.username}:{credentials.password}"
    return "Basic " + base64.b64encode(pair.encode("utf-8", "surrogatepass")).decode("ascii")


def _where(reference: Reference) -> str:
    return f"{reference.host}/{reference.repository}"


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


def _token_request(
    realm: httpx.URL, service: str | None, scopes: Sequence[str], credentials: Credentials | None
) -> Ask:
    fields = {"service": service} if service else {}
    accept = {"Accept": "application/json"}
    if credentials is not None and credentials.identity_token:
        secret = {"grant_type": "refresh_token", "refresh_token": credentials.identity_token}
        scope = {"scope": " ".join(scopes)}
        return Ask(realm, accept, form=fields | scope | secret | {"client_id": _CLIENT})
    authorization = basic(credentials) if credentials is not None else None
    return Ask(realm.copy_merge_params(fields | {"scope": list(scopes)}), accept, authorization)


class Token(NamedTuple):
    """A token and the seconds it may be used."""

    value: str
    lifetime: float

    def __repr__(self) -> str:
        return f"Token(..., {self.lifetime:g} s)"


def parse_token(content: bytes, *, where: str) -> Token:
    """Read the answer of a token service.

    When it was issued, and what a JWT says of itself, is not looked at: clocks differ, and services give
    times such as year 1. A token that is refused before its time is replaced.
    """
    try:
        document = parse_object(content, where=where, error=FormatError, what="a token in JSON")
    except FormatError:
        document = {}  # and no cause: it would quote the token
    value = document.get("token") or document.get("access_token")
    if not isinstance(value, str) or _VISIBLE.fullmatch(value) is None:
        remedy = "the token service is set up wrongly"
        raise ProtocolError(where, "JSON with a token", "something else", remedy)
    lifetime = document.get("expires_in")
    if (
        isinstance(lifetime, bool)
        or not isinstance(lifetime, int | float)
        or not lifetime < _LONGEST_LIFETIME
    ):
        return Token(value, SHORTEST_LIFETIME)
    return Token(value, max(SHORTEST_LIFETIME, lifetime))

"""Which ``Authorization`` to send to a registry: none at first, then what it asks for.

Most registries ask for nothing that a pull has, or for nothing at all on this machine: what reads challenges,
stores and tokens is loaded with the first challenge.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from spincache_nb.core.reference import Reference
from spincache_nb.core.registry.refusals import Access
from spincache_nb.core.transport.web import Web

if TYPE_CHECKING:
    from spincache_nb.core.credentials import Credentials, CredentialSearch
    from spincache_nb.core.registry.challenges import Challenge

_LONGEST_MARGIN = 30.0
_Search = Callable[[str, str], "CredentialSearch"]


def search_stores(host: str, repository: str) -> CredentialSearch:
    """Look for credentials where Spin and its kind keep them."""
    from spincache_nb.core import credentials

    return credentials.search_credentials(host, repository)


def search_nowhere(_host: str, _repository: str) -> CredentialSearch:
    """Find none, whatever the stores have."""
    from spincache_nb.core.credentials import CredentialSearch

    return CredentialSearch(None)


@dataclass(frozen=True, slots=True)
class _Authorization:
    """What is sent, and until when: seconds of the monotonic clock."""

    header: str = field(repr=False)
    fresh_until: float


@dataclass(slots=True)
class _Entry:
    """What is known about one repository; `lock` is held while a token is fetched for it."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    search: CredentialSearch | None = None
    challenge: Challenge | None = None
    authorization: _Authorization | None = None
    sent: Credentials | None = None


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
                entry.authorization = self._fetch(reference, entry, entry.challenge)
            return entry.authorization.header

    def meet(self, reference: Reference, challenges: Sequence[str], used: str | None) -> str | None:
        """Answer a 401."""
        from spincache_nb.core.registry.challenges import parse_challenges

        entry = self._entry(reference)
        with entry.lock:
            current = entry.authorization
            if current is not None and current.header != used and self._is_fresh(current):
                return current.header  # another thread was faster
            offered = parse_challenges(challenges)
            for challenge in offered:
                if challenge.scheme == "bearer" and challenge.parameters.get("realm"):
                    entry.challenge = challenge
                    entry.authorization = self._fetch(reference, entry, challenge)
                    return entry.authorization.header
            entry.authorization = self._basic(reference, entry, offered)
            header = entry.authorization.header if entry.authorization is not None else None
            return header if header != used else None

    def access(self, reference: Reference) -> Access:
        """With what the registry was asked, in the words of an error."""
        entry = self._entry(reference)
        host = reference.host
        if entry.sent is not None:
            found_in = f"with the credentials of {entry.sent.source}"
            return Access(found_in, "check the user's rights and password, or log in again")
        notes = entry.search.notes if entry.search is not None else ()
        how = "without credentials" + (f" ({notes[0]})" if notes else "")
        if entry.search is not None and entry.search.credentials is not None:
            source = entry.search.credentials.source
            how = f"without credentials (an identity token, as in {source}, is no use for HTTP Basic)"
        return Access(how, f"log in (spin registry login {host}) or pass auth=(user, password)")

    def _entry(self, reference: Reference) -> _Entry:
        with self._lock:
            return self._entries.setdefault((reference.host, reference.repository), _Entry())

    def _is_fresh(self, authorization: _Authorization) -> bool:
        return self._clock() < authorization.fresh_until

    def _find(self, reference: Reference, entry: _Entry) -> Credentials | None:
        if entry.search is None:
            from spincache_nb.core.credentials import CredentialSearch

            entry.search = (
                CredentialSearch(self._auth)
                if self._auth is not None
                else self._search(reference.host, reference.repository)
            )
        return entry.search.credentials

    def _fetch(self, reference: Reference, entry: _Entry, challenge: Challenge) -> _Authorization:
        from spincache_nb.core.registry.tokens import fetch_token

        entry.sent = self._find(reference, entry)
        token = fetch_token(
            self._web,
            challenge,
            repository=reference.repository,
            registry=self._web.url(reference.host),
            credentials=entry.sent,
            access=self.access(reference),
        )
        margin = min(_LONGEST_MARGIN, token.lifetime / 4)
        return _Authorization(f"Bearer {token.value}", self._clock() + token.lifetime - margin)

    def _basic(
        self, reference: Reference, entry: _Entry, offered: Sequence[Challenge]
    ) -> _Authorization | None:
        from spincache_nb.core.registry.tokens import basic

        credentials = self._find(reference, entry)
        asked = any(challenge.scheme == "basic" for challenge in offered)
        if credentials is None or credentials.identity_token or not asked:
            return None
        entry.sent = credentials
        return _Authorization(basic(credentials), math.inf)

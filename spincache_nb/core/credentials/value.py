"""Credentials as a value that hides itself."""

from __future__ import annotations

from dataclasses import dataclass, field

from spincache_nb.errors import CredentialsError

_TOKEN_USER = "<token>"  # noqa: S105 - Docker's mark for an identity token, not a secret
_CALLER = "the caller"
_FORMS = 'give a (user, password) tuple or Credentials(identity_token="...")'


@dataclass(frozen=True, slots=True, repr=False)
class Credentials:
    """User name and password, or an identity token; neither is ever shown."""

    username: str = ""
    password: str = ""
    identity_token: str = ""
    source: str = field(default=_CALLER, compare=False)

    def __post_init__(self) -> None:
        parts = (self.username, self.password, self.identity_token)
        if not all(isinstance(part, str) for part in parts):
            raise self._refusal("text", "something else")
        if self.identity_token and (self.username or self.password):
            raise self._refusal("a password or an identity token", "both")
        if not any(parts):
            raise self._refusal("a user name and password", "empty text")
        if ":" in self.username:
            raise self._refusal("a user name without a colon", "one with a colon")

    def _refusal(self, expected: str, found: str) -> CredentialsError:
        remedy = _FORMS if self.source == _CALLER else "log in again"
        return CredentialsError(f"credentials from {self.source}", expected, found, remedy)

    def __repr__(self) -> str:
        return f"Credentials(..., source={self.source!r})"

    @classmethod
    def from_pair(cls, username: str, secret: str, *, source: str = _CALLER) -> Credentials:
        """Make credentials of a pair, in which the user ``<token>`` marks an identity token."""
        if username == _TOKEN_USER:
            return cls(identity_token=secret, source=source)
        return cls(username, secret, source=source)


def as_credentials(auth: object) -> Credentials | None:
    """Understand what a caller gave as ``auth=``."""
    if auth is None or isinstance(auth, Credentials):
        return auth
    if isinstance(auth, (tuple, list)) and len(auth) == 2 and all(isinstance(part, str) for part in auth):
        return Credentials.from_pair(*auth)
    found = f"a {type(auth).__name__}"
    if isinstance(auth, (tuple, list)):
        found += f" of {len(auth)} parts" if len(auth) != 2 else " that is not of text alone"
    raise CredentialsError("auth", "credentials", found, _FORMS)

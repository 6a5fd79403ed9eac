"""Credentials for a registry: what the stores of Spin, Docker and Podman hold, and which entry counts.

Spin looks into its own file and Docker's and goes on without credentials if anything is wrong there
(crates/oci, client.rs, auth); so does this. What was wrong is kept as notes, so that a refusal by the
registry can say why no credentials were sent. The order:

1. Spin's ``registry-auth.json``, by the exact host;
2. ``DOCKER_AUTH_CONFIG``, a Docker configuration as text, as CI systems set it;
3. Docker's ``config.json``: ``credHelpers``, then ``credsStore``, then ``auths``, as docker, crane and oras
   do (Spin takes ``auths`` first; where the two differ, a note says so);
4. Podman's files.

Within a store the longest key counts that names the host and a beginning of the repository, then the host
itself, then other spellings of it. No secret leaves: `Credentials` hide themselves, and notes and log lines
name files and helpers only.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import json
import logging
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from spincache_nb.core import paths
from spincache_nb.core.documents import JsonObject, parse_object
from spincache_nb.core.settings import HELPER_SECONDS, MAX_STORE_BYTES
from spincache_nb.errors import CredentialsError, FormatError

_TOKEN_USER = "<token>"  # noqa: S105 - Docker's mark for an identity token, not a secret
_CALLER = "the caller"
_FORMS = 'give a (user, password) tuple or Credentials(identity_token="...")'
_PASSED_OVER = "it was passed over; log in again"
_HUB = "index.docker.io"
_HUB_NAMES = (_HUB, "docker.io", "registry-1.docker.io")
_HUB_ADDRESS = "https://index.docker.io/v1/"
_API_PATH = re.compile(r"(?:v[012](?:/.*)?)?")
_NOT_A_LOGIN = re.compile(r"/v1/(?:access|refresh)-token/?$")  # what Docker Desktop keeps beside the login
_MAX_ANSWER_BYTES = 1 << 20
_HELPER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_HELPER_HAS_NONE = b"credentials not found"  # docker-credential-helpers: what all of them answer
_HELPER_REMEDY = "no credentials of it were sent; run it yourself to see why, or log in again"
READABLE = "a credential store that can be read"
_log = logging.getLogger(__name__)
_Environ = Mapping[str, str]


class Credentials(msgspec.Struct, frozen=True):
    """User and password, an identity token (for the token service), or one for the registry as it is."""

    username: str = ""
    password: str = ""
    identity_token: str = ""
    source: str = _CALLER
    registry_token: str = ""

    def __post_init__(self) -> None:
        parts = self._secrets()
        if not all(isinstance(part, str) for part in parts):
            raise self._refusal("text", "something else")
        kinds = (self.username or self.password, self.identity_token, self.registry_token)
        if sum(map(bool, kinds)) > 1:
            raise self._refusal("a password or a token", "both")
        if not any(parts):
            raise self._refusal("a user name and password", "empty text")
        if ":" in self.username:
            raise self._refusal("a user name without a colon", "one with a colon")

    def _refusal(self, expected: str, found: str) -> CredentialsError:
        remedy = _FORMS if self.source == _CALLER else "log in again"
        return CredentialsError(f"credentials from {self.source}", expected, found, remedy)

    def __repr__(self) -> str:
        return f"Credentials(..., source={self.source!r})"

    def _secrets(self) -> tuple[str, ...]:
        return self.username, self.password, self.identity_token, self.registry_token

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Credentials) and self._secrets() == other._secrets()

    def __hash__(self) -> int:
        return hash(self._secrets())

    @property
    def is_pair(self) -> bool:
        """Whether they are a user name and password."""
        return not self.identity_token and not self.registry_token

    @classmethod
    def from_pair(cls, username: str, secret: str, *, source: str = _CALLER) -> Credentials:
        """Make credentials of a pair, in which the user ``<token>`` marks an identity token."""
        if username == _TOKEN_USER:
            return cls(identity_token=secret, source=source)
        return cls(username, secret, source=source)


Auth = Credentials | tuple[str, str] | None
"""What a caller may give as ``auth=``."""


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


class CredentialSearch(NamedTuple):
    """What the stores have for one registry, and what was wrong on the way."""

    credentials: Credentials | None
    notes: tuple[str, ...] = ()


def search_credentials(
    host: str,
    repository: str | None = None,
    *,
    system: str | None = None,
    environ: _Environ | None = None,
    helper_seconds: float = HELPER_SECONDS,
) -> CredentialSearch:
    """Look into the stores in order, up to the first that has credentials; a damaged one is passed over."""
    wanted = Wanted(normalise_host(host), repository or "")
    notes: list[str] = []
    for store in all_stores(system=system, environ=environ):
        try:
            document = store.read()
            chosen = choose(wanted, document, store.owner, store.name) if document is not None else Choice()
            found = _settle(chosen, wanted, store.name, environ, helper_seconds, notes)
        except CredentialsError as exc:
            notes.append(str(exc))
            _log.warning("%s", exc)
        else:
            if found is not None:
                return CredentialSearch(found, tuple(notes))
    return CredentialSearch(None, tuple(notes))


class Store(NamedTuple):
    """One place with credentials: a file, or text in the environment."""

    owner: str
    path: Path | None = None
    text: str = ""

    @property
    def name(self) -> str:
        """How it is called in errors."""
        return "DOCKER_AUTH_CONFIG" if self.path is None else str(self.path)

    def read(self) -> JsonObject | None:
        """Content of the store; None where there is no such file."""
        data = self.text.encode("utf-8", "surrogateescape") if self.path is None else self._read_file()
        if data is None:
            return None
        if len(data) > MAX_STORE_BYTES:
            raise self._fault(READABLE, f"more than {MAX_STORE_BYTES} bytes")
        try:
            return parse_object(data, where=self.name, error=FormatError, what="a credential store")
        except FormatError as exc:
            expected, found = exc.expected, exc.found
        raise self._fault(
            expected, found
        )  # out here, since that error's cause holds the text, secrets and all

    def _read_file(self) -> bytes | None:
        assert self.path is not None
        try:
            with self.path.open("rb") as file:
                return file.read(MAX_STORE_BYTES + 1)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError) as exc:
            reason = getattr(exc, "strerror", None) or "not a file name"
            raise self._fault(READABLE, reason) from None

    def _fault(self, expected: str, found: str) -> CredentialsError:
        return CredentialsError(self.name, expected, found, "it was passed over")


def all_stores(*, system: str | None = None, environ: _Environ | None = None) -> Iterator[Store]:
    """Where credentials may be, in the order in which they are asked."""
    spin = paths.spin_auth_file(system=system, environ=environ)
    if spin is not None:
        yield Store("Spin", spin)
    if text := (os.environ if environ is None else environ).get("DOCKER_AUTH_CONFIG"):
        yield Store("Docker", None, text)
    docker = paths.docker_config_file(system=system, environ=environ)
    if docker is not None:
        yield Store("Docker", docker)
    for podman in paths.podman_auth_files(system=system, environ=environ):
        yield Store("Podman", podman)


class Wanted(NamedTuple):
    """The host, Docker Hub by one name, and the repository that credentials are looked for."""

    host: str
    repository: str

    def fits(self, key: str) -> int:
        """How well a key of a store names this: 0 not at all, else the more the better."""
        if key == self.host:
            return 4
        address, scheme = re.subn(r"^https?://", "", key)
        host, _, path = address.partition("/")
        if normalise_host(host) != self.host or _NOT_A_LOGIN.search(key):
            return 0
        if key == _HUB_ADDRESS:
            return 3
        path = path.strip("/")
        if scheme or _API_PATH.fullmatch(path):
            return 2
        return 4 + len(path) if f"{self.repository}/".startswith(f"{path}/") else 0

    def best(self, table: JsonObject) -> list[Any]:
        """Values of a table whose keys fit, the best first."""
        fitting = [(self.fits(key), value) for key, value in table.items()]
        return [value for fit, value in sorted(fitting, key=lambda one: -one[0]) if fit]

    @property
    def servers(self) -> tuple[str, ...]:
        """What to ask a helper: the host, as Spin does; for Docker Hub the key of ``docker login`` too."""
        return (self.host, _HUB_ADDRESS, "docker.io") if self.host == _HUB else (self.host,)


def normalise_host(key: str) -> str:
    """Host of an address, with one name for Docker Hub."""
    host = re.sub(r"^https?://", "", key).partition("/")[0] if "://" in key else key
    return _HUB if host in _HUB_NAMES else host


class Choice(NamedTuple):
    """What a store says: whom to ask first, and what it holds itself."""

    helper: str | None = None
    own: Credentials | None = None
    fault: CredentialsError | None = None
    unlike_spin: bool = False


def choose(wanted: Wanted, document: JsonObject, owner: str, source: str) -> Choice:
    """Read a store; pure."""
    auths = _table(document, "auths", source)
    if owner == "Spin":  # text by the very host (Spin, crates/oci/src/auth.rs)
        entry = auths.get(wanted.host)
        if entry is not None and not isinstance(entry, str):
            raise CredentialsError(f"{source}, {wanted.host}", "base64 text", "something else", _PASSED_OVER)
        return Choice(own=_decode(entry, source, wanted.host, padded=True)) if entry is not None else Choice()
    helpers = _table(document, "credHelpers", source)
    named = [*wanted.best(helpers), field_of(document, "credsStore")]
    helper = next((name for name in named if isinstance(name, str) and name), None)
    own, fault = _from_entries(wanted.best(auths), source, wanted.host)
    return Choice(helper, own, fault, unlike_spin=owner == "Docker" and not helpers.get(wanted.host))


def _settle(
    chosen: Choice,
    wanted: Wanted,
    store: str,
    environ: _Environ | None,
    seconds: float,
    notes: list[str],
) -> Credentials | None:
    """Ask the helper, and fall back on what the store holds itself."""
    if chosen.helper is not None:
        try:
            found = ask_helper(chosen.helper, wanted.servers, store=store, environ=environ, seconds=seconds)
        except CredentialsError as exc:
            if chosen.own is None:
                raise
            notes.append(str(exc))
            _log.warning("%s", exc)
        else:
            if found is not None and chosen.unlike_spin and chosen.own not in (None, found):
                notes.append(f"{store}: auths holds another login, which Spin would take")
            if found is not None:
                return found
    if chosen.own is None and chosen.fault is not None:
        raise chosen.fault
    return chosen.own


def field_of(document: JsonObject, name: str) -> Any:
    """Value of a key; Go reads any case, and so does every tool that writes these files."""
    if name in document:
        return document[name]
    return next((value for key, value in document.items() if key.lower() == name.lower()), None)


def _table(document: JsonObject, key: str, source: str) -> JsonObject:
    value = field_of(document, key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise CredentialsError(f"{source}, {key}", "an object", "something else", _PASSED_OVER)
    return value


def _from_entries(
    entries: Iterable[Any], source: str, host: str
) -> tuple[Credentials | None, CredentialsError | None]:
    """Credentials of the first entry that has some, and the first fault on the way."""
    fault: CredentialsError | None = None
    for entry in entries:
        try:
            found = _from_entry(entry, source, host)
        except CredentialsError as exc:
            fault = fault or exc
        else:
            if found is not None:
                return found, fault
    return None, fault


def _from_entry(entry: Any, source: str, host: str) -> Credentials | None:
    if entry is None:
        return None
    if not isinstance(entry, dict):
        raise CredentialsError(f"{source}, {host}", "an object", "something else", _PASSED_OVER)
    names = ("identitytoken", "registrytoken", "auth", "username", "password")
    values = (field_of(entry, name) for name in names)
    token, bearer, auth, user, password = (value if isinstance(value, str) else "" for value in values)
    if token:
        return Credentials(identity_token=token, source=source)
    if bearer:
        return Credentials(registry_token=bearer, source=source)
    if auth:
        return _decode(auth, source, host, padded=False)
    if user and isinstance(field_of(entry, "password"), str):  # as Docker reads, and Kubernetes writes
        return Credentials.from_pair(user, password, source=source)
    return None


def _decode(text: str, source: str, host: str, *, padded: bool) -> Credentials:
    text = text.replace("\r", "").replace("\n", "")  # as base64(1) wraps it
    if not padded:
        text = text.rstrip("=")
        text += "=" * (-len(text) % 4)
    try:
        pair = base64.b64decode(text, validate=True).decode("utf-8")
    except (ValueError, binascii.Error):  # which hold the secret: they end here
        pair = ""
    username, colon, password = pair.partition(":")
    if not colon:
        raise CredentialsError(f"{source}, {host}", "base64 of user:password", "other text", _PASSED_OVER)
    return Credentials.from_pair(username, password.strip("\0"), source=source)


def ask_helper(
    helper: str, servers: tuple[str, ...], *, store: str, environ: _Environ | None, seconds: float
) -> Credentials | None:
    """Run ``docker-credential-<helper> get`` with a host on its standard input, one after the other."""
    if _HELPER_NAME.fullmatch(helper) is None:
        raise CredentialsError(store, "the name of a credential helper", repr(helper), "correct the file")
    program = f"docker-credential-{helper}"
    where = f"{program} (named in {store})"
    variables = os.environ if environ is None else environ
    path = shutil.which(program, path=variables.get("PATH", ""))
    if path is None or not Path(path).is_absolute():  # never in the folder one happens to be in
        raise CredentialsError(where, "a program on PATH", "none", "install it, or log in again")
    for server in servers:
        answer = _run(path, server, where, environ, seconds)
        if answer is not None:
            return _parse_answer(answer, where)
    return None


def _run(path: str, server: str, where: str, environ: _Environ | None, seconds: float) -> bytes | None:
    """Ask once; None if the helper says that it has no such credentials."""
    import subprocess

    try:
        done = subprocess.run(  # noqa: S603 - a validated name, found on PATH, without a shell
            [path, "get"],
            input=server.encode("utf-8", "replace"),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=dict(environ) if environ is not None else None,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise CredentialsError(where, f"an answer within {seconds:g} s", "none", _HELPER_REMEDY) from None
    except (OSError, ValueError) as exc:
        reason = getattr(exc, "strerror", None) or "an environment that no program can have"
        raise CredentialsError(where, "a program that runs", reason, _HELPER_REMEDY) from None
    if done.returncode == 0:
        return done.stdout
    if _HELPER_HAS_NONE in done.stdout.lower():
        return None
    raise CredentialsError(where, "exit status 0", f"exit status {done.returncode}", _HELPER_REMEDY)


def _parse_answer(answer: bytes, where: str) -> Credentials:
    document = None
    with contextlib.suppress(ValueError, RecursionError):  # which hold the secret: they end here
        document = json.loads(answer) if len(answer) <= _MAX_ANSWER_BYTES else None
    fields = document if isinstance(document, dict) else {}
    username, secret = fields.get("Username"), fields.get("Secret")
    if not isinstance(username, str) or not isinstance(secret, str):
        raise CredentialsError(where, "JSON with Username and Secret", "other text", _HELPER_REMEDY)
    return Credentials.from_pair(username, secret, source=where)

"""What the files of Spin, Docker and Podman say of a registry; pure, files are read elsewhere."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from spincache_nb.core.credentials.value import Credentials
from spincache_nb.core.documents import JsonObject
from spincache_nb.errors import CredentialsError

DOCKER_HUB_HOST = "index.docker.io"
_DOCKER_HUB_NAMES = ("index.docker.io", "docker.io", "registry-1.docker.io")
_DOCKER_HUB_ADDRESS = "https://index.docker.io/v1/"
_PASSED_OVER = "it was passed over; log in again"


@dataclass(frozen=True, slots=True)
class HelperQuestion:
    """A helper that knows, and the names under which to ask it, in order."""

    helper: str
    servers: tuple[str, ...]


def normalise_host(key: str) -> str:
    """Host of a key in a store, with one name for Docker Hub."""
    for scheme in ("https://", "http://"):
        if key.startswith(scheme):
            key = key.removeprefix(scheme).partition("/")[0]
            break
    return DOCKER_HUB_HOST if key in _DOCKER_HUB_NAMES else key


def choose_from_spin(host: str, document: JsonObject, source: str) -> Credentials | None:
    """Read Spin's ``registry-auth.json``: text by host (Spin, crates/oci/src/auth.rs)."""
    entry = _table(document, "auths", source).get(host)
    if entry is None:
        return None
    if not isinstance(entry, str):
        raise CredentialsError(f"{source}, {host}", "base64 text", "something else", _PASSED_OVER)
    return _decode(entry, source, host, padded=True)


def choose_from_docker(host: str, document: JsonObject, source: str) -> Credentials | HelperQuestion | None:
    """Read Docker's ``config.json`` in the order that Spin does (docker_credential 1.4)."""
    helpers, auths = _table(document, "credHelpers", source), _table(document, "auths", source)
    own, store = helpers.get(host), document.get("credsStore")
    if not own:
        found = _from_entries(_matching(auths, host), source, host)
        if found is not None:
            return found
        own = store or next((helper for helper in _matching(helpers, host) if helper), None)
    return HelperQuestion(own, _servers(host)) if isinstance(own, str) and own else None


def choose_from_podman(
    host: str, repository: str, document: JsonObject, source: str
) -> Credentials | HelperQuestion | None:
    """Read Podman's ``auth.json``, whose keys may name a part of a registry: the longest counts."""
    helpers, auths = _table(document, "credHelpers", source), _table(document, "auths", source)
    for name in _names(host):
        helper = helpers.get(name)
        if isinstance(helper, str) and helper:
            return HelperQuestion(helper, (name, *(s for s in _servers(host) if s != name)))
    special = (auths[key] for key in _keys(host, repository) if key in auths)
    found = _from_entries(special, source, host)
    return found if found is not None else _from_entries(_matching(auths, host), source, host)


def _names(host: str) -> tuple[str, ...]:
    return ("docker.io", "index.docker.io") if host == DOCKER_HUB_HOST else (host,)


def _servers(host: str) -> tuple[str, ...]:
    """What to ask a helper: the host, as Spin does; for Docker Hub the key of ``docker login`` too."""
    return (host, _DOCKER_HUB_ADDRESS) if host == DOCKER_HUB_HOST else (host,)


def _keys(host: str, repository: str) -> Iterator[str]:
    """Keys under which Podman looks, from the repository up to the registry."""
    parts = [part for part in repository.split("/") if part]
    for length in range(len(parts), -1, -1):
        for name in _names(host):
            yield "/".join((name, *parts[:length]))


def _matching(table: JsonObject, host: str) -> Iterator[Any]:
    """Value of the very key, else values of keys that mean the same host."""
    if host in table:
        yield table[host]
        return
    for key, value in table.items():
        if normalise_host(key) == host:
            yield value


def _from_entries(entries: Iterable[Any], source: str, host: str) -> Credentials | None:
    """Credentials of the first entry that has some; a fault counts only if none has."""
    fault: CredentialsError | None = None
    for entry in entries:
        try:
            found = _from_entry(entry, source, host)
        except CredentialsError as exc:
            fault = fault or exc
        else:
            if found is not None:
                return found
    if fault is not None:
        raise fault
    return None


def _from_entry(entry: Any, source: str, host: str) -> Credentials | None:
    if not isinstance(entry, dict):
        raise CredentialsError(f"{source}, {host}", "an object", "something else", _PASSED_OVER)
    token, auth = entry.get("identitytoken"), entry.get("auth")
    if isinstance(token, str) and token:
        return Credentials(identity_token=token, source=source)
    if isinstance(auth, str) and auth:
        return _decode(auth, source, host, padded=False)
    user, password = entry.get("username"), entry.get("password")  # as Docker reads, and Kubernetes writes
    if isinstance(user, str) and isinstance(password, str) and user:
        return Credentials.from_pair(user, password, source=source)
    return None


def _decode(text: str, source: str, host: str, *, padded: bool) -> Credentials:
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


def _table(document: JsonObject, key: str, source: str) -> JsonObject:
    value = document.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise CredentialsError(f"{source}, {key}", "an object", "something else", _PASSED_OVER)
    return value

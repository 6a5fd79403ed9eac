"""Credentials for a registry: Spin's store, then Docker's, then Podman's.

Spin looks into the first two and goes on without credentials if anything is wrong there (crates/oci,
client.rs, auth); so does this. What was wrong is kept as notes, so that a refusal by the registry
can say why no credentials were sent. Beyond Spin, an identity token is used as a refresh token,
Docker Hub's credentials are found under each of its names, and Podman's files are read.

No secret leaves: `Credentials` hide themselves, and notes and log lines name files and helpers only.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from spincache_nb.core import paths
from spincache_nb.core.credentials.helper import HELPER_SECONDS, ask_helper
from spincache_nb.core.credentials.stores import (
    HelperQuestion,
    choose_from_docker,
    choose_from_podman,
    choose_from_spin,
    normalise_host,
)
from spincache_nb.core.credentials.value import Credentials, as_credentials
from spincache_nb.core.documents import JsonObject, parse_object
from spincache_nb.errors import CredentialsError, FormatError

__all__ = [
    "HELPER_SECONDS",
    "CredentialSearch",
    "Credentials",
    "as_credentials",
    "find_credentials",
    "search_credentials",
]

MAX_STORE_BYTES = 4 << 20
"""A credential store larger than this is not read."""

_log = logging.getLogger(__name__)
_Choose = Callable[[JsonObject, str], Credentials | HelperQuestion | None]


@dataclass(frozen=True, slots=True)
class CredentialSearch:
    """What the stores have for one registry."""

    credentials: Credentials | None
    notes: tuple[str, ...] = ()


def find_credentials(
    host: str,
    repository: str | None = None,
    *,
    system: str | None = None,
    environ: Mapping[str, str] | None = None,
    helper_seconds: float = HELPER_SECONDS,
) -> Credentials | None:
    """Look for credentials; the arguments are those of `search_credentials`."""
    search = search_credentials(
        host, repository, system=system, environ=environ, helper_seconds=helper_seconds
    )
    return search.credentials


def search_credentials(
    host: str,
    repository: str | None = None,
    *,
    system: str | None = None,
    environ: Mapping[str, str] | None = None,
    helper_seconds: float = HELPER_SECONDS,
) -> CredentialSearch:
    """Look for credentials, and say what was wrong on the way."""
    host = normalise_host(host)
    notes: list[str] = []
    for path, choose in _stores(host, repository, system, environ):
        try:
            found = _look_into(path, choose, environ, helper_seconds)
        except CredentialsError as exc:
            notes.append(str(exc))
            _log.warning("%s", exc)
        else:
            if found is not None:
                return CredentialSearch(found, tuple(notes))
    return CredentialSearch(None, tuple(notes))


def _stores(
    host: str, repository: str | None, system: str | None, environ: Mapping[str, str] | None
) -> Iterator[tuple[Path, _Choose]]:
    spin = paths.spin_auth_file(system=system, environ=environ)
    if spin is not None:
        yield spin, partial(choose_from_spin, host)
    docker = paths.docker_config_file(system=system, environ=environ)
    if docker is not None:
        yield docker, partial(choose_from_docker, host)
    for podman in paths.podman_auth_files(system=system, environ=environ):
        yield podman, partial(choose_from_podman, host, repository or "")


def _look_into(
    path: Path, choose: _Choose, environ: Mapping[str, str] | None, seconds: float
) -> Credentials | None:
    document = _read(path)
    choice = choose(document, str(path)) if document is not None else None
    if isinstance(choice, HelperQuestion):
        return ask_helper(choice, store=str(path), environ=environ, seconds=seconds)
    return choice


def _read(path: Path) -> JsonObject | None:
    """Content of a store; None where there is no such file."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_STORE_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as exc:
        reason = getattr(exc, "strerror", None) or "not a file name"
        raise CredentialsError(str(path), "a credential store", reason, "it was passed over") from None
    if len(data) > MAX_STORE_BYTES:
        raise CredentialsError(
            str(path), "a credential store", f"more than {MAX_STORE_BYTES} bytes", "it was passed over"
        )
    try:
        return parse_object(data, where=str(path), error=FormatError, what="a credential store")
    except FormatError as exc:  # its cause holds the text, secrets and all: it ends here
        raise CredentialsError(exc.where, exc.expected, exc.found, "it was passed over") from None

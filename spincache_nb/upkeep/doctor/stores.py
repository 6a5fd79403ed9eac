"""Which credential stores are there, and the record of pulls; never what they hold."""

from __future__ import annotations

import os
import shutil
import stat
import warnings
from collections.abc import Iterator
from pathlib import Path

from spincache_nb.core import paths
from spincache_nb.core.documents import JsonObject, parse_object
from spincache_nb.core.journal import History
from spincache_nb.errors import FormatError
from spincache_nb.upkeep.doctor.finding import Finding

_MAX_BYTES = 4 << 20


def look_at_credentials() -> Iterator[Finding]:
    """Look for the stores of Spin, Docker and Podman, in the order in which they are asked."""
    named = [("Spin", paths.spin_auth_file()), ("Docker", paths.docker_config_file())]
    named += [("Podman", path) for path in paths.podman_auth_files()]
    for owner, path in named:
        if path is not None:
            yield _look_at_store(owner, path)


def _look_at_store(owner: str, path: Path) -> Finding:
    name = f"{owner} {path}"
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            return Finding("credentials", name, "not a file", "attention", "remove what is in its place")
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        return Finding("credentials", name, None)
    except OSError as exc:
        return Finding(
            "credentials", name, f"unreadable: {exc.strerror}", "attention", "check its permissions"
        )
    try:
        document = parse_object(data, where=str(path), error=FormatError, what="a credential store")
    except FormatError:  # its text holds secrets; what is wrong with it is not repeated
        return Finding("credentials", name, "damaged: not a JSON object", "attention", "log in again")
    missing = [helper for helper in _helpers(document) if shutil.which(f"docker-credential-{helper}") is None]
    if missing:
        remedy = f"install docker-credential-{missing[0]}, or log in again"
        return Finding("credentials", name, f"{_contents(document)}; helper not found", "attention", remedy)
    if os.name != "nt" and mode & 0o077 and _has_secrets(document):
        return Finding(
            "credentials", name, f"{_contents(document)}; open to other users", "note", f"chmod 600 {path}"
        )
    return Finding("credentials", name, _contents(document))


def _table(document: JsonObject, key: str) -> JsonObject:
    table = document.get(key)
    return table if isinstance(table, dict) else {}


def _helpers(document: JsonObject) -> list[str]:
    named = [*_table(document, "credHelpers").values(), document.get("credsStore")]
    return sorted({name for name in named if isinstance(name, str) and name})


def _has_secrets(document: JsonObject) -> bool:
    return any(entry for entry in _table(document, "auths").values())


def _contents(document: JsonObject) -> str:
    """How many registries a store knows, and by which helpers."""
    count = len(_table(document, "auths").keys() | _table(document, "credHelpers").keys())
    helpers = _helpers(document)
    text = f"{count} {'registry' if count == 1 else 'registries'}"
    return f"{text}, helpers: {', '.join(helpers)}" if helpers else text


def look_at_history() -> Iterator[Finding]:
    """Look at the record of pulls."""
    history = History()
    if not history.enabled:
        yield Finding("history", "record of pulls", "off", "note", "unset SPINCACHE_HISTORY to switch it on")
        return
    if history.path is None:
        yield Finding("history", "record of pulls", None, "attention", "set HOME or SPINCACHE_STATE_DIR")
        return
    yield Finding("history", "path", str(history.path))
    yield _writable(history.path)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = history.scan()
    if caught:
        yield Finding("history", "pulls", str(caught[0].message), "attention", "check its permissions")
    elif found.damaged:
        text = f"{len(found.records)}, and {found.damaged} illegible lines"
        yield Finding("history", "pulls", text, "note", "illegible lines are passed over")
    else:
        yield Finding("history", "pulls", len(found.records))


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        return False


def _writable(path: Path) -> Finding:
    nearest = next((folder for folder in (path, *path.parents) if _exists(folder)), path)
    if os.access(nearest, os.W_OK):
        return Finding("history", "writable", True)
    remedy = "check its permissions, or set SPINCACHE_STATE_DIR; pulls work without it"
    return Finding("history", "writable", f"no: {nearest}", "attention", remedy)

"""What a pull depends on, looked at one by one: the cache, credentials, the network, packages.

Nothing is changed, nothing is created, no secret is repeated. `examine` uses no network;
`ask_registry` does.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import shutil
import ssl
import stat
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.request import getproxies

from spincache_nb.core import paths
from spincache_nb.core.cache import Cache
from spincache_nb.core.credentials import READABLE, Store, all_stores, field_of
from spincache_nb.core.documents import JsonObject
from spincache_nb.core.journal import History
from spincache_nb.core.layout import AREAS
from spincache_nb.core.reference import Reference
from spincache_nb.errors import CacheError, CredentialsError, SpinCacheError

if TYPE_CHECKING:
    from spincache_nb.core.pull import Auth

__all__ = ["Finding", "State", "ask_registry", "examine"]

State = Literal["ok", "note", "attention"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    topic: str
    name: str
    value: str | int | bool | None
    state: State = "ok"
    remedy: str = ""


def examine(cache: Cache) -> tuple[Finding, ...]:
    """Look at everything a pull depends on, on this machine."""
    return (
        *_look_at_cache(cache),
        *_look_at_credentials(),
        *_look_at_history(),
        *_look_at_network(),
        *_look_at_packages(),
    )


def ask_registry(
    cache: Cache,
    reference: str | Reference,
    *,
    insecure: bool | None = None,
    ca: str | os.PathLike[str] | None = None,
    auth: Auth = None,
) -> Finding:
    """Ask a registry for one manifest, as a pull would."""
    from spincache_nb.core.pull import plan_pull

    wanted = Reference.parse(reference)
    try:
        plan = plan_pull(cache, wanted, insecure=insecure, ca=ca, auth=auth)
    except SpinCacheError as exc:
        return Finding("registry", wanted.host, str(exc), "attention")
    return Finding("registry", wanted.host, f"answers; {wanted} is {plan.manifest_digest}")


# ---------------------------------------------------------------- the cache and its disk

_LEAST_FREE_BYTES = 100 << 20
"""Less room on the disk than this wants attention: single apps are tens of MiB."""

_PERMISSIONS = "check its owner and permissions, or name another directory with Cache(dir)"
_REQUIREMENT = re.compile(r"""(?P<name>[\w.-]+)(?:.*\bextra == ["'](?P<extra>[\w-]+)["'])?""")
_NOT_FOR_USERS = ("dev", "all")


def _look_at_cache(cache: Cache) -> Iterator[Finding]:
    """Look at the cache's place and at the disk, not at what is stored."""
    yield Finding("cache", "path", str(cache.path))
    yield _chosen_by(cache)
    yield from _existence(cache)
    yield _free(cache)


def _chosen_by(cache: Cache) -> Finding:
    try:
        own = paths.cache_root()
    except CacheError:
        own = None
    if cache.path != own:
        return Finding("cache", "chosen by", "the directory that was named; not this user's Spin cache")
    variable = os.environ.get("XDG_CACHE_HOME")
    if sys.platform in ("win32", "darwin") or not variable:
        return Finding("cache", "chosen by", "this system's default, the same as Spin's")
    if Path(variable).is_absolute():
        return Finding("cache", "chosen by", "XDG_CACHE_HOME, as Spin does")
    return Finding(
        "cache",
        "chosen by",
        "this system's default, the same as Spin's: XDG_CACHE_HOME is relative, so both ignore it",
        "note",
        "set XDG_CACHE_HOME to an absolute path, or unset it",
    )


def _existence(cache: Cache) -> Iterator[Finding]:
    if not os.path.lexists(cache.path):
        folder = _nearest(cache.path)
        if not os.access(folder, os.X_OK):
            yield Finding("cache", "exists", f"hidden: {folder} is closed", "attention", _PERMISSIONS)
            return
        yield Finding("cache", "exists", False, "note", "the first pull makes it")
        yield _writable([folder], "no: {} does not let this user make it")
        return
    if not _is_directory(cache.path):
        yield Finding("cache", "exists", False, "attention", "remove the file or link that is in its place")
        return
    yield Finding("cache", "exists", True)
    parts = [cache.path, *(cache.path / name for name in (*AREAS, "manifests"))]
    parts = [part for part in parts if _is_directory(part)]
    closed = [part for part in parts if not os.access(part, os.R_OK | os.X_OK)]
    if closed:
        yield Finding("cache", "readable", f"no: {closed[0]}", "attention", _PERMISSIONS)
    yield _writable(parts, "no: {}")
    files = cache.scan().files
    yield Finding("cache", "files", len(files))
    yield Finding("cache", "disk_bytes", sum(file.stored_bytes for file in files))


def _writable(folders: list[Path], refusal: str) -> Finding:
    """As far as the system tells without being asked to write."""
    for folder in folders:
        if not os.access(folder, os.W_OK | os.X_OK):
            return Finding("cache", "writable", refusal.format(folder), "attention", _PERMISSIONS)
    return Finding("cache", "writable", True)


def _nearest(path: Path) -> Path:
    """The innermost folder above a path that is there."""
    return next((folder for folder in path.parents if _is_directory(folder)), Path(path.anchor))


def _is_directory(path: Path) -> bool:
    """Whether a folder is there; what may not be looked at counts as none."""
    try:
        return path.is_dir()
    except OSError:
        return False


def _free(cache: Cache) -> Finding:
    try:
        free = cache.free_bytes()
    except OSError as exc:
        return Finding("cache", "free_bytes", None, "attention", f"the system says: {exc.strerror}")
    if free < _LEAST_FREE_BYTES:
        return Finding("cache", "free_bytes", free, "attention", "free some space on this disk")
    return Finding("cache", "free_bytes", free)


# ---------------------------------------------------------------- credentials and history


def _look_at_credentials() -> Iterator[Finding]:
    """Look into the stores of Spin, Docker and Podman, in the order in which they are asked."""
    for store in all_stores():
        yield _look_at_store(store)


def _look_at_store(store: Store) -> Finding:
    name = f"{store.owner} {store.name}"
    try:
        mode = store.path.stat().st_mode if store.path is not None else stat.S_IFREG
        if not stat.S_ISREG(mode):
            return Finding("credentials", name, "not a file", "attention", "remove what is in its place")
        document = store.read()
    except (FileNotFoundError, NotADirectoryError):
        return Finding("credentials", name, None)
    except (OSError, CredentialsError) as exc:
        if isinstance(exc, CredentialsError) and exc.expected != READABLE:
            return Finding("credentials", name, "damaged: not a JSON object", "attention", "log in again")
        reason = exc.found if isinstance(exc, CredentialsError) else exc.strerror
        return Finding("credentials", name, f"unreadable: {reason}", "attention", "check its permissions")
    return _judge_store(store, name, mode, document or {})


def _judge_store(store: Store, name: str, mode: int, document: JsonObject) -> Finding:
    contents = _contents(document)
    missing = [helper for helper in _helpers(document) if shutil.which(f"docker-credential-{helper}") is None]
    if missing:
        remedy = f"install docker-credential-{missing[0]}, or log in again"
        return Finding("credentials", name, f"{contents}; helper not found", "attention", remedy)
    if os.name != "nt" and mode & 0o077 and _has_secrets(document):
        return Finding(
            "credentials", name, f"{contents}; open to other users", "note", f"chmod 600 {store.path}"
        )
    if store.owner == "Docker" and field_of(document, "credsStore") and _has_secrets(document):
        remedy = (
            "asked here is the store, as docker does; Spin takes the logins in the file: remove stale ones"
        )
        return Finding("credentials", name, f"{contents}, and logins in the file beside it", "note", remedy)
    return Finding("credentials", name, contents)


def _table(document: JsonObject, key: str) -> JsonObject:
    table = field_of(document, key)
    return table if isinstance(table, dict) else {}


def _helpers(document: JsonObject) -> list[str]:
    named = [*_table(document, "credHelpers").values(), field_of(document, "credsStore")]
    return sorted({name for name in named if isinstance(name, str) and name})


def _has_secrets(document: JsonObject) -> bool:
    return any(entry for entry in _table(document, "auths").values())


def _contents(document: JsonObject) -> str:
    """How many registries a store knows, and by which helpers."""
    count = len(_table(document, "auths").keys() | _table(document, "credHelpers").keys())
    helpers = _helpers(document)
    text = f"{count} {'registry' if count == 1 else 'registries'}"
    return f"{text}, helpers: {', '.join(helpers)}" if helpers else text


def _look_at_history() -> Iterator[Finding]:
    """Look at the record of pulls."""
    history = History()
    if not history.enabled:
        yield Finding("history", "record of pulls", "off", "note", "unset SPINCACHE_HISTORY to switch it on")
        return
    if history.path is None:
        yield Finding("history", "record of pulls", None, "attention", "set HOME or SPINCACHE_STATE_DIR")
        return
    yield Finding("history", "path", str(history.path))
    yield _record_writable(history.path)
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


def _record_writable(path: Path) -> Finding:
    place = path if path.is_file() else _nearest(path)
    if os.access(place, os.W_OK):
        return Finding("history", "writable", True)
    remedy = "check its permissions, or set SPINCACHE_STATE_DIR; pulls work without it"
    return Finding("history", "writable", f"no: {place}", "attention", remedy)


# ---------------------------------------------------------------- the network


def _look_at_network() -> Iterator[Finding]:
    """Look at the proxies and at the certificates that are trusted."""
    settings = getproxies()
    schemes = [scheme for scheme in ("http", "https", "all") if settings.get(scheme)]
    found = [_look_at_proxy(scheme, settings[scheme]) for scheme in schemes]
    yield from found or [Finding("network", "proxy", None)]
    if found and settings.get("no"):
        yield Finding("network", "no proxy for", settings["no"])
    yield from _look_at_certificates()


def _look_at_proxy(scheme: str, text: str) -> Finding:
    from spincache_nb.core.addresses import Proxy

    name = "proxy" if scheme == "all" else f"proxy for {scheme}"
    try:
        proxy = Proxy.parse(text)
    except SpinCacheError as exc:
        return Finding("network", name, str(exc), "attention")
    if proxy.scheme.startswith("socks") and importlib.util.find_spec("socksio") is None:
        remedy = "install spincache-nb[socks], or name an HTTP proxy"
        return Finding("network", name, f"{proxy.name}; needs a package", "attention", remedy)
    return Finding("network", name, proxy.name + (", with a user" if proxy.user else ""))


def _look_at_certificates() -> Iterator[Finding]:
    variables = [name for name in ("SSL_CERT_FILE", "SSL_CERT_DIR") if os.environ.get(name)]
    for name in variables:
        yield _look_at_variable(name, os.environ[name])
    if not variables:
        yield _look_at_system()


def _look_at_variable(name: str, value: str) -> Finding:
    parts = [value] if name == "SSL_CERT_FILE" else value.split(os.pathsep)
    there = Path.is_file if name == "SSL_CERT_FILE" else Path.is_dir
    lost = [part for part in parts if part and not there(Path(part))]
    shown = f"certificates ({name})"
    if lost:
        return Finding("network", shown, f"not there: {lost[0]}", "attention", f"correct {name}")
    return Finding("network", shown, value)


def _look_at_system() -> Finding:
    if sys.platform in ("darwin", "win32"):
        return Finding("network", "certificates", "the system's own store")
    found = ssl.get_default_verify_paths()
    place = found.cafile or found.capath
    if place is not None:
        return Finding("network", "certificates", place)
    remedy = "install ca-certificates, or set SSL_CERT_FILE; without them no registry is asked over HTTPS"
    return Finding("network", "certificates", None, "note", remedy)


# ---------------------------------------------------------------- packages


def _look_at_packages() -> Iterator[Finding]:
    """Look at versions, without importing anything; what is needed, the installation itself says."""
    from spincache_nb import __version__

    yield Finding("packages", "Python", f"{platform.python_version()} on {platform.platform(terse=True)}")
    yield Finding("packages", "spincache-nb", __version__)
    needed = _requirements()
    for name in needed.pop("", []):
        found = _version(name)
        if found is None:
            yield Finding("packages", name, None, "attention", "install spincache-nb again")
        else:
            yield Finding("packages", name, found)
    for extra, names in needed.items():
        missing = [name for name in names if _version(name) is None]
        value = f"not installed: {', '.join(missing)}" if missing else "installed"
        remedy = f"pip install 'spincache-nb[{extra}]', if it is wanted" if missing else ""
        yield Finding("packages", f"extra {extra}", value, remedy=remedy)


def _requirements() -> dict[str, list[str]]:
    """Packages by the extra that asks for them, "" for those that every installation has."""
    needed: dict[str, list[str]] = {}
    try:
        lines = metadata.requires("spincache-nb") or []
    except metadata.PackageNotFoundError:  # a checkout that nobody installed
        return needed
    for line in lines:
        if match := _REQUIREMENT.match(line):
            extra = match["extra"] or ""
            if extra not in _NOT_FOR_USERS and match["name"] != "spincache-nb":
                needed.setdefault(extra, []).append(match["name"])
    return needed


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None

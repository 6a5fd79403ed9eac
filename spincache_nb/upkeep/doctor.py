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
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.request import getproxies

from spincache_nb.core import paths
from spincache_nb.core.cache import Cache
from spincache_nb.core.credentials import READABLE, Store, all_stores, field_of
from spincache_nb.core.documents import JsonObject
from spincache_nb.core.journal import History
from spincache_nb.core.layout import AREAS, MANIFESTS
from spincache_nb.core.reference import Reference
from spincache_nb.errors import CacheError, CredentialsError, SpinCacheError

if TYPE_CHECKING:
    from spincache_nb.core.pull import Auth

__all__ = ["Finding", "State", "ask_registry", "examine"]

State = Literal["ok", "note", "attention"]


_LEAST_FREE_BYTES = 100 << 20
"""Less room on the disk than this wants attention: single apps are tens of MiB."""
_PERMISSIONS = "check its owner and permissions, or name another directory with Cache(dir)"
_REQUIREMENT = re.compile(r"""(?P<name>[\w.-]+)(?:.*\bextra == ["'](?P<extra>[\w-]+)["'])?""")
_NOT_FOR_USERS = ("dev", "all")


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
        *map(_look_at_store, all_stores()),
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


# The cache and its disk, not what is stored ----------------------------------------------------

_cache = partial(Finding, "cache")


def _look_at_cache(cache: Cache) -> Iterator[Finding]:
    yield _cache("path", str(cache.path))
    yield _chosen_by(cache)
    yield from _existence(cache)
    free = cache.free_bytes()
    if free < _LEAST_FREE_BYTES:
        yield _cache("free_bytes", free, "attention", "free some space on this disk")
    else:
        yield _cache("free_bytes", free)


def _chosen_by(cache: Cache) -> Finding:
    try:
        own = paths.cache_root()
    except CacheError:
        own = None
    default = "this system's default, the same as Spin's"
    variable = os.environ.get("XDG_CACHE_HOME")
    if cache.path != own:
        return _cache("chosen by", "the directory that was named; not this user's Spin cache")
    if sys.platform in ("win32", "darwin") or not variable:
        return _cache("chosen by", default)
    if Path(variable).is_absolute():
        return _cache("chosen by", "XDG_CACHE_HOME, as Spin does")
    value = f"{default}: XDG_CACHE_HOME is relative, so both ignore it"
    return _cache("chosen by", value, "note", "set XDG_CACHE_HOME to an absolute path, or unset it")


def _existence(cache: Cache) -> Iterator[Finding]:
    if not os.path.lexists(cache.path):
        folder = _nearest(cache.path)
        if not os.access(folder, os.X_OK):
            yield _cache("exists", f"hidden: {folder} is closed", "attention", _PERMISSIONS)
            return
        yield _cache("exists", False, "note", "the first pull makes it")
        yield _writable([folder], "no: {} does not let this user make it")
        return
    if not os.path.isdir(cache.path):  # noqa: PTH112 - what may not be looked at is none
        yield _cache("exists", False, "attention", "remove the file or link that is in its place")
        return
    yield _cache("exists", True)
    parts = [cache.path, *(cache.path / name for name in (*AREAS, MANIFESTS))]
    parts = [part for part in parts if os.path.isdir(part)]  # noqa: PTH112
    closed = [part for part in parts if not os.access(part, os.R_OK | os.X_OK)]
    if closed:
        yield _cache("readable", f"no: {closed[0]}", "attention", _PERMISSIONS)
    yield _writable(parts, "no: {}")
    files = cache.scan().files
    yield _cache("files", len(files))
    yield _cache("disk_bytes", sum(file.stored_bytes for file in files))


def _writable(folders: list[Path], refusal: str) -> Finding:
    """As far as the system tells without being asked to write."""
    for folder in folders:
        if not os.access(folder, os.W_OK | os.X_OK):
            return _cache("writable", refusal.format(folder), "attention", _PERMISSIONS)
    return _cache("writable", True)


def _nearest(path: Path) -> Path:
    """The innermost folder above a path that is there."""
    return next((folder for folder in path.parents if os.path.isdir(folder)), Path(path.anchor))  # noqa: PTH112


# Credentials and history -----------------------------------------------------------------------


def _look_at_store(store: Store) -> Finding:
    """Look into a store of Spin, Docker or Podman."""
    told = partial(Finding, "credentials", f"{store.owner} {store.name}")
    try:
        mode = store.path.stat().st_mode if store.path is not None else stat.S_IFREG
        if not stat.S_ISREG(mode):
            return told("not a file", "attention", "remove what is in its place")
        document = store.read() or {}
    except (FileNotFoundError, NotADirectoryError):
        return told(None)
    except CredentialsError as exc:
        if exc.expected == READABLE:
            return told(f"unreadable: {exc.found}", "attention", "check its permissions")
        return told("damaged: not a JSON object", "attention", "log in again")
    except OSError as exc:
        return told(f"unreadable: {exc.strerror}", "attention", "check its permissions")
    logins, for_hosts = (_table(document, key) for key in ("auths", "credHelpers"))
    named = [*for_hosts.values(), field_of(document, "credsStore")]
    helpers = sorted({name for name in named if isinstance(name, str) and name})
    count = len(logins.keys() | for_hosts.keys())
    value = f"{count} {'registry' if count == 1 else 'registries'}"
    value += f", helpers: {', '.join(helpers)}" if helpers else ""
    for helper in helpers:
        if shutil.which(f"docker-credential-{helper}") is None:
            remedy = f"install docker-credential-{helper}, or log in again"
            return told(f"{value}; helper not found", "attention", remedy)
    has_secrets = any(logins.values())
    if os.name != "nt" and mode & 0o077 and has_secrets:
        return told(f"{value}; open to other users", "note", f"chmod 600 {store.path}")
    if store.owner == "Docker" and field_of(document, "credsStore") and has_secrets:
        remedy = "asked here is the store, as docker does; Spin takes the logins in the file: "
        return told(f"{value}, and logins in the file beside it", "note", f"{remedy}remove stale ones")
    return told(value)


def _table(document: JsonObject, key: str) -> JsonObject:
    table = field_of(document, key)
    return table if isinstance(table, dict) else {}


def _look_at_history() -> Iterator[Finding]:
    told = partial(Finding, "history")
    history = History()
    if not history.enabled:
        yield told("record of pulls", "off", "note", "unset SPINCACHE_HISTORY to switch it on")
        return
    if history.path is None:
        yield told("record of pulls", None, "attention", "set HOME or SPINCACHE_STATE_DIR")
        return
    yield told("path", str(history.path))
    place = history.path if history.path.is_file() else _nearest(history.path)
    if os.access(place, os.W_OK):
        yield told("writable", True)
    else:
        remedy = "check its permissions, or set SPINCACHE_STATE_DIR; pulls work without it"
        yield told("writable", f"no: {place}", "attention", remedy)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = history.scan()
    if caught:
        yield told("pulls", str(caught[0].message), "attention", "check its permissions")
    elif found.damaged:
        text = f"{len(found.records)}, and {found.damaged} illegible lines"
        yield told("pulls", text, "note", "illegible lines are passed over")
    else:
        yield told("pulls", len(found.records))


# The network -----------------------------------------------------------------------------------

_network = partial(Finding, "network")


def _look_at_network() -> Iterator[Finding]:
    """Look at the proxies and at the certificates that are trusted."""
    settings = getproxies()
    schemes = [scheme for scheme in ("http", "https", "all") if settings.get(scheme)]
    yield from [_look_at_proxy(scheme, settings[scheme]) for scheme in schemes] or [_network("proxy", None)]
    if schemes and settings.get("no"):
        yield _network("no proxy for", settings["no"])
    for name, there in (("SSL_CERT_FILE", Path.is_file), ("SSL_CERT_DIR", Path.is_dir)):
        named = os.environ.get(name, "")
        parts = [named] if name == "SSL_CERT_FILE" else named.split(os.pathsep)
        lost = [part for part in parts if part and not there(Path(part))]
        if lost:
            yield _network(f"certificates ({name})", f"not there: {lost[0]}", "attention", f"correct {name}")
        elif named:
            yield _network(f"certificates ({name})", named)
    if not any(map(os.environ.get, ("SSL_CERT_FILE", "SSL_CERT_DIR"))):
        yield _certificates_of_system()


def _look_at_proxy(scheme: str, text: str) -> Finding:
    from spincache_nb.core.addresses import Proxy

    told = partial(_network, "proxy" if scheme == "all" else f"proxy for {scheme}")
    try:
        proxy = Proxy.parse(text)
    except SpinCacheError as exc:
        return told(str(exc), "attention")
    if proxy.scheme.startswith("socks") and importlib.util.find_spec("socksio") is None:
        remedy = "install spincache-nb[socks], or name an HTTP proxy"
        return told(f"{proxy.name}; needs a package", "attention", remedy)
    return told(proxy.name + (", with a user" if proxy.user else ""))


def _certificates_of_system() -> Finding:
    if sys.platform in ("darwin", "win32"):
        return _network("certificates", "the system's own store")
    found = ssl.get_default_verify_paths()
    place = found.cafile or found.capath
    if place is not None:
        return _network("certificates", place)
    remedy = "install ca-certificates, or set SSL_CERT_FILE; without them no registry is asked over HTTPS"
    return _network("certificates", None, "note", remedy)


# Packages --------------------------------------------------------------------------------------


def _look_at_packages() -> Iterator[Finding]:
    """Look at versions, without importing anything; what is needed, the installation itself says."""
    from spincache_nb import __version__

    told = partial(Finding, "packages")
    yield told("Python", f"{platform.python_version()} on {platform.platform(terse=True)}")
    yield told("spincache-nb", __version__)
    needed = _requirements()
    for name in needed.pop("", []):
        version = _version(name)
        yield told(name, version) if version else told(name, None, "attention", "install spincache-nb again")
    for extra, names in needed.items():
        lacking = [name for name in names if _version(name) is None]
        value = f"not installed: {', '.join(lacking)}" if lacking else "installed"
        remedy = f"pip install 'spincache-nb[{extra}]', if it is wanted" if lacking else ""
        yield told(f"extra {extra}", value, remedy=remedy)


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
